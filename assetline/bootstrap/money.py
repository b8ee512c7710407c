"""What a run may spend, and what its pictures cost: options, settings, the ledger and the plan. Quick to import."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from pydantic import SecretStr

from assetline.bootstrap.planning import REPLICATE, Planning, lane_kinds, lane_label, open_store
from assetline.errors import BudgetRefused, OptionError
from assetline.plan import (
    NO_OVERFLOW,
    CapQuote,
    Known,
    Money,
    Overflow,
    Pace,
    PaidQuote,
    choose_overflow,
    equivalents_of,
    fresh_requests,
    limit_of,
    local_seconds,
    quote_paid,
    refusal,
)
from assetline.plan.paid_models import by_ref
from assetline.records import PlannedRequest
from assetline.run_records import RunOptions
from assetline.settings import Settings
from assetline.store.existing import find_originals

if TYPE_CHECKING:
    from assetline.ledger import Ledger  # brings SQLAlchemy, which takes 0.3 s

FETCHED_WITHIN = timedelta(minutes=55)  # Replicate keeps a picture for an hour


def costs_money(planning: Planning) -> bool:
    """Whether any picture of the plan is one that is paid for, made already or not."""
    refs = by_ref(planning.models)
    return any(planned.request.model in refs for planned in planning.plan.requests)


def run_cap_usd(planning: Planning, options: RunOptions, settings: Settings) -> float:
    """What the run may spend: the option, else the setting; a sheet's own `max_cost` can only lower it."""
    allowed = settings.max_cost if options.max_cost is None else options.max_cost
    own = planning.plan.sheet.options.max_cost
    return allowed if own is None else min(own, allowed)


def known_money(planning: Planning, options: RunOptions, settings: Settings, ledger: Ledger | None) -> Money:
    """The prices, the caps with what is gone of them, and what has been paid for. Raises LedgerUnreachable."""
    now = datetime.now(UTC)
    refs = by_ref(planning.models)
    ours = {planned.request.key for planned in planning.plan.requests if planned.request.model in refs}
    if overflow_limit(planning, options, settings) is not None and _gone(ledger, campaign=planning.plan.campaign):
        ours |= {planned.request.key for planned in planning.plan.requests if planned.request.workflow}
    paid = frozenset(_paid(ours, ledger, now)) if ledger else frozenset()
    return Money(refs, _caps(planning, options, settings, partial(_gone, ledger)), paid, now.date())


def money_now(planning: Planning, options: RunOptions, settings: Settings, ledger: Ledger | None, run_id: str) -> Money:
    """The prices and the caps while a run goes on. Raises LedgerUnreachable.

    What the run itself has but reserved is not gone: it will cost far less, and the caller knows what is under way.
    """
    if ledger is None:
        return known_money(planning, options, settings, None)
    mine = ledger.spent(run_id=run_id)

    def gone(**scope: str) -> float:
        if not scope:
            return mine.settled_usd
        return max(mine.settled_usd, _gone(ledger, **scope) - mine.reserved_usd)

    return Money(by_ref(planning.models), _caps(planning, options, settings, gone), today=datetime.now(UTC).date())


def may_cost(planning: Planning, options: RunOptions, settings: Settings) -> bool:
    """Whether the run may come to spend money: it has pictures that are paid for, or overflow is on."""
    return costs_money(planning) or overflow_limit(planning, options, settings) is not None


def overflow_limit(planning: Planning, options: RunOptions, settings: Settings) -> float | None:
    """How many seconds the GPUs may take before others help; None where it is off, or where there are no GPUs."""
    has_workers = "comfyui" in lane_kinds(planning.lanes).values()
    return limit_of(options.overflow or settings.overflow) if has_workers else None


def plan_overflow(
    planning: Planning, options: RunOptions, settings: Settings, to_make: Sequence[PlannedRequest], known: Known
) -> Overflow:
    """What of `to_make` may go to Replicate since the GPUs would not be done in time."""
    limit = overflow_limit(planning, options, settings)
    if limit is None:
        return NO_OVERFLOW
    lanes = {lane_label(name): kind for name, kind in lane_kinds(planning.lanes).items()}
    equivalents = equivalents_of(to_make, planning.plan.rows, planning.workflows, planning.models)
    return choose_overflow(to_make, equivalents, lambda some: local_seconds(some, lanes, known), limit, known.money)


def before_spending(planning: Planning, options: RunOptions, settings: Settings, ledger: Ledger) -> Overflow:
    """What may overflow, once it is clear that the run can begin.

    Raises BudgetRefused where no cap lets anything be made, OptionError without a token, StoreUnreachable,
    LedgerUnreachable.
    """
    store = open_store(options.store or settings.store, settings)
    found = find_originals(store, planning.plan.campaign, planning.plan.requests)
    to_make = fresh_requests(planning.plan.requests, {original.planned.request.key for original in found})
    money = known_money(planning, options, settings, ledger)
    overflow = plan_overflow(planning, options, settings, to_make, Known(planning.fleet, Pace(ledger.speeds()), money))
    if costs_money(planning) or overflow.requests:
        require_token(settings)
    paid = quote_paid(to_make, money)
    if paid and paid.cap and (words := refusal(paid, free_of(to_make, paid))):
        raise BudgetRefused(words, cap=paid.cap.cap)
    return overflow


def free_of(to_make: Iterable[PlannedRequest], paid: PaidQuote) -> int:
    """How many of the pictures to make cost nothing."""
    return sum(1 for _ in to_make) - paid.pictures - paid.paid


def require_token(settings: Settings) -> SecretStr:
    """Replicate's token. Raises OptionError where there is none."""
    token = settings.replicate_api_token
    if token is None or not token.get_secret_value().strip():
        raise OptionError(
            "The Replicate lane needs a token: set REPLICATE_API_TOKEN in the environment or in .env "
            "(replicate.com/account/api-tokens has yours), or leave --lane replicate out."
        )
    return token


def _caps(
    planning: Planning, options: RunOptions, settings: Settings, gone: Callable[..., float]
) -> tuple[CapQuote, ...]:
    """Every cap, with what is left when that much is `gone`: of a campaign or a day; without either, of the run."""
    caps = [_cap("run", run_cap_usd(planning, options, settings), gone())]
    if settings.max_cost_campaign is not None:
        caps.append(_cap("campaign", settings.max_cost_campaign, gone(campaign=planning.plan.campaign)))
    if settings.max_cost_day is not None:
        caps.append(_cap("day", settings.max_cost_day, gone(day=f"{datetime.now(UTC):%Y-%m-%d}")))
    return tuple(caps)


def _cap(kind: str, usd: float, gone: float) -> CapQuote:
    return CapQuote.model_validate({"cap": kind, "usd": usd, "left_usd": round(max(usd - gone, 0.0), 6)})


def _gone(ledger: Ledger | None, **scope: str) -> float:
    """What a campaign or a day has cost and may still cost; of a run that has not begun nothing."""
    if ledger is None or not scope:
        return 0.0
    spent = ledger.spent(**scope)
    return spent.settled_usd + spent.reserved_usd


def _paid(keys: Iterable[str], ledger: Ledger, now: datetime) -> Iterable[str]:
    """The requests of which an attempt goes on, or has ended so lately that its picture is still to be had."""
    for key in keys:
        attempt = ledger.attempt(key, REPLICATE)
        if attempt is None:
            continue
        is_there = attempt.state == "succeeded" and now - attempt.state_at < FETCHED_WITHIN
        if attempt.is_open or is_there:
            yield key
