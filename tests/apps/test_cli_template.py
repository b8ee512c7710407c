"""`assetline template`: a workbook that `check` finds nothing wrong with, and that replaces nothing unasked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.command_line import Ended
from openpyxl import load_workbook

Assetline = Callable[..., Ended]


def test_the_template_passes_check(assetline: Assetline) -> None:
    assert assetline("template", "spring.xlsx").code == 0
    found = assetline("check", "spring.xlsx", "--no-write")
    assert (found.code, found.out.strip()) == (0, "spring.xlsx: 5 rows, 9 pictures, 0 errors, 0 warnings.")


def test_it_offers_what_may_be_written_and_explains_every_column(assetline: Assetline) -> None:
    assetline("template")
    book = load_workbook("campaign.xlsx")
    sheet = book["Campaign"]
    rules = {str(rule.sqref).partition(":")[0]: rule.formula1 for rule in sheet.data_validations.dataValidation}
    heads = {cell.value: f"{cell.column_letter}2" for cell in sheet[1]}
    offered = {name: rules[heads[name]] for name in ("style", "channels", "size", "workflow", "backend")}
    assert offered == {name: f"allowed_{name}" for name in offered}
    assert set(book.defined_names) == set(offered.values())
    assert "Photorealistic" in [cell.value for cell in book["Lists"]["A"]]
    assert all(cell.comment for cell in sheet[1])
    assert (sheet.freeze_panes, sheet.column_dimensions["A"].number_format) == ("C2", "@")
    assert {"Campaign", "Options", "Lists", "Help"} == set(book.sheetnames)
    options = book["Options"]
    chosen = {str(rule.sqref): rule.formula1 for rule in options.data_validations.dataValidation}
    assert {options[cell.replace("B", "A")].value: place for cell, place in chosen.items()} == {
        "style": "allowed_style", "size": "allowed_size", "workflow": "allowed_workflow",
        "backend": "allowed_backend", "variants": "1",
    }  # fmt: skip
    assert [row[0].value for row in options.iter_rows(min_row=8)] == ["campaign", "max_cost"]
    assert "instagram_feed: 1080 x 1350 px" in [cell.value for cell in book["Lists"]["F"]]
    assert "__setting__" in [cell.value for cell in book["Lists"]["G"]]
    assert {"prompt", "not-whole", "workflow-unknown"} <= {cell.value for cell in book["Help"]["A"]}


def test_a_file_that_is_there_is_replaced_only_when_asked(assetline: Assetline) -> None:
    Path("mine.xlsx").write_bytes(b"mine")
    found = assetline("template", "mine.xlsx")
    assert (found.code, found.err.strip()) == (2, "mine.xlsx is there already; --force replaces it.")
    assert Path("mine.xlsx").read_bytes() == b"mine"
    assert assetline("template", "mine.xlsx", "--force").code == 0
    assert Path("mine.xlsx").read_bytes()[:2] == b"PK"


@pytest.mark.parametrize("file", ["mine.csv", "missing/mine.xlsx"])
def test_what_cannot_be_written_is_said(assetline: Assetline, file: str) -> None:
    found = assetline("template", file)
    assert (found.code, file in found.err) == (2, True)
