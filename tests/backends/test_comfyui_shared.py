"""A worker that others use too: they and we take turns, and a worker that is ours alone is asked no more for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from fakes.comfyui_lane import lane, planned
from fakes.comfyui_virtual import VirtualWorker
from fakes.fake_comfyui import FakeComfyUI
from fakes.virtual_time import run_virtual

from assetline.backends import Shared
from assetline.backends.comfyui import ComfyUIBackend, ComfyUISettings
from assetline.backends.comfyui.answers import Queue
from assetline.backends.comfyui.clock import Clock
from assetline.backends.comfyui.errors import Job
from assetline.backends.comfyui.room import LINGER_S, Room
from assetline.errors import BackendUnavailable, JobTimedOut

SLOTS = 2
SELDOM = ComfyUISettings(first_pause_s=0.5)  # fewer looks; what they cost is no matter here


async def campaign(backend: ComfyUIBackend, seeds: Iterable[int]) -> list[str]:
    """Make these pictures, two at a time as a run does; their prompt_ids."""
    slots = asyncio.Semaphore(SLOTS)

    async def one(seed: int) -> str:
        async with slots:
            return (await backend.generate(planned(seed), 1)).job_id

    made = await asyncio.gather(*(one(seed) for seed in seeds))
    await backend.close()
    return made


def who(worker: VirtualWorker, **clients: list[str]) -> str:
    """In which order the clients' prompts ran, a letter each."""
    owners = {prompt_id: name for name, ids in clients.items() for prompt_id in ids}
    return "".join(owners.get(prompt_id, "-") for prompt_id in worker.engine.started)


