"""What goes to Replicate because the office's GPUs would not be done in time: the rule, before a run and during it."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from assetline.errors import OptionError
from assetline.plan.budget import CENT_PART, CostRange, Money, quote_paid, total
from assetline.plan.pace import AT_ONCE, LEAST_SECONDS, SECONDS_PER_PICTURE
from assetline.plan.paid_models import Models, PaidModel, find_paid
from assetline.plan.parameters import FIELDS
from assetline.records import ImageRequest, PlannedRequest, Record, Row, Value
from assetline.workflow import Workflow, defaults

OFF = "off"
_LIMIT = re.compile(r"(\d{1,4})\s*(s|m|h)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}

DOUBT_OF_GUESS = 2.0  # so many times as quick as a first guess may workers be
DOUBT_OF_LEARNED = 1.25  # and so many times as quick as they have been
LATEST = 2.0  # times what Replicate will probably need is the least that is left for it, and
MARGIN_S = 60.0  # so much more: a model that nobody used for a while takes a minute to start there


class OverflowQuote(Record):
    """How many pictures will probably go, and for how much: the GPUs alone would take `minutes`.

    `most` could go within the caps, for `most_usd` at the high end, if workers fail or are slower than expected;
    `could` have a model there that makes the same picture.
    """

    pictures: int
    minutes: float
    limit_minutes: float
    cost_usd: CostRange
    could: int = 0
    most: int = 0
    most_usd: float = 0.0


@dataclass(frozen=True)
class Overflow:
    """What may go: by the key of the request the one that Replicate makes instead. `quote` is None where it is off.

    `limit_s`: how long the GPUs may take. `paid`: those that have been paid for. Nothing goes by this alone: the run
    decides again and again, by `must_go`.
    """

    requests: Mapping[str, ImageRequest] = field(default_factory=dict)
    quote: OverflowQuote | None = None
    limit_s: float = 0.0
    paid: frozenset[str] = frozenset()


NO_OVERFLOW = Overflow()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A waiting request that may go. `request` is what Replicate would make; `is_free`: that has been paid for already.

    `number` names it to whoever asks; those of one `group` can be made by the same workers.
    """

    number: int
    request: ImageRequest
    group: Hashable = ""
    is_free: bool = False


Without = Callable[[Collection[int]], float]  # seconds that the workers need for the rest, when these have gone


@dataclass(frozen=True)
class Standing:
    """How a run stands. `candidates` are in the order in which they would go: those that would be made last first.

    `seconds` counts on the workers that answer; `at_best` also on those that may come back, and on all of them being
    quicker than is known. `left_s`: until the GPUs should be done. `sent`: pictures that Replicate has now.
    """

    candidates: Sequence[Candidate]
    seconds: Without
    at_best: Without
    left_s: float
    sent: int = 0


def limit_of(written: str) -> float | None:
    """Seconds from `30m`, `2h` or `90s`; None for `off`. Raises OptionError."""
    text = written.strip().lower()
    if text in {OFF, ""}:
        return None
    found = _LIMIT.fullmatch(text)
    if not found:
        raise OptionError(f'"{written}" is no overflow. Write off, or how long the GPUs may take: 30m, 2h.')
    return int(found[1]) * _SECONDS[found[2]]


# --- what would be made instead


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
    values = {}
    for name in known.parameters.keys() & request.parameters.keys():
        value = known.value_of(name, request.parameters[name])
        if value is None:
            return None
        values[known.parameters[name]] = value
    return _fitting(request, model, values)


def _fitting(request: ImageRequest, model: PaidModel, values: Mapping[str, Value]) -> ImageRequest | None:
    """The request for this model, if it can do all of it at the very size."""
    if any(name in FIELDS for name in values) or (request.negative_prompt and not model.negative_prompt):
        return None
    facts = {"workflow": None, "workflow_sha256": None, "model": model.ref, "parameters": model.complete(values)}
    made = request.model_copy(update=facts)
    return None if model.misfits(made, (), strict=True) else made


# --- the rule


