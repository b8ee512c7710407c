"""The checked file: the producer's own, with what is wrong beside each row, safe to open and to check again."""

from __future__ import annotations

import csv
import io
import struct
import zipfile
import zlib
from typing import Any

import PIL.Image
import pytest
from fakes.sheets import CATALOGUE, told, with_part, workbook
from openpyxl import load_workbook
from openpyxl.comments import Comment
from openpyxl.drawing.image import Image
from openpyxl.styles import Font
from openpyxl.worksheet.table import Table

from assetline.sheet import Sheet, read_sheet, write_checked

TEXT = 'Spring\n\nid;prompt;size;Note\n1;"a shoe; red";big;=1+1\n\n2;a hat;4:5;-7\n3;;1024;"@x"\n'

NO_SIZE = "size: Write pixels (1024x1024), a ratio (4:5) or a channel's name."
TWO_PROBLEMS = 'prompt: The row has no prompt.\nsize: "1024" is not a size.'
TWO_FIXES = 'prompt: Describe the picture, or delete the row.\nsize: Did you mean "1024x1024"?'


def check(file_name: str, data: bytes) -> tuple[Sheet, str, bytes]:
    sheet = read_sheet(file_name, data, CATALOGUE)
    return (sheet, *write_checked(file_name, data, sheet.problems))


def table(data: bytes, delimiter: str = ";") -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=delimiter))


def test_a_csv_keeps_its_delimiter_columns_and_order_and_gets_three_columns() -> None:
    _, name, data = check("my plan.csv", TEXT.encode("cp1252"))
    assert (name, data[:3]) == ("my plan.checked.csv", b"\xef\xbb\xbf")
    assert table(data) == [
        ["Spring"],
        [],
        ["id", "prompt", "size", "Note", "status", "problem", "fix"],
        ["1", "a shoe; red", "big", "'=1+1", "error", 'size: "big" is not a size.', NO_SIZE],
        [],
        ["2", "a hat", "4:5", "-7", "ok", "", ""],
        ["3", "", "1024", "'@x", "error", TWO_PROBLEMS, TWO_FIXES],
    ]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\uff1d"])
def test_no_cell_of_a_checked_csv_is_taken_for_a_formula(start: str) -> None:
    text = f'prompt,Note,"{start}head"\na shoe,"{start}cmd|x",\n'
    _, _, data = check("a.csv", text.encode())
    assert [cell for row in table(data, ",") for cell in row if cell.startswith(start)] == []
    first, second = (read_sheet("a.csv", file, CATALOGUE).rows[0] for file in (text.encode(), data))
    assert (second.prompt, second.extra) == (first.prompt, first.extra)


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        "prompt,size\na shoe,big,\n\nb,4:5,,9\nc,\n",
        'id,prompt\n1,"a shoe\n2,a hat\n3,"a "coat" x"\n',
        "promt,size\na shoe,big\n",
        "sep=;\nid;prompt\n1;\n",
        "id,prompt,status,problem,fix,size\n1,a shoe,,,,big\n",
        "prompt,a,A\nx,1,2\n",
    ],
)
def test_a_checked_csv_gives_the_same_rows_and_errors_when_it_is_checked_again(text: str) -> None:
    first, name, data = check("plan.csv", text.encode())
    second, again_name, again = check(name, data)
    assert second.errors == tuple(problem.model_copy(update={"sheet": second.name}) for problem in first.errors)
    assert [row.model_dump(exclude={"sheet", "cells"}) for row in second.rows] == [
        row.model_dump(exclude={"sheet", "cells"}) for row in first.rows
    ]
    assert (again_name, again) == (name, data)


def test_problems_of_no_row_stand_below_the_last() -> None:
    _, _, data = check("plan.csv", b"promt,size\na shoe,4:5\n")
    assert table(data, ",")[2] == [
        "",
        "",
        "error",
        'row 1: No column is headed "prompt"; the header was read as: promt, size.',
        'Did you mean "promt"? Rename it to "prompt".',
    ]


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7", b"PK\x03\x04", b"prompt\n\x00"])
def test_of_a_file_that_cannot_be_read_the_problems_alone_are_written(data: bytes) -> None:
    sheet, name, checked = check("plan.xlsx", data)
    assert name == "plan.checked.csv"
    assert table(checked, ",")[1] == ["error", sheet.problems[0].message, sheet.problems[0].fix]


ROWS: list[list[Any]] = [["id", "prompt", "size", "steps"], ["a", "a shoe", "big", "=5*4"], ["b", "a hat", "4:5", None]]


