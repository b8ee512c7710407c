"""Whole campaigns over ComfyUI workers, fakes that speak its HTTP: who makes what, what is sent, who survives what."""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.campaigns import files, png, statuses
from fakes.fake_comfyui import FakeComfyUI
from fakes.fast_time import now, run_fast
from PIL import Image

from assetline.backends.comfyui import Clock, ComfyUIBackend, ComfyUISettings
from assetline.bootstrap.planning import plan_sheet
from assetline.dispatch import DispatchOptions, Lane
from assetline.errors import BackendUnavailable
from assetline.pipeline import Progress, RunJob, RunResult, run_campaign
from assetline.provenance import read_sidecar
from assetline.records import Asset
from assetline.run_records import RunOptions, Sidecar
from assetline.settings import Settings
from assetline.store.folder import FolderStore
from assetline.workflow import affinity

LORA = "house-style.safetensors"
SHEET = f"""id,prompt,workflow,size,variants,lora,reference_image
TENT,a tent,sd15-txt2img,64x64,4,,
MUG,a mug,sdxl-lora,"64x64, 72x64",2,{LORA},
WALK,a walker,sdxl-controlnet-pose,64x64,4,,pose.png
"""
REQUESTS = 12
PATIENT = ComfyUISettings(
    connect_s=600, read_s=600, cancel_s=600, idle_s=600
)  # the clock is fast, and the machine may be busy

Act = Callable[[Progress], None]
Workers = tuple[FakeComfyUI, FakeComfyUI]


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def workers() -> Iterator[Workers]:
    with FakeComfyUI() as first, FakeComfyUI() as second:
        yield first, second


def job(
    store: FolderStore,
    *workers: FakeComfyUI,
    sheet: str = SHEET,
    campaign: str = "spring",
    kind: type[ComfyUIBackend] = ComfyUIBackend,
) -> RunJob:
    """A sheet with its reference image, planned as the command line does it, with a lane for each worker."""
    Path("pose.png").write_bytes(png(1))
    Path(f"{campaign}.csv").write_text(sheet)
    options = RunOptions(lanes=tuple(worker.url for worker in workers))
    planning = plan_sheet(f"{campaign}.csv", options, Settings())
    assert planning.plan.ok, planning.plan.problems
    workflows = planning.workflows
    clock = Clock(now=now)
    backends = [
        kind(name, workflows, references=planning.references.__getitem__, settings=PATIENT, clock=clock)
        for name in planning.lanes
    ]
    return RunJob(
        planning.plan,
        planning.source.data,
        store,
        [Lane(backend, slots=2) for backend in backends],
        DispatchOptions(affinity=lambda planned: affinity(workflows[str(planned.request.workflow)], planned.request)),
        planning.references,
    )


async def execute(planned: RunJob, act: Act = lambda _: None) -> RunResult:
    try:
        return await run_campaign(planned, lambda step: step, act)
    finally:
        for lane in planned.lanes:
            await lane.backend.close()


def run(planned: RunJob, act: Act = lambda _: None) -> RunResult:
    return run_fast(execute(planned, act))


def assets(result: RunResult) -> list[Asset]:
    found = [outcome.asset for outcome in result.outcomes if outcome.asset]
    assert len(found) == len(result.outcomes)
    return found


def executions(*workers: FakeComfyUI) -> Counter[str]:
    """How often each request was executed, over all workers."""
    return sum((worker.engine.executions for worker in workers), Counter[str]())


def sent(worker: FakeComfyUI) -> dict[str, dict[str, Any]]:
    """The graphs that a worker was sent, by prompt_id."""
    return {body["prompt_id"]: body["prompt"] for body in worker.bodies["/prompt"]}


def sidecar(store: FolderStore, asset: Asset) -> Sidecar:
    return read_sidecar(store.get(asset.sidecar).data)


