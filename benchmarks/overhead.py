"""What assetline and Prefect cost beside the work: a campaign on instant lanes, with and without Prefect.

    python -m benchmarks.overhead [--json] [--requests 500] [--large 5000]

The lanes give a ready 1024 px PNG of about 1.6 MB at once, and the store is a folder in memory where the machine has
one, so that all the time is ours. Each figure is of a process
of its own. Promises: with and without Prefect at least 0.7 of the pictures per second that the image pass alone
reaches on all cores; at most 10 ms of client CPU per image for Prefect, also where each picture has a task run of its
own (`--assets-per-task 1`; its share is shown, not promised); a run of 5,000 requests needs at most 1.5 times the
memory of one of 500. Exit code 1 if one does not hold. `--large 0` leaves that out (minutes).
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import ImageChops

from apps.prefect_server import CLIENT_SETTINGS, embedded_server, wait_until_healthy
from assetline.catalogue import Catalogue
from assetline.dispatch import Lane
from assetline.images import inspect
from assetline.pipeline import RunJob, RunResult, run_campaign
from assetline.plan import World, plan_campaign
from assetline.records import PlannedRequest, Render
from assetline.sheet import read_sheet
from assetline.store.folder import FolderStore
from assetline.workflow import load_workflows
from benchmarks.images import PNG_OF_COMFYUI, photo

LEAST_SHARE = 0.7
MOST_PREFECT_MS = 10.0
MOST_MEMORY_RATIO = 1.5
SIDE = 1024
LARGEST_STORED = 2_000_000  # bytes: a picture, its thumbnails, its sidecar
WARM_UP = 20  # requests: the first flow run takes half a second more of a fresh server
ONE_EACH = "Prefect, 1 a task run"
PICTURES = 8  # distinct ones; more would only cost memory of the benchmark's own


@dataclass(frozen=True)
class Figures:
    """One process: pictures per second, client CPU in ms per picture, peak memory in MiB."""

    per_s: float
    cpu_ms: float
    peak_mib: float


def pictures() -> list[bytes]:
    """PNGs that differ, as a worker would write them."""
    base = photo(SIDE)
    found = []
    for number in range(PICTURES):
        file = io.BytesIO()
        ImageChops.offset(base, 97 * number, 31 * number).save(file, **PNG_OF_COMFYUI)
        found.append(file.getvalue())
    return found


class InstantBackend:
    """Gives a ready picture at once."""

    def __init__(self, name: str, ready: list[bytes]) -> None:
        self.name = name
        self._ready = ready

    def suits(self, planned: PlannedRequest) -> bool:
        """Everything."""
        return planned is not None

    async def probe(self) -> None:
        """It is there."""

    async def generate(self, planned: PlannedRequest, attempt: int) -> Render:
        """One of the ready pictures, by the row's number."""
        data = self._ready[planned.row_number % len(self._ready)]
        return Render(
            data=data, seed=planned.request.seed, lane=self.name, job_id=f"{planned.label}.{attempt}", seconds=0
        )

    async def close(self) -> None:
        """Nothing to give back."""


def job(requests: int, folder: Path) -> RunJob:
    """A campaign of so many rows with one picture each, on four lanes of two slots."""
    lines = "".join(f"R{n:05},picture {n},{SIDE}x{SIDE}\n" for n in range(requests))
    data = f"id,prompt,size\n{lines}".encode()
    workflows = load_workflows(Path(__file__).parents[1] / "workflows")
    world = World(Catalogue(), workflows, frozenset({"fpo"}))
    plan = plan_campaign("overhead", read_sheet("overhead.csv", data, world.catalogue), world)
    ready = pictures()
    return RunJob(plan, data, FolderStore(folder), [Lane(InstantBackend(f"lane{n}", ready), 2) for n in range(4)])


def run_direct(planned: RunJob) -> RunResult:
    """The steps without Prefect."""
    return asyncio.run(run_campaign(planned, lambda step: step, lambda _: None))


def run_with_prefect(planned: RunJob, assets_per_task: int | None) -> RunResult:
    """The same steps as a flow run: task runs, progress artifact, summary."""
    from prefect import flow
    from prefect.events.worker import EventsWorker

    from tasks.batches import asset_tasks
    from tasks.live import followed
    from tasks.reports import publish_summary

    kept: list[RunResult] = []

    @flow(name="overhead", log_prints=False)
    async def overhead() -> None:
        async with followed(planned) as report, asset_tasks(assets_per_task) as in_tasks:
            kept.append(await run_campaign(planned, in_tasks, report))
        await publish_summary(kept[0])

    asyncio.run(overhead())
    EventsWorker.drain_all(timeout=60, at_exit=False)
    return kept[0]


