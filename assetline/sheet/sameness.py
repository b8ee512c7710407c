"""Whether two sheets say the same, whatever their names, their kinds, their formatting and the order of their rows."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

from assetline.records import Row

PLACES = {"sheet", "number", "cells"}  # where a row stands, not what it says
SKETCH = 128  # digests of rows; of two sheets that large, the share that is alike is then known within some 4 %
DIGITS = 12


def rows_sha256(rows: Iterable[Row]) -> str:
    """sha256 (64 hex digits) of all that the rows say, their ids among it."""
    return hashlib.sha256("\n".join(sorted(map(_digest, rows))).encode()).hexdigest()


def sketch_of(rows: Iterable[Row]) -> tuple[str, ...]:
    """The smallest digests of the rows, sorted: all of a small sheet, a fair sample of a large one."""
    return tuple(sorted({_digest(row)[:DIGITS] for row in rows})[:SKETCH])


def share_of(rows: Iterable[Row], sketch: Collection[str]) -> float:
    """About which share (0 to 1) of the rows is in the sheet that `sketch` is of."""
    last = max(sketch, default="") if len(sketch) >= SKETCH else "g"  # behind every digest
    seen = [digest for row in rows if (digest := _digest(row)[:DIGITS]) <= last]
    return sum(digest in sketch for digest in seen) / len(seen) if seen else 0.0


def _digest(row: Row) -> str:
    return hashlib.sha256(row.model_dump_json(exclude=PLACES).encode()).hexdigest()
