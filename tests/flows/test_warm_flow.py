"""warm-workers against a real Prefect server: the table of the workers, and how a warm-up ends."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from fakes.command_line import wait_until, write
from fakes.fake_comfyui import FakeComfyUI
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas import State
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.events.worker import EventsWorker

from assetline.bootstrap.planning import plan_sheet
from assetline.bootstrap.running import open_job
from assetline.pipeline import run_campaign
from assetline.run_records import RunOptions
from assetline.settings import Settings
from flows.warm import warm_workers
from tasks.warming import WARM_UP_KEY

# The connections of Prefect's cached clients are closed by the collector.
pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]

SHEET = "id,prompt,workflow,size\nA,a tent,sd15-txt2img,64x64\nB,a mug,sdxl-txt2img,64x64\n"
SD15, SDXL = "AWPainting_v1.3.safetensors", "sd_xl_base_1.0.safetensors"
NOBODY = "http://127.0.0.1:1"
OUT_OF_MEMORY = ("torch.OutOfMemoryError", "CUDA out of memory.")


def warm(*lanes: str, sheet: str = SHEET) -> State:
    options = RunOptions(store="assets", lanes=lanes)
    state = asyncio.run(warm_workers(write("Spring Launch.csv", sheet), options, return_state=True))
    EventsWorker.drain_all(at_exit=False)
    return state


async def make_all(*lanes: str) -> None:
    """Run the sheet, without Prefect."""
    options, settings = RunOptions(store="assets", lanes=lanes), Settings()
    async with open_job(plan_sheet(write("Spring Launch.csv", SHEET), options, settings), options, settings) as job:
        await run_campaign(job, lambda step: step, lambda _progress: None)


def ended(state: State) -> tuple[str, str]:
    return state.type.value, state.name or ""


def table(client: SyncPrefectClient, state: State) -> list[dict[str, Any]]:
    """The artifact's rows, without the seconds where there are any."""
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[state.state_details.flow_run_id]))
    [found] = [one for one in client.read_artifacts(artifact_filter=of_run) if one.key == WARM_UP_KEY]
    return json.loads(str(found.data))


def test_each_worker_is_ready_and_the_table_says_with_what(prefect: SyncPrefectClient) -> None:
    with FakeComfyUI() as gpu1, FakeComfyUI() as gpu2:
        state = warm(gpu1.url, gpu2.url)
    assert (("COMPLETED", "Completed"), "2 of 2 workers ready.") == (ended(state), state.message)
    rows = table(prefect, state)
    assert [(gpu1.url, SD15, ""), (gpu2.url, SDXL, "")] == [(r["worker"], r["models"], r["reason"]) for r in rows]
    assert all(float(row["seconds"]) >= 0 for row in rows)
    assert state.state_details.flow_run_id
    assert "spring-launch-warm-up" == prefect.read_flow_run(state.state_details.flow_run_id).name
    assert not Path("assets/campaigns").exists()


def test_where_all_is_made_nothing_is_loaded_and_that_is_said(prefect: SyncPrefectClient) -> None:
    with FakeComfyUI() as worker:
        asyncio.run(make_all(worker.url))
        before = len(worker.bodies["/prompt"])
        state = warm(worker.url, NOBODY)
        assert before == len(worker.bodies["/prompt"])
    assert ("COMPLETED", "Completed") == ended(state)
    assert "no picture left to make" in (state.message or "")
    reasons = [row["reason"] for row in table(prefect, state)]
    assert "nothing of this sheet is left for it" == reasons[0]
    assert "cannot be reached" in reasons[1]


def test_a_worker_that_is_not_ready_is_in_the_state_with_its_reason(prefect: SyncPrefectClient) -> None:
    with FakeComfyUI() as good, FakeComfyUI() as bad:
        bad.engine.next_error = OUT_OF_MEMORY
        state = warm(good.url, bad.url, NOBODY)
    assert ("COMPLETED", "CompletedWithFailures") == ended(state)
    assert (state.message or "").startswith(f"1 of 3 workers ready. {bad.url}: ")
    assert "ran out of memory" in (state.message or "")
    assert f"{NOBODY}: " in (state.message or "")


@pytest.mark.parametrize("answers", [False, True])
def test_where_none_answers_or_none_can_load_it_failed(prefect: SyncPrefectClient, *, answers: bool) -> None:
    with FakeComfyUI() as bad:
        bad.engine.next_error = OUT_OF_MEMORY
        state = warm(bad.url if answers else NOBODY)
    assert ("FAILED", "Failed") == ended(state)
    assert (state.message or "").startswith("0 of 1 worker ready. ")
    assert ("ran out of memory" if answers else "cannot be reached") in (state.message or "")


@pytest.mark.parametrize(
    ("sheet", "lanes", "said"),
    [(SHEET, (), "There is no ComfyUI worker to warm."), ("id,prompt,size\nA,a mug,huge\n", (NOBODY,), "1 error")],
)
def test_what_cannot_be_warmed_failed_and_says_why(
    prefect: SyncPrefectClient, sheet: str, lanes: tuple[str, ...], said: str
) -> None:
    state = warm(*lanes, sheet=sheet)
    assert ("FAILED", True) == (state.type.value, said in (state.message or "")), state.message


def test_a_warm_up_that_is_stopped_is_taken_back_and_ends_cancelled(prefect: SyncPrefectClient) -> None:
    async def stop_it(worker: FakeComfyUI) -> State:
        task = asyncio.create_task(
            warm_workers("spring.csv", RunOptions(store="assets", lanes=(worker.url,)), return_state=True)
        )
        await asyncio.to_thread(wait_until, lambda: worker.engine.running, "its prompt")
        task.cancel()
        return await task

    write("spring.csv", SHEET)
    with FakeComfyUI() as worker:
        worker.hold()
        state = asyncio.run(stop_it(worker))
        assert None is worker.engine.running
    EventsWorker.drain_all(at_exit=False)
    assert ("CANCELLED", "Cancelled") == ended(state)
