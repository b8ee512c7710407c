"""What the benchmarks that kill runs share: the command as a process, when it is killed, what it has stored."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from assetline.provenance import read_sidecar
from assetline.run_records import Sidecar
from assetline.store.folder import FolderStore
from assetline.store.layout import parse_asset_key
from benchmarks.worker_processes import clean_environment

CAMPAIGN = "spring"
RUN_LIMIT_S = 180.0
MOST_RUNS = 3  # of the same command after the last kill; the first should do
SOONER = 0.7  # after a run that had ended before its kill, the next is killed within so much of that


@dataclass(frozen=True)
class Kill:
    """When a run is killed: `time`, after `at` s; `manifest`; else at the `at`th of what the moment names."""

    moment: str
    at: float

    def __str__(self) -> str:
        return {"time": f"{self.at:.2f} s", "manifest": "manifest"}.get(self.moment, f"{self.moment} {self.at:.0f}")


@dataclass(frozen=True)
class Stored:
    """What is in a store: sha256 by key of all that names no run, the sidecars, originals that have none yet."""

    pictures: dict[str, str]
    requests: tuple[str, ...]  # the first 8 digits of the key, one for each original
    sidecars: tuple[Sidecar, ...]
    incomplete: int

    @classmethod
    def read(cls, store: FolderStore) -> Stored:
        """Look at everything."""
        keys = list(store.list(f"campaigns/{CAMPAIGN}/"))
        places = {key: place for key in keys if (place := parse_asset_key(key))}
        sidecars = [read_sidecar(store.get(key).data) for key, place in places.items() if place.is_sidecar]
        originals = [place.key8 for place in places.values() if not place.is_sidecar]
        named = {sidecar.asset.original for sidecar in sidecars}
        return cls(
            {
                key: hashlib.sha256(store.get(key).data).hexdigest()
                for key in keys
                if "/runs/" not in key and not key.endswith(".json")
            },
            tuple(originals),
            tuple(sidecars),
            len(originals) - len(named & places.keys()),
        )

    @property
    def twice(self) -> list[str]:
        """Requests that have more than one original."""
        return [key8 for key8, copies in Counter(self.requests).items() if copies > 1]


class KilledRun(ABC):
    """A folder with the sheet and the store of one point, and the command that is killed there and run again."""

    def __init__(self, folder: Path, sheet: str) -> None:
        folder.mkdir(parents=True)
        (folder / f"{CAMPAIGN}.csv").write_text(sheet)
        self.folder = folder
        self.store = FolderStore(folder / "store")

    @abstractmethod
    def command(self, kill: Kill | None) -> Sequence[str]:
        """The command, in `folder`; it may be told of a kill that it has to see to itself."""

    @abstractmethod
    def environment(self) -> Mapping[str, str]:
        """What it needs beyond a clean environment."""

    @abstractmethod
    def wait_until(self, kill: Kill, holds: Callable[[], bool], limit_s: float) -> bool:
        """Wait until it holds, looking as often as the moment needs."""

    def is_due(self, kill: Kill, began: float) -> bool:
        """Whether the moment has come."""
        if kill.moment == "time":
            return time.monotonic() - began >= kill.at
        if kill.moment == "original":
            pictures, recipes = self._files("assets/*/*.png"), self._files("assets/*/*.json")
            return pictures >= kill.at and recipes < pictures
        return self._files("runs/*/manifest.jsonl") > 0

    def start(self, kill: Kill | None = None) -> subprocess.Popen[str]:
        """Start the command."""
        with (self.folder / "log.txt").open("a") as log:
            return subprocess.Popen(
                self.command(kill),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=clean_environment(**self.environment()),
            )

    def kill(self, kill: Kill) -> bool:
        """Start the command and kill it at that moment. False where it had ended before."""
        process, began = self.start(kill), time.monotonic()
        with process:
            self.wait_until(kill, lambda: process.poll() is not None or self.is_due(kill, began), RUN_LIMIT_S)
            process.kill()
        return process.returncode == -signal.SIGKILL

    def run(self) -> tuple[int, dict[str, Any]]:
        """Run the command to its end: its exit code and what `--json` says."""
        with self.start() as process:
            try:
                out, _ = process.communicate(timeout=RUN_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                return -1, {}
        return process.returncode, json.loads(out) if out.strip() else {}

    def run_to_the_end(self, requests: int) -> tuple[int, list[str]]:
        """Run it until it ends well: how many runs that took, and what was wrong with each."""
        faults: list[str] = []
        while len(faults) < MOST_RUNS:
            code, said = self.run()
            counts = said.get("counts", {})
            if code == 0 and counts["stored"] + counts["reused"] == requests:
                return len(faults) + 1, faults
            last = (self.folder / "log.txt").read_text().strip().splitlines()[-1:]
            faults.append(f"exit {code}, {counts}, {last}")
        return MOST_RUNS, faults

    def _files(self, pattern: str) -> int:
        return sum(1 for _ in (self.folder / "store" / "campaigns" / CAMPAIGN).glob(pattern))


def look_often(holds: Callable[[], bool], limit_s: float) -> bool:
    """Look all the time: what lies between two files takes a few ms."""
    deadline = time.monotonic() + limit_s
    while not holds() and time.monotonic() < deadline:
        pass
    return time.monotonic() < deadline


def sooner_and_sooner(within: float) -> Iterator[tuple[int, float]]:
    """The number of a try, and within how much (s, or whatever is counted) of its run it should be killed."""
    for again in count():
        yield again, within * SOONER**again


def faults_of(checks: Mapping[str, Any]) -> list[str]:
    """Those checks that found something, in words."""
    return [f"{what}: {found}" for what, found in checks.items() if found]
