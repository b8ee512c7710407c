"""bootstrap.warming: what each worker shall load is what the dispatcher will give it first."""

from __future__ import annotations

from contextlib import closing

import pytest
from fakes.command_line import write

from assetline.bootstrap.planning import plan_sheet
from assetline.bootstrap.warming import Warmed, WarmedUp, WarmUp, plan_warm_up
from assetline.ledger import open_ledger
from assetline.ledger_records import Speed
from assetline.plan import Workers
from assetline.run_records import RunOptions
from assetline.settings import Settings

pytestmark = pytest.mark.anyio

GPUS = ("http://gpu1:8188", "http://gpu2:8188")
SHEET = "id,prompt,workflow,size,variants,backend\nA,a tent,sd15-txt2img,64x64,9,\nB,a mug,sdxl-txt2img,64x64,9,\n"


async def planned(sheet: str = SHEET, workers: Workers = Workers(), lanes: tuple[str, ...] = GPUS) -> WarmUp:  # noqa: B008
    options, settings = RunOptions(lanes=lanes), Settings()
    planning = plan_sheet(write("spring.csv", sheet), options, settings, workers)
    return await plan_warm_up(planning, workers, options, settings)


def first(plan: WarmUp) -> dict[str, str | None]:
    return {worker: one.request.workflow for worker, one in plan.first.items()}


async def test_what_earlier_runs_learned_of_the_workers_decides_as_it_will_in_the_run() -> None:
    before = await planned()
    assert {"sd15-txt2img", "sdxl-txt2img"} == set(first(before).values())
    fleet = before.planning.fleet
    slow = {(worker, fleet.affinity(one)) for worker, one in before.first.items()}
    known = [
        Speed(worker, name, 60.0 if (worker, name) in slow else 1.0, 5.0, 9) for worker in GPUS for _, name in slow
    ]
    with closing(open_ledger(Settings().ledger)) as ledger:
        ledger.keep_speeds(known)
    after = first(await planned())
    assert {worker: after[other] for worker, other in zip(GPUS, reversed(GPUS), strict=True)} == first(before)


async def test_a_ledger_that_cannot_be_opened_is_no_reason_to_warm_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    write("ledger.db", "this is no database")
    monkeypatch.setenv("ASSETLINE_LEDGER", "sqlite:///./ledger.db")
    assert list(GPUS) == list(first(await planned()))


async def test_a_worker_that_gets_nothing_at_first_loads_nothing() -> None:
    plan = await planned(SHEET.replace(",9,", ",1,"), lanes=(*GPUS, "http://gpu3:8188"))
    assert (2, 2) == (len(plan.first), plan.to_make)


async def test_who_did_not_answer_loads_nothing_and_its_part_is_the_others() -> None:
    plan = await planned(workers=Workers(silent={GPUS[0]: "gpu1 cannot be reached."}))
    assert ([GPUS[1]], 18) == (list(first(plan)), plan.to_make)
    assert {} == (await planned(workers=Workers(silent=dict.fromkeys(GPUS, "it cannot be reached.")))).first


async def test_what_other_lanes_make_is_not_warmed_for() -> None:
    plan = await planned(f"{SHEET}C,a comp,,64x64,5,fpo\n", lanes=(*GPUS, "fpo"))
    assert (23, 18) == (len(plan.planning.plan.requests), plan.to_make)
    assert GPUS == plan.workers


def test_reasons_are_told_and_many_are_counted() -> None:
    failed = tuple(Warmed(f"gpu{n}", reason="It is gone.", answered=False) for n in range(5))
    found = WarmedUp((Warmed("gpu9", "base", 3.0), *failed), to_make=4)
    assert "1 of 6 workers ready." == str(found)
    assert "gpu0: It is gone. gpu1: It is gone. gpu2: It is gone. And 2 more." == found.reasons
    assert () == WarmedUp(failed, to_make=0).failures, "nothing is left to load"
