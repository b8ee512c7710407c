"""Two runs of campaigns on the same workers: the second knows what the first has learned of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.campaigns import statuses
from fakes.command_line import ended, start, write
from fakes.fake_comfyui import FakeComfyUI
from fakes.fast_time import run_fast

from assetline.bootstrap.planning import plan_sheet
from assetline.bootstrap.running import open_job
from assetline.ledger import open_ledger
from assetline.ledger_records import Speed
from assetline.pipeline import RunResult, run_campaign
from assetline.run_records import RunOptions
from assetline.settings import Settings

SHEET = "id,prompt,workflow,size,variants\nTENT,a tent,sd15-txt2img,64x64,{}\n"


def run(*workers: FakeComfyUI, variants: int = 12) -> tuple[list[Speed], RunResult]:
    """Run a sheet as the command line does; gives what its dispatcher knew of the lanes at the start."""
    settings = Settings()
    sheet = write("spring.csv", SHEET.format(variants))
    options = RunOptions(lanes=tuple(worker.url for worker in workers), store="store")

    async def execute() -> tuple[list[Speed], RunResult]:
        async with open_job(plan_sheet(sheet, options, settings), options, settings) as job:
            known = job.dispatch.speeds.rows()
            return known, await run_campaign(job, lambda step: step, lambda _: None)

    return run_fast(execute())


def test_the_second_run_knows_the_speeds_that_the_first_has_learned() -> None:
    with FakeComfyUI() as one, FakeComfyUI() as other:
        known, first = run(one, other)
        assert [] == known
        assert ["stored"] * 12 == statuses(first)
        ledger = open_ledger(Settings().ledger)
        kept = ledger.speeds()
        ledger.close()
        known, second = run(one, other, variants=16)
    assert {one.url, other.url} >= {speed.lane for speed in kept} != set()
    assert sorted(kept, key=str) == sorted(known, key=str)
    assert 4 == statuses(second).count("stored")


def test_placeholders_make_no_ledger() -> None:
    done = ended(start("run", write("comps.csv", "id,prompt,size\nTENT,a tent,64x64\n"), "--direct"))
    assert 0 == done.code
    assert not Path("assetline.db").exists()


@pytest.mark.server
def test_a_run_that_costs_nothing_goes_on_without_its_ledger_and_says_so() -> None:
    sheet = write("spring.csv", SHEET.format(2))
    with FakeComfyUI() as worker:
        lane = ("--lane", worker.url)
        done = ended(start("run", sheet, "--direct", *lane, ASSETLINE_LEDGER="sqlite:///nowhere/assetline.db"))
    assert 0 == done.code
    assert "Speeds are neither known nor kept for the next run: The ledger " in done.err
    assert "nowhere/assetline.db cannot be used: it cannot be opened. Its folder must exist" in done.err