def fewest(candidates: Sequence[Candidate], seconds: Without, limit_s: float) -> list[Candidate]:
    """As few as end the rest within `limit_s`; where that cannot be, as few as end it as soon as all of them would.

    Those that would be made last go first. What the workers that are late have no part in stays. Where nobody is left
    for more than `candidates`, all of them go.
    """
    if seconds(()) <= limit_s:
        return []
    goal = max(limit_s, seconds([one.number for one in candidates]))
    if goal == inf:
        return list(candidates)

    def is_enough(gone: Sequence[Candidate]) -> bool:
        return seconds([one.number for one in gone]) <= goal

    count = bisect_left(range(len(candidates)), True, key=lambda count: is_enough(candidates[:count]))
    gone = list(candidates[:count])
    groups = dict.fromkeys(one.group for one in gone)
    for group in groups if len(groups) > 1 else ():
        mine = [one for one in gone if one.group == group]
        others = [one for one in gone if one.group != group]
        needed = bisect_left(range(len(mine)), True, key=lambda count: is_enough([*others, *mine[:count]]))
        kept = {one.number for one in mine[needed:]}
        gone = [one for one in gone if one.number not in kept]
    return gone


def must_go(standing: Standing) -> list[Candidate]:
    """What must go now: what the workers would not make in time even at their best; near the end, at their expected.

    So nothing is paid for that a worker may yet make, and nothing is sent too late to come in time.
    """
    wanted = fewest(standing.candidates, standing.seconds, standing.left_s)
    if not wanted or standing.left_s <= LATEST * seconds_there(len(wanted) + standing.sent) + MARGIN_S:
        return wanted
    return fewest(standing.candidates, standing.at_best, standing.left_s)


def seconds_there(pictures: int) -> float:
    """A first guess of how long Replicate takes from the first of so many to the last."""
    each = max(SECONDS_PER_PICTURE["replicate"] / AT_ONCE["replicate"], LEAST_SECONDS["replicate"])
    return SECONDS_PER_PICTURE["replicate"] + pictures * each


def affordable(candidates: Sequence[Candidate], money: Money, left_usd: float) -> list[Candidate]:
    """So many of them, in their order, as `left_usd` is enough for; what has been paid for needs none."""
    free = [one for one in candidates if one.is_free]
    chosen = []
    for one in candidates:
        if one.is_free:
            continue
        if money.models[one.request.model or ""].reserve(one.request) > left_usd + CENT_PART:
            break
        left_usd -= price_of(one, money).high
        chosen.append(one)
    return [*free, *chosen]


def price_of(candidate: Candidate, money: Money) -> CostRange:
    """What it will cost."""
    if candidate.is_free:
        return CostRange(low=0.0, high=0.0)
    low, high = money.models[candidate.request.model or ""].price_range(candidate.request)
    return CostRange(low=low, high=high)


def choose_overflow(
    to_make: Sequence[PlannedRequest],
    equivalents: Mapping[str, ImageRequest],
    seconds_of: Callable[[Sequence[PlannedRequest]], float],
    limit_s: float,
    money: Money,
) -> Overflow:
    """What will probably go, before a run begins, and what could: as few as needed, never more than the caps allow.

    `seconds_of` gives how long the GPUs need for some requests.
    """
    numbered = dict(enumerate(sorted(to_make, key=lambda planned: -planned.priority)))  # stable: the sheet's order
    candidates = [
        Candidate(number, equivalents[key], planned.request.workflow, key in money.paid)
        for number, planned in reversed(numbered.items())
        if (key := planned.request.key) in equivalents
    ]
    due = quote_paid(to_make, money)
    left = min((cap.left_usd for cap in money.caps), default=inf) - (due.cost_usd.high if due else 0.0)
    allowed = affordable(candidates, money, left)

    def seconds(gone: Collection[int]) -> float:
        away = set(gone)
        return seconds_of([planned for number, planned in numbered.items() if number not in away])

    expected = fewest(allowed, seconds, limit_s)
    return Overflow(
        {numbered[one.number].request.key: one.request for one in candidates} if allowed else {},
        OverflowQuote(
            pictures=len(expected),
            minutes=round(seconds(()) / 60, 1),
            limit_minutes=round(limit_s / 60, 2),
            cost_usd=total(price_of(one, money) for one in expected),
            could=len(candidates),
            most=len(allowed),
            most_usd=total(price_of(one, money) for one in allowed).high,
        ),
        limit_s,
        money.paid & equivalents.keys(),
    )
