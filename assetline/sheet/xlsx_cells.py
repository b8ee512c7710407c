"""XLSX into a grid, cell by cell as the person sees it: number formats of zeros, dates, formulas, merged cells."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from xml.parsers import expat

from assetline.records import Problem
from assetline.sheet.files import ZIP_FAULTS, damaged, refusal
from assetline.sheet.grid import Grid, Limits, Line, Merge, Raw, column_index
from assetline.sheet.problems import file_problem
from assetline.sheet.xlsx_package import OversizedError, Worksheet, read_package
from assetline.sheet.xlsx_rows import BLANK_ROWS, Cells, Rows, read_rows, read_texts

# What damaged workbooks raise here (found by damaging some).
DAMAGES = (*ZIP_FAULTS, ArithmeticError, LookupError, StopIteration, expat.ExpatError)
OPTIONS = "options"  # the worksheet that holds options of the campaign, not rows

_RANGE = re.compile(r"([A-Z]{1,3})(\d{1,8}):([A-Z]{1,3})(\d{1,8})")


def read_xlsx(file_name: str, data: bytes, limits: Limits) -> Grid:
    """The cells of the first visible worksheet of a checked archive, and those of `Options`. Raises SheetError."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read_grid(file_name, archive, limits)
    except OversizedError as fault:
        raise refusal(file_name, fault.code, str(fault)) from fault
    except DAMAGES as fault:
        raise damaged(file_name) from fault


def _read_grid(file_name: str, archive: zipfile.ZipFile, limits: Limits) -> Grid:
    package = read_package(archive)
    visible = [sheet for sheet in package.worksheets if sheet.visible]
    options = next((sheet for sheet in visible if sheet.title.strip().casefold() == OPTIONS), None)
    sheets = [sheet for sheet in visible if sheet is not options]
    if not sheets:
        beside = f" beside {options.title}" if options else ""
        raise refusal(file_name, "no-visible-sheet", f"The workbook has no visible worksheet{beside}.")
    cells = Cells(package, read_texts(archive, package.texts_part, limits))

    def grid(sheet: Worksheet) -> Grid:
        return _grid(file_name, sheet.title, read_rows(archive, sheet.part, cells, limits))

    return replace(
        grid(sheets[0]),
        others=tuple(other.title for other in sheets[1:]),
        options=grid(options) if options else None,
    )


def _grid(file_name: str, title: str, rows: Rows) -> Grid:
    merges = tuple(_merge(name) for name in rows.merges)
    lines = sorted(_swallowed(rows.lines, merges), key=lambda line: line.number)
    gap = [_gap(file_name, lines, rows.row_below)] if rows.row_below else []
    return Grid(title, tuple(lines), tuple(gap), merges=merges, hidden_rows=rows.hidden)


def _gap(file_name: str, lines: Sequence[Line], row: int) -> Problem:
    last = lines[-1].number if lines else 0
    message = f"Row {row} has values, but more than {BLANK_ROWS} blank rows follow row {last}: not read."
    return file_problem(file_name, "rows-after-gap", message)


def _merge(name: str) -> Merge:
    found = _RANGE.fullmatch(name)
    if not found:
        raise ValueError(name)
    first, last = column_index(found[1]) + 1, column_index(found[3]) + 1
    return Merge(name, int(found[2]), first, int(found[4]), last)


def _swallowed(lines: Sequence[Line], merges: Sequence[Merge]) -> list[Line]:
    """The lines with what merges have swallowed blanked out; lines of nothing else are left out."""
    marked = [_with_merges(line, merges) for line in lines] if merges else lines
    return [line for line in marked if not all(raw.blank for raw in line.cells)]


def _with_merges(line: Line, merges: Sequence[Merge]) -> Line:
    here = [merge for merge in merges if merge.first_row <= line.number <= merge.last_row]
    if not here:
        return line
    cells = (
        Raw(kind="merged") if any(merge.swallows(line.number, index + 1) for merge in here) else raw
        for index, raw in enumerate(line.cells)
    )
    return replace(line, cells=tuple(cells))
