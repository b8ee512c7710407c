"""Seeded fleets and campaigns for `fleet.py`, and below what no schedule of them can come."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

Outages = tuple[tuple[float, float], ...]  # from, until; inf for a worker that dies
PRECISION = 0.0005  # of a bound that is searched for
STEP = 1.05


@dataclass(frozen=True)
class Request:
    """One picture: when it comes (s), of which model, and how much longer than usual it takes."""

    at: float
    model: int
    factor: float = 1.0


@dataclass(frozen=True)
class Trace:
    """Workers by speed, models by seconds a picture at speed 1 and seconds to load (on any worker), and requests.

    A worker has nothing loaded at first and after an outage; it keeps what it loaded last and no more.
    """

    seed: int
    speeds: tuple[float, ...]
    seconds: tuple[float, ...]
    loads: tuple[float, ...]
    requests: tuple[Request, ...]
    outages: tuple[Outages, ...]

    @property
    def work(self) -> float:
        """Seconds that all pictures take at speed 1, without loads."""
        return self.work_from(0.0)

    def work_from(self, at: float) -> float:
        """The same of those that come at `at` or later."""
        return math.fsum(self.seconds[one.model] * one.factor for one in self.requests if one.at >= at)


def steady(seed: int) -> Trace:
    """2 to 32 workers of 0.25 to 2 times the usual speed (as many twice as slow as twice as fast), 1 to 6 models of
    1 to 6 s a picture and 5 to 25 s to load, 100 to 800 requests, grouped by model or mixed.
    """
    chance = random.Random(seed)
    workers, models, count = chance.randint(2, 32), chance.randint(1, 6), chance.randint(100, 800)
    speeds = [2 ** chance.uniform(-2, 1) for _ in range(workers)]
    seconds = [chance.uniform(1, 6) for _ in range(models)]
    loads = [chance.uniform(5, 25) for _ in range(models)]
    chosen = chance.choices(range(models), [chance.uniform(0.05, 1) for _ in range(models)], k=count)
    if chance.random() < 0.5:
        chosen.sort()
    requests = tuple(Request(0.0, model) for model in chosen)
    return Trace(seed, tuple(speeds), tuple(seconds), tuple(loads), requests, ((),) * workers)


def uneven(seed: int) -> Trace:
    """As `steady`, but a picture takes up to a fifth more or less than usual."""
    trace, chance = steady(seed), random.Random(-seed)
    return replace(trace, requests=tuple(replace(one, factor=chance.uniform(0.8, 1.2)) for one in trace.requests))


def arriving(seed: int) -> Trace:
    """As `steady`, but the requests come in up to 20 drops, within 0.3 to 0.9 of the time that they need at least."""
    trace, chance = steady(seed), random.Random(-seed)
    span = chance.uniform(0.3, 0.9) * lower_bound(trace)
    times = sorted([0.0, *(chance.uniform(0, span) for _ in range(chance.randint(4, 19)))])
    drops = sorted(chance.randrange(len(times)) for _ in trace.requests)
    requests = tuple(replace(one, at=times[drop]) for one, drop in zip(trace.requests, drops, strict=True))
    return replace(trace, requests=requests)


def failing(seed: int) -> Trace:
    """As `steady`, but one in three workers, at least one and never all, dies at some time or fails three times."""
    trace, chance = steady(seed), random.Random(-seed)
    span, workers = lower_bound(trace), len(trace.speeds)
    unlucky = set(chance.sample(range(workers), max(1, workers // 3)))
    outages = [_outages(chance, span) if worker in unlucky else () for worker in range(workers)]
    return replace(trace, outages=tuple(outages))


def _outages(chance: random.Random, span: float) -> Outages:
    if chance.random() < 0.5:
        return ((chance.uniform(0, span), math.inf),)
    found: list[tuple[float, float]] = []
    for start in sorted(chance.uniform(0, span) for _ in range(3)):
        if not found or start > found[-1][1]:
            found.append((start, start + chance.uniform(5, 20)))
    return tuple(found)


SCENARIOS: dict[str, Callable[[int], Trace]] = {
    "steady": steady,
    "uneven": uneven,
    "arriving": arriving,
    "failing": failing,
}


def lower_bound(trace: Trace) -> float:
    """Seconds below which no schedule ends; the larger of these, each for all that comes at some time or later.

    1. Each time that a worker comes up it must load something before its first picture, and that takes it as long as
       the cheapest load: the time that is left to all workers, times their speeds, must be as much as the work.
       Without outages: work / sum of speeds + cheapest load.
    2. Each model must be loaded at least once, and while a worker loads it makes nothing. That costs least on the
       slowest: (work + sum of loads x slowest speed) / sum of speeds.
    """
    used = {one.model for one in trace.requests}
    loads = [trace.loads[model] for model in used]
    every_model = (trace.work + sum(loads) * min(trace.speeds)) / sum(trace.speeds)
    bound = max(every_model, _time_for(trace, trace.work, min(loads)))
    for at in {one.at for one in trace.requests}:
        bound = max(bound, at + trace.work_from(at) / sum(trace.speeds))
    return bound


def _time_for(trace: Trace, work: float, load: float) -> float:
    """When workers that load once whenever they come up have done `work`."""

    def done(until: float) -> float:
        return sum(
            speed * max(0.0, min(end, until) - start - load)
            for speed, outages in zip(trace.speeds, trace.outages, strict=True)
            for start, end in _up(outages)
        )

    return least(lambda until: done(until) >= work, load + work / sum(trace.speeds))


def _up(outages: Outages) -> Iterable[tuple[float, float]]:
    """When a worker is up: from, until."""
    start = 0.0
    for down, up in outages:
        yield start, down
        start = up
    if start < math.inf:
        yield start, math.inf


def least(holds: Callable[[float], bool], low: float) -> float:
    """The least value, not below `low`, from which `holds` holds; rounded down, so that it is a bound."""
    if holds(low):
        return low
    high = low * STEP
    while not holds(high):
        low, high = high, high * STEP
    while high - low > PRECISION * high:
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return low
