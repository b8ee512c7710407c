"""A place that makes pictures: its slots, what it works on and has loaded, and whether it answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite

from assetline.backends import Backend
from assetline.dispatch.events import Kind
from assetline.dispatch.situation import LaneState
from assetline.dispatch.speeds import Speeds
from assetline.errors import BackendError, LaneClosed

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0  # before a lane that did not answer is asked again; doubled each time
LONGEST_PAUSE_S = 30.0
Listen = Callable[[Kind, "Work | None", str], None]  # what happens, on what, in detail

LATENESS = 0.5  # what is late by so much is expected to take half as long again: nothing is waited for blindly


@dataclass(eq=False, slots=True)
class Work:
    """A request that a lane holds. `began`: when the lane turned to it, None while it waits behind another.

    `loads`: whether its files are not the ones that were loaded then. `waited_s`: seconds since it began in which the
    lane was not allowed to go on with it; `inf` where it did not make it, but only fetched it.
    """

    label: str
    affinity: str
    began: float | None = None
    loads: bool = False
    waited_s: float = 0.0


class Lane:
    """A backend with a number of slots, of which `ahead` wait behind the others: a ComfyUI worker runs one prompt at a
    time, and a second one ahead keeps it busy while the first picture is fetched. `work` is what it holds, in order.
    A service begins one in `every_s` at most, and has every model at hand: nobody waits for it to load (`loads`).

    `lacks` holds the affinities that it refused for want of a model or a node, and has not made since. A lane that is
    down takes nothing; one that stayed away longer than the patience is gone: nothing waits for it any more, but it is
    asked on, and may come back.
    """

    def __init__(
        self, backend: Backend, slots: int, ahead: int = 0, *, every_s: float = 0.0, loads: bool = True
    ) -> None:
        self.backend = backend
        self.slots = slots
        self.at_once = slots - ahead
        self.every_s = every_s
        self.loads = loads
        self.work: list[Work] = []
        self.lacks: set[str] = set()
        self.fault = ""
        self.gone = False
        self.listen: Listen = lambda _kind, _work, _detail: None
        self._loaded = ""

    @property
    def name(self) -> str:
        """The lane's name in manifests and messages."""
        return self.backend.name

    @property
    def is_up(self) -> bool:
        """Whether it answered when it was last asked."""
        return not self.fault

    @property
    def has_room(self) -> bool:
        """Whether it may be given another request now."""
        return self.is_up and not self.gone and len(self.work) < self.slots

    @property
    def loaded(self) -> str:
        """The affinity that it will have loaded when it has done what it holds."""
        return self.work[-1].affinity if self.work and self.loads else self._loaded

    def take(self, label: str, affinity: str, now: float) -> Work:
        """Hold one more request; it begins at once if none is before it."""
        work = Work(label, affinity)
        self.work.append(work)
        self.listen("taken", work, "")
        self._begin(now)
        return work

    def drop(self, work: Work, now: float, failure: str | None) -> float | None:
        """Let a request go, and begin the next. The seconds that it took, if its picture was made (no `failure`).

        An empty `failure` is none: the request was taken back. What the lane had loaded for it is still there then.
        """
        self.work.remove(work)
        seconds = None
        if failure is None and work.began is not None and isfinite(work.waited_s):
            seconds = max(now - work.began - work.waited_s, 0.0)
        if work.began is not None and (failure != "" or work.loads):
            self._loaded = "" if failure is not None or not self.loads else work.affinity
        self.listen("made" if failure is None else "failed", work, f"{seconds:.3f}" if seconds else failure or "")
        self._begin(now)
        return seconds

    def state(self, now: float, speeds: Speeds) -> LaneState:
        """What the scheduler needs to know of it."""
        left, loaded = 0.0, self._loaded
        for work in self.work:
            expected = speeds.seconds(self.name, work.affinity)
            if self.loads and work.affinity != loaded:
                expected += speeds.load_seconds(self.name, work.affinity)
            left += expected if work.began is None else _still(expected, now - work.began)
            loaded = work.affinity if self.loads else ""
        left = max(left / self.at_once, len(self.work) * self.every_s)
        busy = LaneState(self.name, now + left, loaded, len(self.work), self.at_once)
        return replace(busy, every_s=self.every_s, loads=self.loads)

    def fail(self, reason: str) -> None:
        """It does not answer. What it had loaded may be gone when it does again."""
        was_up = self.is_up
        self.fault, self._loaded = reason, ""
        if was_up:
            log.warning("lane down: lane=%s reason=%s", self.name, reason)
            self.listen("down", None, reason)

    async def recover(self, patience_s: float) -> None:
        """Ask after growing pauses until it answers; after `patience_s` it is gone, and asked on.

        One that waits for a person to act is gone at once.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + patience_s
        pause_s = FIRST_PAUSE_S
        while True:
            if not self.gone and clock() >= deadline:
                self._give_up(patience_s)
            await asyncio.sleep(pause_s if self.gone else min(pause_s, deadline - clock()))
            try:
                await self.backend.probe()
            except BackendError as error:
                self.fault = str(error)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
                deadline = clock() if isinstance(error, LaneClosed) else deadline
                self.listen("waiting", None, f"{deadline - clock():.0f}")
            else:
                return self._come_back(clock())

    def _give_up(self, patience_s: float) -> None:
        self.gone = True
        log.error("lane gone: lane=%s after_s=%.0f reason=%s", self.name, patience_s, self.fault)
        self.listen("gone", None, self.fault)

    def _come_back(self, now: float) -> None:
        self.fault, self.gone = "", False
        self.listen("up", None, "")
        self._begin(now)
        log.warning("lane is back: lane=%s", self.name)

    def _begin(self, now: float) -> None:
        if not self.is_up:
            return
        for work in self.work[: self.at_once]:
            if work.began is None:
                work.began, work.loads = now, self.loads and work.affinity != self._loaded
                self.listen("began", work, "load" if work.loads else "")


def _still(expected: float, elapsed: float) -> float:
    """Seconds that something still takes; what is late is taken to stay late for a while."""
    return expected - elapsed if elapsed < expected else LATENESS * (elapsed - expected)


class Slot:
    """One slot of a lane, held by one request until it is freed. Freeing twice is harmless."""

    def __init__(self, lane: Lane, on_free: Callable[[str | None], None], work: Work | None = None) -> None:
        self.lane = lane
        self.work = work
        self._on_free: Callable[[str | None], None] | None = on_free

    def free(self, failure: str | None = None) -> None:
        """Give the slot back to its lane: the picture is here, or `failure` says why not."""
        on_free, self._on_free = self._on_free, None
        if on_free:
            on_free(failure)
