"""How fast each lane is with each affinity, and how long it takes to load: learned from every picture that ends.

Plain rows go in and come out, so that a ledger can keep them between runs. `scheduler` plans with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from statistics import fmean

from assetline.ledger_records import Speed
from assetline.plan.pace import ratios_and_bases

DEFAULT_SECONDS = 5.0  # a picture and a load of which nothing is known: only their proportion matters, and only
DEFAULT_LOAD_SECONDS = 10.0  # until the first pictures of a fleet have ended
WINDOW = 9  # pictures of which the median counts: four outliers in a row do not move it
KEPT = 200  # pictures that tell the next run, twice what a service has open at once: those that end last took longest
FEW = 32  # one in so many is slow: the last picture of a service is the slowest of dozens that are open then
REMEMBERED = 4  # as many pictures weighs what an earlier run has learned, so that a changed card is noticed in five
NOTEWORTHY = 0.1  # an estimate that moved by less does not ask for a new plan
LEAST_SHARE = 0.1  # of a picture that came with its load, when loads elsewhere were as long as all of it
LEAST_SECONDS = 0.001  # of anything, so that instant lanes can be compared


@dataclass
class _Seen:
    """The last pictures of one lane with one affinity: without a load, loads, and pictures whose load is not known.

    `kept` are more of those without a load, for the next run, whose quote adds them up.
    """

    warm: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    kept: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    loads: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    first: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    samples: int = 0
    seconds: float = 0.0
    load_seconds: float | None = None

    def settle(self) -> bool:
        """Work out the estimates once, since they are asked for more often than pictures end. Whether a load is new."""
        before = self.load_seconds
        self.seconds, self.load_seconds = _median(self.warm), _median(self.loads) if self.loads else None
        return self.load_seconds != before


class Speeds:
    """Running estimates. `version` grows whenever one has moved so far that a plan made before is out of date."""

    def __init__(self, rows: Iterable[Speed] = ()) -> None:
        self.version = 0
        self._lanes: set[str] = set()
        self._services: set[str] = set()
        self._seen: dict[tuple[str, str], _Seen] = {}
        self._loads: dict[str, float] = {}  # by affinity, the median of the lanes
        self._told: dict[tuple[str, str], tuple[float, float]] = {}
        self._lane_ratio: dict[str, float] = {}
        self._base: dict[str, float] = {}
        self._fitted = -1
        for row in rows:
            self._remember(row)

    def note(self, lane: str, affinity: str, seconds: float, *, loaded: bool) -> None:
        """A picture took the lane `seconds`; `loaded`: it came after another affinity, so a load is part of them."""
        self._told.setdefault((lane, affinity), (self.seconds(lane, affinity), self.load_seconds(lane, affinity)))
        seen = self._seen.setdefault((lane, affinity), _Seen())
        seen.samples += 1
        if not loaded or not affinity:
            seen.warm.append(seconds)
            seen.kept.append(seconds)
            seen.loads.extend(max(0.0, total - _median(seen.warm)) for total in seen.first)
            seen.first.clear()
        elif seen.warm:
            seen.loads.append(max(0.0, seconds - _median(seen.warm)))
        else:
            seen.first.append(seconds)
        self._settle(lane, affinity)

    def loads_nothing(self, lane: str) -> None:
        """The lane is a service, which has every model at hand. What it takes says nothing of other lanes."""
        self._services.add(lane)
        self._fitted = -1

    def knows(self, lane: str) -> bool:
        """Whether a picture of any kind has ended on the lane."""
        return lane in self._lanes

    def seconds(self, lane: str, affinity: str) -> float:
        """Seconds a picture: seen here, else as this lane does others and other lanes do this, else the fleet's."""
        known = self._known(lane, affinity)
        if known is None and lane in self._services:
            others = (self._known(*pair) for pair in self._seen if pair[0] == lane)
            known = _median(seconds for seconds in others if seconds is not None) or DEFAULT_SECONDS
        elif known is None:
            self._fit()
            base = self._base.get(affinity) or _median(self._base.values()) or DEFAULT_SECONDS
            known = base * (self._lane_ratio.get(lane) or 1.0)
        return max(known, LEAST_SECONDS)

    def load_seconds(self, lane: str, affinity: str) -> float:
        """Seconds to load: seen here, else on other lanes; else unknown, and not taken for a short one."""
        if not affinity or lane in self._services:
            return 0.0
        found = self._load_seen(lane, affinity)
        return DEFAULT_LOAD_SECONDS if found is None else found

    def rows(self) -> list[Speed]:
        """What has been learned, to be kept between runs."""
        return [
            Speed(lane, affinity, _middle(seen.kept), seen.load_seconds, seen.samples, _slow(seen.kept))
            for (lane, affinity), seen in self._seen.items()
            if seen.warm
        ]

    def _remember(self, row: Speed) -> None:
        seen = _Seen(samples=row.samples)
        seen.warm.extend([row.seconds] * max(1, min(row.samples, REMEMBERED)))
        seen.kept.extend(seen.warm)
        if row.slow_seconds is not None and len(seen.kept) > 1:  # as unlike as they were
            seen.kept[0], seen.kept[-1] = 2 * row.seconds - row.slow_seconds, row.slow_seconds
        if row.load_seconds is not None:
            seen.loads.append(row.load_seconds)
        self._seen[row.lane, row.affinity] = seen
        self._settle(row.lane, row.affinity)

    def _settle(self, lane: str, affinity: str) -> None:
        """Work the pair's estimates out anew; raise the version if they have moved by more than a little."""
        seen = self._seen[lane, affinity]
        if seen.settle():
            found = [one.load_seconds for (_, other), one in self._seen.items() if other == affinity]
            self._loads[affinity] = _median(seconds for seconds in found if seconds is not None)
        self._lanes.add(lane)
        now = (self.seconds(lane, affinity), self.load_seconds(lane, affinity))
        before = self._told.get((lane, affinity), (0.0, 0.0))
        if any(abs(a - b) > NOTEWORTHY * max(a, b) for a, b in zip(now, before, strict=True)):
            self._told[lane, affinity] = now
            self.version += 1

    def _known(self, lane: str, affinity: str) -> float | None:
        """Seconds a picture as seen on the lane itself; from one with its load if there is no other."""
        seen = self._seen.get((lane, affinity))
        if seen is None:
            return None
        if seen.warm:
            return seen.seconds
        return self._without_load(_median(seen.first), lane, affinity) if seen.first else None

    def _without_load(self, total: float, lane: str, affinity: str) -> float:
        load = self._load_seen(lane, affinity)
        if load is None:
            return total * DEFAULT_SECONDS / (DEFAULT_SECONDS + DEFAULT_LOAD_SECONDS)
        return max(total - load, total * LEAST_SHARE)

    def _load_seen(self, lane: str, affinity: str) -> float | None:
        seen = self._seen.get((lane, affinity))
        if seen and seen.loads:
            return _median(seen.loads)
        return self._loads.get(affinity)

    def _fit(self) -> None:
        """Seconds as a lane's ratio times an affinity's base: medians in turn over what has been seen."""
        if self._fitted == self.version:
            return
        self._fitted = self.version
        known = {
            key: (seconds, seen.samples)
            for key, seen in self._seen.items()
            if key[0] not in self._services and (seconds := self._known(*key)) is not None
        }
        self._lane_ratio, self._base = ratios_and_bases(known, self._lane_ratio)


def _median(values: Iterable[float]) -> float:
    """The lower median, since what goes wrong takes longer; 0 of nothing."""
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2] if ordered else 0.0


def _middle(values: Iterable[float]) -> float:
    """The mean of the middle half, which outliers do not move and small samples move less than their median; of two
    the mean, of three the middle one.
    """
    ordered = sorted(values)
    cut = (len(ordered) + 1) // 4
    return fmean(ordered[cut : len(ordered) - cut])


def _slow(values: Collection[float]) -> float | None:
    """What one in `FEW` takes longer than; None where all that is known is alike, so that nothing is known of it."""
    ordered = sorted(values)
    slow = ordered[-1 - (len(ordered) + 1) // FEW]
    return slow if slow > ordered[0] else None
