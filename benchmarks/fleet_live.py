"""How much of a fleet's throughput a run through Prefect reaches, with real processes, sockets and files.

    python -m benchmarks.fleet_live [--json] [--fleet "8 unequal"] [--mode prefect]

Each worker is a fake ComfyUI in a process of its own: a 512x512 picture of about 350 kB takes it so many seconds of
waiting and hardly any CPU. Fleets: 8 unequal workers (0.5 to 2 s, about 1 s a picture), and 32 of 4 s. The run is the
command `assetline run` with its embedded Prefect server: image pass, storing and task runs included.

The ideal is the sum of the workers' speeds: so many pictures a second, from the first accepted prompt to the last one
that ends, as the workers' own clocks say. Nothing is taken off for the last wave, when the others have nothing left
to do; "of the best plan" says how much of it even whole pictures and perfect foresight would reach. What the share
lacks is accounted for in full: before a worker's first picture, between two, after its last, and pictures that the
fake itself ended late (a busy machine). Beside it what the machine gave: CPU of the fakes, the run, Prefect's server
and whatever else runs, of all cores; the same fleet without Prefect, and driven by a bare loop, two deep.

Promise: a share of at least 0.9 with Prefect. Exit code 1 if it does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import ImageChops

from assetline.catalogue import Catalogue
from assetline.images import inspect
from assetline.plan import World, plan_campaign
from assetline.sheet import read_sheet
from assetline.workflow import load_workflows
from benchmarks.bare_loop import drive, graphs
from benchmarks.images import photo
from benchmarks.worker_processes import ROOT, Kind, Workers, clean_environment, started

LEAST_SHARE = 0.9
SIDE = 512
PICTURES = 8  # distinct ready ones
LIMIT_S = 600.0
UNEQUAL = (0.5, 0.67, 0.8, 1.0, 1.0, 1.25, 1.5, 2.0)  # seconds a picture
FLEETS = {"8 unequal": (UNEQUAL, 240), "32 of 4 s": ((4.0,) * 32, 320)}
MODES = ("prefect", "direct", "bare loop")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Figures:
    """One fleet driven in one way. `share` and the losses add up to 1; `cpu` is of all cores, by who used it."""

    share: float
    of_best_plan: float
    pictures: int
    per_s: float
    span_s: float
    lost_before: float
    lost_between: float
    lost_after: float
    lost_late: float
    cpu: dict[str, float]


def sheet(requests: int) -> str:
    """So many rows with one picture each."""
    lines = "".join(f"R{n:04},picture {n},sd15-txt2img,{SIDE}x{SIDE}\n" for n in range(requests))
    return f"id,prompt,workflow,size\n{lines}"


def write_pictures(folder: Path) -> None:
    """Ready PNGs that differ, as a worker would write them."""
    base = photo(SIDE)
    for number in range(PICTURES):
        ImageChops.offset(base, 97 * number, 31 * number).save(
            folder / f"{number}.png", "PNG", compress_level=4
        )  # as ComfyUI does


def best_plan_s(seconds: tuple[float, ...], requests: int) -> float:
    """The least time in which these workers can make so many whole pictures."""
    ends = sorted(each * (number + 1) for each in seconds for number in range(requests))
    return ends[requests - 1]


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far; 0 where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def children(pid: int) -> list[int]:
    """The processes that a process has started and that still live."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [int(child) for child in found]


def machine_s() -> float:
    """CPU seconds of all processes of the machine so far."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:8])) / TICKS  # neither idle nor waiting for a disk


@dataclass(frozen=True)
class Snapshot:
    """CPU seconds so far."""

    at: float
    fakes: float
    run: float
    server: float
    machine: float

    @classmethod
    def take(cls, workers: Workers, pid: int) -> Snapshot:
        """Now, with the run's process and what it has started."""
        server = sum(cpu_s(child) for child in children(pid))
        fakes = sum(cpu_s(worker.pid) for worker in workers)
        return cls(time.monotonic(), fakes, cpu_s(pid), server, machine_s())

    def shares_until(self, later: Snapshot) -> dict[str, float]:
        """The part of all cores that each had meanwhile."""
        whole = (later.at - self.at) * (os.cpu_count() or 1)
        own = {name: getattr(later, name) - getattr(self, name) for name in ("fakes", "run", "server")}
        others = max(0.0, later.machine - self.machine - sum(own.values()))
        return {name: used / whole for name, used in {**own, "others": others}.items()}


def watch(workers: Workers, pid: int, requests: int) -> dict[str, float]:
    """Wait from the first accepted prompt to the last one that ends: the CPU used meanwhile."""
    if not workers.wait_until(lambda: workers.count("accepted") > 0, LIMIT_S):
        raise SystemExit("No prompt was accepted.")
    before = Snapshot.take(workers, pid)
    if not workers.wait_until(lambda: workers.count("ended") >= requests, LIMIT_S):
        raise SystemExit(f"Only {workers.count('ended')} of {requests} pictures were made.")
    return before.shares_until(Snapshot.take(workers, pid))


