"""What people are told while a campaign runs: one record, and the sentence that every reader of it shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from assetline.records import Outcome
from assetline.timeline import LaneTimeline, Timeline

FINISHED_WELL = ("stored", "reused", "duplicate")
LEAST_A_SECOND = 0.1  # slower than that, one decimal of pictures a second says nothing


@dataclass(frozen=True)
class Progress:
    """How far a run is. `made` counts what this run made itself, in `seconds` since its first request went out.

    `lanes` is the newest look at what the lanes do, a few seconds old, `timeline` at all that they did, up to half a
    minute old. Two that differ in these alone are equal.
    """

    total: int
    done: int = 0
    failed: int = 0
    rejected: int = 0
    made: int = 0
    seconds: float = 0.0
    step: str = ""
    paused: bool = False
    lanes: tuple[LaneTimeline, ...] = field(default=(), compare=False, repr=False)
    timeline: Timeline | None = field(default=None, compare=False, repr=False)

    def with_outcome(self, outcome: Outcome) -> Progress:
        """The progress after one more request has ended."""
        return replace(
            self,
            done=self.done + 1,
            failed=self.failed + (outcome.status == "failed"),
            rejected=self.rejected + (outcome.status == "rejected"),
        )

    @property
    def rate(self) -> float:
        """Requests per second that this run ended itself."""
        return self.made / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """A guess from the rate so far; None before there is one."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None

    @property
    def percent(self) -> float:
        """0 to 100."""
        return 100.0 * self.done / self.total if self.total else 100.0

    @property
    def said(self) -> str:
        """The sentence for whoever is not told the step: `paused: 312 of 400`."""
        return f"paused: {self}" if self.paused else str(self)

    def __str__(self) -> str:
        """`312 of 400, 2 failed, 3.1/s, 28 s left`; slow `2.4/min`; while it is paused `312 of 400, 2 failed`."""
        parts = [f"{self.done:,} of {self.total:,}"]
        parts += [f"{count} {word}" for count, word in ((self.failed, "failed"), (self.rejected, "rejected")) if count]
        if self.rate > 0 and not self.paused:
            parts.append(f"{self.rate:.1f}/s" if self.rate >= LEAST_A_SECOND else f"{60 * self.rate:.1f}/min")
        if self.seconds_left is not None and self.done < self.total and not self.paused:
            parts.append(f"{duration(self.seconds_left)} left")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as people say them: `28 s`, `4 min`, `2 h 5 min`."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


Report = Callable[[Progress], None]
