"""Who takes what: the real dispatcher on a virtual clock, against a lower bound and the rules of others.

    python -m benchmarks.fleet [--json] [--traces 200] [--only steady]

Figures are the time until the last picture over a bound that no schedule comes below (`fleet_traces.lower_bound`). All
make the same pictures on the same workers. `speeds known`: from the ledger of earlier runs, which is what a campaign
meets but on its first day; `speeds unknown`: that day. For steady traces a tighter bound (`fleet_bound`) says how much
of the rest any schedule could win. Exit code 1 if a promise does not hold. About two minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import math
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import groupby
from typing import Any

from assetline.dispatch import Dispatcher, DispatchOptions, Lane, Speed, Speeds, Ticket
from assetline.dispatch.scheduler import Scheduler
from assetline.dispatch.situation import Group, LaneState, Situation
from assetline.errors import AssetlineError, BackendUnavailable
from assetline.records import ImageRequest, Made, Outcome, PlannedRequest, Render
from benchmarks.fleet_bound import tight_bound
from benchmarks.fleet_rules import FETCH_S, RULES, SLOTS, Fleet
from benchmarks.fleet_traces import SCENARIOS, Trace, lower_bound
from benchmarks.virtual_time import run_virtual

MEDIAN, P90 = 1.05, 1.35  # at most, over the bound, on steady traces with speeds known
LEAST_SHARE = 0.95  # of the traces of each kind on which it is no worse than each rule
MOST_MS = 1.0  # of CPU for a choice among 800 requests on 32 lanes
STATED, TIGHT = "the stated bound", "a tighter bound"
KNOWN, UNKNOWN = "assetline, speeds known", "assetline, speeds unknown"
EQUAL = 1 + 1e-6


class VirtualWorker:
    """A worker of a trace as a backend: one picture after another, in the order in which they were sent."""

    def __init__(self, number: int, trace: Trace) -> None:
        self.name = f"gpu{number}"
        self._trace = trace
        self._speed = trace.speeds[number]
        self._outages = trace.outages[number]
        self._busy_until = 0.0
        self._loaded: int | None = None

    def suits(self, planned: PlannedRequest) -> bool:
        """Everything."""
        return planned is not None

    async def probe(self) -> None:
        """Raises BackendUnavailable while it is down."""
        if self._down_at(_now()):
            raise BackendUnavailable(f"{self.name} is down", lane=self.name)

    async def generate(self, planned: PlannedRequest, attempt: int) -> Render:
        """Wait until the worker has made it, and it has been fetched. Raises BackendUnavailable if it dies before."""
        await self.probe()
        seconds, end = self._queue(planned)
        if outage := next((down for down, _ in self._outages if _now() < down < end + FETCH_S), None):
            await _until(outage)
            self._busy_until, self._loaded = 0.0, None
            await self.probe()
        await _until(end + FETCH_S)
        return Render(data=b"", seed=0, lane=self.name, job_id=f"{planned.row}.{attempt}", seconds=seconds)

    def _queue(self, planned: PlannedRequest) -> tuple[float, float]:
        """Put it behind what is there: the seconds that it takes with its load, and when it is done."""
        request = self._trace.requests[planned.row_number]
        load = 0.0 if self._loaded == request.model else self._trace.loads[request.model]
        seconds = load + self._trace.seconds[request.model] * request.factor / self._speed
        self._busy_until = max(self._busy_until, _now()) + seconds
        self._loaded = request.model
        return seconds, self._busy_until

    def _down_at(self, now: float) -> bool:
        return any(down <= now < up for down, up in self._outages)

    async def close(self) -> None:
        """Nothing to give back."""


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - _now()))


@cache
def _planned(number: int) -> PlannedRequest:
    request = ImageRequest(prompt="a picture", width=64, height=64, seed=number, workflow="any")
    return PlannedRequest(row=f"R{number}", row_number=number, variant=1, size="64x64", request=request)


async def _make(ticket: Ticket) -> Made:
    """The shortest asset step: generate until it is there."""
    while True:
        try:
            await ticket.generate()
        except AssetlineError as error:
            await ticket.again(error)
        else:
            return Made(Outcome.of(ticket.planned, "stored"))


def makespan(trace: Trace, *, known: bool) -> float:
    """Seconds on the virtual clock until the dispatcher has the last picture. Raises RuntimeError if one is missing."""
    return float(run_virtual(_dispatch(trace, known=known)))


async def _dispatch(trace: Trace, *, known: bool) -> float:
    lanes = [Lane(VirtualWorker(number, trace), SLOTS, ahead=SLOTS - 1) for number in range(len(trace.speeds))]
    options = DispatchOptions(
        affinity=lambda planned: f"model{trace.requests[planned.row_number].model}",
        speeds=Speeds(_ledger(trace) if known else ()),
    )
    drops = [
        (at, [_planned(number) for number, _ in drop])
        for at, drop in groupby(enumerate(trace.requests), key=lambda numbered: numbered[1].at)
    ]
    dispatcher = Dispatcher(lanes, options)
    ends: list[float] = []
    await dispatcher.run(drops[0][1], _make, lambda _: ends.append(_now()), _later(drops[1:]))
    missing = sum(made.outcome.status != "stored" for made in dispatcher.made.values())
    if missing or len(ends) != len(trace.requests):
        raise RuntimeError(f"trace {trace.seed}: {missing} of {len(ends)} pictures are not there")
    return max(ends)


async def _later(drops: Sequence[tuple[float, list[PlannedRequest]]]) -> AsyncIterator[list[PlannedRequest]]:
    for at, drop in drops:
        await _until(at)
        yield drop


def _ledger(trace: Trace) -> list[Speed]:
    """What earlier runs have learned: each worker's usual seconds of each model."""
    return [
        Speed(f"gpu{number}", f"model{model}", seconds / speed, trace.loads[model], samples=9)
        for number, speed in enumerate(trace.speeds)
        for model, seconds in enumerate(trace.seconds)
    ]


