"""`kill -9` of a run at random points, in real processes: the same command then ends where an undisturbed run ends.

    python -m benchmarks.killed [--points 50] [--prefect 3] [--json]

Two fake ComfyUI workers live on in processes of their own; `assetline run --direct` of 24 pictures is killed at a
seeded random time, or at a targeted moment (a prompt just accepted, a download under way, an original without its
sidecar, the manifest half written), some runs twice. Then the same command is run until it ends with 0. Promises: the
same keys with the same sha256 as of a run that nobody disturbed, none lost, none stored twice, every picture whole, and
at most as many executions as requests and what was in flight at the kills. `--prefect` points more go through Prefect
(about 15 s each); its server must be gone as well. Exit code 1 if a promise does not hold.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assetline.backends.comfyui.binder import ADOPTED
from assetline.store.runs import find_runs
from benchmarks.killing import CAMPAIGN, Kill, KilledRun, Stored, faults_of, look_often, sooner_and_sooner
from benchmarks.worker_processes import Kind, Workers, started

ROWS, VARIANTS = 6, 4
REQUESTS = ROWS * VARIANTS
SHEET = "id,prompt,workflow,size,variants\n" + "".join(
    f"R{row},a thing no. {row},sd15-txt2img,64x64,{VARIANTS}\n" for row in range(ROWS)
)
WORKERS = (Kind(0.06, 0.01), Kind(0.09, 0.01))
SERVER_LIMIT_S = 20.0
TARGETS = ("post", "download", "original", "manifest")
KILLED_TWICE = 0.2  # of the points have a second kill


@dataclass
class Result:
    """What became of one point. `in_flight`: accepted by a worker and not stored, summed over its kills."""

    kills: str
    stored_at_kill: list[int] = field(default_factory=list)
    in_flight: int = 0
    incomplete: int = 0
    adopted: int = 0
    executions: int = 0
    runs: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def extra(self) -> int:
        """Executions beyond one for each request."""
        return self.executions - REQUESTS


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody disturbed: what it stored, when its first prompt was accepted and when it ended, in s."""

    stored: Stored
    first_prompt_s: float
    seconds: float


class Scene(KilledRun):
    """One point on the workers, which know nothing of it yet. `at` counts prompts, downloads or originals."""

    def __init__(self, folder: Path, workers: Workers, *, prefect: bool = False) -> None:
        super().__init__(folder, SHEET)
        workers.begin_anew()
        self.workers = workers
        self.prefect = prefect

    def command(self, kill: Kill | None) -> Sequence[str]:
        """Always the same."""
        _ = kill
        command = [sys.executable, "-m", "apps.cli", "run", f"{CAMPAIGN}.csv", "--json", "--store", "store"]
        return [*command, *([] if self.prefect else ["--direct"]), *self.workers.lanes]

    def environment(self) -> Mapping[str, str]:
        """A home of its own for Prefect."""
        return {"PREFECT_HOME": str(self.folder / "prefect")}

    def wait_until(self, kill: Kill, holds: Callable[[], bool], limit_s: float) -> bool:
        """Look when a worker tells something; between two files all the time."""
        looks = self.workers.wait_until if kill.moment in {"time", "post", "download"} else look_often
        return looks(holds, limit_s)

    def is_due(self, kill: Kill, began: float) -> bool:
        """Whether the moment has come."""
        told = {"post": "accepted", "download": "view"}.get(kill.moment)
        return self.workers.count(told) >= kill.at if told else super().is_due(kill, began)

    def in_flight(self) -> int:
        """Requests that a worker has accepted, and whose original is not stored."""
        accepted = {str(fact["request_key"])[:8] for fact in self.workers.told("accepted")}
        return len(accepted - set(Stored.read(self.store).requests))

    def servers_left(self) -> list[int]:
        """The process ids of Prefect servers that this scene's runs have started and that live on."""
        deadline = time.monotonic() + SERVER_LIMIT_S
        while (found := _servers(self.folder / "prefect")) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found


def _servers(home: Path) -> list[int]:
    ours = f"PREFECT_HOME={home}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_server = b"apps.prefect_server" in (process / "cmdline").read_bytes()
            if is_server and ours in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


def run_undisturbed(folder: Path, workers: Workers) -> Undisturbed:
    """One run to its end; what all others are compared with. SystemExit if it does not end well."""
    scene, began = Scene(folder, workers), time.monotonic()
    code, said = scene.run()
    seconds = time.monotonic() - began
    stored = Stored.read(scene.store)
    if code or said["counts"]["stored"] != REQUESTS or len(stored.requests) != REQUESTS:
        raise SystemExit(f"The undisturbed run ended with {code}: {said}\n{(folder / 'log.txt').read_text()}")
    first = min(fact["at"] for fact in workers.told("accepted"))
    return Undisturbed(stored, first - began, seconds)


