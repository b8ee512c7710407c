"""The parts of a workbook that grow with its rows, in one pass of expat each and within a budget of cells."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from xml.parsers import expat

from assetline.sheet.grid import BLANK, MOST_COLUMNS, Limits, Line, Raw, column_index, cut
from assetline.sheet.xlsx_package import Attributes, OversizedError, Package, Percentage, Pieces, feed

BLANK_ROWS = 100  # so many in a row end the sheet: formatted blank rows may reach down to row 1,048,576

MOST_MERGES = 1_000  # every row is compared with every merge
TEXTS = ("str", "inlineStr")  # kinds of cells that hold their text themselves

_EPOCH_1900, _EPOCH_1904 = datetime(1899, 12, 30), datetime(1904, 1, 1)  # noqa: DTZ001 - cells have no zone
_LEAP_BUG = 60  # serial of 29 February 1900, which Excel has and the world had not
EXACT = 10.0**15  # spreadsheets keep fifteen digits

_DIGITS = "0123456789"
_VALUE = re.compile(rb"<(?:\w+:)?(?:v>[^<\s]|is>)")
_CELL = re.compile(rb"""\br=["'][A-Z]+(\d{1,8})["']""")
_MERGE = re.compile(rb"""<(?:\w+:)?mergeCell\s[^>]*?\bref=["']([A-Z]+\d+:[A-Z]+\d+)["']""")
_OVERLAP_BYTES = 1_000  # kept of the piece before, so that nothing that is looked for is cut in two


class _EnoughError(Exception):
    """Raised inside the parser where the rest of the rows is not wanted."""


@dataclass(frozen=True)
class Rows:
    """What a worksheet holds: its lines that are not blank, merged ranges by name, numbers of hidden rows.

    `row_below` is the first row with a value below the gap that ended the sheet; 0 where there is none.
    """

    lines: tuple[Line, ...]
    merges: tuple[str, ...]
    hidden: frozenset[int]
    row_below: int = 0


def read_texts(archive: zipfile.ZipFile, part: str, limits: Limits) -> list[str]:
    """The shared texts of a workbook, by their number. Raises OversizedError, ExpatError."""
    if not part:
        return []
    texts = _Texts(limits.cells)
    feed(_parser(texts), Pieces(archive, part))
    return texts.found


def read_rows(archive: zipfile.ZipFile, part: str, cells: Cells, limits: Limits) -> Rows:
    """The rows of a worksheet, to the first long gap or to the limit. Raises OversizedError, ExpatError."""
    rows = _Rows(cells, limits)
    parser = _parser(rows)
    pieces = Pieces(archive, part)
    row_below = 0
    try:
        feed(parser, pieces)
    except _EnoughError:
        rest = pieces.last[len(pieces.last) - (pieces.count - parser.CurrentByteIndex) :]
        if len(rows.merges) < MOST_MERGES:
            row_below, further = _look_further(rest, iter(pieces), below=rows.blank_rows > BLANK_ROWS)
            rows.merges += further
    return Rows(tuple(rows.lines), tuple(rows.merges[:MOST_MERGES]), frozenset(rows.hidden), row_below)


def _parser(handlers: _Texts | _Rows) -> expat.XMLParserType:
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = handlers.start, handlers.end
    parser.CharacterDataHandler = handlers.text
    return parser


def _look_further(rest: bytes, pieces: Iterator[bytes], *, below: bool) -> tuple[int, list[str]]:
    """In what was not parsed: the first row that has a value (0: none, or not asked for), and the merged ranges."""
    row, merges, window = 0, dict[str, None](), rest
    while window and len(merges) < MOST_MERGES:
        value = _VALUE.search(window) if below and (b"v>" in window or b"is>" in window) else None
        if value:
            below, row = False, int([b"0", *_CELL.findall(window, 0, value.start())][-1])
        if b"mergeCell" in window:
            merges |= dict.fromkeys(name.decode() for name in _MERGE.findall(window))
        piece = next(pieces, b"")
        window = window[-_OVERLAP_BYTES:] + piece if piece else b""
    return row, list(merges)


class _Texts:
    """The shared texts: runs of one text are joined, readings in kana (`rPh`) left out."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.found: list[str] = []
        self.parts: list[str] = []
        self.wanted = False
        self.reading = False

    def start(self, tag: str, _: Attributes) -> None:
        name = tag.rpartition(":")[2]
        if name == "si":
            self.parts = []
        elif name == "t":
            self.wanted = not self.reading
        elif name == "rPh":
            self.reading = True

    def end(self, tag: str) -> None:
        name = tag.rpartition(":")[2]
        if name == "si":
            if len(self.found) == self.most:
                raise OversizedError(f"The workbook has more than {self.most:,} texts.", "too-many-cells")
            self.found.append(cut("".join(self.parts)))
        elif name == "t":
            self.wanted = False
        elif name == "rPh":
            self.reading = False

    def text(self, text: str) -> None:
        if self.wanted:
            self.parts.append(text)


class _Rows:
    """The handlers of a worksheet: `lines` fills up, merges and hidden rows are noted."""

    def __init__(self, cells: Cells, limits: Limits) -> None:
        self.cells, self.most_lines, self.most_cells = cells, limits.lines, limits.cells
        self.lines: list[Line] = []
        self.merges: list[str] = []
        self.hidden: list[int] = []
        self.blank_rows = self.number = self.index = self.count = 0
        self.row: list[Raw] = []
        self.kind, self.style, self.formula = "", "", False
        self.value: list[str] | None = None
        self.wanted = self.reading = False
        self.columns: dict[str, int] = {}

    def start(self, tag: str, attributes: Attributes) -> None:
        name = tag.rpartition(":")[2]
        if name == "c":
            place = attributes.get("r", "").rstrip(_DIGITS)
            self.index = self.column(place) if place else self.index + 1
            self.kind, self.style = attributes.get("t", "n"), attributes.get("s", "")
            self.value, self.formula = None, False
        elif name in {"v", "t"}:
            self.value = [] if self.value is None else self.value
            self.wanted = not self.reading
        elif name == "rPh":
            self.reading = True
        elif name == "f":
            self.formula = True
        elif name == "row":
            self.next_row(attributes)
        elif name == "mergeCell":
            self.merges.append(attributes["ref"])
            if len(self.merges) == MOST_MERGES:
                raise _EnoughError

    def end(self, tag: str) -> None:
        name = tag.rpartition(":")[2]
        if name == "c":
            self.take_cell()
        elif name in {"v", "t"}:
            self.wanted = False
        elif name == "rPh":
            self.reading = False
        elif name == "row":
            self.take_row()

    def text(self, text: str) -> None:
        if self.wanted and self.value is not None:
            self.value.append(text)

    def column(self, place: str) -> int:
        if place not in self.columns:
            self.columns[place] = column_index(place)
        return self.columns[place]

    def next_row(self, attributes: Attributes) -> None:
        number = int(float(attributes["r"])) if "r" in attributes else self.number + 1
        self.blank_rows += max(number - self.number - 1, 0)
        self.number, self.index, self.row = number, -1, []
        if self.blank_rows > BLANK_ROWS:
            raise _EnoughError
        if attributes.get("hidden") in {"1", "true"}:
            self.hidden.append(number)

    def take_cell(self) -> None:
        self.count += 1
        if self.count > self.most_cells:
            message = f"The worksheet has more than {self.most_cells:,} cells, blank ones included."
            raise OversizedError(message, "too-many-cells")
        if self.index > MOST_COLUMNS:
            return
        value = None if self.value is None else cut("".join(self.value))
        raw = self.cells.raw(self.kind, self.style, value, formula=self.formula)
        if raw is not BLANK:
            self.row.extend([BLANK] * (self.index - len(self.row)))
            self.row[self.index :] = [raw]

    def take_row(self) -> None:
        if all(raw.blank for raw in self.row):
            self.blank_rows += 1
        else:
            self.blank_rows = 0
            self.lines.append(Line(self.number, tuple(self.row)))
        if self.blank_rows > BLANK_ROWS or len(self.lines) == self.most_lines:
            raise _EnoughError


@dataclass(frozen=True)
class Cells:
    """Turns a cell's XML into text as it is shown: `1024.0` is `1024`, `123` formatted `00000` is `00123`."""

    package: Package
    texts: list[str] = field(repr=False)

    def raw(self, kind: str, style: str, value: str | None, *, formula: bool) -> Raw:
        """One cell. Raises ValueError, IndexError, OverflowError for what no spreadsheet program writes."""
        if value is None or (not value and kind not in TEXTS):
            return Raw(kind="formula") if formula and kind != "str" else BLANK
        if kind == "s":
            return Raw(self.texts[int(value)])
        if kind in TEXTS:
            return Raw(value)
        return self._other(kind, style, value)

    def _other(self, kind: str, style: str, value: str) -> Raw:
        match kind:
            case "b":
                return Raw("TRUE" if int(value) else "FALSE", "truth")
            case "e":
                return Raw(value, "error")
            case "d":
                return _date(datetime.fromisoformat(value))
        shown = self.package.formats.get(int(style)) if style else None
        if isinstance(shown, str):
            return self._moment(float(value), shown)
        if isinstance(shown, Percentage):
            return Raw(_percent(float(value), shown), "number", plain(float(value)))
        text = value.strip()
        return Raw(plain(int(text) if text.isdecimal() else float(text), shown or 0), "number")

    def _moment(self, serial: float, shown: str) -> Raw:
        """A number that its format shows as a date or a time, rounded to milliseconds."""
        if shown == "duration":
            return Raw(str(timedelta(seconds=round(serial * 86_400))), "date")
        try:
            if 0 <= serial < 1:
                return _clock((_EPOCH_1904 + timedelta(milliseconds=round(serial * 86_400_000))).time())
            early = 0 < serial < _LEAP_BUG and not self.package.from_1904
            epoch = _EPOCH_1904 if self.package.from_1904 else _EPOCH_1900
            moment = epoch + timedelta(days=int(serial // 1) + early, milliseconds=round(serial % 1 * 86_400_000))
        except OverflowError:
            return Raw("#VALUE!", "error")
        return _date(moment)


def _clock(moment: time) -> Raw:
    return Raw(moment.isoformat("seconds" if moment.second else "minutes"), "time")


def _date(moment: datetime) -> Raw:
    return Raw(str(moment) if moment.time() != time() else moment.date().isoformat(), "date")


def _percent(value: float, shown: Percentage) -> str:
    """`0.125` formatted `0%` is `13%`: half is rounded up, as spreadsheets do."""
    if not abs(value) < EXACT:
        return plain(value)
    hundredfold = Decimal(f"{value:.15g}") * 100
    return f"{hundredfold.quantize(Decimal(1).scaleb(-shown.decimals), ROUND_HALF_UP):f}%"


def plain(value: float, digits: int = 0) -> str:
    """A number as text: fifteen digits, as spreadsheets keep them, no exponent, zeros in front up to `digits`."""
    if isinstance(value, float) and not value.is_integer():
        return format(Decimal(f"{value:.15g}"), "f")
    return str(int(value)).zfill(digits)
