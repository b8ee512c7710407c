"""The waiting: lanes with room are handed what they should make next, and lanes come back or are gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from assetline.dispatch.events import Kind, LaneEvent, Listen
from assetline.dispatch.lane import Lane, Slot, Work
from assetline.dispatch.request_queue import RequestQueue
from assetline.dispatch.scheduler import FRESH_S
from assetline.dispatch.speeds import Speeds
from assetline.dispatch.ticket import Ticket
from assetline.errors import BackendUnavailable
from assetline.policy import DEFAULT_POLICY, RetryPolicy
from assetline.records import Made, Outcome, PlannedRequest

log = logging.getLogger(__name__)

Make = Callable[[Ticket], Awaitable[Made]]
Done = Callable[[Made], None]


@dataclass(frozen=True)
class DispatchOptions:
    """How a run treats its lanes.

    `patience_s`: how long a lane may stay away before it counts as gone. `unstored`: pictures that may be checked
    and stored while the slots are busy again (about 6 MB each at 1024 px), which bounds memory. `affinity` names
    what a request wants loaded (checkpoint, LoRA, ControlNet). `speeds`: what is known of the lanes, and is learned
    here. `listen` hears of everything that happens on them.
    """

    policy: RetryPolicy = DEFAULT_POLICY
    patience_s: float = 120.0
    unstored: int = 8
    affinity: Callable[[PlannedRequest], str] = lambda _planned: ""
    speeds: Speeds = field(default_factory=Speeds)
    listen: Listen = lambda _event: None


class Dispatcher:
    """The queue and its lanes, for one run. `made` holds what has ended, by the request's position.

    A slot that is freed, a ticket that comes back, a lane that goes or returns: each leads to one look at the lanes
    with room. Nothing polls, but a lane that was told to wait is asked again after a while.
    """

    _step: Make
    _done: Done

    def __init__(self, lanes: Sequence[Lane], options: DispatchOptions | None = None) -> None:
        self.made: dict[int, Made] = {}
        self._lanes = list(lanes)
        self._options = options or DispatchOptions()
        self._queue = RequestQueue(self._lanes, self._options.speeds)
        self._count = 0
        self._open = 0
        self._live = 0
        self._live_limit = sum(lane.slots for lane in self._lanes) + self._options.unstored
        self._group = asyncio.TaskGroup()
        self._background: list[asyncio.Task[None]] = []
        self._ended = asyncio.Event()
        self._next_look: asyncio.Handle | None = None

    async def run(
        self,
        requests: Iterable[PlannedRequest],
        make: Make,
        done: Done,
        later: AsyncIterable[Iterable[PlannedRequest]] | None = None,
    ) -> None:
        """Make every request, and those that come `later` until no more do; `done` hears of each as it ends.

        Cancelling it cancels what is under way and returns when the backends have been told.
        """
        self._step, self._done = make, done
        async with self._group:
            for lane in self._lanes:
                lane.listen = partial(self._heard, lane)
                if not lane.is_up:
                    self._beside(self._bring_back(lane))
            self._open += 1  # until all that comes later is here
            self._add(requests)
            self._beside(self._receive(later))
            try:
                await self._ended.wait()
            finally:
                self._ended.set()
                for task in self._background:
                    task.cancel()

    async def _receive(self, later: AsyncIterable[Iterable[PlannedRequest]] | None) -> None:
        if later is not None:
            async for requests in later:
                self._add(requests)
        self._close(1)

    def _add(self, requests: Iterable[PlannedRequest]) -> None:
        """Queue a ticket for each request; the queue alone holds them, so that those that have ended are let go."""
        tickets = [self._ticket(number, planned) for number, planned in enumerate(requests, self._count)]
        self._count += len(tickets)
        self._open += len(tickets)
        for ticket in self._queue.fill(tickets):
            self._finish(ticket, _failed(ticket, "No lane of this run can make it."))
        self._look()

    def _ticket(self, number: int, planned: PlannedRequest) -> Ticket:
        ticket = Ticket(planned, number, self._options.affinity(planned))
        ticket.since = self._now()
        ticket.policy = self._options.policy
        ticket.wait_for_slot = self._wait_for_slot
        return ticket

    def _look(self) -> None:
        """Something has changed: hand out what can be, once for all that changes in this turn of the loop."""
        if self._next_look:
            self._next_look.cancel()
        self._next_look = asyncio.get_running_loop().call_soon(self._hand_out)

    def _hand_out(self) -> None:
        """Give each lane with room a request, then a second one, as long as there are any for it."""
        if self._ended.is_set():
            return
        asked = [lane for lane in self._lanes if lane.has_room]
        waits = False
        while asked and self._queue:
            given = [lane for lane in asked if self._give(lane)]
            waits = waits or len(given) < len(asked)
            asked = [lane for lane in given if lane.has_room]
        self._next_look = asyncio.get_running_loop().call_later(FRESH_S, self._hand_out) if waits else None

    def _give(self, lane: Lane) -> bool:
        """Give `lane` what it should make next; whether there was anything."""
        ticket = self._take(lane)
        if ticket is None:
            return False
        work = lane.take(ticket.planned.label, ticket.affinity, self._now())
        slot = Slot(lane, partial(self._freed, lane, work))
        if ticket.entered:
            ticket.entered.set_result(slot)
        else:
            ticket.slot = slot
            self._group.create_task(self._make(ticket))
        return True

    def _take(self, lane: Lane) -> Ticket | None:
        if self._live >= self._live_limit:
            return self._queue.take_returned(lane)
        ticket = self._queue.take(lane, self._now())
        self._live += ticket is not None and ticket.entered is None
        return ticket

    def _freed(self, lane: Lane, work: Work, failure: str | None) -> None:
        """A slot is free: learn from how long it took, and look who may take the next request."""
        seconds = lane.drop(work, self._now(), failure)
        if seconds is not None:
            self._options.speeds.note(lane.name, work.affinity, seconds, loaded=work.loads)
        if failure is None and work.affinity in lane.lacks:  # what it did not have was something else of that request
            lane.lacks.discard(work.affinity)
            self._queue.changed()
        self._look()

    def _heard(self, lane: Lane, kind: Kind, work: Work | None, detail: str) -> None:
        """Tell what happens on a lane, and see to one that is down."""
        label, affinity = (work.label, work.affinity) if work else ("", "")
        self._options.listen(LaneEvent(self._now(), lane.name, kind, label, affinity, detail))
        if kind == "down":
            self._queue.changed()
            self._beside(self._bring_back(lane))

    async def _bring_back(self, lane: Lane) -> None:
        """Wait until the lane answers; if it is gone, end the requests that only it could make."""
        await lane.recover(self._options.patience_s)
        self._queue.changed()
        if lane.gone:
            self._end_homeless()
        self._look()

    def _end_homeless(self) -> None:
        reason = "No lane is left that can make it. " + " ".join(lane.fault for lane in self._lanes if lane.gone)
        for ticket in self._queue.take_homeless():
            if ticket.entered:
                ticket.entered.set_exception(BackendUnavailable(reason))
            else:
                self._finish(ticket, _failed(ticket, reason))

    async def _wait_for_slot(self, ticket: Ticket) -> Slot:
        """Queue a ticket whose try failed; wait until a lane takes it. Raises BackendUnavailable when none is left."""
        if self._ended.is_set():
            raise asyncio.CancelledError  # the run is being stopped, and nothing is handed out any more
        if not any(ticket.suits(lane) for lane in self._lanes):
            raise BackendUnavailable(f"No lane is left that can make it. {ticket.attempts[-1].error}")
        refused = ticket.slot is not None and ticket.slot.lane in ticket.unsuited
        self._live -= refused  # it has no picture yet, and the lane that refused it must not wait for the other one
        ticket.entered = asyncio.get_running_loop().create_future()
        self._queue.put_back(ticket)
        self._look()
        try:
            return await ticket.entered
        finally:
            self._live += refused
            self._queue.withdraw(ticket)
            ticket.entered = None

    async def _make(self, ticket: Ticket) -> None:
        try:
            made = await self._step(ticket)
        except Exception as error:  # our own fault in one asset must lose neither its row nor the others
            log.exception("asset step failed: request=%s", ticket.planned.label)
            made = _failed(ticket, f"Unexpected error in assetline: {type(error).__name__}: {error}")
        finally:
            self._live -= 1
            if ticket.slot:
                ticket.slot.free("")
        self._finish(ticket, made)
        self._look()

    def _finish(self, ticket: Ticket, made: Made) -> None:
        self.made[ticket.number] = made
        self._done(made)
        self._close(1)

    def _close(self, count: int) -> None:
        self._open -= count
        if not self._open:
            self._ended.set()

    def _beside(self, work: Coroutine[None, None, None]) -> None:
        """Do `work` as long as the run lasts."""
        if self._ended.is_set():
            work.close()
        else:
            self._background.append(self._group.create_task(work))

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _failed(ticket: Ticket, reason: str) -> Made:
    return Made(Outcome.of(ticket.planned, "failed", reason, attempts=tuple(ticket.attempts)))
