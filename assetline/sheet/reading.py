"""The whole of reading a sheet, in the order of its problems: file, header, rows, across rows."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import PurePath

from assetline.catalogue import Catalogue, slug
from assetline.errors import SheetError
from assetline.records import Problem, Row
from assetline.sheet.conversions import made_id
from assetline.sheet.csv_cells import read_csv
from assetline.sheet.files import file_kind, wrong_extension
from assetline.sheet.grid import Grid, Limits, Line, Merge, column_index, letters
from assetline.sheet.header import Header, find_header
from assetline.sheet.options import Options, read_options
from assetline.sheet.problems import CODES, file_problem
from assetline.sheet.rows import Reading, read_line
from assetline.sheet.suspicions import Suspicions
from assetline.sheet.xlsx_cells import read_xlsx

DEFAULT_LIMITS = Limits()
MOST_PROBLEMS = 20_000  # nobody reads more, and each is looked up among all that would be right


@dataclass(frozen=True)
class Sheet:
    """A sheet as read: its rows, those with errors too, and every problem in the order file, header, rows, across rows.

    `name` stands before the `!` in messages: the worksheet's name, for CSV the file's stem. `encoding` and `delimiter`
    are empty for XLSX. `options` is what the worksheet `Options` says. `merged_rows` have lost values to merged cells,
    most of them without a problem of their own.
    """

    file_name: str
    name: str
    sha256: str
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]
    encoding: str = ""
    delimiter: str = ""
    options: Options = field(default_factory=Options)
    header_row: int = 0
    merged_rows: frozenset[int] = frozenset()

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that keep the sheet from being run whole."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def bad_rows(self) -> frozenset[int]:
        """The rows below the header that have an error; all of them where the file or the header has one."""
        wrong = {problem.row or 0 for problem in self.errors}
        if any(row <= self.header_row for row in wrong):
            wrong |= {row.number for row in self.rows}
        return frozenset(row for row in wrong | self.merged_rows if row > self.header_row)

    @property
    def hides_ids(self) -> bool:
        """Whether a row below the header cannot be read, or its id cannot: it may be any that was there before."""
        numbers = {row.number for row in self.rows}
        headers = {row.cells["id"].column for row in self.rows if "id" in row.cells}
        below = (problem for problem in self.errors if (problem.row or 0) > self.header_row)
        return any(problem.row not in numbers or problem.column in headers for problem in below)


def read_sheet(file_name: str, data: bytes, catalogue: Catalogue, limits: Limits = DEFAULT_LIMITS) -> Sheet:
    """Read a sheet whole and report all of its problems. Never raises for content, whatever the bytes are."""
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        grid = read_grid(file_name, data, limits)
    except SheetError as error:
        return Sheet(file_name, PurePath(file_name).stem, sha256, (), error.problems)
    if not grid.lines:
        return Sheet(
            file_name, grid.name, sha256, (), (*grid.problems, _empty(file_name, grid)), grid.encoding, grid.delimiter
        )
    header, header_problems = find_header(grid)
    options, option_problems = read_options(grid.options, catalogue, limits) if grid.options else (Options(), [])
    rows, row_problems = _read_rows(Reading(grid, header, catalogue, limits, options.defaults))
    rows, across = _settle_ids(rows)
    return Sheet(
        file_name=file_name,
        name=grid.name,
        sha256=sha256,
        rows=tuple(rows),
        problems=(*grid.problems, *option_problems, *header_problems, *row_problems, *across),
        encoding=grid.encoding,
        delimiter=grid.delimiter,
        options=options,
        header_row=header.line,
        merged_rows=_merged_rows(grid, header),
    )


def _empty(file_name: str, grid: Grid) -> Problem:
    if not grid.others:
        return file_problem(file_name, "file-empty", "There is nothing in the sheet.")
    message = f"There is nothing in the first worksheet. Others, which are not read: {', '.join(grid.others)}."
    return file_problem(file_name, "file-empty", message, "Move the worksheet with the rows to the front.")


def read_grid(file_name: str, data: bytes, limits: Limits) -> Grid:
    """The cells of a file of any kind. Raises SheetError where it cannot be read at all."""
    kind = file_kind(file_name, data, limits)
    grid = read_xlsx(file_name, data, limits) if kind == "xlsx" else read_csv(file_name, data, limits)
    if not wrong_extension(file_name, kind):
        return grid
    what = "an XLSX workbook" if kind == "xlsx" else "text (CSV)"
    warning = file_problem(file_name, "file-extension", f"The file is {what}, whatever its name says.")
    return replace(grid, problems=(warning, *grid.problems))


def _read_rows(reading: Reading) -> tuple[list[Row], list[Problem]]:
    grid, header, limits = reading.grid, reading.header, reading.limits
    lines = (line for line in grid.lines if line.number > header.line or line.broken)
    below = [line for line in lines if not _only_remarks(line, header)]
    problems = [_merged(grid, merge) for merge in _data_merges(grid, header)]
    rows: list[Row] = []
    general = list(_about_all_rows(reading, len(below)))
    for line in below[: limits.rows]:
        row, found = read_line(reading, line)
        problems.extend(found)
        if row:
            rows.append(row)
        if len(problems) > MOST_PROBLEMS:
            message = f"There are more than {MOST_PROBLEMS:,} problems; what is below row {line.number} was not read."
            general.append(file_problem(grid.name, "too-many-problems", message))
            break
    problems.extend(Suspicions(reading, below[: limits.rows]).find())
    problems.sort(key=lambda problem: (problem.row or 0, column_index(problem.cell)))
    return rows, [*general, *problems]


def _only_remarks(line: Line, header: Header) -> bool:
    """Whether the line says nothing but what `write_checked` wrote below the rows."""
    return not line.broken and all(raw.blank for index, raw in enumerate(line.cells) if header.own(index))


def _about_all_rows(reading: Reading, lines: int) -> Iterable[Problem]:
    grid, limits = reading.grid, reading.limits
    if not lines:
        message = f"There is no row below the header in row {reading.header.line}."
        yield file_problem(grid.name, "no-rows", message)
    if lines > limits.rows:
        yield file_problem(grid.name, "too-many-rows", f"There are more than {limits.rows:,} rows.")
    hidden = sorted(line.number for line in grid.lines if line.number in grid.hidden_rows)
    if hidden:
        shown = ", ".join(map(str, hidden[:10])) + (", …" if len(hidden) > 10 else "")
        message = f"{len(hidden)} hidden row{'s are' if len(hidden) > 1 else ' is'} read too: {shown}."
        yield file_problem(grid.name, "rows-hidden", message)


def _data_merges(grid: Grid, header: Header) -> list[Merge]:
    """The merges that reach below the header; those in titles above it are harmless."""
    last = grid.lines[-1].number
    return [merge for merge in grid.merges if merge.last_row > header.line and merge.first_row <= last]


def _merged(grid: Grid, merge: Merge) -> Problem:
    return Problem(
        severity="error",
        code="merged-cells",
        sheet=grid.name,
        row=merge.first_row,
        cell=f"{letters(merge.first_column - 1)}{merge.first_row}",
        message=f"The cells {merge.name} are merged; only the first of them has the value.",
        fix=CODES["merged-cells"].fix,
    )


def _merged_rows(grid: Grid, header: Header) -> frozenset[int]:
    last = grid.lines[-1].number
    merges = _data_merges(grid, header)
    return frozenset(row for merge in merges for row in range(merge.first_row, min(merge.last_row, last) + 1))


def _settle_ids(rows: Sequence[Row]) -> tuple[list[Row], list[Problem]]:
    """Give every row without an id one of its own, and report ids that two rows have."""
    taken: dict[str, Row] = {}
    again = [row for row in rows if row.id and taken.setdefault(slug(row.id), row) is not row]
    problems = [_twice(row, taken) for row in again]
    names, last = set(taken), Counter[str]()
    settled = []
    for row in rows:
        settled.append(row if row.id else row.model_copy(update={"id": _free_id(row, names, last)}))
        names.add(slug(settled[-1].id))
    return settled, problems


def _free_id(row: Row, names: set[str], last: Counter[str]) -> str:
    """The made id, with a number from 2 where it is taken. `last` remembers where to go on counting."""
    base = name = made_id(row.prompt, row.extra)
    while slug(name) in names:
        last[base] += 1
        name = f"{base}-{last[base] + 1}"
    return name


def _twice(row: Row, taken: Mapping[str, Row]) -> Problem:
    first = taken[slug(row.id)]
    message = f'"{row.id}" is the id of row {first.number} too'
    message += "." if first.id == row.id else f' (there "{first.id}"; case, blanks and punctuation do not count).'
    free = next(name for number in count(2) if slug(name := f"{row.id}-{number}") not in taken)
    return row.problem("id", "id-twice", message, f'Write "{free}", or leave the cell empty.')
