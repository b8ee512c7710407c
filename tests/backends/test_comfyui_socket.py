"""The websocket: what is heard on it ends a pause, and however it fails, the picture comes by looking."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from fakes.comfyui_lane import Ticker, lane, planned
from fakes.fake_comfyui import FakeComfyUI
from fakes.fast_time import now, run_fast
from websockets.asyncio.client import ClientConnection, connect

from assetline.backends.comfyui import Clock, ComfyUIBackend, ComfyUISettings
from assetline.backends.comfyui.listener import Ear, Listener
from assetline.errors import BackendUnavailable, JobFailed, JobLost, JobStalled
from assetline.records import Render

pytestmark = pytest.mark.anyio

# One prompt of two nodes, as three sockets heard of it on the real 0.3.64.
NODE = ["progress_state", "executing"]
OWNER = ["status"] * 3 + ["execution_start", "execution_cached", *NODE, "progress_state", *NODE]
OWNER += ["executed", "progress_state", "execution_success", "status", "executing"]
STRANGER = ["status"] * 4
NOBODY_S = ["status"] * 2 + ["progress_state"] * 4 + ["status"]
# Seven nodes, two steps: the sampler's part, with its previews.
SAMPLER = [*NODE, *["progress_state", "progress", "bytes"] * 2, "progress_state"]


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - what it waits for happens in the worker's thread
        await asyncio.sleep(0.001)


def patient(url: str, **options: Any) -> ComfyUIBackend:
    """A lane whose pauses never end by themselves: only what is heard makes it look again."""

    async def for_ever(_seconds: float) -> None:
        await asyncio.Event().wait()

    return lane(url, listen=True, clock=Clock(sleep=for_ever), **options)


async def listening(worker: FakeComfyUI, backend: ComfyUIBackend) -> None:
    """Wait until the worker has the lane's socket."""
    backend._prompts.listener.start()
    await until(lambda: backend._prompts.listener.client_id in worker.sockets.open)


async def start(worker: FakeComfyUI, backend: ComfyUIBackend) -> asyncio.Task[Render]:
    """A picture under way, looked for once, with the socket open before."""
    await listening(worker, backend)
    looks = worker.paths().count("GET /history")
    task = asyncio.create_task(backend.generate(planned(), 1))
    await until(lambda: worker.paths().count("GET /history") > looks)
    return task


# ---------------------------------------------------------------------- what is heard


async def test_the_end_is_heard_and_looked_for_at_once(worker: FakeComfyUI) -> None:
    worker.hold()
    backend = patient(worker.url)
    task = await start(worker, backend)
    worker.release()
    render = await task
    await backend.close()
    assert [render.job_id] == worker.engine.started
    assert worker.bodies["/prompt"][0]["client_id"] in worker.asked[0][1]


async def test_an_error_and_an_interruption_are_heard_as_an_end(worker: FakeComfyUI) -> None:
    worker.hold()
    backend = patient(worker.url)
    worker.engine.next_error = ("ValueError", "no")
    task = await start(worker, backend)
    worker.step()
    with pytest.raises(JobFailed):
        await task
    task = await start(worker, backend)
    worker.engine.interrupt(None)
    with pytest.raises(JobLost):
        await task
    await backend.close()


async def test_a_worker_that_is_heard_to_move_is_given_its_time_and_one_that_stops_is_interrupted(
    worker: FakeComfyUI,
) -> None:
    """Each look takes a minute here. Ten steps come, a minute apart; then nothing."""
    clock, steps = Ticker(), []

    async def pause(_seconds: float) -> None:
        heard = len([ear for ear in backend._prompts.listener._ears.values() if ear.moved_at is not None])
        if heard and len(steps) < 10:
            before = clock.seconds
            clock.seconds += 60
            steps.append(1)
            worker.progress(len(steps))
            await until(
                lambda: [ear for ear in backend._prompts.listener._ears.values() if (ear.moved_at or 0) > before]
            )
        elif heard:
            clock.seconds += 60
        await asyncio.sleep(0)

    worker.hold()
    settings = ComfyUISettings(stall_s=180, run_s=9000)
    backend = lane(worker.url, listen=True, settings=settings, clock=Clock(lambda: clock.seconds, pause))
    await listening(worker, backend)
    with pytest.raises(JobStalled, match="has not moved on with the picture for 180 s") as caught:
        await backend.generate(planned(), 1)
    await backend.close()
    assert len(steps) == 10
    assert 600 + 180 <= clock.seconds < 600 + 180 + 120
    assert worker.bodies["/interrupt"] == [{"prompt_id": caught.value.job_id}]
    assert worker.engine.running is None


