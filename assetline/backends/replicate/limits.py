"""How fast the lane may ask, and when it must not: rates, the account's breaker, a breaker for each model."""

from __future__ import annotations

import asyncio
import email.utils
import random
import re
from collections.abc import Callable, Mapping
from typing import Any

from assetline.backends.replicate.options import LANE, Clock, ReplicateSettings
from assetline.errors import LaneClosed, PaidJobFailed

LONGEST_DELAY_S = 120.0  # whatever a 429 says
DEFAULT_DELAY_S = 5.0  # when it says nothing
SLOWEST_PER_S = 0.1  # 6 a minute: what accounts with little credit are cut to
FASTER_BY = 1.1  # each time it is not throttled, until it is as fast as before
FAILURES_IN_A_ROW = 4  # transient ones, of one model, before it is left alone for a while
REST_S = (30.0, 60.0, 120.0)  # how long; after the last it is given up for this run
CREATE_BURST, REQUEST_BURST = 3, 20
_IN_WORDS = re.compile(r"~?\s*(\d+(?:\.\d+)?)\s*s\b")


class RateLimit:
    """So many a second, a few of them at once; those who wait go in the order in which they came."""

    def __init__(self, per_s: float, burst: int, clock: Clock) -> None:
        self._full = per_s
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._used_until = self._blocked_until = clock.now()
        self._turn = asyncio.Lock()

    @property
    def per_s(self) -> float:
        """The rate at this moment."""
        return self._per_s

    async def take(self, check: Callable[[], None] = lambda: None) -> None:
        """Wait for one's turn. Where `check` raises, those who still wait have that instead of their turn."""
        async with self._turn:
            check()
            while (wait := max(self._used_until - self._ahead_s, self._blocked_until) - self._clock.now()) > 1e-6:
                await self._clock.sleep(wait)
                check()
            self._used_until = max(self._used_until, self._clock.now()) + 1 / self._per_s

    def slow_down(self, delay_s: float) -> None:
        """Throttled: nothing for `delay_s`, then at half the rate, and not in bursts."""
        if self._clock.now() >= self._blocked_until:  # those that were under way together count as one
            self._per_s = max(self._per_s / 2, min(SLOWEST_PER_S, self._full))
        self._blocked_until = max(self._blocked_until, self._clock.now() + delay_s)
        self._used_until = max(self._used_until, self._blocked_until + self._ahead_s)

    @property
    def _ahead_s(self) -> float:
        """How far those who come at once may be ahead of the rate."""
        return (self._burst - 1) / self._per_s

    def went_well(self) -> None:
        """Not throttled: a little faster again."""
        self._per_s = min(self._full, self._per_s * FASTER_BY)


class ModelBreaker:
    """Leaves a model alone that fails again and again for reasons of its own.

    After a rest one request tries; the others wait for what comes of it.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self._name = name
        self._clock = clock
        self._failures = 0
        self._rests = 0
        self._until = 0.0
        self._trying = False

    async def admit(self) -> bool:
        """Wait until it may be tried; whether this is the try after a rest. Raises PaidJobFailed: it is given up."""
        while self._failures >= FAILURES_IN_A_ROW:
            if self._rests > len(REST_S):
                raise PaidJobFailed(
                    f"{self._name} at Replicate fails again and again; it was given up for this run. Run again later, "
                    "or take another model.",
                    lane=LANE,
                )
            if not self._trying and self._clock.now() >= self._until:
                self._trying = True
                return True
            await self._clock.sleep(max(1.0, self._until - self._clock.now()))
        return False

    def note(self, *, failed: bool) -> None:
        """What came of a prediction; `failed`: for a reason that is neither the prompt's nor ours."""
        if not failed:
            self._failures, self._rests, self._trying = 0, 0, False
            return
        self._failures += 1
        if self._failures == FAILURES_IN_A_ROW or self._trying:
            rest_s = REST_S[min(self._rests, len(REST_S) - 1)]
            self._until, self._rests, self._trying = self._clock.now() + rest_s, self._rests + 1, False

    def leave(self) -> None:
        """The try ended without saying anything about the model."""
        self._trying = False


class Limits:
    """All that this process holds back by. `closed` is why nothing may be paid any more, until a person acts."""

    def __init__(self, settings: ReplicateSettings, clock: Clock) -> None:
        self.creates = RateLimit(settings.creates_per_s, CREATE_BURST, clock)
        self.requests = RateLimit(settings.requests_per_s, REQUEST_BURST, clock)
        self.closed = ""
        self._models: dict[str, ModelBreaker] = {}
        self._clock = clock

    def breaker(self, model: str) -> ModelBreaker:
        """The breaker of one model."""
        return self._models.setdefault(model, ModelBreaker(model, self._clock))

    def throttled(self, delay_s: float) -> None:
        """An answer of 429: all hold back, by a little more than was asked for and not all by the same."""
        delay_s *= random.uniform(1.0, 1.2)  # noqa: S311  # spreading processes, no secret
        self.creates.slow_down(delay_s)
        self.requests.slow_down(delay_s)

    def check(self) -> None:
        """Raises LaneClosed when the account's breaker is open."""
        if self.closed:
            raise LaneClosed(self.closed, lane=LANE)


def delay_of(headers: Mapping[str, str], body: Mapping[str, Any]) -> float:
    """How long a 429 wants to be left alone, in seconds: the longest that its parts say, capped."""
    said = [_from_header(headers), _number(body.get("retry_after"))]
    if words := _IN_WORDS.search(str(body.get("detail") or "")):
        said.append(float(words[1]))
    known = [seconds for seconds in said if seconds is not None and seconds >= 0]
    return min(max(known, default=DEFAULT_DELAY_S), LONGEST_DELAY_S)


def _from_header(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds, or as a date, which counts from the answer's own."""
    text = headers.get("Retry-After", "").strip()
    if (seconds := _number(text)) is not None:
        return seconds
    try:
        until = email.utils.parsedate_to_datetime(text)
        return (until - email.utils.parsedate_to_datetime(headers.get("Date", ""))).total_seconds()
    except (ValueError, TypeError):
        return None


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
