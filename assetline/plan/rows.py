"""One row of the sheet becomes its requests: prompt choices x variants x sizes, or problems at its cells.

What is wrong is an error whatever the lane. What only a real render needs (a pose image that is still to be shot, a
size in steps of 8) is a warning where an FPO comp is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from assetline.errors import AssetlineError, SheetError
from assetline.plan.languages import in_language, localised
from assetline.plan.paid import choose_model, dropped_negative, paid_misfits, paid_recipe
from assetline.plan.paid_models import asks_for_one, find_paid
from assetline.plan.parameters import column_of, resolve
from assetline.plan.recipe import REFERENCE, Lane, Recipe, RowPlan, find_name, for_comp, picture_cell
from assetline.plan.seeds import counted_seed, seed_of
from assetline.plan.sizes import resolve_sizes, size_misfits
from assetline.plan.texts import Text, TextWriter
from assetline.plan.world import References, World
from assetline.records import FPO_MODEL, ImageRequest, PlannedRequest, Problem, Row, Size
from assetline.sheet.suggest import shown, suggestion
from assetline.workflow import Workflow

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
        "This run has no Replicate lane.",
        "Add --lane replicate; it takes REPLICATE_API_TOKEN, and spends up to ASSETLINE_MAX_COST or --max-cost.",
    ),
}
_NO_MODEL = (
    "Replicate makes only rows that name one of its models.",
    "Write a model such as flux-schnell, or add --lane fpo or --lane http://HOST:8188.",
)


def _seed_misfits(row: Row, workflow: Workflow) -> Iterator[Problem]:
    """A workflow without a seed makes the same picture each time; a seed in the row is told with the parameters."""
    if "seed" not in workflow.contract.parameters and row.variants > 1:
        message = f"Workflow {workflow.name} takes no seed: its variants would be the same picture."
        yield row.problem("variants", "seed-unused", message, "Write 1, or take another workflow.")


def _zip_misfits(row: Row, sizes: Sequence[Size], choices: Sequence[Sequence[Text]]) -> Iterator[Problem]:
    """Zipped, each picture has one size: a size that no picture is left for would be forgotten."""
    pictures = sum(map(len, choices))
    if row.combine == "zip" and len(sizes) > pictures:
        message = f"{len(sizes)} sizes are zipped with {pictures} picture{'' if pictures == 1 else 's'}."
        yield row.problem("combine", "combine-unfit", message, 'Raise variants, or write "product".')


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
        """The requests of `row`, then those in each of its languages. All problems at once, those of a bad row too."""
        plans = [self._plan_text(row)]
        plans += [in_language(self._plan_text(localised(row, tag)), tag) for tag in row.locales]
        problems = tuple(problem for plan in plans for problem in plan.problems)
        if any(problem.severity == "error" for problem in problems):
            return RowPlan((), problems)
        return RowPlan(tuple(request for plan in plans for request in plan.requests), problems)

    def _plan_text(self, row: Row) -> RowPlan:
        """The requests of a row in one language."""
        if asks_for_one(row, self.world.models):
            return self._plan_paid(row)
        problems = self.writer.check(row)
        lane = self._lane(row, problems)
        workflow, profile = self._workflow(row, problems)
        native = (workflow or self.world.workflows[self.world.default_workflow]).contract.native
        sizes, size_problems = resolve_sizes(row, native, self.world)
        problems += size_problems
        recipe = Recipe(model=FPO_MODEL, parameters={"label": row.id})
        if workflow:
            rendered, lacking, given = self._render_recipe(row, workflow, profile, problems)
            lacking += [
                *size_misfits(row, sizes, workflow, self.world.catalogue.channels),
                *_seed_misfits(row, workflow),
            ]
            problems += map(for_comp, lacking) if lane == "fpo" else lacking
            if lane == "comfyui":
                problems += self.world.fleet.problems(row, workflow, rendered.parameters, given)
            recipe = recipe if lane == "fpo" else rendered
        choices = self._choices(row)
        problems += _zip_misfits(row, sizes, choices)
        if row.number in self.bad_rows or any(problem.severity == "error" for problem in problems):
            return RowPlan((), tuple(problems))
        return RowPlan(tuple(self._requests(row, sizes, recipe, choices)), tuple(problems))

    def _plan_paid(self, row: Row) -> RowPlan:
        """The requests of a row that Replicate is to make, or their comps."""
        problems = self.writer.check(row)
        lane = self._lane(row, problems)
        model = choose_model(row, self.world, problems)
        if model is None:
            return RowPlan((), tuple(problems))
        made = paid_recipe(row, model, self.world, self.references)
        choices = self._choices(row)
        problems += _zip_misfits(row, made.sizes, choices)
        requests = tuple(self._requests(row, made.sizes, made.recipe, choices)) if made.sizes else ()
        texts = [text for variants in choices for text in variants]
        lacking = [
            *made.problems,
            *paid_misfits(row, model, made, requests, self.world),
            *dropped_negative(row, model, texts, self.world.catalogue.default_negative_prompt),
        ]
        problems += map(for_comp, lacking) if lane == "fpo" else lacking
        if row.number in self.bad_rows or any(problem.severity == "error" for problem in problems):
            return RowPlan((), tuple(problems))
        if lane == "fpo":
            comp = Recipe(model=FPO_MODEL, parameters={"label": row.id})
            requests = tuple(self._requests(row, made.sizes, comp, choices))
        return RowPlan(requests, tuple(problems))

    def _choices(self, row: Row) -> list[list[Text]]:
        """The row's texts; where its templates are at fault, which is told elsewhere, as they are written."""
        try:
            return self.writer.write(row)
        except SheetError:
            return [[Text(row.prompt, row.negative_prompt or "")]]

    def _requests(
        self, row: Row, sizes: Sequence[Size], recipe: Recipe, choices: list[list[Text]]
    ) -> Iterator[PlannedRequest]:
        """Choices x variants x sizes, in this order; `variant` counts through the choices. Zipped: a size each."""
        pictures = ((n, text) for texts in choices for n, text in enumerate(texts, 1))
        for variant, (n, text) in enumerate(pictures, 1):
            for size in sizes if row.combine == "product" else (sizes[(variant - 1) % len(sizes)],):
                yield PlannedRequest(
                    row=row.id,
                    row_number=row.number,
                    variant=variant,
                    size=size.label,
                    request=self._request(self._without_unused(row, text, recipe), size, self._seed(row, n), recipe),
                    priority=row.priority,
                    tags=row.tags,
                    exact=size.exact,
                )

    def _request(self, text: Text, size: Size, seed: int, recipe: Recipe) -> ImageRequest:
        return ImageRequest(
            prompt=text.prompt,
            negative_prompt=text.negative_prompt,
            width=size.width,
            height=size.height,
            seed=seed,
            **vars(recipe),
        )

    def _without_unused(self, row: Row, text: Text, recipe: Recipe) -> Text:
        """The text without a negative prompt that nobody asked for and nothing takes: it would be in the key."""
        workflow = self.world.workflows.get(recipe.workflow or "")
        model = self.world.paid.get(recipe.model or "")
        if workflow:
            takes = "negative_prompt" in workflow.contract.parameters
        else:
            takes = model is None or bool(model.negative_prompt or row.negative_prompt)
        return text if takes else Text(text.prompt, "")

    def _seed(self, row: Row, n: int) -> int:
        return seed_of(self.writer.campaign, row.id, n) if row.seed is None else counted_seed(row.seed, n)

    def _lane(self, row: Row, problems: list[Problem]) -> Lane | None:
        """The kind of lane that makes the row: where there is none for it, a comp is made if nothing else was said."""
        lanes = self.world.lanes
        home: Lane = "replicate" if asks_for_one(row, self.world.models) else "comfyui"
        if row.backend in {"auto", home} and home in lanes:
            return home
        if row.backend in {"auto", "fpo"} and "fpo" in lanes:
            return "fpo"
        reason = _NO_LANE["replicate" if row.backend == "auto" and home == "replicate" else row.backend]
        if row.backend == "auto" and home == "comfyui" and "replicate" in lanes:
            reason = _NO_MODEL
        problems.append(row.problem("backend", "lane-missing", *reason))
        return None

    def _workflow(self, row: Row, problems: list[Problem]) -> tuple[Workflow | None, str]:
        """The row's workflow and profile; no workflow where the row names one that does not exist.

        `name@1f0c9a2b` pins a version, by the first digits of its sha256: another one is an error, never used instead.
        """
        known = self.world.workflows
        written = row.workflow or self.world.default_workflow
        pin = _PIN.search(written)
        typed, _, typed_profile = (part.strip() for part in _PIN.sub("", written, count=1).partition(":"))
        name = find_name(typed, known)
        if name is None:
            message, fix = f'There is no workflow "{typed}".', suggestion(typed, known, "workflows")
            if model := find_paid(typed, self.world.models):
                message, fix = (
                    f"{model.name} is a model at Replicate, not a workflow.",
                    "Write it into the column model.",
                )
            problems.append(row.problem("workflow", "workflow-unknown", message, fix))
            return None, ""
        if pin:
            problems += _version_problems(row, known[name], pin[1])
        profiles = known[name].contract.profiles
        profile = find_name(typed_profile, profiles) or ""
        if typed_profile and not profile:
            message = f'Workflow {name} has no profile "{typed_profile}".'
            problems.append(
                row.problem("workflow", "profile-unknown", message, suggestion(typed_profile, profiles, "profiles"))
            )
        return known[name], profile

    def _render_recipe(
        self, row: Row, workflow: Workflow, profile: str, problems: list[Problem]
    ) -> tuple[Recipe, list[Problem], frozenset[str]]:
        """How ComfyUI makes this row, what it still lacks, and the parameters that the row itself gives.

        What is wrong is added to `problems`.
        """
        resolved = resolve(row, workflow, profile, self.world.workflows)
        problems += resolved.problems
        lacking = [_missing(row, workflow, name) for name in resolved.missing]
        references: dict[str, str] = {}
        for role, wanted in workflow.contract.parameters.items():
            column, address = picture_cell(row, role)
            if wanted.type == "image" and address:
                unreadable = self._unreadable(row, column, address)
                lacking += unreadable
                if not unreadable:
                    references[role] = self.references.sha256_of(address)
            elif wanted.type == "image" and wanted.default is None:
                lacking.append(_missing(row, workflow, role))
        if REFERENCE not in workflow.contract.parameters and row.reference_image:  # refused above; is it there at all?
            lacking += self._unreadable(row, REFERENCE, row.reference_image)
        parameters = dict(resolved.values)
        return Recipe(workflow.name, workflow.sha256, None, parameters, references), lacking, resolved.given

    def _unreadable(self, row: Row, column: str, address: str) -> list[Problem]:
        """Why the picture at `address` cannot be used, where it cannot."""
        try:
            self.references.sha256_of(address)
        except AssetlineError as exc:
            return [row.problem(column, "reference-unreadable", str(exc), "Correct the path, or add the file.")]
        return []


def _version_problems(row: Row, workflow: Workflow, pin: str) -> Iterator[Problem]:
    here = workflow.sha256[:_PIN_DIGITS]
    if len(pin) < _PIN_DIGITS or not workflow.sha256.startswith(pin.casefold()):
        message = f"Workflow {workflow.name} is version {here} here, not {shown(pin)}."
        fix = f"Write {workflow.name}@{here} to take this one, or put the pinned one back among the workflows."
        yield row.problem("workflow", "workflow-version", message, fix)


def _missing(row: Row, workflow: Workflow, parameter: str) -> Problem:
    column = column_of(parameter)
    wanted = workflow.contract.parameters[parameter].description.rstrip(".") or parameter
    message = f"Workflow {workflow.name} needs a {column}: {wanted}."
    return row.problem(column, "parameter-missing", message, f"Fill the column {column}.")
