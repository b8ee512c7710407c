"""What `check` passes can be run: workbooks of every kind through FPO, and sheets that come back from a run."""

from __future__ import annotations

import asyncio
import io
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from assetline.bootstrap.planning import Planning, plan_sheet
from assetline.bootstrap.running import open_job
from assetline.pipeline import RunResult, run_campaign
from assetline.run_records import RunOptions
from assetline.settings import Settings
from assetline.sheet import results_of, write_results

PROMPTS = st.one_of(
    st.text(min_size=1, max_size=60),
    st.sampled_from(
        ["a {product} in {red|blue}", "__setting__ {colour}", "{{so}}", "=1+1", "'=x", "@x", "a\nb", "-7", 7]
    ),
)
CELLS: dict[str, st.SearchStrategy[Any]] = {
    "id": st.one_of(st.none(), st.integers(0, 99_999), st.text("aB1-_. é赤", max_size=12)),
    "prompt": PROMPTS,
    "product": st.one_of(st.none(), st.text(max_size=12), st.floats(allow_nan=False, allow_infinity=False)),
    "colour": st.one_of(st.none(), st.booleans(), st.dates(), st.times()),
    "style": st.sampled_from([None, "Minimalist", "photorealistic, Social Media", "bold"]),
    "size": st.sampled_from([None, "64x64", "128 x 96 px", "72x64, 64x72"]),
    "variants": st.sampled_from([None, 1, 2, "2.0", 0]),
    "seed": st.one_of(st.none(), st.integers(0, 2**64).map(str), st.integers(0, 2**53)),
    "tags": st.one_of(st.none(), st.text(max_size=20)),
    "prompt@de": st.one_of(st.none(), st.text(max_size=20)),
}


@st.composite
def workbooks(draw: st.DrawFn) -> bytes:
    """A few rows of any columns; some of them `check` refuses."""
    columns = draw(
        st.permutations(["prompt", *draw(st.lists(st.sampled_from(sorted(CELLS)), unique=True, max_size=6))])
    )
    columns = list(dict.fromkeys(columns))
    book = Workbook()
    sheet = book.active
    for _ in range(draw(st.integers(0, 2))):
        sheet.append(["Spring"])
    sheet.append(columns)
    for _ in range(draw(st.integers(1, 3))):
        cells = [draw(CELLS[column]) for column in columns]
        sheet.append([_writable(cell) for cell in cells])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _writable(cell: Any) -> Any:
    """What a spreadsheet program can hold: no control characters, and no formula (which would have no value)."""
    if not isinstance(cell, str):
        return cell
    text = "".join(character for character in cell if character.isprintable() or character == "\n")
    return f"'{text}" if text.startswith("=") else text


def plan(folder: str, sheet: str) -> tuple[Planning, RunOptions, Settings]:
    options, machine = RunOptions(lanes=("fpo",), campaign="spring"), Settings(store=f"{folder}/store")
    return plan_sheet(f"{folder}/{sheet}", options, machine), options, machine


def run(folder: str, sheet: str) -> tuple[RunResult, str]:
    """Run a sheet and write it back with its results; the name of what was written."""
    planning, options, machine = plan(folder, sheet)
    assert planning.plan.ok, [str(problem) for problem in planning.plan.problems]

    async def whole() -> tuple[RunResult, Any]:
        async with open_job(planning, options, machine) as job:
            return await run_campaign(job, lambda step: step, lambda _: None), job.store

    result, store = asyncio.run(whole())
    source = planning.source
    name, data = write_results(source.name, source.data, results_of(result.outcomes, store.uri_of))
    Path(folder, name).write_bytes(data)
    return result, name


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(workbooks())
def test_a_workbook_that_check_passes_runs_and_comes_back_and_runs_again(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "spring.xlsx").write_bytes(data)
        if not plan(folder, "spring.xlsx")[0].plan.ok:
            return
        first, name = run(folder, "spring.xlsx")
        assert first.record.counts.failed == first.record.counts.canceled == 0
        second, _ = run(folder, name)
        assert [o.request_key for o in second.outcomes] == [o.request_key for o in first.outcomes]
        assert second.record.counts.stored == 0


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_sheet_that_comes_back_is_run_again_without_a_picture_lost_or_made_twice(kind: str) -> None:
    """As many as 1,000 rows were tried; here there are fewer."""
    columns = ["SKU", "prompt", "colour", "note", "size", "variants"]
    lines = [[f"LV-{n:04}", f"a mug, number {n}, {{colour}}", "=red", "+1", "64x64", "2"] for n in range(20)]
    if kind == "csv":
        text = "\n".join(",".join(f'"{cell}"' for cell in line) for line in [columns, *lines])
        Path("spring.csv").write_text(text)
    else:
        book = Workbook()
        for line in [columns, *[[cell.replace("=", "'=") for cell in line] for line in lines]]:
            book.active.append(line)
        book.save("spring.xlsx")
    first, once = run(".", f"spring.{kind}")
    second, twice = run(".", once)
    third, _ = run(".", twice)
    assert (first.record.counts.total, once, twice) == (40, f"spring.results.{kind}", f"spring.results.{kind}")
    assert [result.record.counts.reused + result.record.counts.duplicate for result in (second, third)] == [40, 40]
    keys = [[o.request_key for o in result.outcomes] for result in (first, second, third)]
    assert keys == [keys[0]] * 3