def run_command(workers: Workers, requests: int, folder: Path, *flags: str) -> dict[str, float]:
    """`assetline run` in a process of its own."""
    (folder / "fleet.csv").write_text(sheet(requests))
    command = [sys.executable, "-m", "apps.cli", "run", "fleet.csv", "--json", "--store", "store", *flags]
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [*command, *workers.lanes],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=clean_environment(PREFECT_HOME=str(folder / "prefect")),
        )
    try:
        cpu = watch(workers, process.pid, requests)
        out, _ = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
    counts = json.loads(out)["counts"] if out.strip() else {}
    if counts.get("stored") != requests:
        raise SystemExit(f"Of {requests}: {counts}\n{(folder / 'log.txt').read_text()}")
    return cpu


def run_bare(workers: Workers, requests: int) -> dict[str, float]:
    """The same graphs, two deep on each worker."""
    workflows = load_workflows(ROOT / "workflows")
    world = World(Catalogue(), workflows, frozenset({"comfyui"}))
    plan = plan_campaign("fleet", read_sheet("fleet.csv", sheet(requests).encode(), world.catalogue), world)
    wanted = graphs(plan.requests, workflows)
    with ThreadPoolExecutor(1) as thread:
        driving = thread.submit(lambda: asyncio.run(drive([worker.url for worker in workers], wanted, 2)))
        cpu = watch(workers, os.getpid(), requests)
        driving.result()
    return cpu | {"server": 0.0}


def figures(workers: Workers, requests: int, cpu: dict[str, float]) -> Figures:
    """What the workers' own clocks say."""
    first = min(fact["at"] for fact in workers.told("accepted"))
    last = max(fact["at"] for fact in workers.told("ended"))
    span = last - first
    seconds = tuple(worker.kind.seconds for worker in workers)
    capacity = span * sum(1 / each for each in seconds)
    lost = {"before": 0.0, "between": 0.0, "after": 0.0, "late": 0.0}
    for worker in workers:
        for what, lost_s in _lost(worker.told, worker.kind.seconds, first, last).items():
            lost[what] += lost_s / worker.kind.seconds / capacity
    return Figures(
        share=requests / capacity,
        of_best_plan=best_plan_s(seconds, requests) / span,
        pictures=requests,
        per_s=requests / span,
        span_s=span,
        **{f"lost_{what}": share for what, share in lost.items()},
        cpu=cpu,
    )


def _lost(told: list[dict[str, Any]], seconds: float, first: float, last: float) -> dict[str, float]:
    """Seconds in which one worker made nothing, and by which its pictures were late."""
    began = [fact["at"] for fact in told if fact["event"] == "began"]
    ended = [fact["at"] for fact in told if fact["event"] == "ended"]
    if not ended:
        return {"before": last - first}
    gaps = sum(start - end for end, start in zip(ended, began[1:], strict=False))
    late = sum(end - start - seconds for start, end in zip(began, ended, strict=True))
    return {"before": began[0] - first, "between": gaps, "after": last - ended[-1], "late": late}


def measure(fleet: str, mode: str, pictures: Path) -> Figures:
    """One fleet, driven in one way, from fresh processes."""
    seconds, requests = FLEETS[fleet]
    kinds = [Kind(each, pictures=pictures) for each in seconds]
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder, started(kinds) as workers:
        if mode == "bare loop":
            cpu = run_bare(workers, requests)
        else:
            cpu = run_command(workers, requests, Path(folder), *(["--direct"] if mode == "direct" else []))
        return figures(workers, requests, cpu)


def pass_alone_per_s(pictures: Path) -> float:
    """The image pass alone on these pictures, one thread for each core."""
    ready = [path.read_bytes() for path in sorted(pictures.glob("*.png"))]
    inspect(ready[0], (SIDE, SIDE))  # the first one imports scipy
    began = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda n: inspect(ready[n % PICTURES], (SIDE, SIDE)), range(20 * PICTURES)))
    return 20 * PICTURES / (time.perf_counter() - began)


def line(name: str, found: Figures) -> str:
    """A line of the table."""
    cpu = "  ".join(f"{who} {share:.0%}" for who, share in found.cpu.items())
    lost = f"{found.lost_before:6.3f} {found.lost_between:7.3f} {found.lost_after:6.3f} {found.lost_late:6.3f}"
    head = f"{name:22} {found.share:6.3f} {found.of_best_plan:9.3f} {found.per_s:6.2f} {found.span_s:7.1f}"
    return f"{head}  {lost}  {cpu}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--fleet", choices=sorted(FLEETS), action="append")
    parser.add_argument("--mode", choices=MODES, action="append")
    options = parser.parse_args()
    found: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory(prefix="pictures-") as folder:
        write_pictures(Path(folder))
        pass_per_s = pass_alone_per_s(Path(folder))
        if not options.json:
            print(f"the image pass alone: {pass_per_s:.0f} pictures/s of {SIDE}x{SIDE} on {os.cpu_count()} cores")
            head = f"{'':22} {'share':>6} {'of best':>9} {'/s':>6} {'s':>7}"
            print(f"{head}  {'before':>6} {'between':>7} {'after':>6} {'late':>6}  CPU of all cores")
        for fleet in options.fleet or FLEETS:
            for mode in options.mode or MODES:
                name = f"{fleet}, {mode}"
                found[name] = measure(fleet, mode, Path(folder))
                if not options.json:
                    print(line(name, found[name]), flush=True)
    if options.json:
        print(json.dumps({"pass_per_s": pass_per_s} | {name: asdict(each) for name, each in found.items()}))
    broken = [name for name, each in found.items() if name.endswith("prefect") and each.share < LEAST_SHARE]
    for name in broken:
        print(f"The promise on {name} does not hold.", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
