"""`runs` and `status`: what happened, read from the store alone; Prefect need not be there."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import pandas as pd
from rich.console import Console
from rich.table import Table

from apps.words import many, readable
from assetline.bootstrap.planning import open_store
from assetline.errors import OptionError
from assetline.manifest import read_manifest
from assetline.plan import campaign_slug
from assetline.records import Outcome
from assetline.settings import load_settings
from assetline.store import Store
from assetline.store.runs import StoredRun, find_runs

TROUBLES_SHOWN = 20
RUNS_NAMED = 5


def list_runs(campaign: str, store_uri: str, *, as_json: bool) -> int:
    """Print the runs, newest first."""
    store, campaign = _open(store_uri), campaign and campaign_slug(campaign)
    found = find_runs(store, campaign)
    if as_json:
        print(json.dumps([_run_facts(run) for run in found], ensure_ascii=False))
    elif not found:
        print(_none_in(store, campaign), file=sys.stderr)
    else:
        _print_table(("run", "campaign", "started", "pictures", "state"), [_run_line(run) for run in found])
    return 0


def show_run(run: str, by: str, campaign: str, store_uri: str, *, as_json: bool) -> int:
    """Print one run: its counts, a table by lane, row, size or workflow, what failed, where the contact sheet is."""
    store = _open(store_uri)
    stored = _choose(store, campaign and campaign_slug(campaign), run)
    if stored.record is None:
        return _say_unfinished(stored, as_json=as_json)
    outcomes = read_manifest(store.get(f"{stored.prefix}manifest.jsonl").data)
    table = tally(outcomes, by)
    if as_json:
        facts = _run_facts(stored) | {"by": by, "table": table.reset_index().to_dict("records")}
        print(json.dumps(facts, ensure_ascii=False))
        return 0
    counts = ", ".join(f"{n:,} {status}" for status, n in stored.record.counts.model_dump().items() if n)
    print(f"{stored.campaign} {stored.run_id}: {_state(stored)}; {counts or 'no pictures'}")
    _print_table((by, *table.columns), [(str(name), *map(str, line)) for name, *line in table.itertuples()])
    for outcome in [one for one in outcomes if one.status in ("failed", "rejected")][:TROUBLES_SHOWN]:
        print(f"{outcome.status}: {outcome.label}: {outcome.reason}")
    print(f"Contact sheet: {readable(stored.record.contact_sheet)}")
    return 0


def tally(outcomes: Sequence[Outcome], by: str) -> pd.DataFrame:
    """Outcomes counted by lane, row, size or workflow: one line each, a column for each status that occurs.

    `s each` is the median of the seconds on the lane, `usd` the sum of what this run paid.
    """
    frame = pd.DataFrame([_facts(outcome, by) for outcome in outcomes], columns=["by", "status", "seconds", "usd"])
    statuses = list(dict.fromkeys(frame["status"]))
    counts = frame.pivot_table(index="by", columns="status", aggfunc="size", fill_value=0, sort=False)
    sums = frame.groupby("by", sort=False).agg(seconds=("seconds", "median"), usd=("usd", "sum"))
    table = counts[statuses].astype(int).join(sums.round(2).rename(columns={"seconds": "s each"}))
    return table.rename_axis(index=by, columns=None)


def _facts(outcome: Outcome, by: str) -> dict[str, object]:
    asset = outcome.asset
    last_lane = outcome.attempts[-1].lane if outcome.attempts else "-"
    keys = {
        "lane": asset.lane if asset else last_lane,
        "row": outcome.row,
        "size": outcome.size,
        "workflow": outcome.workflow or outcome.model or "-",
    }
    paid = asset.cost_usd if asset and outcome.status != "reused" else 0.0
    return {"by": keys[by], "status": outcome.status, "seconds": asset.seconds if asset else None, "usd": paid}


def _open(store_uri: str) -> Store:
    settings = load_settings()
    return open_store(store_uri or settings.store, settings)


def _choose(store: Store, campaign: str, run: str) -> StoredRun:
    """The newest run, or the one whose id begins with `run`. Raises OptionError where that is none, or several."""
    found = find_runs(store, campaign)
    if not found:
        raise OptionError(_none_in(store, campaign))
    chosen = [one for one in found if one.run_id.startswith(run)]
    if chosen and (len(chosen) == 1 or not run):
        return chosen[0]
    known = ", ".join(one.run_id for one in (chosen or found)[:RUNS_NAMED])
    if chosen:
        raise OptionError(f'{many(len(chosen), "run")} begin with "{run}"; say more of it. The newest: {known}.')
    raise OptionError(f'No run begins with "{run}". The newest: {known}. assetline runs lists them all.')


def _none_in(store: Store, campaign: str) -> str:
    of_campaign = f' of campaign "{campaign}"' if campaign else ""
    return f"There are no runs{of_campaign} in {store.uri} yet. assetline run SHEET makes the first."


def _say_unfinished(stored: StoredRun, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(_run_facts(stored)))
    else:
        print(f"{stored.campaign} {stored.run_id}: {_state(stored)}. Running the same sheet again makes the rest.")
    return 0


def _state(stored: StoredRun) -> str:
    if stored.record is None:
        return "not finished (still running, or it was killed)"
    if stored.record.interrupted:
        return "interrupted"
    return "finished with failures" if stored.record.counts.failed else "finished"


def _run_facts(stored: StoredRun) -> dict[str, object]:
    if stored.record is None:
        return {"campaign": stored.campaign, "run_id": stored.run_id, "finished": False}
    return stored.record.model_dump(mode="json") | {"finished": True}


def _run_line(stored: StoredRun) -> tuple[str, ...]:
    record = stored.record
    started = record.started_at.replace("T", " ")[:16] if record else "-"
    return (stored.run_id, stored.campaign, started, f"{record.counts.total:,}" if record else "-", _state(stored))


def _print_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    table = Table(*header, box=None, pad_edge=False, header_style="bold")
    for line in lines:
        table.add_row(*line)
    console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 160)
    with console.capture() as captured:  # a closed pipe is then for `main` alone, as with all other output
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))