@pytest.mark.parametrize("late_s", [0, 30])
def test_two_campaigns_of_twenty_alternate_on_one_worker(tmp_path: Path, late_s: float) -> None:
    worker = VirtualWorker(tmp_path)

    async def later() -> list[str]:
        await asyncio.sleep(late_s)
        return await campaign(worker.lane(settings=SELDOM), range(100, 120))

    async def both() -> str:
        first, second = await asyncio.gather(campaign(worker.lane(settings=SELDOM), range(20)), later())
        return who(worker, a=first, b=second)

    order = run_virtual(both())
    assert len(order) == 40
    together = order[order.index("b") : order.rindex("a") + 1]
    assert "aaa" not in together
    assert "bbb" not in together
    assert together[3:] in ("ab" * 20, "ba" * 20)[together[3] == "b"], "in turns, but for the beginning"
    half = together[: len(together) // 2]
    assert abs(half.count("a") - half.count("b")) <= 2


def test_the_worker_is_never_idle_while_two_campaigns_take_turns(tmp_path: Path) -> None:
    worker = VirtualWorker(tmp_path, seconds_per_image=4)

    async def both() -> float:
        loop = asyncio.get_running_loop()
        await asyncio.gather(
            campaign(worker.lane(settings=SELDOM), range(10)), campaign(worker.lane(settings=SELDOM), range(100, 110))
        )
        return loop.time()

    assert 80 <= run_virtual(both()) < 81


def test_a_person_at_the_editor_waits_behind_one_picture_of_ours_after_the_two_that_were_there(tmp_path: Path) -> None:
    worker = VirtualWorker(tmp_path)

    async def both() -> str:
        ours = asyncio.create_task(campaign(worker.lane(settings=SELDOM), range(10)))
        theirs = []
        for number in range(5):
            await asyncio.sleep(8.5 if number else 1)
            theirs.append(f"theirs-{number}")
            worker.submit(theirs[-1])
        return who(worker, o=await ours, t=theirs)

    assert run_virtual(both()) == "ootototototoooo"


def test_one_who_queues_everything_at_once_does_not_shut_us_out_for_longer_than_that(tmp_path: Path) -> None:
    worker = VirtualWorker(tmp_path)

    async def both() -> str:
        for number in range(5):
            worker.submit(f"theirs-{number}")
        return who(worker, o=await campaign(worker.lane(settings=SELDOM), range(3)))

    assert run_virtual(both()) == "-----ooo"


def test_a_campaign_of_its_own_worker_keeps_one_running_and_one_ahead(tmp_path: Path) -> None:
    worker = VirtualWorker(tmp_path)

    async def alone() -> float:
        ours = asyncio.create_task(campaign(worker.lane(settings=SELDOM), range(5)))
        await asyncio.sleep(2)
        assert (worker.engine.running is not None, len(worker.engine.pending)) == (True, 1)
        await ours
        return asyncio.get_running_loop().time()

    assert 20 <= run_virtual(alone()) < 21


def test_what_never_gets_room_times_out_and_was_never_sent(tmp_path: Path) -> None:
    """Ours runs for hours there, another's waits behind it: the second of ours would come after that."""
    worker = VirtualWorker(tmp_path, seconds_per_image=5000)

    async def crowded() -> str:
        backend = worker.lane(settings=ComfyUISettings(start_s=600, run_s=9000, request_s=9000))
        first = asyncio.create_task(backend.generate(planned(1), 1))
        await asyncio.sleep(1)
        worker.submit("theirs")
        with pytest.raises(JobTimedOut, match="there are still 1 others before it") as caught:
            await backend.generate(planned(2), 1)
        assert worker.asked.count("POST /prompt") == 1
        assert 600 <= asyncio.get_running_loop().time() < 610
        first.cancel()
        await asyncio.wait({first})
        await backend.close()
        return caught.value.job_id

    assert run_virtual(crowded()) not in {"", "theirs"}


def test_one_that_is_cancelled_while_it_has_no_room_leaves_no_trace(tmp_path: Path) -> None:
    worker = VirtualWorker(tmp_path)

    async def crowded() -> None:
        backend = worker.lane(settings=SELDOM)
        first = asyncio.create_task(backend.generate(planned(1), 1))
        await asyncio.sleep(1)
        worker.submit("theirs")
        second = asyncio.create_task(backend.generate(planned(2), 1))
        await asyncio.sleep(1)
        second.cancel()
        await asyncio.wait({second})
        assert {"POST /queue", "POST /interrupt"} & set(worker.asked) == set()
        await first
        await backend.generate(planned(3), 1)
        await backend.close()

    run_virtual(crowded())
    assert len(worker.engine.started) == 3


# ---------------------------------------------------------------------- counting, and what it costs


@pytest.mark.anyio
async def test_foreign_counts_what_others_have_there_and_nothing_of_ours() -> None:
    with FakeComfyUI() as worker:
        worker.hold()
        backend = lane(worker.url)
        assert isinstance(backend, Shared)
        task = asyncio.create_task(backend.generate(planned(), 1))
        while not worker.engine.running:  # noqa: ASYNC110 - it happens in the worker's thread
            await asyncio.sleep(0)
        assert await backend.foreign() == 0
        worker.submit_foreign("theirs-1")
        worker.submit_foreign("theirs-2")
        assert await backend.foreign() == 2
        worker.release()
        await task
        assert await backend.foreign() == 0
        await backend.close()


@pytest.mark.anyio
async def test_foreign_does_not_count_what_was_adopted() -> None:
    with FakeComfyUI() as worker:
        worker.hold()
        before = lane(worker.url)
        bound = await before._binder.bind(planned(), 1)
        await before.close()
        facts = {"assetline": {**bound.facts, "maker": "another-machine/1/0"}}
        worker.submit({"prompt": bound.graph, "prompt_id": bound.job.prompt_id, "extra_data": facts})
        backend = lane(worker.url)
        assert await backend.foreign() == 1
        await backend.adopt([planned()])
        assert await backend.foreign() == 0
        worker.release()
        await backend.close()


async def quick(worker: FakeComfyUI, *, listen: bool) -> dict[str, int]:
    """Sixteen pictures, two at a time, by a worker that is ours alone: how often each route was asked."""
    backend = lane(worker.url, listen=listen)
    if listen:
        backend._prompts.listener.start()
        while not worker.sockets.open:  # noqa: ASYNC110 - it happens in the worker's thread
            await asyncio.sleep(0.001)
    await campaign(backend, range(16))
    return {path: worker.paths().count(path) for path in set(worker.paths())}


@pytest.mark.anyio
async def test_a_worker_of_our_own_is_asked_for_its_queue_once_a_picture_at_most() -> None:
    with FakeComfyUI() as worker:
        asked = await quick(worker, listen=False)
    assert asked.pop("GET /queue", 0) <= 16
    assert asked == {"POST /prompt": 16, "GET /history": 16, "GET /view": 16, "POST /history": 1}


def test_with_a_socket_a_worker_of_our_own_is_not_asked_at_all_once_it_has_told(tmp_path: Path) -> None:
    looks: list[str] = []

    async def look() -> Queue:
        looks.append("look")
        return Queue((), ())

    async def pictures() -> None:
        room = Room(look, ComfyUISettings(), Clock())
        room.hear(0)
        for number in range(20):
            tellings = room.tellings
            await room.enter(Job("gpu1", f"{number}"))
            room.hear(min(number + 1, SLOTS))
            room.accept(f"{number}", tellings)
            if number >= SLOTS - 1:
                room.hear(SLOTS - 1)
                room.leave(f"{number - SLOTS + 1}")

    run_virtual(pictures())
    assert looks == []


# ---------------------------------------------------------------------- what is told and seen, step by step


def room_of(*queues: Queue | Exception) -> Room:
    """A room whose looks find these queues, the last one again and again."""
    left = list(queues)

    async def look() -> Queue:
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, Exception):
            raise found
        return found

    return Room(look, ComfyUISettings(), Clock(lambda: asyncio.get_running_loop().time(), asyncio.sleep))


