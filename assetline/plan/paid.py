"""A row for Replicate: its model, the sizes that come of what is written, its values, and what the model cannot do."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from assetline.catalogue import name_key
from assetline.errors import AssetlineError
from assetline.plan.paid_models import Fit, Models, PaidModel, Unfit, find_paid
from assetline.plan.parameters import FIELDS
from assetline.plan.recipe import REFERENCE, Recipe, find_name, picture_cell
from assetline.plan.sizes import resolve_sizes, size_column
from assetline.plan.texts import Text
from assetline.plan.world import References, World
from assetline.records import PlannedRequest, Problem, Row, Size, Value
from assetline.sheet.suggest import shown, suggestion

NATIVE = (1024, 1024)  # the size of a row that says none, and the area of a ratio; models then take their nearest
SAME_SHAPE = math.log(1.03)  # 896x1088 is what flux makes for 4:5, and is off by 2.9 %


@dataclass(frozen=True)
class PaidRecipe:
    """The recipe of a row, the sizes that will come, the parameters that the row itself says by column, and faults."""

    recipe: Recipe
    sizes: tuple[Size, ...]
    columns: dict[str, str]
    problems: tuple[Problem, ...]


def choose_model(row: Row, world: World, problems: list[Problem]) -> PaidModel | None:
    """The model of a row that is for Replicate; None where it names none that there is, which is a problem."""
    known = world.models
    is_workflow = find_name(row.workflow or "", world.workflows) is not None
    if row.workflow and (row.model or is_workflow):
        message = "A workflow runs on ComfyUI; Replicate makes a picture by the model alone."
        fix = 'Empty the cell, or empty the model and write "comfyui" as backend.'
        problems.append(row.problem("workflow", "workflow-unused", message, fix))
    written = row.model or ("" if is_workflow else row.workflow or "")
    column = "model" if row.model or not written else "workflow"
    if not written:
        fix = f"Write one of {', '.join(known)}."
        problems.append(row.problem("model", "model-missing", "The row does not say which model at Replicate.", fix))
        return None
    found = find_paid(written, known)
    if found is None:
        message = f"There is no model {shown(written)} at Replicate that assetline knows."
        problems.append(
            row.problem(column, "model-unknown", message, suggestion(written.rpartition("/")[2], known, "models"))
        )
    elif column == "workflow":
        message = f"{found.name} is a model at Replicate, not a workflow."
        problems.append(row.problem(column, "model-unknown", message, "Write it into the column model."))
    return found


def paid_recipe(row: Row, model: PaidModel, world: World, references: References) -> PaidRecipe:
    """How Replicate makes a row, as far as that can be said before its prompts are written."""
    sizes, problems = _sizes(row, model, world)
    given = _given(row, world)
    values = {name: _typed(model, name, value) for name, (_, value) in given.items()}
    pictures, faults = _pictures(row, model, world, references)
    recipe = Recipe(model=model.ref, parameters=model.complete(values), references=pictures)
    columns = {name: column for name, (column, _) in given.items()}
    return PaidRecipe(recipe, tuple(sizes), columns, (*problems, *faults))


def paid_misfits(
    row: Row, model: PaidModel, made: PaidRecipe, requests: Iterable[PlannedRequest], world: World
) -> Iterator[Problem]:
    """What the model cannot do of the row's requests, each once."""
    written = set(made.columns)
    written |= {"seed"} if row.seed is not None else set()
    written |= {"negative_prompt"} if row.negative_prompt else set()
    told: set[tuple[str, str]] = set()
    for planned in requests:
        for one in model.misfits(planned.request, written, strict=world.strict_sizes):
            if (one.parameter, one.code) in told or one.parameter == "size":  # sizes have been looked at
                continue
            told.add((one.parameter, one.code))
            column = made.columns.get(one.parameter) or picture_cell(row, one.parameter)[0]
            yield row.problem(column, one.code, one.message, one.fix)


def dropped_negative(row: Row, model: PaidModel, texts: Iterable[Text], house: str) -> Iterator[Problem]:
    """A warning where a style's words of what must not be seen are left out; the house's own are for whom they suit."""
    styled = any(text.negative_prompt not in {"", house} for text in texts)
    if styled and not row.negative_prompt and not model.negative_prompt:
        message = f"{model.name} at Replicate takes no negative prompt: the style's is left out."
        yield row.problem(
            "style", "negative-unused", message, "Say it in the prompt, if it matters.", severity="warning"
        )


# --- sizes


