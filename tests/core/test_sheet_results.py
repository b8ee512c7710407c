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
from assetline.records import Asset, Outcome, Problem, Rendition
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


def with_files(made: Outcome, *channels: str) -> Outcome:
    """The outcome with a file for each of these channels."""
    files = tuple(
        Rendition(
            key=f"campaigns/c/channels/{made.row_number}/{made.variant}_{name}.jpg", channels=tuple(name.split("+")),
            width=1, height=1, format="JPEG", sha256="", size_bytes=1, box=(0, 0, 1, 1), scale=1, quality=95,
        )
        for name in channels
    )  # fmt: skip
    assert made.asset
    return made.model_copy(update={"asset": made.asset.model_copy(update={"renditions": files})})


def link(key: str) -> str:
    return f"s3://bucket/{key}"


def table(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=";"))


def sheet_cells(name: str, data: bytes) -> list[list[str]]:
    """The rows that have cells, as texts."""
    rows = load_workbook(io.BytesIO(data)).worksheets[0].values if name.endswith(".xlsx") else table(data)
    return [[str(cell or "") for cell in row] for row in rows if any(row)]


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


@pytest.mark.parametrize(
    "make", [lambda: ("a.csv", TEXT.encode()), lambda: ("a.xlsx", workbook([ROWS[0], [], *ROWS[1:2], [], *ROWS[2:]]))]
)
def test_a_row_that_could_not_be_run_says_why_also_where_an_earlier_run_has_made_it(make) -> None:
    name, first = write_results(*make(), RESULTS)
    wrong = Problem(
        severity="error", code="unknown-style", row=6, column="style", message="No such style.", fix="Take Minimalist."
    )
    results = results_of([outcome(3, 1)], link, problems=[wrong, wrong.model_copy(update={"row": 5})])
    _, second = write_results(name, first, results)
    cells = sheet_cells(name, second)
    why = "style: No such style. Take Minimalist."
    assert {"b": ["not run", why], "c": ["not run", why]} == {row[0]: row[-7:-5] for row in cells if row[0] in "bc"}
    [made] = [row for row in cells if row[0] == "b"]
    assert made[-1] in ("r-1", "s3://bucket/campaigns/c/assets/5/1.png")


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


# --- files for channels: one column, the last, and only where there are any

FILES = results_of(
    [with_files(outcome(3, 1), "feed+post", "story"), outcome(3, 2, "failed", reason="x"), outcome(5)], link
)


def test_files_for_channels_get_a_column_at_the_end_with_a_line_for_each() -> None:
    rows = table(write_results("a.csv", TEXT.encode(), FILES)[1])
    assert rows[1][-2:] == ["picture 1", "channel_files"]
    assert rows[2][-1] == (
        "r-1 feed, post: s3://bucket/campaigns/c/channels/3/1_feed+post.jpg\n"
        "r-1 story: s3://bucket/campaigns/c/channels/3/1_story.jpg"
    )
    assert [row[-1] for row in rows[3:] if row] == ["", ""]
    assert {len(row) for row in rows[1:] if row} == {len(rows[1])}


@pytest.mark.parametrize("make", [lambda: ("a.csv", TEXT.encode()), lambda: ("a.xlsx", workbook(ROWS[:2] + ROWS[3:]))])
def test_the_column_of_files_is_passed_over_when_the_sheet_comes_back(make) -> None:
    file_name, data = make()
    before = read_sheet(file_name, data, CATALOGUE)
    name, returned = write_results(file_name, data, FILES)
    after = read_sheet(name, returned, CATALOGUE)
    assert after.problems == ()
    assert [(row.number, row.extra) for row in after.rows] == [(row.number, row.extra) for row in before.rows]
    assert write_results(name, returned, FILES) == (name, returned) or file_name.endswith("xlsx")


def test_files_of_a_row_that_was_not_run_again_stay_the_last_though_there_are_more_pictures() -> None:
    name, first = write_results("a.csv", TEXT.encode(), FILES)
    _, second = write_results(name, first, results_of([outcome(6, 1), outcome(6, 2)], link))
    rows = table(second)
    assert rows[1][-3:] == ["picture 1", "picture 2", "channel_files"]
    assert rows[2][-3:] == ["s3://bucket/campaigns/c/assets/3/1.png", "", table(first)[2][-1]]
    assert rows[-1][-3:] == [f"s3://bucket/campaigns/c/assets/6/{number}.png" for number in (1, 2)] + [""]
    _, checked = write_checked(name, second, [])
    assert table(checked)[1][-4:] == ["channel_files", "status", "problem", "fix"]


def test_in_a_workbook_the_cell_leads_to_the_file_or_to_the_folder_of_several() -> None:
    results = results_of([with_files(outcome(2), "feed"), with_files(outcome(3), "feed", "story")], link)
    name, first = write_results("a.xlsx", workbook(ROWS), results)
    _, data = write_results(name, first, results_of([outcome(4, 1), outcome(4, 2)], link))
    for returned, column in ((first, "J"), (data, "K")):
        sheet = load_workbook(io.BytesIO(returned))["Campaign"]
        assert [sheet[f"{column}{row}"].value for row in (1, 2, 3)] == [
            "channel_files",
            "r-1 feed",
            "r-1 feed\nr-1 story",
        ]
        assert [sheet[f"{column}{row}"].hyperlink.target for row in (2, 3)] == [
            "s3://bucket/campaigns/c/channels/2/1_feed.jpg",
            "s3://bucket/campaigns/c/channels/3/",
        ]
    assert (sheet["K4"].value, sheet["K4"].hyperlink) == (None, None)


def test_a_row_that_has_never_run_says_so_beside_files_of_others() -> None:
    name, first = write_results("a.xlsx", workbook(ROWS), results_of([with_files(outcome(2), "feed")], link))
    _, second = write_results(name, first, results_of([with_files(outcome(2), "feed")], link))
    assert load_workbook(io.BytesIO(second))["Campaign"]["C4"].value == "not run"


def test_more_files_than_a_cell_should_hold_are_counted() -> None:
    [facts] = results_of([with_files(outcome(2), *(f"c{n}" for n in range(40)))], link).by_row.values()
    assert (len(facts.files), facts.files[-1].text) == (24, "and 17 more: see the contact sheet")


def test_a_column_of_the_producers_own_beside_the_results_keeps_its_cells() -> None:
    text = b"id;prompt\na;a shoe\nb;a hat\n"
    name, data = write_results("a.csv", text, results_of([outcome(2), outcome(3)], link))
    head, *rows = data.decode("utf-8-sig").splitlines()
    beside = "\n".join([f"{head};Channel files", *(f"{row};mine {row[0]}" for row in rows)])
    _, again = write_results(name, beside.encode(), results_of([with_files(outcome(2), "feed")], link))
    assert [row[2] for row in table(again)] == ["Channel files", "mine a", "mine b"]


def test_a_row_that_merged_cells_of_another_keep_from_being_run_says_so() -> None:
    rows = [*ROWS[:2], ["b", "a hat"], ROWS[3]]
    data = workbook([[*row, "x"] for row in rows], lambda sheet: sheet.merge_cells("C2:C3"))
    sheet = read_sheet("a.xlsx", data, CATALOGUE)
    _, written = write_results("a.xlsx", data, results_of([outcome(4)], link, problems=sheet.problems))
    texts = [[row[3], row[4].partition(":")[0]] for row in sheet_cells("a.xlsx", written)[1:]]
    assert texts == [["not run", "The cells C2"], ["not run", "held by row 2"], ["stored", ""]]
