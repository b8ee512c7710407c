"""`costs`: what pictures have cost and may still cost, from the ledger; and a person's word on what nobody knows."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from apps.words import many
from assetline.bootstrap.ledgers import PriceTable, open_existing, price_table
from assetline.errors import OptionError
from assetline.ledger import By, IllegalStep, Ledger, PaidAttempt, Total
from assetline.settings import load_settings

STALLED_AFTER = timedelta(hours=2)  # no prediction may take longer than one, so whoever sent this one is gone
BAR_WIDTH = 30
OLD_NAMED = 4
BLOCKS = ("█", "░")  # settled, reserved
LETTERS = ("#", ".")


def show_costs(by: By, campaign: str, *, as_json: bool) -> int:
    """Print a line for each campaign, model, day or run, with its share of all; what waits for a person; the prices."""
    settings = load_settings()
    now = datetime.now(UTC)
    prices = price_table(settings, now.date())
    ledger = open_existing(settings)
    if ledger is None:
        totals, waiting = [], []
    else:
        with closing(ledger):
            totals, waiting = ledger.totals(by, campaign=campaign or None), find_waiting(ledger, now)
    if as_json:
        print(json.dumps(_facts(by, totals, waiting, prices), ensure_ascii=False))
        return 0
    if totals:
        _print_table(by, totals)
    else:
        print(f"Nothing has been spent{f' on campaign {campaign}' if campaign else ''}.")
    _say_waiting(waiting)
    say_prices(prices)
    return 0


def show_held(*, as_json: bool) -> int:
    """Print each attempt of which nobody knows whether it was paid for, and how to decide it."""
    ledger = open_existing(load_settings())
    waiting = []
    if ledger:
        with closing(ledger):
            waiting = find_waiting(ledger, datetime.now(UTC))
    if as_json:
        print(json.dumps([_attempt_facts(attempt) for attempt in waiting], ensure_ascii=False))
        return 0
    for attempt in waiting:
        print(*_attempt_lines(attempt), sep="\n")
    print("\n".join(_how_to_decide(waiting)) if waiting else "Nothing waits for you.")
    return 0


def release(attempt_id: int, reason: str) -> int:
    """A person says: it was not charged. Raises OptionError for an attempt that is none to decide."""
    attempt = _decide(
        attempt_id, lambda ledger: ledger.never_sent(attempt_id, reason or "a person: it was not charged")
    )
    print(f"Attempt {attempt_id}: not charged; {_amount(attempt.reserved_usd)} USD are free again.")
    return 0


def settle(attempt_id: int, amount_usd: float, reason: str) -> int:
    """A person says: it was charged, and there is no picture. Raises OptionError, also for what is no amount."""
    try:
        _decide(
            attempt_id,
            lambda ledger: ledger.settle(attempt_id, "lost", amount_usd, reason or "a person: it was charged"),
        )
    except ValueError as error:
        raise OptionError(f"{error}.") from error
    print(f"Attempt {attempt_id}: {_amount(amount_usd)} USD are counted as spent.")
    return 0


def find_waiting(ledger: Ledger, now: datetime) -> list[PaidAttempt]:
    """What a person must decide: what is held, and what has not moved for so long that nobody follows it any more."""
    return [each for each in ledger.open_attempts() if each.state == "held" or now - each.state_at > STALLED_AFTER]


def _decide(attempt_id: int, word: Callable[[Ledger], None]) -> PaidAttempt:
    settings = load_settings()
    ledger = open_existing(settings)
    if ledger is None:
        raise OptionError(f"There is no attempt {attempt_id}: nothing has been spent yet.")
    with closing(ledger):
        attempt = ledger.get(attempt_id)
        if attempt is None:
            raise OptionError(f"There is no attempt {attempt_id}. assetline costs --held lists those to decide.")
        if attempt not in find_waiting(ledger, datetime.now(UTC)):
            raise OptionError(f"Attempt {attempt_id} is not for you to decide: {_why_not(attempt)}.")
        try:
            if attempt.state != "held":
                ledger.hold(attempt_id, "nobody follows it any more")
            word(ledger)
        except IllegalStep as error:
            raise OptionError(f"{error} Somebody was quicker: assetline costs --held.") from error
    return attempt


def _why_not(attempt: PaidAttempt) -> str:
    if attempt.is_open:
        return f'it is "{attempt.state}" since {_minute(attempt.state_at)}, and a run may still follow it'
    return f'it ended as "{attempt.state}" on {_minute(attempt.state_at)}, for {_amount(attempt.cost_usd)} USD'


# --- what is printed


def _print_table(by: By, totals: Sequence[Total]) -> None:
    """The table with its bars; on a terminal of blocks, elsewhere of letters."""
    console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 160)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(by)
    for name in ("attempts", "spent USD", "reserved USD"):
        table.add_column(name, justify="right")
    table.add_column("")
    most = max(total.settled_usd + total.reserved_usd for total in totals)
    ordered = totals if by == "day" else sorted(totals, key=lambda each: -(each.settled_usd + each.reserved_usd))
    for total in ordered:
        table.add_row(*_cells(total.name, [total]), _bar(total, most, LETTERS if _is_plain(console) else BLOCKS))
    if len(totals) > 1:
        table.add_row(*_cells("total", totals), "", style="bold")
    with console.capture() as captured:  # a closed pipe is then for `main` alone, as with all other output
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _cells(name: str, totals: Sequence[Total]) -> tuple[str, str, str, str]:
    settled, reserved = sum(each.settled_usd for each in totals), sum(each.reserved_usd for each in totals)
    return name, f"{sum(each.attempts for each in totals):,}", _amount(settled), _amount(reserved)


def _bar(total: Total, most: float, marks: tuple[str, str]) -> Text:
    """What is spent, then what is reserved, as long as its part of the longest line; whatever is not 0 is seen."""
    lengths = [
        max(1, round(BAR_WIDTH * usd / most)) if usd > 0 else 0 for usd in (total.settled_usd, total.reserved_usd)
    ]
    return Text.assemble((marks[0] * lengths[0], "green"), (marks[1] * lengths[1], "yellow"))


def _is_plain(console: Console) -> bool:
    return not console.is_terminal or not console.encoding.startswith("utf")


def _say_waiting(waiting: Sequence[PaidAttempt]) -> None:
    """On stderr: that something waits for a person."""
    if waiting:
        usd = sum(attempt.reserved_usd for attempt in waiting)
        who = f"{many(len(waiting), 'attempt')} with {_amount(usd)} USD reserved"
        print(f"{who}: nobody knows what became of them. assetline costs --held says how to decide.", file=sys.stderr)


def say_prices(prices: PriceTable) -> None:
    """On stderr: where the prices are from, and which are old."""
    sources = ", ".join(f"{source.partition(';')[0]} ({count})" for source, count in prices.sources.items())
    print(f"Prices of {prices.oldest} or later: {sources}.", file=sys.stderr)
    if prices.old:
        more = len(prices.old) - OLD_NAMED
        named = ", ".join(prices.old[:OLD_NAMED]) + (f" and {more} more" if more > 0 else "")
        print(
            f"warning: the prices of {named} are older than 90 days. Compare them with replicate.com/pricing; your own "
            "go into a file that ASSETLINE_REPLICATE_MODELS names.",
            file=sys.stderr,
        )


def _attempt_lines(attempt: PaidAttempt) -> Iterator[str]:
    yield (
        f"{attempt.id}: {attempt.campaign}, row {attempt.row}, {attempt.model}: {_amount(attempt.reserved_usd)} USD "
        f"reserved; {attempt.state} since {_minute(attempt.state_at)}"
    )
    if attempt.reason:
        yield f"    {attempt.reason}"
    known = f"prediction {attempt.prediction_id}" if attempt.prediction_id else "no prediction id came back"
    yield f"    {known}; meant at {_minute(attempt.intent_at)}, run {attempt.run_id}"


def _how_to_decide(waiting: Sequence[PaidAttempt]) -> Iterator[str]:
    first = waiting[0]
    yield ""
    yield f"Look each one up in the account of {first.provider}, by its id, or its time and model. Then say:"
    yield f"  assetline costs release {first.id}         it was not charged"
    yield f"  assetline costs settle {first.id} {_amount(first.reserved_usd)}     it was charged, so many USD"


def _facts(by: By, totals: Sequence[Total], waiting: Sequence[PaidAttempt], prices: PriceTable) -> dict[str, Any]:
    """`costs --json`."""
    return {
        "by": by,
        "totals": [asdict(total) for total in totals],
        "settled_usd": round(sum(total.settled_usd for total in totals), 6),
        "reserved_usd": round(sum(total.reserved_usd for total in totals), 6),
        "held": [_attempt_facts(attempt) for attempt in waiting],
        "prices": {"oldest": prices.oldest.isoformat(), "sources": prices.sources, "old": list(prices.old)},
    }


def _attempt_facts(attempt: PaidAttempt) -> dict[str, Any]:
    names = ("id", "campaign", "run_id", "row", "provider", "model", "prediction_id", "state", "reserved_usd", "reason")
    times = {"intent_at": attempt.intent_at.isoformat(), "state_at": attempt.state_at.isoformat()}
    return {name: getattr(attempt, name) for name in names} | times


def _amount(usd: float) -> str:
    """Cents, and more digits where the amount has them: `0.04`, `0.003`."""
    text = f"{usd:,.6f}".rstrip("0")
    return text + "0" * max(0, 2 - len(text.partition(".")[2]))


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
