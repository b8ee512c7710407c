"""A prediction from its id to its end, and into the books: polls, the deadline, cancelling, what it has cost."""

from __future__ import annotations

import asyncio
import logging

from assetline.backends.replicate.catalog import ReplicateModel
from assetline.backends.replicate.failures import NOT_FOUND, Refused, Throttled, Unanswered, closing
from assetline.backends.replicate.options import LANE
from assetline.backends.replicate.predictions import Prediction
from assetline.backends.replicate.shared import Shared
from assetline.errors import BackendUnavailable, JobTimedOut, LaneClosed, PaidJobFailed
from assetline.ledger import IllegalStep
from assetline.ledger.money import Settlement
from assetline.ledger_records import PaidAttempt

log = logging.getLogger(__name__)

SLOWER_BY = 1.5
LATE_S = 60.0  # after its deadline a prediction is cancelled by us
CANCEL_PAUSES_S = (0.3, 0.7, 1.5, 3.0)


class Follower:
    """Follows predictions; hundreds at once, each a coroutine that sleeps."""

    def __init__(self, shared: Shared) -> None:
        self._ledger = shared.ledger
        self._gateway = shared.gateway
        self._settings = shared.settings
        self._clock = shared.clock

    async def end_of(self, paid: PaidAttempt, model: ReplicateModel) -> Prediction:
        """The prediction, ended and settled. Raises PaidJobFailed (the API has none of that id any more),
        BackendUnavailable (it stays open, and a next try follows it again), JobTimedOut, LaneClosed.
        """
        deadline = self._clock.now() + model.deadline_s + LATE_S
        pause_s = self._settings.poll_first_s
        silent_since: float | None = None
        while self._clock.now() < deadline:
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s * SLOWER_BY, self._settings.poll_longest_s)
            try:
                prediction = await self._get(paid, model)
            except Throttled:
                continue
            except Unanswered as exc:
                silent_since = self._clock.now() if silent_since is None else silent_since
                if self._clock.now() - silent_since >= self._settings.patience_s:
                    raise BackendUnavailable(f"{exc}.", lane=LANE, job_id=paid.prediction_id) from exc
                continue
            silent_since = None
            if prediction.ending:
                await self.settle(paid, model, prediction)
                return prediction
        return await self._after_deadline(paid, model)

    async def take_back(self, paid: PaidAttempt, model: ReplicateModel) -> Prediction | None:
        """Cancel it, and settle what came of that; it may have succeeded meanwhile. None where nobody answers."""
        for pause_s in CANCEL_PAUSES_S:
            try:
                await self._gateway.cancel(paid.prediction_id)
                prediction = await self._gateway.get(paid.prediction_id)
            except (Refused, Unanswered) as exc:
                log.info("not cancelled yet: prediction=%s reason=%s", paid.prediction_id, exc)
            else:
                if prediction.ending:
                    await self.settle(paid, model, prediction)
                    return prediction
            await self._clock.sleep(pause_s)
        log.warning("not taken back, the next run follows it: prediction=%s", paid.prediction_id)
        return None

    async def look(self, paid: PaidAttempt) -> Prediction | None:
        """The prediction as it is now; None where there is none any more. Raises BackendUnavailable, LaneClosed."""
        for _ in range(len(CANCEL_PAUSES_S)):
            try:
                return await self._gateway.get(paid.prediction_id)
            except Refused as exc:
                self._not_ours_alone(exc)
                return None
            except Throttled:
                continue
            except Unanswered as exc:
                reason = exc
                await self._clock.sleep(self._settings.poll_longest_s)
        raise BackendUnavailable(f"{reason}.", lane=LANE, job_id=paid.prediction_id)

    async def settle(self, paid: PaidAttempt, model: ReplicateModel, prediction: Prediction) -> float:
        """Write down that it ended and what it cost (US dollars), which is also given back."""
        if prediction.ending is None:
            raise ValueError(f"prediction {prediction.id} has not ended")
        lost = prediction.ending == "succeeded" and prediction.removed and not prediction.outputs
        state: Settlement = "lost" if lost else prediction.ending
        cost_usd = cost_of(prediction, model)
        if cost_usd > paid.reserved_usd:
            log.warning("dearer than reserved: prediction=%s usd=%.6f", prediction.id, cost_usd)
        await self._write(paid, state, cost_usd, prediction.error)
        return cost_usd

    async def _write(self, paid: PaidAttempt, state: Settlement, cost_usd: float, reason: str) -> None:
        try:
            await asyncio.to_thread(self._ledger.settle, paid.id, state, cost_usd, reason)
        except IllegalStep as exc:  # another process that follows the same prediction was first
            log.info("settled already: attempt=%d %s", paid.id, exc)

    async def _get(self, paid: PaidAttempt, model: ReplicateModel) -> Prediction:
        try:
            return await self._gateway.get(paid.prediction_id)
        except Refused as exc:
            self._not_ours_alone(exc)
            await self._write(paid, "lost", paid.reserved_usd, "Replicate does not know it any more")
            raise PaidJobFailed(
                f"Replicate does not know prediction {paid.prediction_id} of {model.name} any more. It was counted as "
                "paid in full; run again to pay for a new one.",
                lane=LANE,
                job_id=paid.prediction_id,
            ) from exc

    def _not_ours_alone(self, refused: Refused) -> None:
        """Raises for refusals that do not say that the prediction is gone."""
        if reason := closing(refused):
            raise LaneClosed(reason, lane=LANE) from refused
        if refused.status != NOT_FOUND:
            raise BackendUnavailable(f"Replicate does not show a prediction: {refused}.", lane=LANE) from refused

    async def _after_deadline(self, paid: PaidAttempt, model: ReplicateModel) -> Prediction:
        if prediction := await self.take_back(paid, model):
            return prediction
        raise JobTimedOut(
            f"{model.name} at Replicate did not end within {model.deadline_s} s and does not let itself be cancelled.",
            lane=LANE,
            job_id=paid.prediction_id,
        )


def cost_of(prediction: Prediction, model: ReplicateModel) -> float:
    """What an ended prediction has cost, in US dollars; of outputs that are gone, one is counted."""
    if prediction.ending is None:
        return 0.0
    pictures = len(prediction.outputs) or (1 if prediction.removed else 0)
    return model.price.charge(
        prediction.ending,
        pictures=pictures,
        worked_s=prediction.worked_s,
        began=prediction.began,
        deadline_s=model.deadline_s,
    )
