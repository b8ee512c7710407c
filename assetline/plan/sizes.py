"""Sizes in pixels: ratios as multiples of 8 near the area that a model was trained on, and what a workflow takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from assetline.catalogue import Channel, name_key
from assetline.plan.parameters import nearest
from assetline.plan.world import World
from assetline.records import Problem, Row, Size
from assetline.workflow import Workflow

STEP_PX = 8  # latents are an eighth of the picture's side
MAX_AREA_FACTOR = 2.0  # beyond it models repeat or crop their subject; a ratio a hair off is the lesser evil
SEARCH_STEPS = 12
SIZE_COLUMNS = ("channels", "size", "width", "height")


def size_for(ratio: tuple[int, int], native: tuple[int, int]) -> tuple[int, int]:
    """Width and height in pixels of a picture of `ratio`, near the area of `native`, in multiples of 8.

    Exactly the ratio where a size of it lies within half and twice the native area (1:1, 4:5, 9:16, 16:9 and 3:2
    for every model, 1.91:1 for those of a megapixel); else the closest ratio that multiples of 8 allow.
    """
    common = math.gcd(*ratio)
    across, down = ratio[0] // common, ratio[1] // common
    unit_area = across * down * STEP_PX**2
    area = native[0] * native[1]
    root = math.isqrt(area // unit_area)
    scale = min((max(root, 1), root + 1), key=lambda k: abs(k * k * unit_area - area))
    if area / MAX_AREA_FACTOR <= scale * scale * unit_area <= area * MAX_AREA_FACTOR:
        return across * STEP_PX * scale, down * STEP_PX * scale
    return _closest(across / down, area)


def _closest(ratio: float, area: int) -> tuple[int, int]:
    """The multiples of 8 that miss the ratio least; the area counts a twentieth of that."""
    shorter = math.sqrt(area / ratio) if ratio >= 1 else math.sqrt(area * ratio)
    middle = max(round(shorter / STEP_PX), 1)
    longer_ratio = max(ratio, 1 / ratio)
    candidates = [
        (short * STEP_PX, max(round(short * longer_ratio), 1) * STEP_PX)
        for short in range(max(middle - SEARCH_STEPS, 1), middle + SEARCH_STEPS + 1)
    ]

    def miss(sides: tuple[int, int]) -> float:
        short, long = sides
        return abs(math.log(long / short / longer_ratio)) + abs(math.log(short * long / area)) / 20

    short, long = min(candidates, key=miss)
    return (long, short) if ratio >= 1 else (short, long)


def resolve_sizes(row: Row, native: tuple[int, int], world: World) -> tuple[list[Size], list[Problem]]:
    """The row's sizes in pixels: a ratio takes the area of `native`, no size at all is `native`."""
    if not row.sizes:
        return [Size(width=native[0], height=native[1], label=f"{native[0]}x{native[1]}")], []
    sizes, problems = [], []
    for size in row.sizes:
        width, height = size_for(size.ratio, native) if size.ratio else (size.width, size.height)
        if size.ratio and (min(width, height) < world.min_side_px or max(width, height) > world.max_side_px):
            message = f"{size.label} would be {width}x{height} pixels"
            message += f"; sides of {world.min_side_px} to {world.max_side_px} can be made."
            problems.append(row.problem(size_column(row, size), "size-range", message, "Take a ratio nearer to 1:1."))
        sizes.append(size.model_copy(update={"width": width, "height": height}))
    return sizes, problems


def size_misfits(row: Row, sizes: Sequence[Size], workflow: Workflow, channels: Mapping[str, Channel]) -> list[Problem]:
    """The sizes that the workflow cannot make, each with the nearest that it can and the channels that take it."""
    parameters = workflow.contract.parameters
    problems = []
    for size in sizes:
        sides = {"width": size.width, "height": size.height}
        near = {name: nearest(parameters[name], side) for name, side in sides.items() if name in parameters}
        misfits = [f"a {name} that is a {parameters[name].range}" for name in near if near[name] != sides[name]]
        if misfits:
            pixels = f"{size.width}x{size.height}"
            named = pixels if size.label == pixels else f"{size.label} ({pixels})"
            message = f"Workflow {workflow.name} cannot make {named}: it takes {' and '.join(misfits)}."
            best = sides | near
            fix = f"The nearest size is {best['width']:.0f}x{best['height']:.0f}."
            taking = [channel.name for channel in channels.values() if (channel.width, channel.height) == size_px(size)]
            if taking:
                fix += f" A channel is cut to the pixel: {', '.join(taking)}."
            problems.append(row.problem(size_column(row, size), "size-unfit", message, fix))
    return problems


def size_px(size: Size) -> tuple[int, int]:
    """Width and height in px."""
    return size.width, size.height


def size_column(row: Row, size: Size) -> str:
    """The column that `size` is from."""
    cells = {column: row.cells[column].value for column in SIZE_COLUMNS if column in row.cells}
    written = [column for column, value in cells.items() if value.strip()]
    named = (column for column in written if name_key(size.label) in name_key(cells[column]))
    return next(named, written[0] if written else "size")
