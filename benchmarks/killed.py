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
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Literal

from assetline.backends.comfyui.binder import ADOPTED
from assetline.provenance import read_sidecar
from assetline.store.folder import FolderStore
from assetline.store.layout import parse_asset_key
from assetline.store.runs import find_runs
from benchmarks.worker_processes import Kind, Workers, clean_environment, started

CAMPAIGN = "spring"
ROWS, VARIANTS = 6, 4
REQUESTS = ROWS * VARIANTS
SHEET = "id,prompt,workflow,size,variants\n" + "".join(
    f"R{row},a thing no. {row},sd15-txt2img,64x64,{VARIANTS}\n" for row in range(ROWS)
)
WORKERS = (Kind(0.06, 0.01), Kind(0.09, 0.01))
MOST_RUNS = 3  # of the same command after the last kill; the first should do
RUN_LIMIT_S = 180.0
SERVER_LIMIT_S = 20.0
Moment = Literal["time", "post", "download", "original", "manifest"]
TARGETS: tuple[Moment, ...] = ("post", "download", "original", "manifest")
KILLED_TWICE = 0.2  # of the points have a second kill
SOONER = 0.7  # after a run that had ended before its kill, the next is killed within so much of the time


@dataclass(frozen=True)
class Kill:
    """When a run is killed: after so many s, or at the so manieth prompt, download or original; or at the manifest."""

    moment: Moment
    at: float

    def __str__(self) -> str:
        return {"time": f"{self.at:.2f} s", "manifest": "manifest"}.get(self.moment, f"{self.moment} {self.at:.0f}")


@dataclass(frozen=True)
class Stored:
    """What is in a store: sha256 by key of all that names no run; how many originals have no sidecar yet."""

    pictures: dict[str, str]
    requests: tuple[str, ...]  # the first 8 digits of the key, one for each original
    incomplete: int
    adopted: int

    @classmethod
    def read(cls, store: FolderStore) -> Stored:
        """Look at everything."""
        keys = list(store.list(f"campaigns/{CAMPAIGN}/"))
        places = {key: place for key in keys if (place := parse_asset_key(key))}
        sidecars = [key for key, place in places.items() if place.is_sidecar]
        originals = [place.key8 for place in places.values() if not place.is_sidecar]
        named = {read_sidecar(store.get(key).data).asset.original: key for key in sidecars}
        notes = [read_sidecar(store.get(key).data).notes for key in sidecars]
        return cls(
            {
                key: hashlib.sha256(store.get(key).data).hexdigest()
                for key in keys
                if "/runs/" not in key and not key.endswith(".json")
            },
            tuple(originals),
            len(originals) - len(named.keys() & places.keys()),
            sum(ADOPTED in note for note in notes),
        )


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


class Scene:
    """A folder with the sheet and the store of one point; the workers know nothing of it yet."""

    def __init__(self, folder: Path, workers: Workers, *, prefect: bool = False) -> None:
        folder.mkdir(parents=True)
        (folder / f"{CAMPAIGN}.csv").write_text(SHEET)
        workers.begin_anew()
        self.folder = folder
        self.workers = workers
        self.prefect = prefect
        self.store = FolderStore(folder / "store")

    def start(self) -> subprocess.Popen[str]:
        """The command, always the same."""
        command = [sys.executable, "-m", "apps.cli", "run", f"{CAMPAIGN}.csv", "--json", "--store", "store"]
        command += [*([] if self.prefect else ["--direct"]), *self.workers.lanes]
        with (self.folder / "log.txt").open("a") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=clean_environment(PREFECT_HOME=str(self.folder / "prefect")),
            )

    def is_due(self, kill: Kill, began: float) -> bool:
        """Whether the moment has come."""
        if kill.moment == "time":
            return time.monotonic() - began >= kill.at
        if kill.moment == "post":
            return self.workers.count("accepted") >= kill.at
        if kill.moment == "download":
            return self.workers.count("view") >= kill.at
        if kill.moment == "original":
            pictures, recipes = self._files("assets/*/*.png"), self._files("assets/*/*.json")
            return pictures >= kill.at and recipes < pictures
        return self._files("runs/*/manifest.jsonl") > 0

    def kill(self, kill: Kill) -> bool:
        """Start the command and kill it at that moment. False where it had ended before."""
        process, began = self.start(), time.monotonic()
        with process:
            looks = self.workers.wait_until if kill.moment in {"time", "post", "download"} else _look_often
            looks(lambda: process.poll() is not None or self.is_due(kill, began), RUN_LIMIT_S)
            process.kill()
        return process.returncode == -signal.SIGKILL

    def run(self) -> tuple[int, dict[str, Any]]:
        """Run the command to its end: its exit code and what `--json` says."""
        process = self.start()
        out, _ = process.communicate(timeout=RUN_LIMIT_S)
        return process.returncode, json.loads(out) if out.strip() else {}

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

    def _files(self, pattern: str) -> int:
        return sum(1 for _ in (self.folder / "store" / "campaigns" / CAMPAIGN).glob(pattern))


def _look_often(holds: Callable[[], bool], limit_s: float) -> bool:
    """Look all the time: what lies between two files takes a few ms."""
    deadline = time.monotonic() + limit_s
    while not holds() and time.monotonic() < deadline:
        pass
    return time.monotonic() < deadline


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
    _run_to_the_end(scene, result)
    _compare(scene, result, undisturbed)
    return result


def _run_to_the_end(scene: Scene, result: Result) -> None:
    code = -1
    while code != 0 and result.runs < MOST_RUNS:
        code, said = scene.run()
        result.runs += 1
        counts = said.get("counts", {})
        if code or counts["stored"] + counts["reused"] != REQUESTS:
            result.faults.append(f"exit {code}, {counts}")
    finished = [run.record for run in find_runs(scene.store, CAMPAIGN) if run.record]
    if not finished:
        result.faults.append("no run.json")


def _compare(scene: Scene, result: Result, undisturbed: Undisturbed) -> None:
    stored = Stored.read(scene.store)
    wanted = undisturbed.stored.pictures
    differs = [key for key in wanted.keys() & stored.pictures.keys() if wanted[key] != stored.pictures[key]]
    twice = [key8 for key8, copies in Counter(stored.requests).items() if copies > 1]
    reports = [worker.ask("report", "report") for worker in scene.workers]
    result.adopted = stored.adopted
    result.executions = sum(sum(report["executions"].values()) for report in reports)
    checks = {
        "lost": sorted(wanted.keys() - stored.pictures.keys()),
        "not in the undisturbed run": sorted(stored.pictures.keys() - wanted.keys()),
        "other bytes": sorted(differs),
        "stored twice": twice,
        "without sidecar": stored.incomplete,
        "more executions than in flight": max(0, result.extra - result.in_flight),
        "prompts left in a queue": sum(report["waiting"] for report in reports),
    }
    result.faults += [f"{what}: {found}" for what, found in checks.items() if found]


def all_points(points: int, prefect: int, seed: int) -> Iterator[Result]:
    """Every point, two in five of them targeted; then those through Prefect, in the middle of its prompts."""
    moments = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="killed-") as folder, started(WORKERS) as workers:
        undisturbed = run_undisturbed(Path(folder, "undisturbed"), workers)
        for number in range(points):
            for again in count():
                within_s = undisturbed.seconds * SOONER**again
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
