"""A graph in API format, to be walked against its links: reroutes and pipes are passed through, values found.

`object_info` (a worker's own description of its node classes) is used where it is given; without it names decide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from assetline.records import Value
from assetline.workflow.contract import Target, is_link

Kind = Literal["number", "text"]

# Nodes that bundle several links into one and take them apart again: the names of their outputs in order.
_PIPES = {
    "FromBasicPipe": ("model", "clip", "vae", "positive", "negative"),
    "FromBasicPipe_v2": ("basic_pipe", "model", "clip", "vae", "positive", "negative"),
    "Context (rgthree)": ("base_ctx", "model", "clip", "vae", "positive", "negative", "latent", "images", "seed"),
}
_PIPE_INPUTS = ("basic_pipe", "base_ctx", "pipe", "context", "ctx_01")
# What a node that only holds a value calls it, the likeliest first.
_VALUE_NAMES = ("value", "seed", "noise_seed", "int", "float", "number", "Number", "Value", "text", "string", "prompt")
_SHOWN_TITLE = 40


class Link(NamedTuple):
    """One output of a node."""

    node: str
    slot: int


@dataclass(frozen=True)
class Place:
    """A node's input that holds a value, and the way there from where the search began (`3.seed`, `20.value`).

    `sure` is False where a name alone told which of several values it is. `user` is the input that the value is for,
    where a node of its own holds it.
    """

    node: str
    input: str
    value: Value
    path: tuple[str, ...] = ()
    sure: bool = True
    user: tuple[str, str] | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What makes it one place, however it was reached."""
        return self.node, self.input

    def target(self, factor: float | None = None, multiple_of: int = 8) -> Target:
        """The contract's target for this place."""
        return Target(node=self.node, input=self.input, factor=factor, multiple_of=multiple_of)


