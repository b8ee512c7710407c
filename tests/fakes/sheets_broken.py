"""The broken half of the corpus: every way in which a sheet goes wrong, by code, row and column."""

from __future__ import annotations

import io
import zipfile
from datetime import date, datetime, time
from typing import Any

from fakes.sheets import with_part, workbook
from fakes.sheets_corpus import Broken, csv, raw, shared, xlsx

from assetline.sheet import Limits

NINE = datetime(2026, 3, 4, 9)  # noqa: DTZ001 - cells have no zone
PART = "xl/worksheets/sheet1.xml"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ROWS: list[list[Any]] = [["id", "prompt", "size"], ["a", "a shoe", "4:5"], ["b", "a hat", "1:1"]]


def archive(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as written:
        for name, content in members.items():
            written.writestr(name, content)
    return out.getvalue()


def bomb() -> bytes:
    return archive({"[Content_Types].xml": b"", PART: b" " * 3_000_000})


def doctype() -> bytes:
    return with_part(workbook(ROWS), PART, lambda xml: "<!DOCTYPE x>" + xml)


def many_parts() -> bytes:
    return archive({"[Content_Types].xml": b"", **{f"xl/media/{number}": b"" for number in range(10_001)}})


def set_error(sheet: Any) -> None:
    sheet["C2"] = "#REF!"
    sheet["C2"].data_type = "e"


def merge(*names: str):
    return lambda sheet: [sheet.merge_cells(name) for name in names]


def hide(sheet: Any) -> None:
    sheet.sheet_state = "hidden"
    sheet.parent.create_sheet("Options").append(["style", "minimalist"])


def with_options(*lines: list[Any]):
    def change(sheet: Any) -> None:
        options = sheet.parent.create_sheet("Options")
        for line in lines:
            options.append(line)

    return change


def hide_row(sheet: Any) -> None:
    sheet.row_dimensions[3].hidden = True


def far_below(sheet: Any) -> None:
    sheet["B200"] = "a late one"


FILES = (
    Broken("nothing", raw(b""), (("file-empty", None, ""),)),
    Broken("blanks alone", raw(b"\xef\xbb\xbf \r\n\t"), (("file-empty", None, ""),)),
    Broken("a workbook without a cell", xlsx([]), (("file-empty", None, ""),)),
    Broken("too large", csv("prompt\n" + "x" * 200), (("file-too-large", None, ""),), limits=Limits(file_bytes=100)),
    Broken("a PDF", raw(b"%PDF-1.7\n"), (("file-unsupported", None, ""),), "plan.xlsx"),
    Broken("a picture", raw(b"\x89PNG\r\n\x1a\n"), (("file-unsupported", None, ""),), "plan.csv"),
    Broken("a web page named .xls", raw(b"<html><table>"), (("file-unsupported", None, ""),), "plan.xls"),
    Broken("OpenDocument", lambda: archive({"content.xml": b"<x/>"}), (("file-unsupported", None, ""),), "plan.ods"),
    Broken("a binary workbook", lambda: archive({"xl/workbook.bin": b""}), (("file-unsupported", None, ""),)),
    Broken("a ZIP of pictures", lambda: archive({"a.png": b""}), (("file-unsupported", None, ""),), "plan.xlsx"),
    Broken("old Excel", raw(OLE + b"\0" * 600), (("file-old-excel", None, ""),), "plan.xls"),
    Broken("protected", raw(OLE + "EncryptedPackage".encode("utf-16-le")), (("file-password", None, ""),), "plan.xlsx"),
    Broken("cut short", lambda: workbook(ROWS)[:-300], (("file-damaged", None, ""),), "plan.xlsx"),
    Broken(
        "a worksheet that is no XML",
        lambda: with_part(workbook(ROWS), PART, lambda xml: xml[:-40]),
        (("file-damaged", None, ""),),
        "plan.xlsx",
    ),
    Broken("a bomb", bomb, (("file-bomb", None, ""),), "plan.xlsx", Limits(unpacked_bytes=1_000_000)),
    Broken("a bomb of parts", many_parts, (("file-bomb", None, ""),), "plan.xlsx"),
    Broken("a document type", doctype, (("file-doctype", None, ""),), "plan.xlsx"),
    Broken("CSV named .xlsx", csv("prompt\na shoe\n"), (("file-extension", None, ""),), "plan.xlsx"),
    Broken("XLSX named .csv", xlsx(ROWS), (("file-extension", None, ""),), "plan.csv"),
    Broken("cut UTF-8", raw("prompt\né è ê\n".encode() + b"\xe9\n"), (("file-encoding", None, ""),)),
    Broken("cut UTF-16", raw(b"\xff\xfep\x00r"), (("file-encoding", None, ""),)),
    Broken("no known encoding", raw(b"prompt\n\x81\x8d\n"), (("file-encoding", None, ""),)),
    Broken("NUL bytes", raw(b"prompt\na\x00b\n"), (("file-nul", None, ""),)),
    Broken("UTF-16 without BOM", csv("prompt\nshoe\n", "utf-16-le"), (("file-nul", None, ""),)),
    Broken("Windows-1252", csv("prompt\na café – 5 €\n", "cp1252"), (("encoding-guessed", None, ""),)),
    Broken("no visible worksheet", xlsx(ROWS, hide), (("no-visible-sheet", None, ""),)),
    Broken("a hidden row", xlsx(ROWS, hide_row), (("rows-hidden", None, ""),)),
    Broken("a row far below", xlsx(ROWS, far_below), (("rows-after-gap", None, ""),)),
    Broken("too many rows", csv("prompt\n" + "x\n" * 30), (("too-many-rows", None, ""),), limits=Limits(rows=20)),
    Broken(
        "too many rows, XLSX", xlsx([["prompt"], *[["x"]] * 40]), (("too-many-rows", None, ""),), limits=Limits(rows=20)
    ),
    Broken("too many lines", csv("prompt\n" + "\n" * 1_200_001 + "x"), (("too-many-rows", None, ""),)),
    Broken(
        "too many cells",
        csv(",".join(["prompt", *(f"c{n}" for n in range(99))]) + ("\n" + ",".join("x" * 100)) * 19),
        (("too-many-cells", None, ""),),
        limits=Limits(rows=20),
    ),
    Broken(
        "too many cells, XLSX",
        xlsx([["prompt", *(f"c{n}" for n in range(99))], *[["x"] * 100] * 19]),
        (("too-many-cells", None, ""),),
        limits=Limits(rows=20),
    ),
)

HEADERS = (
    Broken("no prompt", csv("id,subject\n1,a shoe\n"), (("no-prompt-column", 1, ""),)),
    Broken("nearly prompt", csv("Spring\n\nid,promt\n1,a shoe\n"), (("no-prompt-column", 3, ""),)),
    Broken("a header alone", csv("id,prompt\n"), (("no-rows", None, ""),)),
    Broken("the same name twice", csv("prompt,a,A \nx,1,2\n"), (("header-twice", 1, "C"),)),
    Broken("the same meaning twice", xlsx([["prompt", "SKU", "item"], ["x", "a", "b"]]), (("header-twice", 1, "C"),)),
    Broken("a name and its synonym", csv("id,SKU,prompt\n1,A,a shoe\n"), (("header-synonym", 1, "B"),)),
    Broken(
        "nearly known",
        csv("prompt,Sampller,negatve_prompt\nx,1,y\n"),
        (("header-nearly", 1, "B"), ("header-nearly", 1, "C")),
    ),
    Broken("a column without a name", csv("prompt,,size\nx,lost,4:5\n"), (("header-blank", 1, "B"),)),
    Broken("values beside the header", xlsx([["prompt"], ["x", "lost"]]), (("header-blank", 1, "B"),)),
    Broken(
        "no such language",
        csv("prompt,prompt@german,size@de\nx,y,4:5\n"),
        (("header-language", 1, "B"), ("header-language", 1, "C")),
    ),
    Broken(
        "too many columns",
        csv(",".join(["prompt", *(f"c{number}" for number in range(300))]) + "\n" + "x," * 300 + "x\n"),
        (("too-many-columns", 1, "IW"),),
    ),
    Broken("an unknown option", xlsx(ROWS, with_options(["stile", "minimalist"])), (("option-unknown", None, "A"),)),
    Broken(
        "an option twice",
        xlsx(ROWS, with_options(["style", None], ["Style", "minimalist"])),
        (("option-twice", None, "A"),),
    ),
    Broken(
        "wrong options",
        xlsx(ROWS, with_options(["option", "value"], ["style", "bold"], ["variants", 99], ["max cost", "lots"])),
        (("style-unknown", None, "B"), ("number-range", None, "B"), ("not-number", None, "B")),
    ),
)

LINES = (
    Broken("an extra field", csv("id,prompt\n1,a shoe, red\n2,a hat\n"), (("row-long", 2, ""),)),
    Broken("an extra field in all rows", csv("id,prompt\n1,a,b\n2,c,d\n"), (("row-long", 2, ""), ("row-long", 3, ""))),
    Broken("a short row", csv("id,prompt,size\n1,a shoe\n"), (("row-short", 2, ""),)),
    Broken("an open quotation mark", csv('id,prompt\n1,"a shoe\n2,a hat\n'), (("quote-open", 2, ""),)),
    Broken("a quotation mark inside", csv('id,prompt\n1,"a "red" shoe"\n2,a hat\n'), (("quote-open", 2, ""),)),
    Broken("an open mark after a title", csv('Spring\n\nid;prompt\n1;a\n2;"b\n3;c\n'), (("quote-open", 5, ""),)),
    Broken("merged styles", xlsx([["prompt", "style"], ["a", "minimalist"], ["b"]], merge("B2:B3")), (("merged-cells", 2, "B"),)),
    Broken("merged ids", xlsx([["id", "prompt"], ["a", "x"], [None, "y"], ["c", "z"]], merge("A2:A3")), (("merged-cells", 2, "A"),)),
    Broken("no prompt in a row", csv("id,prompt\n1,a\n\n2,\n3,  \n"), (("prompt-missing", 4, "B"), ("prompt-missing", 5, "B"))),
    Broken("two rows of one id", csv("id,prompt\nA-1,x\nb,y\na 1,z\n"), (("id-twice", 4, "A"),)),
)  # fmt: skip

CELLS = (
    Broken("a formula without a value", xlsx([["id", "prompt"], ["a", "=A1&A2"]]), (("formula-without-value", 2, "B"),)),
    Broken("an error cell", xlsx(ROWS, set_error), (("error-cell", 2, "C"),)),
    Broken("an error as text", csv("prompt,note\nx,#N/A\n"), (("error-cell", 2, "B"),)),
    Broken("a date for an id", xlsx([["id", "prompt"], [date(2026, 3, 4), "x"]]), (("date-cell", 2, "A"),)),
    Broken("a moment for a prompt", xlsx([["prompt"], [NINE]]), (("date-cell", 2, "A"),)),
    Broken("a time for a style", xlsx([["prompt", "style"], ["x", time(9, 30)]]), (("date-cell", 2, "B"),)),
    Broken("a shortened number", csv("id,prompt\n4.01E+12,x\n"), (("number-shortened", 2, "A"),)),
    Broken("a shortened seed", csv("seed,prompt\n1.84E+19,x\n"), (("number-shortened", 2, "A"),)),
    Broken("an inexact id", xlsx([["id", "prompt"], [4012345678901234567, "x"]]), (("number-inexact", 2, "A"),)),
    Broken("an inexact seed", xlsx([["prompt", "seed"], ["x", 2**60]]), (("number-inexact", 2, "B"),)),
    Broken("no whole numbers", csv('prompt;variants;steps;seed\nx;2.5;"1,000";1E5\ny;ten;TRUE;25 steps\n'), (
        ("not-whole", 2, "B"), ("not-whole", 2, "C"), ("not-whole", 2, "D"),
        ("not-whole", 3, "B"), ("not-whole", 3, "C"), ("not-whole", 3, "D"),
    )),
    Broken("no numbers", csv('prompt;cfg;denoise\nx;"1,024";half\n'), (("not-number", 2, "B"), ("not-number", 2, "C"))),
    Broken("numbers out of range", csv("prompt,variants,steps,cfg,seed\nx,0,1001,-1,-5\n"), tuple(("number-range", 2, c) for c in "BCDE")),
    Broken("a truth value for a count", xlsx([["prompt", "variants"], ["x", True]]), (("not-whole", 2, "B"),)),
    Broken("a huge cell", csv(f"id,prompt,note\n1,x,{'n' * 40_000}\n2,{'p' * 200_000},\n"), (("cell-too-long", 2, "C"), ("cell-too-long", 3, "B"))),
    Broken("a huge quoted cell", csv('id,prompt,note\n1,x,"' + 'a, ""b"" ' * 30_000 + '"\n'), (("cell-too-long", 2, "C"),)),
    Broken("a huge cell, XLSX", lambda: with_part(shared(workbook(ROWS)), "xl/sharedStrings.xml", lambda xml: xml.replace("a hat", "h" * 40_000)), (("cell-too-long", 3, "B"),)),
    Broken("a long prompt", csv(f"prompt,prompt@de\n{'p' * 5001},{'q' * 5001}\n"), (("text-too-long", 2, "A"), ("text-too-long", 2, "B"))),
    Broken("ids that name no file", csv("id,prompt\na/b,x\n..,y\nwhat?,z\n"), tuple(("id-characters", n, "A") for n in (2, 3, 4))),
    Broken("unknown names", csv("prompt,style,channels,backend,combine\nx,minimalst,instgram_feed,comfy,both\n"), (
        ("style-unknown", 2, "B"), ("channel-unknown", 2, "C"), ("backend-unknown", 2, "D"), ("combine-unknown", 2, "E"),
    )),
    Broken("one of a list is unknown", csv("prompt;channels\nx;instagram_feed, tv, radio\n"), (("channel-unknown", 2, "B"),) * 2),
    Broken("no sizes", csv("prompt,size\nx,huge\ny,1024\nz,4/5\n"), tuple(("size-unreadable", n, "B") for n in (2, 3, 4))),
    Broken("sizes out of range", csv("prompt,size,width,height\nx,63x64,,\ny,100:1,,\nz,,8,9999\n"), (
        ("size-range", 2, "B"), ("size-range", 3, "B"), ("number-range", 4, "C"), ("number-range", 4, "D"),
    )),
    Broken("half a size", csv("prompt,width,height\nx,1024,\ny,,768\n"), (("size-half", 2, "B"), ("size-half", 3, "C"))),
    Broken("a table below", csv("id,prompt\na,a shoe\n\nchannel,budget\ninstagram,500\n"), (("other-table", 4, "A"), ("prompt-number", 5, "B"))),
    Broken("a header again", csv("id,prompt,size\na,a shoe,4:5\nid,prompt,\nb,a hat,1:1\n"), (("other-table", 3, "A"),)),
    Broken("a sum below", csv("id;prompt;n;price\na;a shoe;2;\n\n;1.290,00 \u20ac;;\n"), (("prompt-number", 4, "B"),)),
    Broken("a price that became a date", xlsx([["prompt", "price"], ["{price}", "9,90"], ["{price}", NINE], ["{price}", "8,90"]]), (("date-unlikely", 3, "B"),)),
    Broken("and so in a CSV", csv("prompt;Price\na {price} hat;9,90\na { PRICE } hat;03. Okt\na {price} hat;8,90\n"), (("date-unlikely", 3, "B"),)),
    Broken("channels under another name", csv("prompt;Kan\u00e4le\nx;\ny;instagram_feed\n"), (("header-channels", 1, "B"),)),
    Broken("a size twice", csv("prompt;channels\nx;instagram_feed, facebook_feed\n"), (("size-twice", 2, "B"),)),
    Broken("everything at once", csv("SKU,sku ,prompt,size,seed\nA,,é,big,x\nA,,,4:5,1\nB,,too,many,1,9\n", "cp1252"), (
        ("encoding-guessed", None, ""), ("header-twice", 1, "B"), ("size-unreadable", 2, "D"), ("not-whole", 2, "E"),
        ("prompt-missing", 3, "C"), ("row-long", 4, ""), ("id-twice", 3, "A"),
    )),
)  # fmt: skip

BROKEN = (*FILES, *HEADERS, *LINES, *CELLS)
