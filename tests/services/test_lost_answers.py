"""The answer to every submit is lost, and still every request is executed once and stored once."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.campaigns import statuses
from fakes.command_line import write
from fakes.fake_comfyui import FakeComfyUI
from fakes.fast_time import now, run_fast

from assetline.backends.comfyui import Clock, ComfyUIBackend, ComfyUISettings
from assetline.bootstrap.planning import plan_sheet
from assetline.dispatch import Lane
from assetline.pipeline import RunJob, RunResult, run_campaign
from assetline.run_records import RunOptions
from assetline.settings import Settings
from assetline.store.folder import FolderStore

REQUESTS = 500
SHEET = "id,prompt,workflow,size,variants\n" + "".join(
    f"R{row},a thing no. {row},sd15-txt2img,64x64,50\n" for row in range(REQUESTS // 50)
)
PATIENT = ComfyUISettings(connect_s=600, read_s=600, cancel_s=600, idle_s=600)  # the clock is fast


async def campaign(*workers: FakeComfyUI) -> RunResult:
    planning = plan_sheet("spring.csv", RunOptions(lanes=tuple(worker.url for worker in workers)), Settings())
    backends = [
        ComfyUIBackend(
            name, planning.workflows, references=planning.references.__getitem__, settings=PATIENT, clock=Clock(now)
        )
        for name in planning.lanes
    ]
    lanes = [Lane(backend, slots=2, ahead=1) for backend in backends]
    job = RunJob(planning.plan, planning.source.data, FolderStore(Path("store")), lanes)
    try:
        return await run_campaign(job, lambda step: step, lambda _: None)
    finally:
        for backend in backends:
            await backend.close()


@pytest.mark.server
def test_500_requests_whose_every_answer_is_lost_give_500_executions_and_500_results() -> None:
    write("spring.csv", SHEET)
    with FakeComfyUI() as first, FakeComfyUI() as second:
        for worker in (first, second):
            worker.fault("POST /prompt", *["drop_after"] * (2 * REQUESTS))
        result = run_fast(campaign(first, second))
    assert statuses(result) == ["stored"] * REQUESTS
    assert first.engine.executions + second.engine.executions == {outcome.request_key: 1 for outcome in result.outcomes}
    left = first.faults_left("POST /prompt") + second.faults_left("POST /prompt")
    assert left == 4 * REQUESTS - REQUESTS, "one answer was lost for each"
    assert len(list(Path("store/campaigns/spring/assets").glob("*/*.png"))) == REQUESTS
    assert len(first.bodies["/prompt"]) + len(second.bodies["/prompt"]) == REQUESTS
    assert [len(outcome.attempts) for outcome in result.outcomes] == [1] * REQUESTS