class Wiring:
    """A graph whose links can be followed. It changes nothing."""

    def __init__(self, graph: Mapping[str, Any], object_info: Mapping[str, Any] | None = None) -> None:
        self.graph = graph
        self.object_info = object_info or {}

    def class_of(self, node: str) -> str:
        """Its `class_type`."""
        return str(self.graph[node]["class_type"])

    def title(self, node: str) -> str:
        """What the art director called it; empty where the export has no titles."""
        return " ".join(str((self.graph[node].get("_meta") or {}).get("title", "")).split())[:_SHOWN_TITLE]

    def label(self, node: str) -> str:
        """How people find it: `3 (KSampler "First pass")`."""
        title, kind = self.title(node), self.class_of(node)
        return f'{node} ({kind} "{title}")' if title and title != kind else f"{node} ({kind})"

    def inputs(self, node: str) -> Mapping[str, Any]:
        """Its inputs: links and values."""
        inputs: Mapping[str, Any] = self.graph[node]["inputs"]
        return inputs

    def links(self, node: str) -> dict[str, Link]:
        """Its linked inputs, each with the output that really feeds it."""
        return {name: self.resolve(Link(*value)) for name, value in self.inputs(node).items() if is_link(value)}

    def link(self, node: str, *names: str) -> Link | None:
        """What feeds the first of these inputs that is linked."""
        links = self.links(node)
        return next((links[name] for name in names if name in links), None)

    def literals(self, node: str) -> dict[str, Any]:
        """Its inputs that hold a value of their own."""
        return {name: value for name, value in self.inputs(node).items() if not is_link(value)}

    def resolve(self, link: Link) -> Link:
        """The output behind reroutes and pipes; `link` itself where there is none."""
        seen = set()
        while link not in seen:
            seen.add(link)
            link = self._step(link)
        return link

    def _step(self, link: Link) -> Link:
        """One reroute or pipe back."""
        inputs = self.inputs(link.node)
        linked = [Link(*value) for value in inputs.values() if is_link(value)]
        kind = self.class_of(link.node)
        if "reroute" in kind.casefold() and len(linked) == 1:
            return linked[0]
        if kind in _PIPES and link.slot < len(_PIPES[kind]):
            return self.member(link.node, _PIPES[kind][link.slot]) or link
        if kind.startswith("Any Switch") and linked:  # rgthree's: the first input that is there
            return linked[0]
        return link

    def member(self, node: str, name: str) -> Link | None:
        """What a pipe holds under `name`: an input of this node, or of the pipes before it."""
        seen: set[str] = set()
        while node not in seen:
            seen.add(node)
            inputs = self.inputs(node)
            if is_link(inputs.get(name)):
                return Link(*inputs[name])
            before = next((inputs[pipe] for pipe in _PIPE_INPUTS if is_link(inputs.get(pipe))), None)
            node = before[0] if before else node
        return None

    def output_name(self, link: Link) -> str:
        """The name of an output in lower case, by the worker's own word; empty where that is not known."""
        names = self._facts(link.node).get("output_name") or ()
        return str(names[link.slot]).casefold() if link.slot < len(names) else ""

    def input_type(self, node: str, name: str) -> str:
        """An input's type; `COMBO` for a list of choices, empty where it is not known."""
        spec = self.input_spec(node, name)
        if spec is None:
            return ""
        return spec[0] if isinstance(spec[0], str) else "COMBO"

    def input_spec(self, node: str, name: str) -> list[Any] | None:
        """What the worker says of an input: `["INT", {"default": 20, "min": 1}]`, or a list of choices first."""
        return input_spec(self.object_info, self.class_of(node), name)

    def _facts(self, node: str) -> Mapping[str, Any]:
        facts: Mapping[str, Any] = self.object_info.get(self.class_of(node), {})
        return facts

    def upstream(self, node: str) -> list[str]:
        """`node` and all that feeds it, each after what feeds it."""
        order: list[str] = []
        seen: set[str] = set()
        stack: list[tuple[str, bool]] = [(node, False)]
        while stack:
            current, done = stack.pop()
            if done:
                order.append(current)
            elif current not in seen:
                seen.add(current)
                stack.append((current, True))
                feeding = [value[0] for value in self.inputs(current).values() if is_link(value)]
                stack.extend((each, False) for each in reversed(feeding))
        return order

    def consumers(self, node: str) -> Iterator[tuple[str, str, int]]:
        """Who takes this node's outputs: node, input, slot."""
        for other, item in self.graph.items():
            for name, value in item["inputs"].items():
                if is_link(value) and value[0] == node:
                    yield other, name, value[1]

    def slots_used(self, node: str) -> set[int]:
        """Which of its outputs something takes."""
        return {slot for _, _, slot in self.consumers(node)}

    def place(self, node: str, name: str, kind: Kind, path: tuple[str, ...] = ()) -> Place | None:
        """Where the value of an input really stands: here, or in a node that holds nothing else.

        None where there is no such input, or where the value is computed.
        """
        value: Any = self.inputs(node).get(name)
        path = (*path, f"{node}.{name}")
        if not is_link(value):
            return Place(node, name, value, path) if value is not None and is_value(value, kind) else None
        origin = self.resolve(Link(value[0], value[1]))
        if self.links(origin.node):
            return None  # made of other values
        return self._constant(origin, (node, name), kind, path)

    def _constant(self, origin: Link, user: tuple[str, str], kind: Kind, path: tuple[str, ...]) -> Place | None:
        held = {name: value for name, value in self.literals(origin.node).items() if is_value(value, kind)}
        names = [name for name in (self.output_name(origin), user[1], *_VALUE_NAMES) if name in held]
        if len(held) == 1:
            names = [*held]
        if not names:
            return None
        name = names[0]
        steps = (*path, f"{origin.node}.{name}")
        return Place(origin.node, name, held[name], steps, sure=len(held) == 1, user=user)


def is_value(value: object, kind: Kind) -> bool:
    """Whether it is text, or a number that is no truth value."""
    if kind == "text":
        return isinstance(value, str)
    return isinstance(value, int | float) and not isinstance(value, bool)


def input_spec(object_info: Mapping[str, Any], class_type: str, name: str) -> list[Any] | None:
    """What /object_info says of one input of a class; None where it says nothing."""
    inputs = object_info.get(class_type, {}).get("input", {})
    spec = next((inputs[part][name] for part in ("required", "optional") if name in inputs.get(part, {})), None)
    return list(spec) if spec else None


def options_of(spec: list[Any]) -> Mapping[str, Any]:
    """The second part of an input's description (`default`, `min`, `max`, `step`); empty where there is none."""
    options = spec[1] if len(spec) > 1 else {}
    return options if isinstance(options, Mapping) else {}


def choices_of(spec: list[Any]) -> list[Any] | None:
    """The choices of an input, from `[[...], {}]` or the newer `["COMBO", {"options": [...]}]`; None for others."""
    if isinstance(spec[0], list):
        return spec[0]
    return list(options_of(spec).get("options", [])) if spec[0] == "COMBO" else None


def numbered(name: str, number: int) -> str:
    """`lora`, `lora_2`, `lora_3`."""
    return name if number == 1 else f"{name}_{number}"


def base_name(name: str) -> str:
    """`lora` for `lora_2`."""
    return re.sub(r"_\d+$", "", name)
