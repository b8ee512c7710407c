"""The Logs tab of a run: what the core logs from INFO up, a line every 5 % or 30 s, none per task run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prefect.logging.handlers import APILogHandler
from prefect.runtime import flow_run, task_run

from assetline.pipeline import Progress

LINE_EVERY_PERCENT = 5
LONGEST_SILENCE_S = 30.0
SHORTEST_SILENCE_S = 1.0  # a run of seconds says a line a second, not twenty


class ProgressLines:
    """A report that says a line at each new step, at each 5 % (once a second at most) and, on slow runs, every 30 s."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._step = ""
        self._mark = 0
        self._said_at = clock()

    def __call__(self, progress: Progress) -> None:
        """Hear of progress; say it where it is worth a line."""
        mark, now = int(progress.percent // LINE_EVERY_PERCENT), self._clock()
        silence_s = SHORTEST_SILENCE_S if mark > self._mark else LONGEST_SILENCE_S
        if progress.step != self._step or now - self._said_at >= silence_s:
            self._step, self._mark, self._said_at = progress.step, mark, now
            self._say(f"{progress.step}: {progress}")


@contextmanager
def core_log() -> Iterator[None]:
    """Send the core's lines to the flow run, and to the task run that they come from, for as long as this is open.

    Prefect's own two lines per failed task run would drown them: the state has the reason, the core has the tries.
    In code rather than by PREFECT_LOGGING_EXTRA_LOGGERS: that needs a run context, which a thread of the pool lacks.
    """
    core, run_id = logging.getLogger("assetline"), flow_run.id

    def address(record: logging.LogRecord) -> bool:
        record.__dict__.update(flow_run_id=run_id, task_run_id=task_run.id)
        return True

    handler = APILogHandler()
    handler.addFilter(address)
    core.addHandler(handler)
    try:
        with _level(core, core.level or logging.INFO), _level(logging.getLogger("prefect.task_runs"), logging.CRITICAL):
            yield
    finally:
        core.removeHandler(handler)
        handler.close()


@contextmanager
def _level(logger: logging.Logger, level: int) -> Iterator[None]:
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
