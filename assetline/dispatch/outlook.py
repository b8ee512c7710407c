"""How things stand, for whoever decides what may go to a lane that costs: what waits, and how long the others need.

The rule itself is handed in (`OverflowRule`); here is only what it is told. Nothing waits here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol

from assetline.dispatch.health import Health
from assetline.dispatch.lane import Lane
from assetline.dispatch.speeds import Speeds
from assetline.dispatch.ticket import Ticket
from assetline.plan.assignment import Rest, assign
from assetline.records import PlannedRequest

REVIEW_S = 5.0  # so often is it decided anew while anything waits, but
SHARE = 0.02  # of the time at most goes into that
AWAY_S = 30.0  # so long is a worker counted on that does not answer: an ordinary restart takes about 20 s

Line = tuple[frozenset[Lane], str, Sequence[Ticket]]  # the lanes that suit, what is to be loaded, those who wait for it
Without = Callable[[Collection[int]], float]


class OverflowRule(Protocol):
    """Who decides what may go to `lane`. `guess_s`: seconds a picture on lanes of which nothing is known yet."""

    @property
    def lane(self) -> str:
        """The name of the lane that costs."""

    @property
    def guess_s(self) -> float:
        """Seconds a picture, where no lane has made one yet."""

    def holds(self, planned: PlannedRequest) -> bool:
        """Whether that lane could make the request, which is meant for others: it is kept from it until it may go."""

    def is_paid(self, planned: PlannedRequest) -> bool:
        """Whether that lane has been paid for it already: then no other makes it, as long as that one may give it."""

    async def review(self, outlook: Outlook) -> Collection[int]:
        """The numbers of those waiting that may go as things stand; all others stay, or stay again."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request in the queue. Those of one `group` can be made by the same lanes with the same files loaded.

    `may_go`: the overflow's lane could make it, and nothing that was tried speaks against that. `is_stranded`: no other
    lane that could is counted on.
    """

    number: int
    planned: PlannedRequest
    group: int
    may_go: bool
    is_stranded: bool = False


@dataclass(frozen=True)
class Outlook:
    """How things stand. `worked_s`: seconds since there was anything to do, pauses left out.

    `waiting` in the order in which it is made; `at_work` is what the overflow's lane has now. `away`: the lanes that
    are not counted on, each with the reason. `is_guess`: nothing is known of any lane's speed. `seconds` gives how long
    the lanes need for all that waits but some numbers (`inf`: not at all), `seconds_if_back` the same if all those that
    may come back were back.
    """

    worked_s: float
    waiting: Sequence[Waiting]
    at_work: Sequence[PlannedRequest]
    away: Mapping[str, str]
    is_guess: bool
    seconds: Without
    seconds_if_back: Without


@dataclass(frozen=True, slots=True)
class Moment:
    """When it is looked: on the loop's clock, and by how long was worked. `guess_s`: seconds a picture, if unknown."""

    now: float
    worked_s: float
    guess_s: float


@dataclass(frozen=True, slots=True)
class _Group:
    """Requests that the same lanes can make with the same files loaded, and that may go, or may not."""

    lanes: frozenset[Lane]
    affinity: str
    may_go: bool


@dataclass(frozen=True, slots=True)
class _Crowd:
    """All that waits: its groups, and the group of each number."""

    groups: Sequence[_Group]
    group_of: Mapping[int, int]


