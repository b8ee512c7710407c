"""A run while it goes on: what it says of itself in the store, what it obeys there, what its lanes did."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from fakes.campaigns import PictureBackend, by_seed, job, run

from assetline.dispatch import LaneEvent
from assetline.errors import BackendUnavailable, StoreError, StoreUnreachable
from assetline.pipeline import Bench, Progress, RunStopped, WorkPool, run_campaign
from assetline.pipeline.attendant import LOOK_EVERY_S, NEWS_EVERY, TIMELINE_EVERY, Attendant, Attended, attended
from assetline.pipeline.books import Books
from assetline.pipeline.lanes import LaneWatch, models_of
from assetline.pipeline.live import Control, put_control, read_control, read_lanes, read_news
from assetline.records import FPO_MODEL, ImageRequest, Made, Outcome, PlannedRequest, Render
from assetline.store import PutOptions
from assetline.store.folder import FolderStore
from assetline.store.runs import find_runs

RUN = "20261122T014500Z-0a1b2c"
SHEET = "id,prompt,size\n" + "".join(f"R{number},tent {number},64x64\n" for number in range(6))


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def ask(store: FolderStore, *, paused: bool) -> None:
    put_control(store, "spring", RUN, Control(paused=paused, by="studio-3"))


class Obedient:
    """A dispatcher that only notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")


@dataclass
class Desk:
    """A run that goes on, with all that an attendant needs of it."""

    store: FolderStore
    heard: list[Progress] = field(default_factory=list)
    dispatcher: Obedient = field(default_factory=Obedient)

    def look(self, *between: Callable[[Desk], object]) -> Any:
        """Look once, and once more after each thing that a test does; gives the run."""

        async def looks() -> Attended:
            with WorkPool(2) as pool:
                run = self._run(pool)
                attendant = Attendant(run)
                await attendant.look()
                for act in between:
                    act(self)
                    await attendant.look()
                return run

        return asyncio.run(looks())

    def _run(self, pool: WorkPool) -> Attended:
        work = job(SHEET, self.store, PictureBackend("gpu1"))
        books = Books(work.plan.requests, self.heard.append)
        books.waiting()
        books.ended(Made(Outcome.of(work.plan.requests[0], "failed", "no")))
        lanes = LaneWatch(work.lanes, work.plan.requests, "2026-11-22T01:45:00+00:00")
        lanes.hear(LaneEvent(asyncio.get_running_loop().time(), "gpu1", "began", work.plan.requests[1].label))
        return Attended(Bench(self.store, pool, "spring", RUN), books, lanes, self.dispatcher)  # type: ignore[arg-type]  # as much of a dispatcher as is asked


def test_a_run_says_how_far_it_is_and_what_its_lanes_do(store):
    Desk(store).look()
    news = read_news(store, "spring", RUN)
    assert news
    assert (6, 1, 1, False) == (news.total, news.done, news.failed, news.paused)
    assert news.said.startswith("1 of 6, 1 failed")
    assert [("gpu1", "working")] == [(lane.name, lane.state) for lane in news.lanes]


def test_its_lanes_over_time_are_there_while_it_goes_on(store):
    desk = Desk(store)
    desk.look()
    timeline = read_lanes(store, "spring", RUN)
    assert timeline
    assert (False, ("FPO comps",), 1) == (timeline.ended, timeline.groups, len(timeline.lanes[0].bars))
    assert store.get(f"campaigns/spring/runs/{RUN}/timeline.svg").data.startswith(b"<svg")
    assert desk.heard[-1].timeline == timeline


class Counting(FolderStore):
    """A folder that lists what was asked of it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.puts: list[str] = []

    def put(self, key: str, data: bytes | Path, options: PutOptions = PutOptions()) -> str:  # noqa: B008  (frozen)
        self.puts.append(key.rpartition("/")[2])
        return super().put(key, data, options)


def test_the_first_half_minute_costs_four_small_writes_and_as_many_of_the_timeline(tmp_path):
    store = Counting(tmp_path)
    Desk(store).look(*[lambda _desk: None] * (TIMELINE_EVERY - 1))
    assert 4 == store.puts.count("progress.json") == -(-TIMELINE_EVERY // NEWS_EVERY)
    assert 4 == store.puts.count("timeline.json")


def test_each_further_half_minute_costs_one_of_the_timeline(tmp_path):
    store = Counting(tmp_path)
    Desk(store).look(*[lambda _desk: None] * (3 * TIMELINE_EVERY - 1))
    assert 4 + 2 == store.puts.count("timeline.json")


def test_it_pauses_and_goes_on_as_it_is_told_and_says_so_at_once(store):
    said = []

    def pause(desk: Desk) -> None:
        ask(desk.store, paused=True)

    def resume(desk: Desk) -> None:
        said.append(read_news(store, "spring", RUN))
        ask(desk.store, paused=False)

    desk = Desk(store)
    desk.look(lambda _desk: None, pause, lambda _desk: None, resume)
    assert ["pause", "resume"] == desk.dispatcher.told
    [paused] = said
    assert (True, "paused", "paused: 1 of 6, 1 failed", None) == (
        paused.paused, paused.step, paused.said, paused.seconds_left,
    )  # fmt: skip
    news = read_news(store, "spring", RUN)
    assert news
    assert (False, "making pictures") == (news.paused, news.step)


@pytest.mark.parametrize("data", [b"", b"{}", b'{"paused": "perhaps"}'])
def test_a_control_that_cannot_be_read_is_not_obeyed(store, data):
    store.put(f"campaigns/spring/runs/{RUN}/control.json", data)
    desk = Desk(store)
    with pytest.raises(StoreError, match=r"control\.json cannot be read"):
        desk.look()
    assert [] == desk.dispatcher.told


class Forgetful(FolderStore):
    """A store in which nothing of a run that goes on can be kept. `asked` is set when it was to keep something."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked = threading.Event()

    def put(self, key: str, data: bytes | Path, options: PutOptions = PutOptions()) -> str:  # noqa: B008  (frozen)
        self.asked.set()
        raise StoreUnreachable("no answer")