def pass_alone(requests: int) -> Figures:
    """The image pass alone, one thread for each core."""
    ready = pictures()
    inspect(ready[0], (SIDE, SIDE))  # the first one imports scipy
    cpu, wall = time.process_time(), time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda n: inspect(ready[n % len(ready)], (SIDE, SIDE)), range(requests)))
    return _figures(requests, cpu, wall)


def campaign(requests: int, run: Callable[[RunJob], RunResult], *modules: str) -> Figures:
    """A whole run, from the listing of the store to `run.json`. `modules` are imported before the clock starts."""
    for module in modules:
        importlib.import_module(module)
    with tempfile.TemporaryDirectory(prefix="overhead-", dir=_in_memory(requests)) as folder:
        planned = job(requests, Path(folder))
        inspect(pictures()[0], (SIDE, SIDE))
        cpu, wall = time.process_time(), time.perf_counter()
        result = run(planned)
        figures = _figures(requests, cpu, wall)
    if result.record.counts.stored != requests:
        raise SystemExit(f"only {result.record.counts} of {requests} were stored")
    return figures


def _in_memory(requests: int) -> str | None:
    """A folder in memory with room for them, so that the disk is not in the figures; None where there is none."""
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > 2 * requests * LARGEST_STORED:
        return str(memory)
    return None


def _figures(requests: int, cpu: float, wall: float) -> Figures:
    seconds = time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Figures(requests / seconds, 1000 * (time.process_time() - cpu) / requests, peak)


WORK: dict[str, Callable[[int], Figures]] = {
    "pass": pass_alone,
    "direct": lambda requests: campaign(requests, run_direct),
    "prefect": lambda requests: campaign(requests, lambda job: run_with_prefect(job, None), "flows.campaign"),
    "each": lambda requests: campaign(requests, lambda job: run_with_prefect(job, 1), "flows.campaign"),
}


def measure(what: str, requests: int) -> Figures:
    """Do one piece of work in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.overhead", "--work", what, "--requests", str(requests)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    return Figures(**json.loads(answer.stdout.splitlines()[-1]))


def all_figures(requests: int, large: int) -> dict[str, Any]:
    """Every figure; Prefect's server runs in a process of its own on the same cores, as it would."""
    os.environ.update(CLIENT_SETTINGS | {"PREFECT_LOGGING_LEVEL": "WARNING"})
    found: dict[str, Figures] = {"image pass alone": measure("pass", requests), "direct": measure("direct", requests)}
    with tempfile.TemporaryDirectory(prefix="prefect-") as home:
        os.environ["PREFECT_HOME"] = home
        with embedded_server() as api_url:
            wait_until_healthy(api_url)
            os.environ["PREFECT_API_URL"] = api_url
            measure("prefect", WARM_UP)
            found["with Prefect"] = measure("prefect", requests)
            found[ONE_EACH] = measure("each", requests)
            if large:
                found[f"with Prefect, {large:,}"] = measure("prefect", large)
    base = found["image pass alone"].per_s
    facts: dict[str, Any] = {name: vars(figures) for name, figures in found.items()}
    facts["share direct"] = found["direct"].per_s / base
    facts["share with Prefect"] = found["with Prefect"].per_s / base
    facts[f"share {ONE_EACH}"] = found[ONE_EACH].per_s / base
    facts["Prefect ms per image"] = found["with Prefect"].cpu_ms - found["direct"].cpu_ms
    facts[f"{ONE_EACH}, ms"] = found[ONE_EACH].cpu_ms - found["direct"].cpu_ms
    if large:
        facts["memory ratio"] = found[f"with Prefect, {large:,}"].peak_mib / found["with Prefect"].peak_mib
    return facts


def broken(facts: dict[str, Any]) -> list[str]:
    """The promises that do not hold."""
    shares = [name for name in ("share direct", "share with Prefect") if facts[name] < LEAST_SHARE]
    costs = [name for name in ("Prefect ms per image", f"{ONE_EACH}, ms") if facts[name] > MOST_PREFECT_MS]
    memory = ["memory ratio"] if facts.get("memory ratio", 0) > MOST_MEMORY_RATIO else []
    return shares + costs + memory


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--large", type=int, default=5000)
    parser.add_argument("--work", choices=sorted(WORK), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        print(json.dumps(vars(WORK[options.work](options.requests))))
        return 0
    facts = all_figures(options.requests, options.large)
    if options.json:
        print(json.dumps(facts))
    else:
        for name, fact in facts.items():
            if isinstance(fact, dict):
                print(f"{name:24} {fact['per_s']:7.1f}/s {fact['cpu_ms']:7.1f} ms CPU each {fact['peak_mib']:7.0f} MiB")
            else:
                print(f"{name:24} {fact:7.2f}")
    for name in broken(facts):
        print(f"The promise on {name} does not hold.", file=sys.stderr)
    return 1 if broken(facts) else 0


if __name__ == "__main__":
    sys.exit(main())