async def test_a_prompt_that_does_not_let_itself_be_interrupted_makes_the_worker_unavailable_until_it_ends(
    worker: FakeComfyUI,
) -> None:
    worker.hold()
    worker.engine.obeys_interrupts = False
    backend = lane(worker.url, settings=ComfyUISettings(run_s=60))
    with pytest.raises(BackendUnavailable, match=r"within 60 s.* goes on running .* Restart ComfyUI there"):
        await backend.generate(planned(), 1)
    with pytest.raises(BackendUnavailable, match="still runs a picture that was interrupted"):
        await backend.probe()
    worker.release()
    await backend.probe()
    await backend.close()


async def test_messages_that_are_none_are_passed_over() -> None:
    listener, said = Listener("ws://gpu1:8188/ws", {}, lambda: 7.0), []
    ear = listener.open_ear("our-id")
    for message in ("no json", "[]", '"text"', '{"type": "x"}', '{"type": "x", "data": null}', '{"type": "crystools"}'):
        listener._hear(message)
        said.append(ear.moved_at)
    listener._hear(json.dumps({"type": "progress", "data": {"prompt_id": "our-id"}}))
    assert (said, ear.moved_at) == ([None] * 6, 7.0)


async def test_how_many_prompts_are_there_is_told_until_the_connection_is_lost() -> None:
    told: list[int | None] = []
    listener = Listener("ws://gpu1:8188/ws", {}, lambda: 7.0, told.append)
    for data in ({"status": {"exec_info": {"queue_remaining": 3}}, "sid": "x"}, {"status": None}, {}):
        listener._hear(json.dumps({"type": "status", "data": data}))
    listener._go_deaf()
    assert told == [3, None]


async def test_each_end_that_is_heard_ends_one_pause() -> None:
    async def no_time() -> None:
        return

    ear = Ear()
    ear.hear("executing", {"node": "3"}, 1)
    assert await ear.rest(no_time()) is False
    ear.hear("execution_success", {}, 2)
    assert await ear.rest(asyncio.Event().wait()) is True
    ear.hear("executing", {"node": None}, 3)
    assert await ear.rest(asyncio.Event().wait()) is True


# ---------------------------------------------------------------------- how it fails


@pytest.mark.parametrize("fault", ["404", "403", "500", "nonsense", "drop_before", "hang"])
async def test_a_socket_that_never_comes_about_costs_no_picture(worker: FakeComfyUI, fault: str) -> None:
    worker.fault("GET /ws", *[fault] * 9)
    backend = lane(worker.url, listen=True)
    render = await backend.generate(planned(), 1)
    await until(lambda: "GET /ws" in worker.paths())
    await backend.close()
    assert [render.job_id] == worker.engine.started


@pytest.mark.parametrize("fault", ["drop", "take_over", "mute"])
async def test_a_socket_that_falls_silent_costs_no_picture(worker: FakeComfyUI, fault: str) -> None:
    worker.hold()
    ticker = Ticker()
    ticker.at(30, worker.release)
    backend = lane(worker.url, ticker, listen=True)
    await listening(worker, backend)
    if fault == "mute":
        worker.sockets.mute = True
    else:
        getattr(worker.sockets, fault)()
    render = await backend.generate(planned(), 1)
    await backend.close()
    assert [render.job_id] == worker.engine.started


def test_a_lost_connection_is_made_again_under_a_fresh_id_and_pictures_are_heard_of_again(worker: FakeComfyUI) -> None:
    async def twice() -> list[str]:
        backend = lane(worker.url, listen=True, clock=Clock(now))
        await listening(worker, backend)
        ids = [backend._prompts.listener.client_id]
        ear = backend._prompts.listener.open_ear("somebody")
        ear.hear("progress", {}, 1)
        worker.sockets.drop()
        await until(lambda: backend._prompts.listener.client_id != ids[0])
        assert ear.moved_at is None, "nothing is known of what was submitted under the older id"
        await until(lambda: backend._prompts.listener.client_id in worker.sockets.open)
        ids.append(backend._prompts.listener.client_id)
        await backend.generate(planned(), 1)
        await backend.close()
        return ids

    first, second = run_fast(twice())
    assert first != second, "so that the end of the older connection cannot make the newer one deaf"
    assert worker.bodies["/prompt"][0]["client_id"] == second


