"""What a file is, told by its first bytes and not by its name, and whether it is safe and small enough to open."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from pathlib import PurePath
from typing import Literal
from xml.parsers import expat

from assetline.errors import SheetError
from assetline.sheet.grid import Limits
from assetline.sheet.problems import file_problem

FileKind = Literal["text", "xlsx"]

ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_SIGNATURES = (
    (b"%PDF", "a PDF"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"{\\rtf", "an RTF document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
)
_MARKUP = re.compile(rb"\s*<(\?xml|!doctype html|html|head|body|table)\b", re.IGNORECASE)
_ZIP_KINDS = (
    ("xl/workbook.bin", "a binary Excel workbook (.xlsb)"),
    ("Index/Document.iwa", "an Apple Numbers document"),
    ("content.xml", "an OpenDocument file (.ods)"),
    ("word/document.xml", "a Word document"),
    ("ppt/presentation.xml", "a PowerPoint presentation"),
)
_CHUNK_BYTES = 65_536
_LARGE_PARTS = ("xl/worksheets/", "xl/media/", "xl/sharedStrings")
_MOST_PART_BYTES = 4_000_000
_MOST_TAGS = 150_000  # of all other parts; 20,000 cell formats have so many
_LONGEST_PROLOG_BYTES = 1_000_000  # before the root; what is longer is not looked through, and not trusted either
_MOST_MEMBERS = 10_000  # a workbook of 200 worksheets has a thousand


class _DoctypeError(Exception):
    """Raised inside the parser, so that no declaration after it is ever read."""


def file_kind(file_name: str, data: bytes, limits: Limits) -> FileKind:
    """Tell text from a workbook. Raises SheetError for anything that cannot be read or is not safe to open."""
    if len(data) > limits.file_bytes:
        raise refusal(
            file_name,
            "file-too-large",
            f"The file has more than {limits.file_bytes:,} bytes.",
        )
    if not data.strip(b"\x00\xef\xbb\xbf\xff\xfe \t\r\n"):
        raise refusal(file_name, "file-empty", "There is nothing in the file.")
    if data.startswith(b"PK\x03\x04"):
        check_workbook(file_name, data, limits)
        return "xlsx"
    _refuse_known_kinds(file_name, data)
    return "text"


def refusal(file_name: str, code: str, message: str, fix: str = "") -> SheetError:
    """The error for a file that cannot be read at all."""
    return SheetError([file_problem(file_name, code, message, fix)])


def wrong_extension(file_name: str, kind: FileKind) -> bool:
    """Whether the name promises a workbook and the content is text, or the other way round."""
    named_workbook = PurePath(file_name).suffix.lower() in {".xlsx", ".xlsm", ".xls"}
    return named_workbook != (kind == "xlsx")


def _refuse_known_kinds(file_name: str, data: bytes) -> None:
    if data.startswith(_OLE):
        if "EncryptedPackage".encode("utf-16-le") in data:
            raise refusal(file_name, "file-password", "The file is protected by a password.")
        raise refusal(file_name, "file-old-excel", "This is an old Excel workbook (.xls), which cannot be read.")
    what = next((name for start, name in _SIGNATURES if data.startswith(start)), "")
    if _MARKUP.match(data):
        what = "a web page or XML file, perhaps with a spreadsheet's name"
    if what:
        raise refusal(file_name, "file-unsupported", f"This is {what}, not a CSV, TSV or XLSX file.")


def check_workbook(file_name: str, data: bytes, limits: Limits) -> None:
    """Look at the archive before any of its XML is parsed: kind, unpacked size, document type definitions.

    Raises SheetError. Reading a member stops at the size that the directory declares, so the sum cannot lie.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_kind(file_name, archive)
            unpacked = sum(member.file_size for member in archive.infolist())
            if len(archive.filelist) > _MOST_MEMBERS:
                raise refusal(file_name, "file-bomb", f"The workbook has {len(archive.filelist):,} parts.")
            if unpacked > limits.unpacked_bytes:
                message = f"Unpacked, the workbook has {unpacked:,} bytes; {limits.unpacked_bytes:,} are allowed."
                raise refusal(file_name, "file-bomb", message)
            _check_parts(file_name, archive)
    except ZIP_FAULTS as fault:
        raise damaged(file_name) from fault


def xml_bytes(data: bytes) -> int:
    """How large a checked workbook is without its pictures, unpacked."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return sum(member.file_size for member in archive.infolist() if not member.filename.startswith("xl/media/"))


def has_usual_parts(data: bytes) -> bool:
    """Whether the parts of a checked workbook that hold no cells are of a usual size: trees are made of them."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        others = [member for member in archive.filelist if not member.filename.startswith(_LARGE_PARTS)]
        if any(member.file_size > _MOST_PART_BYTES for member in others):
            return False
        return sum(archive.read(member).count(b"<") for member in others) <= _MOST_TAGS


def damaged(file_name: str) -> SheetError:
    """The error for a workbook that no spreadsheet program could open either."""
    return refusal(file_name, "file-damaged", "The workbook is cut short or damaged.")


def _check_kind(file_name: str, archive: zipfile.ZipFile) -> None:
    names = set(archive.namelist())
    what = next((kind for member, kind in _ZIP_KINDS if member in names), "")
    if not what and "[Content_Types].xml" not in names:
        what = "a ZIP archive"
    if not what and "xl/workbook.xml" in names and b"purl.oclc.org/ooxml" in archive.read("xl/workbook.xml"):
        what = 'a "Strict Open XML" workbook'
    if what:
        raise refusal(file_name, "file-unsupported", f"This is {what}, not a CSV, TSV or XLSX file.")


def _check_parts(file_name: str, archive: zipfile.ZipFile) -> None:
    for member in archive.namelist():
        if _has_doctype(archive, member):
            message = f"The workbook's part {member} holds a document type definition; it was not opened."
            raise refusal(file_name, "file-doctype", message)


def _has_doctype(archive: zipfile.ZipFile, member: str) -> bool:
    """Parse up to the root element, before which alone a DOCTYPE may stand, in whatever encoding it is written."""
    parser = expat.ParserCreate()
    rooted = False

    def refuse(*_: object) -> None:
        raise _DoctypeError

    def found_root(*_: object) -> None:
        nonlocal rooted
        rooted = True

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = found_root
    try:
        with archive.open(member) as part:
            read = 0
            while not rooted and read <= _LONGEST_PROLOG_BYTES and (chunk := part.read(_CHUNK_BYTES)):
                parser.Parse(chunk, False)
                read += len(chunk)
        return not rooted and read > _LONGEST_PROLOG_BYTES
    except _DoctypeError:
        return True
    except (expat.ExpatError, LookupError):  # a picture, or XML that the reader of workbooks will not get over either
        return False
