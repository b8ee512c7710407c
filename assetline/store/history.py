"""What the runs of a campaign say of its rows: which requests each had, on which kind of lane, and which are retired.

A run that began with all rows says which rows there are; one of a few rows (`--rows`) speaks for these alone. Runs of
the same rows as comps and as real renders are told apart, since each has requests of its own.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from pydantic import ValidationError

from assetline.errors import ObjectMissing, StoreError, StoreUnreachable
from assetline.records import Outcome, Record
from assetline.run_records import RunRecord
from assetline.store import Store
from assetline.store.layout import run_key
from assetline.store.runs import RUN_RECORD, finished_run_ids

log = logging.getLogger(__name__)

Kind = Literal["fpo", "comfyui", "replicate"]
KINDS: tuple[Kind, ...] = ("fpo", "comfyui", "replicate")
MANIFEST = "manifest.jsonl"
RETIRED = "retired.jsonl"
LOOK_BACK = 30  # runs at most: one small GET each; only who changes lanes every time needs more than two or three

_COMP = re.compile(r"fpo/\d+")


class RetiredRow(Record):
    """A row that the sheet no longer has: one line of `retired.jsonl`. What was made of it is kept.

    `retired_in` is the first run without it; the outcomes are those of the last run with it, of each kind of lane.
    """

    row: str
    retired_in: str
    outcomes: tuple[Outcome, ...]


Line = TypeVar("Line", Outcome, RetiredRow)


@dataclass(frozen=True)
class PastRow:
    """A row as the newest run that had it on one kind of lane left it; `run_id` is that run."""

    run_id: str
    outcomes: tuple[Outcome, ...]


@dataclass
class History:
    """What runs said, newest first. `since` is the newest of them, empty where there is none.

    `rows` holds each row by the kind of lane that it was asked of; `active` are those that the sheet had at last, in
    its order; `retired` those that it had lost by then. `sheets` names the sheet of each run that was read.
    """

    since: str = ""
    rows: dict[str, dict[Kind, PastRow]] = field(default_factory=dict)
    active: dict[str, None] = field(default_factory=dict)
    retired: dict[str, RetiredRow] = field(default_factory=dict)
    sheets: dict[str, str] = field(default_factory=dict)

    def keys(self) -> frozenset[str]:
        """Every request that is known, of retired rows too."""
        past = (outcome for kinds in self.rows.values() for row in kinds.values() for outcome in row.outcomes)
        retired = (outcome for row in self.retired.values() for outcome in row.outcomes)
        return frozenset(outcome.request_key for outcomes in (past, retired) for outcome in outcomes)


def kind_of(workflow: str | None, model: str | None) -> Kind:
    """The kind of lane that a request is for, by its workflow and model."""
    if workflow:
        return "comfyui"
    return "fpo" if _COMP.fullmatch(model or "") else "replicate"


def read_history(store: Store, campaign: str, kinds: Collection[Kind] = KINDS) -> History:
    """What the campaign's newest runs say of its rows, as far back as is needed to know them on each of `kinds`.

    A run whose files cannot be read is passed over. Raises StoreUnreachable.
    """
    reader = _Reader(store, campaign, set(kinds))
    for record in newest_records(store, campaign):
        try:
            reader.take(record)
        except StoreUnreachable:
            raise
        except StoreError as error:
            log.warning("run passed over: run=%s reason=%s", record.run_id, error)
        if reader.knows_enough:
            break
    return reader.history


def newest_records(store: Store, campaign: str) -> Iterator[RunRecord]:
    """The records of the newest runs that have ended, newest first; one that cannot be read is passed over."""
    for run_id in sorted(finished_run_ids(store, campaign), reverse=True)[:LOOK_BACK]:
        try:
            yield RunRecord.model_validate_json(store.get(run_key(campaign, run_id, RUN_RECORD)).data)
        except ObjectMissing:
            continue
        except ValidationError as error:
            log.warning(
                "run passed over, its record cannot be read: run=%s reason=%s", run_id, error.errors()[0]["msg"]
            )


def read_outcomes(store: Store, campaign: str, run_id: str) -> tuple[Outcome, ...]:
    """A run's outcomes, in the order of its sheet. Raises StoreError, also where its manifest is gone."""
    return tuple(_lines(store, run_key(campaign, run_id, MANIFEST), Outcome))


def read_retired(store: Store, campaign: str, run_id: str) -> tuple[RetiredRow, ...]:
    """The rows that a run wrote down as retired; none where it wrote none. Raises StoreError."""
    try:
        return tuple(_lines(store, run_key(campaign, run_id, RETIRED), RetiredRow))
    except ObjectMissing:
        return ()


@dataclass
class _Reader:
    """Adds run after run, newest first. `kinds` are those that no whole run has been seen of; `lost` have no past."""

    store: Store
    campaign: str
    kinds: set[Kind]
    history: History = field(default_factory=History)
    whole: bool = False
    lost: set[str] = field(default_factory=set)

    @property
    def knows_enough(self) -> bool:
        """Whether an older run could say nothing more."""
        return self.whole and not self.kinds and not self.lost

    def take(self, record: RunRecord) -> None:
        """Read what `record` can still add. Raises StoreError."""
        history = self.history
        if self.whole and not self.lost and not self.kinds & _kinds_on(record.lanes):
            return
        found = _by_row(read_outcomes(self.store, self.campaign, record.run_id))
        retired = read_retired(self.store, self.campaign, record.run_id) if record.retired and not self.whole else ()
        history.since = history.since or record.run_id
        history.sheets[record.run_id] = record.sheet
        for (row, kind), outcomes in found.items():
            history.rows.setdefault(row, {}).setdefault(kind, PastRow(record.run_id, tuple(outcomes)))
        self.lost -= {row for row, _ in found}
        if not self.whole:
            self._stands(record, [row for row, _ in found], retired)
        if not record.rows:
            self.kinds -= _kinds_on(record.lanes)

    def _stands(self, record: RunRecord, rows: Iterable[str], retired: Iterable[RetiredRow]) -> None:
        """Note which rows the sheet had, and with the newest whole run which it had lost."""
        history = self.history
        history.active |= dict.fromkeys([*rows, *record.left_out])
        if record.rows:
            return
        self.whole = True
        self.lost = set(record.left_out) - set(history.rows)
        history.retired = {row.row: row for row in retired if row.row not in history.active}


def _by_row(outcomes: Collection[Outcome]) -> Mapping[tuple[str, Kind], list[Outcome]]:
    found: dict[tuple[str, Kind], list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault((outcome.row, kind_of(outcome.workflow, outcome.model)), []).append(outcome)
    return found


def _kinds_on(lanes: Collection[str]) -> set[Kind]:
    return {"fpo" if lane == "fpo" else "replicate" if lane == "replicate" else "comfyui" for lane in lanes}


def _lines(store: Store, key: str, kind: type[Line]) -> Iterator[Line]:
    for number, line in enumerate(store.get(key).data.split(b"\n"), start=1):
        if line.strip():
            try:
                yield kind.model_validate_json(line)
            except ValidationError as error:
                raise StoreError(
                    f"{store.uri_of(key)} cannot be read: line {number}. Was it cut short, or written by another "
                    "version? Remove that run's folder to go on without it."
                ) from error
