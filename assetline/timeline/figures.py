"""The table beside the picture: each lane's share of the work, seconds a picture, loads, idle share, failures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assetline.timeline.axis import duration
from assetline.timeline.records import LaneTimeline

HEADER = ("lane", "pictures", "share", "s each", "loads", "loading", "idle", "away", "failures")


@dataclass(frozen=True)
class LaneFigures:
    """A lane in figures. Shares are 0 to 1: `share` of the fleet's pictures, `idle` and `away` of the time watched."""

    name: str
    pictures: int
    share: float
    median_s: float | None
    loads: int
    loads_s: float
    idle: float
    away: float
    failures: int


def fleet_figures(lanes: Sequence[LaneTimeline]) -> list[LaneFigures]:
    """One line a lane, in the order of the lanes."""
    pictures = sum(lane.pictures for lane in lanes)
    return [_figures(lane, pictures) for lane in lanes]


def _figures(lane: LaneTimeline, pictures: int) -> LaneFigures:
    watched = lane.working_s + lane.away_s + lane.paused_s + lane.idle_s
    return LaneFigures(
        name=lane.name,
        pictures=lane.pictures,
        share=lane.pictures / pictures if pictures else 0.0,
        median_s=lane.median_s,
        loads=lane.loads,
        loads_s=lane.loads_s,
        idle=lane.idle_s / watched if watched else 0.0,
        away=lane.away_s / watched if watched else 0.0,
        failures=lane.failures,
    )


def table(lanes: Sequence[LaneTimeline]) -> list[tuple[str, ...]]:
    """The figures as text, a cell for each column of HEADER; seconds of loading are an estimate."""
    return [
        (
            short_lane(one.name),
            f"{one.pictures:,}",
            percent(one.share),
            "-" if one.median_s is None else seconds(one.median_s),
            f"{one.loads:,}" if one.loads else "-",
            f"~{duration(one.loads_s)}" if one.loads_s else "-",
            percent(one.idle),
            percent(one.away) if one.away else "-",
            f"{one.failures:,}" if one.failures else "-",
        )
        for one in fleet_figures(lanes)
    ]


def working_share(lanes: Sequence[LaneTimeline]) -> float:
    """The share of the lanes' time in which they worked; what a pause took is left out."""
    working = sum(lane.working_s for lane in lanes)
    watched = sum(lane.working_s + lane.away_s + lane.idle_s for lane in lanes)
    return working / watched if watched else 0.0


def many(count: int, noun: str) -> str:
    """`1 picture`, `1,200 pictures`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def percent(share: float) -> str:
    """`6 %`; `<1 %` for what is there and too little to round up."""
    return "<1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def seconds(value: float) -> str:
    """`0.42`, `4.3`, `125`."""
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def short_lane(name: str) -> str:
    """A lane as people call it: a worker's host and port."""
    return name.removeprefix("http://").removeprefix("https://").rstrip("/")
