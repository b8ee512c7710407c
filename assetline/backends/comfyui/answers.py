"""ComfyUI's answers as records: /queue, /history/{id}.

Newer versions add fields and lengthen the queue's tuples: all is read by name or index, and nothing is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from assetline.backends import State


@dataclass(frozen=True)
class Queue:
    """The prompt_ids on a worker, those of other clients too: what runs, and what waits, the next one first."""

    running: tuple[str, ...]
    pending: tuple[str, ...]

    def __contains__(self, prompt_id: str) -> bool:
        return prompt_id in self.running or prompt_id in self.pending

    @classmethod
    def read(cls, answer: dict[str, Any]) -> Queue:
        """From GET /queue: lists of `[number, prompt_id, graph, extra_data, outputs, ...]`, a heap on the number."""
        return cls(
            running=tuple(str(item[1]) for item in answer["queue_running"]),
            pending=tuple(str(item[1]) for item in sorted(answer["queue_pending"], key=_number)),
        )

    def before(self, prompt_id: str) -> int:
        """How many run or come before one that waits."""
        place = self.pending.index(prompt_id) if prompt_id in self.pending else 0
        return len(self.running) + place


def _number(item: list[Any]) -> float:
    return float(item[0])


@dataclass(frozen=True)
class Remnant:
    """A prompt that assetline handed in: how far it is, its graph, and the facts that it was sent with."""

    prompt_id: str
    state: State
    graph: dict[str, Any]
    facts: dict[str, Any]

    @property
    def request_key(self) -> str:
        """Which request it makes."""
        return str(self.facts.get("request_key", ""))

    @property
    def campaign(self) -> str:
        """For which campaign."""
        return str(self.facts.get("campaign", ""))

    @property
    def maker(self) -> str:
        """Which lane of which process handed it in; see `adoption`."""
        return str(self.facts.get("maker", ""))


def read_remnants(queue: dict[str, Any], history: dict[str, Any]) -> list[Remnant]:
    """From GET /queue and, read after it, GET /history. Of what has ended, only what succeeded."""
    ended = [item["prompt"] for item in history.values() if _has_succeeded(item)]
    return [
        *_remnants(ended, "finished"),
        *_remnants(queue["queue_running"], "running"),
        *_remnants(queue["queue_pending"], "pending"),
    ]


def _remnants(items: list[Any], state: State) -> Iterator[Remnant]:
    for item in items:
        facts = item[3].get("assetline") if isinstance(item[3], dict) else None
        if isinstance(facts, dict) and isinstance(item[2], dict):
            yield Remnant(str(item[1]), state, item[2], facts)


@dataclass(frozen=True)
class ImageFile:
    """A picture on the worker's disk, as /view wants it named. `type` is `output`, `temp` or `input`."""

    filename: str
    subfolder: str
    type: str


@dataclass(frozen=True)
class HistoryEntry:
    """A prompt that has ended. `messages` maps an event (`execution_error`) to its data, `images` a node to files."""

    succeeded: bool
    messages: dict[str, dict[str, Any]]
    images: dict[str, tuple[ImageFile, ...]]

    @property
    def seconds(self) -> float | None:
        """From the start of the execution to its end by the worker's own clock; None where it does not say."""
        start = self.messages.get("execution_start", {}).get("timestamp")
        stamps = [data["timestamp"] for data in self.messages.values() if "timestamp" in data]
        return (max(stamps) - start) / 1000 if start is not None else None

    @classmethod
    def read(cls, item: dict[str, Any]) -> HistoryEntry:
        """From one value of GET /history/{id}; `status` may be null there."""
        status = item.get("status") or {}
        return cls(
            succeeded=_has_succeeded(item),
            messages={str(message[0]): dict(message[1]) for message in status.get("messages", [])},
            images={node: _image_files(output) for node, output in (item.get("outputs") or {}).items()},
        )


def _has_succeeded(item: dict[str, Any]) -> bool:
    return str((item.get("status") or {}).get("status_str", "success")) == "success"


def _image_files(output: dict[str, Any]) -> tuple[ImageFile, ...]:
    return tuple(
        ImageFile(str(file["filename"]), str(file.get("subfolder", "")), str(file.get("type", "output")))
        for file in output.get("images") or []
    )
