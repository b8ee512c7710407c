"""The lanes over time for a terminal: a line a lane, then the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from assetline.timeline.axis import tick_label, ticks
from assetline.timeline.drawing import subtitle, title
from assetline.timeline.figures import HEADER, short_lane, table
from assetline.timeline.layout import shortened
from assetline.timeline.records import Band, LaneTimeline, Timeline

LEVELS = " ▁▂▃▄▅▆▇█"
LOAD, AWAY, QUARANTINED, PAUSED = "░", "x", "?", "‖"
LONGEST_NAME = 28
FEWEST_COLUMNS = 20
_LEAST = 0.02  # of a column's time: that something was there at all is shown


def timeline_text(timeline: Timeline, columns: int = 100) -> list[str]:
    """Title, a line of blocks for each lane, an axis, what the blocks mean, and the table; `columns` wide at most."""
    names = [shortened(short_lane(lane.name), LONGEST_NAME) for lane in timeline.lanes]
    longest = max((len(name) for name in names), default=0)
    cells = max(columns - longest - 3, FEWEST_COLUMNS)
    lines = [title(timeline), subtitle(timeline).replace("  ·  ", ", "), ""]
    lines += [
        f"{name:>{longest}} │{_blocks(lane, timeline, cells)}│"
        for name, lane in zip(names, timeline.lanes, strict=True)
    ]
    lines += [f"{'':>{longest}} {_axis(timeline.seconds, cells)}", "", *_legend(timeline), ""]
    return [*lines, *_aligned(timeline.lanes)]


def _blocks(lane: LaneTimeline, timeline: Timeline, cells: int) -> str:
    """One character for each stretch of time: what took most of it, and how full of work it was."""
    span = (timeline.seconds or 1.0) / cells
    loads = [(bar.start, bar.end if bar.load < 0 else bar.start + bar.load) for bar in lane.bars if bar.load]
    work = [(bar.start, bar.end) for bar in lane.bars]
    shares = zip(
        _shares(work, span, cells),
        _shares(loads, span, cells),
        _absences((*lane.bands, *timeline.pauses), span, cells),
        strict=True,
    )
    return "".join(_block(worked / lane.slots, loaded / lane.slots, absence) for worked, loaded, absence in shares)


def _block(worked: float, loaded: float, absence: str) -> str:
    if absence:
        return absence
    if loaded > worked / 2 and loaded > _LEAST:
        return LOAD
    level = round(min(worked, 1.0) * (len(LEVELS) - 1))
    return LEVELS[max(level, 1)] if worked > _LEAST else " "


def _shares(spans: Sequence[tuple[float, float]], span: float, cells: int) -> list[float]:
    """How much of each stretch of `span` seconds the given spans fill; more than 1 where they lie over one another."""
    shares = [0.0] * cells
    for start, end in spans:
        for cell in range(int(start / span), min(int(end / span) + 1, cells)):
            shares[cell] += max(min(end, (cell + 1) * span) - max(start, cell * span), 0.0) / span
    return shares


def _absences(bands: Sequence[Band], span: float, cells: int) -> list[str]:
    """The sign of what kept the lane away for the most part of each stretch, or nothing."""
    signs = {"quarantined": QUARANTINED, "paused": PAUSED}
    found = [""] * cells
    for band in bands:
        for cell, share in enumerate(_shares([(band.start, band.end)], span, cells)):
            if share > 0.5:
                found[cell] = signs.get(band.kind, AWAY)
    return found


def _axis(seconds: float, cells: int) -> str:
    line = [" "] * (cells + 12)
    places = ticks(seconds, most=max(cells // 12, 1))
    for at in places:
        place = 1 + int(at / (seconds or 1.0) * cells)
        label = tick_label(at, places[-1])
        line[place : place + len(label)] = label
    return "".join(line).rstrip()


def _legend(timeline: Timeline) -> Iterator[str]:
    signs = [f"{LEVELS[1]} to {LEVELS[-1]} working"]
    kinds = {band.kind for lane in timeline.lanes for band in lane.bands} | {band.kind for band in timeline.pauses}
    signs += [f"{LOAD} loading"] if any(lane.loads for lane in timeline.lanes) else []
    signs += [f"{AWAY} down"] if kinds & {"down", "gone"} else []
    signs += [f"{QUARANTINED} quarantined"] if "quarantined" in kinds else []
    signs += [f"{PAUSED} paused"] if "paused" in kinds else []
    yield ", ".join(signs)


def _aligned(lanes: Sequence[LaneTimeline]) -> list[str]:
    rows = [HEADER, *table(lanes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    return [
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in ([*zip(row, widths, strict=True)] for row in rows)
    ]
