"""A place that makes pictures: its slots, what it has loaded, and whether it answers."""

from __future__ import annotations

import asyncio
import logging

from assetline.backends import Backend
from assetline.errors import BackendError

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0  # before a lane that did not answer is asked again; doubled each time
LONGEST_PAUSE_S = 30.0


class Lane:
    """A backend with a number of slots. `loaded` is the affinity of what it took last, `streak` for how long.

    `lacks` holds the affinities that it refused for want of a model or a node, and has not made since.

    A lane that is down takes nothing; one that stayed away longer than the run's patience is gone for this run.
    """

    def __init__(self, backend: Backend, slots: int) -> None:
        self.backend = backend
        self.slots = slots
        self.loaded = ""
        self.streak = 0
        self.lacks: set[str] = set()
        self.fault = ""
        self.gone = False

    @property
    def name(self) -> str:
        """The lane's name in manifests and messages."""
        return self.backend.name

    @property
    def is_up(self) -> bool:
        """Whether it answered when it was last asked."""
        return not self.fault

    def fail(self, reason: str) -> None:
        """It does not answer."""
        if self.is_up:
            log.warning("lane down: lane=%s reason=%s", self.name, reason)
        self.fault = reason

    async def recover(self, patience_s: float) -> None:
        """Ask again after growing pauses until it answers, or until `patience_s` is over and it is gone."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + patience_s
        pause_s = FIRST_PAUSE_S
        while clock() + pause_s <= deadline:
            await asyncio.sleep(pause_s)
            try:
                await self.backend.probe()
            except BackendError as error:
                self.fault = str(error)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
                continue
            self.fault = ""
            log.warning("lane is back: lane=%s", self.name)
            return
        self.gone = True
        log.error("lane gone: lane=%s after_s=%.0f reason=%s", self.name, patience_s, self.fault)


class Slot:
    """One slot of a lane, held by one request until it is freed. Freeing twice is harmless."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self._freed = asyncio.Event()

    def free(self) -> None:
        """Give the slot back to its lane."""
        self._freed.set()

    async def until_free(self) -> None:
        """Wait until the request has given the slot back."""
        await self._freed.wait()
