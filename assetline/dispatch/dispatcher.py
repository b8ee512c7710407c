"""The waiting: lanes with room are handed what they should make next, and lanes come back or are gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from math import inf

from assetline.dispatch.batch import Batch, Done, Make, UnderWay
from assetline.dispatch.events import Kind, LaneEvent
from assetline.dispatch.health import Fault, Health, Place
from assetline.dispatch.lane import Lane, Slot, Work
from assetline.dispatch.options import DispatchOptions
from assetline.dispatch.reasons import why_nobody
from assetline.dispatch.request_queue import RequestQueue
from assetline.dispatch.reviewer import Reviewer
from assetline.dispatch.scheduler import FRESH_S
from assetline.dispatch.ticket import Ticket
from assetline.errors import AssetlineError, BackendUnavailable
from assetline.records import Made, Outcome, PlannedRequest

log = logging.getLogger(__name__)

URGENT_UNSTORED = 2  # interactive pictures beyond `unstored`, so that these do not wait for a campaign's store


class Dispatcher:
    """The queue and its lanes: for one run (`run`), or for as long as it is `serving` batches and single requests.

    A slot that is freed, a ticket that comes back, a lane that goes or returns: each leads to one look at the lanes
    with room. Nothing polls, but a lane that was told to wait is asked again after a while. All methods belong to
    the event loop's thread. `made` holds what has ended of a `run`, by the request's number.
    """

    _background: asyncio.TaskGroup

    def __init__(self, lanes: Sequence[Lane], options: DispatchOptions | None = None) -> None:
        self.made: dict[int, Made] = {}
        self._lanes = list(lanes)
        self._options = options or DispatchOptions()
        self._health = Health(self._options.patience_s, self._told)
        self._queue = RequestQueue(self._lanes, self._options.speeds, self._health)
        for lane in self._lanes:
            if not lane.loads:
                self._options.speeds.loads_nothing(lane.name)
        self._reviewer = Reviewer(self._options.overflow, self._lanes, self._queue, self._options.speeds, self._health)
        self._numbers = count()
        self._live = 0
        self._live_limit = sum(lane.slots for lane in self._lanes) + self._options.unstored
        self._under_way: dict[UnderWay, None] = {}  # in the order in which they came
        self._homes: dict[int, UnderWay] = {}
        self._recoveries: dict[Lane, asyncio.Task[None]] = {}
        self._serves = self._is_paused = False
        self._next_look: asyncio.Handle | None = None
        self._next_due = inf

    # --- what is asked of it

    async def run(
        self,
        requests: Iterable[PlannedRequest],
        make: Make,
        done: Done,
        later: AsyncIterable[Iterable[PlannedRequest]] | None = None,
    ) -> None:
        """Make every request, and those that come `later` until no more do; `done` hears of each as it ends.

        What was submitted meanwhile is ended too. Cancelling it cancels what is under way and returns when the
        backends have been told.
        """
        async with self.serving():
            under_way = UnderWay(Batch(requests, make, done, later))
            self.made = under_way.made
            await self._make_all(under_way)
            while self._under_way:
                await next(iter(self._under_way)).over.wait()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Look after the lanes; on leaving, cancel what is under way and return when the backends have been told.

        Whoever awaits something that is canceled so gets CancelledError.
        """
        async with asyncio.TaskGroup() as self._background:
            self._serves = True
            for lane in self._lanes:
                lane.listen = partial(self._heard, lane)
                if not lane.is_up:
                    self._heard(lane, "down", None, lane.fault)
            reviewing = self._background.create_task(self._reviewer.keep_deciding(lambda: self._is_paused, self._look))
            try:
                yield
            finally:
                reviewing.cancel()
                await self._end()

    async def make_all(self, batch: Batch) -> None:
        """Make a batch beside others, while `serving`. Cancelling it cancels that batch alone.

        Raises RuntimeError when the dispatcher is not serving.
        """
        await self._make_all(UnderWay(batch))

    async def submit(self, planned: PlannedRequest, make: Make) -> Made:
        """Make one interactive request before all rows; cancelling takes it back. A failure is an outcome.

        It waits behind at most what runs on its lane and one more. Raises RuntimeError when not serving.
        """
        made: list[Made] = []
        await self.make_all(Batch([planned], make, made.append, is_urgent=True))
        return made[0]

    def pause(self, campaign: str | None = None) -> None:
        """Hand nothing out, or nothing of `campaign`; what runs is finished. Lanes are watched, and nothing fails."""
        if campaign is None:
            self._is_paused = True
        else:
            self._queue.paused.add(campaign)
        self._queue.changed()
        self._tell(LaneEvent(self._now(), "", "paused", detail=campaign or ""))

    def resume(self, campaign: str | None = None) -> None:
        """Go on. Lanes that are down are asked at once, and have their whole patience again."""
        if campaign is None:
            self._is_paused = False
        else:
            self._queue.paused.discard(campaign)
        self._tell(LaneEvent(self._now(), "", "resumed", detail=campaign or ""))
        for lane, recovery in list(self._recoveries.items()):
            recovery.cancel()
            lane.gone = False
            self._recover(lane)
        self._queue.changed()
        self._look()

    # --- batches

    async def _make_all(self, under_way: UnderWay) -> None:
        if not self._serves:
            raise RuntimeError("the dispatcher is not serving: use run(), or serving()")
        self._under_way[under_way] = None
        try:
            async with under_way.tasks as tasks:
                self._add(under_way, under_way.batch.requests)
                receiving = tasks.create_task(self._receive(under_way))
                try:
                    await under_way.wait()
                finally:
                    receiving.cancel()
                    under_way.is_stopped = True
                    self._queue.drop(under_way.open)
        finally:
            for number in under_way.open:
                del self._homes[number]
            del self._under_way[under_way]
            under_way.over.set()

    async def _receive(self, under_way: UnderWay) -> None:
        if under_way.batch.later is not None:
            async for requests in under_way.batch.later:
                self._add(under_way, requests)
        under_way.close()

    def _add(self, under_way: UnderWay, requests: Iterable[PlannedRequest]) -> None:
        """Queue a ticket for each request; the queue alone holds them, so that those that have ended are let go."""
        tickets = [self._ticket(planned, under_way.batch) for planned in requests]
        under_way.open.update(ticket.number for ticket in tickets)
        self._homes.update((ticket.number, under_way) for ticket in tickets)
        self._end_or_let_go(self._queue.fill(tickets, self._now()))
        self._look()

    def _end_or_let_go(self, homeless: Sequence[Ticket]) -> None:
        """Fresh tickets that nobody can make go where they were kept from, if they may; else they end."""
        going = {ticket for ticket in homeless if ticket.let_go()}
        ending = [ticket for ticket in homeless if ticket not in going]
        for ticket in [*ending, *self._queue.fill(going, self._now())]:
            self._finish(ticket, _failed(ticket, why_nobody(ticket, self._lanes, self._health)))

    def _ticket(self, planned: PlannedRequest, batch: Batch) -> Ticket:
        ticket = Ticket(planned, next(self._numbers), self._options.affinity(planned))
        ticket.campaign, ticket.is_urgent = batch.campaign, batch.is_urgent
        ticket.since = self._now()
        ticket.policy = self._options.policy
        ticket.wait_for_slot = self._wait_for_slot
        ticket.judge = self._judge
        self._reviewer.receive(ticket)
        return ticket

    async def _make(self, ticket: Ticket, home: UnderWay) -> None:
        try:
            made = await home.batch.make(ticket)
        except Exception as error:  # our own fault in one asset must lose neither its row nor the others
            log.exception("asset step failed: request=%s", ticket.planned.label)
            made = _failed(ticket, f"Unexpected error in assetline: {type(error).__name__}: {error}")
        finally:
            self._live -= 1
            if ticket.slot:
                ticket.slot.free("")
                self._settle(ticket, ticket.slot.lane)
            self._look()
        self._finish(ticket, made)

    def _finish(self, ticket: Ticket, made: Made) -> None:
        self._reviewer.ended(ticket)
        self._homes.pop(ticket.number).finish(ticket.number, made)

    # --- handing out

    def _look(self) -> None:
        """Something has changed: hand out what can be, once for all that changes in this turn of the loop."""
        if self._next_look:
            self._next_look.cancel()
        self._next_look = asyncio.get_running_loop().call_soon(self._hand_out)

    def _hand_out(self) -> None:
        """Give each lane with room a request, then a second one, as long as there are any for it."""
        self._next_look = None
        if not self._serves or self._is_paused:
            return
        now = self._now()
        if now >= self._next_due:
            self._queue.changed()  # a pause is over
        asked = self._with_room(self._lanes, now)
        wait_s = inf
        while asked and self._queue:
            given = [lane for lane in asked if self._give(lane, now)]
            wait_s = FRESH_S if len(given) < len(asked) else wait_s
            asked = self._with_room(given, now)
        self._next_due = self._health.next_due(now)
        if self._queue:
            wait_s = min(wait_s, self._next_due - now)
        if wait_s < inf:
            self._next_look = asyncio.get_running_loop().call_later(wait_s, self._hand_out)

    def _with_room(self, lanes: Iterable[Lane], now: float) -> list[Lane]:
        return [lane for lane in lanes if lane.has_room and self._health.is_open(lane.name, "", now)]

    def _give(self, lane: Lane, now: float) -> bool:
        """Give `lane` what it should make next; whether there was anything."""
        ticket = self._take(lane, now)
        if ticket is None:
            return False
        work = lane.take(ticket.planned.label, ticket.affinity, now)
        if self._health.took(lane.name, ticket.affinity, ticket.number):
            self._tell(LaneEvent(now, lane.name, "canary", work.label, work.affinity))
            self._queue.changed()
        slot = Slot(lane, partial(self._freed, lane, work), work)
        if ticket.entered:
            ticket.entered.set_result(slot)
        else:
            ticket.slot = slot
            self._reviewer.took(ticket)
            home = self._homes[ticket.number]
            home.tasks.create_task(self._make(ticket, home))
        return True

    def _take(self, lane: Lane, now: float) -> Ticket | None:
        if self._live < self._live_limit:
            ticket = self._queue.take(lane, now)
        else:
            urgent = self._live < self._live_limit + URGENT_UNSTORED
            ticket = self._queue.take_past_limit(lane, now, urgent=urgent)
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

    async def _wait_for_slot(self, ticket: Ticket) -> Slot:
        """Queue a ticket whose try failed; wait until a lane takes it. Raises BackendUnavailable when none is left."""
        if self._homes[ticket.number].is_stopped:
            raise asyncio.CancelledError  # the run is being stopped, and nothing is handed out any more
        if self._is_lost(ticket) and not (ticket.let_go() and not self._is_lost(ticket)):
            raise BackendUnavailable(why_nobody(ticket, self._lanes, self._health))
        frees = not ticket.holds_picture
        self._live -= frees  # others must not wait for it
        ticket.entered = asyncio.get_running_loop().create_future()
        self._queue.put_back(ticket)
        self._look()
        try:
            return await ticket.entered
        finally:
            self._live += frees
            self._queue.withdraw(ticket)
            ticket.entered = None

    def _is_lost(self, ticket: Ticket) -> bool:
        """Whether no lane is left for it; while all is paused, much can still be mended."""
        return not self._is_paused and self._queue.is_homeless(ticket, self._now())

    # --- lanes

    def _heard(self, lane: Lane, kind: Kind, work: Work | None, detail: str) -> None:
        """Tell what happens on a lane, and see to one that is down."""
        if kind == "waiting":
            waiting = self._queue.waiting_for(lane)
            if not waiting:
                return
            detail = f"{waiting} requests wait for it alone, for {detail} s still: {lane.fault}"
        label, affinity = (work.label, work.affinity) if work else ("", "")
        self._tell(LaneEvent(self._now(), lane.name, kind, label, affinity, detail))
        if kind in {"down", "up", "gone"}:
            self._queue.changed()
        if kind == "down":
            self._recover(lane)
        elif kind == "gone":
            self._end_homeless()

    def _recover(self, lane: Lane) -> None:
        """Ask until the lane answers, as long as there is anybody to ask for."""
        if self._serves:
            self._recoveries[lane] = self._background.create_task(self._bring_back(lane))

    async def _bring_back(self, lane: Lane) -> None:
        await lane.recover(self._options.patience_s)
        self._recoveries.pop(lane, None)
        self._look()

    def _judge(self, ticket: Ticket, error: AssetlineError) -> bool:
        """Note whose fault a failed try was; whether it was the worker's."""
        if ticket.slot is None:
            return False
        lane, work = ticket.slot.lane, ticket.slot.work
        fault = Fault(
            lane.name,
            ticket.affinity,
            ticket.number,
            error,
            began=work is None or work.began is not None,
            suspect=bool(ticket.avoided - {lane}),
        )
        is_the_workers = self._health.fault(fault, self._now())
        if is_the_workers:
            self._end_homeless()
        return is_the_workers

    def _settle(self, ticket: Ticket, lane: Lane) -> None:
        """A ticket is at its end: its picture, if there is one, speaks for the lane that it came from."""
        if ticket.made_at is not None:
            self._health.success(lane.name, ticket.affinity, ticket.number, ticket.made_at)
        self._health.let_go(ticket.number)

    def _told(self, kind: Kind, place: Place, detail: str) -> None:
        """A place was shut, or is open again."""
        lane, affinity = place
        self._tell(LaneEvent(self._now(), lane, kind, "", affinity, detail))
        log.warning("lane %s: lane=%s affinity=%s reason=%s", kind, lane, affinity, detail)
        self._queue.changed()
        self._look()

    def _end_homeless(self) -> None:
        """End the requests that no lane can make any more; while all is paused, much can still be mended."""
        if self._is_paused:
            return
        fresh: list[Ticket] = []
        for ticket in self._queue.take_homeless(self._now()):
            if not ticket.entered:
                fresh.append(ticket)
            elif ticket.let_go() and not self._queue.is_homeless(ticket, self._now()):
                self._queue.put_back(ticket)
            else:
                reason = why_nobody(ticket, self._lanes, self._health)
                ticket.entered.set_exception(BackendUnavailable(reason))
        self._end_or_let_go(fresh)

    async def _end(self) -> None:
        """Stop everything, and wait until it has stopped."""
        self._serves = False
        if self._next_look:
            self._next_look.cancel()
        for recovery in self._recoveries.values():
            recovery.cancel()
        self._recoveries.clear()
        batches = list(self._under_way)
        for under_way in batches:
            under_way.stop()
        for under_way in batches:
            await under_way.over.wait()

    def _tell(self, event: LaneEvent) -> None:
        self._options.listen(event)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _failed(ticket: Ticket, reason: str) -> Made:
    return Made(Outcome.of(ticket.planned, "failed", reason, attempts=tuple(ticket.attempts)))
