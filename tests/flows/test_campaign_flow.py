"""run-campaign against a real Prefect server: what people see there, and how a run ends."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from fakes.strict_worker import ALL_FAIL, REASON, SOME_FAIL, strict_worker
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas import FlowRun, State
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.events.worker import EventsWorker

from assetline.errors import SheetError
from assetline.run_records import RunOptions
from assetline.store.folder import FolderStore
from assetline.store.runs import find_runs
from flows.campaign import run_campaign

# The connections of Prefect's cached clients are closed by the collector.
pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]

COMPS = "id,prompt,size,variants\nTENT,a red tent,128x128,2\nMUG,a blue mug,128x96,1\n"


def execute(sheet: str, name: str, **options: Any) -> State:
    Path(name).write_text(sheet)
    state = asyncio.run(run_campaign(name, RunOptions(store="assets", **options), return_state=True))
    EventsWorker.drain_all(at_exit=False)
    return state


def flow_run(client: SyncPrefectClient, state: State) -> FlowRun:
    assert state.state_details.flow_run_id
    return client.read_flow_run(state.state_details.flow_run_id)


def artifacts(client: SyncPrefectClient, run: FlowRun) -> dict[str, Any]:
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
    return {found.key: found for found in client.read_artifacts(artifact_filter=of_run)}


def task_run_names(client: SyncPrefectClient, run: FlowRun, count: int) -> dict[str, str]:
    """Names and states of the task runs. The server writes them down a moment after the flow has ended."""
    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
    for _ in range(2000):
        found = client.read_task_runs(flow_run_filter=of_run)
        if len(found) >= count and all(one.state and one.state.is_final() for one in found):
            break
    return {one.name: one.state_name or "" for one in found}


def test_a_run_is_named_after_its_campaign_and_each_asset_is_a_task_run(prefect: SyncPrefectClient) -> None:
    state = execute(COMPS, "Spring Launch.csv")
    run = flow_run(prefect, state)
    assert ("Completed", "spring-launch") == (state.name, run.name)
    expected = {"TENT-1-128x128": "Completed", "TENT-2-128x128": "Completed", "MUG-1-128x96": "Completed"}
    assert expected == task_run_names(prefect, run, 3)


def test_the_summary_has_counts_a_picture_and_the_contact_sheet(prefect: SyncPrefectClient) -> None:
    run = flow_run(prefect, execute(COMPS, "comps.csv"))
    found = artifacts(prefect, run)
    assert {"campaign-progress", "campaign-summary"} == set(found)
    assert found["campaign-progress"].description.startswith("3 of 3")
    summary = found["campaign-summary"]
    assert summary.description == "3 requests: 3 stored"
    assert "data:image/jpeg;base64," in summary.data
    assert "contact-sheet.html" in summary.data


def test_the_run_record_names_its_flow_run(prefect: SyncPrefectClient) -> None:
    run = flow_run(prefect, execute(COMPS, "comps.csv"))
    [stored] = find_runs(FolderStore(Path("assets")))
    assert stored.record
    assert str(run.id) == stored.record.flow_run


def test_a_run_with_failures_says_so_in_its_state_and_in_a_table(prefect: SyncPrefectClient) -> None:
    with strict_worker() as worker:
        state = execute(SOME_FAIL, "some.csv", lanes=(worker.url,))
    run = flow_run(prefect, state)
    assert ("COMPLETED", "CompletedWithFailures") == (state.type.value, state.name)
    assert "1 failed" in (state.message or "")
    assert {"TENT-1-64x64": "Completed", "MUG-1-64x64": "Failed"} == task_run_names(prefect, run, 2)
    [line] = json.loads(artifacts(prefect, run)["campaign-failures"].data)
    assert "MUG" in str(line)
    assert REASON in str(line)


def test_a_run_in_which_all_failed_ends_failed(prefect: SyncPrefectClient) -> None:
    with strict_worker() as worker:
        state = execute(ALL_FAIL, "all.csv", lanes=(worker.url,))
    assert "Failed" == flow_run(prefect, state).state_name


def test_a_second_run_makes_no_task_runs(prefect: SyncPrefectClient) -> None:
    execute(COMPS, "comps.csv")
    run = flow_run(prefect, execute(COMPS, "comps.csv"))
    assert {} == task_run_names(prefect, run, 0)
    assert artifacts(prefect, run)["campaign-summary"].description == "3 requests: 3 reused"


def test_a_sheet_with_errors_fails_before_anything_is_made(prefect: SyncPrefectClient) -> None:
    state = execute("id,prompt,size\nMUG,a mug,huge\n", "bad.csv")
    assert state.is_failed()
    error = asyncio.run(state.aresult(raise_on_failure=False))
    assert isinstance(error, SheetError)
    assert not Path("assets").exists()


def test_a_renamed_sheet_goes_on_as_its_campaign(prefect: SyncPrefectClient) -> None:
    execute(COMPS, "spring.csv")
    run = flow_run(prefect, execute(COMPS, "spring final.csv"))
    assert artifacts(prefect, run)["campaign-summary"].description == "3 requests: 3 reused"
    execute(COMPS.replace("a blue mug", "a green mug"), "spring final.csv")
    assert {"spring"} == {stored.campaign for stored in find_runs(FolderStore(Path("assets")))}
