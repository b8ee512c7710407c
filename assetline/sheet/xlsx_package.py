"""The plan of a workbook: its worksheets, its shared texts, and which cell formats are dates or leading zeros.

Parsed by expat, which keeps nothing: a whole tree of a part of 20 MB takes 400 MB, and openpyxl refuses workbooks
for a font that it does not know.
"""

from __future__ import annotations

import posixpath
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal
from xml.parsers import expat

MOST_PLAN_BYTES = 20_000_000  # of each part but worksheets and shared texts; the styles of a large workbook have 5 MB
CHUNK_BYTES = 262_144
LONGEST_TAG_BYTES = 2_000_000  # expat 2.5 reads an unfinished tag from its start again with every piece
DATE_FORMATS = {*range(14, 18), 22, *range(27, 32), 34, 35, 36, *range(50, 59)}  # ECMA-376 18.8.30, numFmtId
TIME_FORMATS = {18, 19, 20, 21, 32, 33, 45, 47}
DURATION_FORMATS = {46}

_LITERAL = re.compile(r"\"[^\"]*\"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]", re.IGNORECASE)
_PERCENT = re.compile(r"[#,0]*0(?:\.(0{1,9}))? ?%")
_ZEROS = re.compile(r"0{1,80}")

MOST_OPEN_TAGS = 10_000  # at a time; no part of a workbook nests deeper than twenty
MOST_PLAN_TAGS = 500_000  # of each part but worksheets and shared texts

Attributes = dict[str, str]


@dataclass(frozen=True)
class Percentage:
    """The format of a number that is shown a hundred times as large, with a percent sign."""

    decimals: int


# A whole number: so many digits, with zeros before them. A percentage: with so many decimals.
Format = Literal["date", "time", "duration"] | int | Percentage


class OversizedError(Exception):
    """A part holds more than can be read within the memory and the time that a sheet may take."""

    def __init__(self, message: str, code: str = "file-bomb") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Worksheet:
    """A worksheet and the part of the archive that holds its cells."""

    title: str
    part: str
    visible: bool


@dataclass(frozen=True)
class Package:
    """What a workbook's cells cannot be read without. `formats` has the cell formats that change what is shown."""

    worksheets: tuple[Worksheet, ...]
    texts_part: str
    formats: dict[int, Format]
    from_1904: bool


def read_package(archive: zipfile.ZipFile) -> Package:
    """Follow the archive's relations from its root. Raises KeyError, ValueError, ExpatError where they are broken."""
    root = next((target for kind, target in _relations(archive, "").values() if kind == "officeDocument"), "")
    book = root or "xl/workbook.xml"
    relations = _relations(archive, book)
    listed = _Book()
    parse(archive, book, start=listed.start)
    parts = {kind: target for kind, target in relations.values() if kind in {"styles", "sharedStrings"}}
    worksheets = [
        Worksheet(title, relations[key][1], state == "visible")
        for title, key, state in listed.sheets
        if relations[key][0] == "worksheet"
    ]
    return Package(
        tuple(worksheets), parts.get("sharedStrings", ""), _formats(archive, parts.get("styles", "")), listed.from_1904
    )


def parse(
    archive: zipfile.ZipFile,
    part: str,
    *,
    start: Callable[[str, Attributes], object],
    end: Callable[[str], object] = lambda _: None,
) -> None:
    """Feed a small part to handlers, names without their prefix. Raises OversizedError, KeyError, ExpatError."""
    if archive.getinfo(part).file_size > MOST_PLAN_BYTES:
        raise OversizedError(f"The workbook's part {part} has more than {MOST_PLAN_BYTES:,} bytes.")
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda tag, attributes: start(tag.rpartition(":")[2], attributes)
    parser.EndElementHandler = lambda tag: end(tag.rpartition(":")[2])
    feed(parser, Pieces(archive, part, MOST_PLAN_TAGS))


class Pieces:
    """A part of an archive piece by piece, so that it never stands whole in memory; `last` is the newest piece."""

    def __init__(self, archive: zipfile.ZipFile, part: str, most_tags: int = sys.maxsize) -> None:
        self.opened, self.part = archive.open(part), part
        self.tags_left = most_tags
        self.last = b""
        self.count = 0

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.opened.read(CHUNK_BYTES):
            self.last = piece
            self.count += len(piece)
            self.tags_left -= piece.count(b"<")
            if self.tags_left < 0:
                raise OversizedError(f"The workbook's part {self.part} has more than {MOST_PLAN_TAGS:,} tags.")
            yield piece


