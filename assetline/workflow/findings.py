"""What an import finds: parameters with the places they set and how each was found, doubts, notes, what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from assetline.records import Value
from assetline.workflow.contract import Target
from assetline.workflow.edits import unplugged
from assetline.workflow.models import ModelFile
from assetline.workflow.wiring import Place


@dataclass(frozen=True)
class Found:
    """One parameter: the inputs that it sets, its value as exported, and the links that led there.

    `about` says what it is for where its name does not (`the second pass`, `ControlNet 14`).
    """

    name: str
    targets: tuple[Target, ...]
    value: Value
    paths: tuple[str, ...]
    about: str = ""


@dataclass(frozen=True)
class Absent:
    """A parameter that a sheet often sets and this graph has no place for, with what follows from that."""

    name: str
    meaning: str


@dataclass(frozen=True)
class Discovery:
    """All that was found in a graph. `graph` has the changes that `notes` tell; `files` are those that stay fixed.

    `doubts` are choices that a person should look at before they are kept.
    """

    graph: dict[str, Any]
    found: dict[str, Found]
    output: str
    prefix: Target
    native: tuple[int, int]
    size_step: int
    files: tuple[ModelFile, ...]
    absent: tuple[Absent, ...]
    doubts: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass
class Findings:
    """Collects parameters. A place is set by one parameter alone; where one node feeds two, the second is unplugged."""

    graph: dict[str, Any]
    found: dict[str, Found] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _owners: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, name: str, places: Sequence[tuple[Place, Target]], about: str = "") -> None:
        """Keep a parameter with its places, each as the contract's target; nothing where none can be set."""
        kept = [*self._claimed(name, _distinct(places))]
        if not kept:
            return
        paths = tuple(" < ".join(place.path) for place, _ in kept)
        value = next((place.value for place, target in kept if target.factor is None), kept[0][0].value)
        self.found[name] = Found(name, tuple(target for _, target in kept), value, paths, about)

    def _free(self, name: str, place: Place, target: Target) -> tuple[Place, Target] | None:
        """The place itself, or the input that it is for where the place belongs to another parameter."""
        owner = self._owners.get(place.key)
        if owner in {None, name}:
            self._doubt(name, place)
            return place, target
        moved = unplugged(self.graph, place)
        if moved.key in self._owners:
            self.doubts.append(f"{place.node}.{place.input} is {owner} already and was not taken for {name} as well.")
            return None
        self.notes.append(
            f"{moved.node}.{moved.input} ({name}) was fed by the node of {owner}; it has a value of its own now."
        )
        return moved, target.model_copy(update={"node": moved.node, "input": moved.input})

    def _claimed(self, name: str, places: Sequence[tuple[Place, Target]]) -> Iterator[tuple[Place, Target]]:
        """The places that are free for `name`, which are its own from now on."""
        for place, target in places:
            pair = self._free(name, place, target)
            if pair:
                self._owners[pair[0].key] = name
                yield pair

    def _doubt(self, name: str, place: Place) -> None:
        if not place.sure:
            self.doubts.append(f"{name}: {place.node}.{place.input} was chosen among the node's values by its name.")

    def plain(self, name: str, places: Sequence[Place], about: str = "") -> None:
        """Keep a parameter that sets its places to the value as it is."""
        self.add(name, [(place, place.target()) for place in places], about)


def _distinct(places: Sequence[tuple[Place, Target]]) -> list[tuple[Place, Target]]:
    return [*{place.key: (place, target) for place, target in reversed(places)}.values()][::-1]
