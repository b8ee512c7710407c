"""ComfyUI workflows in API format, each with its contract: which node and input takes what, ranges, defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from assetline.records import Record, Value


class Target(Record):
    """A node's input that a parameter sets. `factor` scales a size (rounded to `multiple_of`) for a smaller first pass."""

    node: str
    input: str
    factor: float | None = None
    multiple_of: int = 8


class Parameter(Record):
    """One parameter of a workflow. `default` None means that the caller must give it.

    `type` `image` takes the sha256 of a reference image; the backend puts the worker's file name in its place.
    """

    targets: tuple[Target, ...]
    type: Literal["int", "float", "str", "image"]
    default: Value | None = None
    minimum: float | None = None
    maximum: float | None = None
    multiple_of: int | None = None
    choices: tuple[str, ...] = ()
    description: str = ""


class Contract(Record):
    """What a workflow takes. Parameter names: prompt, negative_prompt, width, height, seed, steps, cfg, sampler, scheduler,
    checkpoint, lora, lora_strength, controlnet, controlnet_strength, reference_image, denoise.

    `profiles` maps a name (`draft`) to values that replace defaults; a sheet says `sd15-txt2img:draft`.
    `prefix` is the input that takes the file name prefix, `output` the node whose image is the result.
    """

    name: str
    description: str
    native: tuple[int, int]
    prefix: Target
    output: str
    parameters: dict[str, Parameter]
    profiles: dict[str, dict[str, Value]] = {}


@dataclass(frozen=True)
class Workflow:
    """A graph in API format with its contract. `sha256` is of the canonical JSON of both, so that a changed one is new."""

    name: str
    graph: dict[str, Any]
    contract: Contract
    sha256: str
