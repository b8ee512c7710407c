"""What a file is, by its bytes: encodings, kinds that are refused, limits before any parsing."""

from __future__ import annotations

import io
import zipfile

import pytest
from fakes.sheets import CATALOGUE, read_text, told, with_part, workbook

from assetline.sheet import Limits, read_sheet

SHEET = 'id,prompt\n1,"a café – 5 €"\n'
WORKBOOK = workbook([["prompt"], ["a shoe"]])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_is_read_without_a_word(encoding: str) -> None:
    sheet = read_text(SHEET, encoding=encoding)
    assert ([row.prompt for row in sheet.rows], sheet.problems) == (["a café – 5 €"], ())


def test_windows_1252_is_read_with_a_warning_that_shows_a_word() -> None:
    sheet = read_text(SHEET, encoding="cp1252")
    assert [row.prompt for row in sheet.rows] == ["a café – 5 €"]
    assert told(sheet) == [("encoding-guessed", "")]
    assert str(sheet.problems[0]) == (
        "Campaign.csv: The text is not UTF-8; it was read as Windows-1252. "
        'The first word with an accent reads "café". Look at the accents; save it as CSV UTF-8.'
    )


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        (b"", "file-empty", "nothing"),
        (b"\xef\xbb\xbf \r\n", "file-empty", "nothing"),
        (b"prompt\na\x00b\n", "file-nul", "line 2"),
        ("prompt\nshoe\n".encode("utf-16-le"), "file-nul", "NUL"),
        ("prompt\né è ê\n".encode() + b"\xe9\n", "file-encoding", "line 3"),
        (b"\xff\xfep\x00r", "file-encoding", "UTF-16"),
        (b"prompt\n\x81\x8d\n", "file-encoding", "neither UTF-8 nor Windows-1252"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "file-old-excel", ".xls"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"),
            "file-password",
            "password",
        ),
        (b"%PDF-1.7\n", "file-unsupported", "a PDF"),
        (b"<html><table><tr>", "file-unsupported", "web page"),
        (b"PK\x03\x04 and no more", "file-damaged", "cut short"),
        (WORKBOOK[:-200], "file-damaged", "cut short"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(data: bytes, code: str, says: str) -> None:
    sheet = read_sheet("plan.csv", data, CATALOGUE)
    assert (told(sheet), sheet.rows) == ([(code, "")], ())
    assert says in sheet.problems[0].message


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ({"content.xml": b""}, "OpenDocument"),
        ({"xl/workbook.bin": b""}, "binary Excel"),
        ({"photo.png": b""}, "ZIP archive"),
        (
            {"[Content_Types].xml": b"", "xl/workbook.xml": b'<workbook xmlns="http://purl.oclc.org/ooxml/x"/>'},
            "Strict Open XML",
        ),
    ],
)
def test_an_archive_that_is_no_workbook_is_named(members: dict[str, bytes], what: str) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    sheet = read_sheet("plan.xlsx", out.getvalue(), CATALOGUE)
    assert told(sheet) == [("file-unsupported", "")]
    assert what in sheet.problems[0].message


def test_the_bytes_decide_and_a_wrong_extension_is_a_warning() -> None:
    text, book = read_text("prompt\na shoe\n", "plan.xlsx"), read_sheet("plan.csv", WORKBOOK, CATALOGUE)
    assert [told(sheet) for sheet in (text, book)] == [[("file-extension", "")]] * 2
    assert [row.prompt for sheet in (text, book) for row in sheet.rows] == ["a shoe", "a shoe"]


def test_a_file_above_the_limit_is_not_opened() -> None:
    sheet = read_sheet("plan.csv", b"prompt\n" + b"\xff" * 100, CATALOGUE, Limits(file_bytes=100))
    assert [problem.message for problem in sheet.problems] == ["The file has more than 100 bytes."]


def test_a_workbook_that_unpacks_beyond_the_limit_is_not_opened() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", b"")
        archive.writestr("xl/worksheets/sheet1.xml", b" " * 3_000_000)
    sheet = read_sheet("plan.xlsx", out.getvalue(), CATALOGUE, Limits(unpacked_bytes=1_000_000))
    assert len(out.getvalue()) < 10_000
    assert told(sheet) == [("file-bomb", "")]


@pytest.mark.parametrize(
    "declaration",
    [
        '<!DOCTYPE x [<!ENTITY a "b">]>',
        '<?xml version="1.0"?><!-- first --><!DOCTYPE x SYSTEM "http://127.0.0.1/x">',
    ],
)
def test_a_document_type_definition_is_refused(declaration: str) -> None:
    part = "xl/worksheets/sheet1.xml"
    data = with_part(WORKBOOK, part, lambda xml: declaration + xml.split("?>")[-1])
    sheet = read_sheet("plan.xlsx", data, CATALOGUE)
    assert told(sheet) == [("file-doctype", "")]
    assert part in sheet.problems[0].message


def test_a_document_type_definition_is_found_in_another_encoding() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(WORKBOOK)) as archive, zipfile.ZipFile(out, "w") as copied:
        for member in archive.namelist():
            copied.writestr(member, archive.read(member))
        copied.writestr("xl/evil.bin", '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE x><x/>'.encode("utf-16"))
    assert told(read_sheet("plan.xlsx", out.getvalue(), CATALOGUE)) == [("file-doctype", "")]


@pytest.mark.parametrize(
    "make",
    [lambda rows: "\n".join(["prompt", *rows]).encode(), lambda rows: workbook([["prompt"], *([row] for row in rows)])],
)
def test_more_rows_than_the_limit_are_an_error(make) -> None:
    limits = Limits(rows=20)
    full, over = (read_sheet("plan", make(["a shoe"] * count), CATALOGUE, limits) for count in (20, 40))
    assert [code for code, _ in told(full) if code != "file-extension"] == []
    assert [code for code, _ in told(over) if code != "file-extension"] == ["too-many-rows"]
    assert len(over.rows) == 20
