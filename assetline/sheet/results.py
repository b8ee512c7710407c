"""After a run: the producer's own file back, with what became of each row and links to its pictures.

Reading passes over what is written here, so that the file can be mended, added to and run again.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TypeVar

from assetline.errors import SheetError
from assetline.records import Outcome, Problem
from assetline.sheet.checked import (
    can_be_marked,
    is_remark,
    own_cells,
    own_stem,
    text_extension,
    with_sep_line,
    workbook_extension,
)
from assetline.sheet.columns import FILES_COLUMN, RESULT_COLUMNS
from assetline.sheet.csv_cells import Record, read_text, records
from assetline.sheet.files import file_kind
from assetline.sheet.grid import Grid, Limits, neutral
from assetline.sheet.header import Header, find_header
from assetline.sheet.reading import DEFAULT_LIMITS, read_grid

MOST_PICTURE_COLUMNS = 24  # of a row; where there are more, the last one says how many
EXACT_DIGITS = 15  # of a number that a spreadsheet makes of a text that looks like one
NOT_RUN = "not run"

Written = TypeVar("Written")


@dataclass(frozen=True)
class Link:
    """A picture's cell: what it shows, and where it leads."""

    text: str
    target: str = ""


@dataclass(frozen=True)
class Facts:
    """What became of one row: the texts of `RESULT_COLUMNS`, a link for each picture, one for each channel's file."""

    texts: tuple[str, ...]
    links: tuple[Link, ...] = ()
    files: tuple[Link, ...] = ()


@dataclass(frozen=True)
class Results:
    """What became of the rows, by their number in the sheet; `width` picture columns hold every link.

    `with_files`: there is a column for the files that were cut for channels. `errors`: what kept a row from being run.
    """

    by_row: Mapping[int, Facts]
    width: int = field(default=0)
    with_files: bool = False
    errors: Mapping[int, str] = field(default_factory=dict)

    @property
    def header(self) -> tuple[str, ...]:
        """The names of the columns that are added."""
        pictures = (f"picture {number}" for number in range(1, self.width + 1))
        return (*RESULT_COLUMNS, *pictures, *([FILES_COLUMN] if self.with_files else []))

    def beside(self, header: Header) -> Results:
        """With room for what an earlier run has written of rows that this one left out."""
        return replace(
            self, width=max(self.width, _earlier_width(header)), with_files=self.with_files or _had_files(header)
        )


def results_of(
    outcomes: Iterable[Outcome],
    link: Callable[[str], str],
    decisions: Mapping[str, str] | None = None,
    problems: Iterable[Problem] = (),
) -> Results:
    """What a run came to, row by row. `link` turns a store key into an address, `decisions` are by request key.

    `problems`: the sheet's, of which the errors say why rows were left out.
    """
    by_row: dict[int, list[Outcome]] = {}
    for outcome in outcomes:
        by_row.setdefault(outcome.row_number, []).append(outcome)
    facts = {number: _facts(found, link, decisions or {}) for number, found in by_row.items()}
    width = max((len(row.links) for row in facts.values()), default=0)
    return Results(facts, width, any(row.files for row in facts.values()), _errors(problems))


def write_results(file_name: str, data: bytes, results: Results, limits: Limits = DEFAULT_LIMITS) -> tuple[str, bytes]:
    """The sheet with its results beside its rows, and its name: `<stem>.results.<ext>`.

    Columns, order and formatting are the producer's; a row that was not run keeps what an earlier run has written. Of a
    workbook that is too large to be changed whole, a CSV is made. Raises SheetError for a file that cannot be read.
    """
    kind = file_kind(file_name, data, limits)
    grid = read_grid(file_name, data, limits)
    if not grid.lines:
        raise SheetError(grid.problems)
    header, _ = find_header(grid)
    results = replace(results, errors=_of_merges(grid, results) | dict(results.errors))
    stem = own_stem(file_name)
    if kind == "text":
        return f"{stem}.results{text_extension(file_name)}", _in_text(file_name, data, header, results)
    if can_be_marked(data):
        from assetline.sheet.results_xlsx import add_results  # noqa: PLC0415 - openpyxl takes 0.4 s to import

        return f"{stem}.results{workbook_extension(file_name)}", add_results(file_name, data, (grid, header), results)
    return f"{stem}.results.csv", _as_text(grid, header, results)


def _facts(outcomes: Sequence[Outcome], link: Callable[[str], str], decisions: Mapping[str, str]) -> Facts:
    assets = [outcome.asset for outcome in outcomes if outcome.asset]
    reasons = (f"{outcome.label}: {outcome.reason}" for outcome in outcomes if outcome.status in _TROUBLE)
    texts = (
        _status(outcomes),
        "\n".join(reasons),
        ", ".join(dict.fromkeys(str(outcome.seed) for outcome in outcomes)),
        ", ".join(dict.fromkeys(asset.lane for asset in assets)),
        f"{sum(asset.cost_usd for asset in assets):.4f}",
        ", ".join(dict.fromkeys(filter(None, (decisions.get(outcome.request_key, "") for outcome in outcomes)))),
    )
    links = [Link(outcome.label, link(outcome.asset.original)) for outcome in outcomes if outcome.asset]
    files = (
        Link(f"{outcome.label} {', '.join(file.channels)}", link(file.key))
        for outcome in outcomes
        if outcome.asset
        for file in outcome.asset.renditions
    )
    return Facts(texts, _as_many_as_fit(links), _as_many_as_fit(list(files)))


