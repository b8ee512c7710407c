"""The plan's minutes against what campaigns then take: twenty of them, on a clock that passes no time.

    python -m benchmarks.quote [--json] [--campaigns 20]

Each campaign's lanes make one first, which teaches the ledger their speeds; then `plan` quotes the second (another day,
another size and mix, nothing loaded), and the real dispatcher makes it. ComfyUI workers are scripted: 0.25 to 2 times
the usual speed, 1 to 5 models with loads, pictures that differ by a fifth. Replicate is the real lane against a
Replicate of our own that keeps the account's limit of 600 creates a minute. Pictures are checked and stored after that,
on two cores. Promise: minutes within 15 % on every campaign. Exit code 1 if it does not hold. About half a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, TypeVar, TypeVarTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the fakes live there

from fakes.fake_replicate import TOKEN, Fate
from fakes.replicate_virtual import VirtualReplicate
from pydantic import SecretStr

from assetline.backends.replicate.backend import ReplicateBackend
from assetline.backends.replicate.catalog import load_models
from assetline.backends.replicate.options import Clock, PaidScope, ReplicateSettings
from assetline.dispatch import Dispatcher, DispatchOptions, Lane, Speeds, Ticket
from assetline.errors import AssetlineError
from assetline.ledger import Caps, Ledger, open_ledger
from assetline.plan import CampaignPlan, Fleet, Known, Pace, Quote, Workers, quote
from assetline.plan.pace import AT_ONCE, LEAST_SECONDS
from assetline.records import ImageRequest, Made, Outcome, PlannedRequest
from assetline.sheet import Sheet
from assetline.workflow import load_workflows
from benchmarks.fleet import VirtualWorker
from benchmarks.fleet_traces import Request, Trace
from benchmarks.virtual_time import VirtualLoop

WITHIN = 0.15
CORES, PASS_S = 2, 0.04  # of checking and storing a picture
PER_MINUTE = 600.0
RAM = (
    "/dev/shm" if Path("/dev/shm").is_dir() else None
)  # the ledger waits for the disk at each step, which says nothing here
BEGINNING = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
WORKFLOWS = load_workflows(Path(__file__).parents[1] / "workflows")
MODELS = load_models()
PAID = ("flux-schnell", "sdxl", "imagen-4")  # those that the service has

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Loop(VirtualLoop):
    """The virtual loop, on which what would go to a thread is done at once: the clock must not jump meanwhile."""

    def run_in_executor(
        self,
        executor: Executor | None,  # noqa: ARG002  # asyncio's own signature
        func: Callable[[*Ts], T],
        *args: *Ts,
    ) -> asyncio.Future[T]:
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  # it belongs to whoever awaits it
            done.set_exception(error)
        return done


@dataclass(frozen=True)
class House:
    """The lanes of one house: its workers by speed, its models by seconds (a picture, a load), Replicate's too."""

    seed: int
    speeds: tuple[float, ...]
    seconds: tuple[float, ...]
    loads: tuple[float, ...]
    paid: dict[str, float]

    @property
    def lanes(self) -> dict[str, str]:
        """Kinds of lanes by name, as `plan` has them."""
        workers = {f"gpu{number}": "comfyui" for number in range(len(self.speeds))}
        return workers | ({"replicate": "replicate"} if self.paid else {})


@dataclass(frozen=True)
class Result:
    """A campaign: its lanes and models, pictures, what the plan said and what it took (s)."""

    seed: int
    workers: int
    models: int
    paid_models: int
    pictures: int
    paid: int
    told_s: float
    took_s: float

    @property
    def miss(self) -> float:
        """By how much the plan was off, as a share of what it took."""
        return self.told_s / self.took_s - 1


def house(seed: int) -> House:
    """Of three, one has workers alone, one Replicate alone, one both."""
    chance = random.Random(seed)
    workers = 0 if seed % 3 == 1 else chance.randint(1, 16)
    models = chance.randint(1, 5) if workers else 0
    paid = chance.sample(PAID, chance.randint(1, len(PAID))) if seed % 3 else []
    return House(
        seed,
        tuple(2 ** chance.uniform(-2, 1) for _ in range(workers)),
        tuple(chance.uniform(1, 12) for _ in range(models)),
        tuple(chance.uniform(5, 25) for _ in range(models)),
        {model: chance.choice([1.0, 4.0, 9.0, 25.0]) * chance.uniform(0.8, 1.2) for model in paid},
    )


def campaign(where: House, day: int) -> tuple[CampaignPlan, Trace]:
    """What is to be made on a day, and the same as a trace for the scripted workers."""
    chance = random.Random(100 * where.seed + day)
    local, paid = len(where.speeds) * chance.randint(12, 50), chance.randint(20, 200)
    makers: list[int | str] = []
    if where.seconds:
        makers += chance.choices(range(len(where.seconds)), [chance.uniform(0.2, 1) for _ in where.seconds], k=local)
    if where.paid:
        makers += chance.choices(list(where.paid), [chance.uniform(0.2, 1) for _ in where.paid], k=paid)
    chance.shuffle(makers)
    requests = tuple(_planned(number, maker, day) for number, maker in enumerate(makers))
    sheet = Sheet("campaign.csv", "campaign", sha256="", rows=(), problems=())
    trace = Trace(
        where.seed,
        where.speeds,
        where.seconds,
        where.loads,
        tuple(Request(0.0, maker if isinstance(maker, int) else 0, chance.uniform(0.8, 1.2)) for maker in makers),
        ((),) * len(where.speeds),
    )
    return CampaignPlan(f"day-{day}", sheet, (), requests, (), {}), trace


