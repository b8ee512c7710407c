"""XLSX as the person sees it: number formats, dates, formulas, merged and hidden cells, several worksheets."""

from __future__ import annotations

from datetime import date, datetime, time

import pytest
from fakes.sheets import CATALOGUE, read_workbook, told, with_part, workbook
from openpyxl.styles import Font

from assetline.sheet import read_sheet

PART = "xl/worksheets/sheet1.xml"


def test_numbers_are_read_plainly_and_leading_zeros_as_shown() -> None:
    def change(sheet) -> None:
        sheet["A2"].number_format = "00000"

    row = read_workbook([["SKU", "prompt", "width", "height", "cfg"], [123, "a shoe", 1024.0, 768, 7.5]], change).rows[
        0
    ]
    assert (row.id, [size.label for size in row.sizes], row.parameters) == ("00123", ["1024x768"], {"cfg": 7.5})


def test_a_percentage_is_text_as_it_is_shown_and_a_number_where_one_belongs() -> None:
    formats = {"B2": "0%", "C2": "0.00%", "D2": '#,##0.0 %;[Red]-0 "%"', "E2": "0%"}

    def change(sheet) -> None:
        for cell, number_format in formats.items():
            sheet[cell].number_format = number_format

    rows = [["prompt", "off", "exact", "more", "denoise"], ["{off} off", 0.125, 0.2, 1234.5, 0.5]]
    sheet = read_workbook(rows, change)
    assert sheet.problems == ()
    assert sheet.rows[0].extra == {"off": "13%", "exact": "20.00%", "more": "123450.0%"}
    assert sheet.rows[0].parameters == {"denoise": 0.5}


def test_a_percentage_is_the_number_that_the_cell_holds_however_few_digits_it_shows() -> None:
    def change(sheet) -> None:
        for cell in ("B2", "B3", "C2", "C3", "D2"):
            sheet[cell].number_format = "0%"

    rows = [["prompt", "denoise", "steps", "guidance"], ["a shoe", 0.125, 25, "7.5"], ["a hat", 0.005, 0.25, 7]]
    sheet = read_workbook(rows, change)
    assert sheet.rows[0].parameters == {"denoise": 0.125, "steps": 25, "cfg": 7.5}
    assert sheet.rows[1].parameters["denoise"] == 0.005
    assert told(sheet) == [("not-whole", "C3")]
    assert sheet.problems[0].fix == "Did you mean 25?"


def test_a_seed_beyond_what_number_cells_hold_is_an_error_and_as_text_is_exact() -> None:
    sheet = read_workbook([["prompt", "seed"], ["a shoe", 2**60], ["a hat", str(2**64 - 1)], ["a coat", 2**53]])
    assert told(sheet) == [("number-inexact", "B2")]
    assert [row.seed for row in sheet.rows] == [None, 2**64 - 1, 2**53]


def test_a_date_is_an_error_where_text_was_meant_and_fine_in_an_own_column() -> None:
    seen = datetime(2026, 3, 4, 9, 30)  # noqa: DTZ001 - a cell has no zone
    sheet = read_workbook(
        [["id", "prompt", "launch", "seen"], [date(2026, 3, 4), "a shoe", date(2026, 3, 4), seen]],
    )
    assert told(sheet) == [("date-cell", "A2")]
    assert sheet.problems[0].message == 'The spreadsheet has turned what was typed here into a date: "2026-03-04".'
    assert sheet.rows[0].extra == {"launch": "2026-03-04", "seen": "2026-03-04 09:30:00"}


def test_a_ratio_that_became_a_time_is_a_ratio_again() -> None:
    rows = read_workbook([["prompt", "size"], ["a", time(16, 9)], ["b", time(4, 5)]]).rows
    assert [row.sizes[0].ratio for row in rows] == [(16, 9), (4, 5)]


def test_formulas_without_value_and_error_cells_are_named() -> None:
    def change(sheet) -> None:
        sheet["C3"] = "#REF!"
        sheet["C3"].data_type = "e"

    sheet = read_workbook([["id", "prompt", "mood"], ["a", "=A1&A2", "calm"], ["b", "a hat", ""]], change)
    assert told(sheet) == [("formula-without-value", "B2"), ("error-cell", "C3")]
    assert sheet.bad_rows == {2, 3}


