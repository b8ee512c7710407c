"""Which group a lane takes from next, or none: from what waits, what the lanes do and how fast they are. No waiting.

The rest is planned to its end (`plan.assignment`), highest priority first and campaigns of equal priority in rounds
(`fair_share`), and the asking lane gets what the plan gives it. A plan is kept as long as the lanes keep to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf

from assetline.dispatch.fair_share import FairShare
from assetline.dispatch.situation import URGENT, Group, LaneState, Situation
from assetline.dispatch.speeds import Speeds
from assetline.plan.assignment import Rest, assign

FRESH_S = 1.0  # so old may a plan be by which a lane is told to wait
TOLERANCE = 1.0  # of a picture, by which a lane may be early or late before the rest is planned anew
QUICK_PAIRS = 1000  # lanes x groups that are planned in about 10 ms; a larger plan is kept for as many s as ms
LEAST_STREAK = 32  # pictures for which nothing else need be loaded while another group waits (InvokeAI's bound), or
LOADS_IN_STREAK = 100  # as long as so many loads take, if that is longer: changing then costs 1 % at most
PICTURES_IN_ROUND = 16  # on each lane, by which one campaign may be ahead of another, or
LOADS_IN_ROUND = 50  # as long as so many loads take: a load for each round costs 2 % at most
WINDOW = 2  # rounds, at most, that a campaign catches up if it could not have its part for a while


class Scheduler:
    """Chooses by a plan of the rest, which it makes anew when something has changed."""

    def __init__(self, speeds: Speeds) -> None:
        self._speeds = speeds
        self._fair_share = FairShare()
        self._plan: _Plan | None = None

    def forget(self) -> None:
        """Requests or lanes have come or gone: plan anew when next asked."""
        self._plan = None

    def choose(self, lane: LaneState, now: float, look: Callable[[], Situation]) -> Group | None:
        """The group that `lane` takes from next; None where others end the rest sooner without it.

        Ask again when anything has changed, and after `FRESH_S`. A lane of which nothing is known gets one request
        and no other until that has ended, unless it is the only one. `look` is called only when a plan is to be made.
        """
        plan = self._plan
        if plan is None or plan.is_out_of_date(lane, now):
            plan = self._make_plan(look, now)
        if lane.holds >= lane.at_once and not plan.is_alone and not self._speeds.knows(lane.name):
            return None
        stop = plan.next_stop(lane)
        if stop is None and now - plan.made_at >= max(FRESH_S, plan.keeps_s):
            plan = self._make_plan(look, now)
            stop = plan.next_stop(lane)
        if stop is None or (lane.holds >= lane.at_once and plan.load(lane, stop)):
            return None
        plan.take(lane, stop)
        return stop.group

    def _make_plan(self, look: Callable[[], Situation], now: float) -> _Plan:
        self._plan = _Plan(look(), now, self._speeds, self._fair_share)
        return self._plan


@dataclass(slots=True, eq=False)
class _Stop:
    """So many of one group, on one lane."""

    group: Group
    count: int
    is_overdue: bool = False


Lines = dict[str, list[_Stop]]  # what each lane is to do, in its order


@dataclass(frozen=True, slots=True)
class _Tier:
    """What is planned behind the tiers before it and before those after it."""

    lines: Lines
    is_urgent: bool


class _Plan:
    """Who makes what until the end. `take` follows it."""

    def __init__(self, situation: Situation, now: float, speeds: Speeds, fair_share: FairShare) -> None:
        self.made_at = now
        self.keeps_s = max(0.0, len(situation.lanes) * len(situation.groups) / QUICK_PAIRS - 1.0)
        self._speeds = speeds
        self._version = speeds.version
        self._review_at = inf
        self._due = {lane.name: lane.free_at for lane in situation.lanes}
        self._loaded = {lane.name: lane.loaded for lane in situation.lanes}
        self._works: dict[tuple[frozenset[str], str], float] = {}
        possible = [one for one in situation.groups if one.priority < URGENT and not one.lanes.isdisjoint(self._due)]
        campaigns = {group.campaign for group in possible}
        self._is_shared = len(campaigns) > 1
        self._round_s = self._longest_lead(possible) if self._is_shared else 0.0
        self._fair_share = fair_share
        fair_share.see(campaigns, WINDOW * self._round_s)
        self._tiers: list[_Tier] = []
        self._more = self._plan_tiers(situation)

    @property
    def is_alone(self) -> bool:
        """Whether there is one lane only, which nothing can be left to."""
        return len(self._due) == 1

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
        """What `lane` is to do next: of the most urgent that it has a part in, if that has not gone first too often."""
        urgent = None
        for tier in self._every_tier():
            stops = tier.lines[lane.name]
            if not stops:
                continue
            stop = self._fairest(stops) if self._is_shared else stops[0]
            if not (tier.is_urgent and lane.yields):
                return stop
            urgent = urgent or stop
        return urgent

    def load(self, lane: LaneState, stop: _Stop) -> float:
        """Seconds that the lane needs to load before the stop."""
        return self._load(lane, self._loaded[lane.name], stop.group.affinity)

    def take(self, lane: LaneState, stop: _Stop) -> None:
        """The lane takes one of its next stop."""
        self._due[lane.name] += self.load(lane, stop) + self._seconds(lane, stop.group.affinity)
        self._loaded[lane.name] = stop.group.affinity
        stop.count -= 1
        if not stop.count:
            next(tier.lines[lane.name] for tier in self._tiers if stop in tier.lines[lane.name]).remove(stop)
        if stop.is_overdue:
            self._review_at = -inf  # it is not overdue any more
        if self._is_shared and stop.group.priority < URGENT:
            self._fair_share.give(stop.group.campaign, self._work(stop.group))

    def _every_tier(self) -> Iterator[_Tier]:
        """Those that are planned, then the rest as they are asked for: mostly the first is enough."""
        yield from self._tiers
        for tier in self._more:
            self._tiers.append(tier)
            yield tier

    def _plan_tiers(self, situation: Situation) -> Iterator[_Tier]:
        """Each priority planned behind the one before it, and each round of several campaigns likewise."""
        lanes = {lane.name: lane for lane in situation.lanes}
        loaded = {lane.loaded for lane in situation.lanes}
        for groups in _tiers(situation.groups, lanes):
            is_urgent = groups[0].priority == URGENT
            is_shared = self._is_shared and not is_urgent
            rounds = self._fair_share.rounds(groups, self._work, loaded, self._round_s) if is_shared else [groups]
            for part in rounds:
                lines = self._share_out(part, [self._later(lane) for lane in situation.lanes])
                yield _Tier({name: self._in_order(lanes[name], stops) for name, stops in lines.items()}, is_urgent)

    def _fairest(self, stops: Sequence[_Stop]) -> _Stop:
        """Of those that need no other load than the first, the one whose campaign has been given least."""
        first = stops[0]
        alike = [s for s in stops if (s.group.affinity, s.is_overdue) == (first.group.affinity, first.is_overdue)]
        return min(alike, key=lambda stop: self._fair_share.given(stop.group.campaign))

    def _longest_lead(self, groups: Sequence[Group]) -> float:
        """Work by which one campaign may be ahead of another, so that loads cost little."""
        works = max(self._work(group) for group in groups)
        loads = max(self._speeds.load_seconds(lane, group.affinity) for lane in self._due for group in groups)
        return len(self._due) * max(PICTURES_IN_ROUND * works, LOADS_IN_ROUND * loads)

    def _work(self, group: Group) -> float:
        """Seconds a picture of the group on the lane that is best at it: the same for all, whoever makes it."""
        key = (group.lanes, group.affinity)
        if key not in self._works:
            self._works[key] = min(self._speeds.seconds(lane, group.affinity) for lane in group.lanes & set(self._due))
        return self._works[key]

    def _later(self, lane: LaneState) -> LaneState:
        """The lane as it will be when it has done its part of the tiers that are planned."""
        free_at, loaded = self._due[lane.name], self._loaded[lane.name]
        for stop in (stop for tier in self._tiers for stop in tier.lines[lane.name]):
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
        """What has waited too long, then what is loaded, then the small ones: the last is shared with most lanes.

        Where nothing is loaded, what takes longest first: it then ends while the rest is made.
        """
        if not lane.loads and not self._is_shared:
            return sorted(stops, key=lambda stop: (-self._seconds_of(lane, stop), stop.group.oldest))
        loaded = self._loaded[lane.name]
        if loaded:
            self._find_overdue(stops, loaded, self._streak_s(lane, loaded))
        if self._is_shared:
            size = Counter[str]()
            for stop in stops:
                size[stop.group.affinity] += stop.count
            stops = sorted(stops, key=lambda stop: _kind(stop, loaded, size))
        else:
            stops = sorted(stops, key=lambda stop: (not stop.is_overdue, stop.group.affinity != loaded, _turn(stop)))
        if len(stops) > 1 and not loaded:
            self._review_at = min(self._review_at, self.made_at + self._streak_s(lane, stops[0].group.affinity))
        return stops

    def _find_overdue(self, stops: Iterable[_Stop], loaded: str, streak_s: float) -> None:
        for stop in stops:
            if stop.group.affinity != loaded:
                turn_at = stop.group.since + streak_s
                stop.is_overdue = turn_at <= self.made_at
                if not stop.is_overdue:
                    self._review_at = min(self._review_at, turn_at)

    def _streak_s(self, lane: LaneState, loaded: str) -> float:
        """How long a lane keeps to what it has loaded while something else waits."""
        back_s = self._speeds.load_seconds(lane.name, loaded)
        return max(LEAST_STREAK * self._seconds(lane, loaded), LOADS_IN_STREAK * back_s)

    def _load(self, lane: LaneState, loaded: str, affinity: str) -> float:
        return 0.0 if affinity == loaded else self._speeds.load_seconds(lane.name, affinity)

    def _seconds_of(self, lane: LaneState, stop: _Stop) -> float:
        return self._speeds.seconds(lane.name, stop.group.affinity)

    def _seconds(self, lane: LaneState, affinity: str) -> float:
        return max(self._speeds.seconds(lane.name, affinity) / lane.at_once, lane.every_s)


def _kind(stop: _Stop, loaded: str, size: Mapping[str, int]) -> tuple[bool, bool, int, str, int]:
    """The order of stops that keeps those of one affinity together, whosever they are."""
    affinity = stop.group.affinity
    return not stop.is_overdue, affinity != loaded, size[affinity], affinity, _turn(stop)


def _turn(stop: _Stop) -> int:
    return stop.group.oldest if stop.is_overdue else stop.count


def _tiers(groups: Iterable[Group], lanes: Collection[str]) -> Iterator[list[Group]]:
    """What the lanes can make, by priority, the highest first."""
    possible = [group for group in groups if not group.lanes.isdisjoint(lanes)]
    for priority in sorted({group.priority for group in possible}, reverse=True):
        yield [group for group in possible if group.priority == priority]
