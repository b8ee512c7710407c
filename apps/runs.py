"""`runs` and `status`: what happened, read from the store alone; Prefect need not be there."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pandas as pd
from rich.console import Console
from rich.table import Table

from apps.stored import AGAIN, Chosen, choose_run, is_silent, none_in, open_stored, seconds_since, state_of
from apps.words import readable
from assetline.errors import StoreError, StoreUnreachable
from assetline.manifest import read_manifest
from assetline.pipeline.live import PICTURE, RunNews, read_lanes, read_news
from assetline.pipeline.progress import duration
from assetline.plan import campaign_slug
from assetline.records import Outcome
from assetline.store import Store
from assetline.store.runs import StoredRun, find_runs
from assetline.timeline import HEADER, fleet_figures, table, timeline_text

TROUBLES_SHOWN = 20
WIDEST, WITHOUT_TERMINAL = 160, 100


def list_runs(campaign: str, store_uri: str, *, as_json: bool) -> int:
    """Print the runs, newest first."""
    store, campaign = open_stored(store_uri), campaign and campaign_slug(campaign)
    found = [(run, _news_of(store, run)) for run in find_runs(store, campaign)]
    if as_json:
        print(json.dumps([_run_facts(*run) for run in found], ensure_ascii=False))
    elif not found:
        print(none_in(store, campaign), file=sys.stderr)
    else:
        _print_table(("run", "campaign", "started", "pictures", "state"), [_run_line(*run) for run in found])
    for run, _ in found:
        if run.fault:
            print(f"{run.run_id}: {run.fault}", file=sys.stderr)
    return 0


def _news_of(store: Store, run: StoredRun) -> RunNews | None:
    """What a run without its record last said; nothing where that is damaged. Raises StoreUnreachable."""
    try:
        return None if run.record or run.fault else read_news(store, run.campaign, run.run_id)
    except StoreUnreachable:
        raise
    except StoreError:
        return None


@dataclass(frozen=True)
class Asked:
    """Which run, and what of it: what its table counts by, or its lanes over time."""

    run: str
    campaign: str
    store: str
    by: str = "lane"
    timeline: bool = False


def show_run(asked: Asked, *, as_json: bool) -> int:
    """Print one run: its counts, a table by lane, row, size or workflow, what failed, where the contact sheet is."""
    chosen = choose_run(asked.run, asked.campaign, asked.store)
    stored, by = chosen.run, asked.by
    if asked.timeline:
        return _show_timeline(chosen, as_json=as_json)
    if stored.record is None:
        return _show_unfinished(chosen, as_json=as_json)
    outcomes = read_manifest(chosen.store.get(f"{stored.prefix}manifest.jsonl").data)
    table = tally(outcomes, by)
    if as_json:
        facts = _run_facts(stored, None) | {"by": by, "table": table.reset_index().to_dict("records")}
        print(json.dumps(facts, ensure_ascii=False))
        return 0
    counts = ", ".join(f"{n:,} {status}" for status, n in stored.record.counts.model_dump().items() if n)
    print(f"{stored.campaign} {stored.run_id}: {state_of(stored, None)}; {counts or 'no pictures'}")
    _print_table((by, *table.columns), [(str(name), *map(str, line)) for name, *line in table.itertuples()])
    for outcome in [one for one in outcomes if one.status in ("failed", "rejected")][:TROUBLES_SHOWN]:
        print(f"{outcome.status}: {outcome.label}: {outcome.reason}")
    print(f"Contact sheet: {readable(stored.record.contact_sheet)}")
    if stored.record.results:
        print(f"The sheet with its results: {readable(stored.record.results)}")
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


def _show_unfinished(chosen: Chosen, *, as_json: bool) -> int:
    """Print what a run without its record last said of itself."""
    stored, news = chosen.run, chosen.news()
    if as_json:
        print(json.dumps(_run_facts(stored, news), ensure_ascii=False))
        return 0
    state = state_of(stored, news)
    if news is None:
        print(f"{stored.campaign} {stored.run_id}: {state}. {AGAIN}")
        return 0
    ago = "" if is_silent(news) else f" ({duration(seconds_since(news))} ago)"
    said = news.said if state == "paused" else f"{state}; {news.step}: {news.said}"
    print(f"{stored.campaign} {stored.run_id}: {said}{ago}")
    if is_silent(news):
        print(AGAIN)
    elif news.lanes:
        now = [lane.doing or lane.state for lane in news.lanes]
        _print_table((*HEADER, "now"), [(*row, doing) for row, doing in zip(table(news.lanes), now, strict=True)])
    return 0


def _show_timeline(chosen: Chosen, *, as_json: bool) -> int:
    """Print the lanes of a run over time, as far as they are written, and where their picture is."""
    stored = chosen.run
    timeline = read_lanes(chosen.store, stored.campaign, stored.run_id)
    picture = readable(chosen.store.uri_of(stored.prefix + PICTURE))
    if as_json:
        lanes = [asdict(one) for one in fleet_figures(timeline.lanes)] if timeline else []
        facts = {"picture": picture, "seconds": timeline.seconds, "lanes": lanes} if timeline else None
        print(json.dumps(_run_facts(stored, None) | {"timeline": facts}, ensure_ascii=False))
    elif timeline is None:
        print(f"{stored.campaign} {stored.run_id}: nothing is written of its lanes: they had nothing to do yet.")
    else:
        print("\n".join(timeline_text(timeline, _columns())))
        print(f"Picture: {picture}")
    return 0


def _columns() -> int:
    return (
        min(shutil.get_terminal_size((WITHOUT_TERMINAL, 24)).columns, WIDEST)
        if sys.stdout.isatty()
        else WITHOUT_TERMINAL
    )


def _run_facts(stored: StoredRun, news: RunNews | None) -> dict[str, object]:
    if stored.record is None:
        facts = {"campaign": stored.campaign, "run_id": stored.run_id, "finished": False}
        if stored.fault:
            facts["fault"] = stored.fault
        return facts | ({"progress": news.model_dump(mode="json")} if news else {})
    return stored.record.model_dump(mode="json") | {"finished": True}


def _run_line(stored: StoredRun, news: RunNews | None) -> tuple[str, ...]:
    record = stored.record
    started = record.started_at.replace("T", " ")[:16] if record else "-"
    pictures = f"{record.counts.total:,}" if record else f"{news.done:,} of {news.total:,}" if news else "-"
    return (stored.run_id, stored.campaign, started, pictures, state_of(stored, news))


def _print_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    table = Table(*header, box=None, pad_edge=False, header_style="bold")
    for line in lines:
        table.add_row(*line)
    console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 160)
    with console.capture() as captured:  # a closed pipe is then for `main` alone, as with all other output
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))
