"""A campaign on two to four workers of which some go wrong at some moment, as a seed says: what came of it.

The tests run a few seeds of each fault, `python -m benchmarks.faults` all of them.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from fakes.fake_comfyui import FakeComfyUI
from fakes.fast_time import now, run_fast

from assetline.backends.comfyui import Clock, ComfyUIBackend, ComfyUISettings
from assetline.bootstrap.planning import plan_sheet
from assetline.dispatch import DispatchOptions, Lane
from assetline.pipeline import RunJob, RunResult, run_campaign
from assetline.policy import DEFAULT_POLICY
from assetline.provenance import read_sidecar
from assetline.run_records import RunOptions
from assetline.settings import Settings
from assetline.store.folder import FolderStore
from assetline.workflow import affinity

REQUESTS = 8
SHEET = """id,prompt,workflow,size,variants,lora
TENT,a tent,sd15-txt2img,64x64,4,
MUG,a mug,sdxl-lora,64x64,4,house-style.safetensors
"""
SLOTS = 2
# The clock runs twenty times as fast: a look may take two real seconds, since the machine may be busy.
QUICK = ComfyUISettings(connect_s=40, read_s=40, cancel_s=40, silent_s=10, idle_s=20, stall_s=100, run_s=300)


@dataclass(frozen=True)
class Fault:
    """What goes wrong on a worker, what sets it right after `lasts_s`.

    For each such worker: how many prompts may be executed once more (`extra`: what was in flight there), and how many
    requests may end as failed with a reason, since the worker said that no other would make them (`refused`). `traps`:
    how many tries it spoils whenever they come, so that one request may meet as many as it has tries.
    """

    strike: Callable[[FakeComfyUI], object]
    mend: Callable[[FakeComfyUI], object] = lambda _worker: None
    lasts_s: float = 0
    extra: int = SLOTS
    refused: int = 0
    traps: int = 0


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


def crowd(worker: FakeComfyUI) -> None:
    for number in range(6):
        worker.submit_foreign(f"theirs-{number}", "theirs/x")


def unmend(worker: FakeComfyUI) -> None:
    worker.engine.broken.clear()


FAULTS: dict[str, Fault] = {
    "answer lost": Fault(on("POST /prompt", "drop_after", "drop_after"), extra=0),
    "answer unreadable": Fault(on("POST /prompt", "garbled", "524"), extra=0),
    "post lost": Fault(on("POST /prompt", "drop_before", "drop_before"), extra=0),
    "post late": Fault(on("POST /prompt", "drop_late", "drop_late"), FakeComfyUI.deliver_late, lasts_s=2),
    "post refused by a proxy": Fault(on("POST /prompt", "502", "503"), extra=0),
    "refused with 500": Fault(on("POST /prompt", "500"), extra=0, refused=1),
    "accepted in part": Fault(on("POST /prompt", "in_part"), extra=0, refused=1),
    "checkpoint removed": Fault(lambda worker: worker.engine.models.update(checkpoints=[])),
    "class removed": Fault(restart_without_loras),
    "lora removed": Fault(lambda worker: worker.engine.models.update(loras=[]), extra=0),
    "checkpoint broken": Fault(lambda worker: worker.engine.broken.add("AWPainting_v1.3.safetensors"), unmend, 1),
    "out of memory": Fault(
        set_engine(next_error=("torch.OutOfMemoryError", "Allocation on device 0")), extra=1, traps=1
    ),
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
    "overwritten": Fault(set_engine(overwritten=2), traps=2),
    "shared folder": Fault(lambda _worker: None, extra=0),
    "crowded": Fault(crowd, extra=0),
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


@dataclass
class Scene:
    """Who works how fast, when what goes wrong with whom, and how long it did, in seconds of the lanes' clock."""

    workers: list[FakeComfyUI]
    fault: Fault
    victims: list[FakeComfyUI]
    after: int
    delay_s: float
    lasted_s: float = 0.0

    @property
    def extra_allowed(self) -> int:
        """What was in flight, where a busy machine made of a moment's outage one that no lane waits for."""
        is_outage = self.fault.lasts_s < QUICK.silent_s <= self.lasted_s
        return len(self.victims) * (max(SLOTS, self.fault.extra) if is_outage else self.fault.extra)

    @property
    def refused_allowed(self) -> int:
        """What the workers turned down, and what met traps at every one of its tries."""
        return self.fault.refused * len(self.victims) + self.fault.traps * len(self.victims) // DEFAULT_POLICY.attempts

    @property
    def accepted(self) -> int:
        return sum(len(worker.bodies["/prompt"]) for worker in self.workers)


@dataclass(frozen=True)
class Case:
    """What came of one run. `lost` has neither picture nor reason; `wrong` has another request's picture."""

    fault: str
    seed: int
    lost: int
    stored_twice: int
    wrong: int
    extra: int
    extra_allowed: int
    refused: int
    refused_allowed: int
    reasons: tuple[str, ...] = ()

    @property
    def broken(self) -> list[str]:
        """The promises that it breaks."""
        found = [name for name in ("lost", "stored_twice", "wrong") if getattr(self, name)]
        found += [name for name in ("extra", "refused") if getattr(self, name) > getattr(self, f"{name}_allowed")]
        return found


