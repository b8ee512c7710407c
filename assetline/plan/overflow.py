"""What goes to Replicate because the office's GPUs would not be done in time: a rule, and the figures that it gives."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from assetline.errors import OptionError
from assetline.plan.budget import CENT_PART, CostRange, Money, quote_paid, total
from assetline.plan.paid_models import Models, PaidModel, find_paid
from assetline.plan.parameters import FIELDS
from assetline.records import ImageRequest, PlannedRequest, Record, Row, Value
from assetline.workflow import Workflow, defaults

OFF = "off"
_LIMIT = re.compile(r"(\d{1,4})\s*(s|m|h)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class OverflowQuote(Record):
    """How many pictures will probably go, and for how much: the GPUs alone would take `minutes`."""

    pictures: int
    minutes: float
    limit_minutes: float
    cost_usd: CostRange


@dataclass(frozen=True)
class Overflow:
    """What may go: by the key of the request the one that Replicate makes instead. `quote` is None where it is off."""

    requests: Mapping[str, ImageRequest] = field(default_factory=dict)
    quote: OverflowQuote | None = None


NO_OVERFLOW = Overflow()


def limit_of(written: str) -> float | None:
    """Seconds from `30m`, `2h` or `90s`; None for `off`. Raises OptionError."""
    text = written.strip().lower()
    if text in {OFF, ""}:
        return None
    found = _LIMIT.fullmatch(text)
    if not found:
        raise OptionError(f'"{written}" is no overflow. Write off, or how long the GPUs may take: 30m, 2h.')
    return int(found[1]) * _SECONDS[found[2]]


def equivalents_of(
    to_make: Sequence[PlannedRequest], rows: Sequence[Row], workflows: Mapping[str, Workflow], models: Models
) -> dict[str, ImageRequest]:
    """By request key, what Replicate would make instead: of rows with backend `auto`, where the contract names it."""
    free = {row.number for row in rows if row.backend == "auto"}
    found = {
        planned.request.key: equivalent_of(planned.request, workflows, models)
        for planned in to_make
        if planned.row_number in free
    }
    return {key: request for key, request in found.items() if request}


def equivalent_of(request: ImageRequest, workflows: Mapping[str, Workflow], models: Models) -> ImageRequest | None:
    """The request for the model that the workflow's contract calls equivalent; None where it would be another picture.

    A value that the model has no place for must be the workflow's default: a LoRA or a checkpoint of the row's own is
    not to be had there.
    """
    workflow = workflows.get(request.workflow or "")
    known = workflow.contract.equivalent.get("replicate") if workflow else None
    model = find_paid(known.model, models) if known else None
    if workflow is None or known is None or model is None:
        return None
    usual = defaults(workflow)
    if any(value != usual.get(name) for name, value in request.parameters.items() if name not in known.parameters):
        return None
    values = {to: request.parameters[name] for name, to in known.parameters.items() if name in request.parameters}
    return _fitting(request, model, values)


def choose_overflow(
    to_make: Sequence[PlannedRequest],
    equivalents: Mapping[str, ImageRequest],
    seconds_of: Callable[[Sequence[PlannedRequest]], float],
    limit_s: float,
    money: Money,
) -> Overflow:
    """As few as end the rest within `limit_s`, from those that would be made last; never more than the caps allow.

    `seconds_of` gives how long the GPUs need for some requests.
    """
    alone = seconds_of(to_make)
    in_turn = sorted(to_make, key=lambda planned: -planned.priority)  # stable: then the order of the sheet
    last_first = [planned for planned in reversed(in_turn) if planned.request.key in equivalents]
    allowed = last_first[: _affordable(last_first, to_make, equivalents, money)] if alone > limit_s else []

    def is_enough(count: int) -> bool:
        gone = {planned.request.key for planned in allowed[:count]}
        return seconds_of([planned for planned in to_make if planned.request.key not in gone]) <= limit_s

    count = bisect_left(range(len(allowed)), True, key=is_enough)
    chosen = {planned.request.key: equivalents[planned.request.key] for planned in allowed[:count]}
    cost = total(_price(request, money) for request in chosen.values())
    minutes, limit = round(alone / 60, 1), round(limit_s / 60, 2)
    return Overflow(chosen, OverflowQuote(pictures=count, minutes=minutes, limit_minutes=limit, cost_usd=cost))


def _affordable(
    last_first: Sequence[PlannedRequest],
    to_make: Sequence[PlannedRequest],
    equivalents: Mapping[str, ImageRequest],
    money: Money,
) -> int:
    """How many of them the caps allow, when all that must be paid anyway has been."""
    due = quote_paid(to_make, money)
    left = min((cap.left_usd for cap in money.caps), default=float("inf")) - (due.cost_usd.high if due else 0.0)
    for count, planned in enumerate(last_first):
        request = equivalents[planned.request.key]
        if money.models[request.model or ""].reserve(request) > left + CENT_PART:
            return count
        left -= _price(request, money).high
    return len(last_first)


def _price(request: ImageRequest, money: Money) -> CostRange:
    low, high = money.models[request.model or ""].price_range(request)
    return CostRange(low=low, high=high)


def _fitting(request: ImageRequest, model: PaidModel, values: Mapping[str, Value]) -> ImageRequest | None:
    """The request for this model, if it can do all of it at the very size."""
    if any(name in FIELDS for name in values) or (request.negative_prompt and not model.negative_prompt):
        return None
    facts = {"workflow": None, "workflow_sha256": None, "model": model.ref, "parameters": model.complete(values)}
    made = request.model_copy(update=facts)
    return None if model.misfits(made, (), strict=True) else made
