"""`run`: the main job, as a Prefect flow run or (`--direct`) without Prefect. The steps are the same."""

from __future__ import annotations

import json
import logging
import sys
from functools import partial
from typing import TYPE_CHECKING

from apps.check import ask_beforehand, say_beforehand
from apps.interruptible import run_interruptibly
from apps.prefect_api import prefect_api
from apps.renamed import of_its_campaign
from apps.spending import may_spend
from apps.terminal import Terminal, summary
from apps.words import many
from assetline.bootstrap.money import may_cost
from assetline.bootstrap.planning import Planning, plan_sheet
from assetline.bootstrap.recognition import remember
from assetline.bootstrap.running import open_job
from assetline.bootstrap.workers import already_asked
from assetline.errors import BudgetRefused, SheetError
from assetline.pipeline import Progress, RunResult, run_campaign, watcher
from assetline.run_records import RunOptions
from assetline.settings import Settings, load_settings

if TYPE_CHECKING:
    from assetline.backends.replicate.options import Clock  # brings httpx

SOME_FAILED = 4
INTERRUPTED = 130
# `run --json`
TOLD = ("campaign", "run_id", "run", "contact_sheet", "counts", "seconds", "cost_usd", "overflow", "results")


def run_sheet(
    sheet: str, options: RunOptions, *, direct: bool, as_json: bool, agreed: bool, clock: Clock | None = None
) -> int:
    """Run a campaign and print its summary. `agreed`: nobody is asked before money is spent.

    `clock` is for what is paid in a direct run; benchmarks bring a faster one.

    Raises SheetError and BudgetRefused before anything is started, and what the run raises.
    """
    settings, found = load_settings(), of_its_campaign(sheet, options)
    options = found.options
    workers = ask_beforehand(options, settings)
    planning = plan_sheet(sheet, options, settings, workers)
    if not planning.plan.ok:
        raise SheetError(planning.plan.problems)
    say_beforehand(sheet, planning, options, settings)
    if may_cost(planning, options, settings) and not may_spend(planning, options, settings, agreed=agreed):
        return BudgetRefused.exit_code
    remember(found, settings)
    with Terminal() as terminal, already_asked(workers):
        token = watcher.set(terminal)
        try:
            if direct:
                terminal.log_through(logging.getLogger("assetline"))
                run_interruptibly(partial(_run_direct, planning, options, settings, clock))
            else:
                _run_with_prefect(terminal, sheet, options)
        except KeyboardInterrupt:
            if terminal.result is None:
                raise
        finally:
            watcher.reset(token)
    if terminal.result is None:
        raise RuntimeError("the run ended without a result")
    return _report(terminal.result, as_json=as_json)


async def _run_direct(planning: Planning, options: RunOptions, settings: Settings, clock: Clock | None) -> None:
    async with open_job(planning, options, settings, clock=clock) as job:
        await run_campaign(job, lambda step: step, _say_nothing)


def _say_nothing(_progress: Progress) -> None:
    """The terminal follows the run as its watcher."""


def _run_with_prefect(terminal: Terminal, sheet: str, options: RunOptions) -> None:
    with prefect_api(terminal) as ready:
        from apps.prefect_run import run_flow

        ready()
        run_flow(terminal, sheet, options)


def _report(result: RunResult, *, as_json: bool) -> int:
    print(summary(result), file=sys.stderr)
    record, refused = result.record, sum(outcome.refused for outcome in result.outcomes)
    if refused:
        print(f"{many(refused, 'picture')} did not fit under the cap. A higher --max-cost makes them.", file=sys.stderr)
    if as_json:
        facts = record.model_dump(mode="json")
        print(json.dumps({name: facts[name] for name in TOLD}, ensure_ascii=False))
    if record.interrupted:
        return INTERRUPTED
    if refused:
        return BudgetRefused.exit_code
    return SOME_FAILED if record.counts.failed else 0
