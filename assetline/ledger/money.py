"""Money as the ledger counts it: whole micro-dollars inside, USD at the edge; what is asked for and what it came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Any, Literal, get_args

from assetline.ledger_records import PaidState

MICROS = 1_000_000  # of a dollar; the cheapest picture of the catalogue costs 1,000 of them
MOST_USD = 1_000_000_000  # a greater amount is a mistake, and sums of amounts stay far below 2**63 micro-dollars

By = Literal["campaign", "model", "day", "run"]
Settlement = Literal["succeeded", "failed", "canceled", "aborted", "lost"]

OPEN: frozenset[PaidState] = frozenset({"intent", "submitting", "unknown", "submitted", "held"})
SETTLED: frozenset[Any] = frozenset(get_args(Settlement))

# From each state, the states that may follow. What is not here is a mistake in the program.
STEPS: dict[PaidState, frozenset[PaidState]] = {
    "intent": frozenset({"submitting", "released", "held"}),
    "submitting": frozenset({"submitted", "refused", "unknown", "released", "held"}),
    "unknown": frozenset({"submitted", "released", "held"}),
    "submitted": SETTLED.union(("held",)),
    "held": SETTLED.union(("submitted", "released")),
}


@dataclass(frozen=True)
class Caps:
    """The most that may be spent, in USD: by this run, by its campaign, on this UTC day by everybody. None: no cap."""

    run: float | None = None
    campaign: float | None = None
    day: float | None = None


@dataclass(frozen=True)
class Intent:
    """What somebody means to pay for: one picture, `input` exactly as it will be sent, and the most it can cost."""

    request_key: str
    campaign: str
    run_id: str
    row: str
    provider: str
    model: str
    version: str
    input: dict[str, Any] = field(repr=False)
    reserved_usd: float


@dataclass(frozen=True)
class Spent:
    """Money gone, and money that open attempts may still cost, in USD."""

    settled_usd: float
    reserved_usd: float


@dataclass(frozen=True)
class Total:
    """One line of the costs: a campaign, model, day or run, its attempts, and how many of them a person must decide."""

    name: str
    attempts: int
    open: int
    held: int
    settled_usd: float
    reserved_usd: float


@dataclass(frozen=True)
class Entry:
    """One line of the journal: an attempt came into a state, when (UTC, ISO 8601), why, and what it then cost."""

    at: str
    state: PaidState
    reason: str
    cost_usd: float | None


def to_reserve(usd: float) -> int:
    """An amount to reserve: rounded up. Raises ValueError for what is no amount."""
    return _micros(usd, ROUND_CEILING)


def to_cap(usd: float) -> int:
    """A cap: rounded down. Raises ValueError for what is no amount."""
    return _micros(usd, ROUND_FLOOR)


def to_cost(usd: float) -> int:
    """A cost: rounded to the nearest micro-dollar. Raises ValueError for what is no amount."""
    return _micros(usd, ROUND_HALF_EVEN)


def usd(micros: int) -> float:
    """Micro-dollars as USD."""
    return micros / MICROS


def _micros(amount: float, rounding: str) -> int:
    exact = Decimal(str(amount))
    if not exact.is_finite() or not 0 <= exact <= MOST_USD:
        raise ValueError(f"{amount} is no amount of money: it must be 0 to {MOST_USD:,} USD")
    return int((exact * MICROS).to_integral_value(rounding=rounding))
