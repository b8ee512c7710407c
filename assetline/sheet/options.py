"""The worksheet `Options`: what holds for the whole campaign, a name and a value in each line."""

from __future__ import annotations

from dataclasses import dataclass, replace

from assetline.catalogue import Catalogue
from assetline.records import Problem, Row
from assetline.sheet import conversions as to
from assetline.sheet.columns import CANONICAL, COLUMNS, header_key
from assetline.sheet.grid import BLANK, Grid, Limits, Line, Raw, column_index
from assetline.sheet.header import Header
from assetline.sheet.problems import CODES
from assetline.sheet.rows import PLAIN, LineReader, Reading, read_line
from assetline.sheet.suggest import shown, suggestion

OF_THE_CAMPAIGN = ("campaign", "max_cost")
PER_ROW = ("id", "prompt")  # no two rows may share them
NAMES = (*OF_THE_CAMPAIGN, *(column.name for column in COLUMNS if column.name not in PER_ROW))
TITLES = frozenset({"option", "options", "name", "setting", "column"})  # of the first line, which need not be there
MOST_COST_USD = 1_000_000


@dataclass(frozen=True)
class Options:
    """What a sheet says for its whole campaign; empty and None where it says nothing.

    `defaults` is what a row has whose own cells are blank; its id and prompt are empty.
    """

    campaign: str = ""
    max_cost: float | None = None
    defaults: Row = PLAIN


@dataclass(frozen=True)
class _Given:
    """The options by their name, each with the number of its line."""

    values: dict[str, tuple[int, Raw]]
    problems: list[Problem]


def read_options(grid: Grid, catalogue: Catalogue, limits: Limits) -> tuple[Options, list[Problem]]:
    """The options and all that is wrong with them. Their problems have a cell but no row: they concern every row."""
    given = _given(grid)
    names = list(given.values)
    numbers = [number for number, _ in given.values.values()]
    header = Header(0, tuple(names), {name: index for index, name in enumerate(names)}, {})
    line = Line(0, tuple(raw for _, raw in given.values.values()))
    reading = Reading(replace(grid, ragged=False), header, catalogue, limits)
    defaults, found = read_line(reading, line)  # as a row that lies on its side
    reader = LineReader(reading, line)
    campaign = to.words(reader.cell("campaign"))
    cost = reader.cell("max_cost")
    max_cost = None if cost.blank else to.decimal(cost, (0, MOST_COST_USD), reader.reporter("max_cost"))
    placed = [_placed(problem, numbers) for problem in (*found, *reader.problems)]
    in_order = sorted([*given.problems, *placed], key=lambda problem: int(problem.cell[1:] or 0))
    return Options(campaign, max_cost, defaults or PLAIN), [*grid.problems, *in_order]


def _placed(problem: Problem, numbers: list[int]) -> Problem:
    index = column_index(problem.cell)
    cell = f"B{numbers[index]}" if 0 <= index < len(numbers) else ""
    return problem.model_copy(update={"row": None, "cell": cell})


def _given(grid: Grid) -> _Given:
    found = _Given({}, [])
    for line in grid.lines:
        name, value = (*line.cells, BLANK, BLANK)[:2]
        text = to.words(name)
        key = _canonical(text)
        if not text or (line is grid.lines[0] and header_key(text) in TITLES):
            continue
        if key not in NAMES:
            fix = suggestion(text, NAMES, "options")
            found.problems.append(_problem(grid, line, "option-unknown", (f"{shown(text)} is not an option.", fix)))
        elif key in found.values:
            message = f"{shown(text)} stands in row {found.values[key][0]} too."
            found.problems.append(_problem(grid, line, "option-twice", (message, "")))
        else:
            found.values[key] = (line.number, value)
    return found


def _canonical(text: str) -> str:
    own = {header_key(name): name for name in OF_THE_CAMPAIGN}
    return own.get(header_key(text), "") or CANONICAL.get(header_key(text), "")


def _problem(grid: Grid, line: Line, code: str, words: tuple[str, str]) -> Problem:
    known, (message, fix) = CODES[code], words
    cell = f"A{line.number}"
    return Problem(
        severity=known.severity, code=code, sheet=grid.name, cell=cell, message=message, fix=fix or known.fix
    )
