"""A fake Replicate in a process of its own that tells on standard output what happens to it, one JSON object a line.

`python -m fakes.replicate_process` serves until its standard input ends; words there, one a line: `begin SEED SPEED
ROUGH` (forget all, a new clock of that speed, faults among the creates if ROUGH is 1), `mark N` (`reached` is told at
the Nth call), `hold EVENT N` (the Nth such call waits for `release`, and `reached` is told; a `post` that was held is
not accepted), `books` (all predictions).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import random
import sys
import threading
import time
from collections import Counter
from functools import lru_cache
from typing import Any

from fakes.fake_replicate import Answer, FakeReplicate, Fate, Held, size_of
from PIL import Image

from benchmarks.hasty import Hasty

HELD_S = 60.0
FAULTS = ("reset_before", "reset_after", "500_before", "500_after", "html_after", "odd_after", "429 1")
WHOLE_S = 0.04  # of sdxl cost 39 micro-dollars: nothing is rounded, so books can be compared exactly
FAULTY, FAILING = 0.10, 0.05  # shares, where it is rough
CREATES = 400  # more than a run of any size here makes
PIXELS = 16
_TELLING = threading.Lock()  # one line at a time, from whatever thread


def tell(event: str, **facts: Any) -> None:
    """One line for whoever started this process."""
    line = json.dumps({"event": event, "at": time.monotonic(), **facts})
    with _TELLING:
        print(line, flush=True)  # noqa: T201  # whoever started it reads it


@lru_cache(maxsize=256)
def drawn(prediction: str, size: tuple[int, int]) -> tuple[bytes, str]:
    """A picture that no other prediction has, as PNG, and the sha256 of its pixels."""
    noise = random.Random(prediction).randbytes(3 * PIXELS * PIXELS)
    picture = Image.frombytes("RGB", (PIXELS, PIXELS), noise).resize(size, Image.Resampling.NEAREST)
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue(), hashlib.sha256(picture.tobytes()).hexdigest()


class ToldReplicate(FakeReplicate):
    """The fake that tells what happens to it, and waits where it is told to."""

    def __init__(self) -> None:
        super().__init__(clock=self.now_there)
        self.hasty = Hasty(time.time(), 1.0)
        self._gate = threading.Condition()
        self._calls: Counter[str] = Counter()
        self._armed = ("", 0)
        self._mark = 0

    def now_there(self) -> float:
        """Seconds since 1970 by the clock of this beginning."""
        return self.hasty.since_1970()

    def begin(self, seed: str, speed: str, rough: str) -> None:
        """Forget everything; another clock, and other fates for those that will be created."""
        self.release()
        chances = random.Random(seed)
        with self._lock, self._gate:
            self.hasty = Hasty(time.time(), float(speed))
            for known in (self.held, self.asked, self.complaints, self.leaks, self.posts, self.fates):
                known.clear()
            self._calls.clear()
            self._faults.clear()
            is_rough = rough == "1"
            for _ in range(CREATES):
                self.on("create", chances.choice(FAULTS) if is_rough and chances.random() < FAULTY else "")
                fails = is_rough and chances.random() < FAILING
                times = {"queue_s": chances.uniform(0.2, 6.0), "run_s": chances.randint(25, 300) * WHOLE_S}
                self.fates.append(Fate("failed", "(code: PA)", **times) if fails else Fate(**times))
        tell("forgotten", began=self.hasty.began)

    def hold(self, event: str, nth: str) -> None:
        """Let the nth call of a kind wait, from now on: `post`, `accepted`, `get`, `list`, `output`."""
        with self._gate:
            self._armed = (event, self._calls[event] + int(nth))
        tell("armed")

    def mark(self, nth: str) -> None:
        """Tell of the nth call of any kind, from now on."""
        with self._gate:
            self._mark = self._calls.total() + int(nth)
        tell("armed")

    def release(self) -> None:
        """Let go on what waits; nothing is held any more."""
        with self._gate:
            self._armed, self._mark = ("", 0), 0
            self._gate.notify_all()

    def handle(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        event = _event(method, target.partition("?")[0])
        if self._waited(event) and event == "post":
            return Answer(0, how="reset")
        answer = super().handle(method, target, headers, body)
        if event == "post" and answer.status == 201:  # an event beside its call
            self._waited("accepted")
        return answer

    def picture(self, held: Held) -> bytes:
        return drawn(held.id, size_of(held.input))[0]

    def books(self) -> None:
        """Every prediction with what it has cost, and what its picture looks like."""
        with self._lock:
            bill = self.bill()
            found = [
                {
                    "id": held.id,
                    "model": held.model,
                    "input": held.input,
                    "status": self._status(held),
                    "micros": bill.get(held.id, 0),
                    "pixels": drawn(held.id, size_of(held.input))[1],
                }
                for held in self.held.values()
            ]
            calls, faults = Counter(self.paths()), self.complaints + self.leaks
        tell("books", predictions=found, calls=calls, faults=faults)

    def _waited(self, event: str) -> bool:
        """Count a call, and let it wait if it is the one."""
        with self._gate:
            self._calls[event] += 1
            if event == "post":
                tell("post")
            if self._calls.total() == self._mark:
                tell("reached")
            armed = (event, self._calls[event])
            if armed != self._armed:
                return False
            tell("reached")
            self._gate.wait_for(lambda: armed != self._armed, HELD_S)
            return True


def _event(method: str, path: str) -> str:
    parts = path.strip("/").split("/")
    match method, parts:
        case "GET", ["outputs", *_]:
            return "output"
        case "GET", ["v1", "predictions"]:
            return "list"
        case "GET", ["v1", "predictions", _]:
            return "get"
        case "POST", [*_, "predictions"]:
            return "post"
    return "other"


def main() -> None:
    """Serve until stdin ends."""
    with ToldReplicate() as fake, contextlib.suppress(KeyboardInterrupt):
        tell("up", url=fake.url)
        words = {
            "begin": fake.begin,
            "mark": fake.mark,
            "hold": fake.hold,
            "release": fake.release,
            "books": fake.books,
        }
        for line in sys.stdin:
            word, *rest = line.split()
            words[word](*rest)


if __name__ == "__main__":
    main()
