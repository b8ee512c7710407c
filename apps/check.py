"""`check` and `plan`: a sheet's problems, and what a run would make. Neither generates anything."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from apps.difference import difference_in_words, print_difference
from apps.words import many
from assetline.bootstrap.comparing import compare_with_runs
from assetline.bootstrap.money import costs_money, known_money, may_cost, plan_overflow
from assetline.bootstrap.planning import (
    FPO,
    NOBODY_ASKED,
    Planning,
    lane_kinds,
    lane_label,
    limits_of,
    open_store,
    plan_sheet,
    stored_keys,
)
from assetline.bootstrap.workers import ask_workers, worker_urls
from assetline.errors import LedgerUnreachable, SheetError, StoreError
from assetline.plan import (
    Known,
    MinuteRange,
    OverflowQuote,
    Pace,
    PaidQuote,
    Quote,
    Workers,
    amount,
    fresh_requests,
    left_in_words,
    quote,
    range_in_words,
)
from assetline.records import Problem
from assetline.run_records import RunOptions
from assetline.settings import Settings, load_settings
from assetline.sheet import write_checked

OF_THE_RUN = {"worker-silent", "workflow-completed"}  # nothing in the sheet is the cause
SQLITE = "sqlite:///"
SECONDS_UP_TO_MIN = 1.5  # what is shorter is told in seconds
SHOWN_ALIKE = 5  # rows with the very same problem, one line each; of more the first and how many there are


def check_sheet(sheet: str, options: RunOptions, *, write: bool, as_json: bool, offline: bool = False) -> int:
    """Print every problem; 3 when there is an error. `offline`: the workers are not asked what they have."""
    settings = load_settings()
    planning = plan_sheet(sheet, options, settings, ask_beforehand(options, settings, offline=offline))
    if write:
        _write_checked_copy(sheet, planning, settings)
    if as_json:
        print(json.dumps(_as_json(planning), ensure_ascii=False))
    else:
        print_problems(planning)
    return 0 if planning.plan.ok else SheetError.exit_code


def ask_beforehand(options: RunOptions, settings: Settings, *, offline: bool = False) -> Workers:
    """What the ComfyUI workers have, all asked at the same time; nothing where there are none, or with `offline`."""
    if offline or not worker_urls(options, settings):
        return NOBODY_ASKED
    return asyncio.run(ask_workers(options, settings))


def print_problems(planning: Planning) -> None:
    """One line for each problem on stdout, then what it comes to."""
    plan = planning.plan
    for line in problem_lines(plan.problems):
        print(line)
    warnings = len(plan.problems) - len(plan.errors)
    rows, pictures = many(len(plan.sheet.rows), "row"), many(len(plan.requests), "picture")
    found = f"{many(len(plan.errors), 'error')}, {many(warnings, 'warning')}"
    print(f"{planning.source.name}: {rows}, {pictures}, {found}.")


def problem_lines(problems: Sequence[Problem]) -> Iterator[str]:
    """A line each; where a worker's lack hits many rows alike (a default that is nowhere), one line for all of them."""
    alike: dict[tuple[str, str, str], list[Problem]] = {}
    for problem in problems:
        alike.setdefault((problem.code, problem.message, problem.fix), []).append(problem)
    for problem in problems:
        same = alike[problem.code, problem.message, problem.fix]
        folded = len(same) > SHOWN_ALIKE and problem.code.startswith("worker-")
        if not folded or problem is same[0]:
            yield f"{problem.severity}: {problem}"
        if folded and problem is same[0]:
            yield f"{problem.severity}: the same in {many(len(same) - 1, 'more row')}: {_numbers(same[1:])}."


def _numbers(problems: Sequence[Problem]) -> str:
    shown = ", ".join(str(problem.row) for problem in problems[:SHOWN_ALIKE])
    return shown + (" and so on" if len(problems) > SHOWN_ALIKE else "")