def at(done: int, act: Callable[[], object]) -> Act:
    """Do `act` once, when so many requests have ended."""
    waiting = [act]

    def follow(progress: Progress) -> None:
        if progress.done >= done and waiting:
            waiting.pop()()

    return follow


def test_every_picture_is_executed_once_and_the_manifest_names_its_prompt_id(
    store: FolderStore, workers: Workers
) -> None:
    result = run(job(store, *workers))
    assert statuses(result) == ["stored"] * REQUESTS
    made = {(asset.lane, asset.job_id) for asset in assets(result)}
    assert made == {(worker.url, prompt_id) for worker in workers for prompt_id in worker.engine.started}
    assert executions(*workers) == {outcome.request_key: 1 for outcome in result.outcomes}
    assert all(worker.engine.started for worker in workers)


def test_the_sidecar_has_the_graph_that_the_worker_got_and_the_file_has_none(
    store: FolderStore, workers: Workers
) -> None:
    graphs = {}
    result = run(job(store, *workers))
    for worker in workers:
        graphs |= sent(worker)
    for asset in assets(result):
        recipe = sidecar(store, asset)
        assert recipe.graph == graphs[asset.job_id]
        assert json.loads(recipe.embedded["prompt"]) == recipe.graph
        with Image.open(io.BytesIO(store.get(asset.original).data)) as published:
            published.load()
            assert "prompt" not in published.info


def test_the_sheets_columns_are_in_the_graph(store: FolderStore, workers: Workers) -> None:
    result = run(job(store, *workers))
    kinds = {}
    for outcome, asset in zip(result.outcomes, assets(result), strict=True):
        graph = sidecar(store, asset).graph or {}
        kinds[outcome.row] = {node["class_type"]: node["inputs"] for node in graph.values()}
        assert kinds[outcome.row]["EmptyLatentImage"]["width"] == asset.width
        assert kinds[outcome.row]["KSampler"]["seed"] == asset.seed
    assert kinds["TENT"]["CheckpointLoaderSimple"]["ckpt_name"] == "AWPainting_v1.3.safetensors"
    assert kinds["MUG"]["LoraLoader"]["lora_name"] == LORA
    assert kinds["WALK"]["LoadImage"]["image"].startswith("assetline/")


def test_a_reference_image_is_sent_to_each_worker_once_and_kept_with_the_campaign(
    store: FolderStore, workers: Workers
) -> None:
    sheet = "id,prompt,workflow,size,variants,reference_image\nWALK,a walker,sdxl-controlnet-pose,64x64,12,pose.png\n"
    result = run(job(store, *workers, sheet=sheet))
    assert statuses(result) == ["stored"] * 12
    for worker in workers:
        assert worker.paths().count("POST /upload") == 1
        [uploaded] = (worker.folder / "input" / "assetline").iterdir()
        assert uploaded.read_bytes() == png(1)
    [kept] = store.list("campaigns/spring/references/")
    assert store.get(kept).data == png(1)


def test_a_worker_without_the_lora_leaves_those_rows_to_the_other(store: FolderStore) -> None:
    with FakeComfyUI({"loras": []}) as poor, FakeComfyUI() as rich:
        sheet = SHEET.replace('"64x64, 72x64",2', "64x64,20")
        result = run(job(store, poor, rich, sheet=sheet))
    assert statuses(result) == ["stored"] * 28
    assert {
        asset.lane for outcome, asset in zip(result.outcomes, assets(result), strict=True) if outcome.row == "MUG"
    } == {rich.url}
    refused = [body for body in poor.bodies["/prompt"] if "LoraLoader" in json.dumps(body["prompt"])]
    assert len(refused) <= 2, "once for each slot, then it is known"
    assert poor.engine.started, "it makes the rows that it can"


