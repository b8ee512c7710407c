"""Whether two sheets say the same: by their rows alone."""

from __future__ import annotations

import io

from openpyxl import Workbook

from assetline.catalogue import Catalogue
from assetline.records import Row
from assetline.sheet import read_sheet
from assetline.sheet.sameness import SKETCH, rows_sha256, share_of, sketch_of

LINES = [["id", "prompt", "size", "variants"], *([f"R{n}", f"a thing {n}", "64x64", "2"] for n in range(20))]


def rows_of(lines: list[list[str]]) -> tuple[Row, ...]:
    text = "\n".join(",".join(line) for line in lines)
    return read_sheet("spring.csv", text.encode(), Catalogue()).rows


def many(count: int, word: str = "thing") -> tuple[Row, ...]:
    return rows_of([LINES[0], *([f"R{n}", f"a {word} {n}", "64x64", "1"] for n in range(count))])


def test_rows_in_another_order_below_a_title_with_our_marks_are_the_same() -> None:
    marked = [[*line, "ok", "", ""] for line in reversed(LINES[1:])]
    titled = [["Spring", "", "", ""], [*LINES[0], "status", "problem", "fix"], *marked]
    assert rows_sha256(rows_of(titled)) == rows_sha256(rows_of(LINES))


def test_a_workbook_says_the_same_as_its_csv() -> None:
    book, out = Workbook(), io.BytesIO()
    for line in LINES:
        book.active.append([int(cell) if cell.isdecimal() else cell for cell in line])
    book.save(out)
    assert rows_sha256(read_sheet("other.xlsx", out.getvalue(), Catalogue()).rows) == rows_sha256(rows_of(LINES))


def test_one_cell_makes_another_sheet() -> None:
    other = [*LINES[:-1], [*LINES[-1][:-1], "3"]]
    assert rows_sha256(rows_of(other)) != rows_sha256(rows_of(LINES))
    assert share_of(rows_of(other), sketch_of(rows_of(LINES))) == 19 / 20


def test_of_large_sheets_the_share_is_told_from_a_sample() -> None:
    things, boats = many(600), many(600, "boat")
    sketch = sketch_of(things)
    assert len(sketch) == SKETCH
    assert (share_of(things, sketch), share_of(boats, sketch)) == (1, 0)
    assert 0.35 < share_of((*things[:300], *boats[300:]), sketch) < 0.65


def test_nothing_is_alike_where_there_is_nothing() -> None:
    assert share_of((), sketch_of(many(3))) == share_of(many(3), ()) == 0