def test_a_store_that_keeps_no_progress_is_told_of_and_the_run_goes_on(tmp_path, caplog):
    store = Forgetful(tmp_path)

    async def work() -> int:
        with WorkPool(2) as pool:
            async with attended(Desk(store)._run(pool), every_s=0.001):
                await asyncio.to_thread(store.asked.wait, 30)
                return 42

    assert 42 == asyncio.run(work())
    assert "the run goes on, how it stands cannot be written: reason=no answer" == caplog.messages[-1]


def test_a_run_that_ends_before_the_first_look_writes_only_its_last_word(store):
    result = run(SHEET, store, PictureBackend())
    names = {key.rpartition("/")[2] for key in store.list("campaigns/spring/runs/")}
    assert {"timeline.json", "timeline.svg", "run.json"} <= names
    assert "progress.json" not in names
    assert result.timeline
    assert result.timeline.ended


class Stuck(PictureBackend):
    """Makes two pictures and no more."""

    async def generate(self, planned: PlannedRequest, attempt: int) -> Render:
        if len(self.drawn) == 2:
            await asyncio.Event().wait()
        return await super().generate(planned, attempt)


def stopped_half_way(store: FolderStore) -> RunStopped:
    """What a run raises that is stopped after two of its six pictures."""
    work = replace(job(SHEET, store, Stuck("gpu1"), slots=1), run_id=RUN)

    async def stop() -> RunStopped:
        task = asyncio.current_task()
        assert task

        def report(progress: Progress) -> None:
            if progress.done == 2 and progress.step == "making pictures":
                task.cancel()

        with pytest.raises(asyncio.CancelledError) as stopped:
            await run_campaign(work, lambda step: step, report)
        assert isinstance(stopped.value, RunStopped)
        return stopped.value

    return asyncio.run(stop())


def test_a_stopped_run_carries_its_result_with_its_lanes(store):
    result = stopped_half_way(store).result
    assert (RUN, True, 2, 4) == (
        result.record.run_id, result.record.interrupted, result.record.counts.stored, result.record.counts.canceled,
    )  # fmt: skip
    assert result.timeline
    assert (True, 2) == (result.timeline.ended, result.timeline.pictures)
    [stored] = find_runs(store)
    assert result.record == stored.record


def test_the_same_sheet_again_is_a_new_run_that_is_not_paused(store):
    ask(store, paused=True)
    stopped_half_way(store)
    again = run(SHEET, store, PictureBackend())
    assert again.record.run_id != RUN
    assert (4, 2) == (again.record.counts.stored, again.record.counts.reused)
    assert read_control(store, "spring", again.record.run_id) is None


def test_a_lane_that_was_down_from_the_start_is_seen_to_be(store):
    broken = PictureBackend("gpu2")
    broken.fault = BackendUnavailable("gpu2 does not answer", lane="gpu2")
    result = run(SHEET, store, PictureBackend("gpu1"), broken)
    assert result.timeline
    first, second = result.timeline.lanes
    assert (6, 0) == (first.pictures, second.pictures)
    assert "gpu2 does not answer" == second.bands[0].why


def test_a_failed_try_is_on_the_timeline(store):
    def draw(planned, attempt):
        error = BackendUnavailable("gone", lane="gpu1") if planned.row == "R3" and attempt == 1 else None
        return error or by_seed(planned, attempt)

    result = run(SHEET, store, PictureBackend("gpu1", draw), PictureBackend("gpu2"))
    assert result.timeline
    assert sum(lane.failures for lane in result.timeline.lanes) == sum(len(o.attempts) > 1 for o in result.outcomes)


def test_nothing_to_make_leaves_no_timeline(store):
    run(SHEET, store, PictureBackend())
    again = run(SHEET + "\n", store, PictureBackend())  # the same rows in another file
    assert again.timeline is None
    assert read_lanes(store, "spring", again.record.run_id) is None


def test_the_timeline_in_the_store_is_the_runs(store):
    result = run(SHEET, store, PictureBackend())
    assert result.timeline == read_lanes(store, "spring", result.record.run_id)
    facts = json.loads(store.get(f"campaigns/spring/runs/{result.record.run_id}/timeline.json").data)
    assert (1, ["FPO comps"]) == (facts["version"], facts["groups"])


def test_looks_are_some_seconds_apart():
    assert 1 <= LOOK_EVERY_S <= 5


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"model": FPO_MODEL}, "FPO comps"),
        ({"model": "black-forest-labs/flux-schnell"}, "black-forest-labs/flux-schnell"),
        ({"workflow": "sdxl-txt2img"}, "sdxl-txt2img"),
        (
            {
                "workflow": "sdxl-lora",
                "parameters": {"model": "xl/juggernautXL_v9.safetensors", "lora": "brand_v3.safetensors", "steps": 20},
            },
            "sdxl-lora · juggernautXL_v9 + brand_v3",
        ),
        ({}, "pictures"),
    ],
)
def test_what_a_lane_has_loaded_is_called_as_people_know_it(facts, name):
    assert name == models_of(ImageRequest(prompt="x", width=64, height=64, seed=1, **facts))