def _errors(problems: Iterable[Problem]) -> dict[int, str]:
    """What is wrong with each row, a line for each error, with its cure."""
    found: dict[int, list[str]] = {}
    for problem in problems:
        if problem.severity == "error" and problem.row:
            told = f"{problem.message} {problem.fix}".strip()
            found.setdefault(problem.row, []).append(f"{problem.column}: {told}" if problem.column else told)
    return {number: "\n".join(texts) for number, texts in found.items()}


def _of_merges(grid: Grid, results: Results) -> dict[int, str]:
    """What keeps the rows below the first of merged cells: the error that stands in that one."""
    return {
        number: f"held by row {merge.first_row}: {error}"
        for merge in grid.merges
        if (error := results.errors.get(merge.first_row))
        for number in grid.rows_below(merge)
    }


def _as_many_as_fit(links: Sequence[Link]) -> tuple[Link, ...]:
    if len(links) <= MOST_PICTURE_COLUMNS:
        return tuple(links)
    more = f"and {len(links) - MOST_PICTURE_COLUMNS + 1} more: see the contact sheet"
    return (*links[: MOST_PICTURE_COLUMNS - 1], Link(more))


_TROUBLE = {"duplicate", "rejected", "failed", "canceled"}


def _status(outcomes: Sequence[Outcome]) -> str:
    """`stored`; where the pictures of a row differ, `3 stored, 1 failed`."""
    counts = Counter(outcome.status for outcome in outcomes)
    if len(counts) == 1:
        return outcomes[0].status
    return ", ".join(f"{count} {status}" for status, count in counts.items())


def in_place(written: Sequence[Written], header: Header, results: Results, blank: Written) -> list[Written]:
    """What an earlier run has written of a row, under the columns of this one: the files for channels stay the last."""
    had_files = _had_files(header) and len(written) == len(header.results)
    pictures, files = (written[:-1], written[-1:]) if had_files else (written, ())
    gap = len(RESULT_COLUMNS) + results.width - len(pictures)
    return [*pictures, *[blank] * gap, *files]


def _earlier_width(header: Header) -> int:
    """How many picture columns an earlier run has written."""
    return max(len(header.results) - len(RESULT_COLUMNS) - _had_files(header), 0)


def _had_files(header: Header) -> bool:
    return bool(header.results) and header.texts[header.results[-1]] == FILES_COLUMN


def unrun(status: Written, error: Written, written: Sequence[Written]) -> list[Written]:
    """A row that could not be run: why, and the pictures that an earlier run has made of it."""
    return [status, error, *written[2:]]


def _earlier(record: Record, header: Header, results: Results) -> list[str]:
    cells = record.cells
    texts = [cells[index] if index < len(cells) else "" for index in header.results]
    written = in_place(texts, header, results, "") if any(texts) else []
    error = results.errors.get(record.number, "")
    return unrun(NOT_RUN, error, written) if error or not written else written


def _in_text(file_name: str, data: bytes, header: Header, results: Results) -> bytes:
    text = read_text(file_name, data)
    results = results.beside(header)
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=text.delimiter)
    for record in records(text):
        if record.broken:
            out.write(record.broken.rstrip("\r\n") + "\r\n")
        elif not is_remark(record, header):
            writer.writerow([neutral(cell) for cell in _with_results(record, header, results)])
    return with_sep_line(text, out.getvalue())


def _with_results(record: Record, header: Header, results: Results) -> Iterator[str]:
    own = [cell for index, cell in enumerate(record.cells) if header.own(index)]
    if record.number < header.line or not any(own_cells(record, header)):
        return iter(own)
    width = sum(header.own(index) for index in range(len(header.texts)))
    padded = [*own, *[""] * (width - len(own))]
    if record.number == header.line:
        return chain(padded, results.header)
    facts = results.by_row.get(record.number)
    added = list(_in_cells(facts, results)) if facts else _earlier(record, header, results)
    return chain(padded, added, [""] * (len(results.header) - len(added)))


def _in_cells(facts: Facts, results: Results) -> Iterator[str]:
    """The texts as CSV: a long number with the sign that keeps a spreadsheet from shortening it."""
    for text in facts.texts:
        yield f"'{text}" if text.isdecimal() and len(text) > EXACT_DIGITS else text
    yield from (link.target or link.text for link in facts.links)
    yield from [""] * (results.width - len(facts.links))
    if results.with_files:
        yield "\n".join(f"{file.text}: {file.target}" if file.target else file.text for file in facts.files)


def _as_text(grid: Grid, header: Header, results: Results) -> bytes:
    """A workbook's rows as CSV, from its header on."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    results = results.beside(header)
    for line in grid.lines:
        record = Record(line.number, tuple(raw.text for raw in line.cells))
        if line.number >= header.line and not is_remark(record, header):
            writer.writerow([neutral(cell) for cell in _with_results(record, header, results)])
    return out.getvalue().encode("utf-8-sig")
