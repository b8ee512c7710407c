"""Marks a workbook: three columns, and colour and comment on the cells that are wrong. Formatting stays.

Imported only where a workbook is written: openpyxl takes 0.4 s.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Sequence
from copy import copy
from functools import partial
from typing import Any
from xml.etree.ElementTree import ParseError
from xml.sax.saxutils import escape

from openpyxl import load_workbook
from openpyxl.cell import MergedCell
from openpyxl.comments import Comment
from openpyxl.drawing.image import PILImage
from openpyxl.styles import Alignment, PatternFill
from openpyxl.utils.exceptions import InvalidFileException

from assetline.records import Problem
from assetline.sheet.checked import Remarks
from assetline.sheet.columns import CHECKED_COLUMNS
from assetline.sheet.files import ZIP_FAULTS, damaged
from assetline.sheet.grid import Grid, Raw, letters
from assetline.sheet.header import Header

AUTHOR = "assetline"  # of a comment: by it an earlier check's marks are known again, and removed
# What openpyxl 3.1.5 raises for workbooks that are damaged in one place or another (found by damaging some), and
# Pillow for their pictures, which it opens.
MARKING_FAULTS = (
    *ZIP_FAULTS,
    ArithmeticError,
    AssertionError,
    AttributeError,
    InvalidFileException,
    LookupError,
    ParseError,
    TypeError,
    PILImage.DecompressionBombError,
)
OUR_COLOURS = ("FFFFC7CD", "FFFFEB9B")  # a shade beside Excel's own "bad" and "neutral", to be known again by
FILLS = {
    severity: PatternFill("solid", fgColor=colour)
    for severity, colour in zip(("error", "warning"), OUR_COLOURS, strict=True)
}
MOST_COMMENTS = 1_000  # each is a drawing of its own, and slow to open; the columns say the same
WIDTHS = (10, 70, 70)  # characters
COMMENT_PX = (120, 360)  # height and width of a comment of ours
COMMENT_CHARACTERS = 55  # on a line of it; openpyxl forgets how large the comments of others were
COMMENT_LINE_PX = 18
WRAPPED = Alignment(wrap_text=True, vertical="top")

_FORMULA_CELL = re.compile(
    rb'(?P<start><c r="(?P<cell>[A-Z]+\d+)"(?: s="\d+")?)(?: t="\w+")?>'
    rb"(?P<formula><f\b[^>]*?(?:/>|>[^<]*</f>))<v ?/?>(?:</v>)?</c>"
)
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?")


def mark_workbook(file_name: str, data: bytes, place: tuple[Grid, Header], remarks: Remarks) -> bytes:
    """The workbook with its marks. Raises SheetError where openpyxl can read it but not load it whole."""
    grid, header = place
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of extensions that openpyxl drops; docs/sheet.md says which
            workbook = load_workbook(io.BytesIO(data), rich_text=True, keep_vba=file_name.lower().endswith(".xlsm"))
            sheet = workbook[grid.name]
            _unmark(sheet, grid, header)
            _write_columns(sheet, grid, header, remarks)
            for count, problem in enumerate(remarks.all()):
                if problem.cell and problem.sheet in workbook.sheetnames:
                    _mark_cell(workbook[problem.sheet], problem, commented=count < MOST_COMMENTS)
            out = io.BytesIO()
            workbook.save(out)
            return with_values(out.getvalue(), workbook, grid)
    except MARKING_FAULTS as fault:
        raise damaged(file_name) from fault


def _unmark(sheet: Any, grid: Grid, header: Header) -> None:
    """Take away the colours, comments and remarks of an earlier check."""
    last = grid.lines[-1].number
    for row in sheet.iter_rows(min_row=header.line, max_row=last):
        for cell in row:
            if cell.comment and cell.comment.author == AUTHOR:
                cell.comment = None
            elif cell.comment:
                _enlarge(cell.comment)
            if cell.fill.fgColor.rgb in OUR_COLOURS:
                cell.fill = PatternFill()
    if header.checked is not None:
        for row in range(header.line + 1, last + 1):
            for index in range(len(CHECKED_COLUMNS)):
                sheet.cell(row, header.checked + index + 1).value = None


def _enlarge(comment: Any) -> None:
    """Make a comment of somebody else's large enough for its text."""
    lines = sum(len(line) // COMMENT_CHARACTERS + 1 for line in str(comment.text).split("\n"))
    comment.width, comment.height = COMMENT_PX[1], min(max(comment.height, (lines + 1) * COMMENT_LINE_PX), 400)


def _write_columns(sheet: Any, grid: Grid, header: Header, remarks: Remarks) -> None:
    first = _first_column(grid, header)
    write_texts(sheet, header.line, first, CHECKED_COLUMNS)
    for index, width in enumerate(WIDTHS):
        sheet.column_dimensions[letters(first + index - 1)].width = width
        head = sheet.cell(header.line, first + index)
        beside = sheet.cell(header.line, max(first - 1, 1))
        head.font, head.fill, head.border = copy(beside.font), copy(beside.fill), copy(beside.border)
    last = header.line
    for line in grid.lines:
        if line.number > header.line and any(
            not raw.blank for index, raw in enumerate(line.cells) if header.own(index)
        ):
            status, *rest = remarks.of_row(line.number)
            write_texts(sheet, line.number, first, (status, *rest))
            if status in FILLS:
                sheet.cell(line.number, first).fill = FILLS[status]
            last = line.number
    _filter(sheet, header, first, last)
    for offset, remark in enumerate(remarks.below(), start=1):
        write_texts(sheet, last + offset, first, remark)


def _filter(sheet: Any, header: Header, first: int, last: int) -> None:
    """Make every column one that can be filtered, so that the rows with errors are a click away.

    A table of Excel's has a filter of its own: with a second one over it Excel calls the file damaged.
    """
    if not sheet.tables and last > header.line:
        begin = sheet.auto_filter.ref.partition(":")[0] if sheet.auto_filter.ref else f"A{header.line}"
        width = max(first - 1 + len(CHECKED_COLUMNS), len(header.texts))
        sheet.auto_filter.ref = f"{begin}:{letters(width - 1)}{last}"


def _first_column(grid: Grid, header: Header) -> int:
    """Where the three columns go: where they are, or to the right of every value and merge. Counts from 1."""
    if header.checked is not None:
        return header.checked + 1
    widths = [index + 1 for line in grid.lines for index, raw in enumerate(line.cells) if not raw.blank]
    merged = [merge.last_column for merge in grid.merges if merge.last_row >= header.line]
    return max([*widths, *merged]) + 1


def write_texts(sheet: Any, row: int, first: int, texts: Sequence[str]) -> None:
    """Write texts side by side from column `first` on (from 1); they stay texts."""
    style = None
    for index, text in enumerate(texts):
        cell = sheet.cell(row, first + index)
        cell.value = text
        cell.data_type = "s"  # openpyxl would make a formula of a text that begins with `=`
        if style is None:
            cell.alignment = WRAPPED
            style = cell._style  # noqa: SLF001 - looking a style up again costs more than the cell
        else:
            cell._style = copy(style)  # noqa: SLF001


def _mark_cell(sheet: Any, problem: Problem, *, commented: bool) -> None:
    cell = sheet[problem.cell]
    if isinstance(cell, MergedCell):
        return
    text = f"{problem.message} {problem.fix}".strip()
    ours = cell.comment and cell.comment.author == AUTHOR
    if ours:
        text = f"{cell.comment.text}\n{text}"
    if commented and (ours or not cell.comment):
        cell.comment = Comment(text, AUTHOR, *COMMENT_PX)
    if problem.severity == "error" or not ours:
        cell.fill = FILLS[problem.severity]


def _values(grid: Grid) -> dict[str, Raw]:
    return {
        f"{letters(index)}{line.number}": raw
        for line in grid.lines
        for index, raw in enumerate(line.cells)
        if not raw.blank and raw.kind != "formula"
    }


def with_values(data: bytes, workbook: Any, grid: Grid) -> bytes:
    """Put back what the formulas of rows and of `Options` had given.

    openpyxl writes formulas without their values, and nobody has recalculated them.
    """
    read = [one for one in (grid, grid.options) if one]
    values = {_part(workbook, one.name): _values(one) for one in read}

    def restored(found: re.Match[bytes], member: str) -> bytes:
        raw = values[member].get(found["cell"].decode())
        kind, value = _cached(raw) if raw else (b">", b"")
        return found["start"] + kind + found["formula"] + value + b"</c>"

    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as copied:
        for member in archive.infolist():
            content, name = archive.read(member), member.filename
            if name in values:
                content = _FORMULA_CELL.sub(partial(restored, member=name), content)
            copied.writestr(member, content)
    return out.getvalue()


def _part(workbook: Any, title: str) -> str:
    """Where openpyxl writes a worksheet within the archive."""
    return f"xl/worksheets/sheet{workbook.worksheets.index(workbook[title]) + 1}.xml"


def _cached(raw: Raw) -> tuple[bytes, bytes]:
    """A cell's type and its value, in the workbook's XML."""
    value, kind = raw.number or raw.text, {"text": "str", "error": "e", "truth": "b", "date": "d"}.get(raw.kind, "")
    if raw.kind == "truth":
        value = str(int(raw.text == "TRUE"))
    if raw.kind == "time" or (raw.kind == "date" and not _ISO_DATE.fullmatch(value)):
        return b">", b""
    value = value.replace(" ", "T") if raw.kind == "date" else value
    return (f' t="{kind}">' if kind else ">").encode(), f"<v>{escape(value)}</v>".encode()
