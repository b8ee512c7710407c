"""What a person sees of a run on the terminal: one progress bar that log lines do not tear, then a summary.

Everything goes to stderr. Without a terminal (CI, a pipe, NO_COLOR) there is no bar but a plain line now and then.
"""

from __future__ import annotations

import logging
import os
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from apps.words import many, readable
from assetline.pipeline import Progress, RunResult
from assetline.records import Outcome

LINE_EVERY_S = 10.0
TROUBLES_SHOWN = 10
WORDS = {"stored": "made", "reused": "made before", "duplicate": "set aside as duplicates", "canceled": "not made"}


class _ConsoleLog(logging.Handler):
    """Log records as whole lines on the console: above the bar where there is one, never broken for its width."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console
        self.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        _print_line(self._console, self.format(record))


class Terminal:
    """Follows a run (`assetline.pipeline.Watcher`). Use it as a context manager round the run."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.result: RunResult | None = None
        self._has_bar = _can_redraw(self.console)
        self._logged: list[tuple[logging.Logger, logging.Handler]] = []
        self._bar = Bar(
            SpinnerColumn(),
            TextColumn("[bold]{task.fields[step]}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[said]}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self._has_bar,
        )
        self._task = self._bar.add_task("run", total=None, step="starting", said="")
        self._told_at = 0.0
        self._step = ""

    def waiting_for(self, what: str) -> None:
        """Say what the run waits for, before there is any progress."""
        if self._has_bar:
            self._bar.update(self._task, step=what)
        else:
            _print_line(self.console, what)

    def report(self, progress: Progress) -> None:
        """Show how far the run is."""
        if self._has_bar:
            self._bar.update(
                self._task, total=progress.total, completed=progress.done, step=progress.step, said=str(progress)
            )
        elif self._is_due(progress):
            _print_line(self.console, f"{progress.step}: {progress}")

    def finished(self, result: RunResult) -> None:
        """Keep the result; the summary is printed when the bar is gone."""
        self.result = result

    def log_through(self, logger: logging.Logger) -> None:
        """Send a logger's warnings through this console while the run lasts, so that they stand above the bar."""
        handler = _ConsoleLog(self.console)
        logger.addHandler(handler)
        self._logged.append((logger, handler))

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        for logger, handler in self._logged:
            logger.removeHandler(handler)

    def _is_due(self, progress: Progress) -> bool:
        """A new step, or ten seconds since the last line."""
        now = time.monotonic()
        due = progress.step != self._step or now - self._told_at >= LINE_EVERY_S
        if due:
            self._told_at, self._step = now, progress.step
        return due


def summary(result: RunResult) -> str:
    """The closing summary: what became of the requests, why some failed, where the contact sheet is."""
    record, counts = result.record, result.record.counts
    lines = [f"{record.campaign}: {_counted(result)} ({record.seconds:.1f} s)"]
    lines += [
        f"  {outcome.status}: {outcome.label}: {outcome.reason}" for outcome in _troubles(result)[:TROUBLES_SHOWN]
    ]
    if (more := len(_troubles(result)) - TROUBLES_SHOWN) > 0:
        lines.append(f"  and {more:,} more: assetline status {record.run_id} --by row")
    if record.interrupted:
        lines.append(f"  Stopped before {many(counts.canceled, 'picture')}; the same command makes the rest.")
    if record.cost_usd:
        lines.append(f"  Cost: {record.cost_usd:.2f} USD")
    if record.overflow:
        lines.append(f"  {record.overflow}")
    lines.append(f"  Contact sheet: {readable(record.contact_sheet)}")
    if record.results:
        lines.append(f"  Your sheet with the results: {readable(record.results)}")
    return "\n".join(lines)


def _counted(result: RunResult) -> str:
    """`3 made, 2 failed`; where this run itself made none, it says `0 pictures made` first."""
    counts = result.record.counts
    found = [f"{count:,} {WORDS.get(status, status)}" for status, count in counts.model_dump().items() if count]
    if not found:
        return "nothing to make"
    mine = (outcome.asset and outcome.asset.run_id == result.record.run_id for outcome in result.outcomes)
    made = not result.same_again and any(mine)
    return ", ".join(found if made else ["0 pictures made", *found])


def _troubles(result: RunResult) -> list[Outcome]:
    return [outcome for outcome in result.outcomes if outcome.status in ("failed", "rejected")]


def _can_redraw(console: Console) -> bool:
    """Whether there is somebody to see a bar: a terminal that can move its cursor, not CI, not NO_COLOR."""
    asked_not_to = os.environ.get("NO_COLOR") or os.environ.get("CI")
    return console.is_terminal and not console.is_dumb_terminal and not asked_not_to


def _print_line(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
