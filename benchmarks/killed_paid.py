"""`kill -9` of runs that pay, in real processes: nothing is paid twice, nothing that was paid is lost, the books agree.

    python -m benchmarks.killed_paid [--points 100] [--requests 60] [--at-once 3] [--speed 20] [--seed N] [--json]

A fake Replicate lives on in a process of its own and keeps its books. `assetline run --lane replicate --direct --yes`
is killed at a seeded random call to the API or at a named step (below), some runs twice, at some points (~) beside lost
answers, 429s and predictions that fail. Then the same command is run until it ends with 0. Both sides' clocks run
`--speed` times as fast, so that waits of minutes (for an attempt whose sender is gone, for a create that is nowhere to
be found) keep their figures. Promises: one succeeded prediction for each request, all of them known to the ledger with
what they cost, to the micro-dollar; nothing left open; each request stored once, with the very picture of its own
prediction. Exit code 1 if one does not hold.

Steps: in the ledger `intent`, `submitting`, `id` (answered, not yet written), `submitted`, `unknown`, `settling`,
`settled`; at the API `call` (of any kind), `post` (sent, never accepted), `accepted` (no answer), `get`, `list`,
`output`; in the store `original`, `manifest`.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import queue
import random
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from assetline.backends.replicate.catalog import MAX_SEED
from assetline.run_records import Sidecar
from benchmarks.killing import CAMPAIGN, Kill, KilledRun, Stored, faults_of, sooner_and_sooner
from benchmarks.worker_processes import ToldProcess

TOKEN = "r8_a-token-for-tests"
VARIANTS = 3
# by turns; imagen takes no seed, so that its variants have one and the same input
KINDS = (("sdxl", "256x256"), ("flux-schnell", "1:1"), ("sdxl", "320x256"), ("imagen-4", "1:1"))
IN_LEDGER = {
    "intent": ("intent", "after"),
    "submitting": ("submitting", "after"),
    "id": ("submitted", "before"),
    "submitted": ("submitted", "after"),
    "settling": ("succeeded", "before"),
    "settled": ("succeeded", "after"),
}
LATER_IN_LEDGER = {"unknown": ("unknown", "after")}  # once it is clear that a sender is gone
STEPS = {**IN_LEDGER, **LATER_IN_LEDGER}
CALL = "call"
AT_API = ("post", "accepted", "get", "list", "output")
FIRST = (*IN_LEDGER, "post", "accepted", "get", "output", "original", "manifest")
LATER = ("unknown", "list", "get", "id", "settled", "output")  # of a run that goes on after a kill
KILLED_TWICE, ROUGH = 0.3, 0.2  # shares of the points


@dataclass(frozen=True)
class Conditions:
    """What all points of a benchmark have in common."""

    requests: int = 60
    speed: float = 20.0


@dataclass
class Result:
    """What became of one point. Money in micro-dollars; `twice` and `lost` count predictions that succeeded."""

    kills: str
    rough: bool
    stored_at_kill: list[int] = field(default_factory=list)
    open_at_kill: Counter[str] = field(default_factory=Counter)
    predictions: int = 0
    failed: int = 0
    twice: int = 0
    lost: int = 0
    billed: int = 0
    ledger: int = 0
    runs: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


class ReplicateProcess(ToldProcess):
    """The fake in a process of its own."""

    def __init__(self) -> None:
        self.news = threading.Condition()
        super().__init__("fakes.replicate_process", (), self.news)

    def wait_until(self, holds: Callable[[], bool], limit_s: float) -> bool:
        """Wait until it holds; looked at whenever the fake tells something, and every 2 ms."""
        deadline = time.monotonic() + limit_s
        with self.news:
            while not holds():
                if time.monotonic() > deadline:
                    return False
                self.news.wait(0.002)
        return True


@contextmanager
def replicates(number: int) -> Iterator[list[ReplicateProcess]]:
    """So many fakes, for the length of a block."""
    with ExitStack() as stack:
        found = []
        for _ in range(number):
            found.append(ReplicateProcess())
            stack.callback(found[-1].end)
        for one in found:
            one.wait_until_up()
        yield found


class Scene(KilledRun):
    """One point at a fake that knows nothing of it yet."""

    def __init__(self, folder: Path, api: ReplicateProcess, conditions: Conditions, *, rough_seed: str = "") -> None:
        super().__init__(folder, sheet_of(conditions.requests))
        word = f"begin {rough_seed or folder.name} {conditions.speed} {int(bool(rough_seed))}"
        self._began = float(api.begin_anew(word)["began"])
        self._speed = conditions.speed
        self._reached_before = 0
        self.api = api

    def command(self, kill: Kill | None) -> Sequence[str]:
        """The same but for a kill that comes from within."""
        command = [sys.executable, "-m", "benchmarks.hasty_run", f"{CAMPAIGN}.csv", "store"]
        command += ["--began", str(self._began), "--speed", str(self._speed)]
        if kill and kill.moment in STEPS:
            state, side = STEPS[kill.moment]
            command += ["--die-at", state, str(int(kill.at)), side]
        return command

    def environment(self) -> Mapping[str, str]:
        """Where the fake is, and its token."""
        return {"REPLICATE_BASE_URL": self.api.url, "REPLICATE_API_TOKEN": TOKEN}

    def kill(self, kill: Kill) -> bool:
        """At the API, a call of a kind waits until the process is dead."""
        if kill.moment in {CALL, *AT_API}:
            word = "mark" if kill.moment == CALL else f"hold {kill.moment}"
            self.api.ask(f"{word} {int(kill.at)}", "armed")
        self._reached_before = self.api.count("reached")
        try:
            return super().kill(kill)
        finally:
            self.api.say("release")

    def wait_until(self, kill: Kill, holds: Callable[[], bool], limit_s: float) -> bool:
        """Look when the fake tells something, and often enough for what lies between two files."""
        _ = kill
        return self.api.wait_until(holds, limit_s)

    def is_due(self, kill: Kill, began: float) -> bool:
        """Whether the moment has come; one in the ledger is seen to by the process itself."""
        if kill.moment in {CALL, *AT_API}:
            return self.api.count("reached") > self._reached_before
        return kill.moment not in STEPS and super().is_due(kill, began)

    def attempts(self) -> list[dict[str, Any]]:
        """All attempts of the ledger."""
        place = self.folder / "assetline.db"
        if not place.exists():
            return []
        with closing(sqlite3.connect(place)) as ledger:
            ledger.row_factory = sqlite3.Row
            if not ledger.execute("SELECT 1 FROM sqlite_master WHERE name = 'ledger_attempts'").fetchone():
                return []
            return [dict(row) for row in ledger.execute("SELECT * FROM ledger_attempts")]


def sheet_of(requests: int) -> str:
    """A sheet that fans out into so many requests."""
    lines = ["id,prompt,size,backend,model,variants"]
    for row, first in enumerate(range(0, requests, VARIANTS)):
        model, size = KINDS[row % len(KINDS)]
        lines.append(f"R{row},a thing no. {row},{size},replicate,{model},{min(VARIANTS, requests - first)}")
    return "\n".join(lines) + "\n"


def choose_kills(moments: random.Random, number: int, calls: int, requests: int) -> list[Kill]:
    """When the runs of a point are killed: at any call or, every other point, at the named steps by turns."""

    def named(steps: Sequence[str], most: int) -> Kill:
        return Kill(steps[number // 2 % len(steps)], moments.randint(1, most))

    kills = [named(FIRST, requests // 2) if number % 2 else Kill(CALL, moments.randint(1, calls))]
    if moments.random() < KILLED_TWICE:
        kills.append(moments.choice([named(LATER, 3), Kill(CALL, moments.randint(1, calls))]))
    return kills


def try_point(scene: Scene, kills: Sequence[Kill], requests: int, *, rough: bool = False) -> Result:
    """Kill, run again until it ends well, and compare the books."""
    result, began = Result(", ".join(map(str, kills)), rough), time.monotonic()
    for kill in kills:
        if not scene.kill(kill):
            result.kills += " (had ended)"
            continue
        result.stored_at_kill.append(len(Stored.read(scene.store).requests))
        result.open_at_kill.update(one["state"] for one in scene.attempts() if one["settled_at"] is None)
    result.runs, faults = scene.run_to_the_end(requests)
    result.faults += faults
    compare(scene, result, requests)
    result.seconds = time.monotonic() - began
    return result


def compare(scene: Scene, result: Result, requests: int) -> None:
    """The fake's books against the ledger, and its pictures against the store."""
    books, attempts, stored = scene.api.ask("books", "books"), scene.attempts(), Stored.read(scene.store)
    made = {one["id"]: one for one in books["predictions"]}
    succeeded = [one for one in made.values() if one["status"] == "succeeded"]
    kept = {sidecar.asset.job_id for sidecar in stored.sidecars}
    wanted = Counter(
        _input_of(made[sidecar.asset.job_id]) for sidecar in stored.sidecars if sidecar.asset.job_id in made
    )
    known = {one["prediction_id"]: one["cost_micros"] for one in attempts if one["prediction_id"]}
    result.predictions, result.failed = len(made), len(made) - len(succeeded)
    result.twice = (Counter(map(_input_of, succeeded)) - wanted).total()
    result.lost = sum(one["id"] not in kept for one in succeeded)
    result.billed = sum(one["micros"] for one in made.values())
    result.ledger = sum(one["cost_micros"] or 0 for one in attempts)
    result.faults += faults_of(
        {
            "paid twice": result.twice,
            "paid and lost": result.lost,
            "no picture": requests - len(set(stored.requests)),
            "stored twice": stored.twice,
            "without sidecar": stored.incomplete,
            "not the picture that was paid": [one.row for one in stored.sidecars if not _is_right(scene, one, made)],
            "one picture for two": len(stored.sidecars) - len(kept),
            "not in the ledger": sorted(made.keys() - known.keys()),
            "in the ledger alone": sorted(known.keys() - made.keys()),
            "settled at another price": [key for key in made.keys() & known if made[key]["micros"] != known[key]],
            "books differ": result.billed != result.ledger and (result.billed, result.ledger),
            "left open": [(one["id"], one["state"]) for one in attempts if one["settled_at"] is None],
            "two succeeded attempts": _twice_succeeded(attempts),
            "the API complains": books["faults"],
        }
    )