def feed(parser: expat.XMLParserType, pieces: Pieces) -> None:
    """Parse a part. Raises ExpatError; ValueError for what expat would take hours or all memory over.

    That is a tag without an end, and tags that are opened and never closed.
    """
    open_tags = 0
    for piece in pieces:
        open_tags += piece.count(b"<") - 2 * piece.count(b"</") - piece.count(b"/>")  # about: a tag may be cut in two
        if open_tags - piece.count(b"<!") - piece.count(b"<?") > MOST_OPEN_TAGS:
            raise ValueError(open_tags)
        parser.Parse(piece, False)
        if pieces.count - parser.CurrentByteIndex > LONGEST_TAG_BYTES:
            raise ValueError(pieces.count)
    parser.Parse(b"", True)


def _relations(archive: zipfile.ZipFile, part: str) -> dict[str, tuple[str, str]]:
    """Kind and target of each relation of a part, by its id."""
    folder, name = posixpath.split(part)
    found: dict[str, tuple[str, str]] = {}

    def start(tag: str, attributes: Attributes) -> None:
        if tag == "Relationship" and attributes.get("TargetMode") != "External":
            target = attributes["Target"]
            whole = target.lstrip("/") if target.startswith("/") else posixpath.normpath(f"{folder}/{target}")
            found[attributes["Id"]] = (attributes["Type"].rpartition("/")[2], whole.lstrip("/"))

    parse(archive, f"{folder}/_rels/{name}.rels".lstrip("/"), start=start)
    return found


@dataclass
class _Book:
    """Title, relation and state of each worksheet, in the order of the tabs."""

    sheets: list[tuple[str, str, str]] = field(default_factory=list)
    from_1904: bool = False

    def start(self, tag: str, attributes: Attributes) -> None:
        if tag == "sheet":
            key = next(value for name, value in attributes.items() if name.rpartition(":")[2] == "id" and ":" in name)
            self.sheets.append((attributes["name"], key, attributes.get("state", "visible")))
        elif tag == "workbookPr":
            self.from_1904 = attributes.get("date1904") in {"1", "true"}


def _formats(archive: zipfile.ZipFile, part: str) -> dict[int, Format]:
    """The formats of cells (their index in `cellXfs`) that are dates, times, durations or zeros."""
    codes: dict[int, str] = {}
    formats: dict[int, Format] = {}
    place = {"inside": 0, "index": 0}

    def start(tag: str, attributes: Attributes) -> None:
        if tag == "numFmt":
            codes[int(attributes["numFmtId"])] = attributes["formatCode"]
        elif tag == "cellXfs":
            place["inside"] = 1
        elif tag == "xf" and place["inside"]:
            number = int(attributes.get("numFmtId", 0))
            if shown := _format(number, codes.get(number, "")):
                formats[place["index"]] = shown
            place["index"] += 1

    def end(tag: str) -> None:
        if tag == "cellXfs":
            place["inside"] = 0

    if part in archive.namelist():
        parse(archive, part, start=start, end=end)
    return formats


def _format(number: int, code: str) -> Format | None:
    """What a number format makes of a number, as far as it matters; `code` is empty for the built-in ones."""
    if not code:
        kinds: tuple[tuple[set[int], Format], ...] = (
            (DATE_FORMATS, "date"),
            (TIME_FORMATS, "time"),
            (DURATION_FORMATS, "duration"),
            ({9}, Percentage(0)),
            ({10}, Percentage(2)),
        )
        return next((kind for numbers, kind in kinds if number in numbers), None)
    if _ZEROS.fullmatch(code):
        return len(code)
    plain = _LITERAL.sub("", code.partition(";")[0]).lower()
    if found := _PERCENT.fullmatch(plain):
        return Percentage(len(found[1] or ""))
    if re.search(r"\[[hms]+\]", plain):
        return "duration"
    if re.search(r"[dmy]", plain) and not re.search(r"[hs]", plain):
        return "date"
    return "time" if re.search(r"[dmyhs]", plain) and "general" not in plain else None
