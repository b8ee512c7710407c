"""What a run makes of the Replicate lane's refusals: who waits for whom, and what goes back to the workers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from fakes.replicate_lane import MODELS, Time, ledger_at, planned, settings

from assetline.backends.replicate.options import PaidScope
from assetline.bootstrap.paying import ThriftyBackend, stored_meanwhile
from assetline.bootstrap.planning import open_store, plan_sheet
from assetline.errors import BackendUnavailable, BudgetRefused, LedgerUnreachable
from assetline.ledger import Caps
from assetline.records import ImageRequest
from assetline.run_records import RunOptions
from assetline.settings import Settings
from assetline.store import PutOptions
from assetline.store.layout import asset_key


class Scripted(ThriftyBackend):
    """Fails by row: `refused`, `locked`; whatever else is asked for takes for ever. Others may give money back."""

    def __init__(self, folder: Path, overflow: Mapping[str, ImageRequest] | None = None) -> None:
        scope = PaidScope("spring", "run-1", Caps(run=1.0))
        super().__init__(
            MODELS,
            ledger_at(folder, Time()),
            scope,
            settings("http://127.0.0.1:9"),
            references=lambda _: b"",
            overflow=overflow or {},
        )

        self.asked = asyncio.Event()

    async def _made(self, _parts, order):
        if order.row == "refused":
            self.asked.set()
            raise BudgetRefused("the cap is reached", cap="run")
        if order.row == "locked":
            raise LedgerUnreachable("the ledger is locked")
        return await asyncio.get_running_loop().create_future()

    def _may_come_back(self) -> bool:
        return True


def test_when_all_are_canceled_together_all_are_canceled(tmp_path: Path) -> None:
    """Once the one that ended first woke one that was canceled already, and failed as by a fault of ours."""

    async def stop() -> list[object]:
        lane = Scripted(tmp_path)
        both = [asyncio.create_task(lane.generate(planned(row=row), 1)) for row in ("goes on", "refused")]
        await lane.asked.wait()
        while not any(turn._callbacks for turn in lane._refused):  # noqa: ASYNC110  (until it is waited for: asyncio tells nobody)
            await asyncio.sleep(0)
        for task in both:
            task.cancel()
        return [type(answer) for answer in await asyncio.gather(*both, return_exceptions=True)]

    assert [asyncio.CancelledError] * 2 == asyncio.run(stop())


def test_what_overflows_is_tried_again_where_the_ledger_does_not_answer(tmp_path: Path) -> None:
    mine = planned(row="locked")
    with pytest.raises(BackendUnavailable, match="the ledger is locked"):
        asyncio.run(Scripted(tmp_path, {mine.request.key: mine.request}).generate(mine, 1))
    with pytest.raises(LedgerUnreachable):
        asyncio.run(Scripted(tmp_path).generate(mine, 1))


def test_a_picture_that_another_run_has_stored_meanwhile_is_at_hand() -> None:
    Path("spring.csv").write_text("id,prompt,size\nTENT,a red tent,128x128\nMUG,a mug,128x128\n")
    options, settings_ = RunOptions(lanes=("fpo",), store="assets"), Settings()
    planning = plan_sheet("spring.csv", options, settings_)
    tent, mug = planning.plan.requests
    open_store("assets", settings_).put(asset_key("spring", tent, "png"), b"the picture", PutOptions(metadata={}))
    found = [stored_meanwhile(planning, options, settings_, request) for request in (tent, mug)]
    assert [b"the picture", None] == found


def test_a_stored_picture_of_another_request_with_the_same_eight_digits_is_not_taken() -> None:
    Path("spring.csv").write_text("id,prompt,size\nTENT,a red tent,128x128\n")
    options, settings_ = RunOptions(lanes=("fpo",), store="assets"), Settings()
    planning = plan_sheet("spring.csv", options, settings_)
    [tent] = planning.plan.requests
    other = PutOptions(metadata={"request-key": tent.request.key[:8] + 56 * "0"})
    open_store("assets", settings_).put(asset_key("spring", tent, "png"), b"a mug", other)
    assert stored_meanwhile(planning, options, settings_, tent) is None
