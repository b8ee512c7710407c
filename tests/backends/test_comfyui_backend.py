"""The ComfyUI lane against a worker that speaks the real protocol: submit, refusals, reference images, the lane itself."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import socket

import pytest
from fakes.comfyui_lane import SEVEN, Ticker, lane, planned, workflow
from fakes.fake_comfyui import FakeComfyUI
from PIL import Image

from assetline.backends.comfyui import ComfyUIBackend, ComfyUISettings
from assetline.errors import (
    BackendUnavailable,
    JobFailed,
    JobLost,
    JobRejected,
    LaneUnsuited,
    OptionError,
    StoreUnreachable,
)
from assetline.records import MAX_SEED

pytestmark = pytest.mark.anyio


def asked(worker: FakeComfyUI) -> list[str]:
    """What the worker was asked for, but for its node classes, which are asked for once."""
    return [path for path in worker.paths() if path != "GET /object_info"]


# ---------------------------------------------------------------------- the good way


async def test_a_request_becomes_a_picture_with_its_facts(worker: FakeComfyUI) -> None:
    backend, request = lane(worker.url + "/"), planned(seed=11)
    render = await backend.generate(request, 1)
    await backend.close()
    with Image.open(io.BytesIO(render.data)) as picture:
        assert (picture.size, picture.format) == ((64, 64), "PNG")
        assert render.graph == json.loads(picture.info["prompt"])
    assert (render.seed, render.lane, render.cost_usd) == (11, worker.url, 0.0)
    assert [render.job_id] == worker.engine.started
    assert render.graph is not None
    assert render.graph["3"]["inputs"]["seed"] == 11


async def test_the_graph_is_posted_once_and_everything_is_looked_up_under_our_own_id(worker: FakeComfyUI) -> None:
    backend = lane(worker.url)
    await backend.generate(planned(), 1)
    await backend.close()
    assert asked(worker) == ["POST /prompt", "GET /history", "GET /view", "POST /history"]


async def test_the_post_carries_whose_picture_it_is_but_no_number_and_no_origin(worker: FakeComfyUI) -> None:
    backend, request = lane(worker.url, campaign="spring"), planned()
    render = await backend.generate(request, 3)
    await backend.close()
    (body,) = worker.bodies["/prompt"]
    assert body.keys() == {"prompt", "prompt_id", "client_id", "extra_data"}
    assert body["prompt_id"] == render.job_id
    facts = body["extra_data"]["assetline"]
    assert re.fullmatch(rf"{re.escape(socket.gethostname())}/{os.getpid()}/[0-9a-f]{{12}}", facts.pop("maker"))
    assert facts == {
        "request_key": request.request.key,
        "label": "SKU0007-1-64x64",
        "attempt": 3,
        "campaign": "spring",
    }
    assert not [headers for headers in worker.headers if "Origin" in headers]


async def test_every_attempt_has_its_own_id_and_prefix_so_that_the_cache_never_hides_a_new_file(
    worker: FakeComfyUI,
) -> None:
    backend = lane(worker.url)
    renders = [await backend.generate(planned(), attempt) for attempt in (1, 1, 2)]
    await backend.close()
    prefixes = [body["prompt"]["9"]["inputs"]["filename_prefix"] for body in worker.bodies["/prompt"]]
    assert len({render.job_id for render in renders}) == len(set(prefixes)) == 3
    assert len(list(worker.folder.glob("output/assetline/*.png"))) == 3
    assert [prefix for prefix in prefixes if not re.fullmatch(r"assetline/[0-9a-f]{8}-[12]-[0-9a-f]{8}", prefix)] == []


async def test_a_cached_result_whose_file_is_gone_is_written_anew_at_the_next_attempt(worker: FakeComfyUI) -> None:
    backend = lane(worker.url)
    first = await backend.generate(planned(), 1)
    worker.delete_outputs()
    second = await backend.generate(planned(), 2)
    cached = dict(worker.engine.history[second.job_id]["status"]["messages"])["execution_cached"]["nodes"]
    await backend.close()
    assert {"3", "8"} <= set(cached), "nothing is sampled again"
    with Image.open(io.BytesIO(first.data)) as one, Image.open(io.BytesIO(second.data)) as other:
        assert one.tobytes() == other.tobytes()


async def test_the_largest_seed_arrives_as_the_same_whole_number(worker: FakeComfyUI) -> None:
    backend = lane(worker.url)
    await backend.generate(planned(seed=MAX_SEED), 1)
    await backend.close()
    assert worker.bodies["/prompt"][0]["prompt"]["3"]["inputs"]["seed"] == 18446744073709551615


async def test_the_history_is_deleted_after_the_download_the_newest_when_the_lane_is_closed(
    worker: FakeComfyUI,
) -> None:
    """A run that is killed while pictures are checked and stored finds them there again."""
    backend = lane(worker.url)
    ids = [(await backend.generate(planned(seed), 1)).job_id for seed in range(33)]
    assert worker.bodies["/history"] == [{"delete": ids[:16]}]
    await backend.close()
    assert worker.bodies["/history"][1:] == [{"delete": ids[16:]}]
    assert worker.engine.history == {}


async def test_a_history_that_cannot_be_deleted_costs_no_picture(worker: FakeComfyUI) -> None:
    worker.fault("POST /history", "drop_before")
    backend = lane(worker.url)
    render = await backend.generate(planned(), 1)
    await backend.close()
    assert len(render.data) > 0


async def test_the_seconds_are_those_of_the_execution_by_the_worker_s_own_clock(
    worker: FakeComfyUI, ticker: Ticker
) -> None:
    def two_seconds_later() -> None:
        worker.release()
        (entry,) = worker.engine.history.values()
        entry["status"]["messages"][-1][1]["timestamp"] = entry["status"]["messages"][0][1]["timestamp"] + 2345

    worker.hold()
    ticker.at(30, two_seconds_later)
    backend = lane(worker.url, ticker)
    render = await backend.generate(planned(), 1)
    await backend.close()
    assert render.seconds == 2.345


async def test_the_pauses_between_looks_grow_to_a_second_and_not_beyond(worker: FakeComfyUI, ticker: Ticker) -> None:
    worker.hold()
    ticker.at(60, worker.release)
    backend = lane(worker.url, ticker)
    await backend.generate(planned(), 1)
    await backend.close()
    assert ticker.pauses[0] == 0.05
    assert ticker.pauses[-1] == 1
    assert ticker.pauses == sorted(ticker.pauses)


# ---------------------------------------------------------------------- the answer to the POST is lost


@pytest.mark.parametrize("fault", ["drop_after", "garbled"])
async def test_an_accepted_prompt_whose_answer_was_lost_is_found_and_not_sent_again(
    worker: FakeComfyUI, fault: str
) -> None:
    worker.fault("POST /prompt", fault)
    backend, request = lane(worker.url), planned()
    render = await backend.generate(request, 1)
    await backend.close()
    assert worker.paths().count("POST /prompt") == 1
    assert worker.engine.executions == {request.request.key: 1}
    assert len(render.data) > 0


async def test_an_accepted_prompt_that_still_waits_is_found_in_the_queue(worker: FakeComfyUI, ticker: Ticker) -> None:
    worker.hold()
    worker.submit_foreign("theirs")
    worker.fault("POST /prompt", "drop_after")
    ticker.at(5, worker.release)
    backend = lane(worker.url, ticker)
    render = await backend.generate(planned(), 1)
    await backend.close()
    assert worker.engine.started == ["theirs", render.job_id]


async def test_a_prompt_that_arrives_while_it_is_searched_is_found(worker: FakeComfyUI, ticker: Ticker) -> None:
    worker.fault("POST /prompt", "drop_late")
    ticker.at(3, worker.deliver_late)
    backend, request = lane(worker.url, ticker), planned()
    await backend.generate(request, 1)
    await backend.close()
    assert worker.engine.executions == {request.request.key: 1}


@pytest.mark.parametrize("fault", ["drop_before", "502", "524", "nonsense", "hang"])
async def test_a_prompt_that_never_arrived_makes_the_worker_unavailable_after_a_search(
    worker: FakeComfyUI, fault: str
) -> None:
    worker.fault("POST /prompt", fault)
    backend = lane(worker.url, settings=ComfyUISettings(read_s=0.05 if fault == "hang" else 5))
    with pytest.raises(BackendUnavailable) as caught:
        await backend.generate(planned(), 1)
    await backend.close()
    assert worker.paths().count("POST /prompt") == 1
    assert worker.paths().count("GET /queue") >= 3
    assert worker.engine.executions == {}
    assert worker.url in str(caught.value)
    assert caught.value.job_id != ""


async def test_a_prompt_given_up_after_a_lost_answer_is_deleted_in_case_it_comes_late(worker: FakeComfyUI) -> None:
    worker.fault("POST /prompt", "drop_before")
    backend = lane(worker.url)
    with pytest.raises(BackendUnavailable) as caught:
        await backend.generate(planned(), 1)
    await backend.close()
    assert worker.bodies["/queue"] == [{"delete": [caught.value.job_id]}]


# ---------------------------------------------------------------------- refused


async def test_a_worker_without_the_checkpoint_is_unsuited_and_the_message_tells_what_it_has(
    worker: FakeComfyUI,
) -> None:
    backend = lane(worker.url)
    with pytest.raises(LaneUnsuited) as caught:
        await backend.generate(planned(checkpoint="AWPainting_v9.safetensors"), 1)
    await backend.close()
    assert str(caught.value) == (
        f"{worker.url} lacks ckpt_name 'AWPainting_v9.safetensors' (node 4, CheckpointLoaderSimple; "
        "it has AWPainting_v1.3.safetensors, sd_xl_base_1.0.safetensors). Install it on that worker, or name what it has."
    )
    assert (caught.value.transient, caught.value.lane) == (True, worker.url)


async def test_a_worker_without_the_node_class_is_unsuited(worker: FakeComfyUI) -> None:
    worker.engine.without = frozenset({"KSampler"})
    backend = lane(worker.url)
    with pytest.raises(LaneUnsuited, match=r"the node class KSampler \(node '3'\)"):
        await backend.generate(planned(), 1)
    await backend.close()


async def test_a_bad_value_is_rejected_for_all_lanes_and_named_beside_what_the_worker_lacks(
    worker: FakeComfyUI,
) -> None:
    backend = lane(worker.url)
    with pytest.raises(JobRejected) as caught:
        await backend.generate(planned(steps=0, sampler="eulerr"), 1)
    await backend.close()
    assert "steps 0 is below the minimum of 1 (node 3, KSampler)" in str(caught.value)
    assert "sampler_name 'eulerr' (node 3, KSampler)" in str(caught.value)
    assert caught.value.transient is False


async def test_a_prompt_accepted_in_part_is_rejected_and_taken_back(worker: FakeComfyUI) -> None:
    graph = {
        **SEVEN,
        "20": {"class_type": "EmptyImage", "inputs": {"width": 0, "height": 64, "batch_size": 1, "color": 0}},
        "21": {"class_type": "SaveImage", "inputs": {"images": ["20", 0], "filename_prefix": "y"}},
    }
    worker.hold()
    worker.submit_foreign("theirs")
    backend = lane(worker.url, None, workflow(graph=graph))
    with pytest.raises(JobRejected, match=r"width 0 is below the minimum of 1 \(node 20, EmptyImage\)"):
        await backend.generate(planned(), 1)
    await backend.close()
    assert worker.engine.pending == []
    assert worker.engine.running is not None
    assert worker.engine.running[1] == "theirs"


@pytest.mark.parametrize("status", ["500", "413"])
async def test_a_status_without_a_reason_is_rejected_and_never_sent_again(worker: FakeComfyUI, status: str) -> None:
    worker.fault("POST /prompt", status)
    backend = lane(worker.url)
    with pytest.raises(JobRejected, match=f"HTTP {status}"):
        await backend.generate(planned(), 1)
    await backend.close()
    assert asked(worker) == ["POST /prompt"]


@pytest.mark.parametrize("status", ["401", "403", "404", "429"])
async def test_a_status_that_is_this_address_s_fault_rejects_no_picture_for_the_other_lanes(
    worker: FakeComfyUI, status: str
) -> None:
    worker.fault("POST /prompt", status)
    backend = lane(worker.url)
    with pytest.raises(BackendUnavailable, match=f"answers HTTP {status}"):
        await backend.generate(planned(), 1)
    await backend.close()
    assert asked(worker) == ["POST /prompt"]


async def test_a_worker_that_gives_ids_of_its_own_is_too_old_and_its_prompt_is_taken_back(worker: FakeComfyUI) -> None:
    worker.hold()
    worker.submit_foreign("theirs")
    worker.engine.keeps_prompt_id = False
    backend = lane(worker.url)
    with pytest.raises(BackendUnavailable, match="Update ComfyUI"):
        await backend.generate(planned(), 1)
    await backend.close()
    assert worker.engine.pending == []


# ---------------------------------------------------------------------- reference images


def _png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


REFERENCES = {"a" * 64: _png("red"), "b" * 64: _png("blue")}


async def test_a_reference_image_is_sent_once_and_used_by_the_name_that_the_worker_gave(worker: FakeComfyUI) -> None:
    (worker.folder / "input/assetline").mkdir()
    (worker.folder / "input/assetline" / ("a" * 32 + ".png")).write_bytes(b"another file of that name")
    backend = lane(
        worker.url,
        None,
        workflow("reference"),
        references=REFERENCES.__getitem__,
    )
    for sha256 in ("a" * 64, "a" * 64, "b" * 64):
        await backend.generate(planned(name="reference", references={"reference_image": sha256}), 1)
    await backend.close()
    assert worker.paths().count("POST /upload") == 2
    names = [body["prompt"]["1"]["inputs"]["image"] for body in worker.bodies["/prompt"]]
    assert names == [f"assetline/{'a' * 32} (1).png", f"assetline/{'a' * 32} (1).png", f"assetline/{'b' * 32}.png"]


async def test_a_reference_image_that_the_worker_lost_is_sent_again_at_the_next_attempt(worker: FakeComfyUI) -> None:
    backend = lane(
        worker.url,
        None,
        workflow("reference"),
        references=REFERENCES.__getitem__,
    )
    request = planned(name="reference", references={"reference_image": "a" * 64})
    await backend.generate(request, 1)
    next(worker.folder.glob("input/assetline/*")).unlink()
    with pytest.raises(JobLost, match="lost a reference image"):
        await backend.generate(request, 2)
    await backend.generate(request, 3)
    await backend.close()
    assert worker.paths().count("POST /upload") == 2


async def test_a_reference_image_above_the_worker_s_limit_is_said_so() -> None:
    with FakeComfyUI(most_upload_bytes=64) as worker:
        backend = lane(
            worker.url,
            None,
            workflow("reference"),
            references=REFERENCES.__getitem__,
        )
        with pytest.raises(JobFailed, match="Raise --max-upload-size there"):
            await backend.generate(planned(name="reference", references={"reference_image": "a" * 64}), 1)
        await backend.close()


async def test_a_store_that_cannot_give_the_reference_image_is_the_store_s_fault(worker: FakeComfyUI) -> None:
    def unreachable(sha256: str) -> bytes:
        raise StoreUnreachable(f"no answer for {sha256}")

    backend = lane(worker.url, None, workflow("reference"), references=unreachable)
    with pytest.raises(StoreUnreachable):
        await backend.generate(planned(name="reference", references={"reference_image": "a" * 64}), 1)
    await backend.close()
    assert worker.asked == []


# ---------------------------------------------------------------------- the lane as such


async def test_a_lane_suits_only_a_workflow_that_it_knows_in_that_very_version(worker: FakeComfyUI) -> None:
    backend = lane(worker.url)
    await backend.close()
    newer = planned().model_copy(update={"request": planned().request.model_copy(update={"workflow_sha256": "newer"})})
    comp = planned().model_copy(
        update={"request": planned().request.model_copy(update={"workflow": None, "model": "fpo/1"})}
    )
    assert [backend.suits(item) for item in (planned(), planned(name="other"), newer, comp)] == [
        True,
        False,
        False,
        False,
    ]


async def test_a_probe_asks_for_the_system_and_the_queue(worker: FakeComfyUI) -> None:
    backend = lane(worker.url)
    await backend.probe()
    await backend.close()
    assert worker.paths() == ["GET /system_stats", "GET /queue"]


async def test_a_probe_of_a_dead_worker_tells_the_cure(worker: FakeComfyUI) -> None:
    worker.stop()
    backend = lane(worker.url)
    with pytest.raises(BackendUnavailable) as caught:
        await backend.probe()
    await backend.close()
    assert f"Start ComfyUI there with --listen, or take {worker.url} out of --lane" in str(caught.value)
    assert caught.value.exit_code == 6


@pytest.mark.parametrize("fault", ["nonsense", "404", "403"])
async def test_a_probe_of_something_else_than_a_comfyui_says_so(worker: FakeComfyUI, fault: str) -> None:
    worker.fault("GET /system_stats", fault)
    backend = lane(worker.url)
    with pytest.raises(BackendUnavailable, match="ComfyUI"):
        await backend.probe()
    await backend.close()


async def test_what_a_browser_adds_to_an_address_is_cut_off(worker: FakeComfyUI) -> None:
    backend = lane(f"  {worker.url}/?x=1#graph ")
    await backend.probe()
    await backend.close()
    assert backend.name == worker.url


async def test_a_worker_that_takes_its_time_is_followed_in_real_time() -> None:
    with FakeComfyUI(seconds_per_image=0.01) as worker:
        backend = ComfyUIBackend(worker.url, {"seven": workflow()}, references=REFERENCES.__getitem__)
        renders = await asyncio.gather(backend.generate(planned(1), 1), backend.generate(planned(2), 1))
        await backend.close()
    assert [render.seed for render in renders] == [1, 2]
    assert worker.engine.executions.total() == 2


@pytest.mark.parametrize("url", ["gpu1:8188", "ftp://gpu1:8188", "http://", "", "http://gpu1:port"])
def test_a_lane_that_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(OptionError, match="http://gpu1:8188"):
        lane(url)


async def test_credentials_in_the_address_are_sent_and_never_shown(worker: FakeComfyUI) -> None:
    backend = lane(worker.url.replace("http://", "http://me:secret@"))
    await backend.probe()
    await backend.close()
    assert backend.name == worker.url
    assert worker.headers[0]["Authorization"].startswith("Basic ")
