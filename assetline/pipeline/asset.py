"""The asset step: one request becomes one stored picture with its sidecar, or a failure with its reason.

The original is written first and create-if-absent: of two makers one wins, and the other keeps what the winner
stored. Thumbnails follow, the sidecar last: an asset is whole when its sidecar is there.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from assetline import __version__
from assetline.dispatch import Ticket
from assetline.errors import (
    AssetlineError,
    BackendError,
    BudgetRefused,
    ImageError,
    ObjectExists,
    ObjectMissing,
    StoreError,
)
from assetline.images import inspect
from assetline.pipeline.pool import WorkPool
from assetline.pipeline.renditions import RenditionMaker
from assetline.provenance import DigitalSource, Published, PublishFacts, publish, read_sidecar, sidecar_json
from assetline.records import FPO_MODEL, Asset, Attempt, ImageFormat, Inspection, Made, Outcome, PlannedRequest, Render
from assetline.run_records import Sidecar
from assetline.store import PutOptions, Store, StoredObject
from assetline.store.layout import asset_key, sidecar_key, thumbnail_key

log = logging.getLogger(__name__)

GENERATOR = f"assetline {__version__}"
EXTENSIONS: dict[ImageFormat, str] = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}

Make = Callable[[Ticket], Awaitable[Made]]


@dataclass(frozen=True)
class Bench:
    """Where assets of one run are made: the store, the thread pool, the campaign's and the run's names.

    `delivered`: the files for channels that the store has; None: those that the recipes name.
    """

    store: Store
    pool: WorkPool
    campaign: str
    run_id: str
    delivered: frozenset[str] | None = None


@dataclass(frozen=True)
class Picture:
    """A picture that passed through the one decode, with how it came about: all that storing needs."""

    planned: PlannedRequest
    render: Render
    inspection: Inspection
    attempts: tuple[Attempt, ...]


async def make_asset(ticket: Ticket, bench: Bench) -> Made:
    """Generate, inspect, publish, store. Never raises AssetlineError: a failure is an outcome with its reason."""
    try:
        return await _make(ticket, bench)
    except AssetlineError as error:
        if isinstance(error, BackendError) and error.detail:
            log.info("request failed: request=%s detail=%s", ticket.planned.label, error.detail)
        facts = {"attempts": tuple(ticket.attempts), "refused": isinstance(error, BudgetRefused)}
        return Made(Outcome.of(ticket.planned, "failed", str(error), **facts))


async def _make(ticket: Ticket, bench: Bench) -> Made:
    """Try lanes until one gives a picture that can be decoded; keep it. Raises the last error."""
    while True:
        try:
            render = await ticket.generate()
            return await _to_its_end(_keep(render, ticket, bench))
        except (BackendError, ImageError) as error:
            await ticket.again(error)


async def _keep(render: Render, ticket: Ticket, bench: Bench) -> Made:
    inspection = await bench.pool.compute(inspect, render.data, _expected(render, ticket.planned), hashed=False)
    picture = Picture(ticket.planned, render, inspection, tuple(ticket.attempts))
    return await bench.pool.run(store_picture, picture, bench)


async def _to_its_end(work: Coroutine[None, None, Made]) -> Made:
    """Do `work` to its end, canceled or not: the picture is made, and may have been paid for."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        try:
            made = await task
        except AssetlineError:
            raise asyncio.CancelledError from None  # no other try: the run is being stopped
        if current := asyncio.current_task():
            current.uncancel()
        return made


def store_picture(picture: Picture, bench: Bench) -> Made:
    """Write original, thumbnails, sidecar. Raises StoreError.

    Where the original is already there (another run of the same request was first), that one is kept.
    """
    published = _publish(picture)
    original = asset_key(bench.campaign, picture.planned, EXTENSIONS[picture.inspection.format])
    sha256 = _sha256(published.data)
    options = PutOptions(metadata=_metadata(picture, bench), if_absent=True, sha256=sha256)
    try:
        bench.store.put(original, published.data, options)
    except ObjectExists:
        return keep_stored(original, picture.planned, bench, picture.attempts)
    stored = replace(picture, inspection=replace(picture.inspection, sha256=sha256))
    made, sidecar = _complete(stored, published, original, bench)
    bench.store.put(sidecar_key(original), sidecar_json(sidecar))
    return made


