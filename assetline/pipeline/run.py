"""The way of a campaign, one direction: existing, fan out, dedupe, manifest, contact sheet; `run.json` last.

However it ends (done, canceled, lanes gone), every request has an outcome and the manifest is written.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Protocol

from assetline.catalogue import Channel
from assetline.dispatch import Dispatcher, DispatchOptions, Lane
from assetline.errors import BackendError, BackendUnavailable, ObjectExists
from assetline.manifest import counts
from assetline.pipeline.again import find_retired, find_same, find_unsure
from assetline.pipeline.asset import GENERATOR, Bench, Make, make_asset
from assetline.pipeline.attendant import Attended, attended
from assetline.pipeline.books import Books
from assetline.pipeline.existing import find_existing
from assetline.pipeline.lanes import LaneWatch
from assetline.pipeline.pool import WorkPool
from assetline.pipeline.progress import Progress, Report
from assetline.pipeline.resume import Resumption, find_left
from assetline.pipeline.write import CONTACT_SHEET, ReadSheet, RunResult, write_run
from assetline.plan import CampaignPlan
from assetline.plan.difference import is_selection
from assetline.records import Outcome, PlannedRequest
from assetline.run_records import Counts, OverflowRecord, RunRecord
from assetline.sheet import Limits
from assetline.sheet.sameness import rows_sha256, sketch_of
from assetline.store import PutOptions, Store
from assetline.store.known_sheets import KnownSheet, remember_sheet
from assetline.store.layout import input_key, new_run_id, reference_key, run_prefix
from assetline.store.runs import finished_run_ids


@dataclass(frozen=True)
class RunJob:
    """One execution of a campaign: the plan, the sheet's bytes, where to store, which lanes to use.

    `references` holds the bytes of reference images by sha256; `flow_run` names Prefect's flow run, if any. `run_id` is
    made when the run begins, unless somebody needed it before; `limits` are those that the sheet was read with. `spent`
    gives what the run has cost so far, in US dollars, what failed and was charged among it, or None where nobody knows;
    it may block. `overflowed` tells, of the run's id and its outcomes, what went to Replicate in place of the workers.
    `channels`, by slug, say which parts of their files are safe.
    """

    plan: CampaignPlan
    sheet_data: bytes
    store: Store
    lanes: Sequence[Lane]
    dispatch: DispatchOptions = field(default_factory=DispatchOptions)
    references: dict[str, bytes] = field(default_factory=dict)
    flow_run: str = ""
    run_id: str = ""
    limits: Limits = field(default_factory=Limits)
    channels: Mapping[str, Channel] = field(default_factory=dict)
    spent: Callable[[], float | None] = lambda: None
    overflowed: Callable[[str, Sequence[Outcome]], OverflowRecord | None] = lambda _run_id, _outcomes: None


class RunStopped(asyncio.CancelledError):
    """The run was canceled; what it came to is written down, and is `result`."""

    def __init__(self, result: RunResult) -> None:
        super().__init__("The run was stopped.")
        self.result = result


class Watcher(Protocol):
    """Who follows a run from the same process: the command line. A flow's parameters are stored, so it is none."""

    def report(self, progress: Progress) -> None:
        """How far the run is; called often, so it must be quick."""

    def finished(self, result: RunResult) -> None:
        """How it ended, also when it was interrupted."""


watcher: ContextVar[Watcher | None] = ContextVar("assetline_watcher", default=None)


