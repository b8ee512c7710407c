"""Adds a run's results to a workbook: columns to the right, pictures as links. Formatting stays.

Imported only where a workbook is written: openpyxl takes 0.4 s.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from openpyxl import load_workbook
from openpyxl.styles import Font, PatternFill
from openpyxl.worksheet.hyperlink import Hyperlink

from assetline.sheet.checked_xlsx import AUTHOR, MARKING_FAULTS, OUR_COLOURS, with_values, write_texts
from assetline.sheet.files import damaged
from assetline.sheet.grid import Grid, letters
from assetline.sheet.header import Header
from assetline.sheet.results import NOT_RUN, Facts, Link, Results, in_place, unrun

MOST_LINKS = 65_530  # of one worksheet: Excel calls a file with more damaged
LONGEST_LINK = 2_079  # characters, likewise
LINK_FONT = Font(color="FF0563C1", underline="single")  # Excel's own
WIDTHS = (12, 50, 24, 20, 10, 12)  # characters; a picture's column has `PICTURE_WIDTH`
PICTURE_WIDTH = 28


def add_results(file_name: str, data: bytes, place: tuple[Grid, Header], results: Results) -> bytes:
    """The workbook with its results. Raises SheetError where openpyxl cannot load it whole."""
    grid, header = place
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of extensions that openpyxl drops; docs/sheet.md says which
            workbook = load_workbook(io.BytesIO(data), rich_text=True, keep_vba=file_name.lower().endswith(".xlsm"))
            sheet = workbook[grid.name]
            before = {number: _written(sheet, number, header) for number in _row_numbers(grid, header)}
            _clear(sheet, grid, header)
            _add(sheet, place, results, before)
            out = io.BytesIO()
            workbook.save(out)
            return with_values(out.getvalue(), workbook, grid)
    except MARKING_FAULTS as fault:
        raise damaged(file_name) from fault


def _row_numbers(grid: Grid, header: Header) -> Iterator[int]:
    for line in grid.lines:
        own = (raw for index, raw in enumerate(line.cells) if header.own(index))
        if line.number > header.line and not all(raw.blank for raw in own):
            yield line.number


def _written(sheet: Any, number: int, header: Header) -> list[Link]:
    """What an earlier run has written of a row, links included."""
    cells = [sheet.cell(number, index + 1) for index in header.results]
    found = [Link(str(cell.value or ""), cell.hyperlink.target or "" if cell.hyperlink else "") for cell in cells]
    return found if any(link.text for link in found) else [Link(NOT_RUN)]


def _clear(sheet: Any, grid: Grid, header: Header) -> None:
    """Take away an earlier check's marks and columns, and an earlier run's."""
    ours = [index for index in range(len(header.texts)) if not header.own(index)]
    for row in sheet.iter_rows(min_row=header.line, max_row=grid.lines[-1].number):
        for cell in row:
            if cell.comment and cell.comment.author == AUTHOR:
                cell.comment = None
            if cell.fill.fgColor.rgb in OUR_COLOURS:
                cell.fill = PatternFill()
    for index in ours:
        for number in range(header.line, grid.lines[-1].number + 1):
            cell = sheet.cell(number, index + 1)
            cell.value, cell.hyperlink = None, None


def _add(sheet: Any, place: tuple[Grid, Header], results: Results, before: dict[int, list[Link]]) -> None:
    grid, header = place
    first = _first_column(grid, header)
    results = results.beside(header)
    write_texts(sheet, header.line, first, results.header)
    beside = sheet.cell(header.line, max(first - 1, 1))
    for index in range(len(results.header)):
        head = sheet.cell(header.line, first + index)
        head.font, head.fill, head.border = copy(beside.font), copy(beside.fill), copy(beside.border)
        width = WIDTHS[index] if index < len(WIDTHS) else PICTURE_WIDTH
        sheet.column_dimensions[letters(first + index - 1)].width = width
    links = 0
    for number, written in before.items():
        facts = results.by_row.get(number)
        cells = _cells(facts, results) if facts else _earlier(written, header, results, number)
        write_texts(sheet, number, first, [cell.text for cell in cells])
        for index, cell in enumerate(cells):
            if cell.target and links < MOST_LINKS and _link(sheet.cell(number, first + index), cell.target):
                links += 1


def _cells(facts: Facts, results: Results) -> Sequence[Link]:
    gap = [Link("")] * (results.width - len(facts.links))
    files = [_together(facts.files)] if results.with_files else []
    return [*(Link(text) for text in facts.texts), *facts.links, *gap, *files]


def _earlier(written: list[Link], header: Header, results: Results, number: int) -> list[Link]:
    """What an earlier run has written; of a row that could not be run now, what is wrong with it."""
    kept = in_place(written, header, results, Link(""))
    error = results.errors.get(number, "")
    return unrun(Link(NOT_RUN), Link(error), kept) if error else kept


def _together(files: Sequence[Link]) -> Link:
    """The files of a row in their one cell: it leads to the file, or to the folder where there are several."""
    targets = [file.target for file in files if file.target]
    folders = {target.rpartition("/")[0] for target in targets}
    folder = f"{folders.pop()}/" if len(folders) == 1 else ""
    return Link("\n".join(file.text for file in files), targets[0] if len(targets) == 1 else folder)


def _first_column(grid: Grid, header: Header) -> int:
    """To the right of every value and merge that is the producer's. Counts from 1."""
    widths = [
        index + 1
        for line in grid.lines
        for index, raw in enumerate(line.cells)
        if not raw.blank and (header.own(index) or line.number < header.line)
    ]
    merged = [merge.last_column for merge in grid.merges if merge.last_row >= header.line]
    return max([*widths, *merged], default=0) + 1


def _link(cell: Any, target: str) -> bool:
    """Link a cell by a relation, never by a formula; whether it could be."""
    address = _address(target)
    if len(address) > LONGEST_LINK:
        return False
    cell.hyperlink = Hyperlink(ref=cell.coordinate, target=address)
    cell.font = LINK_FONT
    return True


def _address(target: str) -> str:
    """An address that Excel takes: a path as `file://`, blanks and signs escaped."""
    if "://" in target:
        return quote(target, safe=":/?&=%#@+,;!$'()*~-._")
    return PurePosixPath(target).as_uri() if target.startswith("/") else quote(target)
