"""The producer's own file after a run: what became of each row beside it, and it can be run again."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from fakes.sheets import CATALOGUE, workbook
from openpyxl import load_workbook
from openpyxl.styles import Font

from assetline.errors import SheetError
from assetline.records import Asset, Outcome
from assetline.sheet import Results, read_sheet, results_of, write_checked, write_results

TEXT = "Spring;;\nid;prompt;note\na;a shoe;=1+1\n\nb;a hat;-7\nc;a coat;x\n"
ROWS: list[list[Any]] = [["id", "prompt"], ["a", "a shoe"], ["b", "=A2"], ["c", "a coat"]]


def outcome(row: int, variant: int = 1, status: str = "stored", **facts: Any) -> Outcome:
    original = f"campaigns/c/assets/{row}/{variant}.png"
    asset = Asset(
        original=original, sidecar="", thumbnails={}, sha256="", width=1, height=1, format="PNG", seed=7, lane="gpu1",
        job_id="", seconds=1.0, cost_usd=0.25,
    )  # fmt: skip
    made = None if status == "failed" else asset
    return Outcome(
        row="r", variant=variant, request_key=f"k{row}{variant}", status=status, asset=made, label=f"r-{variant}",
        row_number=row, seed=variant, **facts,
    )  # fmt: skip


def link(key: str) -> str:
    return f"s3://bucket/{key}"


def table(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=";"))


RESULTS = results_of(
    [outcome(3, 1), outcome(3, 2, "failed", reason="out of memory"), outcome(5, 1, "reused")], link, {"k51": "approve"}
)


def test_a_csv_gets_what_became_of_each_row_and_a_link_for_each_picture() -> None:
    name, data = write_results("spring.checked.csv", TEXT.encode(), RESULTS)
    assert name == "spring.results.csv"
    assert table(data) == [
        ["Spring", "", ""],
        ["id", "prompt", "note", "status", "problem", "seeds", "lane", "cost_usd", "decision", "picture 1"],
        ["a", "a shoe", "'=1+1", "1 stored, 1 failed", "r-2: out of memory", "1, 2", "gpu1", "0.2500", "",
         "s3://bucket/campaigns/c/assets/3/1.png"],
        [],
        ["b", "a hat", "-7", "reused", "", "1", "gpu1", "0.2500", "approve", "s3://bucket/campaigns/c/assets/5/1.png"],
        ["c", "a coat", "x", "not run", "", "", "", "", "", ""],
    ]  # fmt: skip


def test_a_long_seed_alone_keeps_its_digits_in_a_spreadsheet() -> None:
    seeded = outcome(2).model_copy(update={"seed": 2**63})
    _, data = write_results("a.csv", b"prompt\nx\n", results_of([seeded], link))
    assert f",'{2**63}," in data.decode()


@pytest.mark.parametrize("make", [lambda: ("a.csv", TEXT.encode()), lambda: ("a.xlsx", workbook(ROWS[:2] + ROWS[3:]))])
def test_the_returned_file_gives_the_same_rows_and_no_problem(make) -> None:
    file_name, data = make()
    before = read_sheet(file_name, data, CATALOGUE)
    name, returned = write_results(file_name, data, RESULTS)
    after = read_sheet(name, returned, CATALOGUE)
    assert after.problems == before.problems == ()

    def said(sheet):
        return [row.model_dump(exclude={"sheet", "cells"}) for row in sheet.rows]

    assert said(after) == said(before)
    assert write_results(name, returned, RESULTS) == (name, returned) or file_name.endswith("xlsx")


def test_a_row_that_was_not_run_again_keeps_what_an_earlier_run_has_written() -> None:
    name, first = write_results("a.csv", TEXT.encode(), RESULTS)
    _, second = write_results(name, first, results_of([outcome(6, 1), outcome(6, 2)], link))
    rows = table(second)
    assert [row[3] for row in rows[2:] if row] == ["1 stored, 1 failed", "reused", "stored"]
    assert rows[1][-2:] == ["picture 1", "picture 2"]
    assert rows[2][-2:] == ["s3://bucket/campaigns/c/assets/3/1.png", ""]


def test_marks_of_a_check_go_and_a_check_keeps_results() -> None:
    checked_name, checked = write_checked("a.csv", TEXT.encode(), [])
    name, returned = write_results(checked_name, checked, RESULTS)
    assert "fix" not in table(returned)[1]
    again_name, again = write_checked(name, returned, read_sheet(name, returned, CATALOGUE).problems)
    assert (again_name, table(again)[1][-4:]) == ("a.checked.csv", ["picture 1", "status", "problem", "fix"])


def test_a_workbook_keeps_formatting_and_formulas_and_gets_links_that_are_no_formulas() -> None:
    def change(sheet: Any) -> None:
        sheet["A1"].font = Font(bold=True, color="FF112233")

    data = workbook(ROWS, change)
    results = results_of([outcome(2, 1), outcome(2, 2)], lambda key: f"/tmp/my pictures/{key}#1")
    name, returned = write_results("a.xlsx", data, results)
    sheet = load_workbook(io.BytesIO(returned))["Campaign"]
    assert (name, sheet["A1"].font.color.rgb, sheet["B3"].value) == ("a.results.xlsx", "FF112233", "=A2")
    assert [cell.value for cell in sheet[1]][2:] == [*RESULTS.header, "picture 2"]
    assert [sheet["C2"].value, sheet["I2"].value, sheet["J2"].value] == ["stored", "r-1", "r-2"]
    assert sheet["I2"].hyperlink.target == "file:///tmp/my%20pictures/campaigns/c/assets/2/1.png%231"
    assert sheet["I2"].data_type != "f"
    assert sheet["C3"].value == "not run"


def test_a_workbook_that_comes_back_twice_has_the_columns_once_and_keeps_its_links() -> None:
    _, first = write_results("a.xlsx", workbook(ROWS), results_of([outcome(2, 1)], link))
    _, second = write_results("a.results.xlsx", first, results_of([outcome(4, 1, "failed", reason="=cmd")], link))
    sheet = load_workbook(io.BytesIO(second))["Campaign"]
    assert [cell.value for cell in sheet[1]] == ["id", "prompt", *RESULTS.header]
    assert sheet["I2"].hyperlink.target == "s3://bucket/campaigns/c/assets/2/1.png"
    assert [sheet["C4"].value, sheet["D4"].value] == ["failed", "r-1: =cmd"]


def test_more_pictures_than_columns_are_counted() -> None:
    results = results_of([outcome(2, number) for number in range(1, 41)], link)
    assert results.width == 24
    assert results.by_row[2].links[-1].text == "and 17 more: see the contact sheet"


def test_a_file_that_cannot_be_read_gets_no_results() -> None:
    with pytest.raises(SheetError):
        write_results("a.csv", b"%PDF-1.7", Results({}))
