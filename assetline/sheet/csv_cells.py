"""CSV and TSV, as people's programs write them, into a grid: encoding, delimiter, records with their row numbers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePath

from assetline.records import Problem
from assetline.sheet.columns import CANONICAL, header_key
from assetline.sheet.files import refusal
from assetline.sheet.grid import HEADER_SEARCH_LINES, MOST_COLUMNS, Grid, Limits, Line, Raw
from assetline.sheet.problems import file_problem
from assetline.sheet.suggest import shown

DELIMITERS = ",;\t|"
MOST_BROKEN_LINES = 100  # each is looked for to its end, so a file full of them would cost the square of its size
_SEP_LINE = re.compile(rf'"?sep=([{re.escape(DELIMITERS)}])"?\s*', re.IGNORECASE)
_BOMS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


@dataclass(frozen=True)
class Text:
    """A decoded file: its physical lines without Excel's `sep=` line, the delimiter, the encoding it was read in."""

    lines: list[str]
    delimiter: str
    encoding: str
    sep_line: bool


@dataclass(frozen=True, slots=True)
class Record:
    """One record, blank ones too, with its row in a spreadsheet program; `broken` is an unreadable line's text."""

    number: int
    cells: tuple[str, ...] = ()
    broken: str = ""


def read_csv(file_name: str, data: bytes, limits: Limits) -> Grid:
    """The cells of a text file, all of them text. Raises SheetError where the text cannot be decoded."""
    text = read_text(file_name, data)
    filled = (record for record in records(text) if record.broken or any(cell.strip() for cell in record.cells))
    lines = tuple(
        Line(record.number, tuple(map(Raw, record.cells[: MOST_COLUMNS + 1])), record.broken)
        for record in islice(filled, limits.lines)
    )
    return Grid(
        name=PurePath(file_name).stem,
        lines=lines,
        problems=tuple(_encoding_problems(file_name, text)),
        ragged=True,
        encoding=text.encoding,
        delimiter=text.delimiter,
    )


def read_text(file_name: str, data: bytes) -> Text:
    """Decode the file and find its delimiter. Raises SheetError for text that cannot be decoded without loss."""
    text, encoding = _decode(file_name, data)
    if "\x00" in text:
        line = text.count("\n", 0, text.index("\x00")) + 1
        raise refusal(file_name, "file-nul", f"There are NUL bytes in the text, the first in line {line}.")
    lines = io.StringIO(text, newline="").readlines()
    named = _SEP_LINE.fullmatch(lines[0]) if lines else None
    if named:
        return Text(lines[1:], named[1], encoding, sep_line=True)
    return Text(lines, find_delimiter(lines, file_name), encoding, sep_line=False)


def _decode(file_name: str, data: bytes) -> tuple[str, str]:
    marked = next((encoding for mark, encoding in _BOMS if data.startswith(mark)), None)
    try:
        return data.decode(marked or "utf-8"), marked or "utf-8"
    except UnicodeDecodeError as fault:
        if marked or _damaged_utf8(data):
            line = data.count(b"\n", 0, fault.start) + 1
            message = (
                f"The text is not whole {(marked or 'utf-8').removesuffix('-sig').upper()}: line {line} is damaged."
            )
            raise refusal(file_name, "file-encoding", message) from fault
    try:
        return data.decode("cp1252"), "cp1252"  # never latin-1: it would take Excel's quotes and dashes for controls
    except UnicodeDecodeError as fault:
        message = "The text is neither UTF-8 nor Windows-1252."
        raise refusal(file_name, "file-encoding", message) from fault


def _damaged_utf8(data: bytes) -> bool:
    """Whether most of what is not ASCII is good UTF-8: then a byte was lost, and Windows-1252 would garble the rest."""
    text = data.decode("utf-8", errors="replace")
    lost = text.count("\ufffd")
    return sum(not character.isascii() for character in text) - lost > lost


def _encoding_problems(file_name: str, text: Text) -> Iterator[Problem]:
    if text.encoding != "cp1252":
        return
    words = (word for line in text.lines for word in re.split(rf"[\s\"{re.escape(DELIMITERS)}]+", line))
    sample = next((word for word in words if not word.isascii()), "")
    message = (
        f"The text is not UTF-8; it was read as Windows-1252. The first word with an accent reads {shown(sample)}."
    )
    yield file_problem(file_name, "encoding-guessed", message)


def find_delimiter(lines: list[str], file_name: str = "") -> str:
    """The delimiter that makes the best header of one of the first lines: most known columns, then most columns.

    Quotation marks are minded. A sheet of one column has none: a tab for `.tsv`, else a comma.
    """
    first = "\t" if file_name.lower().endswith((".tsv", ".tab")) else ","
    candidates = [first, *DELIMITERS.replace(first, "")]
    best: str = max(candidates, key=lambda delimiter: _header_score(lines, delimiter))
    return best


def _header_score(lines: list[str], delimiter: str) -> tuple[int, int]:
    head = Text(lines[:HEADER_SEARCH_LINES], delimiter, "", sep_line=False)
    rows = [record.cells for record in records(head) if any(cell.strip() for cell in record.cells)]
    scores = [(known_columns(row), len(row)) for row in rows]
    known = max((score for score in scores if score[0]), default=None)
    return known or (scores[0] if scores else (0, 0))


def known_columns(cells: tuple[str, ...]) -> int:
    """How many different known columns a line names."""
    return len({CANONICAL[key] for key in map(header_key, cells[:MOST_COLUMNS]) if key in CANONICAL})


def records(text: Text) -> Iterator[Record]:
    """Every record with its row number. A quotation mark that is not closed as it must be breaks one line alone."""
    at, number, broken = 0, 0, 0
    while at < len(text.lines) and broken <= MOST_BROKEN_LINES:
        rest = islice(text.lines, at, None)
        reader = csv.reader(rest, delimiter=text.delimiter, strict=True, skipinitialspace=True)
        started = 0
        try:
            for cells in reader:
                number += 1
                started = reader.line_num
                yield Record(number, tuple(cells))
            return
        except csv.Error:
            number += 1
            broken += 1
            yield Record(number, broken=text.lines[at + started])
            at += started + 1
