"""A campaign on two to four workers of which one goes wrong at some moment: nothing is lost, nothing is stored twice.

Each fault with the seeds that `FAULT_SEEDS` counts (1; all 20: `FAULT_SEEDS=20 pytest tests/services/test_comfyui_faults.py`).
Which other test covers which point of what a client of ComfyUI must handle (each file is `tests/core/test_comfyui_*.py`):

| point | tests |
| --- | --- |
| 1 own prompt_id; a lost POST answer is looked for, never sent again | backend: `..._lost_answer_...`, `..._found_...`; services/test_lost_answers.py; here: `answer lost`, `post lost`, `post late` |
| 2 a filename_prefix of its own per attempt | backend: `every_attempt_has_its_own_id_and_prefix...`, follow: `another_prompt_s_picture...`, `two_workers_that_share_one_output_folder...`; here: `overwritten`, `shared folder` |
| 3 200 with node_errors; 400 by class; 500 text; refused connection | answers: `each_refusal_of_the_real_server...`; backend: `accepted_in_part`, `without_the_checkpoint`, `a_status_without_a_reason`, `probe_of_a_dead_worker`; here: `checkpoint removed`, `class removed`, `killed` |
| 4 the websocket is a hint: fresh id, heartbeat, drained; a limit for each prompt | socket: all of it; answers: `stops_moving`, `its_turn_is_late`; here: `socket ...` |
| 5 absent twice from queue and history means lost | answers: `one_absence_is_no_loss...`; follow: `a_restart_wiped_out`, `the_queue_is_read_before_the_history`; here: `restarted`, `queue cleared`, `history cleared` |
| 6 status before outputs, how many pictures, each file decoded | follow: `gives_no_picture_even_where_another_branch...`, `more_than_one_picture`, `no_picture_is_rejected`, `cut_off`; here: `download cut` |
| 7 downloaded at once, then forgotten | backend: `the_history_is_deleted_after_the_download...`; adoption: `a_finished_one_whose_file_is_gone`; here: `outputs wiped` |
| 8 cancel: delete, interrupt by id, look; nobody else's is touched | cancel: all of it; services/test_run_on_comfyui.py: `takes_back_its_own_prompts_alone`; here: `interrupted` |
| 9 few queued ahead; the worker's queue is volatile | services/test_adoption.py; adoption: all of it; here: `restarted`, `killed and restarted` |
| 10 a dead thread, a stuck prompt, a worker that hangs | follow: `accepts_and_runs_nothing`, `runs_too_long`, `answers_none`; socket: `does_not_let_itself_be_interrupted`; here: `thread dead`, `hung`, `hung for a while` |
| 11 seeds are whole numbers up to 2**64-1 | backend: `the_largest_seed_arrives_as_the_same_whole_number` |
| 12 out of memory and missing models are this worker's | follow: `out_of_memory...`, `a_broken_checkpoint_is_named`; here: `out of memory`, `checkpoint removed` |
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakes.campaigns import statuses
from fakes.command_line import write
from fakes.fake_comfyui import FakeComfyUI
from fakes.fast_time import now, run_fast

from assetline.backends.comfyui import Clock, ComfyUIBackend, ComfyUISettings
from assetline.bootstrap.planning import plan_sheet
from assetline.dispatch import DispatchOptions, Lane
from assetline.pipeline import RunJob, RunResult, run_campaign
from assetline.provenance import read_sidecar
from assetline.records import RunOptions
from assetline.settings import Settings
from assetline.store.folder import FolderStore
from assetline.workflow import affinity

pytestmark = pytest.mark.server

SEEDS = range(int(os.environ.get("FAULT_SEEDS", "1")))
REQUESTS = 30
SHEET = """id,prompt,workflow,size,variants,lora
TENT,a tent,sd15-txt2img,64x64,14,
MUG,a mug,sdxl-lora,64x64,16,house-style.safetensors
"""
SLOTS = 2
# The clock runs twenty times as fast: a look may take two real seconds, since the machine may be busy.
QUICK = ComfyUISettings(connect_s=40, read_s=40, cancel_s=40, silent_s=10, idle_s=20, stall_s=100, run_s=300)


@dataclass(frozen=True)
class Fault:
    """What goes wrong on a worker, what sets it right after `lasts_s`, and how many prompts may be made once more."""

    strike: Callable[[FakeComfyUI], object]
    mend: Callable[[FakeComfyUI], object] = lambda _worker: None
    lasts_s: float = 0
    extra: int = SLOTS


def on(route: str, *kinds: str) -> Callable[[FakeComfyUI], object]:
    return lambda worker: worker.fault(route, *kinds)


def restart(worker: FakeComfyUI) -> None:
    worker.stop()
    worker.restart()
    worker.start()


def restart_without_loras(worker: FakeComfyUI) -> None:
    worker.engine.without = frozenset({"LoraLoader"})
    restart(worker)


def die(worker: FakeComfyUI) -> None:
    worker.stop()
    worker.restart()


def clear_queue(worker: FakeComfyUI) -> None:
    with worker._lock:
        worker.engine.delete_pending([item[1] for item in worker.engine.pending])


def mute(worker: FakeComfyUI) -> None:
    worker.sockets.mute = True


def set_engine(**values: object) -> Callable[[FakeComfyUI], object]:
    return lambda worker: [setattr(worker.engine, name, value) for name, value in values.items()]


def unmend(worker: FakeComfyUI) -> None:
    worker.engine.broken.clear()


FAULTS: dict[str, Fault] = {
    "answer lost": Fault(on("POST /prompt", "drop_after", "drop_after"), extra=0),
    "post lost": Fault(on("POST /prompt", "drop_before", "drop_before"), extra=0),
    "post late": Fault(on("POST /prompt", "drop_late", "drop_late"), FakeComfyUI.deliver_late, lasts_s=2),
    "post refused by a proxy": Fault(on("POST /prompt", "502", "503"), extra=0),
    "checkpoint removed": Fault(lambda worker: worker.engine.models.update(checkpoints=[])),
    "class removed": Fault(restart_without_loras),
    "lora removed": Fault(lambda worker: worker.engine.models.update(loras=[]), extra=0),
    "checkpoint broken": Fault(lambda worker: worker.engine.broken.add("AWPainting_v1.3.safetensors"), unmend, 1),
    "out of memory": Fault(set_engine(next_error=("torch.OutOfMemoryError", "Allocation on device 0")), extra=1),
    "interrupted": Fault(FakeComfyUI.interrupt, extra=1),
    "killed": Fault(FakeComfyUI.stop),
    "killed and restarted": Fault(die, FakeComfyUI.start, 15),
    "away and back": Fault(FakeComfyUI.stop, FakeComfyUI.start, 15),
    "away for a moment": Fault(FakeComfyUI.stop, FakeComfyUI.start, 4, extra=0),
    "restarted": Fault(restart),
    "hung": Fault(FakeComfyUI.hang),
    "hung for a while": Fault(FakeComfyUI.hang, FakeComfyUI.wake, 60),
    "hung for a moment": Fault(FakeComfyUI.hang, FakeComfyUI.wake, 5, extra=0),
    "thread dead": Fault(FakeComfyUI.kill_thread, restart, 30),
    "stuck": Fault(set_engine(thread_alive=False, obeys_interrupts=False), restart, 60),
    "queue cleared": Fault(clear_queue, extra=0),
    "history cleared": Fault(lambda worker: worker.engine.history.clear()),
    "outputs wiped": Fault(FakeComfyUI.delete_outputs),
    "overwritten": Fault(set_engine(overwritten=2)),
    "shared folder": Fault(lambda _worker: None, extra=0),
    "download cut": Fault(on("GET /view", "truncate", "truncate"), extra=0),
    "download cut often": Fault(on("GET /view", *["truncate"] * 3), extra=0),
    "download never whole": Fault(on("GET /view", *["truncate"] * 10)),
    "answers cut": Fault(on("GET /history", "drop_before", "drop_after", "502", "nonsense"), extra=0),
    "queue unreadable": Fault(on("GET /queue", "nonsense", "500", "502"), extra=0),
    "socket lost": Fault(lambda worker: worker.sockets.drop(), lambda worker: worker.sockets.drop(), 3, extra=0),
    "socket taken over": Fault(lambda worker: worker.sockets.take_over(), extra=0),
    "socket silent": Fault(mute, extra=0),
    "socket refused": Fault(on("GET /ws", *["404"] * 99), lambda worker: worker.sockets.drop(), 0.1, extra=0),
    "socket never answered": Fault(on("GET /ws", *["hang"] * 99), lambda worker: worker.sockets.drop(), 0.1, extra=0),
}


@dataclass(frozen=True)
class Scene:
    """Who works how fast, and when what goes wrong with whom."""

    workers: list[FakeComfyUI]
    fault: Fault
    victim: FakeComfyUI
    after: int

    @property
    def accepted(self) -> int:
        return sum(len(worker.bodies["/prompt"]) for worker in self.workers)


async def strike(scene: Scene, delay_s: float) -> None:
    """Wait until so many prompts were accepted and a moment longer; then let it go wrong, and mend it in its time."""
    while scene.accepted < scene.after:  # noqa: ASYNC110 - the workers are in other threads
        await asyncio.sleep(0.05)
    await asyncio.sleep(delay_s)
    await asyncio.to_thread(scene.fault.strike, scene.victim)
    await asyncio.sleep(scene.fault.lasts_s)
    await asyncio.to_thread(scene.fault.mend, scene.victim)


async def campaign(scene: Scene, delay_s: float) -> RunResult:
    planning = plan_sheet("spring.csv", RunOptions(lanes=tuple(worker.url for worker in scene.workers)), Settings())
    workflows = planning.workflows
    backends = [
        ComfyUIBackend(
            name, workflows, references=planning.references.__getitem__, settings=QUICK, clock=Clock(now), campaign="x"
        )
        for name in planning.lanes
    ]
    options = DispatchOptions(affinity=lambda item: affinity(workflows[str(item.request.workflow)], item.request))
    lanes = [Lane(backend, slots=SLOTS, ahead=1) for backend in backends]
    job = RunJob(planning.plan, planning.source.data, FolderStore(Path("store")), lanes, options)
    striking = asyncio.create_task(strike(scene, delay_s))
    try:
        return await run_campaign(job, lambda step: step, lambda _: None)
    finally:
        striking.cancel()
        await asyncio.wait({striking})
        for backend in backends:
            await backend.close()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_lost_and_nothing_stored_twice(name: str, seed: int, tmp_path: Path) -> None:
    write("spring.csv", SHEET)
    fault, chance = FAULTS[name], random.Random(f"{name} {seed}")
    folder = tmp_path / "shared" if name == "shared folder" else None
    if folder:
        folder.mkdir()
    with ExitStack() as stack:
        workers = [
            stack.enter_context(FakeComfyUI(seconds_per_image=chance.uniform(0.005, 0.04), folder=folder))
            for _ in range(chance.randint(2, 4))
        ]
        scene = Scene(workers, fault, chance.choice(workers), chance.randint(1, REQUESTS - 5))
        result = run_fast(campaign(scene, chance.uniform(0, 1)))
    assert statuses(result) == ["stored"] * REQUESTS, [outcome.reason for outcome in result.outcomes]
    check_store(result)
    executed = sum((worker.engine.executions for worker in workers), Counter[str]())
    assert set(executed) == {outcome.request_key for outcome in result.outcomes}
    assert executed.total() - REQUESTS <= fault.extra


def check_store(result: RunResult) -> None:
    """One original for each request, each with its sidecar, and each the picture of its own graph."""
    store = FolderStore(Path("store"))
    keys = [key for key in store.list("campaigns/spring/assets/") if key.endswith(".png")]
    assert sorted(keys) == sorted(outcome.asset.original for outcome in result.outcomes if outcome.asset)
    for outcome in result.outcomes:
        assert outcome.asset
        recipe = read_sidecar(store.get(outcome.asset.sidecar).data)
        assert recipe.request_key == outcome.request_key
        assert recipe.graph is not None
        assert recipe.graph["3"]["inputs"]["seed"] == outcome.seed
        assert json.loads(recipe.embedded["prompt"]) == recipe.graph