def test_a_worker_that_dies_half_way_costs_nothing_but_its_two_prompts(store: FolderStore, workers: Workers) -> None:
    mortal, other = workers
    mortal.hold()
    result = run(job(store, *workers), at(4, mortal.stop))
    assert statuses(result) == ["stored"] * REQUESTS
    assert {asset.lane for asset in assets(result)} == {other.url}
    assert executions(other) == {outcome.request_key: 1 for outcome in result.outcomes}
    twice = [outcome for outcome in result.outcomes if len(outcome.attempts) > 1]
    assert [["network", ""]] * len(twice) == [[attempt.fault for attempt in outcome.attempts] for outcome in twice]
    assert 1 <= len(twice) <= 2
    assert executions(*workers).most_common(1)[0][1] <= 2


def test_a_worker_that_is_dead_from_the_start_is_asked_for_nothing(store: FolderStore, workers: Workers) -> None:
    dead, alive = workers
    dead.stop()
    result = run(job(store, *workers))
    assert statuses(result) == ["stored"] * REQUESTS
    assert {asset.lane for asset in assets(result)} == {alive.url}
    assert [len(outcome.attempts) for outcome in result.outcomes] == [1] * REQUESTS


def test_when_no_worker_answers_the_run_ends_before_it_begins(store: FolderStore, workers: Workers) -> None:
    for worker in workers:
        worker.stop()
    with pytest.raises(BackendUnavailable, match=workers[1].url):
        run(job(store, *workers))


def test_a_worker_that_is_killed_and_started_again_goes_on(store: FolderStore) -> None:
    """The only worker dies with its queue and history; it is started when it has been asked twice whether it is up."""
    probes: list[str] = []

    class Revived(ComfyUIBackend):
        async def probe(self) -> None:
            probes.append(self.name)
            if len(probes) == 3:
                worker.start()
            await super().probe()

    def die() -> None:
        worker.stop()
        worker.restart()

    with FakeComfyUI() as worker:
        result = run(job(store, worker, kind=Revived), at(4, die))
    assert statuses(result) == ["stored"] * REQUESTS
    assert len(probes) == 3
    assert executions(worker).keys() == {outcome.request_key for outcome in result.outcomes}
    assert executions(worker).total() <= REQUESTS + 2


ONE = "id,prompt,workflow,size,variants\nTENT,a tent,sd15-txt2img,64x64,6\n"


def test_two_runs_on_one_worker_each_get_their_own_pictures(store: FolderStore) -> None:
    async def both() -> list[RunResult]:
        return await asyncio.gather(*(execute(job(store, worker, sheet=ONE, campaign=name)) for name in "ab"))

    with FakeComfyUI() as worker:
        first, second = run_fast(both())
    assert statuses(first) == statuses(second) == ["stored"] * 6
    ids = [asset.job_id for result in (first, second) for asset in assets(result)]
    assert sorted(ids) == sorted(worker.engine.started)


def test_a_run_that_is_canceled_takes_back_its_own_prompts_alone(store: FolderStore) -> None:
    async def cancel_one() -> RunResult:
        one, other = (asyncio.create_task(execute(job(store, worker, sheet=ONE, campaign=name))) for name in "ab")
        while len({body["client_id"] for body in worker.bodies["/prompt"]}) < 2:  # noqa: ASYNC110 - in another thread
            await asyncio.sleep(0)
        one.cancel()
        with pytest.raises(asyncio.CancelledError):
            await one
        assert len(worker.engine.pending) + bool(worker.engine.running) >= 1
        worker.release()
        return await other

    with FakeComfyUI() as worker:
        worker.hold()
        result = run_fast(cancel_one())
    assert statuses(result) == ["stored"] * 6
    own = {asset.job_id for asset in assets(result)}
    touched = {prompt_id for body in worker.bodies["/queue"] for prompt_id in body["delete"]}
    touched |= {body["prompt_id"] for body in worker.bodies["/interrupt"]}
    assert touched == sent(worker).keys() - own
    assert own <= set(worker.engine.started)
    assert len(files(store, "/a/assets/")) == 0