def scene(name: str, seed: int, stack: ExitStack, folder: Path) -> Scene:
    """The scene of a fault and a seed: the same whenever it is asked for, but for what threads make of it."""
    chance = random.Random(f"{name} {seed}")
    shared = folder / "shared" if name == "shared folder" else None
    if shared:
        shared.mkdir()
    workers = [
        stack.enter_context(FakeComfyUI(seconds_per_image=chance.uniform(0.005, 0.04), folder=shared))
        for _ in range(chance.randint(2, 4))
    ]
    victims = chance.sample(workers, chance.randint(1, len(workers) - 1))
    return Scene(workers, FAULTS[name], victims, chance.randint(0, REQUESTS - 1), chance.uniform(0, 0.5))


async def to_its_end(act: Callable[[FakeComfyUI], object], victim: FakeComfyUI) -> None:
    """Do it in a thread, and wait for it also when cancelled: a worker that is starting could not be closed."""
    work = asyncio.ensure_future(asyncio.to_thread(act, victim))
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait({work})
        raise


async def strike(scene: Scene) -> None:
    """Wait until so many prompts were accepted and a moment longer; then let it go wrong, and mend it in its time."""
    while scene.accepted < scene.after:  # noqa: ASYNC110 - the workers are in other threads
        await asyncio.sleep(0.05)
    await asyncio.sleep(scene.delay_s)
    began = now()
    try:
        for victim in scene.victims:
            await to_its_end(scene.fault.strike, victim)
        await asyncio.sleep(scene.fault.lasts_s)
        for victim in scene.victims:
            await to_its_end(scene.fault.mend, victim)
    finally:
        scene.lasted_s = now() - began


async def campaign(scene: Scene, folder: Path) -> RunResult:
    sheet = folder / "spring.csv"
    sheet.write_text(SHEET)
    lanes_wanted = tuple(worker.url for worker in scene.workers)
    planning = plan_sheet(str(sheet), RunOptions(lanes=lanes_wanted), Settings())
    workflows = planning.workflows
    backends = [
        ComfyUIBackend(
            name, workflows, references=planning.references.__getitem__, settings=QUICK, clock=Clock(now), campaign="x"
        )
        for name in planning.lanes
    ]
    options = DispatchOptions(affinity=lambda item: affinity(workflows[str(item.request.workflow)], item.request))
    lanes = [Lane(backend, slots=SLOTS, ahead=1) for backend in backends]
    job = RunJob(planning.plan, planning.source.data, FolderStore(folder / "store"), lanes, options)
    striking = asyncio.create_task(strike(scene))
    try:
        return await run_campaign(job, lambda step: step, lambda _: None)
    finally:
        striking.cancel()
        await asyncio.wait({striking})
        for backend in backends:
            await backend.close()


def run_case(name: str, seed: int, folder: Path) -> Case:
    """Run a campaign in `folder` (empty, to be removed by the caller) while `name` goes wrong as `seed` says."""
    with ExitStack() as stack:
        played = scene(name, seed, stack, folder)
        result = run_fast(campaign(played, folder))
    keys = {outcome.request_key for outcome in result.outcomes}
    executed = sum((worker.engine.executions for worker in played.workers), Counter[str]())
    ours = Counter({key: count for key, count in executed.items() if key in keys})
    fates = Counter(outcome.status for outcome in result.outcomes)
    stored, wrong = check_store(result, FolderStore(folder / "store"))
    refused = sum(outcome.status == "failed" and bool(outcome.reason) for outcome in result.outcomes)
    return Case(
        fault=name,
        seed=seed,
        lost=REQUESTS - fates["stored"] - refused,
        stored_twice=stored - fates["stored"],
        wrong=wrong,
        extra=ours.total() - len(ours),
        extra_allowed=played.extra_allowed,
        refused=refused,
        refused_allowed=played.refused_allowed,
        reasons=tuple(outcome.reason for outcome in result.outcomes if outcome.status != "stored"),
    )


def check_store(result: RunResult, store: FolderStore) -> tuple[int, int]:
    """How many originals are there, and how many of the outcomes' are not the picture of their own request."""
    keys = [key for key in store.list("campaigns/spring/assets/") if key.endswith(".png")]
    wrong = 0
    for outcome in result.outcomes:
        if outcome.asset is None:
            continue
        recipe = read_sidecar(store.get(outcome.asset.sidecar).data)
        graph = recipe.graph or {}
        wrong += (
            outcome.asset.original not in keys
            or recipe.request_key != outcome.request_key
            or graph["3"]["inputs"]["seed"] != outcome.seed
            or json.loads(recipe.embedded["prompt"]) != graph
        )
    return len(keys), wrong
