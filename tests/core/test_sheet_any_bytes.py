"""Whatever the bytes are: rows or errors, never an exception, and a checked file always."""

from __future__ import annotations

import io
import zipfile

from fakes.sheets import CATALOGUE, workbook
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from assetline.sheet import CODES, read_sheet, write_checked

FEW = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
WORKBOOK = workbook([["id", "prompt", "size"], [1, "a shoe", "4:5"], [2, "=A1", "big"]])
PARTS = ("xl/worksheets/sheet1.xml", "xl/workbook.xml", "xl/styles.xml", "[Content_Types].xml")
SHEET_TEXT = st.text(alphabet="ab1:,;|\t\"'=\n\r \u00a0\u00e9{}\x00#", max_size=80)


def holds(file_name: str, data: bytes) -> None:
    """Rows or an error, each problem by its table, and a checked file that can itself be read."""
    sheet = read_sheet(file_name, data, CATALOGUE)
    assert sheet.rows or sheet.errors
    assert {(problem.code, problem.severity) for problem in sheet.problems} <= {
        (code, known.severity) for code, known in CODES.items()
    }
    name, checked = write_checked(file_name, data, sheet.problems)
    again = read_sheet(name, checked, CATALOGUE)
    assert again.rows or again.errors


@FEW
@given(st.binary(max_size=200))
@example(b"\xff\xfe")
@example(b'prompt\n"')
def test_any_bytes_give_rows_or_errors(data: bytes) -> None:
    holds("plan.csv", data)


@FEW
@given(SHEET_TEXT, st.sampled_from(["prompt,id,size,seed", "prompt;style", "prompt\tcfg\tchannels", "a"]))
def test_any_text_below_a_header_gives_rows_or_errors(text: str, header: str) -> None:
    holds("plan.csv", f"{header}\n{text}".encode())


@settings(FEW, max_examples=25)
@given(st.integers(0, len(WORKBOOK) - 1), st.binary(min_size=1, max_size=4))
def test_a_workbook_with_damaged_bytes_gives_rows_or_errors(at: int, damage: bytes) -> None:
    holds("plan.xlsx", WORKBOOK[:at] + damage + WORKBOOK[at + len(damage) :])


@settings(FEW, max_examples=25)
@given(st.sampled_from(PARTS), st.floats(0, 1), st.sampled_from([b"", b"9", b"<", b'"', b"\xff", b"e400", b"-"]))
def test_a_workbook_with_a_damaged_part_gives_rows_or_errors(part: str, where: float, damage: bytes) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(WORKBOOK)) as archive, zipfile.ZipFile(out, "w") as copied:
        for member in archive.namelist():
            content = archive.read(member)
            at = int(where * len(content))
            copied.writestr(member, content[:at] + damage + content[at + 1 :] if member == part else content)
    holds("plan.xlsx", out.getvalue())
