"""Runs that are killed with `kill -9` while workers make their pictures: the same command goes on with those."""

from __future__ import annotations

import random
import socket
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from fakes.campaigns import statuses
from fakes.command_line import Ended, ended, start, wait_until, write
from fakes.fake_comfyui import FakeComfyUI
from fakes.fast_time import run_fast

from assetline.backends.comfyui.binder import ADOPTED, Binder
from assetline.bootstrap.planning import plan_sheet
from assetline.bootstrap.running import open_job
from assetline.pipeline import Progress, RunResult, run_campaign
from assetline.pipeline.progress import Report
from assetline.provenance import read_sidecar
from assetline.records import PlannedRequest
from assetline.run_records import RunOptions
from assetline.settings import Settings
from assetline.store.folder import FolderStore

SHEET = "id,prompt,workflow,size,variants\nTENT,a tent,sd15-txt2img,64x64,{}\n"
KILLS = 4
DEAD = 2**22 + 1  # above the highest process id that Linux gives


def begin(*workers: FakeComfyUI) -> subprocess.Popen[str]:
    lanes = [option for worker in workers for option in ("--lane", worker.url)]
    return start("run", "spring.csv", "--direct", "--json", "--store", "store", *lanes)


def run(*workers: FakeComfyUI) -> Ended:
    done = ended(begin(*workers))
    assert done.code == 0, done.err
    return done


def run_and_kill(when: Callable[[], object], *workers: FakeComfyUI) -> None:
    process = begin(*workers)
    try:
        wait_until(when, "the moment to kill it")
    finally:
        process.kill()
        process.communicate()


def executions(*workers: FakeComfyUI) -> dict[str, int]:
    found: dict[str, int] = {}
    for worker in workers:
        for key, count in worker.engine.executions.items():
            found[key] = found.get(key, 0) + count
    return found


@pytest.mark.server
def test_prompts_in_a_worker_s_queue_and_history_are_adopted_after_a_kill_and_not_run_again() -> None:
    write("spring.csv", SHEET.format(4))
    with FakeComfyUI() as worker:
        worker.hold()
        run_and_kill(lambda: len(worker.bodies["/prompt"]) == 2 and worker.engine.pending, worker)
        worker.step()  # one ends while nobody looks, the other runs
        adopted = set(worker.engine.started)
        process = begin(worker)
        wait_until(lambda: len(worker.bodies["/prompt"]) == 3, "the next prompt")
        worker.release()
        done = ended(process)
    assert done.json["counts"]["stored"] == 4
    assert list(executions(worker).values()) == [1] * 4
    store = FolderStore(Path("store"))
    recipes = [
        read_sidecar(store.get(key).data) for key in store.list("campaigns/spring/assets/") if key[-4:] == "json"
    ]
    assert {recipe.asset.job_id for recipe in recipes if ADOPTED in recipe.notes} == adopted
    assert worker.engine.history == {}


@pytest.mark.server
def test_a_run_killed_again_and_again_executes_each_request_once() -> None:
    moments = random.Random(20261122)
    write("spring.csv", SHEET.format(40))
    with FakeComfyUI(seconds_per_image=0.03) as first, FakeComfyUI(seconds_per_image=0.05) as second:
        for _ in range(KILLS):
            wanted = len(first.bodies["/prompt"]) + len(second.bodies["/prompt"]) + moments.randint(1, 7)
            run_and_kill(lambda: len(first.bodies["/prompt"]) + len(second.bodies["/prompt"]) >= wanted, first, second)  # noqa: B023 - called in this turn
        done = run(first, second)
    counts = done.json["counts"]
    assert counts["stored"] + counts["reused"] == 40
    assert counts["stored"] > 0, "the kills must come before the end"
    assert list(executions(first, second).values()) == [1] * 40


# ---------------------------------------------------------------------- two workers, in one process


async def leave(worker: FakeComfyUI, planned: PlannedRequest) -> str:
    """A prompt of a run on this machine whose process has ended."""
    planning = plan_sheet("spring.csv", RunOptions(lanes=(worker.url,)), Settings())
    async with open_job(planning, RunOptions(), Settings()) as job:
        binder: Binder = job.lanes[0].backend._binder  # type: ignore[attr-defined]
        bound = await binder.bind(planned, 1)
    facts = {**bound.facts, "maker": f"{socket.gethostname()}/{DEAD}/0123456789ab"}
    worker.submit({"prompt": bound.graph, "prompt_id": bound.job.prompt_id, "extra_data": {"assetline": facts}})
    return bound.job.prompt_id


Left = Callable[[tuple[PlannedRequest, ...]], Awaitable[None]]


def go_on(options: RunOptions, left: Left, report: Report = lambda _: None) -> RunResult:
    """Leave something on the workers, then run the campaign on a fast clock."""

    async def both() -> RunResult:
        planning = plan_sheet("spring.csv", options, Settings())
        await left(planning.plan.requests)
        async with open_job(planning, options, Settings()) as job:
            return await run_campaign(job, lambda step: step, report)

    return run_fast(both())


def test_of_a_request_on_two_workers_the_finished_one_is_taken_and_the_other_taken_back() -> None:
    write("spring.csv", SHEET.format(3))
    ids = {}

    async def left(requests: tuple[PlannedRequest, ...]) -> None:
        slow.submit_foreign("theirs")
        ids["pending"] = await leave(slow, requests[0])
        ids["finished"] = await leave(quick, requests[0])

    def report(progress: Progress) -> None:
        if progress.done:
            slow.release()

    with FakeComfyUI() as slow, FakeComfyUI() as quick:
        slow.hold()
        result = go_on(RunOptions(lanes=(slow.url, quick.url), store="store"), left, report)
    assert statuses(result) == ["stored"] * 3
    assert result.outcomes[0].asset is not None
    assert result.outcomes[0].asset.job_id == ids["finished"]
    assert ids["pending"] not in slow.engine.started
    assert executions(slow, quick) == {"theirs": 1} | {outcome.request_key: 1 for outcome in result.outcomes}


def test_a_request_whose_adopted_prompt_comes_to_nothing_is_made_by_the_others() -> None:
    write("spring.csv", SHEET.format(3))

    async def left(requests: tuple[PlannedRequest, ...]) -> None:
        await leave(worker, requests[1])
        worker.delete_outputs()

    with FakeComfyUI() as worker:
        result = go_on(RunOptions(lanes=(worker.url,), store="store"), left)
    assert statuses(result) == ["stored"] * 3
    assert sorted(executions(worker).values()) == [1, 1, 2]
