"""The time of a lane: a clock that tests may bring, and a pause that something may end early."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """Seconds that only go forward, and the way to let some pass; tests bring their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


async def rest(pause: Awaitable[None], ended: asyncio.Event) -> None:
    """Wait for `pause`, or until `ended` is set."""
    waits = [asyncio.ensure_future(pause), asyncio.ensure_future(ended.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
