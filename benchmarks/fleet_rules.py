"""The rules that others go by, on the workers of a trace: who takes what is all that differs.

A worker makes one picture at a time, in the order in which it was given them, and has one more ahead. Every rule hears
at once of a worker that dies or comes back, and what that one held is made again.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from benchmarks.fleet_traces import Trace

SLOTS = 2
FETCH_S = 0.1  # from the end of a picture until its slot is free; the worker goes on with what is ahead meanwhile
SWARM_PATIENCE_S = 1.5
SWARM_WEIGHT_S = 10.0  # so many seconds of waiting weighs a waiting request

Event = Literal["came", "made", "fetched", "down", "up", "ask"]


@dataclass
class Worker:
    """`held`: requests by number, the first under way; `fetched`: pictures that are being fetched. `last`: the model
    of what it was given last. `lives` counts its deaths, so that what it was to end then is forgotten.
    """

    number: int
    held: deque[int] = field(default_factory=deque)
    fetched: deque[int] = field(default_factory=deque)
    loaded: int | None = None
    last: int | None = None
    up: bool = True
    lives: int = 0
    released: float = -math.inf

    @property
    def has_room(self) -> bool:
        """Whether it has a free slot."""
        return self.up and len(self.held) + len(self.fetched) < SLOTS


@dataclass(frozen=True)
class Rule:
    """Requests wait in lines (`line` says in which); `choose` names the line from which a worker takes, if any."""

    line: Callable[[Fleet, int], Hashable]
    choose: Callable[[Fleet, Worker], Hashable | None]


class Fleet:
    """The workers of a trace under a rule. `run` gives the seconds until the last picture is fetched."""

    def __init__(self, trace: Trace, rule: Rule) -> None:
        self.trace, self.rule = trace, rule
        self.now = 0.0
        self.workers = [Worker(number) for number in range(len(trace.speeds))]
        self.lines: dict[Hashable, deque[int]] = {}
        self.since: dict[Hashable, float] = {}
        self._events: list[tuple[float, int, Event, int, int]] = []
        self._order = count()
        for number, request in enumerate(trace.requests):
            self.at(request.at, "came", number)
        for worker, outages in enumerate(trace.outages):
            for down, up in outages:
                self.at(down, "down", worker)
                self.at(up, "up", worker)

    def at(self, time: float, event: Event, subject: int = 0, life: int = 0) -> None:
        """Let something happen at `time`."""
        if time < math.inf:
            heapq.heappush(self._events, (time, next(self._order), event, subject, life))

    def run(self) -> float:
        """Seconds from the start to the last picture."""
        missing, end = len(self.trace.requests), 0.0
        while missing:
            self.now, _, event, subject, life = heapq.heappop(self._events)
            if event in {"made", "fetched"} and life != self.workers[subject].lives:
                continue
            if event == "fetched":
                missing, end = missing - 1, self.now
            self._happen(event, subject)
            if not self._events or self._events[0][0] > self.now or event == "fetched":
                self._ask([self.workers[subject]] if event == "fetched" else self.workers)
        return end

    def model(self, number: int) -> int:
        """Of which model the request is."""
        return self.trace.requests[number].model

    def _happen(self, event: Event, subject: int) -> None:
        if event == "came":
            self._wait(subject)
        elif event == "made":
            self._made(self.workers[subject])
        elif event == "fetched":
            self.workers[subject].fetched.popleft()
            self.workers[subject].released = self.now
        elif event in {"down", "up"}:
            self._turn(self.workers[subject], up=event == "up")

    def _wait(self, number: int) -> None:
        key = self.rule.line(self, number)
        if not self.lines.setdefault(key, deque()):
            self.since[key] = self.now
        self.lines[key].append(number)

    def _made(self, worker: Worker) -> None:
        worker.fetched.append(worker.held.popleft())
        worker.loaded = self.model(worker.fetched[-1])
        self.at(self.now + FETCH_S, "fetched", worker.number, worker.lives)
        self._begin(worker)

    def _begin(self, worker: Worker) -> None:
        if worker.held:
            request = self.trace.requests[worker.held[0]]
            load = 0.0 if worker.loaded == request.model else self.trace.loads[request.model]
            seconds = self.trace.seconds[request.model] * request.factor / self.trace.speeds[worker.number]
            self.at(self.now + load + seconds, "made", worker.number, worker.lives)

    def _turn(self, worker: Worker, *, up: bool) -> None:
        """A worker dies or comes back: what it held, or had made and was not fetched yet, waits again."""
        waiting = sorted([*worker.held, *worker.fetched, *(number for line in self.lines.values() for number in line)])
        worker.up, worker.loaded, worker.last = up, None, None
        worker.lives += 1
        worker.held.clear()
        worker.fetched.clear()
        self.lines.clear()
        for number in waiting:
            self._wait(number)

    def _ask(self, workers: Iterable[Worker]) -> None:
        for worker in sorted(workers, key=lambda worker: worker.released):
            while worker.has_room and (key := self.rule.choose(self, worker)) is not None:
                number = self.lines[key].popleft()
                if not self.lines[key]:
                    del self.lines[key]
                worker.held.append(number)
                worker.last = self.model(number)
                if len(worker.held) == 1:
                    self._begin(worker)


def _by_model(fleet: Fleet, number: int) -> Hashable:
    return fleet.model(number)


def _in_turn(fleet: Fleet, number: int) -> Hashable:
    """Request n is for worker n, n + 1 if that is down, and so on."""
    workers = fleet.workers
    places = (workers[(number + step) % len(workers)] for step in range(len(workers)))
    return next((worker.number for worker in places if worker.up), number % len(workers))


def _own(fleet: Fleet, worker: Worker) -> Hashable | None:
    return worker.number if worker.number in fleet.lines else None


def _oldest(fleet: Fleet, _worker: Worker) -> Hashable | None:
    return min(fleet.lines, key=lambda key: fleet.lines[key][0], default=None)


def _loaded(fleet: Fleet, worker: Worker) -> Hashable | None:
    return worker.last if worker.last in fleet.lines else _oldest(fleet, worker)


def _pressure(fleet: Fleet, worker: Worker) -> Hashable | None:
    """As SwarmUI: what is loaded; else a worker that has drained loads the model with the highest pressure, which is
    10 x its waiting requests + seconds since the first; not within 1.5 s of that if another worker is free too. (That
    one model is loaded on one worker at a time there, which costs it more, is left out.)
    """
    if worker.last in fleet.lines:
        return worker.last
    if worker.held or worker.fetched or not fleet.lines:
        return None
    pressures = {key: SWARM_WEIGHT_S * len(line) + fleet.now - fleet.since[key] for key, line in fleet.lines.items()}
    model = max(pressures, key=pressures.__getitem__)
    patient_until = fleet.since[model] + SWARM_PATIENCE_S
    free = sum(other.has_room for other in fleet.workers)
    if free > 1 and fleet.now < patient_until:
        fleet.at(patient_until, "ask")
        return None
    return model


RULES = {
    "round-robin": Rule(_in_turn, _own),
    "least-busy": Rule(_by_model, _oldest),
    "loaded-first": Rule(_by_model, _loaded),
    "like SwarmUI": Rule(_by_model, _pressure),
}
