"""Fakes in processes of their own (ComfyUI workers above all), from the side that starts them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).parents[1]
START_LIMIT_S = 60.0
ANSWER_LIMIT_S = 30.0
FOREIGN = ("ASSETLINE_", "PREFECT_", "AWS_", "REPLICATE_")  # nothing of the person who runs it counts here


@dataclass(frozen=True)
class Kind:
    """What a worker is like: seconds for a picture, seconds before a download begins, ready PNGs instead of drawn."""

    seconds: float
    view_s: float = 0.0
    pictures: Path | None = None


class ToldProcess:
    """A fake in a process of its own. `told` is all that it has told, in order: `event`, `at` (monotonic), the rest.

    Its standard input takes words, one a line, and its end ends the process.
    """

    def __init__(self, module: str, options: Sequence[str], news: threading.Condition) -> None:
        self.url = ""
        self.told: list[dict[str, Any]] = []
        self._news = news
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT}"},
        )
        assert self._process.stdout
        self._reading = threading.Thread(target=self._read, args=[self._process.stdout], daemon=True)
        self._reading.start()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def wait_until_up(self) -> None:
        """Wait until it answers, and note where."""
        self.url = str(self._wait_for("up", 0, START_LIMIT_S)["url"])

    def count(self, event: str) -> int:
        """How often it has told so, since it began anew."""
        return sum(fact["event"] == event for fact in self.told)

    def ask(self, word: str, answer: str) -> dict[str, Any]:
        """Say a word to it (`report`, `forget`), and wait for its answer."""
        known = len(self.told)
        self.say(word)
        return self._wait_for(answer, known, ANSWER_LIMIT_S)

    def say(self, word: str) -> None:
        """Say a word to it that it does not answer."""
        assert self._process.stdin
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def begin_anew(self, word: str = "forget") -> dict[str, Any]:
        """Let it forget queue, history and counts; and forget what it has told, but for its answer."""
        answer = self.ask(word, "forgotten")
        with self._news:
            self.told.clear()
        return answer

    def end(self) -> None:
        """End the process."""
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reading.join()
        assert self._process.stdout
        self._process.stdout.close()

    def _read(self, lines: TextIO) -> None:
        for line in lines:
            with self._news:
                self.told.append(json.loads(line))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def _wait_for(self, event: str, known: int, limit_s: float) -> dict[str, Any]:
        def answer() -> dict[str, Any] | None:
            return next((fact for fact in self.told[known:] if fact["event"] == event), None)

        with self._news:
            if not self._news.wait_for(lambda: answer() or self._process.poll() is not None, limit_s):
                raise SystemExit(f"A fake told nothing of {event!r} for {limit_s:.0f} s.")
            found = answer()
        if found is None:
            raise SystemExit(f"A fake ended with {self._process.returncode}.")
        return found


class WorkerProcess(ToldProcess):
    """One worker."""

    def __init__(self, kind: Kind, news: threading.Condition) -> None:
        self.kind = kind
        options = ["--seconds", str(kind.seconds), "--view-seconds", str(kind.view_s)]
        options += ["--pictures", str(kind.pictures)] if kind.pictures else []
        super().__init__("fakes.worker_process", options, news)


class Workers(Sequence[WorkerProcess]):
    """Some workers that tell into one place, so that one can wait for what any of them tells."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self._news = threading.Condition()
        self._all: list[WorkerProcess] = []
        try:
            self._all += [WorkerProcess(kind, self._news) for kind in kinds]
            for worker in self._all:
                worker.wait_until_up()
        except BaseException:
            self.end()
            raise

    def __getitem__(self, place: Any) -> Any:
        return self._all[place]

    def __len__(self) -> int:
        return len(self._all)

    @property
    def lanes(self) -> list[str]:
        """Options of the command line for all of them."""
        return [part for worker in self._all for part in ("--lane", worker.url)]

    def count(self, event: str) -> int:
        """How often all of them together have told so."""
        return sum(worker.count(event) for worker in self._all)

    def told(self, event: str) -> list[dict[str, Any]]:
        """Everything of one kind that they have told."""
        return [fact for worker in self._all for fact in list(worker.told) if fact["event"] == event]

    def wait_until(self, holds: Callable[[], bool], limit_s: float) -> bool:
        """Wait until it holds; looked at whenever one of them tells something, and every 5 ms."""
        deadline = time.monotonic() + limit_s
        with self._news:
            while not holds():
                if time.monotonic() > deadline:
                    return False
                self._news.wait(0.005)
        return True

    def begin_anew(self) -> None:
        """Let all of them forget."""
        for worker in self._all:
            worker.begin_anew()

    def end(self) -> None:
        """End the processes."""
        for worker in self._all:
            worker.end()


@contextlib.contextmanager
def started(kinds: Sequence[Kind]) -> Iterator[Workers]:
    """Workers of these kinds, for the length of a block."""
    workers = Workers(kinds)
    try:
        yield workers
    finally:
        workers.end()


def clean_environment(**more: str) -> dict[str, str]:
    """The environment of a run: none of the person's own settings, the checkout on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return kept | {"PYTHONPATH": str(ROOT), "AWS_EC2_METADATA_DISABLED": "true"} | more
