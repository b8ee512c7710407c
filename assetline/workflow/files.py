"""Reads graphs and contracts from a folder and says everything that is wrong with them at once."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any, NoReturn

from pydantic import ValidationError

from assetline.errors import WorkflowError
from assetline.workflow.contract import (
    Contract,
    Equivalent,
    Parameter,
    Target,
    Workflow,
    canonical_json,
    is_link,
    value_problem,
)
from assetline.yaml_reader import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from assetline.records import Record, Value

# Without these the picture could not have the size that was asked for. A graph may do without a prompt or a seed (it
# makes the same picture each time); the plan then refuses what it would not do.
REQUIRED_PARAMETERS = ("width", "height")
EXPORT_HINT = "In ComfyUI choose Workflow > Export (API) and take that file."


def load_workflows(folder: Path) -> dict[str, Workflow]:
    """Every workflow of `folder` by name. Raises WorkflowError with every fault of every file, one a line."""
    if not folder.is_dir():
        raise WorkflowError(
            f"There is no folder of workflows at {folder}; give the one that has NAME.json and NAME.contract.yaml."
        )
    graph_files = sorted(folder.glob("*.json"))
    stems = {graph_file.stem for graph_file in graph_files}
    contract_files = sorted(folder.glob("*.contract.yaml"))
    orphans = [file for file in contract_files if file.name.removesuffix(".contract.yaml") not in stems]
    faults = [f"{file.name}: there is no graph beside it. {EXPORT_HINT}" for file in orphans]
    found: dict[str, Workflow] = {}
    for graph_file in graph_files:
        try:
            found[graph_file.stem] = load_workflow(graph_file)
        except WorkflowError as error:
            faults.append(str(error))
    if faults:
        raise WorkflowError("\n".join(faults))
    return found


def load_workflow(graph_file: Path) -> Workflow:
    """The graph in `graph_file` (`NAME.json`) with the contract beside it (`NAME.contract.yaml`).

    Raises WorkflowError with every fault of both files, one a line, each with its place.
    """
    name = graph_file.stem
    contract_file = graph_file.with_name(f"{name}.contract.yaml")
    faults: list[str] = []
    graph = _read_graph(graph_file, faults)
    contract = _read_contract(contract_file, faults)
    if contract and contract.name != name:
        faults.append(f"{contract_file.name}: name: is {contract.name!r}; it must be {name!r}, as the file is called.")
    if contract:
        found = [*_contract_faults(contract), *(_wiring_faults(graph, contract) if graph else ())]
        faults.extend(f"{contract_file.name}: {fault}" for fault in found)
    if faults or not contract:
        raise WorkflowError("\n".join(faults))
    return Workflow(name=name, graph=graph, contract=contract, sha256=_sha256_of(graph, contract))


def _read_graph(path: Path, faults: list[str]) -> dict[str, Any]:
    """The graph, or {} with its faults added."""
    try:
        graph = json.loads(path.read_text("utf-8-sig"), parse_constant=_refuse_constant)
    except (OSError, ValueError) as exc:  # ValueError: not UTF-8, not JSON, NaN
        faults.append(f"{path.name}: cannot be read: {exc}. {EXPORT_HINT}")
        return {}
    found = [*graph_faults(graph)]
    faults.extend(f"{path.name}: {fault}" for fault in found)
    return {} if found else graph


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON and ComfyUI's API cannot carry it")


def graph_faults(graph: object) -> Iterator[str]:
    """Why something cannot be submitted as a graph, as words to put after its name."""
    if not isinstance(graph, dict) or not graph:
        yield f"is not a graph of nodes. {EXPORT_HINT}"
    elif "nodes" in graph and "links" in graph:
        yield f"is a workflow as the editor saves it (`nodes`, `links`), which cannot be submitted. {EXPORT_HINT}"
    elif isinstance(graph.get("prompt"), dict) and "class_type" not in graph["prompt"]:
        yield "is a whole request; keep only what is under `prompt`."
    else:
        for node_id, node in graph.items():
            yield from (f"node {node_id}: {fault}" for fault in _node_faults(graph, node))


def _node_faults(graph: dict[str, Any], node: object) -> Iterator[str]:
    if not (
        isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)
    ):
        yield f"has no `class_type` and `inputs`. {EXPORT_HINT}"
        return
    for name, value in node["inputs"].items():
        if is_link(value) and value[0] not in graph:
            yield f"input {name} is linked to node {value[0]}, which is not in the graph."


def _read_contract(path: Path, faults: list[str]) -> Contract | None:
    """The contract, or None with its faults added."""
    try:
        return Contract.model_validate(read_yaml(path.read_text("utf-8-sig")))
    except FileNotFoundError:
        faults.append(f"{path.name}: is missing; write it as README.md beside the workflows says.")
    except ValidationError as exc:
        found = dict.fromkeys(_field_fault(error) for error in exc.errors())
        faults.extend(f"{path.name}: {fault}" for fault in found)
    except (OSError, ValueError) as exc:
        faults.append(f"{path.name}: cannot be read: {exc}.")
    return None


def _field_fault(error: Mapping[str, Any]) -> str:
    loc = tuple(error["loc"])
    if error["type"] == "extra_forbidden":
        known = ", ".join(_record_at(loc).model_fields)
        return f"{'.'.join(map(str, loc))}: is not a known key. Known: {known}."
    if loc and loc[-1] in {"int", "float", "str"}:  # one fault of a value that may be any of them
        loc, message = loc[:-1], f"{error['input']!r} is neither a number nor text"
    elif error["type"] == "missing":
        message = "is missing"
    else:
        message = f"{error['input']!r} cannot be used: {error['msg']}"
    place = ".".join(map(str, loc))
    return f"{place}: {message}." if place else f"{message}. It must map each key to its value."


def _record_at(loc: tuple[int | str, ...]) -> type[Record]:
    if loc[0] == "prefix" or "targets" in loc[2:-1]:
        return Target
    if loc[0] == "equivalent":
        return Equivalent
    return Parameter if loc[0] == "parameters" else Contract


def _contract_faults(contract: Contract) -> Iterator[str]:
    """What is wrong with a contract by itself: missing parameters, impossible ranges, values outside them."""
    for name in REQUIRED_PARAMETERS:
        if name not in contract.parameters:
            yield f"parameters.{name}: is missing; every workflow must say which node takes it."
    for name, parameter in contract.parameters.items():
        yield from (f"parameters.{name}: {fault}" for fault in _parameter_faults(parameter))
    for profile, values in contract.profiles.items():
        for name, value in values.items():
            yield from (f"profiles.{profile}.{name}: {fault}" for fault in _setting_faults(contract, name, value))
    for name, side in zip(("width", "height"), contract.native, strict=True):
        if name in contract.parameters:
            yield from (f"native: {name} {fault}" for fault in _setting_faults(contract, name, side))
    yield from (f"equivalent.{fault}" for fault in _equivalent_faults(contract))
    targets = Counter(str(target) for parameter in contract.parameters.values() for target in parameter.targets)
    yield from (f"{target} is set {times} times; once is enough." for target, times in targets.items() if times > 1)


def _parameter_faults(parameter: Parameter) -> Iterator[str]:
    low, high, numeric = parameter.minimum, parameter.maximum, parameter.type in {"int", "float"}
    if not parameter.targets:
        yield "targets: names no input that it sets."
    if low is not None and high is not None and low > high:
        yield f"minimum {low} is above maximum {high}."
    if not numeric and (low is not None or high is not None or parameter.multiple_of):
        yield f"minimum, maximum and multiple_of are for numbers; the type is {parameter.type}."
    if parameter.choices and parameter.type != "str":
        yield f"choices are for text; the type is {parameter.type}."
    if parameter.type != "int" and any(target.factor for target in parameter.targets):
        yield f"a target has a factor, which is for whole numbers; the type is {parameter.type}."
    if parameter.default is not None and (problem := value_problem(parameter, parameter.default)):
        yield f"default: {problem}."


def _setting_faults(contract: Contract, name: str, value: Value) -> Iterator[str]:
    if name not in contract.parameters:
        yield _unknown(contract)
    elif problem := value_problem(contract.parameters[name], value):
        yield f"{problem}."


def _equivalent_faults(contract: Contract) -> Iterator[str]:
    for kind, known in contract.equivalent.items():
        for name in known.parameters:
            if name not in contract.parameters:
                yield f"{kind}.parameters.{name}: {_unknown(contract)}"
        for name, values in known.values.items():
            if name not in known.parameters:
                yield f"{kind}.values.{name}: is not among its parameters. There: {', '.join(known.parameters)}."
                continue
            choices = contract.parameters[name].choices if name in contract.parameters else ()
            for value in values:
                if choices and value not in choices:
                    yield f"{kind}.values.{name}: {value!r} is not a value that {name} may have."


def _unknown(contract: Contract) -> str:
    return f"is not a parameter of this workflow. Known: {', '.join(contract.parameters)}."


def _wiring_faults(graph: dict[str, Any], contract: Contract) -> Iterator[str]:
    """What a contract names and the graph does not have, or cannot take there."""
    if contract.output not in graph:
        yield f"output: {_no_node(graph, contract.output)}"
    yield from (f"prefix: {fault}" for fault in _target_faults(graph, contract.prefix, numeric=False))
    for name, parameter in contract.parameters.items():
        for target in parameter.targets:
            numeric = parameter.type in {"int", "float"}
            yield from (f"parameters.{name}: {fault}" for fault in _target_faults(graph, target, numeric=numeric))


def _target_faults(graph: dict[str, Any], target: Target, *, numeric: bool) -> Iterator[str]:
    node = graph.get(target.node)
    if node is None:
        yield _no_node(graph, target.node)
        return
    place = f"node {target.node} ({node['class_type']})"
    value = node["inputs"].get(target.input)
    if target.input not in node["inputs"]:
        yield f"{place} has no input {target.input!r}. It has: {', '.join(node['inputs'])}."
    elif isinstance(value, list):
        yield f"{place}: input {target.input!r} is linked to another node and takes no value; map that node's input."
    elif isinstance(value, int | float) != numeric:
        yield f"{place}: input {target.input!r} holds {value!r} in the graph, which is another type."


def _no_node(graph: dict[str, Any], node: str) -> str:
    nodes = ", ".join(f"{node_id} ({node['class_type']})" for node_id, node in graph.items())
    return f"there is no node {node!r} in the graph. It has: {nodes}."


def _sha256_of(graph: dict[str, Any], contract: Contract) -> str:
    """Fields at their default are left out, so that a field added to the contract later changes no hash.

    Nor does what else could make the picture.
    """
    facts = contract.model_dump(mode="json", exclude_defaults=True, exclude={"description", "equivalent"})
    for parameter in facts["parameters"].values():
        parameter.pop("description", None)
    nodes = {node_id: {key: node[key] for key in ("class_type", "inputs")} for node_id, node in graph.items()}
    return hashlib.sha256(canonical_json({"graph": nodes, "contract": facts})).hexdigest()
