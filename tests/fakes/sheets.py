"""Sheets for tests: a small catalogue, workbooks made cell by cell, and problems in short form."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

from openpyxl import Workbook

from assetline.catalogue import Catalogue, Channel, Style
from assetline.sheet import Sheet, read_sheet

CATALOGUE = Catalogue(
    styles={
        "minimalist": Style(name="Minimalist", prompt="clean"),
        "product_photography": Style(name="Product Photography", prompt="studio"),
    },
    channels={
        "instagram_feed": Channel(name="instagram_feed", width=1080, height=1350, render=(896, 1120), source="test"),
        "instagram_story": Channel(name="instagram_story", width=1080, height=1920, render=(720, 1280), source="test"),
        "facebook_feed": Channel(name="facebook_feed", width=1080, height=1350, render=(896, 1120), source="test"),
    },
)


def read_text(text: str, file_name: str = "Campaign.csv", encoding: str = "utf-8") -> Sheet:
    """Read a sheet that is written out in the test."""
    return read_sheet(file_name, text.encode(encoding), CATALOGUE)


def workbook(rows: list[list[Any]], change: Callable[[Any], object] = lambda _: None) -> bytes:
    """An XLSX file of one worksheet `Campaign`; `change` is given the worksheet before it is saved."""
    book = Workbook()
    sheet = book.active
    sheet.title = "Campaign"
    for row in rows:
        sheet.append(row)
    change(sheet)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def read_workbook(rows: list[list[Any]], change: Callable[[Any], object] = lambda _: None) -> Sheet:
    """Read an XLSX file that is written out in the test."""
    return read_sheet("campaign.xlsx", workbook(rows, change), CATALOGUE)


def with_part(data: bytes, part: str, change: Callable[[str], str]) -> bytes:
    """The archive with one of its parts changed as text."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(out, "w") as copied:
        for member in archive.namelist():
            content = archive.read(member)
            copied.writestr(member, change(content.decode()) if member == part else content)
    return out.getvalue()


def told(sheet: Sheet) -> list[tuple[str, str]]:
    """Every problem as its code and its place: `("size-unreadable", "C3")`, with the row where there is no cell."""
    return [(problem.code, problem.cell or (f"row {problem.row}" if problem.row else "")) for problem in sheet.problems]
