"""`check` and `plan`: a sheet's problems, and what a run would make. Neither generates anything."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from apps.words import many
from assetline.bootstrap.planning import FPO, Planning, lane_kinds, limits_of, open_store, plan_sheet
from assetline.errors import SheetError, StoreError
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
    rows, pictures = many(len(plan.sheet.rows), "row"), many(len(plan.requests), "picture")
    found = f"{many(len(plan.errors), 'error')}, {many(warnings, 'warning')}"
    print(f"{planning.source.name}: {rows}, {pictures}, {found}.")


def plan_run(sheet: str, options: RunOptions, *, as_json: bool) -> int:
    """Print what a run would make. Raises SheetError when the sheet has errors."""
    settings = load_settings()
    planning = plan_sheet(sheet, options, settings)
    if not planning.plan.ok:
        raise SheetError(planning.plan.problems)
    say_beforehand(sheet, planning, options, settings)
    offer = make_quote(planning, options, settings)
    if as_json:
        print(json.dumps(offer.model_dump(mode="json"), ensure_ascii=False))
    else:
        _print_quote(offer, options.store or settings.store)
    return 0


def say_beforehand(sheet: str, planning: Planning, options: RunOptions, settings: Settings) -> None:
    """On stderr, what a person should know before a run: rows left out, warnings, that placeholders will be drawn."""
    plan = planning.plan
    for problem in plan.errors:
        print(f"left out: {problem}", file=sys.stderr)
    if warnings := len(plan.problems) - len(plan.errors):
        print(f"{many(warnings, 'warning')}: assetline check {sheet} says them.", file=sys.stderr)
    if planning.lanes == (FPO,) and not options.lanes and not settings.comfyui:
        print(
            "No lane is set, so the FPO lane draws placeholders. "
            "--lane http://gpu1:8188 (or ASSETLINE_COMFYUI) makes real pictures.",
            file=sys.stderr,
        )


def make_quote(planning: Planning, options: RunOptions, settings: Settings) -> Quote:
    """What is to make, compared with what the store has. Raises StoreUnreachable."""
    plan = planning.plan
    store = open_store(options.store or settings.store, settings)
    existing = [found.planned.request.key for found in find_originals(store, plan.campaign, plan.requests)]
    return quote(plan, existing, lane_kinds(planning.lanes))


def _print_quote(offer: Quote, store: str) -> None:
    print(f"Campaign {offer.campaign}: {many(offer.rows, 'row')}, {many(offer.requests, 'picture')}.")
    print(f"  already in {store}: {offer.reused:,}; to make: {offer.to_make:,}")
    for lane in offer.lanes:
        print(f"  {lane.lane}: {many(lane.requests, 'picture')}, about {lane.minutes:g} min (a first guess)")
    cost = offer.cost_usd
    print(f"  cost: {cost.low:.2f} to {cost.high:.2f} USD")
    if offer.dearest_rows:
        print("  most pictures: " + ", ".join(f"{row.row} ({row.requests})" for row in offer.dearest_rows))


def _write_checked_copy(sheet: str, planning: Planning, settings: Settings) -> None:
    """The producer's own file with status, problem and fix beside each row; where it cannot be written, say so."""
    source = planning.source
    name, data = write_checked(source.name, source.data, planning.plan.problems, limits_of(settings))
    place = f"{sheet.rpartition('/')[0]}/{name}" if sheet.startswith("s3://") else str(Path(sheet).with_name(name))
    try:
        if sheet.startswith("s3://"):
            bucket, _, key = place.removeprefix("s3://").partition("/")
            open_store(f"s3://{bucket}", settings).put(key, data)
        else:
            Path(place).write_bytes(data)
    except (OSError, StoreError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        print(f"No checked copy: {place} cannot be written ({reason}). --no-write leaves it out.", file=sys.stderr)
    else:
        print(f"Checked copy: {place}", file=sys.stderr)


def _as_json(planning: Planning) -> dict[str, object]:
    plan = planning.plan
    return {
        "ok": plan.ok,
        "rows": len(plan.sheet.rows),
        "requests": len(plan.requests),
        "problems": [problem.model_dump(mode="json") for problem in plan.problems],
    }
