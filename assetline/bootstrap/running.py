"""What a run needs beyond its plan: lanes with their connections, reference images, the job itself."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

from assetline.backends import Backend
from assetline.backends.comfyui import ComfyUIBackend, ComfyUISettings
from assetline.backends.fpo import FpoBackend
from assetline.bootstrap.planning import FPO, Planning, lane_kinds, open_store
from assetline.dispatch import DispatchOptions, Lane
from assetline.errors import SheetError
from assetline.pipeline import RunJob
from assetline.records import PlannedRequest, RunOptions
from assetline.settings import Settings
from assetline.workflow import Workflow, affinity

COMFYUI_SLOTS = 2  # one prompt running and one ahead, so that the worker never waits for us


@asynccontextmanager
async def open_job(
    planning: Planning, options: RunOptions, settings: Settings, *, flow_run: str = ""
) -> AsyncIterator[RunJob]:
    """The job of a planned campaign, its lanes open. Raises SheetError when the sheet has errors, OptionError."""
    if not planning.plan.ok:
        raise SheetError(planning.plan.problems)
    lanes = open_lanes(planning, settings)
    try:
        yield RunJob(
            plan=planning.plan,
            sheet_data=planning.source.data,
            store=open_store(options.store or settings.store, settings),
            lanes=lanes,
            dispatch=DispatchOptions(
                patience_s=settings.lane_patience_s, affinity=partial(_affinity, planning.workflows)
            ),
            references=planning.references,
            flow_run=flow_run,
        )
    finally:
        for lane in lanes:
            await lane.backend.close()


def open_lanes(planning: Planning, settings: Settings) -> Sequence[Lane]:
    """One lane for each name; nothing is asked of them yet."""
    return [_open_lane(name, kind, planning, settings) for name, kind in lane_kinds(planning.lanes).items()]


def _open_lane(name: str, kind: str, planning: Planning, settings: Settings) -> Lane:
    if kind == FPO:
        backend: Backend = FpoBackend()
        return Lane(backend, slots=os.cpu_count() or 1)
    comfyui = ComfyUISettings(run_s=settings.request_timeout_s)
    backend = ComfyUIBackend(
        name,
        planning.workflows,
        references=planning.references.__getitem__,
        settings=comfyui,
        campaign=planning.plan.campaign,
    )
    return Lane(backend, slots=COMFYUI_SLOTS)


def _affinity(workflows: Mapping[str, Workflow], planned: PlannedRequest) -> str:
    """What a request wants loaded: the workflow's wiring and model files."""
    workflow = workflows.get(planned.request.workflow or "")
    return affinity(workflow, planned.request) if workflow else ""