def keep_stored(original: str, planned: PlannedRequest, bench: Bench, attempts: tuple[Attempt, ...] = ()) -> Made:
    """The asset that is already at `original`; completed from its own bytes where its maker was killed half-way.

    Raises StoreError.
    """
    try:
        recipe = bench.store.get(sidecar_key(original)).data
    except ObjectMissing:
        return _adopt(original, planned, bench, attempts)
    try:
        sidecar = read_sidecar(recipe)
    except StoreError as error:
        remedy = "If it is damaged, remove it: the next run writes it again from the picture."
        raise StoreError(f"{sidecar_key(original)}: {error} {remedy}") from error
    if sidecar.request_key != planned.request.key:
        raise _foreign(original, sidecar.request_key)
    return from_sidecar(planned, _with_new_renditions(sidecar, planned, bench), attempts)


def _with_new_renditions(sidecar: Sidecar, planned: PlannedRequest, bench: Bench) -> Sidecar:
    """The sidecar with the files of channels that the row has got since; written again only where there are any."""
    asset = sidecar.asset if sidecar.rejected else _renditions(planned, bench).complete(sidecar.asset)
    if asset == sidecar.asset:
        return sidecar
    completed = sidecar.model_copy(update={"asset": asset})
    bench.store.put(asset.sidecar, sidecar_json(completed))
    return completed


def _renditions(planned: PlannedRequest, bench: Bench) -> RenditionMaker:
    return RenditionMaker(bench.store, bench.campaign, planned, _facts(planned), bench.delivered)


def from_sidecar(planned: PlannedRequest, sidecar: Sidecar, attempts: tuple[Attempt, ...] = ()) -> Made:
    """An asset that an earlier run has made, as this run's outcome."""
    facts = {"asset": sidecar.asset, "attempts": attempts}
    if sidecar.rejected:
        return Made(Outcome.of(planned, "rejected", sidecar.rejected.reason, **facts), sidecar.fingerprint)
    told = f"Made before, on {sidecar.asset.created_at[:10]}; the request is the same."
    reason = " ".join(filter(None, [told, instead(sidecar.asset, planned)]))
    return Made(Outcome.of(planned, "reused", reason, **facts), sidecar.fingerprint)


def instead(asset: Asset, planned: PlannedRequest) -> str:
    """What people are told of a picture that another model made in place of the row's workflow; empty of others."""
    if not asset.made_as:
        return ""
    model = asset.made_as.partition(":")[0]  # the version is in the sidecar
    return f"Made by {model} at Replicate in place of {planned.request.workflow}."


def _adopt(original: str, planned: PlannedRequest, bench: Bench, attempts: tuple[Attempt, ...]) -> Made:
    """Complete an original whose maker was killed before the sidecar: it may have been paid for."""
    found = bench.store.get(original)
    if (owner := found.metadata.get("request-key", planned.request.key)) != planned.request.key:
        raise _foreign(original, owner)
    render = _rendered(found, planned)
    try:
        inspection = inspect(found.data, _expected(render, planned))
    except ImageError as error:
        raise StoreError(f"{original} cannot be used: {error} Remove it: the next run makes it again.") from error
    picture = Picture(planned, render, inspection, attempts)
    published = Published(data=found.data, embedded={}, marks=_publish(picture).marks)
    maker = replace(bench, run_id=found.metadata.get("run-id", bench.run_id))
    made, sidecar = _complete(picture, published, original, maker)
    try:
        bench.store.put(sidecar_key(original), sidecar_json(sidecar), PutOptions(if_absent=True))
    except ObjectExists:  # its maker lives: the sidecar that it wrote meanwhile says more than can be known here
        return keep_stored(original, planned, bench, attempts)
    if made.outcome.status != "stored":
        return made
    reason = "Made by a run that has not finished; completed now."
    return replace(made, outcome=made.outcome.model_copy(update={"status": "reused", "reason": reason}))


def _rendered(found: StoredObject, planned: PlannedRequest) -> Render:
    """The render that became a stored original, from the metadata beside it."""
    facts = found.metadata
    return Render(
        data=found.data,
        seed=planned.request.seed,
        lane=facts.get("lane", ""),
        job_id=facts.get("job-id", ""),
        seconds=float(facts.get("seconds", 0)),
        cost_usd=float(facts.get("cost-usd", 0)),
        notes=("Completed after an interruption: the graph as submitted was not kept.",),
        size=(int(made[0]), int(made[2])) if (made := facts.get("made-size", "").partition("x"))[1] else None,
        made_as=facts.get("made-as", ""),
    )


