"""`warm`: each ComfyUI worker loads the models that it will begin a sheet with, before the run is started."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from apps.check import ask_beforehand, stored_keys
from apps.interruptible import run_interruptibly
from apps.words import many
from assetline.backends import Warmable
from assetline.bootstrap.planning import Planning, lane_label, plan_sheet
from assetline.bootstrap.running import open_lanes
from assetline.bootstrap.workers import worker_urls
from assetline.dispatch import Lane
from assetline.errors import AssetlineError, BackendUnavailable, OptionError, SheetError
from assetline.plan import Fleet, Workers, fresh_requests
from assetline.records import PlannedRequest, RunOptions
from assetline.settings import load_settings
from assetline.workflow import Workflow
from assetline.workflow.models import files_of, is_model_file

SOME_FAILED = 4


@dataclass(frozen=True)
class Warmed:
    """How it went on one worker. `models` is empty where nothing of the sheet is for it; `reason` says what failed."""

    worker: str
    models: str = ""
    seconds: float | None = None
    reason: str = ""
    answered: bool = True


def warm_workers(sheet: str, options: RunOptions, *, as_json: bool) -> int:
    """Warm all workers at the same time and print what each loaded in how many seconds.

    0; 4 where a worker that answers cannot load; 6 where none answers. Raises OptionError for a run without ComfyUI
    workers, SheetError where no row can be made.
    """
    settings = load_settings()
    urls = worker_urls(options, settings)
    if not urls:
        raise OptionError(
            "There is no ComfyUI worker to warm. Give one: --lane http://gpu1:8188 (or ASSETLINE_COMFYUI)."
        )
    options = options.model_copy(update={"lanes": urls})
    workers = ask_beforehand(options, settings)
    planning = plan_sheet(sheet, options, settings, workers)
    if not planning.plan.ok:
        raise SheetError(planning.plan.problems)
    to_make = fresh_requests(planning.plan.requests, stored_keys(planning, options, settings))
    answering = [lane_label(url) for url in urls if lane_label(url) not in workers.silent]
    first = begin_with(answering, to_make, planning.fleet)
    found: list[Warmed] = []
    if first:
        run_interruptibly(lambda: _warm(planning, open_lanes(planning, settings), first, found))
    _report(_in_order(urls, found, workers), as_json=as_json)
    return _code(found, workers, len(urls))


def begin_with(workers: Sequence[str], to_make: Iterable[PlannedRequest], fleet: Fleet) -> dict[str, PlannedRequest]:
    """The request whose models each worker shall load: of the group that still has the most pictures for it.

    The groups are shared out by their size, as seats by votes (D'Hondt); a worker with fewer groups to choose from
    chooses first. A worker that can make nothing of it is left out.
    """
    groups: dict[str, PlannedRequest] = {}
    counts: Counter[str] = Counter()
    for planned in to_make:
        affinity = fleet.affinity(planned)
        groups.setdefault(affinity, planned)
        counts[affinity] += 1
    able = {url: [name for name, one in groups.items() if fleet.suits(url, one)] for url in workers}
    taken: Counter[str] = Counter()
    first = {}
    for url in sorted(workers, key=lambda url: len(able[url])):
        if able[url]:
            name = max(able[url], key=lambda name: counts[name] / (1 + taken[name]))
            taken[name] += 1
            first[url] = groups[name]
    return {url: first[url] for url in workers if url in first}


async def _warm(
    planning: Planning, lanes: Sequence[Lane], first: Mapping[str, PlannedRequest], found: list[Warmed]
) -> None:
    try:
        chosen = [(lane, first[lane.name]) for lane in lanes if lane.name in first]
        found += await asyncio.gather(*(_warm_one(lane, planned, planning.workflows) for lane, planned in chosen))
    finally:
        for lane in lanes:
            await lane.backend.close()


async def _warm_one(lane: Lane, planned: PlannedRequest, workflows: Mapping[str, Workflow]) -> Warmed:
    models = ", ".join(model_names(planned, workflows)) or f"workflow {planned.request.workflow}"
    warmed = Warmed(lane.name, models)
    _say(f"{lane.name}: loading {models}")
    try:
        if not isinstance(lane.backend, Warmable):
            raise OptionError(f"{lane.name} has nothing to load.")
        seconds = await lane.backend.warm(planned)
    except AssetlineError as error:
        _say(f"{lane.name}: {error}")
        return replace(warmed, reason=str(error), answered=not isinstance(error, BackendUnavailable))
    _say(f"{lane.name}: ready after {seconds:.1f} s")
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


def _in_order(urls: Sequence[str], found: Sequence[Warmed], workers: Workers) -> list[Warmed]:
    """Every worker of the run, in the order of the lanes."""
    by_name = {warmed.worker: warmed for warmed in found}
    silent = {url: Warmed(url, reason=reason, answered=False) for url, reason in workers.silent.items()}
    return [by_name.get(url) or silent.get(url) or Warmed(url) for url in map(lane_label, urls)]


def _report(warmed: Sequence[Warmed], *, as_json: bool) -> None:
    if as_json:
        facts = [{"worker": w.worker, "models": w.models, "seconds": w.seconds, "reason": w.reason} for w in warmed]
        print(json.dumps({"workers": facts}, ensure_ascii=False))
        return
    rows = [("worker", "model", "seconds"), *((w.worker, w.models or "-", _ended(w)) for w in warmed)]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for worker, model, seconds in rows:
        print(f"{worker:<{widths[0]}}  {model:<{widths[1]}}  {seconds}")
    ready = sum(w.seconds is not None for w in warmed)
    _say(f"{ready} of {many(len(warmed), 'worker')} ready.")


def _ended(warmed: Warmed) -> str:
    if warmed.seconds is not None:
        return f"{warmed.seconds:.1f}"
    return warmed.reason or "nothing of this sheet is left for it"


def _code(found: Sequence[Warmed], workers: Workers, asked: int) -> int:
    unanswered = len(workers.silent) + sum(not warmed.answered for warmed in found)
    if unanswered >= asked:
        return BackendUnavailable.exit_code
    return SOME_FAILED if any(warmed.reason and warmed.answered for warmed in found) else 0


def _say(text: str) -> None:
    print(text, file=sys.stderr)
