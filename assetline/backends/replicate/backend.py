"""The Replicate lane: what `dispatch` sees of it. The money is in attempts and search, the waiting in follow."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Any

import httpx
from PIL import Image, UnidentifiedImageError

from assetline.backends.replicate.attempts import Attempts, Order
from assetline.backends.replicate.catalog import ReplicateModel, Sent
from assetline.backends.replicate.download import Downloader
from assetline.backends.replicate.failures import Refused, Unanswered, closing, failure, flagged
from assetline.backends.replicate.fields import RATIO_TOLERANCE
from assetline.backends.replicate.follow import Follower, cost_of
from assetline.backends.replicate.gateway import Gateway
from assetline.backends.replicate.limits import Limits
from assetline.backends.replicate.options import LANE, Clock, PaidScope, ReplicateSettings
from assetline.backends.replicate.predictions import Prediction
from assetline.backends.replicate.schema import LiveSchemas
from assetline.backends.replicate.shared import Shared
from assetline.errors import (
    BackendUnavailable,
    JobFailed,
    JobRejected,
    JobTimedOut,
    LaneClosed,
    LedgerUnreachable,
    OptionError,
    PaidJobFailed,
)
from assetline.ledger import Ledger
from assetline.ledger_records import PaidAttempt
from assetline.records import ImageRequest, PlannedRequest, Render

log = logging.getLogger(__name__)

REAL_TIME = Clock()

Equivalent = Callable[[ImageRequest], ImageRequest | None]


def no_equivalent(request: ImageRequest) -> ImageRequest | None:
    """Where nothing overflows: what is meant for another kind of lane is not made here."""
    _ = request
    return None


def no_reference(sha256: str) -> bytes:
    """Where no reference images are at hand. Raises OptionError."""
    raise OptionError(f"There is no reference image {sha256[:12]} here.")


def not_stored(planned: PlannedRequest) -> bytes | None:
    """Where nobody else stores pictures."""
    _ = planned
    return None


@dataclass(frozen=True)
class Job:
    """A request with the model that makes it here. `wanted` is the request itself, or its equivalent."""

    planned: PlannedRequest
    wanted: ImageRequest
    model: ReplicateModel
    sent: Sent


@dataclass(frozen=True)
class Result:
    """A prediction that has a picture, the attempt that pays for it, and what is to be told about that.

    `data`: the picture, where it is at hand and need not be downloaded.
    """

    paid: PaidAttempt
    prediction: Prediction
    notes: tuple[str, ...] = ()
    data: bytes = b""


class ReplicateBackend:
    """Pictures from Replicate, on the account of `scope`, every cent of them in `ledger`.

    `models` by name. `equivalent` gives the request to make here for one that is meant for another kind of lane (an
    overflow), or None. `references` gives the bytes of a reference image by its sha256, `stored` those of a picture
    that another run has stored meanwhile, or None. `transport` is for tests.
    Raises OptionError for a `base_url` that a token must not be sent to.
    """

    name = LANE

    def __init__(
        self,
        models: Mapping[str, ReplicateModel],
        ledger: Ledger,
        scope: PaidScope,
        settings: ReplicateSettings,
        *,
        references: Callable[[str], bytes] = no_reference,
        stored: Callable[[PlannedRequest], bytes | None] = not_stored,
        equivalent: Equivalent = no_equivalent,
        clock: Clock = REAL_TIME,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        settings.address()
        self._models = {model.ref: model for model in models.values()}
        self._ledger = ledger
        self._scope = scope
        self._settings = settings
        self._references = references
        self._stored = stored
        self._equivalent = equivalent
        self._clock = clock
        self._transport = transport
        self._limits = Limits(settings, clock)
        self._uploading: dict[str, asyncio.Task[str]] = {}
        self._taking_back: set[asyncio.Task[None]] = set()
        self._parts: _Parts | None = None

    @property
    def closed(self) -> str:
        """Why nothing may be paid any more, until a person acts; empty while something may."""
        return self._limits.closed

    def suits(self, planned: PlannedRequest) -> bool:
        """Whether it names a model of the catalogue, or has an equivalent there."""
        wanted = self._wanted(planned.request)
        return wanted is not None and wanted.model in self._models

    async def probe(self) -> None:
        """Ask for the account. Raises BackendUnavailable, LaneClosed."""
        self._limits.check()
        try:
            await self._open().gateway.account()
        except Refused as exc:
            raise LaneClosed(closing(exc) or f"Replicate refuses: {exc}.", lane=LANE) from exc
        except Unanswered as exc:
            raise BackendUnavailable(f"{exc}.", lane=LANE) from exc

    async def generate(self, planned: PlannedRequest, attempt: int) -> Render:  # noqa: ARG002  # the ledger counts
        """The picture of a request: one that was paid for before and is still there, else a new one, paid once.

        Raises BudgetRefused, LaneClosed, LaneUnsuited, JobRejected, JobFailed (the next try is a new attempt with its
        own reservation), JobTimedOut, JobLost, PaidJobFailed, BackendUnavailable, LedgerUnreachable.
        """
        parts, job, came = self._open(), self._job(planned), self._clock.wall()
        order = Order(
            request_key=planned.request.key,
            row=planned.row,
            model=job.model,
            reserved_usd=job.model.reserve(job.wanted),
            prepare=lambda: self._prepare(parts, job),
            stored=partial(self._stored, planned),
        )
        try:
            result = await self._made(parts, order)
            data = result.data or await parts.downloads.fetch(result.prediction.outputs[0], result.prediction.id)
        except asyncio.CancelledError:
            await self._take_back(parts, order)
            raise
        finally:
            self._limits.breaker(job.model.name).leave()
            parts.attempts.live.pop(order.request_key, None)
        waited_s = (result.paid.intent_at - came).total_seconds()  # for the rate that the account is allowed
        is_fetched = waited_s < 0  # it was paid for before: how long that took says nothing of the model
        return replace(_render(job, result, data), waited_s=inf if is_fetched else waited_s)

    async def cancel_open(self) -> int:
        """End every open prediction of this run, also those that an earlier process left; how many there were.

        Raises LedgerUnreachable.
        """
        parts = self._open()
        found = await asyncio.to_thread(self._ledger.open_attempts, run_id=self._scope.run_id)
        mine = [paid for paid in found if paid.provider == LANE and paid.state == "submitted"]
        await asyncio.gather(*(self._cancel(parts, paid) for paid in mine))
        return len(mine)

    async def close(self) -> None:
        """Wait for POSTs that are under way, end what nobody follows any more, close the connections."""
        if self._parts is None:
            return
        parts = self._parts
        try:
            async with asyncio.timeout(self._settings.stale_s + self._settings.cancel_s):
                await parts.attempts.sent()
                if self._taking_back:
                    await asyncio.wait(self._taking_back)
                await self.cancel_open()
        except (TimeoutError, LedgerUnreachable) as exc:
            log.warning("predictions may be left open; the next run follows them: %s", exc)
        finally:
            self._parts = None
            await parts.gateway.close()

    async def _made(self, parts: _Parts, order: Order) -> Result:
        """A prediction with outputs: an earlier one whose picture is still there, else the one that is paid, ended.

        One of another run that was canceled, as when somebody stops that, makes room for one of this run's own.
        """
        paid = await parts.attempts.take(order)
        notes: tuple[str, ...] = ()
        if paid.state == "succeeded":
            before = await parts.follower.look(paid)
            if before and not before.removed:
                return Result(paid, self._with_outputs(before, order.model))
            if before and (data := await asyncio.to_thread(order.stored)):
                return Result(paid, before, data=data)
            log.warning("paid and gone, paid again: attempt=%d prediction=%s", paid.id, paid.prediction_id)
            notes = (f"It was paid for before ({paid.cost_usd:.4f} USD, {paid.prediction_id}); that picture is gone.",)
            paid = await parts.attempts.take(order, gone=paid)
        prediction = await parts.follower.end_of(paid, order.model)
        parts.attempts.live.pop(order.request_key, None)
        if prediction.ending == "canceled" and paid.run_id != self._scope.run_id:
            log.info("ended by another run, or for it: row=%s prediction=%s", order.row, prediction.id)
            return await self._made(parts, order)
        if prediction.removed and (data := await asyncio.to_thread(order.stored)):
            return Result(paid, prediction, notes, data)
        return Result(paid, self._with_outputs(prediction, order.model), notes)

    def _with_outputs(self, prediction: Prediction, model: ReplicateModel) -> Prediction:
        """The prediction, if it has a picture; else the error that says why not."""
        breaker = self._limits.breaker(model.name)
        error = failure(prediction, model) if prediction.ending == "failed" else None
        if prediction.ending in {"failed", "succeeded"}:
            breaker.note(failed=isinstance(error, JobFailed))
        if error:
            raise error
        if prediction.ending == "aborted":
            words = f"{model.name} at Replicate did not begin within {model.deadline_s} s. Nothing was charged."
            raise JobTimedOut(words, lane=LANE, job_id=prediction.id)
        if prediction.ending != "succeeded":
            words = f"The prediction of {model.name} was canceled at Replicate, by a person or at its deadline."
            raise PaidJobFailed(words, lane=LANE, job_id=prediction.id)
        if prediction.outputs:
            return prediction
        if prediction.removed:
            words = f"The picture of {model.name} was paid for, but Replicate has removed it (it keeps them an hour)."
            raise PaidJobFailed(f"{words} Run again to pay for a new one.", lane=LANE, job_id=prediction.id)
        raise flagged(prediction, model)

    async def _prepare(self, parts: _Parts, job: Job) -> dict[str, Any]:
        """The input, with the reference images handed in, as the live schema has it."""
        images = {role: await self._uploaded(parts, sha256) for role, sha256 in job.wanted.references.items()}
        return await parts.schemas.checked(job.model, self._sent(job.wanted, job.model, images).input)

    async def _uploaded(self, parts: _Parts, sha256: str) -> str:
        """The URL of a reference image, handed in once for all that use it."""
        if sha256 not in self._uploading:
            self._uploading[sha256] = asyncio.create_task(self._upload(parts, sha256))
        try:
            return await asyncio.shield(self._uploading[sha256])
        except Refused as exc:
            self._limits.check()
            raise JobRejected(f"Replicate does not take the reference image: {exc}.", lane=LANE) from exc
        except Unanswered as exc:
            self._uploading.pop(sha256, None)
            raise BackendUnavailable(f"{exc}.", lane=LANE) from exc

    async def _upload(self, parts: _Parts, sha256: str) -> str:
        return await parts.gateway.upload(sha256[:16], await asyncio.to_thread(self._references, sha256))

    def _wanted(self, request: ImageRequest) -> ImageRequest | None:
        return request if request.model in self._models else self._equivalent(request)

    def _job(self, planned: PlannedRequest) -> Job:
        wanted = self._wanted(planned.request)
        model = self._models.get(wanted.model or "") if wanted else None
        if wanted is None or model is None:
            raise JobRejected(f"No model of the catalogue makes {planned.label}.", lane=LANE)
        return Job(planned, wanted, model, self._sent(wanted, model, dict.fromkeys(wanted.references, "")))

    def _sent(self, request: ImageRequest, model: ReplicateModel, images: Mapping[str, str]) -> Sent:
        try:
            return model.to_input(request, images, strict=self._settings.strict_sizes)
        except ValueError as exc:
            raise JobRejected(str(exc), lane=LANE) from exc

    async def _take_back(self, parts: _Parts, order: Order) -> None:
        """After a cancel: in a task of its own, so that a second cancel ends this wait alone.

        What another run has sent is left to that: somebody may be waiting for it.
        """
        paid = parts.attempts.live.get(order.request_key)
        if paid and paid.run_id == self._scope.run_id:
            task = asyncio.create_task(self._cancel(parts, paid))
            self._taking_back.add(task)
            task.add_done_callback(self._taking_back.discard)
            await asyncio.wait({task})

    async def _cancel(self, parts: _Parts, paid: PaidAttempt) -> None:
        """End a prediction and settle it, within the time for that."""
        model = next((one for one in self._models.values() if one.model == paid.model), None)
        if model is None or paid.state != "submitted":
            return
        try:
            async with asyncio.timeout(self._settings.cancel_s):
                await parts.follower.take_back(paid, model)
        except TimeoutError:
            log.warning("not taken back in time; the next run follows it: prediction=%s", paid.prediction_id)

    def _open(self) -> _Parts:
        """The parts with connections, made on first use: they belong to the loop that runs then."""
        if self._parts is None:
            gateway = Gateway(self._settings, self._limits, self._clock, self._transport)
            shared = Shared(self._ledger, gateway, self._limits, self._settings, self._clock)
            self._parts = _Parts(
                gateway,
                LiveSchemas(gateway, self._clock),
                Attempts(shared, self._scope),
                Follower(shared),
                Downloader(self._settings, gateway.address, gateway.connections, self._clock),
            )
        return self._parts


@dataclass(frozen=True)
class _Parts:
    gateway: Gateway
    schemas: LiveSchemas
    attempts: Attempts
    follower: Follower
    downloads: Downloader


def _render(job: Job, result: Result, data: bytes) -> Render:
    prediction = result.prediction
    size, told = _size(data, job)
    more = len(prediction.outputs) - 1
    surplus = (f"{more} more came, and were paid for; the first was taken.",) if more > 0 else ()
    return Render(
        data,
        job.planned.request.seed if job.sent.seed is None else job.sent.seed,
        LANE,
        prediction.id,
        prediction.worked_s or 0.0,
        cost_usd=cost_of(prediction, job.model),
        graph={"replicate": _facts(job, result)},
        notes=(*job.sent.notes, *result.notes, *surplus, *told),
        size=size,
    )


def _facts(job: Job, result: Result) -> dict[str, Any]:
    """For the sidecar: what was asked for, what was sent, what it cost and by which table."""
    price, prediction = job.model.price, result.prediction
    return {
        "model": job.model.model,
        "version": prediction.version or job.model.version,
        "prediction": prediction.id,
        "requested": job.wanted.model_dump(mode="json", exclude_defaults=True),
        "input": result.paid.input,
        "attempt": result.paid.number,
        "times": prediction.times,
        "predict_time": prediction.worked_s,
        "reserved_usd": result.paid.reserved_usd,
        "price": {"usd": price.usd, "per": price.per, "source": price.source, "date": price.date.isoformat()},
    }


def _size(data: bytes, job: Job) -> tuple[tuple[int, int] | None, tuple[str, ...]]:
    """What the model made for a size that it cannot make; None where it is what was asked for, or no answer to it."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            made = picture.size
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        return None, ()  # the decode of the asset step says what is wrong with it
    asked = job.planned.request
    if made == (asked.width, asked.height) or not (made == job.sent.size or _is_of_the_ratio(made, job)):
        return None, ()
    return made, (f"{asked.width}x{asked.height} was asked for; the model made {made[0]}x{made[1]}.",)


def _is_of_the_ratio(made: tuple[int, int], job: Job) -> bool:
    """Whether a picture is what a model that takes ratios alone may make: that shape, at about that size."""
    width, height = job.sent.size
    shape = made[0] / made[1] / (width / height)
    area = made[0] * made[1] / (width * height)
    return job.model.size.form == "ratio" and abs(shape - 1) <= 2 * RATIO_TOLERANCE and 0.5 <= area <= 2
