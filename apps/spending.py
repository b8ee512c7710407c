"""Before money is spent: what it will come to, and a person's word."""

from __future__ import annotations

import sys

from apps.check import make_quote, overflow_in_words
from apps.words import many
from assetline.bootstrap.planning import Planning
from assetline.errors import BudgetRefused
from assetline.plan import CapKind, PaidQuote, Quote, in_words, left_in_words, refusal
from assetline.run_records import RunOptions
from assetline.settings import Settings


def may_spend(planning: Planning, options: RunOptions, settings: Settings, *, agreed: bool) -> bool:
    """Whether the run may begin: nothing of it costs money, or it fits under the caps and somebody has said yes.

    Raises BudgetRefused where nothing could be made, or where nobody can be asked; StoreUnreachable.
    """
    offer = make_quote(planning, options, settings)
    cap: CapKind = "run"
    said = []
    if (paid := offer.paid) and paid.cap:
        cap = paid.cap.cap
        if words := refusal(paid, _free(offer, paid)):
            raise BudgetRefused(words, cap=cap)
        if paid.fit < paid.pictures:
            left_out = many(paid.pictures - paid.fit, "picture")
            print(f"{left_out} at Replicate will be refused: {left_in_words(paid.cap)}.", file=sys.stderr)
        said += [f"{in_words(paid)}; {left_in_words(paid.cap)}."] if paid.fit else []
    if offer.overflow and offer.overflow.most:
        words = overflow_in_words(offer.overflow)
        said.append(f"{words[0].upper()}{words[1:]}.")
    if not said or agreed:
        return True
    question = " ".join(said)
    if not on_a_terminal():
        raise BudgetRefused(f"{question} Nobody is here to ask: --yes agrees to it. Nothing was made.", cap=cap)
    return _said_yes(question)


def on_a_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _free(offer: Quote, paid: PaidQuote) -> int:
    return offer.to_make - paid.pictures - paid.paid


def _said_yes(question: str) -> bool:
    print(f"{question} Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() in {"y", "yes"}:
        return True
    print("Nothing was made.", file=sys.stderr)
    return False
