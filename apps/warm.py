"""`warm`: each ComfyUI worker loads the models that it will begin a sheet with, before the run is started."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from apps.check import ask_beforehand
from apps.interruptible import run_interruptibly
from assetline.bootstrap.planning import plan_sheet
from assetline.bootstrap.warming import Warmed, WarmedUp, plan_warm_up, warm_up
from assetline.errors import BackendUnavailable
from assetline.run_records import RunOptions
from assetline.settings import load_settings

SOME_FAILED = 4


def warm_workers(sheet: str, options: RunOptions, *, as_json: bool) -> int:
    """Warm all workers at the same time and print what each loaded in how many seconds.

    0, also where nothing is left to load; 4 where a worker that answers cannot load; 6 where none answers. Raises
    OptionError for a run without ComfyUI workers, SheetError where no row can be made.
    """
    settings = load_settings()
    workers = ask_beforehand(options, settings)
    planning = plan_sheet(sheet, options, settings, workers)
    found: list[WarmedUp] = []

    async def work() -> None:
        plan = await plan_warm_up(planning, workers, options, settings)
        found.append(await warm_up(plan, settings, _say))

    run_interruptibly(work)
    [result] = found
    _report(result.workers, as_json=as_json)
    if not as_json:
        _say(str(result))
    return _code(result)


def _report(workers: Sequence[Warmed], *, as_json: bool) -> None:
    if as_json:
        facts = [{"worker": w.worker, "models": w.models, "seconds": w.seconds, "reason": w.reason} for w in workers]
        print(json.dumps({"workers": facts}, ensure_ascii=False))
        return
    rows = [("worker", "model", "seconds"), *((w.worker, w.models or "-", _ended(w)) for w in workers)]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for worker, model, seconds in rows:
        print(f"{worker:<{widths[0]}}  {model:<{widths[1]}}  {seconds}")


def _ended(warmed: Warmed) -> str:
    return warmed.why_not if warmed.seconds is None else f"{warmed.seconds:.1f}"


def _code(result: WarmedUp) -> int:
    failures = result.failures
    if failures and not result.is_answered:
        return BackendUnavailable.exit_code
    return SOME_FAILED if any(warmed.answered for warmed in failures) else 0


def _say(text: str) -> None:
    print(text, file=sys.stderr)
