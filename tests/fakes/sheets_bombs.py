"""Sheets that are made to take all memory or all time, each below the limits on files."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable, Iterator

from fakes.sheets import workbook
from fakes.sheets_corpus import MAIN, shared

MEGABYTE = 1_000_000
PART = "xl/worksheets/sheet1.xml"
HEAD = f'<worksheet xmlns="{MAIN}"><sheetData><row><c t="inlineStr"><is><t>prompt</t></is></c></row>'.encode()
TAIL = b"</sheetData></worksheet>"


def _with(part: str, pieces: Iterator[bytes], source: bytes) -> bytes:
    """The workbook with a part written piece by piece: the test itself shall not take the memory."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(source)) as archive, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as copied:
        for member in archive.namelist():
            if member != part:
                copied.writestr(member, archive.read(member))
        with copied.open(part, "w", force_zip64=True) as opened:
            for piece in pieces:
                opened.write(piece)
    return out.getvalue()


def _rows(piece: bytes, megabytes: int = 150) -> Callable[[], bytes]:
    block = piece * (MEGABYTE // len(piece))

    def pieces() -> Iterator[bytes]:
        yield HEAD
        for _ in range(megabytes):
            yield block
        yield TAIL

    return lambda: _with(PART, pieces(), workbook([["prompt"], ["x"]]))


def _part(part: str, start: bytes, piece: bytes, end: bytes) -> Callable[[], bytes]:
    block = piece * (MEGABYTE // len(piece))

    def pieces() -> Iterator[bytes]:
        yield start
        for _ in range(150):
            yield block
        yield end

    return lambda: _with(part, pieces(), shared(workbook([["prompt"], ["x"]])))


def _members() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as written:
        written.writestr("[Content_Types].xml", "")
        for number in range(40_000):
            written.writestr(f"xl/media/{number}", "")
    return out.getvalue()


SST = f'<sst xmlns="{MAIN}">'.encode()
STYLES = f'<styleSheet xmlns="{MAIN}"><cellXfs>'.encode()
BOMBS: dict[str, Callable[[], bytes]] = {
    "line-ends.csv": lambda: b"prompt\n" + b"\n" * (19 * MEGABYTE),
    "commas.csv": lambda: b"prompt\n" + b"," * (19 * MEGABYTE),
    "one-cell.csv": lambda: b"prompt\n" + b"a" * (19 * MEGABYTE),
    "blanks.csv": lambda: b"prompt\n" + b" " * (19 * MEGABYTE) + b"x",
    "quotation-marks.csv": lambda: b"prompt\n" + b'"' * (19 * MEGABYTE),
    "open-lines.csv": lambda: b"prompt\n" + b'"a\n' * MEGABYTE,
    "noise.csv": lambda: random.Random(1).randbytes(19 * MEGABYTE),
    "nul.csv": lambda: b"prompt\n" + bytes(19 * MEGABYTE),
    "cells.csv": lambda: b"prompt\n" + (b"x," * 900 + b"x\n") * 10_000,
    "faults.csv": lambda: b"prompt,size,steps,seed,style\n" + b",big,x,y,z\n" * 9_999,
    "lists.csv": lambda: b"id,prompt,style\n" + b"".join(b"%d,a,%s\n" % (n, b"x%d;" % n * 200) for n in range(9_999)),
    "rows.xlsx": _rows(b"<row><c><v>1</v></c></row>"),
    "cells.xlsx": _rows(b"<c><v>1</v></c>"),
    "blank-rows.xlsx": _rows(b"<row/>"),
    "deep.xlsx": _rows(b"<a>"),
    "long-tag.xlsx": _part(PART, HEAD + b'<row><c r="', b"A", b'1"/></row>' + TAIL),
    "comment.xlsx": _part(PART, b"<!--", b" ", b"-->" + HEAD + TAIL),
    "texts.xlsx": _part("xl/sharedStrings.xml", SST, b"<si><t/></si>", b"</sst>"),
    "formats.xlsx": _part("xl/styles.xml", STYLES, b"<xf/>", b"</cellXfs></styleSheet>"),
    "merges.xlsx": _part(PART, HEAD + b"</sheetData><mergeCells>", b'<mergeCell ref="A1:B20000"/>', b"</mergeCells></worksheet>"),
    "unpacks.xlsx": _part(PART, HEAD, b" " * 1_000, TAIL + b" " * (60 * MEGABYTE)),
    "members.xlsx": _members,
}  # fmt: skip
