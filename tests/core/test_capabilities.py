"""backends.comfyui.capabilities and bootstrap.workers: what workers have, asked once, at the same time, not for long."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from fakes.command_line import wait_until, write
from fakes.fake_comfyui import FakeComfyUI

from assetline.backends.comfyui.capabilities import ask, examine
from assetline.bootstrap.informed import InformedBackend
from assetline.bootstrap.planning import lane_label, plan_sheet
from assetline.bootstrap.running import open_lanes
from assetline.bootstrap.workers import already_asked, ask_workers, worker_urls
from assetline.errors import BackendUnavailable, JobTimedOut, OptionError
from assetline.plan import Workers
from assetline.run_records import RunOptions
from assetline.settings import Settings

pytestmark = pytest.mark.anyio
LORA = ("LoraLoader", "lora_name")
SHEET = "id,prompt,workflow,lora\nA,a mug,sdxl-lora,gold.safetensors\nB,a cup,sd15-txt2img,\n"


def options(*lanes: str) -> RunOptions:
    return RunOptions(lanes=lanes)


async def test_one_question_tells_every_class_and_file() -> None:
    with FakeComfyUI({"loras": ["sub\\gold.safetensors"]}) as worker:
        found = await ask(worker.url)
        assert [("GET", "/object_info")] == worker.asked
    assert worker.url == found.url
    assert ("sub/gold.safetensors",) == found.choices(LORA)
    assert "euler" in (found.choices(("KSampler", "sampler_name")) or ())
    assert {"CheckpointLoaderSimple", "KSampler"} <= set(found.classes)
    assert None is found.choices(("LoadImage", "image"))


async def test_a_worker_that_hangs_is_given_up_in_words() -> None:
    with FakeComfyUI() as worker:
        worker.fault("GET /object_info", "hang")
        with pytest.raises(BackendUnavailable, match=r"did not answer within 0\.05 s"):
            await ask(worker.url, limit_s=0.05)


@pytest.mark.parametrize("fault", ["drop_before", "nonsense", "500", "404"])
async def test_whatever_is_no_answer_is_a_worker_that_cannot_be_asked(fault: str) -> None:
    with FakeComfyUI() as worker:
        worker.fault("GET /object_info", fault)
        with pytest.raises(BackendUnavailable, match=worker.url):
            await ask(worker.url)


@pytest.mark.parametrize("answer", [{}, {"detail": "Not Found"}, {"KSampler": []}])
async def test_something_else_on_the_port_is_said_to_be_no_comfyui(answer: object) -> None:
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, json=answer))
    async with httpx.AsyncClient(transport=transport) as http:
        with pytest.raises(BackendUnavailable, match="does not answer like a ComfyUI"):
            await ask("http://gpu1:8188", http=http)


async def test_a_workers_machine_is_told_with_its_queue() -> None:
    with FakeComfyUI() as worker:
        worker.hold()
        worker.submit_foreign("one")
        worker.submit_foreign("two")
        machine, has = await examine(worker.url)
    assert ("0.3.64", "cpu", 2**34) == (machine.version, machine.device, machine.memory)
    assert (1, 1) == (machine.running, machine.waiting)
    assert "KSampler" in has.classes


async def test_workers_that_do_not_answer_are_silent_with_the_reason_and_without_credentials() -> None:
    with FakeComfyUI() as worker:
        found = await ask_workers(options(worker.url, "http://me:secret@127.0.0.1:1", "fpo"), Settings())
    assert ([worker.url], ["http://127.0.0.1:1"]) == (list(found.known), list(found.silent))
    assert "cannot be reached" in found.silent["http://127.0.0.1:1"]
    assert "secret" not in str(found)


async def test_all_are_asked_at_the_same_time() -> None:
    """The first answers only when the second has been asked."""
    with FakeComfyUI() as first, FakeComfyUI() as second:
        first.hang()
        asking = asyncio.create_task(ask_workers(options(first.url, second.url), Settings()))
        await asyncio.to_thread(wait_until, lambda: second.asked, "the question to the second")
        first.wake()
        assert {first.url, second.url} == set((await asking).known)


async def test_a_command_asks_once_though_its_flow_plans_the_sheet_again() -> None:
    with FakeComfyUI() as worker:
        told = await ask_workers(options(worker.url), Settings())
        with already_asked(told):
            assert told is await ask_workers(options(worker.url), Settings())
        assert 1 == len(worker.asked)


async def test_a_run_without_comfyui_asks_nobody() -> None:
    assert Workers() == await ask_workers(RunOptions(), Settings())
    assert () == worker_urls(options("fpo"), Settings())


async def test_a_lane_that_is_no_address_is_an_option_error() -> None:
    with pytest.raises(OptionError, match="no ComfyUI address"):
        await ask_workers(options("http://:8188"), Settings())


def test_a_lane_is_shown_without_credentials() -> None:
    assert "http://gpu1:8188/comfy" == lane_label("http://me:se@cret@gpu1:8188/comfy")
    assert ["fpo", "http://gpu1:8188"] == [lane_label("fpo"), lane_label("http://gpu1:8188")]


async def test_a_lane_takes_no_request_for_which_its_worker_lacks_something() -> None:
    write("spring.csv", SHEET)
    with FakeComfyUI({"loras": ["gold.safetensors"]}) as rich, FakeComfyUI({"loras": []}) as poor:
        run, settings = options(rich.url, poor.url), Settings()
        planning = plan_sheet("spring.csv", run, settings, await ask_workers(run, settings))
        assert () == planning.plan.problems
        lanes = open_lanes(planning, settings)
        suited = {lane.name: [lane.backend.suits(planned) for planned in planning.plan.requests] for lane in lanes}
        assert all(isinstance(lane.backend, InformedBackend) for lane in lanes)
        for lane in lanes:
            await lane.backend.close()
    assert {rich.url: [True, True], poor.url: [False, True]} == suited


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"picture_timeout_s": 0.1}, "did not finish the picture within 0.1 s"),
        ({"request_timeout_s": 0.1}, "did not bring the picture within 0.1 s, all in all"),
    ],
)
async def test_both_limits_on_a_try_are_settings(limits: dict[str, float], said: str) -> None:
    write("spring.csv", SHEET)
    with FakeComfyUI() as worker:
        worker.hold()
        run, settings = options(worker.url), Settings(**limits)
        planning = plan_sheet("spring.csv", run, settings)
        [lane] = open_lanes(planning, settings)
        with pytest.raises(JobTimedOut, match=said):
            await lane.backend.generate(planning.plan.requests[1], 1)
        await lane.backend.close()
