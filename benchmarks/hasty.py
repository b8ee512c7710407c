"""A clock that runs faster than ours, the same one in each process that is told its beginning and its speed.

A protocol that waits for minutes keeps all its figures and takes seconds. What computes does not become faster.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from assetline.backends.replicate.options import Clock


@dataclass(frozen=True)
class Hasty:
    """`speed` seconds pass in one of ours; at `began` (seconds since 1970) it shows the real time."""

    began: float
    speed: float

    def since_1970(self) -> float:
        """Seconds since 1970, by this clock."""
        return self.began + (time.time() - self.began) * self.speed

    def wall(self) -> datetime:
        """The date and time, by this clock."""
        return datetime.fromtimestamp(self.since_1970(), UTC)

    def now(self) -> float:
        """Seconds that only go forward."""
        return time.monotonic() * self.speed

    async def sleep(self, seconds: float) -> None:
        """Let seconds of this clock pass."""
        await asyncio.sleep(seconds / self.speed)

    @property
    def clock(self) -> Clock:
        """What the Replicate lane and the ledger take."""
        return Clock(now=self.now, sleep=self.sleep, wall=self.wall)
