"""Pictures per second of real ComfyUI workers: through assetline, and posted to them in a bare loop.

    python -m benchmarks.comfyui_ratio http://127.0.0.1:8188 [URL...] [--requests 60] [--rounds 3] [--json]

Needs a ComfyUI of 0.3.60 or newer at each URL, without any model; a CPU will do:

    python main.py --cpu --listen 127.0.0.1 --port 8188

The graph is EmptyImage, ImageAddNoise, SaveImage: another seed each time, so that nothing comes from a cache, and so
cheap that all that is slow is ours. Compared are: the loop that anybody would write (POST, look into /history every
20 ms, download), one picture at a time on each worker and two deep; assetline's lanes alone (the pictures are brought
back and dropped); and the whole run without Prefect, from the look at the store to `run.json`, with checks,
thumbnails, sidecars and contact sheet. In rounds, all in turn; the medians count.

With `--kill COMMAND --start COMMAND` a longer campaign is run as well: a sixth of it is made when COMMAND ends the
last of the workers, a third when the other one starts it again. It must end complete, and that worker must be used
again. Exit code 1 if not. Shell commands, such as --kill 'kill -9 $(cat comfyui.pid)'.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from assetline.bootstrap.planning import Planning, plan_sheet
from assetline.bootstrap.running import open_job
from assetline.dispatch import Dispatcher, Ticket
from assetline.dispatch.events import LaneEvent
from assetline.pipeline import Progress, RunJob, RunResult, run_campaign
from assetline.records import Made, Outcome
from assetline.run_records import RunOptions
from assetline.settings import Settings
from benchmarks.bare_loop import drive, graphs

GRAPH: dict[str, Any] = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 512, "height": 512, "batch_size": 1, "color": 0x808080}},
    "2": {"class_type": "ImageAddNoise", "inputs": {"image": ["1", 0], "seed": 0, "strength": 0.3}},
    "3": {"class_type": "PrimitiveString", "inputs": {"value": ""}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "noise"}},
}
CONTRACT = """
name: noise
description: Noise on grey, for measuring.
native: [512, 512]
prefix: 9.filename_prefix
output: 9
parameters:
  prompt: {type: str, targets: [3.value]}
  width: {type: int, targets: [1.width], minimum: 64, maximum: 4096}
  height: {type: int, targets: [1.height], minimum: 64, maximum: 4096}
  seed: {type: int, targets: [2.seed], minimum: 0, maximum: 18446744073709551615}
