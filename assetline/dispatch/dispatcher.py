"""The waiting: lane slots that pull, assets that are stored beside them, lanes that come back or are gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from assetline.dispatch.lane import Lane, Slot
from assetline.dispatch.request_queue import RequestQueue
from assetline.dispatch.ticket import Ticket
from assetline.errors import BackendUnavailable
from assetline.policy import DEFAULT_POLICY, RetryPolicy
from assetline.records import Made, Outcome, PlannedRequest

log = logging.getLogger(__name__)

Make = Callable[[Ticket], Awaitable[Made]]


@dataclass(frozen=True)
class DispatchOptions:
    """How a run treats its lanes.

    `patience_s`: how long a lane may stay away before it counts as gone. `unstored`: pictures that may be checked
    and stored while the slots are busy again (about 6 MB each at 1024 px), which bounds memory. `affinity` names
    what a request wants loaded (checkpoint, LoRA, ControlNet).
    """

    policy: RetryPolicy = DEFAULT_POLICY
    patience_s: float = 120.0
    unstored: int = 8
    affinity: Callable[[PlannedRequest], str] = lambda _planned: ""


class Dispatcher:
    """The queue and its lanes, for one run. `made` holds what has ended, by the request's position."""

    def __init__(self, lanes: Sequence[Lane], options: DispatchOptions | None = None) -> None:
        self.made: dict[int, Made] = {}
        self._lanes = list(lanes)
        self._options = options or DispatchOptions()
        self._queue = RequestQueue(self._lanes)
        self._changed = asyncio.Condition()
        self._open = 0
        self._live = 0
        self._live_limit = sum(lane.slots for lane in self._lanes) + self._options.unstored

    async def run(self, requests: Iterable[PlannedRequest], make: Make, done: Callable[[Made], None]) -> None:
        """Make every request; `done` hears of each as it ends.

        Cancelling it cancels what is under way and returns when the backends have been told.
        """
        self._fill(requests, done)
        async with asyncio.TaskGroup() as group:
            for lane in self._lanes:
                watch = group.create_task(self._watch(lane, done))
                pulls = [group.create_task(self._serve(lane, group, make, done)) for _ in range(lane.slots)]
                group.create_task(_cancel_after(pulls, watch))

    def _fill(self, requests: Iterable[PlannedRequest], done: Callable[[Made], None]) -> None:
        """Queue a ticket for each request; the queue alone holds them, so that those that have ended are let go."""
        tickets = [self._ticket(number, planned) for number, planned in enumerate(requests)]
        self._open = len(tickets)
        for ticket in self._queue.fill(tickets):
            self._finish(ticket, _failed(ticket, "No lane of this run can make it."), done)

    def _ticket(self, number: int, planned: PlannedRequest) -> Ticket:
        ticket = Ticket(planned, number, self._options.affinity(planned))
        ticket.policy = self._options.policy
        ticket.wait_for_slot = self._wait_for_slot
        return ticket

    async def _serve(self, lane: Lane, group: asyncio.TaskGroup, make: Make, done: Callable[[Made], None]) -> None:
        """One slot: pull, hand over, wait until it is free again."""
        while ticket := await self._pull(lane):
            slot = Slot(lane)
            if ticket.entered:
                ticket.entered.set_result(slot)
            else:
                ticket.slot = slot
                group.create_task(self._make(ticket, make, done))
            await slot.until_free()
            await self._notify()

    async def _pull(self, lane: Lane) -> Ticket | None:
        """Wait for the request that `lane` should make next; None when there is nothing left for it to do."""
        async with self._changed:
            while self._open and not lane.gone:
                if lane.is_up and (ticket := self._take(lane)):
                    return ticket
                await self._changed.wait()
        return None

    def _take(self, lane: Lane) -> Ticket | None:
        if ticket := self._queue.take_returned(lane):
            return ticket
        if self._live >= self._live_limit or not (ticket := self._queue.take_fresh(lane)):
            return None
        self._live += 1
        return ticket

    async def _watch(self, lane: Lane, done: Callable[[Made], None]) -> None:
        """Bring the lane back whenever it is down; when it is gone, end the requests that only it could make."""
        while not lane.gone:
            async with self._changed:
                await self._changed.wait_for(lambda: not lane.is_up)
            await lane.recover(self._options.patience_s)
            if lane.gone:
                self._end_homeless(done)
            await self._notify()

    def _end_homeless(self, done: Callable[[Made], None]) -> None:
        reason = "No lane is left that can make it. " + " ".join(lane.fault for lane in self._lanes if lane.gone)
        for ticket in self._queue.take_homeless():
            if ticket.entered:
                ticket.entered.set_exception(BackendUnavailable(reason))
            else:
                self._finish(ticket, _failed(ticket, reason), done)

    async def _wait_for_slot(self, ticket: Ticket) -> Slot:
        """Queue a ticket whose try failed; wait until a lane pulls it. Raises BackendUnavailable when none is left."""
        if not any(ticket.suits(lane) for lane in self._lanes):
            raise BackendUnavailable(f"No lane is left that can make it. {ticket.attempts[-1].error}")
        refused = ticket.slot is not None and ticket.slot.lane in ticket.unsuited
        self._live -= refused  # it has no picture yet, and the lane that refused it must not wait for the other one
        ticket.entered = asyncio.get_running_loop().create_future()
        self._queue.put_back(ticket)
        await self._notify()
        try:
            return await ticket.entered
        finally:
            self._live += refused
            ticket.entered = None
            self._queue.withdraw(ticket)

    async def _make(self, ticket: Ticket, make: Make, done: Callable[[Made], None]) -> None:
        try:
            made = await make(ticket)
        except Exception as error:  # our own fault in one asset must lose neither its row nor the others
            log.exception("asset step failed: request=%s", ticket.planned.label)
            made = _failed(ticket, f"Unexpected error in assetline: {type(error).__name__}: {error}")
        finally:
            self._live -= 1
            if ticket.slot:
                ticket.slot.free()
        self._finish(ticket, made, done)
        await self._notify()

    def _finish(self, ticket: Ticket, made: Made, done: Callable[[Made], None]) -> None:
        self._open -= 1
        self.made[ticket.number] = made
        done(made)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _failed(ticket: Ticket, reason: str) -> Made:
    return Made(Outcome.of(ticket.planned, "failed", reason, attempts=tuple(ticket.attempts)))


async def _cancel_after(pulls: list[asyncio.Task[None]], watch: asyncio.Task[None]) -> None:
    """End the lane's watch when its slots have nothing left to do."""
    await asyncio.gather(*pulls)
    watch.cancel()
