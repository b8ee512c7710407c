"""Paying at most once: each step is in the ledger before the next is taken, and what is not known is looked up.

The API has no idempotency key, so: intent with its reservation, `submitting` on the disk, one POST, the id on the disk.
A POST whose fate is unknown is searched for among the account's predictions, by model and exact input.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from assetline.backends.replicate.catalog import ReplicateModel
from assetline.backends.replicate.failures import Refused, Throttled, Unanswered, refusal
from assetline.backends.replicate.gateway import AnswerLost, NotSent
from assetline.backends.replicate.options import LANE, PaidScope
from assetline.backends.replicate.search import Search
from assetline.backends.replicate.shared import Shared
from assetline.errors import AttemptOpen, BackendUnavailable, LedgerUnreachable, PaidJobFailed, PredictionTaken
from assetline.ledger import IllegalStep, Intent
from assetline.ledger_records import PaidAttempt

log = logging.getLogger(__name__)

INTENT_STALE_S = 15.0  # between the intent and `submitting` there is nothing to wait for
LOOK_AGAIN_S = 1.0  # at an attempt that another process is busy with
ID_PAUSES_S = (0.2, 1.0, 5.0, 15.0)  # before the id of what was paid for is written once more, if the ledger fails


@dataclass(frozen=True)
class Order:
    """What is to be paid. `prepare` gives the input, checked; it is called only where something will be sent. `stored`
    gives the picture that another run has stored meanwhile; it is called only where it would be paid for again.
    """

    request_key: str
    row: str
    model: ReplicateModel
    reserved_usd: float
    prepare: Callable[[], Awaitable[dict[str, Any]]]
    stored: Callable[[], bytes | None]


class Attempts:
    """The paid attempts of one run. `live` are those that were submitted or taken up here, by request key."""

    def __init__(self, shared: Shared, scope: PaidScope) -> None:
        self.live: dict[str, PaidAttempt] = {}
        self._ledger = shared.ledger
        self._gateway = shared.gateway
        self._limits = shared.limits
        self._settings = shared.settings
        self._clock = shared.clock
        self._scope = scope
        self._search = Search(shared)
        self._few_at_once = asyncio.Semaphore(shared.settings.creates_at_once)
        self._sending: set[asyncio.Task[PaidAttempt | None]] = set()

    async def take(self, order: Order, *, gone: PaidAttempt | None = None) -> PaidAttempt:
        """The attempt to follow (`submitted`) or to fetch from (`succeeded`): an earlier one, else a new one.

        `gone`: one whose picture is gone, so that it does not count. Raises BudgetRefused, LaneClosed,
        LaneUnsuited, JobRejected, PaidJobFailed, BackendUnavailable, LedgerUnreachable.
        """
        while True:
            newest = await asyncio.to_thread(self._ledger.attempt, order.request_key, LANE)
            if newest and newest.is_open:
                newest = await self._recover(newest)
            is_gone = bool(newest and gone and newest.id == gone.id)
            if newest and (newest.state == "submitted" or (newest.state == "succeeded" and not is_gone)):
                self.live[order.request_key] = newest
                return newest
            if paid := await self._pay(order, newest.number if newest else 0):
                return paid

    async def sent(self) -> None:
        """Wait until what is under way has its answer and is written down."""
        if self._sending:
            await asyncio.wait(self._sending)

    async def _pay(self, order: Order, after: int) -> PaidAttempt | None:
        """A new attempt after that number; None where it must be looked at again: throttled, lost, another was quicker.

        Its turn may come late: by then another process may have paid for the picture, and have it.
        """
        self._limits.check()
        sent = await order.prepare()
        breaker = self._limits.breaker(order.model.name)
        is_try = await breaker.admit()
        async with self._few_at_once:
            await self._limits.creates.take(self._limits.check)
            paid = await self._to_its_end(self._send(order, sent, after))
        if is_try and paid is None:
            breaker.leave()  # else it would wait for itself when it comes again
        return paid

    async def _to_its_end(self, work: Coroutine[None, None, PaidAttempt | None]) -> PaidAttempt | None:
        """Between the reservation and the id on the disk nothing is cut off, canceled or not."""
        task = asyncio.create_task(work)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task})
            if not task.cancelled() and (error := task.exception()):
                log.info("while canceling: %s", error)
            raise

    async def _send(self, order: Order, sent: dict[str, Any], after: int) -> PaidAttempt | None:
        intent = self._intent(order, sent)
        try:
            paid = await asyncio.to_thread(self._ledger.reserve, intent, self._scope.caps, after=after)
        except (AttemptOpen, IllegalStep) as exc:
            log.info("another process was quicker: row=%s %s", order.row, exc)
            return None
        try:
            await asyncio.to_thread(self._ledger.submitting, paid.id)
        except IllegalStep as exc:  # it came so late that another process has given it up
            log.info("attempt moved on: attempt=%d %s", paid.id, exc)
            return None
        try:
            prediction = await self._gateway.create(order.model, sent)
        except NotSent as exc:
            await self._write(self._ledger.never_sent, paid, str(exc))
            raise BackendUnavailable(f"{exc}.", lane=LANE) from exc
        except Throttled as exc:
            await self._write(self._ledger.refused, paid, str(exc))
            return None
        except Refused as exc:
            await self._write(self._ledger.refused, paid, str(exc))
            raise refusal(exc, order.model) from exc
        except AnswerLost as exc:
            log.warning("outcome of a create unknown: attempt=%d row=%s reason=%s", paid.id, paid.row, exc)
            await self._write(self._ledger.unknown, paid, str(exc))
            return None
        return await self._accepted(paid, prediction.id)

    async def _accepted(self, paid: PaidAttempt, prediction_id: str) -> PaidAttempt | None:
        """Write down the id before anything else."""
        try:
            await self._write_id(paid, prediction_id)
        except PredictionTaken:  # one of the same input took it for its own; among several each has one
            await self._write(self._ledger.unknown, paid, f"prediction {prediction_id} was taken by another")
            return None
        except IllegalStep as exc:
            log.info("attempt moved on: attempt=%d %s", paid.id, exc)
            await self._leave(prediction_id)
            return None
        submitted = replace(paid, state="submitted", prediction_id=prediction_id)
        self.live[paid.request_key] = submitted
        return submitted

    async def _leave(self, prediction_id: str) -> None:
        """What was accepted here is decided already, since this process stood still so long (a closed laptop): others
        follow it, or it was taken for never sent. Then nobody would fetch it, and it is ended.
        """
        if await asyncio.to_thread(self._ledger.owned, [prediction_id]):
            return
        log.warning("accepted after it was given up, ended: prediction=%s", prediction_id)
        with suppress(Refused, Unanswered):
            await self._gateway.cancel(prediction_id)

    async def _write(self, step: Callable[[int, str], None], paid: PaidAttempt, reason: str) -> None:
        try:
            await asyncio.to_thread(step, paid.id, reason)
        except IllegalStep as exc:  # another process has found out meanwhile
            log.info("attempt moved on: attempt=%d %s", paid.id, exc)

    async def _write_id(self, paid: PaidAttempt, prediction_id: str) -> None:
        for pause_s in ID_PAUSES_S:
            try:
                return await asyncio.to_thread(self._ledger.submitted, paid.id, prediction_id)
            except LedgerUnreachable as exc:
                log.warning("id not written yet: attempt=%d prediction=%s error=%s", paid.id, prediction_id, exc)
                await self._clock.sleep(pause_s)
        return await asyncio.to_thread(self._ledger.submitted, paid.id, prediction_id)

    def _intent(self, order: Order, sent: dict[str, Any]) -> Intent:
        return Intent(
            request_key=order.request_key,
            campaign=self._scope.campaign,
            run_id=self._scope.run_id,
            row=order.row,
            provider=LANE,
            model=order.model.model,
            version=order.model.version,
            input=sent,
            reserved_usd=order.reserved_usd,
        )

    async def _recover(self, paid: PaidAttempt) -> PaidAttempt | None:
        """An open attempt, brought to where it is known what became of it. Raises PaidJobFailed: a person must look."""
        state, since = paid.state, self._clock.now()
        while paid.is_open and paid.state != "submitted":
            if paid.state == "held":
                raise PaidJobFailed(
                    f"Nobody can tell whether this picture was paid for on {paid.intent_at:%Y-%m-%d %H:%M} UTC "
                    f"({paid.reason}). `assetline costs` shows attempt {paid.id}; nothing is paid until it is decided.",
                    lane=LANE,
                )
            if paid.state == "unknown":
                await self._search.settle(paid, ours=paid.run_id == self._scope.run_id)
            else:
                await self._outlast(paid, self._clock.now() - since)
            again = await asyncio.to_thread(self._ledger.get, paid.id)
            if again is None:
                return None
            paid = again
            if paid.state != state:
                state, since = paid.state, self._clock.now()
        return paid

    async def _outlast(self, paid: PaidAttempt, seen_s: float) -> None:
        """An attempt that somebody is busy with, or was when he died: not touched before he must have ended.

        It is as old as its date says, or the `seen_s` that it has been looked at here: his clock may be ahead.
        """
        begun = paid.state == "submitting"
        age = max((self._clock.wall() - paid.state_at).total_seconds(), seen_s)
        if age < (self._settings.stale_s if begun else INTENT_STALE_S):
            await self._clock.sleep(LOOK_AGAIN_S)
            return
        step = self._ledger.unknown if begun else self._ledger.never_sent
        reason = "the process that sent it is gone" if begun else "the process that meant to send it is gone"
        await self._write(step, paid, reason)