class Watch:
    """Looks at the queue and the lanes, all but the `target` of the overflow; remembers since when which was away."""

    def __init__(self, lanes: Sequence[Lane], target: Lane | None, speeds: Speeds, health: Health) -> None:
        self._lanes = [lane for lane in lanes if lane is not target]
        self._target = target
        self._speeds = speeds
        self._health = health
        self._away_since: dict[tuple[str, str], float] = {}

    def is_open(self, now: float) -> bool:
        """Whether the overflow's lane takes anything now, if only one picture that tries it."""
        lane = self._target
        return lane is not None and lane.is_up and not lane.gone and self._health.is_counted_on(lane.name, "", now)

    def look(self, lines: Iterable[Line], at_work: Sequence[PlannedRequest], moment: Moment) -> Outlook:
        """How things stand now."""
        groups: dict[_Group, int] = {}
        queued = []
        for lanes, affinity, tickets in lines:
            free = lanes - {self._target}
            for ticket in tickets:
                group = groups.setdefault(_Group(free, affinity, ticket.may_go), len(groups))
                queued.append((-ticket.priority, ticket.number, ticket, group))
        queued.sort(key=lambda one: one[:2])
        away = self._away(groups, moment.now)
        here = [frozenset(lane for lane in group.lanes if (lane, group.affinity) not in away) for group in groups]
        waiting = [
            Waiting(number, ticket.planned, group, ticket.may_go, is_stranded=not here[group])
            for _, number, ticket, group in queued
        ]
        crowd = _Crowd(list(groups), {one.number: one.group for one in waiting})
        back = [frozenset(lane for lane in group.lanes if not lane.gone) for group in groups]
        return Outlook(
            worked_s=moment.worked_s,
            waiting=waiting,
            at_work=at_work,
            away={lane.name: why for (lane, _), why in away.items()},
            is_guess=not self._is_known,
            seconds=self._without(crowd, here, moment),
            seconds_if_back=self._without(crowd, back, moment),
        )

    @property
    def _is_known(self) -> bool:
        return any(self._speeds.knows(lane.name) for lane in self._lanes)

    def _away(self, groups: Iterable[_Group], now: float) -> dict[tuple[Lane, str], str]:
        """By lane and affinity, what has not been of use for a while, with the reason."""
        return {
            (lane, group.affinity): lane.fault or self._health.reason(lane.name, group.affinity)
            for group in groups
            for lane in group.lanes
            if self._is_away(lane, group.affinity, now)
        }

    def _is_away(self, lane: Lane, affinity: str, now: float) -> bool:
        place = (lane.name, affinity)
        if lane.is_up and not lane.gone and not self._health.reason(*place):
            self._away_since.pop(place, None)
            return False
        return lane.gone or now - self._away_since.setdefault(place, now) >= AWAY_S

    def _without(self, crowd: _Crowd, able: Sequence[frozenset[Lane]], moment: Moment) -> Without:
        """How long the lanes need if `able` (by group) can be counted on.

        What nobody can make and what may not go either holds nothing up.
        """
        counts = Counter(crowd.group_of.values())
        counted = [n for n, group in enumerate(crowd.groups) if able[n] or group.may_go]
        lanes = [lane for lane in self._lanes if any(lane in able[n] for n in counted)]
        free = [self._free_in(lane, moment) for lane in lanes]
        seconds = {n: [self._seconds(lane, crowd.groups[n], able[n], moment) for lane in lanes] for n in counted}
        loads = {n: [self._load_seconds(lane, crowd.groups[n].affinity) for lane in lanes] for n in counted}

        def without(numbers: Collection[int]) -> float:
            gone = Counter(crowd.group_of[number] for number in numbers)
            left = [n for n in counted if counts[n] > gone[n]]
            if any(not able[n] for n in left):
                return inf
            if not left:
                return max(free, default=0.0)
            rest = Rest(
                free,
                list(zip(*(seconds[n] for n in left), strict=True)),
                list(zip(*(loads[n] for n in left), strict=True)),
                [counts[n] - gone[n] for n in left],
            )
            return max(rest.end(lane, share) for lane, share in enumerate(assign(rest)))

        return without

    def _free_in(self, lane: Lane, moment: Moment) -> float:
        """Seconds until the lane is done with what it holds."""
        if self._is_known:
            return max(0.0, lane.state(moment.now, self._speeds).free_at - moment.now)
        begun = (0.0 if work.began is None else moment.now - work.began for work in lane.work)
        return sum(max(0.0, moment.guess_s - seconds) for seconds in begun) / lane.at_once

    def _seconds(self, lane: Lane, group: _Group, able: frozenset[Lane], moment: Moment) -> float:
        if lane not in able:
            return inf
        each = self._speeds.seconds(lane.name, group.affinity) if self._is_known else moment.guess_s
        return each / lane.at_once

    def _load_seconds(self, lane: Lane, affinity: str) -> float:
        is_short = lane.loaded == affinity or not self._is_known
        return 0.0 if is_short else self._speeds.load_seconds(lane.name, affinity)
