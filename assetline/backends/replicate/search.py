"""What became of a create without an answer: searched for among the account's predictions, by model and exact input."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum, auto

from assetline.backends.replicate.failures import Refused, Unanswered, closing
from assetline.backends.replicate.options import LANE
from assetline.backends.replicate.predictions import Prediction
from assetline.backends.replicate.shared import Shared
from assetline.errors import BackendUnavailable, LaneClosed, PredictionTaken
from assetline.ledger import IllegalStep
from assetline.ledger_records import PaidAttempt

log = logging.getLogger(__name__)

PAUSES_S = (2.0, 8.0, 20.0, 30.0)  # between looks; the last again and again
MARGIN = timedelta(seconds=60)  # before the intent: dates in answers are whole seconds, clocks drift
INPUTS_KEPT = timedelta(minutes=55)  # after an hour inputs are removed, and nothing can be matched
LOOKS = 2


class Look(Enum):
    """What one look through the list shows."""

    FOUND = auto()
    ABSENT = auto()
    UNCLEAR = auto()  # another of the same input is under way and could be the one in the list


class Search:
    """Finds out about attempts of unknown outcome, one look at a time, so that two never take the same prediction."""

    def __init__(self, shared: Shared) -> None:
        self._ledger = shared.ledger
        self._gateway = shared.gateway
        self._settings = shared.settings
        self._clock = shared.clock
        self._unclear_s = shared.settings.stale_s + shared.settings.patience_s + shared.settings.reconcile_s
        self._one_at_a_time = asyncio.Lock()

    async def settle(self, paid: PaidAttempt, *, ours: bool) -> None:
        """Write into the ledger what became of `paid`: submitted, never sent, or held for a person.

        Absent twice over a minute is never sent. What is not `ours` may have been dated by a clock that is wrong, so
        that it is looked for among all whose inputs are still kept. Raises BackendUnavailable while nobody answers,
        LaneClosed.
        """
        if self._clock.wall() - paid.intent_at > INPUTS_KEPT:
            await self._write(
                paid, self._ledger.hold, "its create got no answer, and after an hour nobody can look it up"
            )
            return
        since = paid.intent_at - MARGIN
        if not ours:
            since = min(since, self._clock.wall() - INPUTS_KEPT)
        absent_since, absent, began, tries = 0.0, 0, self._clock.now(), 0
        while True:
            look = await self._look(paid, since, began)
            now = self._clock.now()
            if look is Look.FOUND:
                return
            if look is Look.ABSENT:
                absent_since, absent = (absent_since if absent else now), absent + 1
                if absent >= LOOKS and now - absent_since >= self._settings.reconcile_s:
                    await self._write(paid, self._ledger.never_sent, "it is not in the account's list: not arrived")
                    return
            elif now - began > self._unclear_s:
                await self._write(paid, self._ledger.hold, "it cannot be told from others in the account's list")
                return
            await self._clock.sleep(PAUSES_S[min(tries, len(PAUSES_S) - 1)])
            tries += 1

    async def _look(self, paid: PaidAttempt, since: datetime, began: float) -> Look:
        try:
            async with self._one_at_a_time:
                return await self._look_through(paid, since)
        except Refused as exc:
            if reason := closing(exc):
                raise LaneClosed(reason, lane=LANE) from exc
            raise BackendUnavailable(f"Replicate does not list its predictions: {exc}.", lane=LANE) from exc
        except Unanswered as exc:
            if self._clock.now() - began > self._settings.patience_s + self._settings.reconcile_s:
                raise BackendUnavailable(f"{exc}.", lane=LANE) from exc
            return Look.UNCLEAR

    async def _look_through(self, paid: PaidAttempt, since: datetime) -> Look:
        current = await asyncio.to_thread(self._ledger.get, paid.id)
        if current is None or current.state != "unknown":
            return Look.FOUND  # another process has found out
        listed = [one async for one in self._gateway.created_since(since)]
        same = [one for one in reversed(listed) if _is_of(one, paid)]
        owned = await asyncio.to_thread(self._ledger.owned, [one.id for one in same])
        free = [one for one in same if one.id not in owned]
        rivals = await asyncio.to_thread(self._rivals, paid)
        if len(free) > rivals:
            return await self._claim(paid, free)
        if any(one.removed and not one.input and one.model == paid.model for one in listed if one.id not in owned):
            return Look.UNCLEAR
        return Look.UNCLEAR if rivals else Look.ABSENT

    async def _claim(self, paid: PaidAttempt, free: list[Prediction]) -> Look:
        for prediction in free:
            try:
                await asyncio.to_thread(self._ledger.submitted, paid.id, prediction.id)
            except PredictionTaken:
                continue
            except IllegalStep:
                return Look.UNCLEAR  # another process was here; the next look sees what it wrote
            log.info("found after a lost answer: attempt=%d prediction=%s", paid.id, prediction.id)
            return Look.FOUND
        return Look.UNCLEAR

    def _rivals(self, paid: PaidAttempt) -> int:
        """How many creates of the same input are under way now: one that is listed may be theirs."""
        oldest = self._clock.wall() - timedelta(seconds=self._settings.stale_s)
        others = (
            other for other in self._ledger.open_attempts() if other.id != paid.id and other.state == "submitting"
        )
        return sum(
            other.model == paid.model and other.input == paid.input and other.state_at > oldest for other in others
        )

    async def _write(self, paid: PaidAttempt, step: Callable[[int, str], None], reason: str) -> None:
        try:
            await asyncio.to_thread(step, paid.id, reason)
        except IllegalStep as exc:
            log.info("attempt moved on: attempt=%d %s", paid.id, exc)


def _is_of(prediction: Prediction, paid: PaidAttempt) -> bool:
    """Whether it may be what `paid` created. The API may add inputs of its own to those that were sent."""
    if prediction.model != paid.model or (paid.version and prediction.version != paid.version):
        return False
    sent = prediction.input
    return sent is not None and all(name in sent and sent[name] == value for name, value in paid.input.items())