def plan_run(sheet: str, options: RunOptions, *, as_json: bool, offline: bool = False) -> int:
    """Print what a run would make. Raises SheetError when the sheet has errors. `offline` as in `check_sheet`."""
    settings = load_settings()
    planning = plan_sheet(sheet, options, settings, ask_beforehand(options, settings, offline=offline))
    if not planning.plan.ok:
        raise SheetError(planning.plan.problems)
    _say_of_sheet(sheet, planning, options, settings)
    difference = compare_with_runs(planning, options, settings)
    offer = make_quote(planning, options, settings)
    if as_json:
        facts = {"difference": difference.model_dump(mode="json") if difference else None}
        print(json.dumps(offer.model_dump(mode="json") | facts, ensure_ascii=False))
    else:
        _print_quote(offer, options.store or settings.store)
        print_difference(difference)
    return 0


def say_beforehand(sheet: str, planning: Planning, options: RunOptions, settings: Settings) -> None:
    """On stderr, what a person should know before a run: of the sheet, and what it changes against earlier runs."""
    _say_of_sheet(sheet, planning, options, settings)
    if difference := compare_with_runs(planning, options, settings, explained=False):
        print(difference_in_words(difference), file=sys.stderr)


def _say_of_sheet(sheet: str, planning: Planning, options: RunOptions, settings: Settings) -> None:
    """On stderr: rows left out, warnings, that placeholders will be drawn."""
    plan = planning.plan
    for problem in plan.errors:
        print(f"left out: {problem}", file=sys.stderr)
    for problem in plan.problems:
        if problem.code in OF_THE_RUN:
            print(f"{problem.severity}: {problem}", file=sys.stderr)
    if warnings := sum(p.severity == "warning" and p.code not in OF_THE_RUN for p in plan.problems):
        print(f"{many(warnings, 'warning')}: assetline check {sheet} says them.", file=sys.stderr)
    if planning.lanes == (FPO,) and not options.lanes and not settings.comfyui:
        print(
            "No lane is set, so the FPO lane draws placeholders. "
            "--lane http://gpu1:8188 (or ASSETLINE_COMFYUI) makes real pictures.",
            file=sys.stderr,
        )


def make_quote(planning: Planning, options: RunOptions, settings: Settings) -> Quote:
    """What is to make, compared with what the store has. Raises StoreUnreachable."""
    kinds = {lane_label(name): kind for name, kind in lane_kinds(planning.lanes).items()}
    existing = stored_keys(planning, options, settings)
    known = _known(planning, options, settings)
    to_make = fresh_requests(planning.plan.requests, existing)
    overflow = plan_overflow(planning, options, settings, to_make, known)
    return quote(planning.plan, existing, kinds, known).model_copy(update={"overflow": overflow.quote})


def _known(planning: Planning, options: RunOptions, settings: Settings) -> Known:
    """How fast the lanes were and what has been spent, where there is a ledger. A quote makes none."""
    url = settings.ledger
    nothing = Known(planning.fleet, money=known_money(planning, options, settings, None))
    if url.startswith(SQLITE) and not Path(url.removeprefix(SQLITE)).is_file():
        return nothing
    from assetline.ledger import open_ledger

    try:
        with closing(open_ledger(url)) as ledger:
            counts = may_cost(planning, options, settings)
            money = known_money(planning, options, settings, ledger) if counts else nothing.money
            return Known(planning.fleet, Pace(ledger.speeds()), money)
    except LedgerUnreachable as error:
        spent = ", and what has been spent is not known" if costs_money(planning) else ""
        print(f"The minutes are a guess{spent}: {error}", file=sys.stderr)
        return nothing


