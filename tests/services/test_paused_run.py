"""A whole run that is paused from outside, on a fast clock: what runs is finished, nothing is begun, then it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest
from fakes.campaigns import PictureBackend, job, run
from fakes.fast_time import run_fast

from assetline.pipeline import Progress, RunJob, RunStopped, run_campaign
from assetline.pipeline.live import Control, put_control, read_news
from assetline.records import PlannedRequest, Render
from assetline.store.folder import FolderStore

RUN = "20261122T014500Z-0a1b2c"
SHEET = "id,prompt,size\n" + "".join(f"R{number},tent {number},64x64\n" for number in range(12))


class SlowBackend(PictureBackend):
    """A picture takes two seconds."""

    async def generate(self, planned: PlannedRequest, attempt: int) -> Render:
        await asyncio.sleep(2.0)
        return await super().generate(planned, attempt)


class Story:
    """Hears of a run's progress, and does what a test says at the first one of which each step holds, in turn."""

    def __init__(self, *steps: tuple[Callable[[Progress], bool], Callable[[], object]]) -> None:
        self.steps = list(steps)
        self.heard: list[Progress] = []

    def __call__(self, progress: Progress) -> None:
        self.heard.append(progress)
        if self.steps and self.steps[0][0](progress):
            self.steps.pop(0)[1]()


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def slow_job(store: FolderStore) -> RunJob:
    return replace(job(SHEET, store, SlowBackend("gpu1"), slots=1), run_id=RUN)


def ask(store: FolderStore, *, paused: bool) -> None:
    put_control(store, "spring", RUN, Control(paused=paused, by="test"))


def has_made(count: int) -> Callable[[Progress], bool]:
    return lambda progress: progress.done == count


def is_paused(progress: Progress) -> bool:
    return progress.paused


def test_it_finishes_what_runs_begins_nothing_and_goes_on_when_told(store: FolderStore) -> None:
    work = slow_job(store)
    backend = work.lanes[0].backend
    assert isinstance(backend, SlowBackend)
    drawn: list[int] = []
    said = []

    def go_on() -> None:
        drawn.append(len(backend.drawn))
        said.append(read_news(store, "spring", RUN))
        ask(store, paused=False)

    def wait() -> None:
        asyncio.get_running_loop().call_later(4, lambda: drawn.append(len(backend.drawn)))  # what ran is finished
        asyncio.get_running_loop().call_later(30, go_on)

    story = Story((has_made(2), lambda: ask(store, paused=True)), (is_paused, wait))
    result = run_fast(run_campaign(work, lambda step: step, story))
    assert 12 == result.record.counts.stored
    before, after = drawn
    assert before == after < 12
    [news] = said
    assert news
    assert news.paused
    assert news.said.startswith("paused: ")
    assert result.timeline
    [pause] = result.timeline.pauses
    assert 20 < pause.end - pause.start < 60
    steps = [step for step, _ in groupby(progress.step for progress in story.heard)]
    assert ["making pictures", "paused", "making pictures"] == steps[1:4]


def test_it_can_be_stopped_while_it_is_paused_and_the_same_sheet_again_makes_the_rest(store: FolderStore) -> None:
    async def stop() -> RunStopped:
        task = asyncio.current_task()
        assert task
        story = Story((has_made(2), lambda: ask(store, paused=True)), (is_paused, task.cancel))
        with pytest.raises(RunStopped) as stopped:
            await run_campaign(slow_job(store), lambda step: step, story)
        return stopped.value

    result = run_fast(stop()).result
    assert result.record.interrupted
    assert result.record.counts.canceled > 0
    again = run(SHEET, store, PictureBackend())
    assert 12 == again.record.counts.stored + again.record.counts.reused