ALONE, BESIDE = Queue(("1",), ()), Queue(("1",), ("theirs",))


def entering(*queues: Queue | Exception, during: Callable[[Room], object], then: Callable[[Room], object]) -> float:
    """One of ours is there, `during` happens, and another wants to go there: when it may. `then` happens at 10.5."""
    room = room_of(*queues)

    async def story() -> float:
        await room.enter(Job("gpu1", "1"))
        room.accept("1", room.tellings)
        during(room)
        asyncio.get_running_loop().call_later(10.5, then, room)
        await room.enter(Job("gpu1", "2"))
        return asyncio.get_running_loop().time()

    return run_virtual(story())


def nothing(_room: Room) -> None:
    return


def test_it_goes_at_once_where_the_queue_is_ours_alone() -> None:
    assert entering(ALONE, during=nothing, then=nothing) == 0


def test_it_goes_once_the_other_has_been_gone_for_three_seconds() -> None:
    """It may only be fetching its picture, to come back with the next prompt."""
    assert entering(BESIDE, BESIDE, BESIDE, ALONE, during=nothing, then=nothing) == 2 + LINGER_S


def test_it_goes_as_soon_as_ours_has_ended() -> None:
    assert entering(BESIDE, during=nothing, then=lambda room: room.leave("1")) == 10.5


def test_what_the_socket_tells_is_looked_at_no_more() -> None:
    assert entering(BESIDE, during=lambda room: room.hear(2), then=lambda room: room.hear(1)) == 10.5 + LINGER_S


def test_a_socket_that_fell_silent_is_not_waited_for() -> None:
    def deaf(room: Room) -> None:
        room.hear(1)
        room.hear(None)

    assert entering(BESIDE, ALONE, during=deaf, then=nothing) == LINGER_S


def test_what_was_told_is_not_believed_against_what_was_seen() -> None:
    def told_then_seen(room: Room) -> None:
        room.hear(1)
        room.see(BESIDE)

    assert entering(BESIDE, ALONE, during=told_then_seen, then=nothing) == LINGER_S


@pytest.mark.parametrize("when", ["before the post", "after the answer", "before the answer"])
def test_one_of_theirs_that_was_told_of_is_not_taken_for_ours(when: str) -> None:
    room = room_of(BESIDE, ALONE)

    async def story() -> float:
        if when == "before the post":
            room.hear(1)
        tellings = room.tellings
        await room.enter(Job("gpu1", "1"))
        if when == "before the answer":
            room.hear(1)
        else:
            room.accept("1", tellings)
        if when == "after the answer":
            room.hear(2)
        await room.enter(Job("gpu1", "2"))
        return asyncio.get_running_loop().time()

    assert run_virtual(story()) == LINGER_S


def test_a_queue_that_cannot_be_read_holds_nothing_up() -> None:
    assert entering(BackendUnavailable("nonsense"), during=nothing, then=nothing) == 0


def test_a_worker_that_hangs_is_said_so_instead_of_being_sent_more() -> None:
    async def hang() -> Queue:
        await asyncio.sleep(30)
        raise BackendUnavailable("no answer")

    async def story() -> None:
        room = Room(hang, ComfyUISettings(), Clock(lambda: asyncio.get_running_loop().time(), asyncio.sleep))
        await room.enter(Job("gpu1", "1"))
        with pytest.raises(BackendUnavailable, match="no answer"):
            await room.enter(Job("gpu1", "2"))

    run_virtual(story())
