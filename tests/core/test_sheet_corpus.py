"""The corpus: every planted fault is named with row and column in one pass, and no good file is blamed."""

from __future__ import annotations

import re

import pytest
from fakes.sheets import CATALOGUE
from fakes.sheets_broken import BROKEN
from fakes.sheets_corpus import Broken, Good
from fakes.sheets_good import GOOD

from assetline.records import Problem
from assetline.sheet import read_sheet


def file_name(entry: Broken | Good, data: bytes) -> str:
    return entry.file_name or ("plan.xlsx" if data.startswith(b"PK") else "plan.csv")


def place(problem: Problem) -> tuple[str, int | None, str]:
    return problem.code, problem.row, re.sub(r"\d", "", problem.cell)


@pytest.mark.parametrize("entry", BROKEN, ids=str)
def test_every_planted_fault_is_named_with_row_and_column_and_nothing_else(entry: Broken) -> None:
    data = entry.data()
    sheet = read_sheet(file_name(entry, data), data, CATALOGUE, entry.limits)
    assert list(entry.faults) == [place(problem) for problem in sheet.problems]


@pytest.mark.parametrize("entry", GOOD, ids=str)
def test_a_good_file_is_read_without_a_word(entry: Good) -> None:
    data = entry.data()
    sheet = read_sheet(file_name(entry, data), data, CATALOGUE)
    assert [] == [str(problem) for problem in sheet.problems]
    assert len(entry.rows) == len(sheet.rows)
    for expected, row in zip(entry.rows, sheet.rows, strict=True):
        assert expected == {name: getattr(row, name) for name in expected}


def test_the_corpus_is_as_large_as_was_promised() -> None:
    assert len({entry.name for entry in BROKEN}) >= 60
    assert len({entry.name for entry in GOOD}) >= 40
