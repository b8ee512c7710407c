"""What a run owes to those before it: rows that the sheet has lost are retired, and what was said is not said again."""

from __future__ import annotations

from dataclasses import replace

from assetline.errors import ObjectMissing, StoreError, StoreUnreachable
from assetline.pipeline.asset import Bench
from assetline.pipeline.books import KEPT
from assetline.pipeline.write import CONTACT_SHEET, MANIFEST_CSV, MONTAGE, RunResult
from assetline.plan import CampaignPlan
from assetline.plan.difference import is_selection, removed_rows, retire, unsure_rows
from assetline.records import Outcome
from assetline.run_records import RunRecord
from assetline.store import Store
from assetline.store.history import RetiredRow, kind_of, newest_records, read_history, read_outcomes
from assetline.store.layout import run_key, run_prefix


def find_retired(bench: Bench, plan: CampaignPlan) -> tuple[RetiredRow, ...]:
    """The rows that the campaign had and `plan`'s sheet no longer has. Raises StoreUnreachable."""
    if is_selection(plan):
        return ()
    kinds = {kind_of(planned.request.workflow, planned.request.model) for planned in plan.requests}
    history = read_history(bench.store, bench.campaign, kinds)
    if removed_rows(plan, history):  # their comps and their real renders are both retired
        history = read_history(bench.store, bench.campaign)
    return retire(plan, history, bench.run_id)


def find_unsure(bench: Bench, plan: CampaignPlan) -> tuple[str, ...]:
    """The rows that may stand in a part of the sheet that cannot be read: left out, not retired.

    Raises StoreUnreachable.
    """
    return unsure_rows(plan, read_history(bench.store, bench.campaign)) if plan.sheet.hides_ids else ()


def find_same(store: Store, result: RunResult) -> RunResult | None:
    """`result` as an earlier run that already says all of it; None where none does. Raises StoreUnreachable.

    Between the two there may be runs of a few rows of the very same sheet, which change nothing, and no others.
    """
    record = result.record
    for earlier in newest_records(store, record.campaign):
        if (earlier.sheet_sha256, earlier.rows) == (record.sheet_sha256, record.rows):
            return _as(earlier, result, store) if _says(earlier, result, store) else None
        if record.rows or not earlier.rows or earlier.sheet_sha256 != record.sheet_sha256:
            return None
    return None


def _says(earlier: RunRecord, result: RunResult, store: Store) -> bool:
    """Whether the earlier run has the same outcome of each request, and the same rows retired."""
    record = result.record
    if earlier.interrupted or (earlier.retired, earlier.left_out) != (record.retired, record.left_out):
        return False
    if not _is_whole(earlier, store):
        return False
    try:
        before = read_outcomes(store, earlier.campaign, earlier.run_id)
    except StoreUnreachable:
        raise
    except StoreError:
        return False
    return [_essence(outcome) for outcome in before] == [_essence(outcome) for outcome in result.outcomes]


def _is_whole(run: RunRecord, store: Store) -> bool:
    """Whether what the run wrote for people is still there: a link that leads nowhere helps nobody."""
    there = set(store.list(run_prefix(run.campaign, run.run_id)))
    named = {run_key(run.campaign, run.run_id, name) for name in (CONTACT_SHEET, MANIFEST_CSV)}
    return named <= there and (not run.results or run.results in set(map(store.uri_of, there)))


def _essence(outcome: Outcome) -> tuple[object, ...]:
    """What an outcome says whichever run says it: the one that made a picture, or one that found it made."""
    is_kept = outcome.status in KEPT
    place = (outcome.row, outcome.row_number, outcome.variant, outcome.size, outcome.request_key, outcome.tags)
    status = ("kept", "") if is_kept else (outcome.status, outcome.reason)
    return (*place, *status, outcome.duplicate_of, outcome.asset)


def _as(earlier: RunRecord, result: RunResult, store: Store) -> RunResult:
    """The result under the name and with the files of an earlier run."""
    campaign, run_id = earlier.campaign, earlier.run_id
    places = {
        "run_id": run_id,
        "run": store.uri_of(run_prefix(campaign, run_id).rstrip("/")),
        "contact_sheet": store.uri_of(run_key(campaign, run_id, CONTACT_SHEET)),
        "results": earlier.results,
    }
    try:
        montage = store.get(run_key(campaign, run_id, MONTAGE)).data
    except ObjectMissing:
        montage = b""
    return replace(result, record=result.record.model_copy(update=places), montage=montage, same_again=True)
