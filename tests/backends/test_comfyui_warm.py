"""Warming a worker up: the request's files are loaded by a prompt that makes next to nothing and leaves next to nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.campaigns import png
from fakes.comfyui_lane import Ticker, lane, planned, workflow
from fakes.fake_comfyui import FakeComfyUI

from assetline.backends import Warmable
from assetline.backends.comfyui.binder import LEAST_SIDE_PX, smallest
from assetline.errors import BackendUnavailable, JobFailed, LaneUnsuited
from assetline.records import ImageRequest
from assetline.workflow import Parameter, affinity, bind, load_workflows, model_files

pytestmark = pytest.mark.anyio


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - what it waits for happens in the worker's thread
        await asyncio.sleep(0)


def messages(worker: FakeComfyUI, prompt_id: str) -> dict[str, dict[str, object]]:
    return dict(worker.engine.history[prompt_id]["status"]["messages"])


async def test_what_the_request_needs_is_loaded_when_its_turn_comes(worker: FakeComfyUI) -> None:
    backend, wanted = lane(worker.url), planned(steps=20, checkpoint="sd_xl_base_1.0.safetensors")
    assert isinstance(backend, Warmable)
    assert await backend.warm(wanted) >= 0
    render = await backend.generate(wanted, 1)
    cached = messages(worker, render.job_id)["execution_cached"]["nodes"]
    await backend.close()
    assert "4" in cached, "the checkpoint's loader"
    assert "3" not in cached, "but the picture is made"


async def test_it_is_small_has_one_step_and_a_prefix_of_ours(worker: FakeComfyUI) -> None:
    backend = lane(worker.url)
    await backend.warm(planned(steps=20))
    await backend.close()
    (body,) = worker.bodies["/prompt"]
    nodes = {node: item["inputs"] for node, item in body["prompt"].items()}
    assert (nodes["5"]["width"], nodes["5"]["height"], nodes["3"]["steps"]) == (64, 64, 1)
    assert nodes["9"]["filename_prefix"] == f"assetline/warm-{body['prompt_id'][:8]}"


async def test_it_is_not_the_request_s_attempt_and_nobody_takes_it_for_its_picture(worker: FakeComfyUI) -> None:
    backend, wanted = lane(worker.url, campaign="spring"), planned()
    await backend.warm(wanted)
    assert worker.engine.executions[wanted.request.key] == 0
    assert worker.engine.history == {}, "deleted"
    assert "GET /view" not in worker.paths()
    await backend.close()
    facts = worker.bodies["/prompt"][0]["extra_data"]["assetline"]
    assert facts.keys() == {"warms", "campaign", "maker"}


async def test_one_that_a_killed_process_left_is_not_adopted_but_deleted_where_it_waits(worker: FakeComfyUI) -> None:
    worker.hold()
    worker.submit_foreign("theirs")
    before = lane(worker.url, campaign="spring")
    bound = await before._binder.bind_warm_up(planned())
    await before.close()
    worker.submit(
        {"prompt": bound.graph, "prompt_id": bound.job.prompt_id, "extra_data": {"assetline": bound.facts}},
    )
    backend = lane(worker.url, campaign="spring")
    assert await backend.adopt([planned()]) == {}
    await backend.close()
    assert worker.engine.pending == []


@pytest.mark.parametrize("state", ["running", "waiting"])
async def test_cancelling_takes_it_back_whatever_its_state(worker: FakeComfyUI, state: str) -> None:
    worker.hold()
    if state == "waiting":
        worker.submit_foreign("theirs")
    backend = lane(worker.url)
    task = asyncio.create_task(backend.warm(planned()))
    await until(lambda: worker.engine.pending if state == "waiting" else worker.engine.running)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    await backend.close()
    assert worker.engine.pending == []
    assert (worker.engine.running is None) == (state == "running"), "theirs goes on"


async def test_it_takes_turns_with_others_like_any_picture(worker: FakeComfyUI) -> None:
    worker.hold()
    ticker = Ticker()
    backend = lane(worker.url, ticker)
    task = asyncio.create_task(backend.generate(planned(), 1))
    await until(lambda: worker.engine.running)
    worker.submit_foreign("theirs")
    ticker.at(ticker.seconds + 60, worker.release)
    await backend.warm(planned())
    await task
    await backend.close()
    assert worker.engine.started[1] == "theirs"


async def test_a_worker_that_lacks_the_checkpoint_or_cannot_read_it_is_said_so_before_the_campaign(
    worker: FakeComfyUI,
) -> None:
    backend = lane(worker.url)
    with pytest.raises(LaneUnsuited, match=r"no-such\.safetensors"):
        await backend.warm(planned(checkpoint="no-such.safetensors"))
    worker.engine.broken.add("AWPainting_v1.3.safetensors")
    with pytest.raises(JobFailed, match=r"cannot read the model file AWPainting_v1\.3\.safetensors"):
        await backend.warm(planned())
    worker.stop()
    with pytest.raises(BackendUnavailable):
        await backend.warm(planned())
    await backend.close()


async def test_a_reference_image_is_sent_with_it_and_is_there_when_the_request_comes(worker: FakeComfyUI) -> None:
    backend = lane(worker.url, None, workflow("reference"), references=lambda _: png(1))
    wanted = planned(name="reference", references={"reference_image": "a" * 64})
    await backend.warm(wanted)
    await backend.generate(wanted, 1)
    await backend.close()
    assert worker.paths().count("POST /upload") == 1


# ---------------------------------------------------------------------- the smallest that a contract takes


def request(width: int = 1024, height: int = 768) -> ImageRequest:
    return planned().request.model_copy(update={"width": width, "height": height})


def smallest_sides(wanted: ImageRequest, **limits: int) -> tuple[int, int]:
    contract = workflow().contract
    sides = {name: Parameter(targets=(), type="int", **limits) for name in ("width", "height")}
    found = smallest(contract.model_copy(update={"parameters": {**contract.parameters, **sides}}), wanted)
    return found.width, found.height


def test_the_smallest_size_is_that_of_the_contract_in_its_own_steps_and_never_above_the_request_s() -> None:
    assert smallest_sides(request()) == (LEAST_SIDE_PX, LEAST_SIDE_PX)
    assert smallest_sides(request(), minimum=16) == (64, 64), "a model cannot do much with less"
    assert smallest_sides(request(), minimum=500, multiple_of=64) == (512, 512)
    assert smallest_sides(request(1024, 320), minimum=512) == (512, 320), "bind will say that it is too small"


@pytest.mark.parametrize("name", load_workflows(Path(__file__).parents[2] / "workflows"))
def test_every_shipped_workflow_takes_its_warm_up_and_loads_the_same_files_by_it(name: str) -> None:
    shipped = load_workflows(Path(__file__).parents[2] / "workflows")[name]
    own = {"lora": "house-style.safetensors"} if "lora" in shipped.contract.parameters else {}
    roles = [role for role, parameter in shipped.contract.parameters.items() if parameter.type == "image"]
    wanted = request().model_copy(
        update={"workflow": name, "parameters": own, "references": dict.fromkeys(roles, "a" * 64)}
    )
    small = smallest(shipped.contract, wanted)
    images = dict.fromkeys(roles, "a.png")
    assert model_files(bind(shipped, small, "x", images)) == model_files(bind(shipped, wanted, "x", images))
    assert affinity(shipped, small) == affinity(shipped, wanted)
    assert (small.width, small.height, small.parameters["steps"]) == (64, 64, 1)
