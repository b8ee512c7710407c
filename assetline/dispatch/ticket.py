"""One request on its way through the lanes: what the asset step gets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from assetline.dispatch.lane import Lane, Slot
from assetline.dispatch.situation import URGENT
from assetline.errors import (
    AssetlineError,
    BackendError,
    BackendUnavailable,
    JobLost,
    JobStalled,
    LaneClosed,
    LaneUnsuited,
    RequestUnsuited,
)
from assetline.policy import DEFAULT_POLICY, is_detour
from assetline.records import Attempt, PlannedRequest, Render

log = logging.getLogger(__name__)

# Of these no prompt is the cause, whatever it says; after all else a request is not sent where it costs money.
BLAMELESS = (BackendUnavailable, LaneUnsuited, JobLost, JobStalled)


class Ticket:
    """A planned request with its place in the queue, the lane that holds it, and what was tried.

    `wait_for_slot` puts it back into the queue and answers when another lane has pulled it. `judge` hears of each
    failed try, and says whether it was the worker's rather than the request's. `since`: when it came, `made_at`: when
    its picture came, in seconds on the event loop's clock. `campaign` shares the lanes with others of its priority.
    `holds_picture`: the bytes of a picture that cannot be used may still be in memory. `reserve` is the lane that it is
    kept from unless it `goes`: where it would cost money. `is_paid`: it has been paid for there, so nobody else makes
    it as long as that lane may give it.
    """

    def __init__(self, planned: PlannedRequest, number: int, affinity: str) -> None:
        self.planned = planned
        self.number = number
        self.affinity = affinity
        self.campaign = ""
        self.is_urgent = False
        self.attempts: list[Attempt] = []
        self.unsuited: set[Lane] = set()
        self.avoided: set[Lane] = set()
        self.reserve: Lane | None = None
        self.goes = False
        self.is_paid = False
        self.since = 0.0
        self.made_at: float | None = None
        self.holds_picture = False
        self.slot: Slot | None = None
        self.entered: asyncio.Future[Slot] | None = None
        self.policy = DEFAULT_POLICY
        self.wait_for_slot: Callable[[Ticket], Awaitable[Slot]] | None = None
        self.judge: Callable[[Ticket, AssetlineError], bool] = lambda _ticket, _error: False
        self._detours = 0
        self._may_be_to_blame = False

    @property
    def may_go(self) -> bool:
        """Whether there is a lane that it is kept from, which could make it, and no try has failed by its own fault."""
        return self.reserve is not None and self.reserve not in self.unsuited and not self._may_be_to_blame

    @property
    def priority(self) -> float:
        """The row's, or that of interactive requests, which go before all rows."""
        return URGENT if self.is_urgent else self.planned.priority

    @property
    def order(self) -> tuple[float, int]:
        """Higher priority first, then the order of the sheet."""
        return (-self.priority, self.number)

    def suits(self, lane: Lane) -> bool:
        """Whether `lane` may make it at all, when it is there."""
        if lane is self.reserve and not (self.goes or self.is_paid):
            return False
        if self.is_paid and lane is not self.reserve:
            return False
        return lane not in self.unsuited and lane.backend.suits(self.planned)

    def let_go(self) -> bool:
        """Let it go to the lane that it was kept from, since no other is left; whether that is anything new.

        What has been paid for at that lane, which is of no use now, may be made by the others.
        """
        if self.is_paid:
            self.is_paid = False
            return True
        is_new = self.may_go and not self.goes
        self.goes = self.goes or is_new
        return is_new

    async def generate(self) -> Render:
        """Make the picture on the lane that pulled the ticket; the slot is free as soon as the bytes are here.

        Raises BackendError; `again` then says whether there is another try.
        """
        slot = self._held()
        failure: str | None = ""  # taken back, if nothing else is known: no failure of the lane
        try:
            render = await slot.lane.backend.generate(self.planned, len(self.attempts) + 1)
            failure, self.made_at = None, asyncio.get_running_loop().time()
            if slot.work:
                slot.work.waited_s = render.waited_s
        except BackendError as error:
            failure = str(error)
            if isinstance(error, BackendUnavailable):
                slot.lane.fail(failure)
            raise
        finally:
            slot.free(failure)
        self.attempts.append(Attempt(lane=render.lane, job_id=render.job_id, seconds=round(render.seconds, 3)))
        return render

    async def again(self, error: AssetlineError) -> None:
        """Note what failed and wait for another slot. Raises `error` itself where no other try may help."""
        self._note(error)
        spent = len(self.attempts) - self._detours
        if self.wait_for_slot is None or not self.policy.try_again(error, spent, self._detours):
            raise error
        self.slot = await self.wait_for_slot(self)

    def _note(self, error: AssetlineError) -> None:
        lane, self.made_at = self._held().lane, None
        log.info("try failed: request=%s lane=%s error=%s", self.planned.label, lane.name, error)
        if isinstance(error, BackendError):
            self.attempts.append(Attempt(lane=lane.name, job_id=error.job_id, error=str(error), fault=error.fault))
        else:  # the lane gave a picture that cannot be used: its try is the last one noted
            self.attempts[-1] = self.attempts[-1].model_copy(update={"error": str(error), "fault": error.fault})
        self.holds_picture = not isinstance(error, BackendError)
        is_the_workers = self.judge(self, error)
        self._detours += is_the_workers or is_detour(error)
        if lane is self.reserve:
            self.is_paid = self._is_there(error)
        if lane is not self.reserve and not isinstance(error, BLAMELESS):
            self._may_be_to_blame, self.goes = True, False
        if not isinstance(error, LaneUnsuited) or isinstance(error, LaneClosed):
            self.avoided.add(lane)
            return
        self.unsuited.add(lane)
        if self.affinity and not isinstance(error, RequestUnsuited):
            lane.lacks.add(self.affinity)

    def _is_there(self, error: AssetlineError) -> bool:
        """Whether what was paid for at the `reserve` can still be had there: the next try follows it, or fetches it."""
        if isinstance(error, BackendUnavailable):
            return self.is_paid or bool(error.job_id)
        return isinstance(error, JobLost) and self.reserve not in self.avoided  # once more, then the others make it

    def _held(self) -> Slot:
        if self.slot is None:
            raise RuntimeError("a ticket generates only after a lane has pulled it")
        return self.slot
