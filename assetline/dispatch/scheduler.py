"""Which group a lane takes from next, or none: from what waits, what the lanes do and how fast they are. No waiting.

The rest is planned to its end (`assignment`), highest priority first, and the asking lane gets what the plan gives it.
A plan is kept as long as the lanes keep to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf

from assetline.dispatch.assignment import Rest, assign
from assetline.dispatch.speeds import Speeds

FRESH_S = 1.0  # so old may a plan be by which a lane is told to wait
TOLERANCE = 1.0  # of a picture, by which a lane may be early or late before the rest is planned anew
QUICK_PAIRS = 1000  # lanes x groups that are planned in about 10 ms; a larger plan is kept for as many s as ms
LEAST_STREAK = 32  # pictures for which nothing else need be loaded while another group waits (InvokeAI's bound), or
LOADS_IN_STREAK = 100  # as long as so many loads take, if that is longer: changing then costs 1 % at most

Key = tuple[frozenset[str], str, int]  # the lanes that may take it, what is to be loaded, the priority


@dataclass(frozen=True, slots=True)
class Group:
    """Requests of one priority that the same lanes can make with the same files loaded.

    `oldest` is the number of the one that is first in line; `since` when it, or the last one taken before it, was
    its turn: how long nothing of the group has been taken.
    """

    lanes: frozenset[str]
    affinity: str
    priority: int
    count: int
    oldest: int
    since: float

    @property
    def key(self) -> Key:
        """What makes it this group, whatever has been taken from it."""
        return self.lanes, self.affinity, self.priority


@dataclass(frozen=True, slots=True)
class LaneState:
    """A lane that is up. `free_at`: when it will have done what it holds; `loaded`: what it has loaded then.

    `holds`: requests that it has; `at_once`: how many it works on at the same time.
    """

    name: str
    free_at: float
    loaded: str
    holds: int = 0
    at_once: int = 1


@dataclass(frozen=True, slots=True)
class Situation:
    """All that waits, and every lane that is up. No two groups are alike in lanes, affinity and priority."""

    groups: Sequence[Group]
    lanes: Sequence[LaneState]


class Scheduler:
    """Chooses by a plan of the rest, which it makes anew when something has changed."""

    def __init__(self, speeds: Speeds) -> None:
        self._speeds = speeds
        self._plan: _Plan | None = None

    def forget(self) -> None:
        """Requests or lanes have come or gone: plan anew when next asked."""
        self._plan = None

    def choose(self, lane: LaneState, now: float, look: Callable[[], Situation]) -> Group | None:
        """The group that `lane` takes from next; None where others end the rest sooner without it.

        Ask again when anything has changed, and after `FRESH_S`. A lane of which nothing is known gets one request
        and no other until that has ended. `look` is called only when a plan is to be made.
        """
        if lane.holds >= lane.at_once and not self._speeds.knows(lane.name):
            return None
        plan = self._plan
        if plan is None or plan.is_out_of_date(lane, now):
            plan = self._make_plan(look, now)
        stop = plan.next_stop(lane)
        if stop is None and now - plan.made_at >= max(FRESH_S, plan.keeps_s):
            plan = self._make_plan(look, now)
            stop = plan.next_stop(lane)
        if stop is None or (lane.holds >= lane.at_once and plan.load(lane, stop)):
            return None
        plan.take(lane, stop)
        return stop.group

    def _make_plan(self, look: Callable[[], Situation], now: float) -> _Plan:
        self._plan = _Plan(look(), now, self._speeds)
        return self._plan


@dataclass(slots=True)
class _Stop:
    """So many of one group, on one lane."""

    group: Group
    count: int
    is_overdue: bool = False


Lines = dict[str, list[_Stop]]  # what each lane is to do, in its order


class _Plan:
    """Who makes what until the end. `take` follows it."""

    def __init__(self, situation: Situation, now: float, speeds: Speeds) -> None:
        self.made_at = now
        self.keeps_s = max(0.0, len(situation.lanes) * len(situation.groups) / QUICK_PAIRS - 1.0)
        self._speeds = speeds
        self._version = speeds.version
        self._review_at = inf
        self._due = {lane.name: lane.free_at for lane in situation.lanes}
        self._loaded = {lane.name: lane.loaded for lane in situation.lanes}
        self._tiers: list[Lines] = []
        self._more = self._plan_tiers(situation)

    def is_out_of_date(self, lane: LaneState, now: float) -> bool:
        """Whether something that it was made with does not hold any more, as far as `lane` is concerned."""
        if lane.name not in self._due:
            return True
        if now - self.made_at < self.keeps_s:
            return False
        if self._version != self._speeds.version or now >= self._review_at:
            return True
        stop = self.next_stop(lane)
        if stop is None:
            return False
        return abs(lane.free_at - self._due[lane.name]) > TOLERANCE * self._seconds(lane, stop.group.affinity)

    def next_stop(self, lane: LaneState) -> _Stop | None:
        """What `lane` is to do next: of the most urgent that it has a part in."""
        return next((lines[lane.name][0] for lines in self._every_tier() if lines[lane.name]), None)

    def load(self, lane: LaneState, stop: _Stop) -> float:
        """Seconds that the lane needs to load before the stop."""
        return self._load(lane, self._loaded[lane.name], stop.group.affinity)

    def take(self, lane: LaneState, stop: _Stop) -> None:
        """The lane takes one of its next stop."""
        self._due[lane.name] += self.load(lane, stop) + self._seconds(lane, stop.group.affinity)
        self._loaded[lane.name] = stop.group.affinity
        stop.count -= 1
        if not stop.count:
            next(lines[lane.name] for lines in self._tiers if lines[lane.name]).remove(stop)
        if stop.is_overdue:
            self._review_at = -inf  # it is not overdue any more

    def _every_tier(self) -> Iterator[Lines]:
        """Those that are planned, then the rest as they are asked for: mostly the first is enough."""
        yield from self._tiers
        for lines in self._more:
            self._tiers.append(lines)
            yield lines

    def _plan_tiers(self, situation: Situation) -> Iterator[Lines]:
        """Each priority planned behind the one before it."""
        lanes = {lane.name: lane for lane in situation.lanes}
        for groups in _tiers(situation.groups, lanes):
            lines = self._share_out(groups, [self._later(lane) for lane in situation.lanes])
            yield {name: self._in_order(lanes[name], stops) for name, stops in lines.items()}

    def _later(self, lane: LaneState) -> LaneState:
        """The lane as it will be when it has done its part of the tiers that are planned."""
        free_at, loaded = self._due[lane.name], self._loaded[lane.name]
        for stop in (stop for lines in self._tiers for stop in lines[lane.name]):
            free_at += self._load(lane, loaded, stop.group.affinity) + stop.count * self._seconds(
                lane, stop.group.affinity
            )
            loaded = stop.group.affinity
        return replace(lane, free_at=free_at, loaded=loaded)

    def _share_out(self, groups: Sequence[Group], lanes: Sequence[LaneState]) -> Lines:
        rest = Rest(
            free=[max(0.0, lane.free_at - self.made_at) for lane in lanes],
            seconds=[
                [self._seconds(lane, group.affinity) if lane.name in group.lanes else inf for group in groups]
                for lane in lanes
            ],
            loads=[[self._load(lane, lane.loaded, group.affinity) for group in groups] for lane in lanes],
            counts=[group.count for group in groups],
        )
        return {
            lane.name: [_Stop(group, count) for group, count in zip(groups, share, strict=True) if count]
            for lane, share in zip(lanes, assign(rest), strict=True)
        }

    def _in_order(self, lane: LaneState, stops: list[_Stop]) -> list[_Stop]:
        """What has waited too long, then what is loaded, then the small ones: the last is shared with most lanes."""
        loaded = self._loaded[lane.name]
        back_s = self._speeds.load_seconds(lane.name, loaded)
        patience_s = max(LEAST_STREAK * self._seconds(lane, loaded), LOADS_IN_STREAK * back_s)
        for stop in stops:
            if not loaded or stop.group.affinity == loaded:
                continue
            turn_at = stop.group.since + patience_s
            stop.is_overdue = turn_at <= self.made_at
            if not stop.is_overdue:
                self._review_at = min(self._review_at, turn_at)
        return sorted(stops, key=lambda stop: (not stop.is_overdue, stop.group.affinity != loaded, _turn(stop)))

    def _load(self, lane: LaneState, loaded: str, affinity: str) -> float:
        return 0.0 if affinity == loaded else self._speeds.load_seconds(lane.name, affinity)

    def _seconds(self, lane: LaneState, affinity: str) -> float:
        return self._speeds.seconds(lane.name, affinity) / lane.at_once


def _turn(stop: _Stop) -> int:
    return stop.group.oldest if stop.is_overdue else stop.count


def _tiers(groups: Iterable[Group], lanes: Collection[str]) -> Iterator[list[Group]]:
    """What the lanes can make, by priority, the highest first."""
    possible = [group for group in groups if not group.lanes.isdisjoint(lanes)]
    for priority in sorted({group.priority for group in possible}, reverse=True):
        yield [group for group in possible if group.priority == priority]