@dataclass(frozen=True)
class Table:
    """One kind of trace: seconds by who made the pictures and trace, and the bounds."""

    kind: str
    seconds: dict[str, list[float]]
    bounds: dict[str, list[float]]

    def line(self, name: str, bound: str) -> dict[str, Any]:
        """What is shown of one of them over one of the bounds."""
        ratios = sorted(a / b for a, b in zip(self.seconds[name], self.bounds[bound], strict=True))
        return {
            "median": round(_quantile(ratios, 0.5), 3),
            "p90": round(_quantile(ratios, 0.9), 3),
            "worst": round(ratios[-1], 2),
        }

    def no_worse(self, than: str, name: str) -> float:
        """The share of traces on which `name` ends no later than `than`."""
        pairs = list(zip(self.seconds[name], self.seconds[than], strict=True))
        return round(sum(own <= other * EQUAL for own, other in pairs) / len(pairs), 3)

    def rows(self) -> list[dict[str, Any]]:
        """One row for each maker and bound."""
        return [
            {"kind": self.kind, "who": name, "over": bound, **self.line(name, bound)}
            | {own: self.no_worse(name, own) for own in self.seconds if name in RULES and own not in RULES}
            for bound in self.bounds
            for name in self.seconds
            if bound == STATED or name not in RULES
        ]


def _quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie, between two of them in proportion."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def measure(kind: str, count: int) -> Table:
    """Run everything on the first `count` traces of a kind."""
    traces = [SCENARIOS[kind](seed) for seed in range(count)]
    seconds = {KNOWN: [makespan(trace, known=True) for trace in traces]}
    if kind != "uneven":  # half a minute that would say nothing new
        seconds[UNKNOWN] = [makespan(trace, known=False) for trace in traces]
    for name, rule in RULES.items():
        seconds[name] = [Fleet(trace, rule).run() for trace in traces]
    bounds = {STATED: [lower_bound(trace) for trace in traces]}
    if kind == "steady":
        bounds[TIGHT] = [tight_bound(trace) for trace in traces]
    return Table(kind, seconds, bounds)