def _expected(render: Render, planned: PlannedRequest) -> tuple[int, int]:
    """The size in px that the picture must have: as asked for, or what the lane's model makes of that."""
    return render.size or (planned.request.width, planned.request.height)


def _foreign(original: str, owner: str) -> StoreError:
    return StoreError(f"{original} holds the picture of another request ({owner[:12]}); it was left as it is.")


def _complete(picture: Picture, published: Published, original: str, bench: Bench) -> tuple[Made, Sidecar]:
    """Write thumbnails and renditions; give the outcome, and the sidecar that the caller writes: it makes the asset
    whole.
    """
    request_key = picture.planned.request.key
    thumbnails = {str(size): thumbnail_key(bench.campaign, request_key, size) for size in picture.inspection.thumbnails}
    for size, data in picture.inspection.thumbnails.items():
        bench.store.put(thumbnails[str(size)], publish(data, "JPEG", _facts(picture.planned)).data)
    rejected = picture.inspection.rejected
    asset = _asset(picture, original, thumbnails, bench)
    if not rejected:
        asset = _renditions(picture.planned, bench).complete(asset, published.data)
    sidecar = _sidecar(picture, published, asset, bench)
    outcome = Outcome.of(
        picture.planned,
        "rejected" if rejected else "stored",
        rejected.reason if rejected else instead(sidecar.asset, picture.planned),
        asset=sidecar.asset,
        attempts=picture.attempts,
    )
    return Made(outcome, picture.inspection.fingerprint), sidecar


def _publish(picture: Picture) -> Published:
    return publish(picture.render.data, picture.inspection.format, _facts(picture.planned))


def _facts(planned: PlannedRequest) -> PublishFacts:
    """What the file says of itself: made by a model, or (a comp) drawn by a program."""
    source: DigitalSource = "algorithmicMedia" if planned.request.model == FPO_MODEL else "trainedAlgorithmicMedia"
    return PublishFacts(request_key=planned.request.key, source=source)


def _metadata(picture: Picture, bench: Bench) -> dict[str, str]:
    """Short ASCII pointers beside the original (S3's limit is 2 KB): enough to complete it without its maker."""
    render = picture.render
    return {
        "request-key": picture.planned.request.key,
        "run-id": bench.run_id,
        "lane": render.lane,
        "job-id": render.job_id,
        "seconds": f"{render.seconds:.3f}",
        "cost-usd": f"{render.cost_usd:.6f}",
    } | _only_where_other(render)


def _only_where_other(render: Render) -> dict[str, str]:
    """What was made otherwise than it was asked for: its size, the model."""
    size = {"made-size": "{}x{}".format(*render.size)} if render.size else {}
    return size | ({"made-as": render.made_as} if render.made_as else {})


def _asset(picture: Picture, original: str, thumbnails: dict[str, str], bench: Bench) -> Asset:
    render, inspection = picture.render, picture.inspection
    return Asset(
        original=original,
        sidecar=sidecar_key(original),
        thumbnails=thumbnails,
        sha256=inspection.sha256,
        width=inspection.width,
        height=inspection.height,
        format=inspection.format,
        seed=render.seed,
        lane=render.lane,
        job_id=render.job_id,
        seconds=round(render.seconds, 3),
        cost_usd=render.cost_usd,
        sharpness=round(inspection.fingerprint.sharpness, 1),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        run_id=bench.run_id,
        made_as=render.made_as,
    )


def _sidecar(picture: Picture, published: Published, asset: Asset, bench: Bench) -> Sidecar:
    planned = picture.planned
    return Sidecar(
        request_key=planned.request.key,
        request=planned.request,
        campaign=bench.campaign,
        row=planned.row,
        row_number=planned.row_number,
        variant=planned.variant,
        size=planned.size,
        tags=planned.tags,
        run_id=bench.run_id,
        asset=asset,
        fingerprint=picture.inspection.fingerprint,
        rejected=picture.inspection.rejected,
        warnings=picture.inspection.warnings,
        notes=picture.render.notes,
        attempts=picture.attempts,
        graph=picture.render.graph,
        embedded=published.embedded,
        marks=published.marks,
        ai_generated=planned.request.model != FPO_MODEL,
        generator=GENERATOR,
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
