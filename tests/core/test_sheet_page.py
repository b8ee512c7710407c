"""`docs/sheet.md` says what the code does: every column, every code, every limit."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from fakes.sheets import workbook

from assetline.plan import CODES as PLAN_CODES
from assetline.sheet import CODES, COLUMNS, Limits
from assetline.sheet.columns import FILES_COLUMN, RESULT_COLUMNS


@pytest.fixture
def page(project_root: Path) -> list[str]:
    """The page's lines."""
    return (project_root / "docs" / "sheet.md").read_text(encoding="utf-8").splitlines()


def line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def test_the_page_lists_every_column_and_no_other(page: list[str]) -> None:
    table = page[page.index("| column | also taken | its cells |") + 2 :][: len(COLUMNS) + 1]
    assert table == [*(line(f"`{c.name}`", ", ".join(c.synonyms), c.meaning) for c in COLUMNS), ""]


def test_the_page_names_every_column_that_a_run_adds(page: list[str]) -> None:
    table = page[page.index("## The sheet after a run") : page.index("## An edited sheet")]
    rows = " ".join(row for row in table if row.startswith("| `"))
    assert [name for name in (*RESULT_COLUMNS, "picture 1", FILES_COLUMN) if f"`{name}`" not in rows] == []


@pytest.mark.parametrize(
    ("heading", "codes"), [("### In reading the sheet", CODES), ("### In planning its pictures", PLAN_CODES)]
)
def test_the_page_lists_every_code_with_its_cure_and_no_other(page: list[str], heading: str, codes: dict) -> None:
    table = page[page.index(heading) + 4 :]
    table = table[: table.index("")] if "" in table else table
    assert table == [line(f"`{code}`", known.severity, known.meaning, known.cure) for code, known in codes.items()]


def test_the_page_names_every_limit(page: list[str]) -> None:
    limits = Limits()
    text = " ".join(page)
    values = {field.name: getattr(limits, field.name) for field in fields(limits)}
    shown = {
        name: f"{value // 1_000_000} MB" if name.endswith("bytes") else f"{value:,}" for name, value in values.items()
    }
    assert [name for name, value in shown.items() if value not in text] == []


def test_every_code_of_the_table_is_given_somewhere(project_root: Path) -> None:
    """A code that nothing gives any more has no place on the page."""
    sources = [path.read_text(encoding="utf-8") for path in (project_root / "assetline" / "sheet").glob("*.py")]
    tables = (project_root / "assetline" / "sheet" / "problems.py").read_text(encoding="utf-8")
    unused = [code for code in CODES if not any(f'"{code}"' in source for source in sources if source != tables)]
    assert unused == []


def test_reading_does_not_import_openpyxl(project_root: Path, tmp_path: Path) -> None:
    """It takes 0.4 s."""
    book = tmp_path / "a.xlsx"
    book.write_bytes(workbook([["prompt"], ["a hat"]]))
    code = (
        "import sys; from assetline.catalogue import Catalogue; from assetline.sheet import read_sheet, write_checked; "
        f"assert read_sheet('a.xlsx', open({str(book)!r}, 'rb').read(), Catalogue()).rows[0].prompt == 'a hat'; "
        "sheet = read_sheet('a.csv', b'prompt\\na shoe\\n', Catalogue()); "
        "write_checked('a.csv', b'prompt\\na shoe\\n', sheet.problems); "
        "print(len(sheet.rows), [name for name in ('openpyxl', 'PIL', 'numpy', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project_root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1 []"