def choose_kills(moments: random.Random, first_s: float, within_s: float, *, targeted: bool) -> list[Kill]:
    """When the runs of one point are killed; at a time from just before the first prompt on, or at a moment."""
    kills = 1 + (moments.random() < KILLED_TWICE)
    if targeted:
        return [Kill(moments.choice(TARGETS), moments.randint(1, REQUESTS // 2)) for _ in range(kills)]
    return [Kill("time", moments.uniform(min(0.8 * first_s, within_s), within_s)) for _ in range(kills)]


def try_point(scene: Scene, kills: Sequence[Kill], undisturbed: Undisturbed) -> Result:
    """Kill, run again until it ends well, and compare."""
    result = Result(", ".join(map(str, kills)))
    for kill in kills:
        if not scene.kill(kill):
            result.kills += " (had ended)"
            continue
        found = Stored.read(scene.store)
        result.stored_at_kill.append(len(found.requests))
        result.incomplete += found.incomplete
        result.in_flight += scene.in_flight()
        if scene.prefect and (left := scene.servers_left()):
            result.faults.append(f"Prefect's server lives on: {left}")
    result.runs, faults = scene.run_to_the_end(REQUESTS)
    result.faults += faults
    _compare(scene, result, undisturbed)
    return result


def _compare(scene: Scene, result: Result, undisturbed: Undisturbed) -> None:
    stored = Stored.read(scene.store)
    if not any(run.record for run in find_runs(scene.store, CAMPAIGN)):
        result.faults.append("no run.json")
    wanted = undisturbed.stored.pictures
    differs = [key for key in wanted.keys() & stored.pictures.keys() if wanted[key] != stored.pictures[key]]
    reports = [worker.ask("report", "report") for worker in scene.workers]
    result.adopted = sum(ADOPTED in sidecar.notes for sidecar in stored.sidecars)
    result.executions = sum(sum(report["executions"].values()) for report in reports)
    checks = {
        "lost": sorted(wanted.keys() - stored.pictures.keys()),
        "not in the undisturbed run": sorted(stored.pictures.keys() - wanted.keys()),
        "other bytes": sorted(differs),
        "stored twice": stored.twice,
        "without sidecar": stored.incomplete,
        "more executions than in flight": max(0, result.extra - result.in_flight),
        "prompts left in a queue": sum(report["waiting"] for report in reports),
    }
    result.faults += faults_of(checks)


def all_points(points: int, prefect: int, seed: int) -> Iterator[Result]:
    """Every point, two in five of them targeted; then those through Prefect, in the middle of its prompts."""
    moments = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="killed-") as folder, started(WORKERS) as workers:
        undisturbed = run_undisturbed(Path(folder, "undisturbed"), workers)
        for number in range(points):
            for again, within_s in sooner_and_sooner(undisturbed.seconds):
                kills = choose_kills(moments, undisturbed.first_prompt_s, within_s, targeted=number % 5 in {1, 3})
                result = try_point(Scene(Path(folder, f"{number:03}-{again}"), workers), kills, undisturbed)
                if result.stored_at_kill:
                    break
            yield result
        for number in range(prefect):
            kills = [Kill(("post", "original", "manifest")[number % 3], moments.randint(2, REQUESTS // 2))]
            result = try_point(Scene(Path(folder, f"prefect-{number}"), workers, prefect=True), kills, undisturbed)
            result.kills = f"Prefect, {result.kills}"
            yield result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--prefect", type=int, default=3)
    parser.add_argument("--seed", type=int, default=20261122)
    options = parser.parse_args()
    results = []
    if not options.json:
        print("killed at                        stored  in flight  adopted  executions  without sidecar  runs after")
    for result in all_points(options.points, options.prefect, options.seed):
        results.append(result)
        if not options.json:
            stored = ", ".join(map(str, result.stored_at_kill))
            print(
                f"{result.kills:32} {stored:>6} {result.in_flight:10} {result.adopted:8} {result.executions:11} "
                f"{result.incomplete:16} {result.runs:11}  {'; '.join(result.faults)}",
                flush=True,
            )
    broken = [result for result in results if result.faults]
    facts = {
        "points": len(results),
        "kills": sum(len(result.stored_at_kill) for result in results),
        "broken": len(broken),
        "in_flight": sum(result.in_flight for result in results),
        "adopted": sum(result.adopted for result in results),
        "extra_executions": sum(result.extra for result in results),
        "points_with_incomplete": sum(result.incomplete > 0 for result in results),
    }
    print(json.dumps(facts | {"results": [vars(result) for result in results]}) if options.json else facts)
    for result in broken:
        print(f"Killed at {result.kills}: {'; '.join(result.faults)}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
