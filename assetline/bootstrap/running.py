"""What a run needs beyond its plan: lanes with their connections, reference images, the job itself."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from assetline.backends import Backend
from assetline.backends.comfyui import ComfyUISettings
from assetline.backends.fpo import FpoBackend
from assetline.bootstrap.informed import InformedBackend
from assetline.bootstrap.learning import learned_speeds
from assetline.bootstrap.money import before_spending, may_cost, money_now
from assetline.bootstrap.overflowing import LiveOverflow
from assetline.bootstrap.planning import FPO, REPLICATE, Planning, lane_kinds, limits_of, open_store
from assetline.dispatch import DispatchOptions, Lane
from assetline.errors import LedgerUnreachable, SheetError
from assetline.pipeline import RunJob
from assetline.plan import NO_OVERFLOW
from assetline.run_records import RunOptions
from assetline.settings import Settings
from assetline.store.layout import new_run_id

if TYPE_CHECKING:
    from assetline.backends.replicate.options import Clock  # brings httpx
    from assetline.ledger import Ledger  # brings SQLAlchemy, which takes 0.3 s

log = logging.getLogger(__name__)

COMFYUI_SLOTS = 2  # one prompt running and one ahead, so that the worker never waits for us


@asynccontextmanager
async def open_job(
    planning: Planning, options: RunOptions, settings: Settings, *, flow_run: str = "", clock: Clock | None = None
) -> AsyncIterator[RunJob]:
    """The job of a planned campaign, its lanes open, with what earlier runs have learned of their speed.

    `clock` is for what is paid: the time by which attempts are waited for, and written down.

    Raises SheetError when the sheet has errors, OptionError, and where money is to be spent LedgerUnreachable, and
    BudgetRefused when no cap lets anything be made.
    """
    if not planning.plan.ok:
        raise SheetError(planning.plan.problems)
    run_id = new_run_id(datetime.now(UTC), secrets.token_bytes(3))
    async with _opened_ledger(planning, options, settings, clock) as ledger:
        overflow = NO_OVERFLOW
        if ledger and may_cost(planning, options, settings):
            overflow = await asyncio.to_thread(before_spending, planning, options, settings, ledger)
        lanes = list(open_lanes(planning, settings))
        if ledger and (overflow.requests or REPLICATE in planning.lanes):
            from assetline.bootstrap.paying import Paying, open_paid_lane  # noqa: PLC0415 - httpx, the client: 0.5 s

            paying = Paying(ledger, run_id, overflow.requests, clock)
            lanes.append(open_paid_lane(planning, options, settings, paying))
        money = partial(asyncio.to_thread, money_now, planning, options, settings, ledger, run_id)
        relief = LiveOverflow(overflow, money)
        try:
            async with learned_speeds(ledger, [lane.name for lane in lanes]) as speeds:
                yield RunJob(
                    plan=planning.plan,
                    sheet_data=planning.source.data,
                    store=open_store(options.store or settings.store, settings),
                    lanes=lanes,
                    dispatch=DispatchOptions(
                        patience_s=settings.lane_patience_s,
                        affinity=planning.fleet.affinity,
                        speeds=speeds,
                        overflow=relief if overflow.requests else None,
                    ),
                    references=planning.references,
                    flow_run=flow_run,
                    run_id=run_id,
                    limits=limits_of(settings),
                    channels=planning.channels,
                    spent=partial(_spent, ledger, run_id),
                    overflowed=relief.record,
                )
        finally:
            for lane in lanes:
                await lane.backend.close()


@asynccontextmanager
async def _opened_ledger(
    planning: Planning, options: RunOptions, settings: Settings, clock: Clock | None
) -> AsyncIterator[Ledger | None]:
    """The ledger, where lanes have speeds worth keeping or cost money; placeholders need none."""
    if set(planning.lanes) <= {FPO}:
        yield None
        return
    from assetline.bootstrap.ledgers import open_for_run  # noqa: PLC0415 - brings SQLAlchemy, which takes 0.3 s

    paid = REPLICATE in planning.lanes or may_cost(planning, options, settings)
    ledger = await asyncio.to_thread(open_for_run, settings, paid=paid, clock=clock.wall if clock else None)
    try:
        yield ledger
    finally:
        if ledger:
            ledger.close()


def open_lanes(planning: Planning, settings: Settings) -> Sequence[Lane]:
    """One lane for each name, but for Replicate's; nothing is asked of them yet."""
    kinds = lane_kinds(planning.lanes)
    return [_open_lane(name, kind, planning, settings) for name, kind in kinds.items() if kind != REPLICATE]


def _spent(ledger: Ledger | None, run_id: str) -> float | None:
    """What the run has cost, by the ledger; None where none answers: the run ends all the same."""
    try:
        return ledger.spent(run_id=run_id).settled_usd if ledger else None
    except LedgerUnreachable:
        log.warning("The run's cost is that of its pictures alone: the ledger does not answer.")
        return None


def _open_lane(name: str, kind: str, planning: Planning, settings: Settings) -> Lane:
    if kind == FPO:
        backend: Backend = FpoBackend()
        return Lane(backend, slots=os.cpu_count() or 1)
    comfyui = ComfyUISettings(run_s=settings.picture_timeout_s, request_s=settings.request_timeout_s)
    backend = InformedBackend(
        name,
        planning.workflows,
        references=planning.references.__getitem__,
        settings=comfyui,
        campaign=planning.plan.campaign,
        fleet=planning.fleet,
    )
    return Lane(backend, slots=COMFYUI_SLOTS, ahead=COMFYUI_SLOTS - 1)
