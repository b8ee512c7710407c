"""What a killed run left on a worker is followed and not made again; what others left, or still want, is not touched."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from fakes.comfyui_lane import Ticker, lane, planned
from fakes.fake_comfyui import FakeComfyUI

from assetline.backends import Adopter
from assetline.backends.comfyui import adoption
from assetline.errors import BackendUnavailable, JobLost
from assetline.records import PlannedRequest

pytestmark = pytest.mark.anyio


@pytest.fixture
def worker() -> Iterator[FakeComfyUI]:
    with FakeComfyUI() as fake:
        fake.hold()
        yield fake


@pytest.fixture(scope="module")
def dead() -> str:
    """A maker on this machine whose process has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return f"{socket.gethostname()}/{process.pid}/0123456789ab"


async def leave(worker: FakeComfyUI, request: PlannedRequest, maker: str, campaign: str = "spring") -> str:
    """A prompt as a lane hands it in, of which nobody knows any more; its prompt_id."""
    backend = lane(worker.url, campaign=campaign)
    bound = await backend._binder.bind(request, 1)
    await backend.close()
    facts = {**bound.facts, "maker": maker}
    worker.submit({"prompt": bound.graph, "prompt_id": bound.job.prompt_id, "extra_data": {"assetline": facts}})
    return bound.job.prompt_id


def waiting(worker: FakeComfyUI) -> list[str]:
    return [item[1] for item in worker.engine.pending]


# ---------------------------------------------------------------------- followed


async def test_what_is_finished_running_and_pending_is_followed_and_not_made_again(
    worker: FakeComfyUI, dead: str
) -> None:
    wanted = [planned(seed) for seed in (1, 2, 3)]
    ids = [await leave(worker, request, dead) for request in wanted]
    worker.step()
    backend = lane(worker.url, campaign="spring")
    found = await backend.adopt(wanted)
    assert [found[request.request.key] for request in wanted] == ["finished", "running", "pending"]
    worker.release()
    renders = [await backend.generate(request, 1) for request in wanted]
    await backend.close()
    assert [render.job_id for render in renders] == ids
    assert worker.engine.executions == {request.request.key: 1 for request in wanted}
    assert "POST /prompt" not in worker.paths()
    assert {render.notes for render in renders} == {("Found on the worker after an interruption, and not made again.",)}
    assert all(render.graph and render.graph["3"]["inputs"]["seed"] == render.seed for render in renders)
    assert worker.engine.history == {}


async def test_what_is_gone_by_the_time_of_its_turn_is_made_anew(worker: FakeComfyUI, dead: str) -> None:
    await leave(worker, planned(), dead)
    backend = lane(worker.url)
    assert await backend.adopt([planned()]) == {planned().request.key: "running"}
    worker.restart()
    worker.release()
    render = await backend.generate(planned(), 1)
    await backend.close()
    assert [render.job_id] == worker.engine.started[1:]
    assert render.notes == ()


async def test_a_finished_one_whose_file_is_gone_is_lost_and_made_anew_at_the_next_try(
    worker: FakeComfyUI, dead: str
) -> None:
    worker.release()
    await leave(worker, planned(), dead)
    worker.delete_outputs()
    backend = lane(worker.url)
    await backend.adopt([planned()])
    with pytest.raises(JobLost, match="no longer has the picture"):
        await backend.generate(planned(), 1)
    render = await backend.generate(planned(), 2)
    await backend.close()
    assert [render.job_id] == worker.engine.started[1:]


async def test_one_that_failed_is_not_taken_for_a_picture(worker: FakeComfyUI, dead: str) -> None:
    worker.release()
    worker.engine.next_error = ("ValueError", "no")
    await leave(worker, planned(), dead)
    backend = lane(worker.url)
    assert await backend.adopt([planned()]) == {}
    await backend.close()


async def test_of_two_that_make_the_same_request_the_furthest_is_adopted_and_the_other_deleted(
    worker: FakeComfyUI, dead: str
) -> None:
    first, second = await leave(worker, planned(), dead), await leave(worker, planned(), dead)
    worker.step()
    worker.submit_foreign("theirs")
    third = await leave(worker, planned(), dead)
    backend = lane(worker.url, campaign="spring")
    assert await backend.adopt([planned()]) == {planned().request.key: "finished"}
    render = await backend.generate(planned(), 1)
    await backend.close()
    assert render.job_id == first
    assert worker.engine.running is not None
    assert worker.engine.running[1] == second, "it runs: it is left to end"
    assert third not in waiting(worker)
    assert waiting(worker) == ["theirs"]


# ---------------------------------------------------------------------- not touched


async def test_what_a_living_lane_follows_is_not_adopted_until_that_lane_is_closed(worker: FakeComfyUI) -> None:
    mine, other = lane(worker.url, campaign="spring"), lane(worker.url, campaign="spring")
    making = asyncio.create_task(mine.generate(planned(), 1))
    while not worker.engine.running:  # noqa: ASYNC110 - it happens in the worker's thread
        await asyncio.sleep(0)
    assert await other.adopt([planned()]) == {}
    worker.release()
    await making
    await mine.close()
    again = await leave(worker, planned(), mine._maker)
    assert await other.adopt([planned()]) == {planned().request.key: "finished"}
    assert (await other.generate(planned(), 1)).job_id == again
    await other.close()