def checked_workbook() -> tuple[bytes, bytes]:
    def change(sheet: Any) -> None:
        sheet["A1"].font = Font(bold=True, color="FF112233")
        sheet.column_dimensions["B"].width = 33
        sheet["B2"].comment = Comment("mine", "Ana")

    data = workbook(ROWS, change)
    data = with_part(
        data, "xl/worksheets/sheet1.xml", lambda xml: xml.replace("<f>5*4</f><v />", "<f>5*4</f><v>20</v>")
    )
    return data, check("campaign.xlsx", data)[2]


def test_a_workbook_keeps_its_formatting_and_gets_three_columns_and_marked_cells() -> None:
    _, checked = checked_workbook()
    sheet = load_workbook(io.BytesIO(checked))["Campaign"]
    assert [[cell.value for cell in row] for row in sheet.iter_rows(min_col=5)] == [
        ["status", "problem", "fix"],
        ["error", 'size: "big" is not a size.', NO_SIZE],
        ["ok", None, None],
    ]
    assert (sheet["A1"].font.color.rgb, sheet.column_dimensions["B"].width) == ("FF112233", 33)
    assert (sheet["C2"].fill.fgColor.rgb, sheet["C2"].comment.text[:21]) == ("FFFFC7CD", '"big" is not a size. ')
    assert (sheet["D2"].value, sheet["B2"].comment.text) == ("=5*4", "mine")


def test_the_rows_with_errors_are_seen_in_the_status_and_can_be_filtered_by_it() -> None:
    _, checked = checked_workbook()
    sheet = load_workbook(io.BytesIO(checked))["Campaign"]
    assert [sheet[cell].fill.fgColor.rgb for cell in ("E2", "E3")] == ["FFFFC7CD", "00000000"]
    assert sheet.auto_filter.ref == "A1:G3"


def test_a_filter_of_the_producers_grows_and_a_table_gets_none() -> None:
    def filtered(sheet: Any) -> None:
        sheet.auto_filter.ref = "A1:C2"

    def tabled(sheet: Any) -> None:
        sheet.add_table(Table(displayName="Rows", ref="A1:C3"))

    found = [check("c.xlsx", workbook([row[:3] for row in ROWS], change))[2] for change in (filtered, tabled)]
    assert [load_workbook(io.BytesIO(data))["Campaign"].auto_filter.ref for data in found] == ["A1:F3", None]


def test_a_comment_of_the_producers_stays_large_enough_to_be_read() -> None:
    def change(sheet: Any) -> None:
        sheet["A1"].comment = Comment("a long explanation of the column " * 12, "Ana", height=300, width=500)

    drawn = check("c.xlsx", workbook(ROWS, change))[2]
    with zipfile.ZipFile(io.BytesIO(drawn)) as archive:
        [drawing] = [archive.read(name).decode() for name in archive.namelist() if name.endswith(".vml")]
    assert "width:360px;height:162px" in drawing


def test_a_checked_workbook_gives_the_same_result_and_its_formulas_still_have_values() -> None:
    data, checked = checked_workbook()
    first, second = (read_sheet("campaign.xlsx", file, CATALOGUE) for file in (data, checked))
    assert (second.rows, second.problems) == (first.rows, first.problems)
    assert first.rows[0].parameters == {"steps": 20}


def test_formulas_of_the_options_still_have_values() -> None:
    def change(sheet: Any) -> None:
        sheet.parent.create_sheet("Options").append(["variants", "=1+1"])

    def calculated(xml: str) -> str:
        return xml.replace("<f>1+1</f><v />", "<f>1+1</f><v>2</v>")

    data = with_part(workbook([["prompt"], ["a hat"]], change), "xl/worksheets/sheet2.xml", calculated)
    first, _, checked = check("c.xlsx", data)
    assert (first.problems, [row.variants for row in first.rows]) == ((), [2])
    assert read_sheet("c.xlsx", checked, CATALOGUE).rows == first.rows


def test_a_formula_that_is_shown_as_a_percentage_keeps_its_number() -> None:
    def change(sheet: Any) -> None:
        sheet["B2"].number_format = "0%"

    def calculated(xml: str) -> str:
        return xml.replace("<f>1/5</f><v />", "<f>1/5</f><v>0.2</v>")

    data = with_part(
        workbook([["prompt", "off"], ["{off} off", "=1/5"]], change), "xl/worksheets/sheet1.xml", calculated
    )
    checked = check("c.xlsx", data)[2]
    assert load_workbook(io.BytesIO(checked), data_only=True)["Campaign"]["B2"].value == 0.2
    assert read_sheet("c.xlsx", checked, CATALOGUE).rows[0].extra == {"off": "20%"}


