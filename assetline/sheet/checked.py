"""The producer's own file back, with `status`, `problem` and `fix` for every row."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from assetline.errors import SheetError
from assetline.records import Problem
from assetline.sheet.columns import CHECKED_COLUMNS
from assetline.sheet.csv_cells import Record, Text, read_text, records
from assetline.sheet.files import file_kind, has_usual_parts, xml_bytes
from assetline.sheet.grid import Grid, Limits, letters, neutral
from assetline.sheet.header import Header, find_header
from assetline.sheet.reading import DEFAULT_LIMITS, read_grid

# Unpacked XML of a workbook: openpyxl takes 30 times as much memory to change it (4 MB, 10,000 rows: 130 MB).
MOST_MARKED_BYTES = 12_000_000
ADDED_NAMES = (".checked", ".results")  # to a sheet's name, by `write_checked` and `write_results`


@dataclass(frozen=True)
class Remarks:
    """What is to be said of each row, and of the sheet as a whole, as `status`, `problem`, `fix`.

    `held` are rows that an error beside them keeps from being run: one of the file or the header, or merged cells.
    """

    by_row: dict[int, list[Problem]]
    general: list[Problem]
    sheet: str = ""
    held: dict[int, Problem] = field(default_factory=dict)

    def of_row(self, number: int) -> tuple[str, str, str]:
        """The three cells of a row, a line for each problem; `ok` and two blanks where there is nothing to say."""
        problems = self.by_row.get(number, [])
        status = "error" if any(problem.severity == "error" for problem in problems) else "warning"
        messages = [_of_column(problem, problem.message) for problem in problems]
        fixes = [_of_column(problem, problem.fix) for problem in problems]
        if status != "error" and number in self.held:
            keeper = self.held[number]
            status, messages, fixes = "held", [f"held by {self._told(keeper)}", *messages], [keeper.fix, *fixes]
        return (status, "\n".join(messages), "\n".join(fixes)) if messages else ("ok", "", "")

    def all(self) -> Iterator[Problem]:
        """Every problem, those of the whole first."""
        yield from self.general
        for problems in self.by_row.values():
            yield from problems

    def below(self) -> Iterator[tuple[str, str, str]]:
        """The three cells of each remark that belongs to no row; they stand below the last one."""
        for problem in self.general:
            yield (problem.severity, self._told(problem), problem.fix)

    def _told(self, problem: Problem) -> str:
        """The message behind its place."""
        elsewhere = f"{problem.sheet}!" if problem.cell and self.sheet and problem.sheet != self.sheet else ""
        place = elsewhere + (problem.cell or (f"row {problem.row}" if problem.row else ""))
        return f"{place}: {problem.message}" if place else problem.message


def _of_column(problem: Problem, text: str) -> str:
    return f"{problem.column}: {text}" if problem.column else text


def write_checked(
    file_name: str, data: bytes, problems: Sequence[Problem], limits: Limits = DEFAULT_LIMITS
) -> tuple[str, bytes]:
    """The file with its problems beside its rows, and its name: `<stem>.checked.<ext>`.

    A CSV keeps its delimiter, columns and order, and is UTF-8 with a BOM, which Excel needs; a workbook keeps its
    formatting. Of a file that cannot be read, has too many rows, or is a workbook too large to be loaded whole, a CSV
    of the problems alone is made. Never raises for content.
    """
    stem = own_stem(file_name)
    try:
        kind = file_kind(file_name, data, limits)
        grid = read_grid(file_name, data, limits)
        if any(problem.code == "too-many-rows" for problem in problems):
            return f"{stem}.checked.csv", _listing(problems)
        if kind == "text":
            return f"{stem}.checked{text_extension(file_name)}", _mark_text(file_name, data, grid, problems)
        if grid.lines and can_be_marked(data):
            from assetline.sheet.checked_xlsx import mark_workbook  # noqa: PLC0415 - openpyxl takes 0.4 s to import

            header, _ = find_header(grid)
            remarks = sort_remarks(problems, grid, header)
            name = f"{stem}.checked{workbook_extension(file_name)}"
            return name, mark_workbook(file_name, data, (grid, header), remarks)
    except SheetError:
        pass  # the problems say why; they are all that can be written
    return f"{stem}.checked.csv", _listing(problems)


def own_stem(file_name: str) -> str:
    """The sheet's own name, whatever we have added to it: `spring.results.checked.csv` is `spring`."""
    stem = PurePath(file_name).stem
    while stem.endswith(ADDED_NAMES):
        stem = stem.rpartition(".")[0]
    return stem


