"""Puts a request into a fresh copy of a workflow's graph, and tells what a workflow takes and loads."""

from __future__ import annotations

import copy
import hashlib
from typing import TYPE_CHECKING, Any, Literal

from assetline.errors import WorkflowError
from assetline.records import Record, Value
from assetline.workflow.contract import Parameter, canonical_json, is_link, value_problem
from assetline.workflow.models import ModelFile, files_of, is_model_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from assetline.records import ImageRequest
    from assetline.workflow.contract import Contract, Workflow

REQUEST_FIELDS = ("prompt", "negative_prompt", "width", "height", "seed")


class ParameterLine(Record):
    """One line of `workflows inspect`. `targets` are like `3.steps (KSampler)`; `default` None means required."""

    name: str
    type: Literal["int", "float", "str", "image"]
    range: str
    default: Value | None
    targets: tuple[str, ...]
    choices: tuple[str, ...]
    description: str


def defaults(workflow: Workflow, profile: str = "") -> dict[str, Value]:
    """The values that apply where the sheet says nothing; those of `profile` replace the contract's own.

    Raises WorkflowError for a profile that the workflow does not have.
    """
    contract = workflow.contract
    if profile and profile not in contract.profiles:
        known = f"it has: {', '.join(contract.profiles)}" if contract.profiles else "it has none"
        raise WorkflowError(f"Workflow {workflow.name} has no profile {profile!r}; {known}.")
    own = {name: parameter.default for name, parameter in contract.parameters.items()}
    return {name: value for name, value in own.items() if value is not None} | contract.profiles.get(profile, {})


def bind(workflow: Workflow, request: ImageRequest, prefix: str, images: Mapping[str, str]) -> dict[str, Any]:
    """A fresh graph with every mapped input set: the request's fields and parameters, else the contract's defaults.

    `prefix` is the file name prefix of the result; `images` maps a role (`reference_image`) to the file name that the
    worker answered for it. Raises WorkflowError with every value that is missing, unknown or out of range.
    """
    contract = workflow.contract
    values: dict[str, Value] = {**defaults(workflow), **request.parameters, **images, **_fields(contract, request)}
    faults = [*_binding_faults(contract, request, images, values)]
    if faults:
        raise WorkflowError("\n".join(f"Workflow {workflow.name}: {fault}" for fault in faults))
    graph = copy.deepcopy(workflow.graph)
    for name, parameter in contract.parameters.items():
        for target in parameter.targets:
            graph[target.node]["inputs"][target.input] = target.scaled(_as_type(parameter, values[name]))
    graph[contract.prefix.node]["inputs"][contract.prefix.input] = prefix
    return graph


def _fields(contract: Contract, request: ImageRequest) -> dict[str, Value]:
    """The request's own fields. No negative prompt leaves the workflow's, which an art director may have set."""
    unmapped = {name for name in ("prompt", "seed") if name not in contract.parameters}
    negative = contract.parameters.get("negative_prompt")
    if not request.negative_prompt and (negative is None or negative.default is not None):
        unmapped.add("negative_prompt")
    return {name: getattr(request, name) for name in REQUEST_FIELDS if name not in unmapped}


def _binding_faults(
    contract: Contract, request: ImageRequest, images: Mapping[str, str], values: Mapping[str, Value]
) -> Iterator[str]:
    for name in sorted(values.keys() - contract.parameters.keys()):
        yield f"{name}: is not one of its parameters. Known: {', '.join(contract.parameters)}."
    for name in sorted(request.references.keys() - images.keys()):
        yield f"{name}: the picture was not sent to the worker."
    for name, parameter in contract.parameters.items():
        if name not in values:
            yield f"{name}: is missing and has no default. It takes: {parameter.range}."
        elif problem := value_problem(parameter, values[name]):
            yield f"{name}: {problem}."


def _as_type(parameter: Parameter, value: Value) -> Value:
    """8 and 8.0 make one graph; a whole number is never carried through a float."""
    if isinstance(value, str):
        return value
    return float(value) if parameter.type == "float" else int(value)


def describe(workflow: Workflow) -> tuple[ParameterLine, ...]:
    """What a workflow takes, one line a parameter, in the contract's order: for `workflows inspect`."""
    return tuple(
        ParameterLine(
            name=name,
            type=parameter.type,
            range=parameter.range,
            default=parameter.default,
            targets=tuple(f"{target} ({workflow.graph[target.node]['class_type']})" for target in parameter.targets),
            choices=parameter.choices,
            description=parameter.description,
        )
        for name, parameter in workflow.contract.parameters.items()
    )


def needed_files(workflow: Workflow) -> tuple[ModelFile, ...]:
    """The model files that a worker must have for a workflow's defaults, with their folders; each once."""
    chosen = {
        (target.node, target.input): parameter.default
        for parameter in workflow.contract.parameters.values()
        for target in parameter.targets
    }
    named = (
        file.model_copy(update={"file": chosen.get((file.node, file.input), file.file)})
        for file in files_of(workflow.graph)
        if chosen.get((file.node, file.input), file.file) is not None
    )
    return tuple({str(file): file for file in named}.values())


def model_files(graph: Mapping[str, Any]) -> tuple[str, ...]:
    """The model files that a graph names (checkpoint, LoRA, ControlNet, VAE, ...), told by their ending; sorted."""
    inputs = (value for node in graph.values() for value in node["inputs"].values())
    return tuple(sorted({value for value in inputs if is_model_file(value)}))


def affinity(workflow: Workflow, request: ImageRequest) -> str:
    """16 hex digits that are equal for requests which a worker can do in a row without loading a model.

    Of wiring and model files alone: not of prompt, seed, size or number of steps. ComfyUI keeps what the last prompt
    loaded and no more (measured on ComfyUI 0.3.64), so that changing it costs a load.
    """
    contract, values = workflow.contract, defaults(workflow) | request.parameters
    chosen = {
        (target.node, target.input): values[name]
        for name, parameter in contract.parameters.items()
        if name in values
        for target in parameter.targets
    }
    nodes = {
        node_id: [node["class_type"], sorted(_kept_inputs(node_id, node["inputs"], chosen))]
        for node_id, node in workflow.graph.items()
    }
    return hashlib.sha256(canonical_json(nodes)).hexdigest()[:16]


def _kept_inputs(
    node_id: str, inputs: Mapping[str, Any], chosen: Mapping[tuple[str, str], Value]
) -> Iterator[tuple[str, Any]]:
    """The links and model files among a node's inputs."""
    for name, template in inputs.items():
        value = chosen.get((node_id, name), template)
        if is_link(value) or is_model_file(value):
            yield name, value
