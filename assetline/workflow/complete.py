"""Fills in what a newer version of a node asks for and an older export does not have."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from assetline.workflow.wiring import choices_of, options_of


def complete(graph: Mapping[str, Any], object_info: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """`graph` with every required input that it lacks and for which the worker names a default; and what was filled in.

    A list of choices without a default gives its first, as ComfyUI's own editor does. What cannot be filled in (a link
    to another node) and classes that the worker does not have are left as they are: its own answer says what is wrong
    with them. `graph` itself is not changed.
    """
    lacking = {
        node: missing
        for node, item in graph.items()
        if (missing := _missing(item, object_info.get(item["class_type"], {})))
    }
    if not lacking:
        return dict(graph), ()
    completed = copy.deepcopy(dict(graph))
    notes = []
    for node, values in lacking.items():
        completed[node]["inputs"] |= values
        kind = completed[node]["class_type"]
        notes += [
            f"node {node} ({kind}): {name} was not in the workflow and is {value!r} now, the worker's default."
            for name, value in values.items()
        ]
    return completed, tuple(notes)


def _missing(item: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The required inputs of a node that it lacks, with their defaults."""
    required = facts.get("input", {}).get("required", {})
    found = {name: _default(list(spec)) for name, spec in required.items() if name not in item["inputs"] and spec}
    return {name: default[0] for name, default in found.items() if default}


def _default(spec: list[Any]) -> list[Any]:
    """The default as a list of one, since None and "" may be one; empty where there is none."""
    options = options_of(spec)
    if "default" in options:
        return [options["default"]]
    choices = choices_of(spec)
    return choices[:1] if choices and not _is_file_list(choices) else []


def _is_file_list(choices: list[Any]) -> bool:
    """A model or a picture is never chosen for somebody."""
    return any("." in str(choice) for choice in choices)
