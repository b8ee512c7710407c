"""What a workflow takes: the records of a contract, and whether a value fits a parameter."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from assetline.records import Record, Value

EXACT_FLOAT = 2**53  # above it a float no longer holds every whole number
CHOICES_SHOWN = 12


def _node_id(value: object) -> object:
    """YAML reads `node: 6` as a number; ComfyUI's ids are text."""
    return str(value) if isinstance(value, int) else value


NodeId = Annotated[str, BeforeValidator(_node_id)]


class Target(Record):
    """A node's input that a parameter sets. `factor` scales a size (rounded to `multiple_of`) for a smaller first pass.

    In a contract `6.text` is short for node 6, input text.
    """

    node: NodeId
    input: str
    factor: float | None = Field(default=None, gt=0)
    multiple_of: int = Field(default=8, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, data: object) -> object:
        if not isinstance(data, str):
            return data
        node, _, name = data.partition(".")
        return {"node": node, "input": name}

    def scaled(self, value: Value) -> Value:
        """What this input gets of `value`: the value itself, or its part, at least one `multiple_of`."""
        if self.factor is None or isinstance(value, str):
            return value
        return max(1, round(value * self.factor / self.multiple_of)) * self.multiple_of

    def __str__(self) -> str:
        return f"{self.node}.{self.input}"


class Parameter(Record):
    """One parameter of a workflow. `default` None means that the caller must give it.

    `type` `image` takes the sha256 of a reference image; the backend puts the worker's file name in its place.
    Bounds are whole numbers where they can be: a float cannot hold the largest seed.
    """

    targets: tuple[Target, ...]
    type: Literal["int", "float", "str", "image"]
    default: Value | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    multiple_of: int | None = Field(default=None, ge=1)
    choices: tuple[str, ...] = ()
    description: str = ""

    @property
    def range(self) -> str:
        """What it takes, in words: `whole number from 64 to 4096 in steps of 8`, `one of 42 names: euler, ...`."""
        if self.type == "image":
            return "picture"
        if self.choices:
            shown = ", ".join(self.choices[:CHOICES_SHOWN]) + (", ..." if len(self.choices) > CHOICES_SHOWN else "")
            return f"one of {len(self.choices)} names: {shown}"
        if self.type == "str":
            return "text"
        numbers = "whole number" if self.type == "int" else "number"
        low = "" if self.minimum is None else f" from {self.minimum}"
        high = "" if self.maximum is None else f" {'to' if low else 'up to'} {self.maximum}"
        return numbers + low + high + ("" if self.multiple_of is None else f" in steps of {self.multiple_of}")


class Equivalent(Record):
    """A model elsewhere that makes much the same picture. `parameters` maps the workflow's names to the model's.

    `values` maps what some of them may be to what that is called there; a value that is not named is not to be had.
    """

    model: str
    parameters: dict[str, str] = Field(default_factory=dict)
    values: dict[str, dict[str, Value]] = Field(default_factory=dict)

    def value_of(self, parameter: str, value: Value) -> Value | None:
        """The value as the model has it; None where it has none like it."""
        return self.values[parameter].get(str(value)) if parameter in self.values else value


class Contract(Record):
    """What a workflow takes.

    Parameter names: prompt, negative_prompt, width, height, seed, steps, cfg, sampler, scheduler, checkpoint, lora,
    lora_strength, controlnet, controlnet_strength, reference_image, denoise; a workflow may have others of its own.

    `profiles` maps a name (`draft`) to values that replace defaults; a sheet says `sd15-txt2img:draft`.
    `equivalent` names, by kind of lane, what may make its pictures when the workers have too much to do.
    `prefix` is the input that takes the file name prefix, `output` the node whose image is the result.
    """

    name: str
    description: str
    native: tuple[int, int]
    prefix: Target
    output: NodeId
    parameters: dict[str, Parameter]
    profiles: dict[str, dict[str, Value]] = Field(default_factory=dict)
    equivalent: dict[Literal["replicate"], Equivalent] = Field(default_factory=dict)


@dataclass(frozen=True)
class Workflow:
    """A graph in API format with its contract. `sha256` is of the canonical JSON of both, so that a changed one is new.

    Words for people alone (descriptions, titles of nodes) are not in it: a better wording makes no picture again.
    """

    name: str
    graph: dict[str, Any]
    contract: Contract
    sha256: str


def value_problem(parameter: Parameter, value: Value) -> str:
    """Why `parameter` cannot take `value`, as words to put after its name; empty if it can.

    Whole numbers may come as floats without a fraction (`20.0`, as spreadsheets have them) where a float is exact.
    """
    if parameter.type in {"str", "image"}:
        return _text_problem(parameter, value)
    low = -math.inf if parameter.minimum is None else parameter.minimum
    high = math.inf if parameter.maximum is None else parameter.maximum
    if (
        isinstance(value, str | bool)
        or not low <= value <= high  # NaN is in no range
        or abs(value) == math.inf
        or (parameter.type == "int" and not _is_whole(value))
        or (parameter.multiple_of and value % parameter.multiple_of)
    ):
        return f"{value!r} is not a {parameter.range}"
    return ""


def _is_whole(value: float) -> bool:
    return isinstance(value, int) or (value.is_integer() and abs(value) < EXACT_FLOAT)


def _text_problem(parameter: Parameter, value: Value) -> str:
    if not isinstance(value, str):
        return f"{value!r} is a number, not {'the name of a picture' if parameter.type == 'image' else 'text'}"
    if parameter.choices and value not in parameter.choices:
        near = get_close_matches(value, parameter.choices, n=3)
        return f"{value!r} is not {parameter.range}" + (f"; nearest: {', '.join(near)}" if near else "")
    return ""


def is_link(value: object) -> bool:
    """ComfyUI's own test of a link: a list of a node's id and the number of its output (`graph_utils.is_link`)."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)


def canonical_json(value: object) -> bytes:
    """Sorted keys, no blanks, UTF-8: what hashes are taken of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
