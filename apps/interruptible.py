"""Work on an event loop that Ctrl-C and SIGTERM cancel, so that it can tidy up: workers told, manifest written.

The loop runs in a thread of its own and the main thread only waits for signals. So nothing is raised in the middle of
anything; Prefect, whose own SIGTERM handler raises wherever the main thread is (which left runs hanging), puts none
where it is not in the main thread.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_interruptibly(work: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run `work()` to its end in the caller's context. A signal cancels it, a second one its tidying up too.

    Raises what `work` raises; KeyboardInterrupt where it was canceled.
    """
    stop = _Stop()
    ended: Future[None] = Future()

    async def main() -> None:
        stop.aim()
        try:
            await work()
        finally:
            stop.rest()

    def run() -> None:
        try:
            ended.set_result(asyncio.run(main()))
        except BaseException as error:  # noqa: BLE001  (handed over to the waiting thread, whatever it is)
            ended.set_exception(error)

    thread = threading.Thread(target=copy_context().run, args=(run,), name="assetline-run")
    with _handled_by(stop):
        thread.start()
        thread.join()
    try:
        ended.result()
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


class _Stop:
    """Cancels the task that it is aimed at; asked too early, it cancels as soon as it is aimed."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal may interrupt the thread that holds it
        self._asked = False
        self._cancel: Callable[[], object] | None = None

    def __call__(self, *_signal: object) -> None:
        with self._lock:
            self._asked = True
            if self._cancel:
                self._cancel()

    def aim(self) -> None:
        """Aim at the running task."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        with self._lock:
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel) if task else None
            if self._asked:
                self._cancel()

    def rest(self) -> None:
        """The work has ended: there is nothing to cancel any more."""
        with self._lock:
            self._cancel = None


@contextmanager
def _handled_by(stop: _Stop) -> Iterator[None]:
    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
