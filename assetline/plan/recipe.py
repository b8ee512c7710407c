"""What a row comes to: the part of its requests that all its pictures share, the requests, and what is wrong."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

from assetline.catalogue import name_key, slug
from assetline.records import PlannedRequest, Problem, Row, Value

Lane = Literal["fpo", "comfyui", "replicate"]

REFERENCE = "reference_image"


@dataclass(frozen=True)
class RowPlan:
    """What became of a row: its requests in order (none where it has errors) and its problems."""

    requests: tuple[PlannedRequest, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Recipe:
    """The part of a request that all pictures of a row share; fields as in `ImageRequest`."""

    workflow: str | None = None
    workflow_sha256: str | None = None
    model: str | None = None
    parameters: dict[str, Value] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)


def picture_cell(row: Row, role: str) -> tuple[str, str]:
    """The column that gives the picture of a role (`reference_image`, `mask_image`), and what the row has in it."""
    if role == REFERENCE:
        return REFERENCE, row.reference_image or ""
    cells = ((header, text) for header, text in row.extra.items() if name_key(header) == name_key(role))
    return next(cells, (role, ""))


def find_name(typed: str, names: Collection[str]) -> str | None:
    """The one of `names` that was meant: as typed, else with the same slug (`SDXL txt2img` is `sdxl-txt2img`)."""
    if typed in names:
        return typed
    return next((name for name in names if slug(name) == slug(typed)), None)


def for_comp(problem: Problem) -> Problem:
    """What a real render lacks, where a comp is made: only a warning."""
    if problem.severity == "warning":
        return problem
    message = f"{problem.message} The comp is made all the same; a real render would not be."
    return problem.model_copy(update={"severity": "warning", "message": message})