def test_pauses_between_connections_grow(worker: FakeComfyUI) -> None:
    async def moments() -> list[float]:
        found: list[float] = []
        listener = Listener(worker.url.replace("http", "ws") + "/ws", {}, now)
        listener.start()
        for count in range(1, 5):
            while worker.paths().count("GET /ws") < count:  # noqa: ASYNC110 - it happens in the worker's thread
                await asyncio.sleep(0.001)
            found.append(now())
        await listener.close()
        return found

    worker.fault("GET /ws", *["404"] * 9)
    seen = run_fast(moments())
    pauses = [later - earlier for earlier, later in pairwise(seen)]
    assert [int(pause) >= least for pause, least in zip(pauses, (1, 2, 4), strict=True)] == [True] * 3


async def test_the_socket_sends_credentials_and_no_origin(worker: FakeComfyUI) -> None:
    backend = lane(worker.url.replace("http://", "http://me:secret@"), listen=True)
    await listening(worker, backend)
    await backend.close()
    (headers,) = worker.headers
    assert headers["Authorization"].startswith("Basic ")
    assert "Origin" not in headers
    assert "secret" not in backend._prompts.listener._address


async def test_a_lane_that_is_not_to_listen_opens_no_socket(worker: FakeComfyUI) -> None:
    backend = lane(worker.url, listen=False)
    await backend.generate(planned(), 1)
    await backend.close()
    assert "GET /ws" not in worker.paths()


# ---------------------------------------------------------------------- the fake's own sockets


async def join(worker: FakeComfyUI, client_id: str = "") -> ClientConnection:
    address = worker.url.replace("http", "ws") + "/ws" + (f"?clientId={client_id}" if client_id else "")
    return await connect(address)


async def heard(socket: ClientConnection, until_last: str) -> list[str]:
    """The types of the messages up to one of `until_last` that says that nothing runs."""
    types: list[str] = []
    while True:
        message = await asyncio.wait_for(socket.recv(), 5)
        if isinstance(message, bytes):
            types.append("bytes")
            continue
        event = json.loads(message)
        types.append(event["type"])
        data = event["data"]
        over = data.get("node", "") is None or data.get("status", {}).get("exec_info") == {"queue_remaining": 0}
        if event["type"] == until_last and over and len(types) > 2:
            return types


def two_nodes(prompt_id: str, client_id: str | None) -> dict[str, Any]:
    graph = {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": len(prompt_id)},
        },
        "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": prompt_id}},
    }
    return {"prompt": graph, "prompt_id": prompt_id} | ({"client_id": client_id} if client_id else {})


async def test_the_fake_tells_each_socket_what_the_real_one_did(worker: FakeComfyUI) -> None:
    owner, stranger, nameless = await join(worker, "a"), await join(worker, "b"), await join(worker)
    await until(lambda: len(worker.sockets.open) == 3)
    worker.submit(two_nodes("one", "a"))
    assert OWNER == await heard(owner, "executing")
    assert (STRANGER, STRANGER) == (await heard(stranger, "status"), await heard(nameless, "status"))
    worker.submit(two_nodes("another", None))
    for socket in (owner, stranger, nameless):
        assert NOBODY_S == await heard(socket, "status")
        await socket.close()


async def test_the_fake_tells_of_a_sampler_s_steps_with_previews(worker: FakeComfyUI) -> None:
    owner = await join(worker, "a")
    await until(lambda: worker.sockets.open)
    backend = lane(worker.url)
    backend._prompts.listener.client_id = "a"
    await backend.generate(planned(), 1)
    types = await heard(owner, "executing")
    await backend.close()
    await owner.close()
    at = types.index("progress") - 3
    assert SAMPLER == types[at : at + len(SAMPLER)]


async def test_the_fake_s_newer_socket_is_deaf_once_the_older_one_of_the_same_id_closed(worker: FakeComfyUI) -> None:
    older, newer = await join(worker, "a"), await join(worker, "a")
    await until(lambda: worker.sockets.open)
    await older.close()
    await until(lambda: not worker.sockets.open)
    worker.submit(two_nodes("one", "a"))
    first = json.loads(await asyncio.wait_for(newer.recv(), 5))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(newer.recv(), 0.05)
    assert (first["data"]["sid"], newer.state.name) == ("a", "OPEN")
    await newer.close()


async def test_the_fake_tells_who_reconnects_while_it_is_served_which_node_runs(worker: FakeComfyUI) -> None:
    worker.hold()
    worker.submit(two_nodes("one", "a"))
    worker.progress()
    socket = await join(worker, "a")
    messages = [json.loads(await asyncio.wait_for(socket.recv(), 5)) for _ in range(2)]
    assert [message["type"] for message in messages] == ["status", "executing"]
    assert messages[1]["data"] == {"node": "1"}
    await socket.close()