def test_marks_go_when_the_cell_is_mended() -> None:
    _, checked = checked_workbook()
    book = load_workbook(io.BytesIO(checked))
    book["Campaign"]["C2"] = "4:5"
    book["Campaign"]["D2"] = 20
    out = io.BytesIO()
    book.save(out)
    sheet, name, again = check("campaign.checked.xlsx", out.getvalue())
    marked = load_workbook(io.BytesIO(again))["Campaign"]
    assert (name, sheet.problems) == ("campaign.checked.xlsx", ())
    assert (marked["E2"].value, marked["C2"].comment, marked["C2"].fill.fill_type) == ("ok", None, None)
    assert marked.max_column == 7


def test_a_remark_in_a_workbook_is_text_and_never_a_formula() -> None:
    data = workbook([["prompt", "=size"], ["a shoe", "x"], ["", "y"]])
    sheet = read_sheet("c.xlsx", data, CATALOGUE)
    problem = sheet.rows[0].problem("prompt", "plan", "=1+1", "@x")
    _, checked = write_checked("c.xlsx", data, [problem.model_copy(update={"column": ""})])
    cells = load_workbook(io.BytesIO(checked))["Campaign"][2]
    assert [(cell.value, cell.data_type) for cell in cells[-2:]] == [("=1+1", "s"), ("@x", "s")]


def test_no_row_is_ok_where_an_error_of_the_header_keeps_all_of_them() -> None:
    _, _, data = check("a.csv", b"prompt,a,A,size\na shoe,1,2,4:5\na hat,1,2,big\n")
    twice = 'C1: Columns B ("a") and C ("A") mean the same.'
    assert [row[4:] for row in table(data, ",")[1:]] == [
        ["held", f"held by {twice}", "Rename or remove column C."],
        ["error", 'size: "big" is not a size.', NO_SIZE],
        ["error", twice, "Rename or remove column C."],
    ]


def test_a_wrong_option_is_named_beside_the_rows_that_it_holds() -> None:
    def change(sheet: Any) -> None:
        sheet.parent.create_sheet("Options").append(["variants", "many"])

    marked = load_workbook(io.BytesIO(check("c.xlsx", workbook([["prompt"], ["a hat"]], change))[2]))["Campaign"]
    assert marked["B2"].value == "held"
    assert str(marked["C2"].value).startswith('held by Options!B1: "many" is not a whole number')


def test_rows_that_have_lost_values_to_merged_cells_are_not_ok() -> None:
    rows = [["prompt", "size"], ["a shoe", "4:5"], ["a hat", None], ["a bag", "1:1"]]
    data = workbook(rows, lambda sheet: sheet.merge_cells("B2:B3"))
    marked = load_workbook(io.BytesIO(check("c.xlsx", data)[2]))["Campaign"]
    assert [marked.cell(row, 3).value for row in (2, 3, 4)] == ["error", "held", "ok"]


def test_problems_that_others_found_are_written_too() -> None:
    sheet = read_sheet("c.csv", b"prompt,model\na shoe,none\n", CATALOGUE)
    warning = sheet.rows[0].problem("model", "model-unknown", "No lane has it.", "Wait.", severity="warning")
    _, data = write_checked("c.csv", b"prompt,model\na shoe,none\n", [warning])
    assert table(data, ",")[1] == ["a shoe", "none", "warning", "model: No lane has it.", "model: Wait."]
    assert told(sheet) == []


def test_a_workbook_with_a_picture_that_is_a_bomb_still_gives_a_list_of_problems() -> None:
    def change(sheet: Any) -> None:
        out = io.BytesIO()
        PIL.Image.new("L", (4, 4)).save(out, "PNG")
        sheet.add_image(Image(out))

    data = workbook([["prompt", "size"], ["a shoe", "big"]], change)
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(out, "w") as copied:
        for member in archive.namelist():
            content = archive.read(member)
            copied.writestr(member, content[:8] + chunk + content[33:] if member.endswith(".png") else content)
    sheet, name, checked = check("plan.xlsx", out.getvalue())
    assert (told(sheet), name) == ([("size-unreadable", "B2")], "plan.checked.csv")
    assert table(checked, ",")[1][:2] == ["error", 'B2: "big" is not a size.']