async def run_campaign(job: RunJob, make: Callable[[Make], Make], report: Report) -> RunResult:
    """Run the campaign. `make` wraps the asset step (Prefect's task, or the identity), `report` hears of progress.

    Raises BackendUnavailable when no lane answers at the start, StoreUnreachable, and RunStopped, a CancelledError,
    after the manifest of what was done has been written.
    """
    with WorkPool() as pool:
        started = datetime.now(UTC)
        run_id = job.run_id or new_run_id(started, secrets.token_bytes(3))
        bench = Bench(job.store, pool, job.plan.campaign, run_id)
        follower = watcher.get()
        books = Books(job.plan.requests, _both(report, follower.report) if follower else report)
        run = _Run(job, bench, books)
        interrupted = await _is_cancelled(_make_all(run, make))
        result = await _result(run, started, interrupted=interrupted)
        same = None if interrupted or run.lanes else await pool.run(find_same, job.store, result)
        if same:
            books.tell(f"nothing has changed since run {same.record.run_id}")
            result = same
        else:
            books.tell("writing the contact sheet")
            if not run.inputs_are_kept:
                await _keep_inputs(run)
            sheet = ReadSheet(job.plan.sheet.file_name, job.sheet_data, job.limits, job.channels, job.plan.problems)
            result = await write_run(bench, result, sheet)
    if follower:
        follower.finished(result)
    if interrupted:
        raise RunStopped(result)
    return result


@dataclass
class _Run:
    """What the steps of one run share. `lanes` are watched from when they go to work, if they have any."""

    job: RunJob
    bench: Bench
    books: Books
    lanes: LaneWatch | None = None
    inputs_are_kept: bool = False


def _both(first: Report, second: Report) -> Report:
    def report(progress: Progress) -> None:
        first(progress)
        second(progress)

    return report


async def _make_all(run: _Run, make: Callable[[Make], Make]) -> None:
    """Everything up to the manifest: look what is there, make the rest, set duplicates aside."""
    job, bench, books = run.job, run.bench, run.books
    books.tell("looking at what is already made")
    async for made in find_existing(bench, books.distinct()):
        books.found(made)
    waiting = books.waiting()
    if waiting:
        await _probe(job.lanes)  # before anything of this run is written: without a lane there is no run
        await _keep_inputs(run)
        books.tell("making pictures")
        await _fan_out(run, waiting, make(lambda ticket: make_asset(ticket, bench)))


async def _fan_out(run: _Run, waiting: Sequence[PlannedRequest], step: Make) -> None:
    """Follow what a killed run left on the lanes, and let them make the rest; watched and attended meanwhile."""
    job, books = run.job, run.books
    resumption = Resumption(await find_left(job.lanes, waiting), job.dispatch.affinity)
    run.lanes = LaneWatch(job.lanes, waiting, datetime.now(UTC).isoformat(timespec="seconds"))
    dispatcher = Dispatcher(job.lanes, replace(job.dispatch, listen=run.lanes.also(job.dispatch.listen)))
    try:
        async with attended(Attended(run.bench, books, run.lanes, dispatcher)), asyncio.TaskGroup() as group:
            group.create_task(dispatcher.run((), step, books.ended, resumption.rest_of(waiting)))
            group.create_task(resumption.follow(step, books.ended))
    finally:
        run.lanes.end()
        if books.progress.lanes:  # somebody was told what they do: it is not so any more
            books.see(run.lanes.lanes(), run.lanes.timeline(run.bench.campaign, run.bench.run_id))


async def _is_cancelled(work: Coroutine[None, None, None]) -> bool:
    """Do the work; True where it was canceled, so that what it came to can still be written down."""
    try:
        await work
    except asyncio.CancelledError:
        if task := asyncio.current_task():
            task.uncancel()
        return True
    return False


async def _probe(lanes: Sequence[Lane]) -> None:
    """Ask every lane once. Raises BackendUnavailable, with each lane's own words, when none answers."""
    answers = await asyncio.gather(*(lane.backend.probe() for lane in lanes), return_exceptions=True)
    for lane, answer in zip(lanes, answers, strict=True):
        if isinstance(answer, BackendError):
            lane.fail(str(answer))
        elif isinstance(answer, BaseException):
            raise answer
    if not any(lane.is_up for lane in lanes):
        raise BackendUnavailable("No lane answers. " + " ".join(lane.fault for lane in lanes))


