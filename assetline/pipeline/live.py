"""What a run that goes on says of itself in the store, and what it is told there.

`progress.json` is written by the run, `control.json` by whoever pauses it; both lie beside the run's other files and
mean nothing any more when it has its `run.json`.
"""

from __future__ import annotations

from typing import Literal, TypeVar

from pydantic import ValidationError
from pydantic.main import IncEx

from assetline.errors import ObjectMissing, StoreError
from assetline.pipeline.asset import Bench
from assetline.pipeline.progress import Progress
from assetline.records import Record
from assetline.store import Store
from assetline.store.layout import run_key
from assetline.timeline import LaneTimeline, Timeline, draw, read_timeline, timeline_json

PROGRESS = "progress.json"
CONTROL = "control.json"
UNTOLD: IncEx = {"lanes": {"__all__": {"bars", "bands", "marks"}}}
TIMELINE = "timeline.json"
PICTURE = "timeline.svg"


class RunNews(Record):
    """`progress.json`: how far a run was at `updated_at`, in one sentence too (`said`), and what its lanes do."""

    version: Literal[1] = 1
    updated_at: str
    step: str
    said: str
    total: int
    done: int
    failed: int = 0
    rejected: int = 0
    seconds_left: float | None = None
    paused: bool = False
    lanes: tuple[LaneTimeline, ...] = ()


class Control(Record):
    """`control.json`: what the run is asked to do. It counts for this run alone, not for the same sheet run again."""

    version: Literal[1] = 1
    paused: bool
    asked_at: str = ""
    by: str = ""


AnyRecord = TypeVar("AnyRecord", RunNews, Control)


def news_of(progress: Progress, updated_at: str) -> RunNews:
    """The news that a run's progress makes."""
    left = progress.seconds_left
    return RunNews(
        updated_at=updated_at,
        step=progress.step,
        said=progress.said,
        total=progress.total,
        done=progress.done,
        failed=progress.failed,
        rejected=progress.rejected,
        seconds_left=None if left is None or progress.paused else round(left, 1),
        paused=progress.paused,
        lanes=progress.lanes,
    )


def put_news(bench: Bench, news: RunNews) -> None:
    """Write `progress.json`. Raises StoreError."""
    bench.store.put(run_key(bench.campaign, bench.run_id, PROGRESS), news.model_dump_json(exclude=UNTOLD).encode())


def put_control(store: Store, campaign: str, run_id: str, control: Control) -> None:
    """Write `control.json`. Raises StoreError."""
    store.put(run_key(campaign, run_id, CONTROL), control.model_dump_json().encode())


def put_timeline(bench: Bench, timeline: Timeline) -> None:
    """Write `timeline.json` and its picture. Raises StoreError."""
    bench.store.put(run_key(bench.campaign, bench.run_id, TIMELINE), timeline_json(timeline))
    bench.store.put(run_key(bench.campaign, bench.run_id, PICTURE), draw(timeline).encode())


def read_news(store: Store, campaign: str, run_id: str) -> RunNews | None:
    """What a run last said; None where it has said nothing yet. Raises StoreError."""
    return _read(store, run_key(campaign, run_id, PROGRESS), RunNews)


def read_control(store: Store, campaign: str, run_id: str) -> Control | None:
    """What a run is asked to do; None where nobody asked. Raises StoreError."""
    return _read(store, run_key(campaign, run_id, CONTROL), Control)


def read_lanes(store: Store, campaign: str, run_id: str) -> Timeline | None:
    """The lanes of a run over time, as far as it was written; None where there is nothing. Raises StoreError."""
    try:
        return read_timeline(store.get(run_key(campaign, run_id, TIMELINE)).data)
    except ObjectMissing:
        return None


def _read(store: Store, key: str, kind: type[AnyRecord]) -> AnyRecord | None:
    try:
        return kind.model_validate_json(store.get(key).data)
    except ObjectMissing:
        return None
    except ValidationError as error:
        raise StoreError(f"{store.uri_of(key)} cannot be read by this version.") from error
