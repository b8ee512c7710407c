"""One row of the sheet becomes its requests: prompt choices x variants x sizes, or problems at its cells.

What is wrong is an error whatever the lane. What only a real render needs (a pose image that is still to be shot, a
size in steps of 8) is a warning where an FPO comp is made.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from assetline.catalogue import name_key, slug
from assetline.errors import AssetlineError
from assetline.plan.parameters import column_of, resolve
from assetline.plan.seeds import counted_seed, seed_of
from assetline.plan.sizes import resolve_sizes, size_misfits
from assetline.plan.texts import Text, TextWriter
from assetline.plan.world import References, World
from assetline.records import FPO_MODEL, ImageRequest, PlannedRequest, Problem, Row, Size, Value
from assetline.sheet.suggest import shown, suggestion
from assetline.workflow import Workflow

Lane = Literal["fpo", "comfyui"]

REFERENCE = "reference_image"

_PIN = re.compile(r"\s*@\s*([^:\s]*)")
_PIN_DIGITS = 8

_NO_LANE = {
    "auto": ("This run has no lane that could make it.", "Add --lane fpo or --lane http://HOST:8188."),
    "comfyui": (
        "This run has no ComfyUI worker.",
        'Give one with --lane http://HOST:8188, or write "auto" and get a comp until there is one.',
    ),
    "fpo": ("This run has no FPO lane.", 'Add --lane fpo, or write "auto".'),
    "replicate": (
        "Replicate is not available in this version.",
        'Write "auto" or "comfyui" for a render on your own workers, or "fpo" for a comp.',
    ),
}


def _seed_misfits(row: Row, workflow: Workflow) -> Iterator[Problem]:
    """A workflow without a seed makes the same picture each time; a seed in the row is told with the parameters."""
    if "seed" not in workflow.contract.parameters and row.variants > 1:
        message = f"Workflow {workflow.name} takes no seed: its variants would be the same picture."
        yield row.problem("variants", "seed-unused", message, "Write 1, or take another workflow.")


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


@dataclass(frozen=True)
class RowPlanner:
    """Plans the rows of one campaign, each by itself. `bad_rows` are the numbers of rows that the sheet refuses."""

    writer: TextWriter
    references: References
    bad_rows: frozenset[int]

    @property
    def world(self) -> World:
        """What rows are resolved against."""
        return self.writer.world

    def plan(self, row: Row) -> RowPlan:
        """The requests of `row`. A bad row is looked at too, so that all its problems are told at once."""
        problems = self.writer.check(row)
        lane = self._lane(row, problems)
        workflow, profile = self._workflow(row, problems)
        native = (workflow or self.world.workflows[self.world.default_workflow]).contract.native
        sizes, size_problems = resolve_sizes(row, native, self.world)
        problems += size_problems
        recipe = Recipe(model=FPO_MODEL, parameters={"label": row.id})
        if workflow:
            rendered, lacking = self._render_recipe(row, workflow, profile, problems)
            lacking += [*size_misfits(row, sizes, workflow), *_seed_misfits(row, workflow)]
            problems += map(_for_comp, lacking) if lane == "fpo" else lacking
            recipe = recipe if lane == "fpo" else rendered
        if row.number in self.bad_rows or any(problem.severity == "error" for problem in problems):
            return RowPlan((), tuple(problems))
        return RowPlan(tuple(self._requests(row, sizes, recipe)), tuple(problems))

    def _requests(self, row: Row, sizes: Sequence[Size], recipe: Recipe) -> Iterator[PlannedRequest]:
        """Choices x variants x sizes, in this order; `variant` counts through the choices."""
        choices = self.writer.write(row)
        pictures = ((n, text) for texts in choices for n, text in enumerate(texts, 1))
        for variant, (n, text) in enumerate(pictures, 1):
            for size in sizes:
                yield PlannedRequest(
                    row=row.id,
                    row_number=row.number,
                    variant=variant,
                    size=size.label,
                    request=self._request(text, size, self._seed(row, n), recipe),
                    priority=row.priority,
                    tags=row.tags,
                )

    def _request(self, text: Text, size: Size, seed: int, recipe: Recipe) -> ImageRequest:
        workflow = self.world.workflows.get(recipe.workflow or "")
        takes_negative = workflow is None or "negative_prompt" in workflow.contract.parameters
        return ImageRequest(
            prompt=text.prompt,
            negative_prompt=text.negative_prompt if takes_negative else "",
            width=size.width,
            height=size.height,
            seed=seed,
            **vars(recipe),
        )

    def _seed(self, row: Row, n: int) -> int:
        return seed_of(self.writer.campaign, row.id, n) if row.seed is None else counted_seed(row.seed, n)

    def _lane(self, row: Row, problems: list[Problem]) -> Lane | None:
        lanes = self.world.lanes
        if row.backend in {"auto", "comfyui"} and "comfyui" in lanes:
            return "comfyui"
        if row.backend in {"auto", "fpo"} and "fpo" in lanes:
            return "fpo"
        problems.append(row.problem("backend", "lane-missing", *_NO_LANE[row.backend]))
        return None

    def _workflow(self, row: Row, problems: list[Problem]) -> tuple[Workflow | None, str]:
        """The row's workflow and profile; no workflow where the row names one that does not exist.

        `name@1f0c9a2b` pins a version, by the first digits of its sha256: another one is an error, never used instead.
        """
        known = self.world.workflows
        written = row.workflow or self.world.default_workflow
        pin = _PIN.search(written)
        typed, _, typed_profile = (part.strip() for part in _PIN.sub("", written, count=1).partition(":"))
        name = _find_name(typed, known)
        if name is None:
            message = f'There is no workflow "{typed}".'
            problems.append(row.problem("workflow", "workflow-unknown", message, suggestion(typed, known, "workflows")))
            return None, ""
        if pin:
            problems += _version_problems(row, known[name], pin[1])
        profiles = known[name].contract.profiles
        profile = _find_name(typed_profile, profiles) or ""
        if typed_profile and not profile:
            message = f'Workflow {name} has no profile "{typed_profile}".'
            problems.append(
                row.problem("workflow", "profile-unknown", message, suggestion(typed_profile, profiles, "profiles"))
            )
        return known[name], profile

    def _render_recipe(
        self, row: Row, workflow: Workflow, profile: str, problems: list[Problem]
    ) -> tuple[Recipe, list[Problem]]:
        """How ComfyUI makes this row, and what it still lacks; what is wrong is added to `problems`."""
        resolved = resolve(row, workflow, profile, self.world.workflows)
        problems += resolved.problems
        lacking = [_missing(row, workflow, name) for name in resolved.missing]
        references: dict[str, str] = {}
        for role, wanted in workflow.contract.parameters.items():
            column, address = _picture_cell(row, role)
            if wanted.type == "image" and address:
                try:
                    references[role] = self.references.sha256_of(address)
                except AssetlineError as exc:
                    lacking.append(
                        row.problem(column, "reference-unreadable", str(exc), "Correct the path, or add the file.")
                    )
            elif wanted.type == "image" and wanted.default is None:
                lacking.append(_missing(row, workflow, role))
        parameters = dict(resolved.values)
        return Recipe(workflow.name, workflow.sha256, None, parameters, references), lacking


def _picture_cell(row: Row, role: str) -> tuple[str, str]:
    """The column that gives the picture of a role (`reference_image`, `mask_image`), and what the row has in it."""
    if role == REFERENCE:
        return REFERENCE, row.reference_image or ""
    cells = ((header, text) for header, text in row.extra.items() if name_key(header) == name_key(role))
    return next(cells, (role, ""))


def _version_problems(row: Row, workflow: Workflow, pin: str) -> Iterator[Problem]:
    here = workflow.sha256[:_PIN_DIGITS]
    if len(pin) < _PIN_DIGITS or not workflow.sha256.startswith(pin.casefold()):
        message = f"Workflow {workflow.name} is version {here} here, not {shown(pin)}."
        fix = f"Write {workflow.name}@{here} to take this one, or put the pinned one back among the workflows."
        yield row.problem("workflow", "workflow-version", message, fix)


def _find_name(typed: str, names: Collection[str]) -> str | None:
    """The one of `names` that was meant: as typed, else with the same slug (`SDXL txt2img` is `sdxl-txt2img`)."""
    if typed in names:
        return typed
    return next((name for name in names if slug(name) == slug(typed)), None)


def _missing(row: Row, workflow: Workflow, parameter: str) -> Problem:
    column = column_of(parameter)
    wanted = workflow.contract.parameters[parameter].description.rstrip(".") or parameter
    message = f"Workflow {workflow.name} needs a {column}: {wanted}."
    return row.problem(column, "parameter-missing", message, f"Fill the column {column}.")


def _for_comp(problem: Problem) -> Problem:
    """What a real render lacks, where a comp is made: only a warning."""
    message = f"{problem.message} The comp is made all the same; a real render would not be."
    return problem.model_copy(update={"severity": "warning", "message": message})
