"""The flow run in this process: Prefect's log lines above the progress bar, and a clean end.

Imported only when a run uses Prefect.
"""

from __future__ import annotations

import asyncio
import logging

from prefect.events.worker import EventsWorker
from prefect.logging.configuration import setup_logging
from prefect.logging.handlers import APILogWorker, PrefectConsoleHandler

from apps.terminal import Terminal
from assetline.records import RunOptions
from flows.campaign import run_campaign

DRAIN_LIMIT_S = 30.0  # a busy server took up to 29 s to take the last events (measured, Prefect 3.8.8)
EXPECTED = "Still processing items"  # said while the last events are sent, which is what we wait for


def run_flow(terminal: Terminal, sheet: str, options: RunOptions) -> None:
    """Run the flow. The terminal has the result; raises what the flow raised before it had one."""
    setup_logging()
    _share_console(terminal)
    try:
        asyncio.run(_run(terminal, sheet, options))
    finally:
        EventsWorker.drain_all(timeout=DRAIN_LIMIT_S, at_exit=False)
        APILogWorker.drain_all(timeout=DRAIN_LIMIT_S, at_exit=False)


async def _run(terminal: Terminal, sheet: str, options: RunOptions) -> None:
    state = await run_campaign(sheet, options, return_state=True)
    if terminal.result is None:
        await state.aresult()


def _share_console(terminal: Terminal) -> None:
    """Prefect's handlers bring a console of their own, which tears the bar; they get ours, and show warnings alone."""
    names = [None, *logging.root.manager.loggerDict]
    for handler in {handler for name in names for handler in logging.getLogger(name).handlers}:
        if isinstance(handler, PrefectConsoleHandler):
            handler.console = terminal.console
            handler.setLevel(logging.WARNING)
            handler.addFilter(lambda record: EXPECTED not in record.getMessage())
