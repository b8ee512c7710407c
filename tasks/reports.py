"""What people see of a run in Prefect's UI: the progress artifact, the summary, the table of failures."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.client.schemas import State
from prefect.states import Completed, Failed

from assetline.manifest import failures, summary_markdown
from assetline.pipeline import Progress, Report, RunResult

UPDATE_EVERY_S = 1.0  # an update costs 0.1 to 0.35 s on a busy server (measured, Prefect 3.8.8)
FAILURES_SHOWN = 200
SUMMARY_KEY = "campaign-summary"
FAILURES_KEY = "campaign-failures"
PROGRESS_KEY = "campaign-progress"


@asynccontextmanager
async def progress_artifact(total: int) -> AsyncIterator[Report]:
    """A progress artifact whose description is the progress sentence; at most one update a second, the last one always.

    Yields what the pipeline reports to: quick, and never waiting for the server.
    """
    latest = Progress(total=total)

    def report(progress: Progress) -> None:
        nonlocal latest
        latest = progress

    artifact = await acreate_progress_artifact(0.0, key=PROGRESS_KEY, description=str(latest))

    async def keep_up() -> None:
        told = latest
        while True:
            await asyncio.sleep(UPDATE_EVERY_S)
            if latest != told:
                told = latest
                await _update(artifact, told)

    updates = asyncio.create_task(keep_up())
    try:
        yield report
    finally:
        updates.cancel()
        await asyncio.gather(updates, return_exceptions=True)
        await _update(artifact, latest)


async def _update(artifact: UUID, progress: Progress) -> None:
    await aupdate_progress_artifact(artifact, progress=progress.percent, description=str(progress))


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
            table[:FAILURES_SHOWN],
            key=FAILURES_KEY,
            description=f"{len(table):,} requests without a picture that can be used",
        )


def final_state(result: RunResult) -> State[None]:
    """The flow run's last state: never a plain green Completed when something failed."""
    counts, message = result.record.counts, describe(result)
    usable = counts.stored + counts.reused + counts.duplicate
    if counts.failed and not usable:
        return Failed(message=message)
    if counts.failed or counts.rejected:
        return Completed(name="CompletedWithFailures", message=message)
    return Completed(message=message)


def describe(result: RunResult) -> str:
    """The run in one line: `96 pictures of 100: 90 stored, 6 reused; 4 failed`."""
    counts = result.record.counts
    found = [f"{count:,} {status}" for status, count in counts.model_dump().items() if count]
    return f"{counts.total:,} requests: {', '.join(found) or 'nothing to do'}"