def _sizes(row: Row, model: PaidModel, world: World) -> tuple[list[Size], list[Problem]]:
    """Each size as the model makes it: a channel or a ratio means a shape, pixels mean these pixels."""
    if not row.sizes:  # none was asked for, so that any that the model likes will do
        near = model.fit(*NATIVE, strict=False)
        width, height = (near.width, near.height) if isinstance(near, Fit) else NATIVE
        return [Size(width=width, height=height, label=f"{width}x{height}")], []
    sizes, problems = resolve_sizes(row, NATIVE, world)
    made = []
    for size in sizes:
        found = _fit(size, model, strict=world.strict_sizes)
        if isinstance(found, Unfit):
            message = f"{model.name} at Replicate {found.message}"
            problems.append(row.problem(size_column(row, size), "size-unfit", message, found.fix))
            made.append(size)
            continue
        if _is_other(size, found):
            message = f"{model.name} at Replicate makes {found.width}x{found.height} of {_named(size)}."
            column = size_column(row, size)
            problems.append(
                row.problem(column, "size-nearest", message, "Nothing, if that will do.", severity="warning")
            )
        made.append(size.model_copy(update={"width": found.width, "height": found.height}))
    return made, problems


def _fit(size: Size, model: PaidModel, *, strict: bool) -> Fit | Unfit:
    """What the model makes for a size. A shape may be made larger or smaller, until the model has it."""
    exact = model.fit(size.width, size.height, strict=True)
    if isinstance(exact, Fit):
        return exact
    near = model.fit(size.width, size.height, strict=False)
    if isinstance(near, Unfit) or (strict and _is_pixels(size)):
        return exact
    scales = near.width / size.width, near.height / size.height
    for scale in (1.0, max(scales), min(scales)):
        other = model.fit(round(size.width * scale), round(size.height * scale), strict=False)
        if isinstance(other, Fit) and _shape_off(size, other) <= SAME_SHAPE:
            return other
    return exact if strict else near


def _is_pixels(size: Size) -> bool:
    return size.ratio is None and size.label == f"{size.width}x{size.height}"


def _is_other(size: Size, found: Fit) -> bool:
    """Whether a person should be told: pixels that are not those, or another shape."""
    other = (found.width, found.height) != (size.width, size.height)
    return other and (_is_pixels(size) or _shape_off(size, found) > SAME_SHAPE)


def _shape_off(size: Size, found: Fit) -> float:
    return abs(math.log((size.width / size.height) / (found.width / found.height)))


def _named(size: Size) -> str:
    pixels = f"{size.width}x{size.height}"
    return pixels if size.label == pixels else f"{size.label} ({pixels})"


# --- values and pictures


def _given(row: Row, world: World) -> dict[str, tuple[str, Value]]:
    """Column and value by parameter: the usual columns, and others that are called like anybody's parameter."""
    known = {name_key(name): name for name in _parameter_names(world)}
    extra = {
        known[name_key(name)]: (_header(row, name), text)
        for name, text in row.extra.items()
        if text and name_key(name) in known
    }
    return {**extra, **{name: (name, value) for name, value in row.parameters.items()}}


def _parameter_names(world: World) -> set[str]:
    """What any model or workflow can be told; what this model is not to be told is then an error, never passed over."""
    of_workflows = (
        name for one in world.workflows.values() for name, it in one.contract.parameters.items() if it.type != "image"
    )
    names = {name for one in world.models.values() for name in one.parameters}.union(of_workflows)
    return names - FIELDS - {"checkpoint"}  # its column is `model`


def _header(row: Row, name: str) -> str:
    return next((header for header in row.cells if name_key(header) == name_key(name)), name)


def _typed(model: PaidModel, name: str, value: Value) -> Value:
    """The value as the model has it, so that `4` and `4.0` are one request; what it cannot take stays to be told of."""
    setting = model.parameters.get(name)
    if setting is None or setting.fault(value):
        return value
    typed = setting.typed(value)
    return int(typed) if isinstance(typed, bool) else typed


def _pictures(
    row: Row, model: PaidModel, world: World, references: References
) -> tuple[dict[str, str], Sequence[Problem]]:
    """The sha256 of each picture that the row gives, also of those that the model does not take."""
    found, problems = {}, []
    for role in dict.fromkeys([REFERENCE, *model.images, *_roles(world.models)]):
        column, address = picture_cell(row, role)
        if not address:
            continue
        try:
            found[role] = references.sha256_of(address)
        except AssetlineError as exc:
            fix = "Correct the path, or add the file."
            problems.append(row.problem(column, "reference-unreadable", str(exc), fix))
    return found, problems


def _roles(models: Models) -> Collection[str]:
    return {role: None for model in models.values() for role in model.images}
