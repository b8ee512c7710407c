"""A worker that lacks a model leaves what needs it to the others, and is busy with the rest meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from fakes.lanes import ScriptedBackend, make, planned
from fakes.virtual_time import run_virtual

from assetline.dispatch import Dispatcher, DispatchOptions, Lane
from assetline.errors import LaneUnsuited
from assetline.records import Outcome, PlannedRequest, Render


class Poor(ScriptedBackend):
    """Has none of the LoRAs. `refused` are the rows that it was asked for in vain."""

    def __init__(self, name: str, **options) -> None:
        super().__init__(name, **options)
        self.refused: list[str] = []

    async def generate(self, planned: PlannedRequest, attempt: int) -> Render:
        if str(planned.request.workflow).startswith("lora"):
            self.refused.append(planned.row)
            raise LaneUnsuited(f"{self.name} lacks {planned.request.workflow}", lane=self.name)
        return await super().generate(planned, attempt)


def dispatch(
    workflows: Sequence[str], *backends: ScriptedBackend, patience_s: float = 120
) -> tuple[list[Outcome], float]:
    """One request of each workflow, two slots a lane; the outcomes and the virtual seconds."""
    requests = [planned(number, workflow=workflow) for number, workflow in enumerate(workflows)]
    options = DispatchOptions(patience_s=patience_s, affinity=lambda item: str(item.request.workflow))

    async def main() -> tuple[list[Outcome], float]:
        dispatcher = Dispatcher([Lane(backend, 2) for backend in backends], options)
        await dispatcher.run(requests, make, lambda _: None)
        return [dispatcher.made[n].outcome for n in range(len(requests))], asyncio.get_running_loop().time()

    return run_virtual(main())


@pytest.mark.parametrize(
    ("workflows", "expected_s"),
    [
        (["lora"] * 60 + ["plain"] * 60, 31),  # the rich lane has one plain picture under way when it is known
        (["lora", "plain"] * 60, 31),
        (["plain"] * 60 + ["lora"] * 60, 30),  # each lane keeps to what it began with
    ],
    ids=["first", "mixed", "last"],
)
def test_it_works_on_the_rest_while_the_other_does_what_it_cannot(workflows: list[str], expected_s: int) -> None:
    poor, rich = Poor("poor"), ScriptedBackend("rich")
    outcomes, seconds = dispatch(workflows, poor, rich)
    assert ["stored"] * 120 == [outcome.status for outcome in outcomes]
    assert len(poor.refused) <= 2, "once for each slot, then it is known"
    assert expected_s == seconds


def test_many_models_that_it_lacks_do_not_stop_it() -> None:
    """Each product has its own LoRA: more of them than may wait to be stored."""
    poor, rich = Poor("poor"), ScriptedBackend("rich")
    outcomes, seconds = dispatch([f"lora-{n % 20}" for n in range(60)] + ["plain"] * 60, poor, rich)
    assert ["stored"] * 120 == [outcome.status for outcome in outcomes]
    assert (seconds, len(poor.rows()), len(rich.rows())) == (31, 60, 60)


def test_what_every_lane_lacks_fails_with_their_words() -> None:
    outcomes, _ = dispatch(["lora"] * 20 + ["plain"] * 4, Poor("a"), Poor("b"))
    assert ["failed"] * 20 + ["stored"] * 4 == [outcome.status for outcome in outcomes]
    assert all("lacks lora" in outcome.reason for outcome in outcomes[:20])


def test_what_only_a_lost_lane_had_fails_when_that_one_is_gone() -> None:
    rich = ScriptedBackend("rich", down=(2.5, 1e9))
    outcomes, seconds = dispatch(["lora"] * 20 + ["plain"] * 20, Poor("poor"), rich, patience_s=60)
    assert ["stored"] * 20 == [outcome.status for outcome in outcomes[20:]]
    assert {"stored", "failed"} == {outcome.status for outcome in outcomes[:20]}
    assert seconds < 80


def test_it_waits_for_a_lane_that_comes_back() -> None:
    rich = ScriptedBackend("rich", down=(1.5, 20))
    outcomes, _ = dispatch(["lora"] * 20 + ["plain"] * 20, Poor("poor"), rich)
    assert ["stored"] * 40 == [outcome.status for outcome in outcomes]


def test_a_lane_that_has_made_it_after_all_is_taken_at_its_word() -> None:
    """One value of a row (a sampler) was refused, not the model: the lane makes the next row, and goes on."""
    lane = ScriptedBackend("a", answers=[LaneUnsuited("no such sampler")])
    outcomes, seconds = dispatch(["plain"] * 20, lane, ScriptedBackend("b", down=(0, 1e9)), patience_s=10)
    assert ["failed"] == [outcome.status for outcome in outcomes if outcome.status != "stored"]
    assert seconds < 30
