"""The producer's own file back, with `status`, `problem` and `fix` for every row."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from assetline.errors import SheetError
from assetline.records import Problem
from assetline.sheet.columns import CHECKED_COLUMNS
from assetline.sheet.csv_cells import Record, read_text, records
from assetline.sheet.files import file_kind, xml_bytes
from assetline.sheet.grid import Grid, Limits, neutral
from assetline.sheet.header import Header, find_header
from assetline.sheet.reading import DEFAULT_LIMITS, read_grid

# Unpacked XML of a workbook: openpyxl takes 30 times as much memory to change it (4 MB, 10,000 rows: 130 MB).
MOST_MARKED_BYTES = 30_000_000


@dataclass(frozen=True)
class Remarks:
    """What is to be said of each row, and of the sheet as a whole, as `status`, `problem`, `fix`."""

    by_row: dict[int, list[Problem]]
    general: list[Problem]

    def of_row(self, number: int) -> tuple[str, str, str]:
        """The three cells of a row; `ok` and two blanks where there is nothing to say."""
        problems = self.by_row.get(number, [])
        if not problems:
            return ("ok", "", "")
        status = "error" if any(problem.severity == "error" for problem in problems) else "warning"
        messages = (
            f"{problem.column}: {problem.message}" if problem.column else problem.message for problem in problems
        )
        fixes = (f"{problem.column}: {problem.fix}" if problem.column else problem.fix for problem in problems)
        return (status, " ".join(messages), " ".join(fixes))

    def below(self) -> Iterator[tuple[str, str, str]]:
        """The three cells of each remark that belongs to no row; they stand below the last one."""
        for problem in self.general:
            place = problem.cell or (f"row {problem.row}" if problem.row else "")
            yield (problem.severity, f"{place}: {problem.message}" if place else problem.message, problem.fix)


def write_checked(
    file_name: str, data: bytes, problems: Sequence[Problem], limits: Limits = DEFAULT_LIMITS
) -> tuple[str, bytes]:
    """The file with its problems beside its rows, and its name: `<stem>.checked.<ext>`.

    A CSV keeps its delimiter, columns and order, and is UTF-8 with a BOM, which Excel needs; a workbook keeps its
    formatting. Of a file that cannot be read at all, or of a workbook too large to be loaded whole, a CSV of the
    problems alone is made. Never raises for content.
    """
    stem = PurePath(file_name).stem.removesuffix(".checked")
    try:
        kind = file_kind(file_name, data, limits)
        grid = read_grid(file_name, data, limits)
        if kind == "text":
            return f"{stem}.checked{_text_extension(file_name)}", _mark_text(file_name, data, grid, problems)
        if grid.lines and xml_bytes(data) <= MOST_MARKED_BYTES:
            from assetline.sheet.checked_xlsx import mark_workbook  # noqa: PLC0415 - openpyxl takes 0.4 s to import

            header, _ = find_header(grid)
            extension = ".xlsm" if file_name.lower().endswith(".xlsm") else ".xlsx"
            remarks = sort_remarks(problems, grid, header)
            return f"{stem}.checked{extension}", mark_workbook(file_name, data, (grid, header), remarks)
    except SheetError:
        pass  # the problems say why; they are all that can be written
    return f"{stem}.checked.csv", _listing(problems)


def sort_remarks(problems: Sequence[Problem], grid: Grid, header: Header) -> Remarks:
    """Each problem to its row, or to those about the whole: of the file, the header, and lines that are unreadable."""
    rows = {line.number for line in grid.lines if line.number > header.line and not line.broken}
    remarks = Remarks(defaultdict(list), [])
    for problem in problems:
        if problem.row in rows:
            remarks.by_row[problem.row].append(problem)
        else:
            remarks.general.append(problem)
    return remarks


def _text_extension(file_name: str) -> str:
    extension = PurePath(file_name).suffix.lower()
    return extension if extension in {".tsv", ".tab", ".txt"} else ".csv"


def _listing(problems: Sequence[Problem]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows([CHECKED_COLUMNS, *Remarks({}, list(problems)).below()])
    return out.getvalue().encode("utf-8-sig")


def _mark_text(file_name: str, data: bytes, grid: Grid, problems: Sequence[Problem]) -> bytes:
    if not grid.lines:
        return _listing(problems)
    text = read_text(file_name, data)
    header, _ = find_header(grid)
    remarks = sort_remarks(problems, grid, header)
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=text.delimiter)
    for record in records(text):
        if record.broken:
            out.write(record.broken.rstrip("\r\n") + "\r\n")  # as it was: quoting it would make one whole cell of it
        elif not _is_remark(record, header):
            writer.writerow([neutral(cell) for cell in _marked(record, header, remarks)])
    width = _own_width(header)
    for remark in remarks.below():
        writer.writerow(_joined([""] * width, header, [neutral(cell) for cell in remark]))
    # Excel minds no BOM after a `sep=` line, and would garble every accent
    sep_line = f"sep={text.delimiter}\r\n" if text.sep_line and out.getvalue().isascii() else ""
    return (sep_line + out.getvalue()).encode("utf-8-sig")


def _is_remark(record: Record, header: Header) -> bool:
    """Whether an earlier check wrote this line below the rows."""
    own = [cell for index, cell in enumerate(record.cells) if header.own(index)]
    return record.number > header.line and any(record.cells) and not any(cell.strip() for cell in own)


def _own_width(header: Header) -> int:
    return sum(header.own(index) for index in range(len(header.texts)))


def _marked(record: Record, header: Header, remarks: Remarks) -> list[str]:
    """The record's cells with the three columns in their place: to the right of the header, or where they were."""
    own = [cell for index, cell in enumerate(record.cells) if header.own(index)]
    if record.number < header.line or not any(cell.strip() for cell in own):
        return own
    if record.number == header.line:
        return _joined(own, header, CHECKED_COLUMNS)
    return _joined(own, header, remarks.of_row(record.number))


def _joined(own: Sequence[str], header: Header, remark: Sequence[str]) -> list[str]:
    width = _own_width(header)
    place = width if header.checked is None else header.checked
    padded = [*own, *[""] * (width - len(own))]
    return [*padded[:place], *remark, *padded[place:]]
