"""An event loop whose clock runs twenty times as fast: pauses and patience pass quickly, real sockets still work."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any

FASTER = 20


class _HastySelector(selectors.DefaultSelector):
    """A selector that waits a fraction of the time it is given."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(timeout / FASTER if timeout else timeout)


class FastLoop(asyncio.SelectorEventLoop):
    """asyncio on a fast clock."""

    def __init__(self) -> None:
        super().__init__(_HastySelector())

    def time(self) -> float:
        return super().time() * FASTER


def now() -> float:
    """Seconds on the running loop's clock, for a `Clock`."""
    return asyncio.get_running_loop().time()


def run_fast(main: Coroutine[Any, Any, Any]) -> Any:
    """Run `main` on a fast clock."""
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        return runner.run(main)