async def test_what_is_wanted_no_more_is_deleted_only_where_it_waits_for_this_campaign_and_its_maker_is_dead(
    worker: FakeComfyUI, dead: str
) -> None:
    elsewhere = "another-machine/1/0123456789ab"
    runs = await leave(worker, planned(1), dead)
    await leave(worker, planned(2), dead)
    kept = [
        await leave(worker, planned(3), dead, campaign="autumn"),
        await leave(worker, planned(4), elsewhere),
        await leave(worker, planned(5), adoption.new_maker()),
    ]
    worker.submit_foreign("theirs")
    worker.submit({"prompt": worker.engine.pending[0][2], "prompt_id": "odd", "extra_data": {"assetline": "hello"}})
    backend = lane(worker.url, campaign="spring")
    assert await backend.adopt([]) == {}
    await backend.close()
    assert worker.engine.running is not None
    assert worker.engine.running[1] == runs
    assert waiting(worker) == [*kept, "theirs", "odd"]
    assert worker.bodies["/interrupt"] == []


async def test_what_a_lane_on_another_machine_left_is_adopted_where_it_is_wanted(worker: FakeComfyUI) -> None:
    await leave(worker, planned(), "another-machine/1/0123456789ab")
    backend = lane(worker.url)
    assert await backend.adopt([planned()]) == {planned().request.key: "running"}
    await backend.close()


async def test_an_adopted_prompt_that_another_lane_has_further_is_taken_back(worker: FakeComfyUI, dead: str) -> None:
    await leave(worker, planned(1), dead)
    await leave(worker, planned(2), dead)
    backend = lane(worker.url)
    await backend.adopt([planned(1), planned(2)])
    await backend.disown(planned(2).request.key)
    assert waiting(worker) == []
    await backend.disown(planned(1).request.key)
    assert worker.engine.running is None
    await backend.close()


async def test_a_lane_that_is_closed_takes_back_what_it_adopted_and_never_came_to(
    worker: FakeComfyUI, dead: str
) -> None:
    await leave(worker, planned(1), dead)
    backend = lane(worker.url)
    await backend.adopt([planned(1)])
    await backend.close()
    assert worker.engine.running is None
    assert len(worker.bodies["/interrupt"]) == 1


async def test_a_worker_that_does_not_answer_is_said_so(worker: FakeComfyUI) -> None:
    worker.stop()
    backend = lane(worker.url)
    with pytest.raises(BackendUnavailable):
        await backend.adopt([planned()])
    await backend.close()


def test_a_maker_is_alive_while_its_lane_is_open_or_its_process_lives(dead: str) -> None:
    here = adoption.new_maker()
    host, pid, _ = here.split("/")
    parent = f"{host}/{os.getppid()}/0123456789ab"
    seen: dict[str, Any] = {maker: adoption.is_alive(maker) for maker in (here, parent, dead, "elsewhere/1/x", "", "x")}
    adoption.retire(here)
    reborn = f"{host}/{pid}/0123456789ab"
    assert seen == {here: True, parent: True, dead: False, "elsewhere/1/x": None, "": None, "x": None}
    assert (adoption.is_alive(here), adoption.is_alive(reborn)) == (False, False)


def test_the_lane_is_an_adopter() -> None:
    assert isinstance(lane("http://gpu1:8188"), Adopter)


# ---------------------------------------------------------------------- within one run


async def test_what_was_given_up_when_the_worker_fell_silent_is_followed_when_the_request_comes_back(
    worker: FakeComfyUI,
) -> None:
    ticker = Ticker()
    ticker.at(3, worker.stop)
    backend = lane(worker.url, ticker)
    with pytest.raises(BackendUnavailable) as caught:
        await backend.generate(planned(), 1)
    worker.start()
    worker.release()
    render = await backend.generate(planned(), 2)
    await backend.close()
    assert render.job_id == caught.value.job_id
    assert worker.engine.executions == {planned().request.key: 1}


async def test_what_was_given_up_and_waits_is_deleted_when_the_worker_is_given_other_work(worker: FakeComfyUI) -> None:
    ticker = Ticker()
    worker.submit_foreign("theirs")
    ticker.at(3, worker.stop)
    backend = lane(worker.url, ticker)
    with pytest.raises(BackendUnavailable) as caught:
        await backend.generate(planned(1), 1)
    worker.start()
    assert waiting(worker) == [caught.value.job_id]
    ticker.at(ticker.seconds + 2, worker.release)
    render = await backend.generate(planned(2), 1)
    await backend.close()
    assert worker.engine.started == ["theirs", render.job_id]


async def test_what_was_given_up_and_never_arrived_is_made_anew(worker: FakeComfyUI) -> None:
    worker.release()
    worker.stop()
    backend = lane(worker.url)
    with pytest.raises(BackendUnavailable):
        await backend.generate(planned(), 1)
    worker.start()
    render = await backend.generate(planned(), 2)
    await backend.close()
    assert worker.engine.started == [render.job_id]
