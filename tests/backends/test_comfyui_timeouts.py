"""The time limits of a picture on a worker, on a virtual clock: each ends the wait in its own way.

Not begun, no step, too long a run: the rules alone are in test_comfyui_answers.py, with the socket's steps in
test_comfyui_socket.py. Here: what is done at the worker, and the limit for the whole request.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from fakes.comfyui_lane import planned
from fakes.comfyui_virtual import VirtualWorker, now
from fakes.virtual_time import run_virtual

from assetline.backends.comfyui import ComfyUISettings
from assetline.errors import BackendError, BackendUnavailable, JobTimedOut

LIMITS: dict[str, Any] = {"start_s": 600, "run_s": 300, "request_s": 5000, "first_pause_s": 1}


async def fails(worker: VirtualWorker, **limits: float) -> tuple[BackendError, float]:
    """A picture that does not come: the error, and after how many seconds."""
    backend, began = worker.lane(settings=ComfyUISettings(**(LIMITS | limits))), now()
    with pytest.raises(BackendError) as caught:
        await backend.generate(planned(), 1)
    seconds = now() - began
    await backend.close()
    return caught.value, seconds


@pytest.fixture
def worker(tmp_path: Path) -> VirtualWorker:
    return VirtualWorker(tmp_path)


def test_what_is_not_begun_is_taken_out_of_the_queue_and_another_lane_may_help(worker: VirtualWorker) -> None:
    async def story() -> tuple[BackendError, float]:
        worker.hangs = True
        worker.submit("theirs")
        return await fails(worker)

    error, seconds = run_virtual(story())
    assert type(error) is JobTimedOut
    assert "within 600 s: its queue does not move" in str(error)
    assert error.transient
    assert 600 <= seconds < 605
    assert worker.engine.pending == []
    assert worker.engine.running is not None, "theirs is left alone"


def test_what_is_not_begun_behind_many_others_says_how_many(tmp_path: Path) -> None:
    worker = VirtualWorker(tmp_path, seconds_per_image=100)

    async def story() -> tuple[BackendError, float]:
        for number in range(20):
            worker.submit(f"theirs-{number}")
        return await fails(worker)

    error, _ = run_virtual(story())
    assert "there are still 15 others before it" in str(error)


def test_what_runs_too_long_is_interrupted_by_its_id(worker: VirtualWorker) -> None:
    worker.hangs = True
    error, seconds = run_virtual(fails(worker))
    assert type(error) is JobTimedOut
    assert "did not finish the picture within 300 s" in str(error)
    assert 300 <= seconds < 305
    assert worker.engine.running is None
    assert "execution_interrupted" in str(worker.engine.history[error.job_id])


# ---------------------------------------------------------------------- the whole request


@pytest.mark.parametrize("state", ["waiting", "running"])
def test_a_request_that_takes_too_long_all_in_all_is_taken_back(worker: VirtualWorker, state: str) -> None:
    async def story() -> tuple[BackendError, float]:
        worker.hangs = True
        if state == "waiting":
            worker.submit("theirs")
        return await fails(worker, request_s=120)

    error, seconds = run_virtual(story())
    assert type(error) is JobTimedOut
    assert "did not bring the picture within 120 s, all in all; it was taken back there" in str(error)
    assert 120 <= seconds < 123
    assert error.job_id
    assert worker.engine.pending == []
    assert (worker.engine.running is None) == (state == "running")


def test_a_request_that_does_not_let_itself_be_taken_back_makes_the_worker_unavailable(worker: VirtualWorker) -> None:
    worker.hangs = True
    worker.engine.obeys_interrupts = False
    error, _ = run_virtual(fails(worker, request_s=120))
    assert type(error) is BackendUnavailable
    assert "goes on with it though it was interrupted" in str(error)


def test_a_request_that_takes_too_long_on_a_worker_that_answers_no_more_is_not_said_to_be_taken_back(
    worker: VirtualWorker,
) -> None:
    async def story() -> tuple[BackendError, float]:
        worker.hangs = True
        asyncio.get_running_loop().call_later(60, setattr, worker, "is_silent", True)
        return await fails(worker, request_s=120, silent_s=900)

    error, seconds = run_virtual(story())
    assert type(error) is BackendUnavailable
    assert "within 120 s, all in all, and does not answer now" in str(error)
    assert 125 <= seconds < 126, "the limit, and the time for a cancel"


def test_a_picture_that_is_made_and_whose_download_takes_too_long_is_fetched_at_the_next_try(
    worker: VirtualWorker,
) -> None:
    async def story() -> str:
        backend = worker.lane(settings=ComfyUISettings(request_s=60))
        worker.slow_downloads_s = 100
        with pytest.raises(JobTimedOut, match="within 60 s, all in all") as caught:
            await backend.generate(planned(), 1)
        worker.slow_downloads_s = 0
        render = await backend.generate(planned(), 2)
        await backend.close()
        assert render.job_id == caught.value.job_id
        return render.job_id

    assert [run_virtual(story())] == worker.engine.started


def test_a_cancel_is_not_taken_for_a_limit(worker: VirtualWorker) -> None:
    async def story() -> bool:
        worker.hangs = True
        backend = worker.lane()
        task = asyncio.create_task(backend.generate(planned(), 1))
        await asyncio.sleep(5)
        task.cancel()
        await asyncio.wait({task})
        await backend.close()
        return task.cancelled()

    assert run_virtual(story())
    assert worker.engine.running is None
