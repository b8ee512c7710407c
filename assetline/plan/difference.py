"""What a plan changes against what earlier runs of the campaign say of its rows: added, changed, removed, unchanged.

A row is its id. It is changed where it asks for other requests or sizes on the same kind of lane, whatever is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from pydantic import Field

from assetline.catalogue import slug
from assetline.plan.campaign import CampaignPlan
from assetline.records import Outcome, PlannedRequest, Record, Row
from assetline.sheet.columns import COLUMNS
from assetline.store.history import History, Kind, PastRow, RetiredRow, kind_of

EarlierRows = Callable[[str], Mapping[str, Row]]
"""The rows of the sheet that a run read, by their ids; empty where its copy is gone or cannot be read."""

LANE = "lane"
OUTSIDE = "outside the row"
WITHOUT_EFFECT = {"id", "priority", "tags"}  # columns that make no other picture
_KNOWN = {column.name for column in COLUMNS}
_WORDS = {"fpo": "a comp (FPO)", "comfyui": "on ComfyUI", "replicate": "at Replicate"}
_PLACEHOLDER = re.compile(r"\{([^{}|]+)\}")


class Difference(Record):
    """The rows of a plan against those of `since`, the newest run; ids in the order of the sheet.

    `back` are those of `added` whose pictures an earlier run asked for already: nothing new to make. `without_id` are
    those of `added` that the sheet gives no id. `changed_by` says what made each changed row another: columns, or
    (`lane: ...`, `outside the row: ...`) what is none.
    """

    since: str
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: int = 0
    back: tuple[str, ...] = ()
    without_id: tuple[str, ...] = ()
    changed_by: dict[str, tuple[str, ...]] = Field(default_factory=dict)


def compare(plan: CampaignPlan, history: History, earlier_rows: EarlierRows = lambda _run_id: {}) -> Difference | None:
    """The difference; None where no run has ended yet. Rows with errors are none of the four.

    Of a selection of rows only these are compared, and nothing is removed.
    """
    if not history.since:
        return None
    wanted = _by_row(plan.requests)
    rows = {row.id: row for row in plan.rows}
    known = history.keys()
    stands = [row for row in wanted if row in history.active and row in history.rows]
    added = [row for row in wanted if row not in history.active or row not in history.rows]
    changed_by = {
        row: _reasons(rows[row], wanted[row], history.rows[row], earlier_rows)
        for row in stands
        if _is_changed(wanted[row], history.rows[row])
    }
    return Difference(
        since=history.since,
        added=tuple(added),
        changed=tuple(changed_by),
        removed=removed_rows(plan, history),
        unchanged=len(stands) - len(changed_by),
        back=tuple(row for row in added if {planned.request.key for planned in wanted[row]} <= known),
        without_id=tuple(row for row in added if not _is_named(rows[row])),
        changed_by=changed_by,
    )


def removed_rows(plan: CampaignPlan, history: History) -> tuple[str, ...]:
    """The rows that the newest runs had and the sheet has no more; none where only some rows are to be run, nor where
    the sheet has a row whose id cannot be read.
    """
    return () if plan.sheet.hides_ids else _missing_rows(plan, history)


def unsure_rows(plan: CampaignPlan, history: History) -> tuple[str, ...]:
    """The rows that may be among those of the sheet whose ids cannot be read."""
    return _missing_rows(plan, history) if plan.sheet.hides_ids else ()


def _missing_rows(plan: CampaignPlan, history: History) -> tuple[str, ...]:
    if is_selection(plan):
        return ()
    there = {row.id for row in plan.sheet.rows}
    return tuple(row for row in history.active if row not in there and row in history.rows)


def is_selection(plan: CampaignPlan) -> bool:
    """Whether only some of the sheet's rows are planned (`--rows`)."""
    return len(plan.rows) < len(plan.sheet.rows)


def retire(plan: CampaignPlan, history: History, run_id: str) -> tuple[RetiredRow, ...]:
    """Every row that the campaign had and its sheet no longer has, those that were retired before among them.

    What another row of the plan asks for (a row that was renamed) is not retired with it. A run of a selection of rows
    says nothing of the others: none.
    """
    if is_selection(plan):
        return ()
    wanted = {planned.request.key for planned in plan.requests}
    there = {row.id for row in plan.sheet.rows}
    before = [row for row in history.retired.values() if row.row not in there]
    now = (
        RetiredRow(row=row, retired_in=run_id, outcomes=tuple(_all_of(history.rows.get(row, {}))))
        for row in removed_rows(plan, history)
    )
    return tuple(left for row in (*before, *now) if (left := _without(row, wanted)).outcomes)


