"""The ComfyUI lane from the accepted prompt to the picture: waiting, losses, time limits, run errors, the download."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from fakes.campaigns import png
from fakes.comfyui_lane import SEVEN, Ticker, lane, planned, workflow
from fakes.fake_comfyui import FakeComfyUI

from assetline.backends.comfyui import ComfyUISettings
from assetline.backends.comfyui.pictures import embedded_graph
from assetline.errors import (
    BackendUnavailable,
    JobFailed,
    JobLost,
    JobRejected,
    JobTimedOut,
)

pytestmark = pytest.mark.anyio


# ---------------------------------------------------------------------- on its way


async def test_waiting_behind_other_clients_is_no_fault(worker: FakeComfyUI, ticker: Ticker) -> None:
    worker.hold()
    worker.submit_foreign("theirs-1")
    worker.submit_foreign("theirs-2")
    ticker.at(900, worker.step)
    ticker.at(1800, worker.step)
    ticker.at(1850, worker.release)
    backend = lane(worker.url, ticker, settings=ComfyUISettings(run_s=200, idle_s=20, longest_pause_s=20))
    render = await backend.generate(planned(), 1)
    await backend.close()
    assert worker.engine.started == ["theirs-1", "theirs-2", render.job_id]


async def test_a_prompt_that_a_restart_wiped_out_is_lost(worker: FakeComfyUI, ticker: Ticker) -> None:
    worker.hold()
    ticker.at(3, worker.restart)
    backend = lane(worker.url, ticker)
    with pytest.raises(JobLost, match="no longer knows it") as caught:
        await backend.generate(planned(), 1)
    await backend.close()
    assert ticker.seconds < 10
    assert caught.value.transient is True


async def test_the_queue_is_read_before_the_history_so_that_no_end_falls_between_them(
    worker: FakeComfyUI, ticker: Ticker
) -> None:
    worker.hold()
    ticker.at(2, worker.release)
    backend = lane(worker.url, ticker, settings=ComfyUISettings(queue_every=1))
    await backend.generate(planned(), 1)
    await backend.close()
    looks = [path for path in worker.paths() if path in {"GET /queue", "GET /history"}]
    assert looks == ["GET /queue", "GET /history"] * (len(looks) // 2)


async def test_a_worker_that_accepts_and_runs_nothing_is_unavailable_and_its_queue_left_clean(
    worker: FakeComfyUI, ticker: Ticker
) -> None:
    worker.kill_thread()
    backend = lane(worker.url, ticker, settings=ComfyUISettings(idle_s=20))
    with pytest.raises(BackendUnavailable, match=r"has run nothing for 20 s\. Restart ComfyUI there"):
        await backend.generate(planned(), 1)
    await backend.close()
    assert 20 <= ticker.seconds < 30
    assert worker.engine.pending == []


async def test_a_prompt_that_runs_too_long_times_out_and_is_interrupted(worker: FakeComfyUI, ticker: Ticker) -> None:
    worker.hold()
    backend = lane(worker.url, ticker, settings=ComfyUISettings(run_s=60))
    with pytest.raises(JobTimedOut, match="within 60 s") as caught:
        await backend.generate(planned(), 1)
    await backend.close()
    assert worker.bodies["/interrupt"] == [{"prompt_id": caught.value.job_id}]
    assert worker.engine.running is None


async def test_a_queue_that_never_comes_to_us_times_out_and_the_others_stay(
    worker: FakeComfyUI, ticker: Ticker
) -> None:
    worker.hold()
    worker.submit_foreign("theirs")
    backend = lane(worker.url, ticker, settings=ComfyUISettings(start_s=500, longest_pause_s=20))
    with pytest.raises(JobTimedOut, match=r"within 500 s: its queue does not move\."):
        await backend.generate(planned(), 1)
    await backend.close()
    assert (worker.bodies["/interrupt"], worker.engine.pending) == ([], [])
    assert worker.engine.running is not None


async def test_a_few_looks_without_an_answer_are_borne(worker: FakeComfyUI, ticker: Ticker) -> None:
    worker.fault("GET /history", "drop_before", "502", "nonsense", "500", "drop_before")
    backend = lane(worker.url, ticker)
    render = await backend.generate(planned(), 1)
    await backend.close()
    assert len(render.data) > 0


async def test_a_worker_that_dies_meanwhile_is_unavailable_after_ten_seconds(
    worker: FakeComfyUI, ticker: Ticker
) -> None:
    worker.hold()
    ticker.at(3, worker.stop)
    backend = lane(worker.url, ticker)
    with pytest.raises(BackendUnavailable, match="cannot be reached"):
        await backend.generate(planned(), 1)
    await backend.close()
    assert 13 <= ticker.seconds < 16


async def test_a_worker_that_comes_back_with_its_memory_goes_on(worker: FakeComfyUI, ticker: Ticker) -> None:
    worker.hold()
    ticker.at(3, worker.stop)
    ticker.at(8, worker.start)
    ticker.at(9, worker.release)
    backend = lane(worker.url, ticker)
    render = await backend.generate(planned(), 1)
    await backend.close()
    assert worker.engine.started == [render.job_id]


# ---------------------------------------------------------------------- the end


async def test_out_of_memory_is_said_in_plain_words_with_the_trace_in_the_detail_alone(worker: FakeComfyUI) -> None:
    worker.engine.next_error = ("torch.OutOfMemoryError", "Allocation on device 0 would exceed allowed memory.")
    backend = lane(worker.url)
    with pytest.raises(JobFailed) as caught:
        await backend.generate(planned(), 1)
    await backend.close()
    assert str(caught.value) == (
        f"{worker.url} ran out of memory at node 9 (SaveImage). Take a smaller size, or a worker with more memory."
    )
    assert "execution.py" in caught.value.detail
    assert caught.value.transient is True


async def test_a_broken_checkpoint_is_named(worker: FakeComfyUI) -> None:
    worker.engine.broken.add("AWPainting_v1.3.safetensors")
    backend = lane(worker.url)
    with pytest.raises(JobFailed, match=r"cannot read the model file AWPainting_v1\.3\.safetensors at node 4"):
        await backend.generate(planned(), 1)
    await backend.close()


async def test_a_failed_prompt_stays_in_the_worker_s_history_for_its_operator(worker: FakeComfyUI) -> None:
    worker.engine.next_error = ("ValueError", "no")
    backend = lane(worker.url)
    with pytest.raises(JobFailed, match=r"failed at node 9 \(SaveImage\): ValueError: no") as caught:
        await backend.generate(planned(), 1)
    await backend.close()
    assert list(worker.engine.history) == [caught.value.job_id]


async def test_a_failed_prompt_gives_no_picture_even_where_another_branch_made_one(worker: FakeComfyUI) -> None:
    graph = {
        "20": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
        "21": {"class_type": "SaveImage", "inputs": {"images": ["20", 0], "filename_prefix": "y"}},
        **SEVEN,
    }
    worker.engine.broken.add("AWPainting_v1.3.safetensors")
    backend = lane(worker.url, None, workflow(graph=graph, output="21"))
    with pytest.raises(JobFailed):
        await backend.generate(planned(), 1)
    await backend.close()
    (entry,) = worker.engine.history.values()
    assert list(entry["outputs"]) == ["21"]


async def test_a_picture_that_somebody_interrupted_can_be_made_again(worker: FakeComfyUI, ticker: Ticker) -> None:
    worker.hold()
    ticker.at(3, lambda: worker.engine.interrupt(None))
    backend = lane(worker.url, ticker)
    with pytest.raises(JobLost, match="interrupted there by somebody else"):
        await backend.generate(planned(), 1)
    await backend.close()


async def test_more_than_one_picture_is_rejected(worker: FakeComfyUI) -> None:
    graph = json.loads(json.dumps(SEVEN))
    graph["5"]["inputs"]["batch_size"] = 3
    backend = lane(worker.url, None, workflow(graph=graph))
    with pytest.raises(JobRejected, match="output node 9 gave 3 pictures, not one"):
        await backend.generate(planned(), 1)
    await backend.close()


async def test_an_output_node_that_gives_no_picture_is_rejected_and_the_right_one_named(worker: FakeComfyUI) -> None:
    backend = lane(worker.url, None, workflow(output="8"))
    with pytest.raises(JobRejected, match=r"output node 8 gave 0 pictures, .*\(other nodes with pictures: 9\)"):
        await backend.generate(planned(), 1)
    await backend.close()


async def test_a_download_that_was_cut_off_is_tried_again(worker: FakeComfyUI) -> None:
    worker.fault("GET /view", "truncate", "drop_before", "502")
    backend = lane(worker.url)
    render = await backend.generate(planned(), 1)
    await backend.close()
    (file,) = worker.folder.glob("output/assetline/*.png")
    assert render.data == file.read_bytes()


async def test_a_download_that_is_always_cut_off_makes_the_worker_unavailable_and_is_tried_again_before_the_picture(
    worker: FakeComfyUI,
) -> None:
    worker.fault("GET /view", *["truncate"] * 5)
    backend = lane(worker.url)
    with pytest.raises(BackendUnavailable, match="gave no whole answer to GET /view") as caught:
        await backend.generate(planned(), 1)
    render = await backend.generate(planned(), 2)
    await backend.close()
    assert [caught.value.job_id] == [render.job_id] == worker.engine.started


async def test_a_picture_that_is_no_longer_on_the_disk_is_lost(worker: FakeComfyUI, ticker: Ticker) -> None:
    def end_and_wipe() -> None:
        worker.release()
        worker.delete_outputs()

    worker.hold()
    ticker.at(1, end_and_wipe)
    backend = lane(worker.url, ticker)
    with pytest.raises(JobLost, match="no longer has the picture assetline/"):
        await backend.generate(planned(), 1)
    await backend.close()


async def test_another_prompt_s_picture_under_our_name_is_not_taken(worker: FakeComfyUI) -> None:
    """Names are handed out again after files were deleted, and by a second server in the same folder."""
    worker.engine.overwritten = 1
    backend = lane(worker.url)
    with pytest.raises(JobLost, match=r"gave the picture of another prompt as assetline/.*give each its own") as caught:
        await backend.generate(planned(), 1)
    render = await backend.generate(planned(), 2)
    await backend.close()
    assert caught.value.job_id == worker.engine.started[0]
    assert embedded_graph(render.data) == render.graph


async def test_a_picture_that_does_not_say_whose_it_is_is_taken(worker: FakeComfyUI) -> None:
    """Workers may be started with --disable-metadata."""
    worker.engine.writes_metadata = False
    backend = lane(worker.url)
    render = await backend.generate(planned(), 1)
    await backend.close()
    assert embedded_graph(render.data) is None


@pytest.mark.parametrize("text", ["no json", "[]", '"graph"', '{"3": 1}', '{"3": {"inputs": []}}'])
def test_what_is_no_graph_says_nothing_about_whose_picture_it_is(text: str) -> None:
    assert embedded_graph(png(1, text={"prompt": text})) is None


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", png(1)[:200], png(1)])
def test_a_file_that_is_cut_short_or_no_png_says_nothing_about_whose_picture_it_is(data: bytes) -> None:
    assert embedded_graph(data) is None


async def test_two_workers_that_share_one_output_folder_each_give_their_own_pictures(tmp_path: Path) -> None:
    with FakeComfyUI(folder=tmp_path) as first, FakeComfyUI(folder=tmp_path) as second:
        backends = [lane(worker.url) for worker in (first, second)]
        works = [backends[seed % 2].generate(planned(seed), 1) for seed in range(12)]
        renders = await asyncio.gather(*works)
        for backend in backends:
            await backend.close()
    graphs = [embedded_graph(render.data) for render in renders]
    assert graphs == [render.graph for render in renders]
    assert [graph and graph["3"]["inputs"]["seed"] for graph in graphs] == list(range(12))


async def test_a_worker_that_takes_connections_and_answers_none_is_unavailable_after_one_look(
    worker: FakeComfyUI, ticker: Ticker
) -> None:
    worker.hold()
    ticker.at(3, worker.hang)
    backend = lane(worker.url, settings=ComfyUISettings(read_s=0.2, silent_s=0, cancel_s=0.05), clock=ticker.clock)
    with pytest.raises(BackendUnavailable, match="gave no whole answer"):
        await backend.generate(planned(), 1)
    await backend.close()
    assert ticker.seconds < 5
