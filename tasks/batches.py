"""Several assets in one task run, for fleets so quick that a task run for each would cost more than the pictures.

A task run costs 4 to 9 ms of CPU here and 8 ms in Prefect's server beside a busy image pass, whatever it does (3.8.8).
Where nothing else is said, each asset has its own as long as pictures come at the pace of real workers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import State
from prefect.states import Cancelled, Completed, Failed

from assetline.dispatch import Ticket
from assetline.pipeline import Make
from assetline.records import Made
from tasks.asset import as_task

log = logging.getLogger(__name__)

LINES_SHOWN = 3  # of failures, in the message of a task run's state
QUICK = 40  # assets begun within
WITHIN_S = 2.0  # seconds, from which on they share: 20 a second, more than 64 workers make that take 4 s for a picture
SHARED = 20  # assets in one task run then

Wrap = Callable[[Make], Make]


@asynccontextmanager
async def asset_tasks(assets_per_task: int | None, clock: Callable[[], float] = time.monotonic) -> AsyncIterator[Wrap]:
    """What wraps the asset step: each asset is one task run, or so many of them share one.

    None: each has its own unless 40 began within the two seconds before (by `clock`); then twenty share one. What was
    begun is ended when this is left.
    """
    if assets_per_task == 1:
        yield as_task
        return
    batches = _Batches(assets_per_task or SHARED, ends_idle=assets_per_task is None)
    try:
        yield batches.wrap if assets_per_task else _own_or_shared(_Pace(clock), batches)
    finally:
        await batches.close()


class _Pace:
    """How quickly assets begin."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._begun: deque[float] = deque(maxlen=QUICK)

    def begins(self) -> bool:
        """One more begins: whether that is at a pace at which each can have a task run."""
        now = self._clock()
        is_quick = len(self._begun) == QUICK and now - self._begun[0] < WITHIN_S
        self._begun.append(now)
        return not is_quick


def _own_or_shared(pace: _Pace, batches: _Batches) -> Wrap:
    """The asset step in a task run of its own; at a pace that is too quick for that, in one that others share."""

    def wrap(step: Make) -> Make:
        own, shared = as_task(step), batches.wrap(step)

        async def make(ticket: Ticket) -> Made:
            return await (own if pace.begins() else shared)(ticket)

        return make

    return wrap


class _Batch:
    """Assets that share a task run, which ends when all of them have and no more can join.

    With `ends_idle` no more can join either once none of its assets is in the making.
    """

    def __init__(self, first: str, size: int, *, ends_idle: bool) -> None:
        self._size = size
        self._ends_idle = ends_idle
        self._joined = 0
        self._running = 0
        self._closed = False
        self._failures: list[str] = []
        self._unfinished = 0
        self._ended = asyncio.Event()
        self.task_run = asyncio.create_task(self._run(first))

    @property
    def is_open(self) -> bool:
        """Whether another asset may join."""
        return not self._closed and self._joined < self._size

    def join(self) -> None:
        """One more asset begins."""
        self._joined += 1
        self._running += 1

    def leave(self, label: str, made: Made | Exception | None) -> None:
        """An asset has ended; None: it was canceled. An exception is a mistake of ours in its step."""
        self._running -= 1
        if isinstance(made, Exception):
            self._failures.append(f"{label}: {type(made).__name__}: {made}")
        elif made is None or made.outcome.status == "canceled":
            self._unfinished += 1
        elif made.outcome.status == "failed":
            self._failures.append(f"{label}: {made.outcome.reason}")
        self._closed = self._closed or (self._ends_idle and not self._running)
        self._end_if_over()

    def close(self) -> None:
        """No more assets come."""
        self._closed = True
        self._end_if_over()

    def _end_if_over(self) -> None:
        if not self._running and not self.is_open:
            self._ended.set()

    async def _run(self, first: str) -> None:
        @task(name="assets", task_run_name="{first} and the next", cache_policy=NO_CACHE, persist_result=False)
        async def assets(first: str) -> State[None]:  # noqa: ARG001  (it names the task run)
            await self._ended.wait()
            return self._state()

        await assets(first, return_state=True)  # type: ignore[misc]  # Prefect's overload is sync

    def _state(self) -> State[None]:
        if self._failures:
            more = len(self._failures) - LINES_SHOWN
            shown = [*self._failures[:LINES_SHOWN], *([f"and {more} more"] if more > 0 else [])]
            return Failed(message=f"{len(self._failures)} of {self._joined} failed. {'; '.join(shown)}")
        if self._unfinished:
            return Cancelled(message=f"{self._unfinished} of {self._joined} were not finished.")
        return Completed(message=f"{self._joined} asset{'' if self._joined == 1 else 's'}")


class _Batches:
    """The batches of one run: an asset joins the open one, or begins the next."""

    def __init__(self, size: int, *, ends_idle: bool) -> None:
        self._size = size
        self._ends_idle = ends_idle
        self._open: _Batch | None = None
        self._begun: list[_Batch] = []

    def wrap(self, step: Make) -> Make:
        """The asset step, so that each asset belongs to a batch."""

        async def make(ticket: Ticket) -> Made:
            label = ticket.planned.label
            made: Made | Exception | None = None
            batch = self._join(label)
            try:
                made = await step(ticket)
            except Exception as error:
                made = error
                raise
            finally:
                batch.leave(label, made)
            return made

        return make

    async def close(self) -> None:
        """End what is open, and wait for every task run to end."""
        for batch in self._begun:
            batch.close()
        answers = await asyncio.gather(*(batch.task_run for batch in self._begun), return_exceptions=True)
        errors = [answer for answer in answers if isinstance(answer, Exception)]
        for error in errors:  # what was made is stored all the same
            log.warning("task run not shown: reason=%s: %s", type(error).__name__, error)

    def _join(self, label: str) -> _Batch:
        batch = self._open
        if batch is None or not batch.is_open:
            self._begun = [one for one in self._begun if not one.task_run.done()]
            batch = self._open = _Batch(label, self._size, ends_idle=self._ends_idle)
            self._begun.append(batch)
        batch.join()
        return batch
