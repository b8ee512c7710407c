"""Which request has ended and how. When the books are closed, every planned request has an outcome."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import replace

from assetline.dedupe import Candidate, Duplicate, find_duplicates
from assetline.pipeline.progress import Progress, Report
from assetline.records import Made, Outcome, PlannedRequest

KEPT = ("stored", "reused")


class Books:
    """Outcomes by request key, and the progress that they add up to. Used by the event loop's thread alone."""

    def __init__(self, planned: Sequence[PlannedRequest], report: Report) -> None:
        self._planned = planned
        self._report = report
        self._first = {item.request.key: item for item in reversed(planned)}
        self._made: dict[str, Made] = {}
        self._started = time.monotonic()
        self._progress = Progress(total=len(self._first))

    def distinct(self) -> list[PlannedRequest]:
        """The first of each request, in the order of the sheet: two rows may ask for the same picture."""
        return [item for item in self._planned if self._first[item.request.key] is item]

    def waiting(self) -> list[PlannedRequest]:
        """What has no outcome yet. The clock for the rate starts here."""
        self._started = time.monotonic()
        return [item for item in self.distinct() if item.request.key not in self._made]

    def ended(self, made: Made) -> None:
        """Note an outcome and report it."""
        self._made[made.outcome.request_key] = made
        self._progress = self._progress.with_outcome(made.outcome, time.monotonic() - self._started)
        self._report(self._progress)

    def tell(self, step: str) -> None:
        """Say what the run does now."""
        self._progress = replace(self._progress, step=step)
        self._report(self._progress)

    def close(self, finished_runs: Collection[str]) -> tuple[Outcome, ...]:
        """One outcome for each planned request, in the order of the sheet; duplicates are set aside.

        What one of `finished_runs` made was decided on then; what a killed run made was not.
        """
        candidates = self._candidates(finished_runs)
        duplicates = {duplicate.key: duplicate for duplicate in find_duplicates(candidates)}
        return tuple(self._outcome(item, duplicates) for item in self._planned)

    def _outcome(self, item: PlannedRequest, duplicates: dict[str, Duplicate]) -> Outcome:
        key = item.request.key
        made = self._made.get(key)
        if made is None:
            return Outcome.of(item, "canceled", "The run was stopped before its turn.")
        outcome = made.outcome
        if duplicate := duplicates.get(key):
            outcome = _set_aside(outcome, duplicate, self._first[duplicate.keeper].label)
        owner = self._first[key]
        return outcome if owner is item else _same_as(owner, item, outcome)

    def _candidates(self, finished_runs: Collection[str]) -> list[Candidate]:
        made = [(item, self._made[item.request.key]) for item in self.distinct() if item.request.key in self._made]
        return [candidate for item, one in made if (candidate := _candidate(item, one, finished_runs))]


def _candidate(planned: PlannedRequest, made: Made, finished_runs: Collection[str]) -> Candidate | None:
    """What dedupe compares: kept pictures, inside one row and size alone."""
    asset, fingerprint = made.outcome.asset, made.fingerprint
    if made.outcome.status not in KEPT or asset is None or fingerprint is None:
        return None
    return Candidate(
        key=planned.request.key,
        group=(planned.row, asset.width, asset.height),
        fingerprint=fingerprint,
        pixels=asset.width * asset.height,
        format=asset.format,
        decided_in=asset.run_id if asset.run_id in finished_runs else "",
    )


def _set_aside(outcome: Outcome, duplicate: Duplicate, keeper: str) -> Outcome:
    reason = f"Looks the same as {keeper} ({duplicate.distance} of 256 bits differ); set aside, not deleted."
    facts = {"status": "duplicate", "reason": reason, "duplicate_of": duplicate.keeper, "distance": duplicate.distance}
    return outcome.model_copy(update=facts)


def _same_as(owner: PlannedRequest, item: PlannedRequest, outcome: Outcome) -> Outcome:
    """The outcome of a second row that asks for the very same picture."""
    if outcome.asset is None:
        return Outcome.of(item, outcome.status, outcome.reason, attempts=outcome.attempts)
    status = "reused" if outcome.status == "stored" else outcome.status
    reason = outcome.reason if status != "reused" else f"The same picture as {owner.label}: one request for both rows."
    return Outcome.of(item, status, reason, asset=outcome.asset, duplicate_of=outcome.duplicate_of)
