"""What a person sees of a run on the terminal: one progress bar that log lines do not tear, then a summary.

Everything goes to stderr. Without a terminal (CI, a pipe, NO_COLOR) there is no bar but a plain line now and then.
"""

from __future__ import annotations

import logging
import os
import time
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from assetline.pipeline import Progress, RunResult
from assetline.records import Outcome

LINE_EVERY_S = 10.0
TROUBLES_SHOWN = 10
WORDS = {"stored": "made", "reused": "made before", "duplicate": "set aside as duplicates", "canceled": "not made"}


class Terminal:
    """Follows a run (`assetline.pipeline.Watcher`). Use it as a context manager round the run."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.result: RunResult | None = None
        self._has_bar = self.console.is_terminal and not os.environ.get("NO_COLOR") and not os.environ.get("CI")
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
            self.console.print(what, highlight=False)

    def report(self, progress: Progress) -> None:
        """Show how far the run is."""
        if self._has_bar:
            self._bar.update(
                self._task, total=progress.total, completed=progress.done, step=progress.step, said=str(progress)
            )
        elif self._is_due(progress):
            self.console.print(f"{progress.step}: {progress}", highlight=False)

    def finished(self, result: RunResult) -> None:
        """Keep the result; the summary is printed when the bar is gone."""
        self.result = result

    def log_through(self, logger: logging.Logger) -> None:
        """Send a logger's warnings through this console, so that they stand above the bar."""
        handler = RichHandler(console=self.console, show_path=False, show_time=False, markup=False)
        handler.setLevel(logging.WARNING)
        logger.addHandler(handler)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

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
    lines = [f"{record.campaign}: {_counted(result)} in {record.seconds:.1f} s"]
    lines += [
        f"  {outcome.status}: {outcome.label}: {outcome.reason}" for outcome in _troubles(result)[:TROUBLES_SHOWN]
    ]
    if (more := len(_troubles(result)) - TROUBLES_SHOWN) > 0:
        lines.append(f"  and {more:,} more: assetline status {record.run_id} --by row")
    if record.interrupted:
        lines.append(f"  Stopped before {counts.canceled:,} pictures; the same command makes the rest.")
    if record.cost_usd:
        lines.append(f"  Cost: {record.cost_usd:.2f} USD")
    lines.append(f"  Contact sheet: {readable(record.contact_sheet)}")
    return "\n".join(lines)


def readable(uri: str) -> str:
    """A file's path where the URI is one; it can be typed, and terminals open it."""
    return unquote(urlsplit(uri).path) if uri.startswith("file://") else uri


def _counted(result: RunResult) -> str:
    counts = result.record.counts
    if counts.total and counts.reused == counts.total:
        return f"0 pictures made, all {counts.total:,} were made before"
    found = [f"{count:,} {WORDS.get(status, status)}" for status, count in counts.model_dump().items() if count]
    return ", ".join(found) or "nothing to make"


def _troubles(result: RunResult) -> list[Outcome]:
    return [outcome for outcome in result.outcomes if outcome.status in ("failed", "rejected")]