def _input_of(prediction: Mapping[str, Any]) -> str:
    return json.dumps([prediction["model"], prediction["input"]], sort_keys=True)


def _is_right(scene: Scene, sidecar: Sidecar, made: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a stored picture is the one of its prediction, and that is one of its own request."""
    prediction = made.get(sidecar.asset.job_id)
    if prediction is None or prediction["status"] != "succeeded":
        return False
    with Image.open(io.BytesIO(scene.store.get(sidecar.asset.original).data)) as picture:
        pixels = hashlib.sha256(picture.tobytes()).hexdigest()
    sent, asked = prediction["input"], sidecar.request
    is_asked = sent["prompt"] == asked.prompt and sent.get("seed") in {None, asked.seed % (MAX_SEED + 1)}
    return pixels == prediction["pixels"] and is_asked and abs(sidecar.asset.cost_usd * 1e6 - prediction["micros"]) <= 1


def _twice_succeeded(attempts: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = Counter(one["request_key"] for one in attempts if one["state"] == "succeeded")
    return [key[:8] for key, times in keys.items() if times > 1]


class Benchmark:
    """All points, a few at once, each at a fake that nobody else uses meanwhile."""

    def __init__(self, folder: Path, fakes: Sequence[ReplicateProcess], conditions: Conditions, seed: int) -> None:
        self._folder = folder
        self._conditions = conditions
        self._seed = seed
        self._fakes: queue.Queue[ReplicateProcess] = queue.Queue()
        for fake in fakes:
            self._fakes.put(fake)
        self._calls = 1

    def measure(self) -> tuple[int, float]:
        """Let nobody disturb a run at each fake, all at once; how many calls one makes, and how many s it takes."""
        number = self._fakes.qsize()
        with ThreadPoolExecutor(number) as threads:
            found = list(threads.map(self._undisturbed, range(number)))
        self._calls = min(calls for calls, _ in found)
        return self._calls, max(seconds for _, seconds in found)

    def point(self, number: int) -> Result:
        """One point; its moments depend on the seed and its number, and on how many calls a run makes here."""
        moments = random.Random(f"{self._seed}-{number}")
        rough = moments.random() < ROUGH
        for again, calls in sooner_and_sooner(self._calls):
            kills = choose_kills(moments, number, max(1, int(calls)), self._conditions.requests)
            with self._scene(f"{number:03}-{again}", rough=rough) as scene:
                result = try_point(scene, kills, self._conditions.requests, rough=rough)
            if result.stored_at_kill or result.faults:
                return result
        raise AssertionError("unreachable")

    def _undisturbed(self, number: int) -> tuple[int, float]:
        with self._scene(f"undisturbed-{number}", rough=False) as scene:
            result = try_point(scene, (), self._conditions.requests)
            if result.faults:
                raise SystemExit(f"The undisturbed run: {result.faults}\n{(scene.folder / 'log.txt').read_text()}")
            return sum(scene.api.ask("books", "books")["calls"].values()), result.seconds

    @contextmanager
    def _scene(self, name: str, *, rough: bool) -> Iterator[Scene]:
        fake = self._fakes.get()
        try:
            yield Scene(self._folder / name, fake, self._conditions, rough_seed=f"{self._seed}-{name}" if rough else "")
        finally:
            self._fakes.put(fake)


HEAD = "killed at                        stored  open in the ledger                    made  failed  twice  lost"
HEAD += "   billed USD   ledger USD  runs     s"


def line(result: Result) -> str:
    """A line of the table."""
    kills = result.kills + (" ~" if result.rough else "")
    waiting = ", ".join(f"{number} {state}" for state, number in sorted(result.open_at_kill.items()))
    return (
        f"{kills:32} {', '.join(map(str, result.stored_at_kill)):>6}  {waiting:36} {result.predictions:5} "
        f"{result.failed:7} {result.twice:6} {result.lost:5} {result.billed / 1e6:12.6f} {result.ledger / 1e6:12.6f} "
        f"{result.runs:5} {result.seconds:5.1f}  {'; '.join(result.faults)}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--requests", type=int, default=Conditions.requests)
    parser.add_argument("--at-once", type=int, default=3)
    parser.add_argument("--speed", type=float, default=Conditions.speed)
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    results, began = [], time.monotonic()
    with tempfile.TemporaryDirectory(prefix="killed-") as folder, replicates(told.at_once) as fakes:
        benchmark = Benchmark(Path(folder), fakes, Conditions(told.requests, told.speed), told.seed)
        calls, seconds = benchmark.measure()
        if not told.json:
            print(f"undisturbed: {calls} calls to the API, {seconds:.1f} s\n{HEAD}", flush=True)
        with ThreadPoolExecutor(told.at_once) as threads:
            for result in threads.map(benchmark.point, range(told.points)):
                results.append(result)
                if not told.json:
                    print(line(result), flush=True)
    broken = [result for result in results if result.faults]
    facts = summed(results) | {"broken": len(broken), "seconds": round(time.monotonic() - began)}
    print(json.dumps(facts | {"results": [vars(result) for result in results]}) if told.json else facts)
    for result in broken:
        print(f"Killed at {result.kills}: {'; '.join(result.faults)}", file=sys.stderr)
    return 1 if broken else 0


def summed(results: Sequence[Result]) -> dict[str, Any]:
    """The figures of all points together."""
    waiting: Counter[str] = sum((result.open_at_kill for result in results), Counter())
    sums = {name: sum(getattr(result, name) for result in results) for name in ("predictions", "failed")}
    return {
        "points": len(results),
        "kills": sum(len(result.stored_at_kill) for result in results),
        **sums,
        "open_at_kills": dict(waiting),
        "paid_twice": sum(result.twice for result in results),
        "paid_and_lost": sum(result.lost for result in results),
        "billed_usd": sum(result.billed for result in results) / 1e6,
        "ledger_usd": sum(result.ledger for result in results) / 1e6,
        "most_runs": max((result.runs for result in results), default=0),
    }


if __name__ == "__main__":
    sys.exit(main())