def _print_quote(offer: Quote, store: str) -> None:
    print(f"Campaign {offer.campaign}: {many(offer.rows, 'row')}, {many(offer.requests, 'picture')}.")
    print(f"  already in {store}: {offer.reused:,}; to make: {offer.to_make:,}")
    for lane in offer.lanes:
        can = "" if lane.can_make == offer.to_make else f" (can make {lane.can_make:,} of {offer.to_make:,})"
        basis = "from earlier runs" if lane.minutes_are == "learned" else "a first guess"
        print(f"  {lane.lane}: {many(lane.requests, 'picture')}{can}, about {_minutes(lane.minutes)} min ({basis})")
    if offer.to_make:
        basis = "from earlier runs" if offer.minutes_are == "learned" else "a first guess"
        alone = ", without the overflow" if offer.overflow and offer.overflow.pictures else ""
        print(f"  time: {time_in_words(offer.minutes_range)} ({basis}{alone})")
    print(f"  cost: {range_in_words(offer.cost_usd)}")
    if offer.overflow:
        print(f"  {overflow_in_words(offer.overflow)}")
    if offer.paid:
        print_paid(offer.paid)
    if offer.paid and offer.paid.pictures:
        dearest = (f"{row.row} ({amount(row.cost_usd.high)} USD)" for row in offer.dearest_rows if row.cost_usd.high)
        print("  dearest rows: " + ", ".join(dearest))
    elif offer.dearest_rows:
        print("  most pictures: " + ", ".join(f"{row.row} ({row.requests})" for row in offer.dearest_rows))


def time_in_words(span: MinuteRange) -> str:
    """`40 to 55 s`, `3.5 to 4.6 min`; less than a few seconds: `up to 6 s`."""
    if span.high < SECONDS_UP_TO_MIN:
        low, high = round(span.low * 60), round(span.high * 60)
        return f"{low} to {high} s" if low else f"up to {high} s"
    return f"{_minutes(span.low)} to {_minutes(span.high)} min"


def _minutes(minutes: float) -> str:
    """No more digits than it is good for."""
    return f"{round(minutes, 2 if minutes < 1 else 1 if minutes < 10 else None):g}"


def overflow_in_words(overflow: OverflowQuote) -> str:
    """What will probably go to Replicate, and for how much."""
    alone = f"the GPUs alone need about {overflow.minutes:g} min, {overflow.limit_minutes:g} are allowed"
    if not overflow.could:
        return f"overflow: nothing goes to Replicate ({alone}); no model there makes the same pictures"
    if not overflow.most:
        could = f"{many(overflow.could, 'picture')} could go, but the caps leave too little for one"
        return f"overflow: nothing goes to Replicate ({alone}); {could} (--max-cost, ASSETLINE_MAX_COST...)"
    most = f"{many(overflow.most, 'picture')} for {amount(overflow.most_usd)} USD at most"
    if overflow.most < overflow.could:
        most += f", the caps keep back {overflow.could - overflow.most:,} more"
    if not overflow.pictures:
        return f"overflow: probably nothing to Replicate ({alone}); if workers fail or are slower, {most}"
    cost = range_in_words(overflow.cost_usd)
    likely = f"probably {many(overflow.pictures, 'picture')} to Replicate, {cost} more ({alone})"
    return f"overflow: {likely}; if workers fail or are slower, {most}"


def print_paid(paid: PaidQuote) -> None:
    """What of a quote costs money: the prices and their day, what has been paid for, what the caps cut."""
    for price in paid.prices:
        old = " (older than 90 days: compare it with replicate.com/pricing)" if price.old else ""
        each = f"{price.usd:g} USD a {'picture' if price.per == 'image' else 'second'}"
        print(f"    {price.model}: {many(price.pictures, 'picture')}, {each} as of {price.date}, {price.source}{old}")
    if paid.paid:
        print(f"    {many(paid.paid, 'picture')} paid for already: only fetched")
    if paid.cap and paid.fit < paid.pictures:
        print(f"  over the cap: {paid.fit:,} of {many(paid.pictures, 'paid picture')} fit; {left_in_words(paid.cap)}")


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
