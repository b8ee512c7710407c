"""CSV and TSV as people's programs write them: delimiters, titles, quotation marks, and rows as the person counts them."""

from __future__ import annotations

import pytest
from fakes.sheets import read_text, told


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("id,prompt\n1,a shoe; red\n", ","),
        ("id;prompt\n1;a shoe, red\n", ";"),
        ("id\tprompt\n1\ta shoe, red\n", "\t"),
        ("id|prompt\n1|a shoe, red\n", "|"),
        ('"my id; really";prompt;"a,b,c,d"\n1;a shoe;2\n', ";"),
        ("Spring, summer, autumn, 2026\nid;prompt\n1;a shoe\n", ";"),
        ("sep=|\nid|prompt\n1|a shoe\n", "|"),
        ("prompt\na shoe on a plate\n", ","),
    ],
)
def test_the_delimiter_is_the_one_that_makes_the_best_header(text: str, delimiter: str) -> None:
    sheet = read_text(text)
    assert sheet.delimiter == delimiter
    assert [row.prompt.startswith("a shoe") for row in sheet.rows] == [True]


def test_one_column_is_split_by_commas_in_csv_and_not_in_tsv() -> None:
    text = "prompt\na shoe, red\n"
    assert told(read_text(text)) == [("row-long", "row 2")]
    assert [row.prompt for row in read_text(text, "plan.tsv").rows] == ["a shoe, red"]


def test_rows_are_counted_as_a_spreadsheet_program_shows_them() -> None:
    """Blank lines count, a cell of two lines is one row, a title is a row, and Excel hides a `sep=` line."""
    sheet = read_text('sep=,\r\nSpring\r\n\r\nid,prompt\r\n1,"a\r\nshoe"\r\n\r\n,,\r\n2,a hat\r\n')
    assert [(row.number, row.prompt) for row in sheet.rows] == [(4, "a\nshoe"), (7, "a hat")]
    assert [row.cells["prompt"].cell for row in sheet.rows] == ["B4", "B7"]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_every_line_ending_is_read(ending: str) -> None:
    assert [row.prompt for row in read_text(ending.join(["prompt", "a shoe", "a hat"])).rows] == ["a shoe", "a hat"]


def test_a_row_with_too_many_cells_makes_no_row_and_a_short_one_does() -> None:
    sheet = read_text("id,prompt,size\n1,a shoe, red,4:5\n2,a hat\n3,a coat,4:5,\n")
    assert told(sheet) == [("row-long", "row 2"), ("row-short", "row 3")]
    assert str(sheet.problems[0]).startswith(
        "Campaign!row 2: The row has 4 cells, the header 3: a comma that is not in quotation marks?"
    )
    assert [row.id for row in sheet.rows] == ["2", "3"]
    assert sheet.bad_rows == {2}


@pytest.mark.parametrize(
    ("text", "broken", "kept"),
    [
        ('id,prompt\n1,a shoe\n2,"a hat\n3,a coat\n', [3], ["1", "3"]),
        ('id,prompt\n1,"a "red" shoe"\n2,a hat\n', [2], ["2"]),
        ('id,prompt\n1,"a shoe\n2,"a hat"\n3,a coat\n', [2], ["2", "3"]),
        ('id,prompt\n1,14" laptop\n2,"14"" laptop"\n', [], ["1", "2"]),
        ('id, prompt\n1, "a shoe, red"\n', [], ["1"]),
    ],
)
def test_an_open_quotation_mark_is_found_in_its_own_row(text: str, broken: list[int], kept: list[str]) -> None:
    sheet = read_text(text)
    assert told(sheet) == [("quote-open", f"row {row}") for row in broken]
    assert [row.id for row in sheet.rows] == kept


def test_an_open_quotation_mark_above_the_header_is_not_lost() -> None:
    sheet = read_text('"Spring\nid,prompt\n1,a shoe\n')
    assert told(sheet) == [("quote-open", "row 1")]
    assert sheet.bad_rows == {3}


def test_what_a_number_cell_would_change_stays_as_it_is() -> None:
    rows = read_text("id,prompt,country\n00123,a shoe,NA\n1E5,a hat,N/A\nNA,a coat,007\n").rows
    assert [(row.id, row.extra["country"]) for row in rows] == [("00123", "NA"), ("1E5", "N/A"), ("NA", "007")]


def test_blanks_of_all_kinds_go_and_curly_quotes_stay() -> None:
    rows = read_text("prompt\n\u00a0 a\u00a0\u201cred\u201d shoe \n").rows
    assert [row.prompt for row in rows] == ["a \u201cred\u201d shoe"]


def test_characters_that_nobody_sees_are_no_text() -> None:
    sheet = read_text("prompt,style\na shoe,\u200bMinimalist \u200b\n \u200b ,\u2060Minimalist\u200e\n")
    assert told(sheet) == [("prompt-missing", "A3")]
    assert [row.styles for row in sheet.rows] == [("minimalist",)] * 2
