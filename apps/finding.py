"""What `doctor` says of one thing."""

from __future__ import annotations

from typing import Literal

from assetline.records import Record

Verdict = Literal["ok", "warn", "fail"]


class Finding(Record):
    """One line: what was probed, what was found, and the command or change that mends it."""

    name: str
    verdict: Verdict
    found: str
    mend: str = ""
