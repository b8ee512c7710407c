"""The Logs tab of a run, read back from the server: what the core says, how far it is, and nothing per task run."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from pathlib import Path
from typing import Any

import pytest
from fakes.strict_worker import SOME_FAIL, strict_worker
from prefect import flow, task
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas import State
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import Log
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.runtime import task_run
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect.states import Completed

from assetline.run_records import RunOptions
from flows.campaign import run_campaign
from tasks.run_log import core_log

# The connections of Prefect's cached clients are closed by the collector.
pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]


def logs(client: SyncPrefectClient, state: State) -> list[Log]:
    """Every line of the flow run, in the order of time."""
    EventsWorker.drain_all(at_exit=False)
    APILogWorker.drain_all(at_exit=False)
    of_run = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[state.state_details.flow_run_id]))
    return sorted(client.read_logs(of_run, limit=200), key=lambda line: line.timestamp)


def run(sheet: str, **options: Any) -> State:
    Path("spring.csv").write_text(sheet)
    return asyncio.run(run_campaign("spring.csv", RunOptions(store="assets", **options), return_state=True))


def nobody() -> str:
    """A worker's address where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_they_tell_the_plan_the_lanes_troubles_the_progress_and_the_end(
    prefect: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSETLINE_LANE_PATIENCE_S", "0")
    with strict_worker() as worker:
        state = run(SOME_FAIL, lanes=(worker.url, dead := nobody()))
    found = logs(prefect, state)
    said = [line.message for line in found]
    assert f"spring: 2 requests from 2 rows, on {worker.url}, {dead}, into {Path('assets').resolve()}" in "\n".join(
        said
    )
    assert [logging.WARNING] == [line.level for line in found if line.message.startswith(f"lane down: lane={dead}")]
    [failed] = [line for line in found if line.message.startswith("try failed: request=MUG-1-64x64")]
    assert failed.task_run_id
    assert any(message.startswith("writing the contact sheet: 2 of 2, 1 failed") for message in said)
    assert any(message.startswith("2 requests: 1 stored, 1 failed. Contact sheet: ") for message in said)
    assert {"prefect.flow_runs"} == {line.name for line in found if not line.name.startswith("assetline.")}


def test_a_sheet_with_errors_is_explained_without_a_trace(prefect: SyncPrefectClient) -> None:
    state = run("id,prompt,size\nMUG,a mug,huge\n")
    said = "\n".join(line.message for line in logs(prefect, state))
    assert "error: spring!C2 size: " in said
    assert "Traceback" not in said
    assert "The sheet has 1 error; nothing was generated." == state.message


def test_a_sheet_with_errors_leaves_a_table_of_them(prefect: SyncPrefectClient) -> None:
    state = run("id,prompt,size\nMUG,a mug,huge\nTENT,a tent,64x64\n")
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[state.state_details.flow_run_id]))
    [table] = [found for found in prefect.read_artifacts(artifact_filter=of_run) if found.type == "table"]
    assert ("campaign-problems", "errors in the sheet: 1, warnings: 0") == (table.key, table.description)
    assert ["C2"] == [row["cell"] for row in json.loads(table.data)]


def test_lanes_that_do_not_answer_are_the_message_of_the_failed_run(prefect: SyncPrefectClient) -> None:
    state = run("id,prompt,workflow,size\nMUG,a mug,sd15-txt2img,64x64\n", lanes=(nobody(),))
    assert "Failed" == state.name
    assert (state.message or "").startswith("No lane answers. ")
    assert "Traceback" not in "\n".join(line.message for line in logs(prefect, state))


def test_lines_from_threads_and_tasks_find_their_run(
    prefect: SyncPrefectClient, prefect_api: str, prefect_home: Path
) -> None:
    core = logging.getLogger("assetline.test")
    ids: list[str] = []

    def in_a_thread() -> None:
        with temporary_settings({PREFECT_API_URL: prefect_api, PREFECT_HOME: prefect_home}):
            core.warning("from a thread")

    @task
    async def one() -> None:
        ids.append(str(task_run.id))
        core.info("from a task")

    @flow
    async def around() -> State[None]:
        with core_log():
            core.info("from the flow")
            await asyncio.get_running_loop().run_in_executor(None, in_a_thread)
            await one()
        core.warning("when it was over")
        return Completed()

    found = logs(prefect, asyncio.run(around(return_state=True)))
    ours = {line.message: line.task_run_id and str(line.task_run_id) for line in found if line.name == core.name}
    assert {"from the flow": None, "from a thread": None, "from a task": ids[0]} == ours