def _planned(number: int, maker: int | str, day: int) -> PlannedRequest:
    prompt = f"picture {number} of day {day}"
    if isinstance(maker, int):
        recipe: dict[str, Any] = {
            "workflow": "sdxl-txt2img",
            "parameters": {"checkpoint": f"model-{maker}.safetensors"},
        }
    else:
        recipe = {"model": MODELS[maker].ref, "parameters": MODELS[maker].complete({})}
    request = ImageRequest(prompt=prompt, width=1024, height=1024, seed=number, **recipe)
    return PlannedRequest(row=f"R{number}", row_number=number, variant=1, size="1:1", request=request)


class _Worker(VirtualWorker):
    """A scripted worker, which takes what has a workflow."""

    def suits(self, planned: PlannedRequest) -> bool:
        """Whether it is for ComfyUI."""
        return planned.request.workflow is not None


class _Service(VirtualReplicate):
    """Replicate with a time for each model, and pictures that differ by a fifth."""

    def __init__(self, where: House, clock: Callable[[], float], day: int) -> None:
        super().__init__(clock=clock, creates_per_min=PER_MINUTE)
        self._seconds = {MODELS[name].model: seconds for name, seconds in where.paid.items()}
        self._chance = random.Random(1000 * where.seed + day)

    def _accept(self, model: str, sent: dict[str, Any], headers: dict[str, str]) -> Any:
        self.fates.append(Fate(run_s=self._seconds[model] * self._chance.uniform(0.8, 1.2)))
        return super()._accept(model, sent, headers)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _wall() -> datetime:
    return BEGINNING + timedelta(seconds=_now())


async def _make_all(where: House, day: int, ledger: Ledger, fleet: Fleet) -> float:
    """Make a day's campaign with what the ledger knows, and keep what is learned; the seconds that it took."""
    plan, trace = campaign(where, day)
    speeds = Speeds(ledger.speeds())
    lanes = [Lane(_Worker(number, trace), 2, ahead=1) for number in range(len(where.speeds))]
    service = _Service(where, lambda: _wall().timestamp(), day)
    scope = PaidScope(plan.campaign, f"run-{day}", Caps(run=1000.0))
    told = ReplicateSettings(token=SecretStr(TOKEN), base_url=service.url)
    clock = Clock(now=_now, sleep=asyncio.sleep, wall=_wall)
    backend = ReplicateBackend(MODELS, ledger, scope, told, clock=clock, transport=service.transport())
    if where.paid:
        lanes.append(Lane(backend, AT_ONCE["replicate"], every_s=LEAST_SECONDS["replicate"], loads=False))
    options = DispatchOptions(affinity=fleet.affinity, speeds=speeds)
    cores = asyncio.Semaphore(CORES)

    async def make(ticket: Ticket) -> Made:
        while True:
            try:
                await ticket.generate()
            except AssetlineError as error:
                await ticket.again(error)
                continue
            async with cores:
                await asyncio.sleep(PASS_S)
            return Made(Outcome.of(ticket.planned, "stored"))

    began = _now()
    await Dispatcher(lanes, options).run(plan.requests, make, lambda _: None)
    took = _now() - began
    await backend.close()
    ledger.keep_speeds(speeds.rows())
    return took


def told(where: House, day: int, ledger: Ledger, fleet: Fleet) -> Quote:
    """What `plan` says of a day's campaign."""
    return quote(campaign(where, day)[0], [], where.lanes, Known(fleet, Pace(ledger.speeds())))


async def _both_days(where: House, folder: Path) -> Result:
    fleet = Fleet(Workers(), WORKFLOWS)
    ledger = open_ledger(f"sqlite:///{folder / 'ledger.db'}", clock=_wall)
    await _make_all(where, 1, ledger, fleet)
    offer = told(where, 2, ledger, fleet)
    took = await _make_all(where, 2, ledger, fleet)
    ledger.close()
    requests = campaign(where, 2)[0].requests
    return Result(
        where.seed,
        len(where.speeds),
        len(where.seconds),
        len(where.paid),
        len(requests),
        sum(one.request.workflow is None for one in requests),
        round(offer.minutes * 60, 1),
        round(took, 1),
    )


def measure(seed: int) -> Result:
    """One campaign, taught and quoted and made."""
    with tempfile.TemporaryDirectory(dir=RAM) as folder, asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(_both_days(house(seed), Path(folder)))


def show(results: Sequence[Result]) -> None:
    """Print the table for people."""
    header = "      workers  models  paid models  pictures  paid     plan     took   off by"
    print(header)
    for one in results:
        facts = f"{one.seed:>4}{one.workers:>9}{one.models:>8}{one.paid_models:>13}{one.pictures:>10}{one.paid:>6}"
        print(f"{facts}{one.told_s / 60:>8.1f}m{one.took_s / 60:>8.1f}m{one.miss:>+9.1%}")
    misses = [abs(one.miss) for one in results]
    print(f"median {median(misses):.1%}, worst {max(misses):.1%}, promised {WITHIN:.0%}")


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    parser.add_argument("--campaigns", type=int, default=20)
    options = parser.parse_args()
    logging.getLogger("assetline").setLevel(logging.CRITICAL)
    results = [measure(seed) for seed in range(options.campaigns)]
    if options.json:
        print(json.dumps([asdict(one) | {"miss": round(one.miss, 4)} for one in results], indent=1))
    else:
        show(results)
    return int(any(abs(one.miss) > WITHIN for one in results))


if __name__ == "__main__":
    sys.exit(main())
