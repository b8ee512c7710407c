"""What a run would make and what it would take, before it starts: `assetline plan`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from assetline.plan.assignment import Rest, assign
from assetline.plan.budget import CostRange, Money, PaidQuote, quote_paid, total
from assetline.plan.campaign import CampaignPlan
from assetline.plan.fleet import Fleet, Workers
from assetline.plan.overflow import DOUBT_OF_GUESS, OverflowQuote
from assetline.plan.pace import AT_ONCE, PASS_SECONDS, Pace, service_seconds
from assetline.records import FPO_MODEL, PlannedRequest, Record

DEAREST_ROWS = 5
OFF_BY = 1.15  # so many times more or less may learned minutes be: what benchmarks/quote.py promises
OFF_BY_S = 5.0  # and so much is always possible: a service is asked every five seconds whether the last one has ended

Minutes = Literal["learned", "guess"]


class LaneQuote(Record):
    """One lane's share. `can_make` counts the pictures that it could make at all, `requests` those it would get.

    `minutes` are `learned` from earlier runs, or a first `guess`.
    """

    lane: str
    requests: int
    can_make: int
    minutes: float
    minutes_are: Minutes


class RowQuote(Record):
    """A row that costs much, in money or else in pictures."""

    row: str
    requests: int
    minutes: float
    cost_usd: CostRange


class MinuteRange(Record):
    """How long it may take."""

    low: float
    high: float


class Quote(Record):
    """`plan --json`. `requests` is `reused` + `to_make`; `minutes` of the whole is that of the slowest lane, or of
    this machine's own work on the pictures where that is more; without the overflow.

    `minutes_range` is what they are good for: wide for a guess, and a few seconds more or less at any rate.
    `cost_usd` is for all that is to be paid, whatever the caps say; `paid` says what fits, None where all is free;
    `overflow` what will probably go to Replicate beside that, None where it is off.
    """

    campaign: str
    rows: int
    requests: int
    reused: int
    to_make: int
    lanes: tuple[LaneQuote, ...]
    minutes: float
    minutes_range: MinuteRange
    minutes_are: Minutes
    cost_usd: CostRange
    dearest_rows: tuple[RowQuote, ...]
    paid: PaidQuote | None = None
    overflow: OverflowQuote | None = None


@dataclass(frozen=True)
class Known:
    """What is known of a run's lanes beyond their kinds: what each can make, how fast it was, what it costs. `cores` of
    this machine check and store the pictures.
    """

    fleet: Fleet = field(default_factory=lambda: Fleet(Workers(), {}))
    pace: Pace = field(default_factory=Pace)
    money: Money = field(default_factory=Money)
    cores: int = field(default_factory=lambda: os.cpu_count() or 1)


@dataclass(frozen=True)
class _Group:
    """Requests that the same lanes can make, with the same files loaded."""

    lanes: tuple[str, ...]
    affinity: str


@dataclass
class _Share:
    """What one lane gets."""

    kind: str
    requests: int = 0
    can_make: int = 0
    seconds: float = 0.0
    guessed: bool = False


def quote(
    plan: CampaignPlan, existing_keys: Collection[str], lanes: Mapping[str, str], known: Known | None = None
) -> Quote:
    """What `plan` would take. `existing_keys` are the requests whose pictures are stored already.

    `lanes` maps each lane's name to its kind (`fpo`, `comfyui`, `replicate`). Two requests of the sheet with one key
    are made once, so that the second counts as reused.
    """
    known = known or Known()
    to_make = fresh_requests(plan.requests, existing_keys)
    groups = {planned.request.key: _group(planned, lanes, known.fleet) for planned in to_make}
    counts = Counter(groups.values())
    shares = _share_out(counts, lanes, known.pace)
    typical = {group: _typical(group, lanes, known.pace) for group in counts}
    quotes = tuple(_lane_quote(name, share) for name, share in shares.items())
    seconds, basis = _whole_seconds(shares, known.cores), _as_a_whole(quotes)
    return Quote(
        campaign=plan.campaign,
        rows=len(plan.rows),
        requests=len(plan.requests),
        reused=len(plan.requests) - len(to_make),
        to_make=len(to_make),
        lanes=quotes,
        minutes=_minutes(seconds),
        minutes_range=_range(seconds, basis),
        minutes_are=basis,
        cost_usd=total(known.money.price_of(planned) for planned in to_make),
        dearest_rows=_dearest(to_make, lambda planned: typical[groups[planned.request.key]], known.money),
        paid=quote_paid(to_make, known.money),
    )


def local_seconds(to_make: Sequence[PlannedRequest], lanes: Mapping[str, str], known: Known) -> float:
    """How long the ComfyUI workers need for their part of `to_make`, if nobody helps them."""
    workers = {name: kind for name, kind in lanes.items() if kind == "comfyui"}
    groups = Counter(_group(planned, workers, known.fleet) for planned in to_make if planned.request.workflow)
    return max((share.seconds for share in _share_out(groups, workers, known.pace).values()), default=0.0)


def fresh_requests(requests: Iterable[PlannedRequest], existing_keys: Collection[str]) -> list[PlannedRequest]:
    """Requests that are neither stored nor the same as an earlier one."""
    known, fresh = set(existing_keys), []
    for planned in requests:
        if planned.request.key not in known:
            known.add(planned.request.key)
            fresh.append(planned)
    return fresh


def _group(planned: PlannedRequest, lanes: Mapping[str, str], fleet: Fleet) -> _Group:
    kind = "comfyui" if planned.request.workflow else "fpo" if planned.request.model == FPO_MODEL else "replicate"
    unfit = fleet.unfit(planned)
    able = tuple(name for name, other in lanes.items() if other == kind and name not in unfit)
    return _Group(able, fleet.affinity(planned))


def _share_out(groups: Mapping[_Group, int], lanes: Mapping[str, str], pace: Pace) -> dict[str, _Share]:
    """Shared out as the dispatcher does it: so that the last one ends as early as can be, loads and all."""
    shares = {name: _Share(kind) for name, kind in lanes.items()}
    possible = [group for group in groups if group.lanes]
    parts = _parts(possible, groups, lanes, pace)
    for (name, share), part in zip(shares.items(), parts, strict=True):
        share.can_make = sum(count for group, count in groups.items() if name in group.lanes)
        share.requests = sum(part)
        given = [(group, count) for group, count in zip(possible, part, strict=True) if count]
        found = [(*pace.picture_seconds(name, share.kind, group.affinity), group, count) for group, count in given]
        share.guessed = not all(learned for _, learned, _, _ in found)
        if share.kind in AT_ONCE:
            times = [(s, pace.slow_seconds(name, share.kind, group.affinity), n) for s, _, group, n in found]
            share.seconds = service_seconds(sorted(times, reverse=True), share.kind)
        else:
            share.seconds = sum(pace.load_seconds(name, group.affinity) + n * s for s, _, group, n in found)
    return shares


def _parts(
    possible: Sequence[_Group], counts: Mapping[_Group, int], lanes: Mapping[str, str], pace: Pace
) -> Sequence[Sequence[int]]:
    """How many of each group each lane makes."""
    if not possible:
        return [[] for _ in lanes]
    rest = Rest(
        free=[0.0] * len(lanes),
        seconds=[
            [pace.more_seconds(name, kind, group.affinity) if name in group.lanes else inf for group in possible]
            for name, kind in lanes.items()
        ],
        loads=[[pace.load_seconds(name, group.affinity) for group in possible] for name in lanes],
        counts=[counts[group] for group in possible],
    )
    return assign(rest)


def _whole_seconds(shares: Mapping[str, _Share], cores: int) -> float:
    """How long all lanes need, and this machine for what they make: pictures are checked and stored while they work."""
    slowest = max((share.seconds for share in shares.values()), default=0.0)
    return max(slowest, sum(share.requests for share in shares.values()) * PASS_SECONDS / cores)


def _lane_quote(name: str, share: _Share) -> LaneQuote:
    return LaneQuote(
        lane=name,
        requests=share.requests,
        can_make=share.can_make,
        minutes=_minutes(share.seconds),
        minutes_are="learned" if share.requests and not share.guessed else "guess",
    )


def _as_a_whole(quotes: Sequence[LaneQuote]) -> Minutes:
    """`learned` where that is so of every lane that gets anything."""
    working = [each for each in quotes if each.requests]
    return "learned" if working and all(each.minutes_are == "learned" for each in working) else "guess"


def _range(seconds: float, basis: Minutes) -> MinuteRange:
    if not seconds:
        return MinuteRange(low=0.0, high=0.0)
    times = OFF_BY if basis == "learned" else DOUBT_OF_GUESS
    low, high = min(seconds / times, seconds - OFF_BY_S), max(seconds * times, seconds + OFF_BY_S)
    return MinuteRange(low=_minutes(max(0.0, low)), high=_minutes(high))


def _typical(group: _Group, lanes: Mapping[str, str], pace: Pace) -> float:
    """Seconds of a picture on the quickest lane that can make it."""
    return min((pace.more_seconds(name, lanes[name], group.affinity) for name in group.lanes), default=0.0)


def _dearest(
    to_make: Iterable[PlannedRequest], seconds_of: Callable[[PlannedRequest], float], money: Money
) -> tuple[RowQuote, ...]:
    """The rows that cost most; among those that cost nothing the ones with the most pictures."""
    rows: dict[str, list[PlannedRequest]] = {}
    for planned in to_make:
        rows.setdefault(planned.row, []).append(planned)
    quotes = [
        RowQuote(
            row=row,
            requests=len(each),
            minutes=_minutes(sum(map(seconds_of, each))),
            cost_usd=total(map(money.price_of, each)),
        )
        for row, each in rows.items()
    ]
    return tuple(sorted(quotes, key=lambda row: (-row.cost_usd.high, -row.requests))[:DEAREST_ROWS])


def _minutes(seconds: float) -> float:
    return round(seconds / 60, 2)
