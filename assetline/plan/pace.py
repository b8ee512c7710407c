"""How long a lane takes for a picture: as earlier runs have shown, else a first guess."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median_low

from assetline.ledger_records import Speed

# A first guess for each kind of lane, not a measurement of this machine; whoever shows minutes says so.
# FPO: 101 comps were drawn, checked and stored in 12 s on two busy cores. ComfyUI: 25 steps at a megapixel on a
# mid-range card (about 2.5 steps a second), decoding and fetching. Replicate: from the create to the picture.
SECONDS_PER_PICTURE = {"fpo": 0.12, "comfyui": 12.0, "replicate": 8.0}
AT_ONCE = {"replicate": 100}  # predictions that are open at the same time
LEAST_SECONDS = {"replicate": 1 / 9}  # no more than nine are begun in a second: its limit, with a margin


class Pace:
    """Seconds by lane and affinity. FPO's are always the guess: it makes many at a time, as cores are free."""

    def __init__(self, speeds: Iterable[Speed] = ()) -> None:
        known = (speed for speed in speeds if speed.affinity or speed.lane in AT_ONCE)
        self._speeds = {(speed.lane, speed.affinity): speed for speed in known}

    def picture_seconds(self, lane: str, kind: str, affinity: str) -> tuple[float, bool]:
        """Seconds by which a picture more takes the lane longer, and whether they have been learned."""
        learned = self.seconds(lane, affinity)
        seconds = SECONDS_PER_PICTURE[kind] if learned is None else learned
        return max(seconds / AT_ONCE.get(kind, 1), LEAST_SECONDS.get(kind, 0.0)), learned is not None

    def first_seconds(self, lane: str, kind: str, affinity: str) -> float:
        """Seconds that the first picture takes beyond that: to load, or to come where many are made at once."""
        if kind in AT_ONCE:
            return self.seconds(lane, affinity) or SECONDS_PER_PICTURE[kind]
        return self.load_seconds(lane, affinity)

    def seconds(self, lane: str, affinity: str) -> float | None:
        """Seconds a picture: seen on the lane with this affinity, else with it on other lanes, else on this lane.

        None where nothing like it has been seen.
        """
        own = self._speeds.get((lane, affinity))
        if own:
            return own.seconds
        alike = [speed.seconds for (_, other), speed in self._speeds.items() if other == affinity]
        alike = alike or [speed.seconds for (name, _), speed in self._speeds.items() if name == lane]
        return median_low(alike) if alike and affinity else None

    def load_seconds(self, lane: str, affinity: str) -> float:
        """Seconds to load what the affinity needs, here or else on other lanes; 0 where no load has been seen."""
        own = self._speeds.get((lane, affinity))
        if own and own.load_seconds is not None:
            return own.load_seconds
        seen = [speed.load_seconds for (_, other), speed in self._speeds.items() if other == affinity]
        known = [seconds for seconds in seen if seconds is not None]
        return median_low(known) if known else 0.0
