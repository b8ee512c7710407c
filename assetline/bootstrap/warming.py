"""Each ComfyUI worker loads the models that it will begin a sheet with: chosen here, loaded by the lanes themselves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from assetline.backends import Warmable
from assetline.bootstrap.planning import Planning, lane_label, stored_keys
from assetline.bootstrap.running import COMFYUI_SLOTS, open_lanes
from assetline.bootstrap.workers import worker_urls
from assetline.dispatch import Dispatcher, DispatchOptions, Lane, LaneEvent, Speeds, Ticket
from assetline.errors import AssetlineError, BackendUnavailable, OptionError, SheetError
from assetline.plan import Fleet, Workers, fresh_requests
from assetline.records import Made, PlannedRequest, Render
from assetline.run_records import RunOptions
from assetline.settings import Settings
from assetline.workflow import Workflow
from assetline.workflow.models import files_of, is_model_file

log = logging.getLogger(__name__)

Say = Callable[[str], None]
REASONS_SAID = 3
NOTHING_LEFT = "nothing of this sheet is left for it"


@dataclass(frozen=True)
class WarmUp:
    """What is to be loaded: by worker, a request whose models it shall load. `first` lacks workers that have none.

    `silent` are those that did not answer, each with the reason; `to_make` counts the pictures that workers shall make.
    """

    planning: Planning
    workers: tuple[str, ...]
    silent: Mapping[str, str]
    first: Mapping[str, PlannedRequest]
    to_make: int


@dataclass(frozen=True)
class Warmed:
    """How it went on one worker. `models` is empty where nothing of the sheet is for it; `reason` says what failed."""

    worker: str
    models: str = ""
    seconds: float | None = None
    reason: str = ""
    answered: bool = True

    @property
    def why_not(self) -> str:
        """Why it has loaded nothing; empty if it has."""
        return "" if self.seconds is not None else self.reason or NOTHING_LEFT


@dataclass(frozen=True)
class WarmedUp:
    """How it went on every worker of a run, in the order of the lanes."""

    workers: tuple[Warmed, ...]
    to_make: int

    @property
    def ready(self) -> int:
        """How many workers have loaded what they begin with."""
        return sum(warmed.seconds is not None for warmed in self.workers)

    @property
    def failures(self) -> tuple[Warmed, ...]:
        """Those that did not answer or could not load; none where nothing is left to load."""
        return tuple(warmed for warmed in self.workers if warmed.reason and self.to_make)

    @property
    def is_answered(self) -> bool:
        """Whether any worker answered."""
        return any(warmed.answered for warmed in self.workers)

    def __str__(self) -> str:
        if not self.to_make:
            return "Nothing to load: this sheet has no picture left to make on a ComfyUI worker."
        workers = len(self.workers)
        return f"{self.ready} of {workers} worker{'' if workers == 1 else 's'} ready."

    @property
    def reasons(self) -> str:
        """What failed, a sentence for each worker; past the third they are counted."""
        failures = self.failures
        said = [f"{warmed.worker}: {warmed.reason}" for warmed in failures[:REASONS_SAID]]
        more = [f"And {len(failures) - REASONS_SAID} more."] if len(failures) > REASONS_SAID else []
        return " ".join((*said, *more))


async def plan_warm_up(planning: Planning, workers: Workers, options: RunOptions, settings: Settings) -> WarmUp:
    """Which worker shall load what, by what `workers` have told and what the store does not have yet.

    Raises SheetError for a sheet with errors, OptionError for a run without ComfyUI workers, StoreUnreachable.
    """
    labels = tuple(map(lane_label, worker_urls(options, settings)))
    if not labels:
        raise OptionError(
            "There is no ComfyUI worker to warm. Give one: --lane http://gpu1:8188 (or ASSETLINE_COMFYUI)."
        )
    if not planning.plan.ok:
        raise SheetError(planning.plan.problems)
    fresh = fresh_requests(planning.plan.requests, stored_keys(planning, options, settings))
    to_make = [planned for planned in fresh if planned.request.workflow in planning.workflows]
    answering = [label for label in labels if label not in workers.silent]
    first = await first_requests(answering, to_make, planning.fleet, _known_speeds(settings, labels))
    return WarmUp(planning, labels, workers.silent, first, len(to_make))


def _known_speeds(settings: Settings, lanes: Sequence[str]) -> Speeds:
    """What earlier runs have learned of these lanes, as the run will know it; nothing where no ledger tells."""
    from assetline.bootstrap.ledgers import open_existing  # noqa: PLC0415 - brings SQLAlchemy, which takes 0.3 s

    try:
        ledger = open_existing(settings)
        if ledger is None:
            return Speeds()
        with closing(ledger):
            return Speeds(row for row in ledger.speeds() if row.lane in lanes)
    except AssetlineError as error:
        log.warning("speeds of earlier runs are not known: reason=%s", error)
        return Speeds()


class _StandIn:
    """A worker as far as the dispatcher needs to know it. It is handed requests and makes nothing."""

    def __init__(self, name: str, fleet: Fleet) -> None:
        self.name = name
        self._fleet = fleet

    def suits(self, planned: PlannedRequest) -> bool:
        return self._fleet.suits(self.name, planned)

    async def probe(self) -> None:
        """It answers."""

    async def generate(self, planned: PlannedRequest, attempt: int) -> Render:  # noqa: ARG002  (it makes nothing)
        never: asyncio.Future[Render] = asyncio.get_running_loop().create_future()
        return await never

    async def close(self) -> None:
        """It holds nothing."""


async def first_requests(
    workers: Sequence[str], to_make: Sequence[PlannedRequest], fleet: Fleet, speeds: Speeds
) -> dict[str, PlannedRequest]:
    """What each worker will be given first: the dispatcher itself says so, to lanes that make nothing.

    No other rule comes to the same: sharing the models out by the number of their pictures met its choice on half of
    the workers (60 sheets of 1 to 5 models on 1 to 8 workers). A worker that gets nothing at first is left out.
    """
    by_label = {planned.label: planned for planned in to_make}
    first: dict[str, PlannedRequest] = {}
    handed_out = asyncio.Event()

    def listen(event: LaneEvent) -> None:
        if event.kind == "taken":  # all that have room are given something in one turn of the loop
            first.setdefault(event.lane, by_label[event.label])
            handed_out.set()

    lanes = [Lane(_StandIn(name, fleet), slots=COMFYUI_SLOTS, ahead=COMFYUI_SLOTS - 1) for name in workers]
    dispatcher = Dispatcher(lanes, DispatchOptions(affinity=fleet.affinity, speeds=speeds, listen=listen))
    running = asyncio.create_task(dispatcher.run(to_make, _make, lambda _made: None))
    waiting = asyncio.create_task(handed_out.wait())
    try:
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        running.cancel()
        waiting.cancel()
        await asyncio.wait({running, waiting})
    return {name: first[name] for name in workers if name in first}


async def _make(_ticket: Ticket) -> Made:
    never: asyncio.Future[Made] = asyncio.get_running_loop().create_future()
    return await never


async def warm_up(plan: WarmUp, settings: Settings, say: Say) -> WarmedUp:
    """Let all workers load at the same time; `say` hears of each as it begins and ends. Cancelling takes it back."""
    found: dict[str, Warmed] = {}
    if plan.first:
        lanes = open_lanes(plan.planning, settings)
        try:
            chosen = [(lane, plan.first[lane.name]) for lane in lanes if lane.name in plan.first]
            warmings = (_warm(lane, planned, plan.planning.workflows, say) for lane, planned in chosen)
            found = {warmed.worker: warmed for warmed in await asyncio.gather(*warmings)}
        finally:
            for lane in lanes:
                await lane.backend.close()
    silent = {worker: Warmed(worker, reason=reason, answered=False) for worker, reason in plan.silent.items()}
    return WarmedUp(tuple(found.get(name) or silent.get(name) or Warmed(name) for name in plan.workers), plan.to_make)


async def _warm(lane: Lane, planned: PlannedRequest, workflows: Mapping[str, Workflow], say: Say) -> Warmed:
    models = ", ".join(model_names(planned, workflows)) or f"workflow {planned.request.workflow}"
    warmed = Warmed(lane.name, models)
    say(f"{lane.name}: loading {models}")
    try:
        if not isinstance(lane.backend, Warmable):
            raise OptionError(f"{lane.name} has nothing to load.")
        seconds = await lane.backend.warm(planned)
    except AssetlineError as error:
        say(f"{lane.name}: {error}")
        return replace(warmed, reason=str(error), answered=not isinstance(error, BackendUnavailable))
    say(f"{lane.name}: ready after {seconds:.1f} s")
    return replace(warmed, seconds=round(seconds, 1))


def model_names(planned: PlannedRequest, workflows: Mapping[str, Workflow]) -> tuple[str, ...]:
    """The model files that a request needs: those that it names, then those that are fixed in the workflow."""
    workflow = workflows[planned.request.workflow or ""]
    mapped = {
        (target.node, target.input) for known in workflow.contract.parameters.values() for target in known.targets
    }
    named = [str(value) for value in planned.request.parameters.values() if is_model_file(value)]
    fixed = [file.file for file in files_of(workflow.graph) if (file.node, file.input) not in mapped]
    return tuple(dict.fromkeys(named + fixed))
