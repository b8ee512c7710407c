"""Room on a worker that others use too: one running and one ahead, counting what they have queued there.

Facts measured on ComfyUI 0.3.64: every socket hears how many prompts are there, whoever queued them; GET /queue says
which.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from assetline.backends.comfyui.answers import Queue
from assetline.backends.comfyui.clock import Clock, rest
from assetline.backends.comfyui.errors import Job
from assetline.backends.comfyui.watch import ComfyUISettings, not_begun
from assetline.errors import BackendUnavailable, JobTimedOut

log = logging.getLogger(__name__)

LINGER_S = 3.0  # another client needs about so long from the end of its picture to its next prompt


class Room:
    """Who has prompts on one worker. While others have any there, one of ours is there at most: so two campaigns
    alternate, and a person at the editor waits behind one picture of ours.

    Nothing is asked for the first of ours, nor for the next while the socket tells that only ours are there.
    """

    def __init__(self, look: Callable[[], Awaitable[Queue]], settings: ComfyUISettings, clock: Clock) -> None:
        self._look = look
        self._settings = settings
        self._clock = clock
        self._ours: set[str] = set()  # from before the POST until nobody waits for it here
        self._accepted: set[str] = set()  # of those, what the worker has answered for
        self._left: set[str] = set()  # ours as well, but nobody follows it at present
        self._told: int | None = None  # how many prompts are there, ours included; None: nothing was heard
        self._tellings = 0
        self._foreign = 0
        self._shared_until = 0.0
        self._free = asyncio.Event()

    async def enter(self, job: Job) -> None:
        """Wait until one more of ours may go there. Raises JobTimedOut (`start_s`), BackendUnavailable."""
        began = self._clock.now()
        while self._ours:
            self._free.clear()
            if not await self._is_shared():
                break
            if self._clock.now() - began >= self._settings.start_s:
                raise JobTimedOut(
                    f"{job.lane} {not_begun(self._settings.start_s, self._foreign, moves=True)}",
                    lane=job.lane,
                    job_id=job.prompt_id,
                )
            await rest(self._clock.sleep(self._settings.longest_pause_s), self._free)
        self._ours.add(job.prompt_id)

    def follow(self, prompt_id: str) -> None:
        """One of ours that is there already is followed again; it needs no room."""
        self._ours.add(prompt_id)
        self._accepted.add(prompt_id)
        self._left.discard(prompt_id)

    def accept(self, prompt_id: str, tellings: int) -> None:
        """The worker has it. What was told before its POST (`tellings` then) no longer counts: it will tell anew."""
        self._accepted.add(prompt_id)
        if tellings == self._tellings:
            self._told = None

    def leave(self, prompt_id: str) -> None:
        """It has ended, or was taken back, or nobody waits for it any more."""
        self._ours.discard(prompt_id)
        self._accepted.discard(prompt_id)
        if not self._ours:
            self._free.set()

    def keep(self, prompt_id: str) -> None:
        """It is ours and may be there, though nobody follows it now."""
        self._left.add(prompt_id)

    @property
    def tellings(self) -> int:
        """How often the worker has told how many prompts it has."""
        return self._tellings

    def hear(self, remaining: int | None) -> None:
        """The worker tells how many prompts it has, running ones included; None: it is not heard any more."""
        self._tellings += 1
        self._told = remaining
        if self._is_told_to_be_ours():
            self._free.set()

    def see(self, queue: Queue) -> int:
        """How many of the worker's prompts are not ours. What was told is dropped where the queue says otherwise."""
        ours = self._ours | self._left
        self._foreign = sum(prompt_id not in ours for prompt_id in (*queue.running, *queue.pending))
        if self._foreign:
            self._shared_until = self._clock.now() + LINGER_S
            if self._is_told_to_be_ours():
                self._told = None
        return self._foreign

    def _is_told_to_be_ours(self) -> bool:
        return self._told is not None and self._told <= len(self._accepted)

    async def _is_shared(self) -> bool:
        """Whether others have prompts there, or had a moment ago. A queue that cannot be read counts as ours: this is
        manners, and the POST tells what is wrong.
        """
        began = self._clock.now()
        if not self._is_told_to_be_ours():
            try:
                self.see(await self._look())
            except BackendUnavailable as exc:
                if self._clock.now() - began >= self._settings.silent_s:
                    raise
                log.debug("queue not read before a submit reason=%s", exc)
                return False
        return self._clock.now() < self._shared_until
