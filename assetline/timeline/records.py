"""What is kept of a run's lanes over time: `timeline.json`. Seconds count from the moment the lanes went to work."""

from __future__ import annotations

import json
from typing import Literal, NamedTuple, get_args

from pydantic import ValidationError

from assetline.errors import StoreError
from assetline.records import Record

BandKind = Literal["down", "gone", "quarantined", "paused"]


class Bar(NamedTuple):
    """Time for which a lane worked on something: a picture, or as many `pictures` that stand for one bar.

    `group` is the place in `Timeline.groups`, `slot` which of the lane's slots. `load`: how many of its first seconds
    went into loading models, estimated from pictures that needed no load; `-1` where there are none to tell from.
    """

    start: float
    end: float
    group: int
    slot: int = 0
    pictures: int = 1
    load: float = 0.0
    failed: bool = False
    label: str = ""


class Band(NamedTuple):
    """Time for which a lane (or, where it is the run's, every lane) took nothing, and why.

    `down`: it could not be reached; `gone`: so for longer than the run's patience; `quarantined`: it could be reached
    and was not trusted, but for one request at a time.
    """

    start: float
    end: float
    kind: BandKind
    why: str = ""


class Mark(NamedTuple):
    """Something that happened at a moment: a failure, a canary, whatever the dispatcher tells beside."""

    at: float
    kind: str
    why: str = ""


class LaneTimeline(Record):
    """One lane. The totals are exact however much the bars were thinned out.

    `working_s`, `away_s`, `paused_s` and `idle_s` add up to the time watched; away counts before working. `median_s` is
    of pictures that needed no load where there are any. `loads_s` is estimated; `doing` is set while a run goes on.
    """

    name: str
    slots: int = 1
    pictures: int = 0
    failures: int = 0
    loads: int = 0
    loads_s: float = 0.0
    median_s: float | None = None
    working_s: float = 0.0
    away_s: float = 0.0
    paused_s: float = 0.0
    idle_s: float = 0.0
    doing: str = ""
    bars: tuple[Bar, ...] = ()
    bands: tuple[Band, ...] = ()
    marks: tuple[Mark, ...] = ()

    @property
    def state(self) -> str:
        """What it is in now, in a word: `working`, `idle`, `down`, `quarantined`, `gone`."""
        first = self.doing.partition(" for ")[0]
        return first if first in get_args(BandKind) else "working" if first else "idle"


class Timeline(Record):
    """The lanes of one run. `groups` names what lanes had loaded (workflow, checkpoint, LoRA), most work first.

    `seconds` is how long they were watched; `ended` is False while the run goes on, and stays so when it was killed.
    """

    version: Literal[1] = 1
    campaign: str = ""
    run_id: str = ""
    started_at: str = ""
    seconds: float = 0.0
    ended: bool = False
    groups: tuple[str, ...] = ()
    lanes: tuple[LaneTimeline, ...] = ()
    pauses: tuple[Band, ...] = ()

    @property
    def pictures(self) -> int:
        """How many pictures the lanes gave, also those that were rejected later."""
        return sum(lane.pictures for lane in self.lanes)


def timeline_json(timeline: Timeline) -> bytes:
    """`timeline.json`: without blanks or defaults, about 40 bytes a bar."""
    facts = {"version": timeline.version} | timeline.model_dump(mode="json", exclude_defaults=True)
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode()


def read_timeline(data: bytes) -> Timeline:
    """A `timeline.json`. Raises StoreError where this version cannot read it."""
    try:
        return Timeline.model_validate_json(data)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise StoreError(f"timeline.json cannot be read: {place}: {fault['msg']}. Another version's?") from error
