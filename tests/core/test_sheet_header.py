"""Which line is the header, which names are taken for which column, and what stays the producer's own."""

from __future__ import annotations

import pytest
from fakes.sheets import read_text, told


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("SKU", "id"),
        ("Product ID", "id"),
        ("NEGATIVE-PROMPT", "negative_prompt"),
        ("negative\u00a0prompt", "negative_prompt"),
        ("negativeprompt", "negative_prompt"),
        ("Aspect Ratio", "size"),
        ("Dimensions", "size"),
        ("Qty", "variants"),
        ("n", "variants"),
        ("Channel", "channels"),
        ("sampler_name", "sampler"),
        ("CFG Scale", "cfg"),
        ("guidance", "cfg"),
        ("Checkpoint", "model"),
        ("pose_image", "reference_image"),
        ("Engine", "backend"),
        ("tag", "tags"),
    ],
)
def test_a_column_is_known_by_its_other_names(header: str, column: str) -> None:
    sheet = read_text(f"Prompt,{header}\na shoe,\n")
    assert sheet.rows[0].cells[column].column == header.replace("\u00a0", " ")
    assert sheet.rows[0].extra == {}


@pytest.mark.parametrize("header", ["product", "Colour", "name", "title", "Material Name", "status", "fix"])
def test_any_other_column_is_the_producers_own_under_its_slug(header: str) -> None:
    row = read_text(f"prompt,{header}\na shoe, Red \n").rows[0]
    assert row.extra == {header.lower().replace(" ", "_"): "Red"}
    assert (row.cells[header].cell, row.cells[header].value) == ("B2", "Red ")


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ("prompt,Colour,colour ", 'Columns B ("Colour") and C ("colour") mean the same.'),
        ("prompt,SKU,item", 'Columns B ("SKU") and C ("item") mean the same.'),
        ("prompt,seed,SEED", 'Columns B ("seed") and C ("SEED") mean the same.'),
    ],
)
def test_two_columns_of_one_meaning_are_an_error_that_names_both(headers: str, message: str) -> None:
    sheet = read_text(f"{headers}\na shoe,1,2\n")
    assert [(problem.code, problem.cell, problem.message) for problem in sheet.problems] == [
        ("header-twice", "C1", message)
    ]
    assert sheet.bad_rows == {2}


def test_a_synonym_beside_its_column_is_an_own_column_with_a_warning() -> None:
    sheet = read_text("id,SKU,prompt\n1,AB-7,a {sku}\n")
    assert told(sheet) == [("header-synonym", "B1")]
    assert (sheet.rows[0].id, sheet.rows[0].extra, sheet.bad_rows) == ("1", {"sku": "AB-7"}, frozenset())


def test_a_name_that_is_nearly_known_is_a_warning() -> None:
    sheet = read_text("prompt,negatve prompt,Sampller\na shoe,blur,euler\n")
    assert [problem.message for problem in sheet.problems] == [
        '"negatve prompt" is not a known column; it is carried as an own column.',
        '"Sampller" is not a known column; it is carried as an own column.',
    ]
    assert [problem.fix for problem in sheet.problems] == ['Did you mean "negative_prompt"?', 'Did you mean "sampler"?']


def test_two_letters_that_changed_places_are_a_warning_and_another_word_is_none() -> None:
    sheet = read_text("prompt,stlye,heigth,weight,tales\na shoe,a,b,c,d\n")
    assert [(problem.cell, problem.fix) for problem in sheet.problems] == [
        ("B1", 'Did you mean "style"?'),
        ("C1", 'Did you mean "height"?'),
    ]


def test_without_a_prompt_column_the_nearest_is_named_once_and_the_other_problems_too() -> None:
    sheet = read_text("id,Promt,size\n1,a shoe,big\n2,a hat,4:5\n")
    assert told(sheet) == [("no-prompt-column", "row 1"), ("size-unreadable", "C2")]
    assert sheet.problems[0].fix == 'Did you mean "Promt"? Rename it to "prompt".'
    assert sheet.bad_rows == {2, 3}


def test_the_header_is_the_line_with_most_known_columns_among_the_first_ten() -> None:
    title = "Spring 2026,,\nprompt ideas,by Ana,\n\n"
    sheet = read_text(f"{title}id,prompt,size\n1,a shoe,4:5\n")
    assert (sheet.header_row, [row.number for row in sheet.rows], sheet.problems) == (4, [5], ())


def test_a_column_without_a_name_is_ignored_with_a_warning() -> None:
    sheet = read_text("prompt,,size\na shoe,lost,4:5\n")
    assert told(sheet) == [("header-blank", "B1")]
    assert sheet.rows[0].sizes[0].label == "4:5"


def test_more_columns_than_a_sheet_has_are_an_error() -> None:
    sheet = read_text(",".join(["prompt", *(f"c{number}" for number in range(300))]) + "\na\n")
    assert ("too-many-columns", "IW1") in told(sheet)


@pytest.mark.parametrize("text", ["id,prompt\n", "id,prompt\n,\n\n"])
def test_a_header_alone_is_an_error(text: str) -> None:
    assert told(read_text(text)) == [("no-rows", "")]
