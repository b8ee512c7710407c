"""Who is trusted with what: quarantine after faults that are the worker's, and the way back. Nothing waits here.

A place is a worker with one affinity, or a whole worker (affinity ""). It is shut after faults in a row; when its
pause is over it is given one request, the canary: a picture opens it, another fault doubles the pause. For one that
waits for a person to act (`LaneClosed`) nothing waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from assetline.errors import (
    AssetlineError,
    BackendUnavailable,
    ImageError,
    JobFailed,
    JobLost,
    JobStalled,
    JobTimedOut,
    LaneClosed,
    PaidJobFailed,
)

FAULTS = 2  # in a row that shut a place: one alone may be its request's own
FIRST_PAUSE_S = 3.0  # an ordinary restart takes about 20 s (measured on ComfyUI 0.3.64) and so waits for no pause
LONGEST_PAUSE_S = 120.0  # so long at most is a worker that was mended left alone
FORGIVEN = 8  # pictures in a row, after which the next pause is the first again

ONE_REQUEST = (JobFailed, PaidJobFailed, ImageError)  # first tell of one model's files; of a worker if others fail too
AT_ONCE = (JobStalled, LaneClosed)  # leave no doubt that it is the worker: one is enough
OF_WORKERS: tuple[type[AssetlineError], ...] = (*ONE_REQUEST, *AT_ONCE, JobLost, JobTimedOut, BackendUnavailable)

Place = tuple[str, str]  # lane, affinity
Tell = Callable[[Literal["quarantined", "released"], Place, str], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """A try that failed: where, on which request (its number), how.

    `began`: whether the worker had turned to it. `suspect`: the request has failed on another lane before, and may
    itself be the reason.
    """

    lane: str
    affinity: str
    request: int
    error: AssetlineError
    began: bool = True
    suspect: bool = False


@dataclass(slots=True)
class _Quarantine:
    """Since when and why, until when nothing is tried, and the request that is tried now (the canary)."""

    since: float
    error: AssetlineError
    until: float = 0.0
    canary: int | None = None

    @property
    def reason(self) -> str:
        """Why, in the words of its last fault."""
        return str(self.error)

    def said(self, now: float) -> str:
        """Why, and for how long. One that went away is seen as quarantined only when it answers again."""
        if isinstance(self.error, BackendUnavailable):
            return (
                f"It was away: {sentence(self.reason)} "
                f"One picture tries it when it answers, in {self.until - now:.0f} s at the earliest."
            )
        return f"{sentence(self.reason)} Tried again in {self.until - now:.0f} s."

    @property
    def is_closed(self) -> bool:
        """Whether a person must act before it can be of use again."""
        return isinstance(self.error, LaneClosed)

    def is_due(self, now: float) -> bool:
        return self.canary is None and now >= self.until


@dataclass(slots=True)
class _Record:
    """What went wrong at a place: different faults since a picture (True: since several), and its last pause."""

    faults: dict[object, bool] = field(default_factory=dict)
    fault_at: float = -inf
    good: int = 0
    pause_s: float = 0.0


class Health:
    """The records of all places. `tell` hears of each that is shut or open again, with the reason."""

    def __init__(self, patience_s: float, tell: Tell) -> None:
        self._patience_s = patience_s
        self._longest_s = max(FIRST_PAUSE_S, min(LONGEST_PAUSE_S, patience_s))
        self._tell = tell
        self._records: dict[Place, _Record] = {}
        self._quarantines: dict[Place, _Quarantine] = {}
        self._outages = 0

    def fault(self, fault: Fault, now: float) -> bool:
        """Note a try that failed. Whether it says more of the worker than of the request."""
        if not isinstance(fault.error, OF_WORKERS):
            self.let_go(fault.request)
            return False
        self._outages += 1
        blamed = [self._note(place, fault, now) for place in _places(fault.lane, fault.affinity)]
        return any(blamed)

    def success(self, lane: str, affinity: str, request: int, at: float) -> None:
        """A picture that can be used came from the lane then; what went wrong later stands.

        Of a place that is shut only the canary's counts: others were there before.
        """
        for place in _places(lane, affinity):
            record, quarantine = self._records.get(place), self._quarantines.get(place)
            if record is None or at < record.fault_at or (quarantine and quarantine.canary != request):
                continue
            record.good += 1
            record.faults = {subject: stays for subject, stays in record.faults.items() if stays}
            if record.good >= FORGIVEN:
                del self._records[place]
            if quarantine:
                del self._quarantines[place]
                self._tell("released", place, quarantine.reason)

    def took(self, lane: str, affinity: str, request: int) -> bool:
        """The lane has been given the request; whether it is a canary."""
        found = [quarantine for _, quarantine in self._shut(lane, affinity)]
        for quarantine in found:
            quarantine.canary = request
        return bool(found)

    def let_go(self, request: int) -> None:
        """The request ended without saying anything of the worker: if it was a canary, another one is due."""
        for quarantine in self._quarantines.values():
            if quarantine.canary == request:
                quarantine.canary = None

    def is_open(self, lane: str, affinity: str, now: float) -> bool:
        """Whether the lane may be given such a request now, if only as a canary. Without affinity: anything."""
        return not self._quarantines or all(one.is_due(now) for _, one in self._shut(lane, affinity))

    def is_counted_on(self, lane: str, affinity: str, now: float) -> bool:
        """Whether the rest is planned with it: also while a canary tries the worker, which mostly goes well."""
        shut = list(self._shut(lane, affinity))
        is_tried = bool(shut) and shut[0][0] == (lane, "") and shut[0][1].canary is not None
        return all(one.is_due(now) or (is_tried and one.canary is not None) for _, one in shut)

    def is_clean(self, lane: str, affinity: str) -> bool:
        """Whether nothing has gone wrong there lately."""
        return not any(self._records[place].faults for place in _places(lane, affinity) if place in self._records)

    def is_hopeless(self, lane: str, affinity: str, now: float) -> bool:
        """Whether it has been shut for longer than the patience, and the last canary has failed too. At once where a
        person must act.
        """
        return any(
            one.canary is None and now < one.until and (one.is_closed or now - one.since >= self._patience_s)
            for _, one in self._shut(lane, affinity)
        )

    def is_closed(self, lane: str, now: float) -> bool:
        """Whether a person must act before the lane is of use; not when one request is to try whether he has."""
        return any(one.is_closed and not one.is_due(now) for _, one in self._shut(lane, ""))

    def reason(self, lane: str, affinity: str) -> str:
        """Why it is shut; empty if it is not."""
        return next((one.reason for _, one in self._shut(lane, affinity)), "")

    def next_due(self, now: float) -> float:
        """When the next pause is over; `inf` if none is on."""
        return min((one.until for one in self._quarantines.values() if one.until > now), default=inf)

    def _shut(self, lane: str, affinity: str) -> Iterator[tuple[Place, _Quarantine]]:
        if not self._quarantines:
            return
        for place in _places(lane, affinity):
            if quarantine := self._quarantines.get(place):
                yield place, quarantine

    def _note(self, place: Place, fault: Fault, now: float) -> bool:
        """Note it at one place; whether the place is shut, so that the request is not to blame."""
        quarantine = self._quarantines.get(place)
        if fault.suspect and isinstance(fault.error, ONE_REQUEST):  # it says nothing, not even as a canary
            if quarantine and quarantine.canary == fault.request:
                quarantine.canary = None
            return False
        record = self._records.setdefault(place, _Record())
        record.good, record.fault_at = 0, now
        is_news = quarantine and isinstance(fault.error, LaneClosed) and not quarantine.is_closed
        if quarantine and (quarantine.canary == fault.request or is_news):
            quarantine.canary, quarantine.error = None, fault.error
            self._pause(place, quarantine, now)
        elif _counts(place, fault):
            record.faults[self._subject(place, fault)] = isinstance(fault.error, BackendUnavailable)
        is_plain = isinstance(fault.error, AT_ONCE) and not place[1]
        if not quarantine and (is_plain or len(record.faults) >= FAULTS):
            quarantine = self._quarantines[place] = _Quarantine(now, fault.error)
            self._pause(place, quarantine, now)
        return quarantine is not None

    def _pause(self, place: Place, quarantine: _Quarantine, now: float) -> None:
        """Shut the place for twice as long as the last time; the last try within the patience is at its end."""
        record = self._records[place]
        record.pause_s = min(2 * record.pause_s, self._longest_s) if record.pause_s else FIRST_PAUSE_S
        quarantine.until = now + record.pause_s
        if now < (deadline := quarantine.since + self._patience_s):
            quarantine.until = min(quarantine.until, deadline)
        if place[1] and (whole := self._quarantines.get((place[0], ""))):  # something else is to try the worker first
            quarantine.until = max(quarantine.until, whole.until + FIRST_PAUSE_S)
        self._tell("quarantined", place, quarantine.said(now))

    def _subject(self, place: Place, fault: Fault) -> object:
        """What must differ between two faults that shut a place: each outage counts, and each request; for a whole
        worker, where one model alone may be broken, each model.
        """
        if isinstance(fault.error, BackendUnavailable):
            return ("outage", self._outages)
        if isinstance(fault.error, ONE_REQUEST) and fault.affinity and not place[1]:
            return fault.affinity
        return fault.request


def _counts(place: Place, fault: Fault) -> bool:
    """A worker that died says something of a model only if it was at work with it; one that is closed, nothing."""
    return not place[1] or (fault.began and not isinstance(fault.error, LaneClosed))


def _places(lane: str, affinity: str) -> tuple[Place, ...]:
    return ((lane, ""), (lane, affinity)) if affinity else ((lane, ""),)


def sentence(text: str) -> str:
    """The text with its full stop."""
    return text if text.endswith((".", "!", "?")) else f"{text}."