def can_be_marked(data: bytes) -> bool:
    """Whether openpyxl can change a checked workbook within the memory and the time that are allowed."""
    return xml_bytes(data) <= MOST_MARKED_BYTES and has_usual_parts(data)


def workbook_extension(file_name: str) -> str:
    """That of the workbook that is written: with macros as with macros, else `.xlsx`."""
    return ".xlsm" if file_name.lower().endswith(".xlsm") else ".xlsx"


def sort_remarks(problems: Sequence[Problem], grid: Grid, header: Header) -> Remarks:
    """Each problem to its row, or to those about the whole: of the file, the header, and lines that are unreadable."""
    rows = {line.number for line in grid.lines if line.number > header.line and not line.broken}
    remarks = Remarks(defaultdict(list), [], grid.name)
    for problem in problems:
        if problem.row in rows:
            remarks.by_row[problem.row].append(problem)
        else:
            remarks.general.append(problem)
    return replace(remarks, held=_held(remarks, grid, header))


def _held(remarks: Remarks, grid: Grid, header: Header) -> dict[int, Problem]:
    """The rows that no error of their own keeps, each with the error that does."""
    of_all = (problem for problem in remarks.general if (problem.row or 0) <= header.line)
    if keeper := next((problem for problem in of_all if problem.severity == "error"), None):
        return {line.number: keeper for line in grid.lines}
    merges = {f"{letters(merge.first_column - 1)}{merge.first_row}": merge for merge in grid.merges}
    held: dict[int, Problem] = {}
    for problem in remarks.all():
        if problem.code == "merged-cells":
            held |= dict.fromkeys(grid.rows_below(merges[problem.cell]), problem)
    return held


def text_extension(file_name: str) -> str:
    """That of the text that is written: as it was, else `.csv`."""
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
        elif not is_remark(record, header):
            writer.writerow([neutral(cell) for cell in _marked(record, header, remarks)])
    width = _kept_width(header)
    for remark in remarks.below():
        writer.writerow(_joined([""] * width, header, [neutral(cell) for cell in remark]))
    return with_sep_line(text, out.getvalue())


def with_sep_line(text: Text, written: str) -> bytes:
    """What was written as UTF-8 with a BOM, below the `sep=` line that the file had where that can be."""
    # Excel minds no BOM after a `sep=` line, and would garble every accent
    sep_line = f"sep={text.delimiter}\r\n" if text.sep_line and written.isascii() else ""
    return (sep_line + written).encode("utf-8-sig")


def is_remark(record: Record, header: Header) -> bool:
    """Whether an earlier check wrote this line below the rows."""
    return record.number > header.line and any(record.cells) and not any(own_cells(record, header))


def own_cells(record: Record, header: Header) -> Iterator[str]:
    """What the producer wrote in a record, without blanks round it."""
    return (cell.strip() for index, cell in enumerate(record.cells) if header.own(index))


def _kept_width(header: Header) -> int:
    return sum(not header.remark(index) for index in range(len(header.texts)))


def _marked(record: Record, header: Header, remarks: Remarks) -> list[str]:
    """The record's cells with the three columns in their place: to the right of the header, or where they were."""
    kept = [cell for index, cell in enumerate(record.cells) if not header.remark(index)]
    if record.number < header.line or not any(own_cells(record, header)):
        return kept
    if record.number == header.line:
        return _joined(kept, header, CHECKED_COLUMNS)
    return _joined(kept, header, remarks.of_row(record.number))


def _joined(kept: Sequence[str], header: Header, remark: Sequence[str]) -> list[str]:
    width = _kept_width(header)
    place = width if header.checked is None else header.checked
    padded = [*kept, *[""] * (width - len(kept))]
    return [*padded[:place], *remark, *padded[place:]]
