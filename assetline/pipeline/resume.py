"""What a killed run left on the lanes: found before the fan-out, and followed beside it instead of being made again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence

from assetline.backends import STATES, Adopter, State
from assetline.dispatch import Lane, Ticket
from assetline.dispatch.lane import Slot
from assetline.errors import BackendError
from assetline.pipeline.asset import Make
from assetline.records import Made, PlannedRequest

log = logging.getLogger(__name__)

Left = list[tuple[PlannedRequest, Lane]]


async def find_left(lanes: Sequence[Lane], waiting: Sequence[PlannedRequest]) -> Left:
    """The requests of `waiting` that a lane already makes for a run that is no more, each with that lane.

    Where two lanes make the same request, the one that is further keeps it and the other takes it back.
    """
    answers = await asyncio.gather(*(_ask(lane, waiting) for lane in lanes))
    ranked = sorted(
        ((STATES.index(state), number, key) for number, found in enumerate(answers) for key, state in found.items()),
    )
    homes: dict[str, Lane] = {}
    for _, number, key in ranked:
        backend = lanes[number].backend
        if homes.setdefault(key, lanes[number]) is not lanes[number] and isinstance(backend, Adopter):
            await backend.disown(key)
    return [(planned, homes[planned.request.key]) for planned in waiting if planned.request.key in homes]


async def _ask(lane: Lane, waiting: Sequence[PlannedRequest]) -> dict[str, State]:
    if not isinstance(lane.backend, Adopter) or not lane.is_up:
        return {}
    try:
        return await lane.backend.adopt(waiting)
    except BackendError as error:  # it costs at most what it makes again
        log.warning("not asked what is left there: lane=%s reason=%s", lane.name, error)
        return {}


class Resumption:
    """Follows what is `left`; it has slots of its lanes meanwhile. What comes to nothing goes the way of the rest."""

    def __init__(self, left: Left, affinity: Callable[[PlannedRequest], str]) -> None:
        self._left = left
        self._affinity = affinity
        self._slots_taken = asyncio.Event()
        self._news: asyncio.Queue[list[PlannedRequest]] = asyncio.Queue()
        self._open = len(left)

    async def rest_of(self, waiting: Sequence[PlannedRequest]) -> AsyncIterator[list[PlannedRequest]]:
        """What is left nowhere; then, as it turns out, what has to be made again. An empty list: a slot is free."""
        await self._slots_taken.wait()
        keys = {planned.request.key for planned, _ in self._left}
        yield [planned for planned in waiting if planned.request.key not in keys]
        while self._open or not self._news.empty():
            yield await self._news.get()

    async def follow(self, step: Make, done: Callable[[Made], None]) -> None:
        """Take the slots, and bring each picture home by the asset step; `done` hears of each that came to one."""
        gates = {lane: asyncio.Semaphore(lane.slots) for _, lane in self._left}
        tickets = [(self._ticket(planned, lane), gates[lane]) for planned, lane in self._left]
        self._slots_taken.set()
        async with asyncio.TaskGroup() as group:
            for ticket, gate in tickets:
                group.create_task(self._bring_home(ticket, gate, step, done))

    def _ticket(self, planned: PlannedRequest, lane: Lane) -> Ticket:
        """A ticket for this lane alone: it has no way back into the queue."""
        clock = asyncio.get_running_loop().time
        ticket = Ticket(planned, 0, self._affinity(planned))
        work = lane.take(planned.label, ticket.affinity, clock())

        def on_free(failure: str | None) -> None:
            lane.drop(work, clock(), failure)
            self._news.put_nowait([])

        ticket.slot = Slot(lane, on_free)
        return ticket

    async def _bring_home(
        self, ticket: Ticket, gate: asyncio.Semaphore, step: Make, done: Callable[[Made], None]
    ) -> None:
        made = None
        try:
            async with gate:
                made = await step(ticket)
        except Exception:  # our own fault in one asset must lose neither its row nor the others
            log.exception("asset step failed: request=%s", ticket.planned.label)
        finally:
            if ticket.slot:
                ticket.slot.free("")
        self._open -= 1
        if made and made.outcome.status != "failed":
            done(made)
            self._news.put_nowait([])
        else:
            self._news.put_nowait([ticket.planned])
