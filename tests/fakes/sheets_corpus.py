"""Sheets as people make them, written by code: what is wrong with each by code, row and column, or what it must say."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fakes.sheets import workbook

from assetline.sheet import Limits

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATION = (
    '<Relationship Id="rShared" Target="sharedStrings.xml" '
    'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings"/>'
)

Fault = tuple[str, int | None, str]  # code, row as the person sees it, letters of the column


@dataclass(frozen=True)
class Broken:
    """A file with planted faults, in the order in which they must be told; nothing else may be."""

    name: str
    data: Callable[[], bytes]
    faults: tuple[Fault, ...]
    file_name: str = ""
    limits: Limits = field(default_factory=Limits)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Good:
    """A file without faults. `rows` are the fields of each row that matter, with its number."""

    name: str
    data: Callable[[], bytes]
    rows: tuple[dict[str, Any], ...]
    file_name: str = ""

    def __str__(self) -> str:
        return self.name


def csv(text: str, encoding: str = "utf-8") -> Callable[[], bytes]:
    """A text file."""
    return lambda: text.encode(encoding)


def raw(data: bytes) -> Callable[[], bytes]:
    """Bytes as they are."""
    return lambda: data


def xlsx(rows: list[list[Any]], change: Callable[[Any], object] = lambda _: None) -> Callable[[], bytes]:
    """A workbook of one worksheet `Campaign`."""
    return lambda: workbook(rows, change)


def shared(data: bytes) -> bytes:
    """A workbook as Excel writes it: texts in a part of their own (openpyxl writes them into the cells)."""
    texts: list[str] = []

    def number(found: re.Match[str]) -> str:
        texts.append(found[2])
        return f'{found[1]} t="s"><v>{len(texts) - 1}</v></c>'

    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as copied:
        for member in archive.namelist():
            content = archive.read(member).decode()
            if member.startswith("xl/worksheets/"):
                content = re.sub(r'(<c r="\w+"(?: s="\d+")?) t="inlineStr"><is>(.*?)</is></c>', number, content)
            if member == "xl/_rels/workbook.xml.rels":
                content = content.replace("</Relationships>", f"{RELATION}</Relationships>")
            copied.writestr(member, content)
        items = "".join(f"<si>{text}</si>" for text in texts)
        copied.writestr("xl/sharedStrings.xml", f'<sst xmlns="{MAIN}">{items}</sst>')
    return out.getvalue()


def row(number: int, prompt: str, **fields: Any) -> dict[str, Any]:
    """What a row must be."""
    return {"number": number, "prompt": prompt, **fields}
