"""What people see of a run in Prefect's UI: the progress artifact, the summary, tables of failures and problems."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

import httpx
from prefect import get_run_logger
from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.client.schemas import State
from prefect.exceptions import PrefectException
from prefect.states import Cancelled, Completed, Failed

from assetline.errors import AssetlineError
from assetline.manifest import failures, summary_markdown
from assetline.pipeline import Progress, Report, RunJob, RunResult
from assetline.records import Problem
from tasks.run_log import ProgressLines

UPDATE_EVERY_S = 1.0  # an update costs 0.1 to 0.35 s on a busy server (measured, Prefect 3.8.8)
ROWS_SHOWN = 200
LINES_SHOWN = 20
SUMMARY_KEY = "campaign-summary"
FAILURES_KEY = "campaign-failures"
PROGRESS_KEY = "campaign-progress"
PROBLEMS_KEY = "campaign-problems"


class Paced:
    """A report that passes on the newest of what it hears, at most once in `every_s`, and the last one always.

    Whoever reports never waits for what is passed on: use it as a context manager round the work.
    """

    def __init__(self, total: int, pass_on: Callable[[Progress], Awaitable[None]], every_s: float) -> None:
        self._newest = self._passed = Progress(total=total)
        self._pass_on = pass_on
        self._every_s = every_s

    def __call__(self, progress: Progress) -> None:
        """Hear of progress."""
        self._newest = progress

    async def __aenter__(self) -> Self:
        self._updates = asyncio.create_task(self._keep_up())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._updates.cancel()
        await asyncio.gather(self._updates, return_exceptions=True)
        await self._catch_up()

    async def _keep_up(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            await self._catch_up()

    async def _catch_up(self) -> None:
        newest = self._newest
        if newest != self._passed:
            await self._pass_on(newest)
            self._passed = newest


@asynccontextmanager
async def followed(job: RunJob) -> AsyncIterator[Report]:
    """What the pipeline reports to: the progress artifact, and lines in the Logs tab."""
    plan, say = job.plan, get_run_logger().info
    lanes = ", ".join(lane.name for lane in job.lanes)
    say(
        "%s: %d requests from %d rows, on %s, into %s",
        plan.campaign,
        len(plan.requests),
        len(plan.rows),
        lanes,
        job.store.uri,
    )
    lines = ProgressLines(say)
    async with progress_artifact(len(plan.requests)) as artifact:

        def report(progress: Progress) -> None:
            lines(progress)
            artifact(progress)

        yield report


@asynccontextmanager
async def progress_artifact(total: int) -> AsyncIterator[Report]:
    """A progress artifact whose description is the progress sentence: `312 of 400, 2 failed, 3.1/s, 28 s left`."""
    async with get_client() as client:  # one for all updates: a new one costs 0.1 s of CPU (measured, Prefect 3.8.8)
        artifact = await acreate_progress_artifact(0.0, key=PROGRESS_KEY, description=str(Progress(total=total)))

        async def update(progress: Progress) -> None:
            percent = round(progress.percent, 1)
            try:
                await aupdate_progress_artifact(artifact, percent, description=str(progress), client=client)
            except (httpx.HTTPError, PrefectException) as error:  # the pictures are made all the same
                get_run_logger().warning("progress not shown: reason=%s", error)

        async with Paced(total, update, UPDATE_EVERY_S) as report:
            yield report


async def publish_summary(result: RunResult) -> None:
    """`campaign-summary` (counts, picture, links) and, where requests failed, the table `campaign-failures`."""
    record = result.record
    picture = f"data:image/jpeg;base64,{base64.b64encode(result.montage).decode()}" if result.montage else None
    await acreate_markdown_artifact(
        summary_markdown(record, result.outcomes, picture, record.contact_sheet),
        key=SUMMARY_KEY,
        description=describe(result),
    )
    if table := failures(result.outcomes):
        await acreate_table_artifact(
            table[:ROWS_SHOWN],
            key=FAILURES_KEY,
            description=f"{len(table):,} without a usable picture",
        )


async def publish_problems(problems: Sequence[Problem]) -> None:
    """The table `campaign-problems`: what is wrong with the sheet, warnings too; none where nothing is."""
    for problem in problems[:LINES_SHOWN]:
        get_run_logger().info("%s: %s", problem.severity, problem)
    if problems:
        errors = sum(problem.severity == "error" for problem in problems)
        await acreate_table_artifact(
            problem_rows(problems[:ROWS_SHOWN]),
            key=PROBLEMS_KEY,
            description=f"errors in the sheet: {errors:,}, warnings: {len(problems) - errors:,}",
        )


def problem_rows(problems: Sequence[Problem]) -> list[dict[str, str]]:
    """The problems as rows of a table: where, what, how to mend it."""
    return [
        {
            "cell": problem.cell or (f"row {problem.row}" if problem.row else ""),
            "column": problem.column,
            "severity": problem.severity,
            "problem": problem.message,
            "fix": problem.fix,
            "value": problem.value,
        }
        for problem in problems
    ]


def final_state(result: RunResult) -> State[None]:
    """The flow run's last state: never a plain green Completed when something failed."""
    counts, message = result.record.counts, describe(result)
    usable = counts.stored + counts.reused + counts.duplicate
    if counts.failed and not usable:
        return Failed(message=message)
    if counts.failed or counts.rejected:
        return Completed(name="CompletedWithFailures", message=message)
    return Completed(message=message)


def refused(error: AssetlineError) -> State[None]:
    """The state of a run that could not be done: the error's own words, without a trace of ours in the log."""
    return Failed(message=str(error), data=error)


def stopped() -> State[None]:
    """The state of a run that was canceled, after its manifest was written; Prefect would call it crashed."""
    return Cancelled(message="Stopped. What was made is kept; the same run again makes the rest.")


def describe(result: RunResult) -> str:
    """The run in one line: `100 requests: 90 stored, 6 reused, 4 failed`."""
    counts = result.record.counts
    found = [f"{count:,} {status}" for status, count in counts.model_dump().items() if count]
    return f"{counts.total:,} requests: {', '.join(found) or 'nothing to do'}"
