"""What every kind of file is read into before anything is understood: cells as text, with their places."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import Literal

from assetline.records import Problem

Kind = Literal["text", "number", "truth", "date", "time", "error", "formula", "merged"]

HEADER_SEARCH_LINES = 10  # a title, a date and a few notes may stand above the header
_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
MOST_CELL_CHARACTERS = 32_767  # as many as a cell of a spreadsheet holds; one more is read, so that it can be told
CELLS_PER_ROW = 50  # on the average of a sheet that is as long as it may be
MOST_COLUMNS = 256  # one more is read of each line, so that it can be told


@dataclass(frozen=True)
class Limits:
    """What a sheet may hold. Each is checked before the work that it guards."""

    rows: int = 10_000
    file_bytes: int = 20_000_000
    unpacked_bytes: int = 200_000_000
    prompt_characters: int = 5_000
    variants: int = 64
    min_side_px: int = 64
    max_side_px: int = 4_096

    @property
    def lines(self) -> int:
        """How many lines that are not blank are worth reading: one more than may be, so that it can be told."""
        return self.rows + HEADER_SEARCH_LINES + 1

    @property
    def cells(self) -> int:
        """How many cells, blank ones too, are read."""
        return self.rows * CELLS_PER_ROW


@dataclass(frozen=True, slots=True)
class Raw:
    """One cell as text. `kind` is what a spreadsheet says of it; CSV knows only `text`.

    `formula` is one that was never calculated, `merged` a cell that a merge has swallowed. `number` is what a cell
    that is shown as a percentage holds.
    """

    text: str = ""
    kind: Kind = "text"
    number: str = ""

    @property
    def blank(self) -> bool:
        """Whether the person sees nothing here."""
        return self.kind != "formula" and not self.text.strip()


BLANK = Raw()


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is not blank. `number` is what the person sees beside it; `broken` the text of an unreadable one."""

    number: int
    cells: tuple[Raw, ...]
    broken: str = ""


@dataclass(frozen=True)
class Merge:
    """A merged range, rows and columns from 1, both ends included."""

    name: str
    first_row: int
    first_column: int
    last_row: int
    last_column: int

    def swallows(self, row: int, column: int) -> bool:
        """Whether the cell is inside the range and not its first, which alone keeps its value."""
        inside = self.first_row <= row <= self.last_row and self.first_column <= column <= self.last_column
        return inside and (row, column) != (self.first_row, self.first_column)


@dataclass(frozen=True)
class Grid:
    """The sheet before it is understood. `name` stands before the `!` in messages.

    `ragged` says that lines may be longer or shorter than the header by mistake (CSV), `others` names the visible
    worksheets that are not read, `options` is the one with the campaign's options.
    """

    name: str
    lines: tuple[Line, ...]
    problems: tuple[Problem, ...] = ()
    ragged: bool = False
    encoding: str = ""
    delimiter: str = ""
    merges: tuple[Merge, ...] = ()
    hidden_rows: frozenset[int] = field(default_factory=frozenset)
    others: tuple[str, ...] = ()
    options: Grid | None = None

    def rows_below(self, merge: Merge) -> range:
        """The rows of a merge that are not its first, down to the last one of the sheet."""
        return range(merge.first_row + 1, min(merge.last_row, self.lines[-1].number) + 1)


def letters(index: int) -> str:
    """The letters of a column: 0 is `A`, 26 is `AA`."""
    text, rest = "", index + 1
    while rest:
        rest, digit = divmod(rest - 1, 26)
        text = chr(ord("A") + digit) + text
    return text


def column_index(cell: str) -> int:
    """The column of a cell's name, from 0: `C14` is 2; -1 where there is none."""
    index = 0
    for letter in itertools.takewhile(_LETTERS.__contains__, cell):
        index = index * 26 + ord(letter) - ord("A") + 1
    return index - 1


FORMULA_STARTS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"  # the last four are full-width forms of the first four
_NEUTRALISED = re.compile(rf"\A'(?=[{re.escape(FORMULA_STARTS)}])")
_PLAIN_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x85\u2028\u2029\ufeff]")
_BLANKS = re.compile(r"[\u00a0\u2007\u202f\u3000]")
# At the ends of a cell: blanks of all kinds, and characters without width, which are copied from web pages unseen.
_UNSEEN = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\u200b\u200e\u200f\u2060"


def cut(text: str) -> str:
    """The text, or as much of it as says that it is too long for a cell."""
    return text[: MOST_CELL_CHARACTERS + 1]


def clean(text: str) -> str:
    """What a cell says: one kind of blank and none at the ends, no control characters, without the `'` of `neutral`."""
    if text.isascii() and text.isprintable() and "'" not in text and "_x000D_" not in text:
        return text.strip()  # most cells, five times as fast
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("_x000D_", "")
    text = _BLANKS.sub(" ", _CONTROLS.sub(" ", text)).strip(_UNSEEN)
    return _NEUTRALISED.sub("", text).strip(_UNSEEN)


def neutral(text: str) -> str:
    """The text so that no spreadsheet takes it for a formula (OWASP ASVS 1.2.10); plain numbers stay as they are."""
    if text.startswith(tuple(FORMULA_STARTS)) and not _PLAIN_NUMBER.fullmatch(text):
        return "'" + text
    return text
