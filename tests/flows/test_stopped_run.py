"""A run that is stopped half-way: by Ctrl-C, or by Cancel in Prefect's UI. Both arrive as a cancellation."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas import State
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.events.worker import EventsWorker

from assetline.pipeline import Progress, RunResult, watcher
from assetline.run_records import RunOptions
from assetline.store.folder import FolderStore
from assetline.store.runs import find_runs
from flows.campaign import run_campaign
from tasks.reports import SUMMARY_KEY

# The connections of Prefect's cached clients are closed by the collector.
pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]

ROWS = 64


class StopsAfterTheFirst:
    """Follows a run and cancels it as soon as one picture is there."""

    def __init__(self) -> None:
        self.task: asyncio.Task[State] | None = None

    def report(self, progress: Progress) -> None:
        if progress.done == 1 and self.task:
            self.task.cancel()

    def finished(self, result: RunResult) -> None:
        pass


async def stopped_run() -> State:
    follower = StopsAfterTheFirst()
    watcher.set(follower)
    follower.task = asyncio.create_task(run_campaign("spring.csv", RunOptions(store="assets"), return_state=True))
    return await follower.task


def test_it_ends_cancelled_and_what_it_made_is_written_down(prefect: SyncPrefectClient) -> None:
    Path("spring.csv").write_text("id,prompt,size\n" + "".join(f"R{n},tent {n},64x64\n" for n in range(ROWS)))
    state = asyncio.run(stopped_run())
    EventsWorker.drain_all(at_exit=False)
    assert state.state_details.flow_run_id
    run = prefect.read_flow_run(state.state_details.flow_run_id)
    assert run.state
    assert ("Cancelled", state.message) == (run.state.name, run.state.message)
    [stored] = find_runs(FolderStore(Path("assets")))
    assert stored.record
    assert stored.record.interrupted
    counts = stored.record.counts
    assert ROWS == counts.stored + counts.canceled
    assert counts.stored >= 1
    assert counts.canceled >= 1


def test_its_summary_is_published_all_the_same(prefect: SyncPrefectClient) -> None:
    Path("spring.csv").write_text("id,prompt,size\n" + "".join(f"R{n},tent {n},64x64\n" for n in range(ROWS)))
    state = asyncio.run(stopped_run())
    EventsWorker.drain_all(at_exit=False)
    flow_run_id = state.state_details.flow_run_id
    assert flow_run_id
    artifacts = prefect.read_artifacts(
        artifact_filter=ArtifactFilter(
            flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]), key=ArtifactFilterKey(any_=[SUMMARY_KEY])
        )
    )
    [summary] = artifacts
    assert "(interrupted)" in str(summary.data)
    assert "![The lanes over time](<data:image/svg+xml;base64," in str(summary.data)
    assert "canceled" in (summary.description or "")
    assert state.message
    assert summary.description in state.message


def test_the_same_run_again_makes_the_rest(prefect: SyncPrefectClient) -> None:
    Path("spring.csv").write_text("id,prompt,size\n" + "".join(f"R{n},tent {n},64x64\n" for n in range(ROWS)))
    asyncio.run(stopped_run())
    state = asyncio.run(run_campaign("spring.csv", RunOptions(store="assets"), return_state=True))
    EventsWorker.drain_all(at_exit=False)
    runs = [run.record for run in find_runs(FolderStore(Path("assets"))) if run.record]
    first, second = sorted(runs, key=lambda record: not record.interrupted)  # both may be of one second
    assert "Completed" == state.name
    assert first.counts.stored == second.counts.reused
    assert first.counts.canceled == second.counts.stored
