"""CSV and TSV, as people's programs write them, into a grid: encoding, delimiter, records with their row numbers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from pathlib import PurePath
from typing import NamedTuple

from assetline.records import Problem
from assetline.sheet.columns import CANONICAL, header_key
from assetline.sheet.files import refusal
from assetline.sheet.grid import HEADER_SEARCH_LINES, MOST_CELL_CHARACTERS, MOST_COLUMNS, Grid, Limits, Line, Raw, cut
from assetline.sheet.problems import file_problem
from assetline.sheet.suggest import shown

DELIMITERS = ",;\t|"
MOST_BROKEN_LINES = 100  # each is looked for to its end, so a file full of them would cost the square of its size
MOST_LINES = 1_200_000  # physical ones; a spreadsheet has at most 1,048,576 rows
LONG_LINE = 100_000  # characters; csv refuses a cell of more than 131,072
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


class Record(NamedTuple):
    """One record, blank ones too, with its row in a spreadsheet program; `broken` is an unreadable line's text."""

    number: int
    cells: tuple[str, ...] = ()
    broken: str = ""


def read_csv(file_name: str, data: bytes, limits: Limits) -> Grid:
    """The cells of a text file, all of them text. Raises SheetError where the text cannot be decoded."""
    text = read_text(file_name, data)
    return Grid(
        name=PurePath(file_name).stem,
        lines=tuple(_lines(file_name, text, limits)),
        problems=tuple(_encoding_problems(file_name, text)),
        ragged=True,
        encoding=text.encoding,
        delimiter=text.delimiter,
    )


def _lines(file_name: str, text: Text, limits: Limits) -> Iterator[Line]:
    """The lines that are not blank. Raises SheetError where they have too many cells."""
    filled = (record for record in records(text) if record.broken or any(cell.strip() for cell in record.cells))
    count = 0
    for record in islice(filled, limits.lines):
        cells = record.cells[: MOST_COLUMNS + 1]
        count += len(cells)
        if count > limits.cells:
            message = f"The file has more than {limits.cells:,} cells, blank ones included."
            raise refusal(file_name, "too-many-cells", message)
        yield Line(record.number, tuple(Raw(cut(cell)) for cell in cells), record.broken)


def read_text(file_name: str, data: bytes) -> Text:
    """Decode the file and find its delimiter. Raises SheetError for text that cannot be decoded without loss."""
    text, encoding = _decode(file_name, data)
    if "\x00" in text:
        line = text.count("\n", 0, text.index("\x00")) + 1
        raise refusal(file_name, "file-nul", f"There are NUL bytes in the text, the first in line {line}.")
    if max(text.count("\n"), text.count("\r")) > MOST_LINES:
        raise refusal(file_name, "too-many-rows", f"The file has more than {MOST_LINES:,} lines.")
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
    return len(text) - len(text.encode("ascii", errors="ignore")) - lost > lost


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
    tame = partial(_tamed, _cell_pattern(text.delimiter), text.delimiter)
    while at < len(text.lines) and broken <= MOST_BROKEN_LINES:
        rest = map(tame, islice(text.lines, at, None))
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


@cache
def _cell_pattern(delimiter: str) -> re.Pattern[str]:
    """A cell in quotation marks, else one without; an empty text where a quotation mark is not closed in the line."""
    sign = re.escape(delimiter)
    return re.compile(rf'\s*+"[^"]*+(?:""[^"]*+)*+"(?=[{sign}\r\n]|$)|(?!\s*+")[^{sign}\r\n]++|')


def _tamed(cell: re.Pattern[str], delimiter: str, line: str) -> str:
    """The line; of one that is too long its first cells, each cut to what says that it is too long."""
    if len(line) < LONG_LINE:
        return line
    cells: list[str] = []
    at = -1
    while at < 0 or (line.startswith(delimiter, at) and len(cells) <= MOST_COLUMNS):
        found = cell.match(line, at + 1)
        text, at = (found[0], found.end()) if found else ("", at + 1)
        cells.append(text if len(text) <= MOST_CELL_CHARACTERS else _short(text))
    rest = "\n" if line.startswith(delimiter, at) else line[at:]
    return delimiter.join(cells) + rest


def _short(cell: str) -> str:
    bare = cut(cell.replace('"', ""))
    return f'"{bare}"'
