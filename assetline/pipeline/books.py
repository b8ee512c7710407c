"""Which request has ended and how. When the books are closed, every planned request has an outcome."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import replace

from assetline.dedupe import Candidate, Duplicate, find_duplicates
from assetline.pipeline.progress import Progress, Report
from assetline.records import Exact, Made, Outcome, PlannedRequest, together
from assetline.timeline import LaneTimeline, Timeline

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
        self._paused_at: float | None = None

    @property
    def progress(self) -> Progress:
        """How far the run is."""
        return self._progress

    def distinct(self) -> list[PlannedRequest]:
        """The first of each request, in the order of the sheet: two rows may ask for the same picture.

        It takes the files of all of them: `1:1` in one column, a square channel in another, are one picture.
        """
        files: dict[str, tuple[Exact, ...]] = {}
        for item in self._planned:
            files[item.request.key] = (*files.get(item.request.key, ()), *item.exact)
        firsts = (item for item in self._planned if self._first[item.request.key] is item)
        return [item.model_copy(update={"exact": together(files[item.request.key])}) for item in firsts]

    def waiting(self) -> list[PlannedRequest]:
        """What has no outcome yet. The clock for the rate starts here."""
        self._started = time.monotonic()
        return [item for item in self.distinct() if item.request.key not in self._made]

    def found(self, made: Made) -> None:
        """Note what was there before this run, and report it."""
        self._made[made.outcome.request_key] = made
        self._progress = self._progress.with_outcome(made.outcome)
        self._report(self._progress)

    def ended(self, made: Made) -> None:
        """Note what this run has made of a request, and report it."""
        made_here = self._progress.made + (made.outcome.status != "reused")
        self._progress = replace(self._progress, made=made_here, seconds=time.monotonic() - self._started)
        self.found(made)

    def tell(self, step: str) -> None:
        """Say what the run does now."""
        self._progress = replace(self._progress, step=step)
        self._report(self._progress)

    def see(self, lanes: tuple[LaneTimeline, ...], timeline: Timeline | None = None) -> None:
        """Note what the lanes do, now and then also all that they did, and report it."""
        self._progress = replace(self._progress, lanes=lanes, timeline=timeline or self._progress.timeline)
        self._report(self._progress)

    def pause(self, *, on: bool) -> None:
        """The run is paused, or goes on; the rate does not count the pause."""
        now = time.monotonic()
        if self._paused_at is not None:
            self._started += now - self._paused_at
        self._paused_at = now if on else None
        self._progress = replace(self._progress, paused=on)
        self.tell("paused" if on else "making pictures")

    def close(self, run_id: str, finished_runs: Collection[str]) -> tuple[Outcome, ...]:
        """One outcome for each planned request, in the order of the sheet; duplicates are set aside.

        `run_id` is this run. What one of `finished_runs` decided on stays as it is.
        """
        decisions = Decisions(run_id, finished_runs)
        duplicates = {duplicate.key: duplicate for duplicate in find_duplicates(self._candidates(decisions))}
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

    def _candidates(self, decisions: Decisions) -> list[Candidate]:
        made = [(item, self._made[item.request.key]) for item in self.distinct() if item.request.key in self._made]
        return [candidate for item, one in made if (candidate := _candidate(item, one, decisions))]


class Decisions:
    """Which run decided on a picture: the one that made it or, where that was killed, the next one that finished."""

    def __init__(self, run_id: str, finished_runs: Collection[str]) -> None:
        self._run_id = run_id
        self._finished = sorted(finished_runs)

    def on(self, maker: str) -> str:
        """The id of the run that decided on what `maker` made; empty where none has."""
        place = len(self._finished) if maker == self._run_id else bisect_left(self._finished, maker)
        return self._finished[place] if place < len(self._finished) else ""


def _candidate(planned: PlannedRequest, made: Made, decisions: Decisions) -> Candidate | None:
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
        decided_in=decisions.on(asset.run_id),
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
