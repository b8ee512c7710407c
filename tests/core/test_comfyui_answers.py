"""Reading ComfyUI's answers and looks: each refusal of the real server gets its class and words; what newer servers
add is borne; a prompt is lost, stuck or late by rules that need no server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.comfyui_lane import Ticker, lane, planned

from assetline.backends.comfyui.answers import HistoryEntry, ImageFile, Queue
from assetline.backends.comfyui.client import AnswerLost, ComfyUIClient
from assetline.backends.comfyui.errors import Job, refusal, run_error
from assetline.backends.comfyui.watch import ComfyUISettings, Watch
from assetline.errors import BackendUnavailable, JobFailed, JobLost, JobRejected, JobStalled, JobTimedOut, LaneUnsuited

JOB = Job("http://gpu1:8188", "our-id")
TRANSCRIPTS = Path(__file__).parents[1] / "fixtures/comfyui/transcripts"
REFUSALS = {
    "unknown node class": (LaneUnsuited, "lacks the node class NoSuchNode (node '1')."),
    "node without class_type": (JobRejected, "because a node is missing the class_type property node '1'."),
    "missing required input (3.steps removed)": (JobRejected, "steps is missing (node 3, KSampler)"),
    "wrong ckpt_name": (
        LaneUnsuited,
        "lacks ckpt_name 'AWPainting_v9.safetensors' (node 4, CheckpointLoaderSimple; it has AWPainting_v1.3.safetensors).",
    ),
    "sampler_name not in list (a list of more than 20)": (
        LaneUnsuited,
        "lacks sampler_name 'eulerr' (node 3, KSampler).",
    ),
    "steps = 'abc' (wrong type)": (JobRejected, "steps 'abc' is not of type INT (node 3, KSampler)"),
    "seed = 2**64 (bigger than max)": (
        JobRejected,
        "seed 18446744073709551616 is above the maximum of 18446744073709551615 (node 3, KSampler)",
    ),
    "seed = -1 (smaller than min)": (JobRejected, "seed -1 is below the minimum of 0 (node 3, KSampler)"),
    "width 8 (smaller than min 16)": (JobRejected, "width 8 is below the minimum of 16 (node 5, EmptyLatentImage)"),
    "link of the wrong type (KSampler.positive <- model)": (
        JobRejected,
        "positive takes CONDITIONING, but is linked to MODEL (node 3, KSampler)",
    ),
    "link to a node that is not there": (JobRejected, "Exception when validating inner node: '66' (node 3, KSampler)"),
    "link as a list of 3": (JobRejected, "positive has a bad link ['6', 0, 1]; a link is [node id, output number]"),
    "inputs key missing": (JobRejected, "Exception when validating node: 'inputs' (node 9, SaveImage)"),
    "no output node": (JobRejected, "Prompt has no outputs"),
    "a cycle": (JobRejected, "most likely its links form a circle"),
    "two outputs, one of them bad: accepted, 200, node_errors filled; only the good output runs": (
        JobRejected,
        "width 0 is below the minimum of 1 (node 11, EmptyImage)",
    ),
}


def real_answers() -> dict[str, Any]:
    steps = json.loads((TRANSCRIPTS / "04-validation-errors.json").read_text())["steps"]
    return {step["label"]: step["response"] for step in steps if "label" in step}


def history(transcript: str) -> HistoryEntry:
    steps = json.loads((TRANSCRIPTS / transcript).read_text())["steps"]
    (item,) = next(step["contains"] for step in reversed(steps) if "/history/" in str(step.get("request"))).values()
    return HistoryEntry.read(item)


@pytest.mark.parametrize("label", REFUSALS)
def test_each_refusal_of_the_real_server_has_its_class_and_its_words(label: str) -> None:
    error = refusal(JOB, real_answers()[label])
    kind, words = REFUSALS[label]
    assert kind is type(error)
    assert words in str(error)
    assert (error.lane, error.job_id) == ("http://gpu1:8188", "our-id")


def test_a_missing_class_is_known_by_the_type_that_newer_servers_give_too() -> None:
    error = refusal(JOB, {"error": {"type": "missing_node_type", "message": "Node 'X' not found", "details": ""}})
    assert isinstance(error, LaneUnsuited)


def test_a_long_list_of_choices_is_cut_and_an_empty_one_is_said() -> None:
    def lacks(choices: Any) -> str:
        facts = {"input_name": "lora_name", "received_value": "x", "input_config": choices}
        errors = [{"type": "value_not_in_list", "message": "", "details": "", "extra_info": facts}]
        return str(refusal(JOB, {"node_errors": {"2": {"errors": errors, "class_type": "LoraLoader"}}}))

    assert "; it has none)" in lacks([[], {}])
    assert "; it has 0, 1, 2, 3, 4, 5, 6, 7 and 2 more)" in lacks([[str(number) for number in range(10)]])
    assert "; it has a, b)" in lacks(["COMBO", {"options": ["a", "b"]}])


def test_the_real_out_of_memory_names_node_and_size() -> None:
    error = run_error(JOB, history("06-out-of-memory.json").messages)
    assert type(error) is JobFailed
    assert str(error) == (
        "http://gpu1:8188 ran out of memory at node 1 (EmptyImage), 16384x16384. "
        "Take a smaller size, or a worker with more memory."
    )


def test_the_real_broken_checkpoint_is_named() -> None:
    error = run_error(JOB, history("05-execution-error.json").messages)
    assert "cannot read the model file broken.safetensors at node 4 (CheckpointLoaderSimple)" in str(error)


def test_the_real_interruption_is_a_loss() -> None:
    steps = json.loads((TRANSCRIPTS / "07-interrupt.json").read_text())["steps"]
    (item,) = next(step["contains"] for step in steps if "contains" in step).values()
    entry = HistoryEntry.read(item)
    assert entry.succeeded is False
    assert type(run_error(JOB, entry.messages)) is JobLost


def test_the_seconds_of_a_real_picture_are_those_between_its_messages() -> None:
    assert history("02-success-seven-nodes.json").seconds == 22.01


def test_a_history_without_status_or_times_is_read_by_its_outputs() -> None:
    entry = HistoryEntry.read({"outputs": {"9": {"images": [{"filename": "a.png"}]}}, "status": None})
    assert (entry.succeeded, entry.seconds) == (True, None)
    assert entry.images == {"9": (ImageFile("a.png", "", "output"),)}


def test_longer_queue_items_of_newer_servers_are_read() -> None:
    queue = Queue.read({"queue_running": [[0, "a", {}, {}, [], {"create_time": 1}]], "queue_pending": []})
    assert "a" in queue
    assert "b" not in queue


# ---------------------------------------------------------------------- looks, without a server

ABSENT = Queue((), ())
RUNS = Queue(("our-id",), ())
WAITS = Queue(("theirs",), ("our-id",))
STANDS = Queue((), ("our-id",))


def test_one_absence_is_no_loss_and_the_next_look_reads_the_queue_again() -> None:
    watch = Watch(JOB, ComfyUISettings(), 0)
    watch.not_yet(ABSENT, 1)
    assert watch.wants_queue()
    watch.not_yet(RUNS, 2)
    watch.not_yet(ABSENT, 3)
    with pytest.raises(JobLost):
        watch.not_yet(ABSENT, 4)


def test_the_queue_is_read_at_every_fourth_look() -> None:
    watch = Watch(JOB, ComfyUISettings(), 0)
    wanted = []
    for now in range(8):
        wanted.append(watch.wants_queue())
        watch.not_yet(RUNS if wanted[-1] else None, now)
    assert wanted == [False, False, False, True] * 2


def test_only_unbroken_idleness_counts_against_a_worker() -> None:
    watch = Watch(JOB, ComfyUISettings(idle_s=20), 0)
    for now, queue in ((0, STANDS), (19, WAITS), (20, STANDS), (39, STANDS)):
        watch.not_yet(queue, now)
    with pytest.raises(BackendUnavailable):
        watch.not_yet(STANDS, 40)


def test_the_time_limit_counts_from_our_turn() -> None:
    watch = Watch(JOB, ComfyUISettings(run_s=60), 0)
    for now, queue in ((100, WAITS), (150, RUNS), (159, None)):
        watch.not_yet(queue, now)
    with pytest.raises(JobTimedOut):
        watch.not_yet(None, 160)


def test_an_answer_in_between_ends_a_silence() -> None:
    watch, silence = Watch(JOB, ComfyUISettings(silent_s=10), 0), BackendUnavailable("no answer")
    watch.no_answer(silence, 0, 0)
    watch.no_answer(silence, 9, 9)
    watch.not_yet(None, 9.5)
    watch.no_answer(silence, 10, 10)
    with pytest.raises(BackendUnavailable, match="no answer"):
        watch.no_answer(silence, 20, 20)


def test_a_look_that_hung_counts_as_silence_from_its_beginning() -> None:
    watch = Watch(JOB, ComfyUISettings(silent_s=10), 0)
    with pytest.raises(BackendUnavailable, match="no answer"):
        watch.no_answer(BackendUnavailable("no answer"), 5, 35)


def test_a_prompt_that_stops_moving_is_too_late_and_one_of_which_nothing_is_heard_is_not() -> None:
    watch = Watch(JOB, ComfyUISettings(stall_s=60), 0)
    for now, moved_at in ((100, None), (150, 100), (159, 100), (300, 299), (400, None)):
        watch.not_yet(RUNS, now, moved_at)
    with pytest.raises(JobStalled, match="has not moved on with the picture for 60 s"):
        watch.not_yet(RUNS, 401, 341)


def test_what_never_comes_to_its_turn_is_late_by_a_limit_of_its_own() -> None:
    watch = Watch(JOB, ComfyUISettings(start_s=100, run_s=50), 0)
    watch.not_yet(WAITS, 99)
    watch.not_yet(RUNS, 101)
    with pytest.raises(JobTimedOut, match=r"within 100 s: its queue does not move\. .* Give it to another worker"):
        watch.not_yet(WAITS, 103)


def test_what_waits_behind_others_in_a_queue_that_moves_is_late_in_other_words() -> None:
    watch = Watch(JOB, ComfyUISettings(start_s=100), 0)
    for now, running in ((10, "a"), (60, "b")):
        watch.not_yet(Queue((running,), ("c", "d", "our-id", "e")), now)
    with pytest.raises(JobTimedOut, match=r"within 100 s: there are still 3 others before it\."):
        watch.not_yet(Queue(("b",), ("c", "d", "our-id", "e")), 100)


def test_what_waited_for_room_before_it_was_sent_is_late_all_the_sooner_but_has_its_whole_time_to_run() -> None:
    watch = Watch(JOB, ComfyUISettings(start_s=100, run_s=60), 90, asked=0)
    watch.not_yet(WAITS, 99)
    watch.not_yet(RUNS, 158)
    with pytest.raises(JobTimedOut, match="did not begin"):
        watch.not_yet(WAITS, 101)


def test_waiting_prompts_are_read_in_the_order_in_which_they_will_run() -> None:
    queue = Queue.read({"queue_running": [[3, "r"]], "queue_pending": [[7, "later"], [4.5, "next"], [6, "then"]]})
    assert queue.pending == ("next", "then", "later")
    assert [queue.before(name) for name in ("next", "later")] == [1, 3]


def test_the_pauses_are_short_again_once_the_end_was_heard() -> None:
    watch = Watch(JOB, ComfyUISettings(first_pause_s=0.05, longest_pause_s=1), 0)
    assert watch.pause(100) == 1
    watch.hear_end(100)
    assert watch.pause(100) == 0.05


# ---------------------------------------------------------------------- answers that the fake never gives


@pytest.mark.anyio
async def test_outputs_that_come_a_moment_after_the_status_are_waited_for() -> None:
    """The source allows history without outputs after success, though 40 tries on a real server never saw it."""
    entries = [{"outputs": {}}, {"outputs": {}}, {"outputs": {"9": {"images": [{"filename": "a.png"}]}}}]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/prompt":
            return httpx.Response(200, json={**json.loads(request.content), "node_errors": {}})
        if request.url.path.startswith("/history/"):
            return httpx.Response(200, json={request.url.path.rpartition("/")[2]: entries.pop(0)})
        return httpx.Response(200, content=b"picture")

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        ticker = Ticker()
        backend = lane("http://gpu1:8188", ticker, client=http)
        render = await backend.generate(planned(), 1)
        await backend.close()
        assert http.is_closed is False
    assert (render.data, render.seconds, entries) == (b"picture", ticker.seconds, [])


@pytest.mark.anyio
@pytest.mark.parametrize("answer", [{"queue_running": [[]], "queue_pending": []}, {"queues": []}, []])
async def test_a_queue_of_another_kind_is_said_to_be_no_comfyui(answer: Any) -> None:
    def strange(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=answer if request.url.path == "/queue" else {})

    async with httpx.AsyncClient(transport=httpx.MockTransport(strange)) as http:
        with pytest.raises(BackendUnavailable, match="/queue does not answer like a ComfyUI"):
            await lane("http://gpu1:8188", client=http).probe()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "answer", "kind"),
    [(400, {"error": "bad request"}, JobRejected), (401, {"error": {"message": "who are you"}}, BackendUnavailable)],
)
async def test_a_refusal_by_a_guard_before_the_worker_is_not_taken_for_the_worker_s_own(
    status: int, answer: Any, kind: type[Exception]
) -> None:
    def guard(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, json=answer)

    async with httpx.AsyncClient(transport=httpx.MockTransport(guard)) as http:
        with pytest.raises(kind, match=f"HTTP {status}"):
            await lane("http://gpu1:8188", client=http).generate(planned(), 1)


@pytest.mark.anyio
async def test_a_download_shorter_than_it_says_is_no_picture() -> None:
    async with httpx.AsyncClient(
        transport=httpx.MockTransport(lambda _: httpx.Response(200, content=b"half", headers={"Content-Length": "8"}))
    ) as http:
        client = ComfyUIClient("http://gpu1:8188", httpx.Timeout(1), http)
        with pytest.raises(AnswerLost, match=r"sent 4 of 8 bytes of a\.png"):
            await client.view(ImageFile("a.png", "", "output"))
