"""Time that passes only while somebody sleeps, and then at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class SteppingTime:
    """A clock on which sleeping takes no time; `at` says what happens while somebody sleeps past a moment."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.pauses: list[float] = []
        self._events: list[tuple[float, Callable[[], object]]] = []

    def at(self, seconds: float, event: Callable[[], object]) -> None:
        """Do something when somebody sleeps past a moment."""
        self._events.append((seconds, event))

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.pauses.append(seconds)
        due = [event for moment, event in self._events if moment <= self.seconds]
        self._events = [(moment, event) for moment, event in self._events if moment > self.seconds]
        for event in due:
            event()
        await asyncio.sleep(0)
