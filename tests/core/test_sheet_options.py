"""The worksheet `Options`, columns in other languages, how pictures and sizes combine."""

from __future__ import annotations

from typing import Any

import pytest
from fakes.sheets import CATALOGUE, read_text, told, workbook

from assetline.sheet import Options, Sheet, read_sheet
from assetline.sheet.columns import language_of

ROWS = [["prompt", "style", "variants", "steps"], ["a shoe", None, None, 9], ["a hat", "minimalist", 1, None]]


def read_options(*lines: list[Any], title: str = "Options") -> Sheet:
    def change(sheet: Any) -> None:
        other = sheet.parent.create_sheet(title)
        for line in lines:
            other.append(line)

    return read_sheet("spring.xlsx", workbook(ROWS, change), CATALOGUE)


def test_options_are_what_a_row_has_whose_cells_are_blank() -> None:
    sheet = read_options(
        ["Style", "product photography"],
        ["Variants", 3],
        ["Size", "4:5, 1:1"],
        ["steps", 20],
        ["cfg", 7],
        ["Tags", "x, y"],
    )
    assert sheet.problems == ()
    assert [(row.styles, row.variants, row.parameters, row.tags) for row in sheet.rows] == [
        (("product_photography",), 3, {"steps": 9, "cfg": 7.0}, ("x", "y")),
        (("minimalist",), 1, {"steps": 20, "cfg": 7.0}, ("x", "y")),
    ]
    assert [[size.label for size in row.sizes] for row in sheet.rows] == [["4:5", "1:1"]] * 2


def test_options_of_the_campaign_itself() -> None:
    sheet = read_options(["option", "value"], ["Campaign", "Spring 2027"], ["max cost", "2,5"], [], [None, "a note"])
    assert (sheet.options.campaign, sheet.options.max_cost, sheet.problems) == ("Spring 2027", 2.5, ())


def test_a_sheet_without_options_has_none() -> None:
    assert read_text("prompt\na shoe\n").options == Options()


def test_what_is_wrong_with_options_is_told_at_its_cell_and_keeps_every_row() -> None:
    sheet = read_options(["option", "value"], ["stlye", "bold"], ["variants", 99], ["Variants", 2])
    assert [str(problem) for problem in sheet.problems] == [
        'Options!A2: "stlye" is not an option. Did you mean "style"?',
        'Options!B3 variants: "99" is not from 1 to 64. Write 64.',
        'Options!A4: "Variants" stands in row 3 too. Remove one of them.',
    ]
    assert sheet.bad_rows == {2, 3}


def test_an_id_and_a_prompt_are_no_options() -> None:
    assert told(read_options(["id", "a"], ["prompt", "a shoe"])) == [("option-unknown", "A1"), ("option-unknown", "A2")]


def test_a_column_in_a_language_is_typed_and_an_own_column_too() -> None:
    row = read_text("prompt,Prompt@DE,negative prompt@de,product @pt-br\nx,y,z,w\n").rows[0]
    assert row.locales == {"de": {"prompt": "y", "negative_prompt": "z"}, "pt-BR": {"product": "w"}}
    assert row.extra == {"prompt_de": "y", "negative_prompt_de": "z", "product_pt_br": "w"}
    assert row.cells["Prompt@DE"].cell == "B2"


def test_a_blank_cell_says_nothing_in_its_language() -> None:
    assert read_text("prompt,prompt@de\nx, \n").rows[0].locales == {}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("prompt@de", ("prompt", "de")),
        ("prompt @ PT-br", ("prompt", "pt-BR")),
        ("product@zh-hant-tw", ("product", "zh-Hant-TW")),
        ("product@es-419", ("product", "es-419")),
        ("prompt@german", ("", "")),
        ("@de", ("", "")),
        ("prompt", ("", "")),
    ],
)
def test_the_language_of_a_header(header: str, expected: tuple[str, str]) -> None:
    assert expected == language_of(header)


@pytest.mark.parametrize(("value", "expected"), [("", "product"), ("Zip", "zip"), ("product", "product")])
def test_how_pictures_and_sizes_combine(value: str, expected: str) -> None:
    assert [row.combine for row in read_text(f"prompt,combine\nx,{value}\n").rows] == [expected]
