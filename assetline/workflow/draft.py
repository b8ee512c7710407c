"""Writes the contract for what was found: types, ranges, choices, defaults and words for people.

Ranges are what is of use (a sheet that says 5,000 steps is a slip of the finger; KSampler would take them), within what
the node classes take by a worker's own /object_info where one was asked. What was exported is always within them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from assetline.records import MAX_SEED, Value
from assetline.workflow.contract import Contract, Parameter, Target, value_problem
from assetline.workflow.findings import Discovery, Found
from assetline.workflow.wiring import base_name, choices_of, input_spec, options_of

# All names that KSampler of ComfyUI 0.3.64 takes, in its order.
SAMPLERS = (
    "euler", "euler_cfg_pp", "euler_ancestral", "euler_ancestral_cfg_pp", "heun", "heunpp2", "dpm_2",
    "dpm_2_ancestral", "lms", "dpm_fast", "dpm_adaptive", "dpmpp_2s_ancestral", "dpmpp_2s_ancestral_cfg_pp",
    "dpmpp_sde", "dpmpp_sde_gpu", "dpmpp_2m", "dpmpp_2m_cfg_pp", "dpmpp_2m_sde", "dpmpp_2m_sde_gpu",
    "dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun_gpu", "dpmpp_3m_sde", "dpmpp_3m_sde_gpu", "ddpm", "lcm", "ipndm",
    "ipndm_v", "deis", "res_multistep", "res_multistep_cfg_pp", "res_multistep_ancestral",
    "res_multistep_ancestral_cfg_pp", "gradient_estimation", "gradient_estimation_cfg_pp", "er_sde", "seeds_2",
    "seeds_3", "sa_solver", "sa_solver_pece", "ddim", "uni_pc", "uni_pc_bh2",
)  # fmt: skip
SCHEDULERS = (
    "simple", "sgm_uniform", "karras", "exponential", "ddim_uniform", "beta", "normal", "linear_quadratic",
    "kl_optimal",
)  # fmt: skip
_CHOICES = {"sampler": SAMPLERS, "scheduler": SCHEDULERS}
_MIN_SIDE_PX, _MAX_SIDE_PX = 64, 4096
_IMPORTED = "; imported from ComfyUI."
_FULL_NAMES = {"prompt", "negative_prompt", "checkpoint", "lora", "controlnet", "sampler", "scheduler"}


@dataclass(frozen=True)
class _Range:
    """What a number is, and the range that is of use."""

    type: Literal["int", "float"]
    low: float
    high: float


_RANGES = {
    "seed": _Range("int", 0, MAX_SEED),
    "steps": _Range("int", 1, 150),
    "cfg": _Range("float", 0.0, 30.0),
    "denoise": _Range("float", 0.0, 1.0),
    "flux_guidance": _Range("float", 0.0, 30.0),
    "lora_strength": _Range("float", -5.0, 5.0),
    "lora_clip_strength": _Range("float", -5.0, 5.0),
    "controlnet_strength": _Range("float", 0.0, 2.0),
    "width": _Range("int", _MIN_SIDE_PX, _MAX_SIDE_PX),
    "height": _Range("int", _MIN_SIDE_PX, _MAX_SIDE_PX),
}
_WORDS = {
    "prompt": "What the picture shows.",
    "negative_prompt": "What must not be in the picture.",
    "width": "Width of the finished picture in pixels.",
    "height": "Height of the finished picture in pixels.",
    "seed": "Where the noise starts. The same seed with the same settings gives the same picture again.",
    "steps": "How long the picture is worked on. Above 40 it takes longer and hardly gets better.",
    "cfg": "How strictly the prompt is followed. Low is freer, above 12 colours burn out.",
    "flux_guidance": "How strictly the model follows the prompt by its own built-in measure.",
    "sampler": "The method that turns noise into the picture.",
    "scheduler": "How the work is spread over the steps.",
    "denoise": "How much is made anew. 0 leaves the picture as it is, 1 keeps nothing of it.",
    "checkpoint": "The model that paints, as the worker names it.",
    "lora": "The LoRA, as the worker's models/loras folder names it.",
    "lora_strength": "How much of the LoRA shows. 0 is none, 1 is as it was taught.",
    "lora_clip_strength": "How much of the LoRA is in the reading of the prompt.",
    "controlnet": "The ControlNet, as the worker's models/controlnet folder names it.",
    "controlnet_strength": "How strictly the ControlNet's picture is followed. 0 ignores it, 1 is strict.",
    "reference_image": "A picture to work from.",
    "mask_image": "The mask: white where the picture is made anew.",
}


def draft_contract(name: str, found: Discovery, object_info: Mapping[str, Any] | None = None) -> Contract:
    """The contract for `found`, under `name`."""
    order = sorted(found.found.values(), key=_rank)
    parameters = {each.name: _parameter(each, found, object_info or {}) for each in order}
    return Contract(
        name=name,
        description=_description(found),
        native=found.native,
        prefix=found.prefix,
        output=found.output,
        parameters=parameters,
    )


def _rank(each: Found) -> tuple[int, int]:
    """The order of the shipped contracts: prompts first, then size, seed, settings, models, pictures."""
    name = base_name(each.name)
    return [*_WORDS].index(name), len(each.name)


def _description(found: Discovery) -> str:
    files = [str(each.value) for each in found.found.values() if base_name(each.name) in {"checkpoint", "lora"}]
    made = "Pictures from a picture and words" if "reference_image" in found.found else "Pictures from words"
    return f"{made}{' with ' + ', '.join(files) if files else ''}{_IMPORTED}"


def _parameter(each: Found, found: Discovery, object_info: Mapping[str, Any]) -> Parameter:
    name = base_name(each.name)
    about = f" It is for {each.about}." if each.about else ""
    common: dict[str, Any] = {"targets": each.targets, "description": _WORDS[name] + about}
    if name in {"reference_image", "mask_image"}:
        return Parameter(type="image", **common)
    if name in _FULL_NAMES:
        default = None if each.name == "prompt" else each.value
        choices = tuple(_choices(each, found.graph, object_info)) if name in _CHOICES else ()
        return Parameter(type="str", default=default, choices=choices, **common)
    limits = _limits(each, found, object_info)
    default = None if name == "seed" else limits.type(each.value)
    if name in {"width", "height"}:
        default = found.native[0 if name == "width" else 1]
    step = found.size_step if name in {"width", "height"} and found.size_step > 1 else None
    return Parameter(
        type=_RANGES[name].type, default=default, minimum=limits.low, maximum=limits.high, multiple_of=step, **common
    )


@dataclass(frozen=True)
class _Limits:
    type: type[int | float]
    low: int | float
    high: int | float


def _limits(each: Found, found: Discovery, object_info: Mapping[str, Any]) -> _Limits:
    """The range of use, wide enough for the exported value, within what the worker says that every node takes."""
    name = base_name(each.name)
    known = _RANGES[name]
    number: type[int | float] = int if known.type == "int" else float
    told = [*_node_limits(each.targets, found.graph, object_info)]
    value = float(each.value) if name != "seed" else 0
    if name in {"width", "height"}:
        value = float(found.native[0 if name == "width" else 1])
    low = max([min(known.low, value), *(low for low, _ in told)])
    high = min([max(known.high, value), *(high for _, high in told)])
    if name in {"width", "height"}:
        low = math.ceil(low / found.size_step) * found.size_step
    return _Limits(number, number(low), number(high))


def _node_limits(
    targets: Iterable[Target], graph: Mapping[str, Any], object_info: Mapping[str, Any]
) -> Iterator[tuple[float, float]]:
    """What the worker says that each input takes; a size that is only told in part says nothing of the whole."""
    for target in targets:
        spec = input_spec(object_info, graph[target.node]["class_type"], target.input)
        options = options_of(spec) if spec else {}
        if target.factor is None and "min" in options and "max" in options:
            yield options["min"], options["max"]


def _choices(each: Found, graph: Mapping[str, Any], object_info: Mapping[str, Any]) -> Iterator[str]:
    """The names that every node it sets takes; none where the exported one is not among those that are known."""
    lists = []
    for target in each.targets:
        spec = input_spec(object_info, graph[target.node]["class_type"], target.input)
        told = choices_of(spec) if spec else None
        lists.append([str(choice) for choice in told] if told else _CHOICES[base_name(each.name)])
    common = [choice for choice in lists[0] if all(choice in other for other in lists)]
    yield from common if each.value in common else ()


def carried_over(old: Contract, new: Contract) -> tuple[Contract, tuple[str, ...]]:
    """`new` with what people wrote into `old` by hand, where it still fits; and what that was.

    Words, ranges, profiles and equivalents; whether a sheet must give a value. Not targets and defaults: those are the
    new export's.
    """
    kept: list[str] = []
    parameters = dict(new.parameters)
    for name in new.parameters.keys() & old.parameters.keys():
        parameters[name] = _kept(old.parameters[name], new.parameters[name], _WORDS[base_name(name)])
    if parameters != new.parameters:
        kept.append("ranges and words of the contract")
    profiles = {name: values for name, values in old.profiles.items() if _fits(values, parameters)}
    kept += [f"profile {name}" for name in profiles]
    equivalent = {kind: known for kind, known in old.equivalent.items() if known.parameters.keys() <= parameters.keys()}
    kept += [f"its equivalent at {kind}" for kind in equivalent]
    changes: dict[str, Any] = {"parameters": parameters, "profiles": profiles, "equivalent": equivalent}
    if not old.description.endswith(_IMPORTED):
        changes["description"] = old.description
        kept.append("its description")
    return new.model_copy(update=changes), tuple(kept)


def _kept(old: Parameter, new: Parameter, words: str) -> Parameter:
    """`new` with what was written by hand into `old`: other `words`, a narrower choice, another range."""
    if old.type != new.type:
        return new
    by_hand = old.description and not old.description.startswith(words)
    worded = new.model_copy(update={"description": old.description}) if by_hand else new
    update: dict[str, Any] = {"minimum": old.minimum, "maximum": old.maximum}
    if old.choices and set(old.choices) < set(new.choices):
        update["choices"] = old.choices
    if old.default is None:
        update["default"] = None
    kept = worded.model_copy(update=update)
    return kept if kept.default is None or not value_problem(kept, kept.default) else worded


def _fits(values: Mapping[str, Value], parameters: Mapping[str, Parameter]) -> bool:
    return all(name in parameters and not value_problem(parameters[name], value) for name, value in values.items())