"""
KILL_AFTER, START_AFTER = 1 / 6, 1 / 3
KILLED_TIMES = 5  # the campaign in which a worker is killed has so many times the requests


class Bench:
    """A folder with the workflow, and the workers."""

    def __init__(self, folder: Path, urls: Sequence[str], side: int) -> None:
        workflows = folder / "workflows"
        workflows.mkdir()
        (workflows / "noise.json").write_text(json.dumps(GRAPH))
        (workflows / "noise.contract.yaml").write_text(CONTRACT)
        self.folder = folder
        self.urls = tuple(urls)
        self._side = side
        self.settings = Settings(workflows_folder=workflows, default_workflow="noise", store=str(folder / "store"))

    def plan(self, campaign: str, requests: int) -> Planning:
        """A campaign of so many rows; its name makes its seeds."""
        sheet = self.folder / f"{campaign}.csv"
        lines = "".join(f"R{n:04},picture {n},noise,{self._side}x{self._side}\n" for n in range(requests))
        sheet.write_text(f"id,prompt,workflow,size\n{lines}")
        planning = plan_sheet(str(sheet), RunOptions(lanes=self.urls), self.settings)
        if not planning.plan.ok:
            raise SystemExit("\n".join(map(str, planning.plan.problems)))
        return planning

    async def bare(self, planning: Planning, deep: int) -> float:
        """The bare loop: seconds."""
        return await drive(self.urls, graphs(planning.plan.requests, dict(planning.workflows)), deep)

    async def lanes_alone(self, planning: Planning) -> float:
        """Dispatcher and lanes; each picture is dropped when it is here."""

        async def make(ticket: Ticket) -> Made:
            await ticket.generate()
            return Made(Outcome.of(ticket.planned, "stored"))

        began = time.perf_counter()
        async with open_job(planning, RunOptions(), self.settings) as job:
            await Dispatcher(job.lanes, job.dispatch).run(planning.plan.requests, make, _check)
        return time.perf_counter() - began

    async def whole_run(self, planning: Planning) -> float:
        """The run without Prefect: seconds."""
        began = time.perf_counter()
        async with open_job(planning, RunOptions(), self.settings) as job:
            result = await run_campaign(job, lambda step: step, _say_nothing)
        if result.record.counts.stored != len(planning.plan.requests):
            raise SystemExit(f"Not all were stored: {result.record.counts}")
        return time.perf_counter() - began


def _check(made: Made) -> None:
    if made.outcome.status != "stored":
        raise SystemExit(made.outcome.reason)


def _say_nothing(_progress: Progress) -> None:
    """Nobody looks."""


WAYS: dict[str, Callable[[Bench, Planning], Any]] = {
    "bare loop, one at a time": lambda bench, planning: bench.bare(planning, 1),
    "bare loop, two deep": lambda bench, planning: bench.bare(planning, 2),
    "assetline, lanes alone": lambda bench, planning: bench.lanes_alone(planning),
    "assetline, whole run": lambda bench, planning: bench.whole_run(planning),
}


def all_rates(bench: Bench, requests: int, rounds: int) -> dict[str, float]:
    """Pictures per second in each way: the median of the rounds."""
    warm = bench.plan("warm", 4 * len(bench.urls))
    asyncio.run(bench.bare(warm, 1))
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    for turn in range(rounds):
        for number, (name, way) in enumerate(WAYS.items()):
            planning = bench.plan(f"round{turn}way{number}", requests)
            found[name].append(requests / asyncio.run(way(bench, planning)))
    return {name: statistics.median(rates) for name, rates in found.items()}


class Killing:
    """Follows a run: kills a worker, starts it again, and counts what each lane made when."""

    def __init__(self, requests: int, kill: str, start: str) -> None:
        self.made: dict[str, Counter[str]] = {"before": Counter(), "without": Counter(), "after": Counter()}
        self._phase = "before"
        self._due = [(requests * KILL_AFTER, "without", kill), (requests * START_AFTER, "after", start)]
        self._commands: list[asyncio.Task[int]] = []
        self._done = 0

    def hear(self, event: LaneEvent) -> None:
        """Note what is made, and do what is due."""
        if event.kind == "made":
            self._done += 1
            self.made[self._phase][event.lane] += 1
        if self._due and self._done >= self._due[0][0]:
            _, self._phase, command = self._due.pop(0)
            self._commands.append(asyncio.create_task(_shell(command)))

    async def ended(self) -> list[int]:
        """Wait for the commands: their exit codes."""
        return list(await asyncio.gather(*self._commands))


async def _shell(command: str) -> int:
    process = await asyncio.create_subprocess_shell(command, stdout=sys.stderr, stderr=sys.stderr)
    return await process.wait()


async def kill_one(bench: Bench, requests: int, kill: str, start: str) -> tuple[RunResult, Killing]:
    """A campaign in which the last worker is killed and started again."""
    planning = bench.plan("killed", requests)
    killing = Killing(requests, kill, start)
    async with open_job(planning, RunOptions(), bench.settings) as job:
        heard = replace(job, dispatch=replace(job.dispatch, listen=_both(job, killing.hear)))
        result = await run_campaign(heard, lambda step: step, _say_nothing)
    codes = await killing.ended()
    if codes != [0, 0]:
        raise SystemExit(f"The commands ended with {codes}.")
    return result, killing


def _both(job: RunJob, hear: Callable[[LaneEvent], None]) -> Callable[[LaneEvent], None]:
    def listen(event: LaneEvent) -> None:
        job.dispatch.listen(event)
        hear(event)

    return listen


def killed_facts(bench: Bench, requests: int, kill: str, start: str) -> dict[str, Any]:
    """What a campaign came to in which the last worker was killed and came back."""
    result, killing = asyncio.run(kill_one(bench, requests, kill, start))
    last = bench.urls[-1]
    return {
        "requests": requests,
        "counts": {status: count for status, count in result.record.counts.model_dump().items() if count},
        "seconds": result.record.seconds,
        "tries beyond the first": sum(len(outcome.attempts) - 1 for outcome in result.outcomes),
        "made": {phase: dict(counts) for phase, counts in killing.made.items()},
        "ok": result.record.counts.stored == requests and killing.made["after"][last] > 0,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("urls", nargs="+", metavar="URL")
    parser.add_argument("--requests", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--kill", default="", metavar="COMMAND")
    parser.add_argument("--start", default="", metavar="COMMAND")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if bool(options.kill) != bool(options.start) or (options.kill and len(options.urls) < 2):
        parser.error("--kill and --start belong together, and to at least two workers.")
    with tempfile.TemporaryDirectory(prefix="ratio-") as folder:
        bench = Bench(Path(folder), options.urls, options.side)
        facts: dict[str, Any] = {"rates": all_rates(bench, options.requests, options.rounds)}
        if options.kill:
            requests = KILLED_TIMES * options.requests
            facts["killed"] = killed_facts(bench, requests, options.kill, options.start)
    base = facts["rates"]["bare loop, one at a time"]
    if options.json:
        print(json.dumps(facts))
    else:
        for name, rate in facts["rates"].items():
            print(f"{name:26} {rate:7.2f} pictures/s {rate / base:6.2f}")
        for name, fact in facts.get("killed", {}).items():
            print(f"{name:26} {fact}")
    return 0 if facts.get("killed", {"ok": True})["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
