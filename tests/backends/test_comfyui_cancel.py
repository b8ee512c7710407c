"""Cancelling a picture on a ComfyUI worker: ours goes, at once and whatever its state; nobody else's is touched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from fakes.comfyui_lane import Ticker, lane, planned
from fakes.fake_comfyui import FakeComfyUI

from assetline.backends.comfyui import ComfyUIBackend, ComfyUISettings
from assetline.records import Render

pytestmark = pytest.mark.anyio


@pytest.fixture
def worker() -> Iterator[FakeComfyUI]:
    with FakeComfyUI() as fake:
        fake.hold()
        yield fake


async def cancelled(task: asyncio.Task[Render]) -> bool:
    await asyncio.wait({task})
    return task.cancelled()


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - what it waits for happens in the worker's thread
        await asyncio.sleep(0)


def start(backend: ComfyUIBackend, seed: int = 1) -> asyncio.Task[Render]:
    return asyncio.create_task(backend.generate(planned(seed), 1))


async def test_one_that_waits_is_deleted_and_the_others_stay(worker: FakeComfyUI) -> None:
    ticker = Ticker()
    worker.submit_foreign("runs")
    worker.submit_foreign("waits")
    backend = lane(worker.url, ticker)
    task = start(backend)
    ticker.at(1, task.cancel)
    assert await cancelled(task)
    await backend.close()
    assert [item[1] for item in worker.engine.pending] == ["waits"]
    assert worker.engine.started == ["runs"]
    assert worker.bodies["/interrupt"] == []


async def test_one_that_runs_is_interrupted_by_its_id_and_the_next_one_starts(worker: FakeComfyUI) -> None:
    ticker = Ticker()
    backend = lane(worker.url, ticker)
    task = start(backend)
    ticker.at(1, lambda: worker.submit_foreign("theirs"))
    ticker.at(2, task.cancel)
    assert await cancelled(task)
    await backend.close()
    ours, theirs = worker.engine.started
    assert theirs == "theirs"
    assert worker.bodies["/interrupt"] == [{"prompt_id": ours}]
    assert worker.engine.running is not None


async def test_the_other_picture_of_the_same_lane_is_not_touched(worker: FakeComfyUI) -> None:
    ticker = Ticker()
    backend = lane(worker.url, ticker)
    first = start(backend, seed=1)
    await until(lambda: worker.engine.started)
    second = start(backend, seed=2)
    await until(lambda: worker.engine.pending)
    first.cancel()
    assert await cancelled(first)
    worker.release()
    assert (await second).seed == 2
    await backend.close()


async def test_one_whose_post_is_on_its_way_is_taken_back_after_it_arrived(worker: FakeComfyUI) -> None:
    worker.latency_s = 0.02
    worker.submit_foreign("theirs")
    backend = lane(worker.url)
    task = start(backend)
    await until(lambda: "POST /prompt" in worker.paths())
    task.cancel()
    assert await cancelled(task)
    await backend.close()
    assert len(worker.bodies["/prompt"]) == 1
    assert worker.engine.pending == []


async def test_a_second_cancel_ends_the_wait_and_close_still_takes_it_back(worker: FakeComfyUI) -> None:
    worker.submit_foreign("theirs")
    backend = lane(worker.url)
    task = start(backend)
    await until(lambda: worker.engine.pending)
    worker.latency_s = 0.02
    task.cancel()
    await until(lambda: "POST /queue" in worker.paths())
    task.cancel()
    assert await cancelled(task)
    assert worker.bodies["/queue"] == []
    await backend.close()
    assert worker.engine.pending == []


@pytest.mark.parametrize("state", ["dead", "silent"])
async def test_a_worker_that_does_not_answer_does_not_hold_up_the_cancel(worker: FakeComfyUI, state: str) -> None:
    backend = lane(worker.url, settings=ComfyUISettings(cancel_s=0.05))
    task = start(backend)
    await until(lambda: worker.engine.started)
    if state == "dead":
        worker.stop()
    else:
        worker.fault("POST /queue", "hang")
    task.cancel()
    assert await cancelled(task)
    await backend.close()
