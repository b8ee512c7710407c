"""How long a lane takes for a picture, and for many: as earlier runs have shown, else a first guess."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heappop, heappush
from math import exp, log
from statistics import median_low

from assetline.ledger_records import Speed

# A first guess for each kind of lane, not a measurement of this machine; whoever shows minutes says so.
# FPO: 101 comps were drawn, checked and stored in 12 s on two busy cores. ComfyUI: 25 steps at a megapixel on a
# mid-range card (about 2.5 steps a second), decoding and fetching. Replicate: from the create to the picture.
SECONDS_PER_PICTURE = {"fpo": 0.12, "comfyui": 12.0, "replicate": 8.0}
AT_ONCE = {"replicate": 100}  # predictions that are open at the same time
LEAST_SECONDS = {"replicate": 1 / 9}  # no more than nine are begun in a second: its limit, with a margin
LATE = 1.15  # a first guess, where it has not been seen: so many times as long as usual takes a slow picture
PASS_SECONDS = 0.05  # of a core: a picture of 1024 px is decoded, checked, hashed (35 ms, benchmarks/images.py), stored
LEAST_SECONDS_SEEN = 1e-3  # of a picture, so that what was instant can be compared
MOST_WEIGHT = 9  # pictures; more of one lane and affinity do not make it weigh more against others
MOST_ROUNDS, CLOSE = 100, 1e-8  # of finding ratios and bases in turn; a change that is none

Pair = tuple[str, str]  # a lane and an affinity


class Pace:
    """Seconds by lane and affinity. FPO's are always the guess: it makes many at a time, as cores are free."""

    def __init__(self, speeds: Iterable[Speed] = ()) -> None:
        self._speeds = {(speed.lane, speed.affinity): speed for speed in speeds if speed.affinity}
        self._ratios, self._bases = ratios_and_bases(
            {
                (lane, affinity): (speed.seconds, speed.samples)
                for (lane, affinity), speed in self._speeds.items()
                if lane not in AT_ONCE  # a service says nothing of the cards in the office
            }
        )
        loads: dict[str, list[float]] = {}
        for speed in self._speeds.values():
            if speed.load_seconds is not None:
                loads.setdefault(speed.affinity, []).append(speed.load_seconds)
        self._loads = {affinity: median_low(seen) for affinity, seen in loads.items()}

    def picture_seconds(self, lane: str, kind: str, affinity: str) -> tuple[float, bool]:
        """Seconds from a picture's beginning to its end, without a load, and whether they have been learned."""
        learned = self.seconds(lane, affinity)
        return (SECONDS_PER_PICTURE[kind], False) if learned is None else (learned, True)

    def slow_seconds(self, lane: str, kind: str, affinity: str) -> float:
        """What few pictures take longer than, without a load: seen, else a first guess."""
        own = self._speeds.get((lane, affinity))
        if own and own.slow_seconds is not None:
            return own.slow_seconds
        return LATE * self.picture_seconds(lane, kind, affinity)[0]

    def more_seconds(self, lane: str, kind: str, affinity: str) -> float:
        """Seconds by which one picture more of very many takes the lane longer."""
        seconds, _ = self.picture_seconds(lane, kind, affinity)
        return max(seconds / AT_ONCE.get(kind, 1), LEAST_SECONDS.get(kind, 0.0))

    def seconds(self, lane: str, affinity: str) -> float | None:
        """Seconds a picture: seen on the lane with this affinity, else as other lanes do it and this one does others.

        None where nothing like it has been seen; models of a service have nothing to do with each other.
        """
        if own := self._speeds.get((lane, affinity)):
            return own.seconds
        is_like = affinity in self._bases or lane in self._ratios
        if not affinity or not is_like or lane in AT_ONCE:
            return None
        return self._ratios.get(lane, 1.0) * (self._bases.get(affinity) or median_low(self._bases.values()))

    def load_seconds(self, lane: str, affinity: str) -> float:
        """Seconds to load what the affinity needs, here or else on other lanes; 0 where no load has been seen."""
        if lane in AT_ONCE:
            return 0.0
        own = self._speeds.get((lane, affinity))
        if own and own.load_seconds is not None:
            return own.load_seconds
        return self._loads.get(affinity, 0.0)


def ratios_and_bases(
    seen: Mapping[Pair, tuple[float, int]], before: Mapping[str, float] | None = None
) -> tuple[dict[str, float], dict[str, float]]:
    """What was seen (seconds, pictures) as a lane's ratio times an affinity's base (s); the usual lane's ratio is 1.

    Least squares of the logarithms by turns, from the ratios `before`: most lanes have seen few of the affinities, and
    say something of the others only by those that they share with other lanes.
    """
    known = [(*pair, log(max(s, LEAST_SECONDS_SEEN)), min(samples, MOST_WEIGHT)) for pair, (s, samples) in seen.items()]
    ratios = {lane: log((before or {}).get(lane, 1.0)) for lane, _, _, _ in known}
    bases = dict[str, float]()
    for _ in range(MOST_ROUNDS):
        bases = _means((affinity, s - ratios[lane], weight) for lane, affinity, s, weight in known)
        found = _means((lane, s - bases[affinity], weight) for lane, affinity, s, weight in known)
        moved = max((abs(found[lane] - ratios[lane]) for lane in found), default=0.0)
        ratios = found
        if moved < CLOSE:
            break
    usual = median_low(ratios.values()) if ratios else 0.0
    by_lane = {lane: exp(ratio - usual) for lane, ratio in ratios.items()}
    return by_lane, {affinity: exp(base + usual) for affinity, base in bases.items()}


def service_seconds(pictures: Iterable[tuple[float, float, int]], kind: str) -> float:
    """How long a service needs for pictures, in this order: their seconds, those of slow ones, how many there are. It
    begins one at a time, as often as it may, as long as few enough are open. The last are taken to be slow ones.
    """
    at_once, every_s = AT_ONCE[kind], LEAST_SECONDS[kind]
    ends: list[float] = []
    begins = last = 0.0
    for seconds, slow, count in pictures:
        for _ in range(count):
            if len(ends) >= at_once:
                begins = max(begins, heappop(ends))
            heappush(ends, begins + seconds)
            last = max(last, begins + slow)
            begins += every_s
    return last


def _means(weighted: Iterable[tuple[str, float, int]]) -> dict[str, float]:
    sums: dict[str, float] = {}
    weights: dict[str, int] = {}
    for name, value, weight in weighted:
        sums[name] = sums.get(name, 0.0) + value * weight
        weights[name] = weights.get(name, 0) + weight
    return {name: total / weights[name] for name, total in sums.items()}