async def _keep_inputs(run: _Run) -> None:
    """Keep the sheet and the reference images with the run: what was dropped in may change or vanish later."""
    job, bench = run.job, run.bench
    sheet = input_key(bench.campaign, bench.run_id, job.plan.sheet.file_name)
    await bench.pool.run(bench.store.put, sheet, job.sheet_data)
    await bench.pool.run(_remember_rows, job, bench)
    async for _ in bench.pool.map(lambda sha256: _keep_reference(sha256, job, bench), job.references):
        continue
    run.inputs_are_kept = True


def _remember_rows(job: RunJob, bench: Bench) -> None:
    """Keep what the rows say, so that the sheet is known again under another file name."""
    sheet = job.plan.sheet
    known = KnownSheet(campaign=bench.campaign, file=sheet.file_name, sketch=sketch_of(sheet.rows))
    remember_sheet(bench.store, rows_sha256(sheet.rows), known)


def _keep_reference(sha256: str, job: RunJob, bench: Bench) -> None:
    suffix = PurePosixPath(job.plan.references[sha256]).suffix.lstrip(".").lower() or "bin"
    with contextlib.suppress(ObjectExists):
        key = reference_key(bench.campaign, sha256, suffix)
        bench.store.put(key, job.references[sha256], PutOptions(if_absent=True))


async def _result(run: _Run, started: datetime, *, interrupted: bool) -> RunResult:
    """What the run came to, nothing of it written yet. Raises StoreUnreachable.

    The cost is what the ledger says; else that of the pictures which the run made.
    """
    job, bench, pool = run.job, run.bench, run.bench.pool
    outcomes = run.books.close(bench.run_id, await pool.run(finished_run_ids, bench.store, bench.campaign))
    retired = await pool.run(find_retired, bench, job.plan)
    made = {outcome.asset.original: outcome.asset for outcome in outcomes if outcome.asset}
    cost = sum(asset.cost_usd for asset in made.values() if asset.run_id == bench.run_id)
    facts = {
        "counts": counts(outcomes),
        "cost_usd": await pool.run(job.spent) or round(cost, 6),
        "retired": tuple(row.row for row in retired),
        "rows_sha256": await pool.run(rows_sha256, job.plan.sheet.rows),
        "interrupted": interrupted,
        "overflow": job.overflowed(bench.run_id, outcomes),
    }
    timeline = run.lanes.timeline(bench.campaign, bench.run_id) if run.lanes else None
    record = _record(job, bench, started)
    unsure = await pool.run(find_unsure, bench, job.plan)
    record = record.model_copy(update=facts | {"left_out": (*record.left_out, *unsure)})
    return RunResult(record, outcomes, timeline=timeline, retired=retired)


def _record(job: RunJob, bench: Bench, started: datetime) -> RunRecord:
    """The run's record, but for what it came to."""
    finished = datetime.now(UTC)
    prefix = run_prefix(bench.campaign, bench.run_id)
    plan = job.plan
    planned = {request.row for request in plan.requests}
    return RunRecord(
        campaign=bench.campaign,
        run_id=bench.run_id,
        sheet=plan.sheet.file_name,
        sheet_sha256=plan.sheet.sha256,
        started_at=started.isoformat(timespec="seconds"),
        finished_at=finished.isoformat(timespec="seconds"),
        seconds=round((finished - started).total_seconds(), 2),
        counts=Counts(),
        cost_usd=0.0,
        lanes=tuple(lane.name for lane in job.lanes),
        store=job.store.uri,
        run=job.store.uri_of(prefix.rstrip("/")),
        contact_sheet=job.store.uri_of(prefix + CONTACT_SHEET),
        flow_run=job.flow_run,
        generator=GENERATOR,
        rows=tuple(row.id for row in plan.rows) if is_selection(plan) else (),
        left_out=tuple(row.id for row in plan.rows if row.id not in planned),
    )