def choice_ms(*, anew: bool) -> float:
    """CPU of one choice (ms) among 800 requests of 8 models on 32 lanes, on average; `anew`: each makes a new plan."""
    names = frozenset(f"gpu{number}" for number in range(32))
    models = {f"model{number}": 1.0 + number / 2 for number in range(8)}
    speeds = Speeds(
        Speed(name, model, seconds * (0.5 + int(name[3:]) / 16), 15.0, samples=9)
        for name in names
        for model, seconds in models.items()
    )
    scheduler, lanes, spent = Scheduler(speeds), {name: LaneState(name, 0.0, "") for name in names}, 0.0
    left = dict.fromkeys(models, 800 // len(models))
    for _ in range(800):
        lane = min(lanes.values(), key=lambda lane: lane.free_at)
        groups = [Group(names, model, 0, count, 0, 0.0) for model, count in left.items() if count]
        states = [replace(one, free_at=max(lane.free_at, one.free_at)) for one in lanes.values()]
        if anew:
            scheduler.forget()
        began = time.process_time()
        group = scheduler.choose(lane, lane.free_at, partial(Situation, groups, states)) or groups[0]
        spent += time.process_time() - began
        load = 0.0 if lane.loaded == group.affinity else speeds.load_seconds(lane.name, group.affinity)
        free_at = lane.free_at + load + speeds.seconds(lane.name, group.affinity)
        lanes[lane.name] = replace(lane, free_at=free_at, loaded=group.affinity)
        left[group.affinity] -= 1
    return round(spent * 1000 / 800, 3)


def broken(tables: Sequence[Table], cost_ms: float) -> list[str]:
    """The promises that do not hold, in words."""
    found = [] if cost_ms <= MOST_MS else [f"a choice takes {cost_ms} ms of CPU, more than {MOST_MS}"]
    for table in tables:
        line = table.line(KNOWN, STATED)
        if table.kind == "steady" and (line["median"] > MEDIAN or line["p90"] > P90):
            found.append(f"steady: {line['median']} and {line['p90']}, more than {MEDIAN} and {P90}")
        shares = {rule: table.no_worse(rule, KNOWN) for rule in RULES}
        found += [
            f"{table.kind}: no worse than {rule} on {share:.1%} of the traces, under {LEAST_SHARE:.0%}"
            for rule, share in shares.items()
            if share < LEAST_SHARE
        ]
    return found


def show(tables: Sequence[Table]) -> None:
    """Print the table for people."""
    print(f"{'':38}{'median':>8}{'p90':>8}{'worst':>8}{'  assetline no worse: known':>28}{'unknown':>9}")
    for table in tables:
        print(table.kind)
        for row in table.rows():
            name = row["who"] if row["over"] == STATED else f"{row['who'].split(', ')[1]}, over {row['over']}"
            shares = "".join(f"{row[own]:>{width}.1%}" for own, width in ((KNOWN, 28), (UNKNOWN, 9)) if own in row)
            print(f"  {name:36}{row['median']:8.3f}{row['p90']:8.3f}{row['worst']:8.2f}{shares}")


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    parser.add_argument("--traces", type=int, default=200, help="of each kind")
    parser.add_argument("--only", choices=SCENARIOS, help="one kind")
    options = parser.parse_args()
    logging.getLogger("assetline").setLevel(logging.CRITICAL)  # workers that fail are the point of some traces
    tables = [measure(kind, options.traces) for kind in ([options.only] if options.only else SCENARIOS)]
    cost_ms, planning_ms = choice_ms(anew=False), choice_ms(anew=True)
    problems = broken(tables, cost_ms)
    if options.json:
        rows = [row for table in tables for row in table.rows()]
        print(json.dumps({"rows": rows, "choice_ms": cost_ms, "plan_ms": planning_ms, "broken": problems}, indent=1))
    else:
        show(tables)
        print(f"CPU of a choice (800 requests, 32 lanes): {cost_ms} ms, with a new plan {planning_ms} ms")
        print(*(f"BROKEN: {problem}" for problem in problems), sep="\n", end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
