"""The dispatcher's events as the timeline takes them, with the names that people know for what a lane has loaded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from assetline.dispatch import Lane, LaneEvent
from assetline.records import FPO_MODEL, ImageRequest, PlannedRequest
from assetline.timeline import Happening, LaneTimeline, Recorder, Timeline
from assetline.workflow.models import is_model_file

Listen = Callable[[LaneEvent], None]


class LaneWatch:
    """Hears what happens on the lanes of a run, from the moment they go to work. Time is the event loop's."""

    def __init__(self, lanes: Sequence[Lane], planned: Sequence[PlannedRequest], started_at: str) -> None:
        self._recorder = Recorder([lane.name for lane in lanes], _now())
        self._started_at = started_at
        self._requests = {item.label: item.request for item in planned}
        self._names: dict[str, str] = {}
        self._ended_at: float | None = None

    def hear(self, event: LaneEvent) -> None:
        """Take note of an event."""
        group = self._group(event) if event.label or event.affinity else ""
        self._recorder.hear(Happening(event.at, event.lane, event.kind, event.label, group, event.detail))

    def also(self, listen: Listen) -> Listen:
        """A listener that tells this one first, then `listen`."""

        def both(event: LaneEvent) -> None:
            self.hear(event)
            listen(event)

        return both

    def end(self) -> None:
        """The lanes have no more to do."""
        self._ended_at = _now()

    def lanes(self) -> tuple[LaneTimeline, ...]:
        """What each lane has done so far, and does now."""
        return self._recorder.lanes(self._time())

    def timeline(self, campaign: str, run_id: str) -> Timeline:
        """All of it, up to now or to the end."""
        ended = self._ended_at is not None
        facts = {"campaign": campaign, "run_id": run_id, "started_at": self._started_at}
        return self._recorder.timeline(self._time(), ended=ended, **facts)

    def _time(self) -> float:
        return _now() if self._ended_at is None else self._ended_at

    def _group(self, event: LaneEvent) -> str:
        """What the event's request wants loaded, as people know it; two of one name are told apart by the hash."""
        if event.affinity in self._names:
            return self._names[event.affinity]
        request = self._requests.get(event.label)
        name = models_of(request) if request else "other requests"
        if not event.affinity:
            return name
        if name in self._names.values():
            name = f"{name} ({event.affinity[:4]})"
        return self._names.setdefault(event.affinity, name) if request else name


def models_of(request: ImageRequest) -> str:
    """`sdxl-lora · juggernautXL_v9 + brand_v3`: the workflow or model, and the model files that the request names."""
    if request.model == FPO_MODEL:
        return "FPO comps"
    files = [PurePosixPath(str(value)).stem for value in request.parameters.values() if is_model_file(value)]
    recipe = request.workflow or request.model or "pictures"
    return f"{recipe} · {' + '.join(dict.fromkeys(files))}" if files else recipe


def _now() -> float:
    return asyncio.get_running_loop().time()
