"""Requests that came together: who makes them, who hears of their ends, and when all have ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from dataclasses import dataclass

from assetline.dispatch.ticket import Ticket
from assetline.records import Made, PlannedRequest

Make = Callable[[Ticket], Awaitable[Made]]
Done = Callable[[Made], None]


@dataclass(frozen=True)
class Batch:
    """`make` makes each of the requests, and of those that come `later` until no more do; `done` hears of each end.

    `campaign`: the name under which they share the lanes with others of their priority. `is_urgent`: a person waits
    for them; they go before all rows, whatever those rows' priority.
    """

    requests: Iterable[PlannedRequest]
    make: Make
    done: Done
    later: AsyncIterable[Iterable[PlannedRequest]] | None = None
    campaign: str = ""
    is_urgent: bool = False


class UnderWay:
    """A batch that is being made: its tickets' numbers as long as they are open, and their tasks."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.made: dict[int, Made] = {}
        self.tasks = asyncio.TaskGroup()
        self.open: set[int] = set()
        self.is_stopped = False
        self.over = asyncio.Event()
        self._ended = asyncio.Event()
        self._more_to_come = True

    async def wait(self) -> None:
        """Until everything has ended. Raises CancelledError when it is stopped before."""
        await self._ended.wait()
        if self.is_stopped:
            raise asyncio.CancelledError

    def finish(self, number: int, made: Made) -> None:
        """A request has ended."""
        self.open.discard(number)
        self.made[number] = made
        self.batch.done(made)
        self._look()

    def close(self) -> None:
        """Nothing comes any more."""
        self._more_to_come = False
        self._look()

    def stop(self) -> None:
        """Cancel what is under way."""
        self.is_stopped = True
        self._ended.set()

    def _look(self) -> None:
        if not self.open and not self._more_to_come:
            self._ended.set()