def _all_of(kinds: Mapping[Kind, PastRow]) -> Iterator[Outcome]:
    for row in kinds.values():
        yield from row.outcomes


def _without(row: RetiredRow, wanted: set[str]) -> RetiredRow:
    left = tuple(outcome for outcome in row.outcomes if outcome.request_key not in wanted)
    return row.model_copy(update={"outcomes": left})


def _by_row(requests: Iterable[PlannedRequest]) -> dict[str, list[PlannedRequest]]:
    found: dict[str, list[PlannedRequest]] = {}
    for planned in requests:
        found.setdefault(planned.row, []).append(planned)
    return found


def _kind(requests: Sequence[PlannedRequest]) -> Kind:
    """A row's requests are all for one kind of lane."""
    return kind_of(requests[0].request.workflow, requests[0].request.model)


def _is_changed(requests: Sequence[PlannedRequest], past: Mapping[Kind, PastRow]) -> bool:
    """Whether it asks for other pictures, or for the same under other sizes: a channel more is a file more."""
    state = past.get(_kind(requests))
    if state is None:
        return True
    now = {(planned.request.key, planned.size) for planned in requests}
    before = {(outcome.request_key, outcome.size) for outcome in state.outcomes}
    return now != before or _lacks_files(requests, state.outcomes)


def _lacks_files(requests: Sequence[PlannedRequest], outcomes: Sequence[Outcome]) -> bool:
    """Whether a channel takes a file that was not cut from its picture yet."""
    assets = {outcome.request_key: outcome.asset for outcome in outcomes if outcome.status != "rejected"}
    return any(
        not any(made.serves(exact) for made in asset.renditions)
        for planned in requests
        if (asset := assets.get(planned.request.key))
        for exact in planned.exact
    )


def _is_named(row: Row) -> bool:
    cell = row.cells.get("id")
    return cell is not None and bool(cell.value.strip())


def _reasons(
    row: Row, requests: Sequence[PlannedRequest], past: Mapping[Kind, PastRow], earlier_rows: EarlierRows
) -> tuple[str, ...]:
    """What made the row another one: its columns, else what of its requests."""
    state = past.get(_kind(requests))
    if state is None:
        before = " and ".join(_WORDS[kind] for kind in past)
        return (f"{LANE}: {before} until now, {_WORDS[_kind(requests)]} this time",)
    earlier = earlier_rows(state.run_id).get(row.id)
    columns = changed_columns(earlier, row) if earlier else ()
    return columns or (f"{OUTSIDE}: {_what_differs(requests, state.outcomes)}",)


def changed_columns(before: Row, now: Row) -> tuple[str, ...]:
    """The columns whose cells differ and that can make another picture, by their headers.

    An own column counts where a text of the row has it as `{placeholder}`, or where no other column differs.
    """
    names = dict.fromkeys([*now.cells, *before.cells])
    differing = [name for name in names if _cell(before, name) != _cell(now, name) and name not in WITHOUT_EFFECT]
    used = {slug(name) for row in (before, now) for text in _texts(row) for name in _PLACEHOLDER.findall(text)}
    telling = [name for name in differing if name in _KNOWN or "@" in name or slug(name) in used]
    return tuple((now.cells.get(name) or before.cells[name]).column for name in telling or differing)


def _cell(row: Row, name: str) -> str:
    cell = row.cells.get(name)
    return cell.value.strip() if cell else ""


def _texts(row: Row) -> Iterator[str]:
    yield from (row.prompt, row.negative_prompt or "")
    yield from (text for texts in row.locales.values() for text in texts.values())


def _what_differs(requests: Sequence[PlannedRequest], outcomes: Sequence[Outcome]) -> str:
    """What of the requests is another, where no cell of the row is: a style's text, the Options sheet, a workflow."""
    now = [_facts_of(Outcome.of(planned, "canceled")) for planned in requests]
    before = [_facts_of(outcome) for outcome in outcomes]
    names = dict.fromkeys(name for facts in (*now, *before) for name in facts)
    found = [name for name in names if {one.get(name) for one in now} != {one.get(name) for one in before}]
    if "variants" in found and "seed" in found:  # each variant has a seed of its own
        found.remove("seed")
    if not found and _lacks_files(requests, outcomes):
        return "what its channels take"
    return ", ".join(found) or "the file of its workflow or of a reference image"


def _facts_of(outcome: Outcome) -> dict[str, object]:
    return {
        "prompt": outcome.prompt,
        "negative prompt": outcome.negative_prompt,
        "size": (outcome.label.rpartition("-")[2], outcome.size),
        "variants": outcome.variant,
        "seed": outcome.seed,
        "workflow": outcome.workflow,
        "model": outcome.model,
        **outcome.parameters,
    }
