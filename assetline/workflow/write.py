"""Writes an imported workflow's two files, both or neither, and says what a new version changes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from assetline.errors import WorkflowError
from assetline.workflow.contract import Contract, Workflow, is_link
from assetline.workflow.files import load_workflow
from assetline.workflow.models import files_of

_HEAD = (
    "# What may be changed in {name}.json, and within which limits; written by `assetline workflows import`.\n"
    "# Ranges, defaults, descriptions and profiles may be edited; `assetline workflows inspect {name}` checks them.\n"
)
_WIDTH = 118


class _Dumper(yaml.SafeDumper):
    """Block style for maps of maps, one line for lists and for targets with a factor."""


def contract_text(contract: Contract) -> str:
    """A contract as YAML, as one would write it by hand."""
    facts = contract.model_dump(mode="json", exclude_defaults=True)
    facts["prefix"] = str(contract.prefix)
    for name, parameter in contract.parameters.items():
        written = facts["parameters"][name]
        written["targets"] = [_target(target) for target in parameter.targets]
        facts["parameters"][name] = {"type": written.pop("type"), **written}
    text = yaml.dump(facts, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH, default_flow_style=None)
    return _HEAD.format(name=contract.name) + text


def _target(target: Any) -> str | dict[str, Any]:
    if target.factor is None and "." not in target.node:
        return str(target)
    facts: dict[str, Any] = target.model_dump(mode="json", exclude_defaults=True)
    return facts


def graph_text(graph: dict[str, Any]) -> str:
    """A graph as ComfyUI exports it."""
    return json.dumps(graph, indent=2, ensure_ascii=False) + "\n"


def prepared(graph: dict[str, Any], contract: Contract) -> Workflow:
    """The workflow as it would be loaded from its two files. Raises WorkflowError where it could not be."""
    with tempfile.TemporaryDirectory() as folder:
        return _written(Path(folder), graph, contract)


def _written(folder: Path, graph: dict[str, Any], contract: Contract) -> Workflow:
    graph_file, contract_file = files_in(folder, contract.name)
    graph_file.write_text(graph_text(graph), "utf-8")
    contract_file.write_text(contract_text(contract), "utf-8")
    return load_workflow(graph_file)


def files_in(folder: Path, name: str) -> tuple[Path, Path]:
    """Where a workflow's graph and contract lie."""
    return folder / f"{name}.json", folder / f"{name}.contract.yaml"


def write_workflow(folder: Path, workflow: Workflow) -> tuple[Path, Path]:
    """Write both files into `folder`, over those that are there. Raises WorkflowError where it cannot be written.

    The contract comes last: a graph without one is refused when workflows are read, so that a crash in between shows.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".import-") as draft:
            _written(Path(draft), workflow.graph, workflow.contract)
            pairs = zip(files_in(Path(draft), workflow.name), files_in(folder, workflow.name), strict=True)
            for made, final in pairs:
                made.replace(final)
    except OSError as error:
        raise WorkflowError(f"{folder} cannot be written: {(error.strerror or str(error)).lower()}.") from error
    return files_in(folder, workflow.name)


def changes(old: Workflow, new: Workflow) -> tuple[str, ...]:
    """What `new` changes, in words: parameters, model files, wiring. Empty where it makes the same pictures."""
    if old.sha256 == new.sha256:
        return ()
    found = [*_parameter_changes(old, new), *_file_changes(old, new), *_node_changes(old, new)]
    return tuple(found) or ("settings of nodes that no parameter sets",)


def _parameter_changes(old: Workflow, new: Workflow) -> Iterator[str]:
    before, after = old.contract.parameters, new.contract.parameters
    yield from (f"parameter {name} is new" for name in after if name not in before)
    yield from (f"parameter {name} is gone" for name in before if name not in after)
    for name in (name for name in after if name in before):
        was, now = before[name], after[name]
        if was.targets != now.targets:
            yield f"{name} sets {', '.join(map(str, now.targets))} instead of {', '.join(map(str, was.targets))}"
        if was.default != now.default:
            yield f"{name} is {_said(now.default)} by default instead of {_said(was.default)}"
        if (was.minimum, was.maximum, was.multiple_of, was.choices) != (
            now.minimum,
            now.maximum,
            now.multiple_of,
            now.choices,
        ):
            yield f"{name} takes {now.range} instead of {was.range}"
    if old.contract.native != new.contract.native:
        yield f"the native size is {_size(new)} instead of {_size(old)}"
    profiles = old.contract.profiles.keys() ^ new.contract.profiles.keys()
    yield from (f"profile {name} is {'new' if name in new.contract.profiles else 'gone'}" for name in sorted(profiles))


def _said(default: object) -> str:
    return "required" if default is None else repr(default)


def _size(workflow: Workflow) -> str:
    return "x".join(map(str, workflow.contract.native))


def _file_changes(old: Workflow, new: Workflow) -> Iterator[str]:
    before, after = ({str(file) for file in files_of(workflow.graph)} for workflow in (old, new))
    yield from (f"model file {file} is new" for file in sorted(after - before))
    yield from (f"model file {file} is gone" for file in sorted(before - after))


def _node_changes(old: Workflow, new: Workflow) -> Iterator[str]:
    for node in (node for node in new.graph if node not in old.graph):
        yield f"node {node} ({new.graph[node]['class_type']}) is new"
    for node in (node for node in old.graph if node not in new.graph):
        yield f"node {node} ({old.graph[node]['class_type']}) is gone"
    for node in (node for node in new.graph if node in old.graph):
        was, now = old.graph[node], new.graph[node]
        if was["class_type"] != now["class_type"]:
            yield f"node {node} is {now['class_type']} instead of {was['class_type']}"
            continue
        moved = [name for name, value in now["inputs"].items() if value != was["inputs"].get(name)]
        wired = [name for name in moved if is_link(now["inputs"][name]) or is_link(was["inputs"].get(name))]
        if wired:
            yield f"node {node} ({now['class_type']}) is wired anew: {', '.join(wired)}"
        elif moved:
            yield f"node {node} ({now['class_type']}) has other values: {', '.join(moved)}"
