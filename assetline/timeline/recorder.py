"""Happenings on lanes become bars, bands, marks and exact totals. Its memory stays small however long a run is.

Used by one thread. A lane is at each moment in one state: away, working, paused or idle. Away is down or gone (it
cannot be reached), else quarantined (it can, and is not trusted).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from statistics import median

from assetline.timeline.lane_record import LaneRecord
from assetline.timeline.records import Band, LaneTimeline, Timeline
from assetline.timeline.thinning import MOST_BANDS

BARS_KEPT = 4_000  # in all, at most twice as many at a time: some 250 KB of JSON; a picture shows no more
FEWEST_BARS, MOST_BARS = 100, 500  # of one lane


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened on a lane, or (an empty `lane`) on all: `at` seconds on any clock, always the same one.

    `group` names what the request wants loaded, as people know it. `kind`: `began` (`why`: `load` if it loads first),
    `made`, `failed` (without a `why`: taken back), `down`, `waiting` (it is still down), `up`, `gone`, `quarantined`,
    `released`, `paused`, `resumed`; `taken` is passed over, and any other is kept as a mark.
    """

    at: float
    lane: str
    kind: str
    label: str = ""
    group: str = ""
    why: str = ""


class Recorder:
    """The lanes of one run from `origin` on, a time on the clock of the happenings."""

    def __init__(self, lanes: Sequence[str], origin: float = 0.0) -> None:
        self._origin = origin
        self._groups: dict[str, int] = {}
        self._most = max(FEWEST_BARS, min(MOST_BARS, BARS_KEPT // max(len(lanes), 1)))
        self._lanes = {name: LaneRecord(name, self._most) for name in lanes}
        self._pauses: list[Band] = []
        self._paused_at: float | None = None

    def hear(self, what: Happening) -> None:
        """Take note of what happened."""
        at = max(what.at - self._origin, 0.0)
        if not what.lane:
            self._hear_of_all(what.kind, at)
            return
        lane = self._lanes.get(what.lane)
        if lane is None:
            lane = self._lanes[what.lane] = LaneRecord(what.lane, self._most)
        lane.pass_to(at)
        if note := _NOTES.get(what.kind):
            note(lane, at, what, self._groups.setdefault(what.group, len(self._groups)) if what.group else -1)
        elif what.kind != "taken":
            lane.mark(at, what.kind, what.why)

    def _hear_of_all(self, kind: str, at: float) -> None:
        if kind not in ("paused", "resumed") or (kind == "paused") == (self._paused_at is not None):
            return
        for lane in self._lanes.values():
            lane.pass_to(at)
            lane.is_paused = kind == "paused"
        if self._paused_at is not None and len(self._pauses) < MOST_BANDS:
            self._pauses.append(Band(self._paused_at, at, "paused"))
        self._paused_at = at if kind == "paused" else None

    def timeline(self, now: float, *, ended: bool, **facts: str) -> Timeline:
        """What is known `now` (on the clock of the happenings). `facts`: campaign, run_id, started_at."""
        at = max(now - self._origin, 0.0)
        for lane in self._lanes.values():
            lane.pass_to(at)
        order = self._order()
        places = {group: place for place, group in enumerate(order)}
        names = list(self._groups)
        open_pause = () if self._paused_at is None else (Band(round(self._paused_at, 3), round(at, 3), "paused"),)
        return Timeline(
            **facts,
            seconds=round(at, 3),
            ended=ended,
            groups=tuple(names[group] for group in order),
            lanes=tuple(self._lane_timeline(lane, at, places) for lane in self._lanes.values()),
            pauses=(*self._pauses, *open_pause),
        )

    def lanes(self, now: float) -> tuple[LaneTimeline, ...]:
        """The totals alone, as they stand `now`."""
        at = max(now - self._origin, 0.0)
        for lane in self._lanes.values():
            lane.pass_to(at)
        return tuple(self._totals(lane, at) for lane in self._lanes.values())

    def _order(self) -> list[int]:
        """The groups' numbers, the one with the most work first."""
        worked = [sum(lane.worked(group) for lane in self._lanes.values()) for group in self._groups.values()]
        return sorted(self._groups.values(), key=lambda group: -worked[group])

    def _lane_timeline(self, lane: LaneRecord, at: float, places: dict[int, int]) -> LaneTimeline:
        usual = self._usual(lane)
        bars = [
            bar._replace(
                start=round(bar.start, 3),
                end=round(bar.end, 3),
                group=places.get(bar.group, 0),
                load=_load(bar.end - bar.start, usual.get(bar.group)) if bar.load else 0.0,
            )
            for bar in sorted((*lane.bars, *lane.open_bars(at)), key=attrgetter("start"))
        ]
        update = {"bars": tuple(bars), "bands": tuple(lane.all_bands(at)), "marks": tuple(lane.marks)}
        return self._totals(lane, at).model_copy(update=update)

    def _totals(self, lane: LaneRecord, at: float) -> LaneTimeline:
        usual, seconds = self._usual(lane), lane.seconds()
        loads = [_load(took, usual.get(group)) for group, found in lane.loaded.items() for took in found]
        return LaneTimeline(
            name=lane.name,
            slots=lane.slots,
            pictures=lane.pictures,
            failures=lane.failures,
            loads=lane.loads,
            loads_s=round(sum(load for load in loads if load > 0), 3),
            median_s=round(median(seconds), 3) if seconds else None,
            working_s=round(lane.spent["working"], 3),
            away_s=round(lane.spent["away"], 3),
            paused_s=round(lane.spent["paused"], 3),
            idle_s=round(lane.spent["idle"], 3),
            doing=lane.doing(at),
        )

    def _usual(self, lane: LaneRecord) -> dict[int, float]:
        """What a picture of each group takes that the lane had to load: on this lane, else on any."""
        known = {}
        for group in lane.loads_of:
            own = lane.plain.get(group)
            if found := own or [s for other in self._lanes.values() for s in other.plain.get(group, ())]:
                known[group] = median(found)
        return known


def _load(took: float, usual: float | None) -> float:
    """How much of `took` was a load: what it took longer than one without. -1 where that is not known."""
    return -1.0 if usual is None else round(max(took - usual, 0.0), 3)


def _began(lane: LaneRecord, at: float, what: Happening, group: int) -> None:
    lane.begin(at, what.label, group, loads=what.why == "load")


def _made(lane: LaneRecord, at: float, what: Happening, _group: int) -> None:
    lane.end(at, what.label)


def _failed(lane: LaneRecord, at: float, what: Happening, _group: int) -> None:
    lane.fail(at, what.label, what.why)


def _down(lane: LaneRecord, at: float, what: Happening, _group: int) -> None:
    lane.go("down", at, what.why)


def _gone(lane: LaneRecord, at: float, what: Happening, _group: int) -> None:
    lane.go("gone", at, what.why)


def _quarantined(lane: LaneRecord, at: float, what: Happening, group: int) -> None:
    if group < 0:
        lane.shut(at, what.why)
    else:  # for one group alone: the lane goes on with the others
        lane.mark(at, what.kind, what.why or what.group)


def _up(lane: LaneRecord, at: float, _what: Happening, _group: int) -> None:
    lane.answer(at)


def _released(lane: LaneRecord, at: float, what: Happening, group: int) -> None:
    if group < 0:
        lane.release(at)
    else:
        lane.mark(at, what.kind, what.why or what.group)


_NOTES: dict[str, Callable[[LaneRecord, float, Happening, int], None]] = {
    "began": _began,
    "made": _made,
    "failed": _failed,
    "down": _down,
    "waiting": _down,
    "gone": _gone,
    "quarantined": _quarantined,
    "up": _up,
    "released": _released,
}
