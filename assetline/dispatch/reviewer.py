"""Beside the lanes, where some requests may go to one that costs money: again and again it is decided which may."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import perf_counter

from assetline.dispatch.health import Health
from assetline.dispatch.lane import Lane
from assetline.dispatch.outlook import REVIEW_S, SHARE, Moment, Outlook, OverflowRule, Watch
from assetline.dispatch.request_queue import RequestQueue
from assetline.dispatch.speeds import Speeds
from assetline.dispatch.ticket import Ticket

log = logging.getLogger(__name__)


class Reviewer:
    """Keeps requests from the overflow's lane until the rule, if there is one, lets them go.

    Used by the event loop's thread alone.
    """

    def __init__(
        self, rule: OverflowRule | None, lanes: Sequence[Lane], queue: RequestQueue, speeds: Speeds, health: Health
    ) -> None:
        self._rule = rule
        self._reserve = next((lane for lane in lanes if rule and lane.name == rule.lane), None)
        self._queue = queue
        self._watch = Watch(lanes, self._reserve, speeds, health)
        self._taken: dict[int, Ticket] = {}
        self._news = asyncio.Event()
        self._worked_s = 0.0

    def receive(self, ticket: Ticket) -> None:
        """A request has come: it is kept from the overflow's lane, if that could make it."""
        if self._rule and self._rule.holds(ticket.planned):
            ticket.reserve = self._reserve
            ticket.is_paid = ticket.goes = self._reserve is not None and self._rule.is_paid(ticket.planned)
        self._news.set()

    def took(self, ticket: Ticket) -> None:
        """A lane has taken it."""
        if self._rule:
            self._taken[ticket.number] = ticket

    def ended(self, ticket: Ticket) -> None:
        """It is at its end."""
        self._taken.pop(ticket.number, None)

    async def keep_deciding(self, is_paused: Callable[[], bool], look: Callable[[], None]) -> None:
        """Decide when requests come and every few seconds; `look` hands out what may go then. Until it is canceled."""
        if self._rule is None:
            return
        clock = asyncio.get_running_loop().time
        await self._news.wait()
        seen, pause_s = clock(), REVIEW_S
        while True:
            self._news.clear()
            now = clock()
            self._worked_s += 0.0 if is_paused() else now - seen
            seen = now
            if self._queue and not is_paused():
                began = perf_counter()
                await self._decide(self._rule, now)
                pause_s = max(REVIEW_S, (perf_counter() - began) / SHARE)
                look()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._news.wait()

    async def _decide(self, rule: OverflowRule, now: float) -> None:
        try:
            numbers = await rule.review(self._outlook(rule, now)) if self._watch.is_open(now) else ()
        except Exception:  # our own fault here must not lose the run: nothing new goes
            log.exception("overflow is not decided on")
            return
        self._queue.let_go(frozenset(numbers))

    def _outlook(self, rule: OverflowRule, now: float) -> Outlook:
        at_work = [
            ticket.planned
            for ticket in self._taken.values()
            if ticket.slot and ticket.slot.lane is self._reserve and not ticket.entered
        ]
        moment = Moment(now, self._worked_s, rule.guess_s)
        return self._watch.look(self._queue.lines(), at_work, moment)
