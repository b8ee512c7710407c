"""Time as people read it: sensible ticks for ten seconds as for ten hours, and durations in words."""

from __future__ import annotations

from datetime import UTC, datetime

STEPS_S = (
    *(0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30),
    *(60 * minutes for minutes in (1, 2, 5, 10, 15, 30)),
    *(3600 * hours for hours in (1, 2, 3, 6, 12)),
)
DAY_S = 86_400


def ticks(seconds: float, most: int = 10) -> list[float]:
    """Where the axis has ticks, from 0 on: at most `most` of them after it."""
    step = next((step for step in STEPS_S if seconds / step <= most), 0.0)
    if not step:
        step = DAY_S * max(1, -(-int(seconds) // (DAY_S * most)))
    return [number * step for number in range(int(seconds / step + 1e-9) + 1)]


def tick_label(at: float, last: float) -> str:
    """What stands at a tick: `0`, `0.5 s`, `20 s`, `1:30` (minutes), `2 h`, `1 h 30`. `last`: the last tick."""
    if at == 0:
        return "0"
    if last < 120:
        return f"{at:g} s"
    if last < 3600:
        return f"{int(at) // 60}:{int(at) % 60:02d}"
    hours, minutes = divmod(int(at) // 60, 60)
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {minutes:02d}" if minutes else f"{hours} h"


def duration(seconds: float) -> str:
    """`0.04 s`, `4.2 s`, `12 s`, `2 min 5 s`, `2 h 5 min`."""
    if seconds < 0.95:
        return f"{round(seconds, 2):g} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left} min" if hours else f"{minutes} min {rest} s"


def moment(stamp: str) -> str:
    """`22 Nov 2026, 01:45 UTC` of an ISO time; what is none stays as it is."""
    try:
        return f"{datetime.fromisoformat(stamp).astimezone(UTC):%d %b %Y, %H:%M} UTC"
    except ValueError:
        return stamp
