"""What happens on lanes, told to one listener as it happens: the timeline, health and progress read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["taken", "began", "made", "failed", "down", "up", "gone"]


@dataclass(frozen=True, slots=True)
class LaneEvent:
    """`at`: seconds on the event loop's clock. `label` and `affinity` of the request, where it is about one.

    `taken`: a request has a slot; `began`: the lane works on it (`detail`: `load` if its files must be loaded first);
    `made`: its picture is here (`detail`: seconds since it began); `failed`, `down`, `gone`: `detail` says why.
    """

    at: float
    lane: str
    kind: Kind
    label: str = ""
    affinity: str = ""
    detail: str = ""


Listen = Callable[[LaneEvent], None]
