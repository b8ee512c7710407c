"""What paid pictures will cost, what may still be spent, how many of them fit. Figures alone; the ledger decides."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from assetline.plan.paid_models import PaidModel
from assetline.records import PlannedRequest, Record

CapKind = Literal["run", "campaign", "day"]

SETTING: dict[CapKind, str] = {
    "run": "--max-cost, ASSETLINE_MAX_COST",
    "campaign": "ASSETLINE_MAX_COST_CAMPAIGN",
    "day": "ASSETLINE_MAX_COST_DAY",
}
OF: dict[CapKind, str] = {"run": "this run", "campaign": "this campaign", "day": "today (UTC)"}
CENT_PART = 1e-9  # sums of floats miss by less


class CostRange(Record):
    """What may be spent, in US dollars."""

    low: float
    high: float


class CapQuote(Record):
    """A cap in US dollars: of what, how much it is, and how much of it is left."""

    cap: CapKind
    usd: float
    left_usd: float


class PriceQuote(Record):
    """A price that a quote stands on: for how many pictures, where it is from, of what day; `old`: that is long ago."""

    model: str
    pictures: int
    usd: float
    per: Literal["image", "second"]
    source: str
    date: dt.date
    old: bool


class PaidQuote(Record):
    """The part of a quote that costs money. `pictures` are to be paid, `paid` have been and are only fetched.

    `fit` of them are within `cap`, the one with the least left; None: there is no cap. `most_usd` is the most that
    one may cost: so much must be left for it to be begun.
    """

    pictures: int
    paid: int
    fit: int
    cost_usd: CostRange
    most_usd: float
    cap: CapQuote | None
    prices: tuple[PriceQuote, ...]


@dataclass(frozen=True)
class Money:
    """What is known of money: the models by `ref`, every cap, and the requests that have been paid for already."""

    models: Mapping[str, PaidModel] = field(default_factory=dict)
    caps: tuple[CapQuote, ...] = ()
    paid: frozenset[str] = frozenset()
    today: dt.date = dt.date.min

    def price_of(self, planned: PlannedRequest) -> CostRange:
        """What a request will cost; nothing where it is free or has been paid for."""
        model = self.models.get(planned.request.model or "")
        if model is None or planned.request.key in self.paid:
            return CostRange(low=0.0, high=0.0)
        low, high = model.price_range(planned.request)
        return CostRange(low=low, high=high)


def quote_paid(to_make: Sequence[PlannedRequest], money: Money) -> PaidQuote | None:
    """What of `to_make` costs money; None where nothing does."""
    ours = [planned for planned in to_make if planned.request.model in money.models]
    due = [planned for planned in ours if planned.request.key not in money.paid]
    if not ours:
        return None
    cap = min(money.caps, key=lambda cap: cap.left_usd, default=None)
    most = [money.models[planned.request.model or ""].reserve(planned.request) for planned in due]
    return PaidQuote(
        pictures=len(due),
        paid=len(ours) - len(due),
        fit=_fitting(due, most, money, cap.left_usd) if cap else len(due),
        cost_usd=total(money.price_of(planned) for planned in due),
        most_usd=round(max(most, default=0.0), 6),
        cap=cap,
        prices=_prices(due, money),
    )


def total(ranges: Iterable[CostRange]) -> CostRange:
    """The sum of some ranges."""
    found = list(ranges)
    return CostRange(low=round(sum(each.low for each in found), 6), high=round(sum(each.high for each in found), 6))


def _fitting(due: Sequence[PlannedRequest], most: Sequence[float], money: Money, left: float) -> int:
    """How many can be begun, one after the other: the most that one may cost must be left; what it will cost goes."""
    fit = 0
    for planned, reserved in zip(due, most, strict=True):
        if reserved <= left + CENT_PART:
            fit += 1
            left -= money.price_of(planned).high
    return fit


def _prices(due: Sequence[PlannedRequest], money: Money) -> tuple[PriceQuote, ...]:
    counts = Counter(planned.request.model or "" for planned in due)
    return tuple(_price(money.models[ref], count, money.today) for ref, count in counts.most_common())


def _price(model: PaidModel, pictures: int, today: dt.date) -> PriceQuote:
    price = model.price
    return PriceQuote(
        model=model.name,
        pictures=pictures,
        usd=price.usd,
        per=price.per,
        source=price.source,
        date=price.date,
        old=price.is_old(today),
    )


# --- in words


def refusal(paid: PaidQuote, free: int) -> str:
    """Why a run is not begun; empty where it may be. Work that costs nothing goes on, so that it is never refused."""
    cap = paid.cap
    if free or paid.paid or cap is None or not paid.pictures:
        return ""
    if paid.fit and cap.left_usd + CENT_PART >= paid.cost_usd.low:
        return ""
    return f"{in_words(paid)}, and {left_in_words(cap)}.{_holding_back(paid)} Nothing was made."


def in_words(paid: PaidQuote) -> str:
    """The estimate: `This will cost 1.20 to 1.80 USD on Replicate (24 pictures)`."""
    pictures = f"{paid.pictures:,} picture{'' if paid.pictures == 1 else 's'}"
    return f"This will cost {range_in_words(paid.cost_usd)} on Replicate ({pictures})"


def range_in_words(cost: CostRange) -> str:
    """`1.20 to 1.80 USD`, `0.003 USD`."""
    low, high = amount(cost.low), amount(cost.high)
    return f"{high} USD" if low == high else f"{low} to {high} USD"


def left_in_words(cap: CapQuote) -> str:
    """`the cap for this run is 5.00 USD (--max-cost, ...)`, and how much of it is left where some is gone."""
    gone = "" if cap.left_usd >= cap.usd else f", of which {amount(cap.left_usd)} are left"
    return f"the cap for {OF[cap.cap]} is {amount(cap.usd)} USD{gone} ({SETTING[cap.cap]})"


def amount(usd: float) -> str:
    """Cents, and up to four digits where the amount has them: `0.04`, `0.003`."""
    text = f"{usd:,.4f}".rstrip("0")
    return text + "0" * max(0, 2 - len(text.partition(".")[2]))


def _holding_back(paid: PaidQuote) -> str:
    """Why nothing fits though the estimate would: what a picture may cost at most must be left."""
    if paid.fit or not paid.cap or paid.cap.left_usd < paid.cost_usd.low:
        return ""
    return f" A picture that is paid by the second may cost up to {amount(paid.most_usd)} USD, which must be left."
