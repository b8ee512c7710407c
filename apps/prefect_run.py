"""The flow run in this process: Prefect's log lines above the progress bar, and a clean end.

Imported only when a run uses Prefect.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas import FlowRun
from prefect.events.worker import EventsWorker
from prefect.exceptions import PrefectException
from prefect.logging.configuration import setup_logging
from prefect.logging.handlers import APILogWorker, PrefectConsoleHandler

from apps.interruptible import run_interruptibly
from apps.terminal import Terminal
from assetline.errors import AssetlineError
from assetline.run_records import RunOptions
from flows.campaign import run_campaign

DRAIN_LIMIT_S = 30.0  # a busy server took up to 29 s to take the last events (measured, Prefect 3.8.8)
LOOK_EVERY_S = 3.0  # whether somebody pressed Cancel: one small GET
# What Prefect's console would say again, or for nothing: that the last events are still being sent (which is what we
# wait for), and how each run ended, which the summary and the exit tell. Its UI has them all the same.
TOLD_ELSEWHERE = ("Still processing items", "Finished in state", "Task run failed with state", "Crash detected!")


def run_flow(terminal: Terminal, sheet: str, options: RunOptions) -> None:
    """Run the flow. The terminal has the result; raises what the flow raised before it had one."""
    setup_logging()
    _share_console(terminal)
    try:
        run_interruptibly(partial(_run, terminal, sheet, options))
    finally:
        EventsWorker.drain_all(timeout=DRAIN_LIMIT_S, at_exit=False)
        APILogWorker.drain_all(timeout=DRAIN_LIMIT_S, at_exit=False)


async def _run(terminal: Terminal, sheet: str, options: RunOptions) -> None:
    began: asyncio.Future[UUID] = asyncio.get_running_loop().create_future()

    def is_running(flow: object, flow_run: FlowRun, state: object) -> None:  # noqa: ARG001 - a hook is called so
        if not began.done():
            began.set_result(flow_run.id)

    async with _canceled_in_prefect(began):
        state = await run_campaign.with_options(on_running=[is_running])(sheet, options, return_state=True)
    if terminal.result is None and state.is_cancelled():
        raise KeyboardInterrupt  # stopped before there was anything to write down
    if terminal.result is None:
        await state.aresult()


@asynccontextmanager
async def _canceled_in_prefect(began: asyncio.Future[UUID]) -> AsyncIterator[None]:
    """Cancel what stands inside, as Ctrl-C does, when somebody presses Cancel in Prefect's UI.

    A worker ends the process of a deployment's run; that of a run from the command line nobody does (Prefect 3.8.8).
    """
    work = asyncio.current_task()

    async def watch() -> None:
        await _cancel_in_prefect(await began)
        if work:
            work.cancel()

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _cancel_in_prefect(flow_run_id: UUID) -> None:
    """Return when the flow run is to be canceled."""
    async with get_client() as client:
        while True:
            if await _is_canceled(client, flow_run_id):
                return
            await asyncio.sleep(LOOK_EVERY_S)


async def _is_canceled(client: PrefectClient, flow_run_id: UUID) -> bool:
    """Whether somebody pressed Cancel, as far as can be told: a server that is busy, away, or hidden behind a proxy's
    page (ValueError: no JSON, no flow run) has not said so.
    """
    with suppress(httpx.HTTPError, PrefectException, ValueError):
        state = (await client.read_flow_run(flow_run_id)).state
        return state is not None and (state.is_cancelling() or state.is_cancelled())
    return False


def _share_console(terminal: Terminal) -> None:
    """Prefect's handlers bring a console of their own, which tears the bar; they get ours, and show warnings alone."""
    names = [None, *logging.root.manager.loggerDict]
    for handler in {handler for name in names for handler in logging.getLogger(name).handlers}:
        if isinstance(handler, PrefectConsoleHandler):
            handler.console = terminal.console
            handler.setLevel(logging.WARNING)
            handler.addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a person needs the line: neither told elsewhere nor the trace of an error that `main` says in words."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, AssetlineError) and not record.getMessage().startswith(TOLD_ELSEWHERE)
