"""XLSX into a grid, cell by cell as the person sees it: number formats of zeros, dates, formulas, merged cells.

Imported only where a workbook is read or written: openpyxl takes 0.4 s.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from xml.etree.ElementTree import ParseError

from openpyxl import load_workbook
from openpyxl.utils.cell import range_boundaries
from openpyxl.utils.exceptions import InvalidFileException

from assetline.records import Problem
from assetline.sheet.files import ZIP_FAULTS, damaged, refusal
from assetline.sheet.grid import MOST_COLUMNS, Grid, Limits, Line, Merge, Raw, letters
from assetline.sheet.problems import file_problem

# What openpyxl 3.1.5 raises for workbooks that are damaged in one place or another (found by damaging some).
WORKBOOK_FAULTS = (
    *ZIP_FAULTS,
    ArithmeticError,
    AssertionError,
    AttributeError,
    InvalidFileException,
    LookupError,
    ParseError,
    TypeError,
)
BLANK_ROWS = 100  # so many in a row end the sheet: formatted blank rows may reach down to row 1,048,576
MOST_MERGES = 1_000  # every row is compared with every merge

_MERGE = re.compile(rb"""<(?:\w+:)?mergeCell\s[^>]*?\bref=["']([A-Z]+\d+:[A-Z]+\d+)["']""")
_HIDDEN = re.compile(rb"""<(?:\w+:)?row\s(?=[^>]*\bhidden=["'](?:1|true)["'])[^>]*?\br=["'](\d+)["']""")
_UNCALCULATED = re.compile(
    rb"""<(?:\w+:)?c\s(?![^>]*\bt=["']str["'])[^>]*?\br=["']([A-Z]+\d+)["'][^>]*>\s*"""
    rb"""<(?:\w+:)?f\b(?:[^>]*/>|[^>]*>[^<]*</(?:\w+:)?f>)\s*"""
    rb"""(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v>\s*</(?:\w+:)?v>)?\s*</(?:\w+:)?c>"""
)
_VALUED = re.compile(
    rb"""\br=["'][A-Z]+(\d+)["'][^>]*>(?:<(?:\w+:)?f\b[^<]*(?:</(?:\w+:)?f>)?)?<(?:\w+:)?(?:v>[^<]|is>)"""
)
_ZEROS = re.compile(r"0{1,80}")


@dataclass(frozen=True)
class Facts:
    """What openpyxl's streaming reader does not tell of a worksheet, taken from the text of its part."""

    merges: tuple[Merge, ...]
    hidden_rows: frozenset[int]
    uncalculated: frozenset[str]
    last_row: int


def read_xlsx(file_name: str, data: bytes, limits: Limits) -> Grid:
    """The cells of the first visible worksheet of a checked archive. Raises SheetError where it is damaged."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl warns of what it will not write back; nothing is written here
            return _read_grid(file_name, data, limits)
    except WORKBOOK_FAULTS as fault:
        raise damaged(file_name) from fault


def _read_grid(file_name: str, data: bytes, limits: Limits) -> Grid:
    workbook = load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
    visible = [sheet for sheet in workbook.worksheets if sheet.sheet_state == "visible"]
    if not visible:
        raise refusal(file_name, "no-visible-sheet", "The workbook has no visible worksheet.")
    sheet = visible[0]
    part = sheet._worksheet_path  # noqa: SLF001 - openpyxl has no public name for it, and sheets may be in any order
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        facts = _facts(archive.read(part))
    lines = tuple(_lines(sheet, facts, limits))
    last_read = lines[-1].number if lines else 0
    complete = len(lines) == limits.lines or facts.last_row <= last_read
    return Grid(
        name=sheet.title,
        lines=lines,
        problems=() if complete else (_gap(file_name, last_read, facts.last_row),),
        merges=facts.merges,
        hidden_rows=facts.hidden_rows,
        others=tuple(other.title for other in visible[1:]),
    )


def _gap(file_name: str, last_read: int, last_row: int) -> Problem:
    message = f"Row {last_row} has values, but more than {BLANK_ROWS} blank rows follow row {last_read}: not read."
    return file_problem(file_name, "rows-after-gap", message)


def _facts(part: bytes) -> Facts:
    last_row = 0
    for found in _VALUED.finditer(part):
        last_row = max(last_row, int(found[1][:8]))
    return Facts(
        merges=tuple(_merge(name.decode()) for name in _MERGE.findall(part)[:MOST_MERGES]),
        hidden_rows=frozenset(int(number[:8]) for number in _HIDDEN.findall(part)),
        uncalculated=frozenset(name.decode() for name in _UNCALCULATED.findall(part)),
        last_row=last_row,
    )


def _merge(name: str) -> Merge:
    first_column, first_row, last_column, last_row = range_boundaries(name)
    return Merge(name, first_row, first_column, last_row, last_column)


def _lines(sheet: Any, facts: Facts, limits: Limits) -> Iterator[Line]:
    """The lines that are not blank, to the first long gap or to the limit."""
    sheet.reset_dimensions()  # what the file says of its size is often wrong
    blank_rows = read = 0
    for number, cells in enumerate(sheet.iter_rows(), start=1):
        line = Line(number, tuple(_raws(number, cells[: MOST_COLUMNS + 1], facts)))
        blank_rows = blank_rows + 1 if all(raw.blank for raw in line.cells) else 0
        if not blank_rows:
            read += 1
            yield line
        if blank_rows > BLANK_ROWS or read == limits.lines:
            return


def _raws(number: int, cells: Iterable[Any], facts: Facts) -> Iterator[Raw]:
    merges = [merge for merge in facts.merges if merge.first_row <= number <= merge.last_row]
    for index, cell in enumerate(cells):
        if any(merge.swallows(number, index + 1) for merge in merges):
            yield Raw(kind="merged")
        elif cell.value is None and f"{letters(index)}{number}" in facts.uncalculated:
            yield Raw(kind="formula")
        else:
            yield to_raw(cell)


def to_raw(cell: Any) -> Raw:
    """A cell of openpyxl as text: numbers plainly (`1024.0` is `1024`), with the leading zeros of the format."""
    match cell.value:
        case None:
            raw = Raw()
        case str() as value:
            raw = Raw(value, "error" if cell.data_type == "e" else "text")
        case bool() as value:
            raw = Raw(str(value).upper(), "truth")
        case int() | float() as value:
            raw = Raw(_plain(value, cell.number_format), "number")
        case time() as value:
            raw = Raw(value.isoformat("seconds" if value.second else "minutes"), "time")
        case value:
            raw = Raw(_date_text(value), "date")
    return raw


def _plain(value: float, number_format: str) -> str:
    """Fifteen digits, as spreadsheets keep them, and no exponent."""
    if isinstance(value, float) and not value.is_integer():
        return format(Decimal(f"{value:.15g}"), "f")
    text = str(int(value))
    return text.zfill(len(number_format)) if _ZEROS.fullmatch(number_format or "") else text


def _date_text(value: date | datetime | timedelta) -> str:
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    return str(value)
