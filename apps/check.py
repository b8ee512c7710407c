"""`check` and `plan`: a sheet's problems, and what a run would make. Neither generates anything."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from assetline.bootstrap.planning import Planning, lane_kinds, limits_of, open_store, plan_sheet
from assetline.errors import SheetError
from assetline.plan import Quote, quote
from assetline.records import RunOptions
from assetline.settings import Settings, load_settings
from assetline.sheet import write_checked
from assetline.store.existing import find_originals


def check_sheet(sheet: str, options: RunOptions, *, write: bool, as_json: bool) -> int:
    """Print every problem; 3 when there is an error."""
    settings = load_settings()
    planning = plan_sheet(sheet, options, settings)
    if write:
        _write_checked_copy(sheet, planning, settings)
    if as_json:
        print(json.dumps(_as_json(planning), ensure_ascii=False))
    else:
        print_problems(planning)
    return 0 if planning.plan.ok else SheetError.exit_code


def print_problems(planning: Planning) -> None:
    """One line for each problem on stdout, then what it comes to."""
    plan = planning.plan
    for problem in plan.problems:
        print(f"{problem.severity}: {problem}")
    warnings = len(plan.problems) - len(plan.errors)
    rows, pictures = _many(len(plan.sheet.rows), "row"), _many(len(plan.requests), "picture")
    found = f"{_many(len(plan.errors), 'error')}, {_many(warnings, 'warning')}"
    print(f"{planning.source.name}: {rows}, {pictures}, {found}.")


def plan_run(sheet: str, options: RunOptions, *, as_json: bool) -> int:
    """Print what a run would make. Raises SheetError when the sheet has errors."""
    settings = load_settings()
    planning = plan_sheet(sheet, options, settings)
    if not planning.plan.ok:
        raise SheetError(planning.plan.problems)
    offer = make_quote(planning, options, settings)
    if as_json:
        print(json.dumps(offer.model_dump(mode="json"), ensure_ascii=False))
    else:
        _print_quote(offer, options.store or settings.store)
    return 0


def make_quote(planning: Planning, options: RunOptions, settings: Settings) -> Quote:
    """What is to make, compared with what the store has. Raises StoreUnreachable."""
    plan = planning.plan
    store = open_store(options.store or settings.store, settings)
    existing = [found.planned.request.key for found in find_originals(store, plan.campaign, plan.requests)]
    return quote(plan, existing, lane_kinds(planning.lanes))


def _print_quote(offer: Quote, store: str) -> None:
    print(f"Campaign {offer.campaign}: {_many(offer.rows, 'row')}, {_many(offer.requests, 'picture')}.")
    print(f"  already in {store}: {offer.reused:,}; to make: {offer.to_make:,}")
    for lane in offer.lanes:
        print(f"  {lane.lane}: {_many(lane.requests, 'picture')}, about {lane.minutes:g} min (a first guess)")
    cost = offer.cost_usd
    print(f"  cost: {cost.low:.2f} to {cost.high:.2f} USD")
    if offer.dearest_rows:
        print("  most pictures: " + ", ".join(f"{row.row} ({row.requests})" for row in offer.dearest_rows))


def _write_checked_copy(sheet: str, planning: Planning, settings: Settings) -> None:
    """The producer's own file with status, problem and fix beside each row; where it cannot be written, say so."""
    source = planning.source
    name, data = write_checked(source.name, source.data, planning.plan.problems, limits_of(settings))
    if sheet.startswith("s3://"):
        bucket, _, key = sheet.removeprefix("s3://").partition("/")
        open_store(f"s3://{bucket}", settings).put(f"{key.rpartition('/')[0]}/{name}".lstrip("/"), data)
        print(f"Checked copy: s3://{bucket}/{key.rpartition('/')[0]}/{name}", file=sys.stderr)
        return
    path = Path(sheet).with_name(name)
    try:
        path.write_bytes(data)
    except OSError as error:
        print(
            f"No checked copy: {path} cannot be written ({error.strerror}). --no-write leaves it out.", file=sys.stderr
        )
    else:
        print(f"Checked copy: {path}", file=sys.stderr)


def _as_json(planning: Planning) -> dict[str, object]:
    plan = planning.plan
    return {
        "ok": plan.ok,
        "rows": len(plan.sheet.rows),
        "requests": len(plan.requests),
        "problems": [problem.model_dump(mode="json") for problem in plan.problems],
    }


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
