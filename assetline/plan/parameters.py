"""A row's values against a workflow's contract: type, range, step, choices; what is unknown and what is missing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from assetline.catalogue import name_key, slug
from assetline.records import Problem, Row, Value
from assetline.sheet.suggest import nearest as closest
from assetline.sheet.suggest import shown
from assetline.workflow import Parameter, Workflow, defaults

FIELDS = frozenset({"prompt", "negative_prompt", "width", "height", "seed"})  # of the request itself

_COLUMNS = {"checkpoint": "model"}  # a parameter whose column has another name


@dataclass(frozen=True)
class Misfit:
    """Why a value cannot be used, and the nearest that can."""

    message: str
    fix: str


@dataclass(frozen=True)
class Resolved:
    """A row's parameters, complete but for `missing`: names that the workflow needs and nobody gave.

    `given` are the names of those that the row itself says.
    """

    values: dict[str, Value]
    given: frozenset[str]
    missing: tuple[str, ...]
    problems: tuple[Problem, ...]


def column_of(parameter: str) -> str:
    """The column that fills a parameter: mostly its own name."""
    return _COLUMNS.get(parameter, parameter)


def resolve(row: Row, workflow: Workflow, profile: str, workflows: Mapping[str, Workflow]) -> Resolved:
    """The contract's defaults, over them the profile's values, over them the row's cells.

    `profile` is one that the workflow has, or empty. `workflows` are all that could be used instead, for the remedy.
    Fields of the request (prompt, size, seed) and images are only checked for being wanted; their values are the
    caller's.
    """
    parameters = workflow.contract.parameters
    own = {name: known for name, known in parameters.items() if name not in FIELDS and known.type != "image"}
    values = {name: value for name, value in defaults(workflow, profile).items() if name in own}
    given = _given(row, workflows)
    problems = []
    for name, (column, value) in given.items():
        if name not in parameters:
            problems.append(_not_taken(row, name, column, workflow, workflows))
        elif name in own:
            fitted = fit(name, own[name], value)
            if isinstance(fitted, Misfit):
                problems.append(row.problem(column, "parameter-unfit", fitted.message, fitted.fix))
            else:
                values[name] = fitted
    missing = tuple(name for name in own if name not in values and name not in given)
    return Resolved(values, frozenset(given), missing, tuple(problems))


def fit(name: str, parameter: Parameter, value: Value) -> Value | Misfit:
    """`value` as the contract's type, or why not. Choices are compared as slugs (`DPMPP 2M` is `dpmpp_2m`)."""
    if parameter.type in {"int", "float"}:
        return _fit_number(parameter, value)
    text = str(value).strip()
    by_slug = {slug(choice): choice for choice in parameter.choices}
    if not by_slug or text in parameter.choices:
        return text
    if slug(text) in by_slug:
        return by_slug[slug(text)]
    close = closest(text, parameter.choices)
    fix = f'Did you mean "{close}"?' if close else f"Write {parameter.range}."
    return Misfit(f"{shown(text)} is not a {name} that this workflow takes.", fix)


def _given(row: Row, workflows: Mapping[str, Workflow]) -> dict[str, tuple[str, Value]]:
    """What the row says: column and value by parameter name. Other columns that are called like one count too."""
    names = {name for workflow in workflows.values() for name in workflow.contract.parameters} - FIELDS
    known = {name_key(name): name for name in names}
    headers = {name_key(header): header for header in row.cells}
    extra = {name_key(name): (headers.get(name_key(name), name), text) for name, text in row.extra.items() if text}
    fixed = {
        "checkpoint": row.model,
        "reference_image": row.reference_image,
        "negative_prompt": row.negative_prompt,
        "seed": row.seed,
    }
    return {
        **{known[key]: place for key, place in extra.items() if key in known},
        **{name: (name, value) for name, value in row.parameters.items()},
        **{name: (column_of(name), value) for name, value in fixed.items() if value is not None},
    }


def _not_taken(row: Row, name: str, column: str, workflow: Workflow, workflows: Mapping[str, Workflow]) -> Problem:
    others = sorted(other.name for other in workflows.values() if name in other.contract.parameters)
    fix = f"Use {' or '.join(others)}, or empty the cell." if others else "Empty the cell."
    return row.problem(column, "parameter-unknown", f"Workflow {workflow.name} takes no {column}.", fix)


def _fit_number(parameter: Parameter, value: Value) -> Value | Misfit:
    number = _number(value)
    if number is None:
        return Misfit(f"{shown(str(value))} is not a {parameter.range}.", "Write a number.")
    near = nearest(parameter, number)
    if near != number:
        return Misfit(f"This workflow takes a {parameter.range} here, not {value}.", f"The nearest is {near:.12g}.")
    return int(near) if parameter.type == "int" else float(near)


def _number(value: Value) -> float | None:
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def nearest(parameter: Parameter, number: float) -> float:
    """The nearest value that a parameter takes: in its range, in its steps, whole where it is an `int`."""
    step = parameter.multiple_of or (1 if parameter.type == "int" else None)
    low = -math.inf if parameter.minimum is None else parameter.minimum
    high = math.inf if parameter.maximum is None else parameter.maximum
    if step is None:
        return min(max(number, low), high)
    low = low if math.isinf(low) else math.ceil(low / step) * step
    high = high if math.isinf(high) else math.floor(high / step) * step
    return min(max(round(number / step) * step, low), high)