def test_a_calculated_formula_is_its_value_and_an_empty_text_is_blank() -> None:
    def cached(xml: str) -> str:
        return xml.replace("<f>A1</f><v />", "<f>A1</f><v>7</v>").replace(
            '<c r="B3"><f>A2</f><v />', '<c r="B3" t="str"><f>A2</f><v></v>'
        )

    data = with_part(workbook([["prompt", "steps"], ["a", "=A1"], ["b", "=A2"]]), PART, cached)
    sheet = read_sheet("campaign.xlsx", data, CATALOGUE)
    assert ([row.parameters for row in sheet.rows], sheet.problems) == ([{"steps": 7}, {}], ())


def test_a_reading_in_kana_is_no_part_of_a_text_that_stands_in_its_cell() -> None:
    def change(xml: str) -> str:
        said = "<is><r><t>\u9774</t></r><rPh sb='0' eb='1'><t>\u30af\u30c4</t></rPh><r><t>!</t></r></is>"
        return xml.replace('<c r="A2" t="inlineStr"><is><t>x</t></is>', f'<c r="A2" t="inlineStr">{said}')

    data = with_part(workbook([["prompt"], ["x"]]), PART, change)
    assert [row.prompt for row in read_sheet("campaign.xlsx", data, CATALOGUE).rows] == ["\u9774!"]


def test_merged_cells_are_one_error_that_names_the_range_and_makes_all_its_rows_bad() -> None:
    rows = [["Spring 2026"], ["prompt", "style"], ["a", "minimalist"], ["b"], ["c"], ["d"]]

    def change(sheet) -> None:
        sheet.merge_cells("A1:C1")
        sheet.merge_cells("B3:B5")
        sheet.merge_cells("A4:A5")

    sheet = read_workbook(rows, change)
    assert told(sheet) == [("merged-cells", "B3"), ("merged-cells", "A4")]
    assert "B3:B5" in sheet.problems[0].message
    assert sheet.bad_rows == {3, 4, 5}


def test_where_the_first_worksheet_is_empty_the_others_are_named() -> None:
    sheet = read_workbook([], lambda sheet: sheet.parent.create_sheet("Rows").append(["prompt"]))
    assert told(sheet) == [("file-empty", "")]
    assert sheet.problems[0].message == "There is nothing in the first worksheet. Others, which are not read: Rows."
    assert sheet.problems[0].fix == "Move the worksheet with the rows to the front."


def test_the_first_visible_worksheet_is_read() -> None:
    def change(sheet) -> None:
        hidden = sheet.parent.create_sheet("Old", 0)
        hidden.append(["prompt"])
        hidden.append(["never"])
        hidden.sheet_state = "veryHidden"
        sheet.parent.create_sheet("Notes").append(["nothing here"])

    sheet = read_workbook([["promt"], ["a shoe"]], change)
    assert (sheet.name, told(sheet)) == ("Campaign", [("no-prompt-column", "row 1")])
    assert (
        sheet.problems[0].fix
        == 'Did you mean "promt"? Rename it to "prompt". Other worksheets, which are not read: Notes.'
    )


def test_hidden_rows_are_read_and_counted() -> None:
    def change(sheet) -> None:
        sheet.row_dimensions[3].hidden = True

    sheet = read_workbook([["prompt"], ["a"], ["b"]], change)
    assert len(sheet.rows) == 2
    assert [str(problem) for problem in sheet.problems] == [
        "Campaign: 1 hidden row is read too: 3. Delete the rows that shall not be generated."
    ]


def test_formatted_blank_rows_end_the_sheet() -> None:
    def change(sheet) -> None:
        for row in range(3, 400):
            sheet.cell(row, 1).font = Font(bold=True)

    sheet = read_workbook([["prompt"], ["a"]], change)
    assert (len(sheet.rows), sheet.problems) == (1, ())


def test_values_below_a_long_gap_are_not_dropped_in_silence() -> None:
    def change(sheet) -> None:
        sheet["A300"] = "a late one"

    sheet = read_workbook([["prompt"], ["a"]], change)
    assert told(sheet) == [("rows-after-gap", "")]
    assert "Row 300" in sheet.problems[0].message
    assert sheet.bad_rows == {2}


def test_values_beside_the_header_are_told() -> None:
    sheet = read_workbook([["prompt"], ["a", "x"], ["b", "y"]])
    assert [str(problem) for problem in sheet.problems] == [
        "Campaign!B1: Column B has 2 values but no name; it is ignored. Name it, or empty it."
    ]


@pytest.mark.parametrize("value", [True, "ten", -1, 2.5])
def test_what_is_no_count_is_an_error_and_the_row_stays(value: object) -> None:
    sheet = read_workbook([["prompt", "variants"], ["a shoe", value]])
    assert [place for _, place in told(sheet)] == ["B2"]
    assert [row.variants for row in sheet.rows] == [1]
