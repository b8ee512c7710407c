"""Problems are printed in the order in which the sheet has them, like ones too."""

from __future__ import annotations

from apps.check import problem_lines
from assetline.records import Problem


def at(cell: str, message: str) -> Problem:
    return Problem(severity="error", code="x", sheet="s", row=int(cell[1:]), cell=cell, message=message)


def test_a_problem_that_comes_again_below_stays_below() -> None:
    lines = list(problem_lines([at("B2", "No prompt."), at("C2", "No size."), at("B3", "No prompt.")]))
    assert lines == ["error: s!B2: No prompt.", "error: s!C2: No size.", "error: s!B3: No prompt."]
