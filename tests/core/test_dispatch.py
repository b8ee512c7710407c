"""Who takes what, and what happens when a lane fails: on a virtual clock, against scripted backends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest
from fakes.lanes import ScriptedBackend, make, planned
from fakes.virtual_time import run_virtual

from assetline.dispatch import Dispatcher, DispatchOptions, Lane, Ticket
from assetline.errors import ImageError, JobFailed, JobRejected, LaneUnsuited
from assetline.policy import NO_RETRIES
from assetline.records import Made, Outcome, PlannedRequest


def dispatch(
    requests: Sequence[PlannedRequest],
    *backends: ScriptedBackend,
    slots: int = 1,
    step=make,
    options: DispatchOptions | None = None,
) -> tuple[list[Outcome], float]:
    """Run the real dispatcher; the outcomes in the order of the requests, and the virtual seconds it took."""

    async def main() -> tuple[list[Outcome], float]:
        dispatcher = Dispatcher([Lane(backend, slots) for backend in backends], options)
        await dispatcher.run(requests, step, lambda _: None)
        return [dispatcher.made[n].outcome for n in range(len(requests))], asyncio.get_running_loop().time()

    return run_virtual(main())


def statuses(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.status for outcome in outcomes]


def test_every_request_ends_in_one_outcome() -> None:
    lane = ScriptedBackend("a")
    outcomes, _ = dispatch([planned(n) for n in range(20)], lane)
    assert [f"R{n}" for n in range(20)] == [outcome.row for outcome in outcomes] == lane.rows()


def test_nothing_to_do_ends_at_once() -> None:
    assert ([], 0.0) == dispatch([], ScriptedBackend("a"))


def test_a_fast_lane_takes_more_than_a_slow_one() -> None:
    fast, slow = ScriptedBackend("fast", seconds=1), ScriptedBackend("slow", seconds=4)
    _, seconds = dispatch([planned(n) for n in range(50)], fast, slow)
    assert (40, 10) == (len(fast.rows()), len(slow.rows()))
    assert seconds == 40


def test_a_lane_never_holds_more_requests_than_it_has_slots() -> None:
    lane = ScriptedBackend("a")
    dispatch([planned(n) for n in range(30)], lane, slots=2)
    assert lane.most_running == 2


def test_higher_priority_goes_first() -> None:
    lane = ScriptedBackend("a")
    dispatch([planned(0), planned(1), planned(2, priority=5)], lane)
    assert lane.rows() == ["R2", "R0", "R1"]


def test_the_slot_is_free_while_the_asset_is_stored() -> None:
    async def slow_to_store(ticket: Ticket) -> Made:
        made = await make(ticket)
        await asyncio.sleep(3)
        return made

    _, seconds = dispatch([planned(n) for n in range(10)], ScriptedBackend("a"), step=slow_to_store)
    assert seconds == 10 + 3


def test_pictures_that_wait_to_be_stored_are_bounded() -> None:
    most = live = 0

    async def very_slow_to_store(ticket: Ticket) -> Made:
        nonlocal most, live
        live += 1
        most = max(most, live)
        made = await make(ticket)
        await asyncio.sleep(100)
        live -= 1
        return made

    dispatch(
        [planned(n) for n in range(40)],
        ScriptedBackend("a"),
        step=very_slow_to_store,
        options=DispatchOptions(unstored=4),
    )
    assert most == 1 + 4


def test_a_failed_try_goes_to_another_lane() -> None:
    bad = ScriptedBackend("bad", answers=[JobFailed("out of memory", job_id="x")])
    good = ScriptedBackend("good", seconds=5)
    outcomes, _ = dispatch([planned(0)], bad, good)
    assert statuses(outcomes) == ["stored"]
    assert [("bad", "out of memory", "worker"), ("good", "", "")] == [
        (a.lane, a.error, a.fault) for a in outcomes[0].attempts
    ]


def test_a_failed_try_comes_back_to_the_only_lane() -> None:
    outcomes, _ = dispatch([planned(0)], ScriptedBackend("a", answers=[JobFailed("x"), JobFailed("y")]))
    assert statuses(outcomes) == ["stored"]
    assert len(outcomes[0].attempts) == 3


def test_the_number_of_tries_is_bounded_and_the_last_reason_is_told() -> None:
    outcomes, _ = dispatch([planned(0)], ScriptedBackend("a", answers=[JobFailed(f"fault {n}") for n in range(9)]))
    assert [("failed", "fault 2", 3)] == [(o.status, o.reason, len(o.attempts)) for o in outcomes]


def test_a_rejected_request_is_never_tried_again() -> None:
    lanes = ScriptedBackend("a", answers=[JobRejected("steps is 0")]), ScriptedBackend("b", seconds=9)
    outcomes, _ = dispatch([planned(0)], *lanes)
    assert [("failed", "steps is 0", 1)] == [(o.status, o.reason, len(o.attempts)) for o in outcomes]


def test_retries_can_be_switched_off() -> None:
    backend = ScriptedBackend("a", answers=[JobFailed("x")])
    outcomes, _ = dispatch([planned(0)], backend, options=DispatchOptions(policy=NO_RETRIES))
    assert statuses(outcomes) == ["failed"]


def test_a_lane_that_lacks_a_model_still_gets_the_rest() -> None:
    poor = ScriptedBackend("poor", answers=[LaneUnsuited("no LoRA brand")])
    rich = ScriptedBackend("rich")
    outcomes, _ = dispatch([planned(n) for n in range(10)], poor, rich)
    assert statuses(outcomes) == ["stored"] * 10
    assert "R0" in rich.rows()
    assert len(poor.rows()) >= 4


def test_a_request_that_no_lane_suits_fails_with_the_lanes_own_words() -> None:
    lanes = [ScriptedBackend(name, answers=[LaneUnsuited("no LoRA brand")]) for name in "ab"]
    outcomes, _ = dispatch([planned(0)], *lanes)
    assert statuses(outcomes) == ["failed"]
    assert "no LoRA brand" in outcomes[0].reason


def test_a_request_of_another_kind_fails_before_anything_is_tried() -> None:
    lane = ScriptedBackend("a", suits=lambda planned: planned.request.workflow == "known")
    outcomes, _ = dispatch([planned(0, workflow="other"), planned(1, workflow="known")], lane)
    assert statuses(outcomes) == ["failed", "stored"]


def test_a_lane_that_is_down_takes_nothing_and_comes_back() -> None:
    lane = ScriptedBackend("a", down=(3.5, 10.0))
    outcomes, seconds = dispatch([planned(n) for n in range(10)], lane)
    assert statuses(outcomes) == ["stored"] * 10
    assert [len(outcome.attempts) for outcome in outcomes] == [1, 1, 1, 2, 1, 1, 1, 1, 1, 1]
    assert seconds < 25


def test_the_other_lane_does_the_work_of_one_that_is_down() -> None:
    dead, alive = ScriptedBackend("dead", down=(0, 1e9)), ScriptedBackend("alive")
    outcomes, _ = dispatch([planned(n) for n in range(30)], dead, alive, slots=2)
    assert statuses(outcomes) == ["stored"] * 30
    assert len([o for o in outcomes if len(o.attempts) > 1]) <= 2


def test_when_the_last_lane_is_gone_every_request_says_so() -> None:
    lane = ScriptedBackend("a", down=(2.5, 1e9))
    outcomes, seconds = dispatch([planned(n) for n in range(5)], lane, options=DispatchOptions(patience_s=60))
    assert statuses(outcomes) == ["stored"] * 2 + ["failed"] * 3
    assert all("a does not answer" in outcome.reason for outcome in outcomes[2:])
    assert seconds < 70


def test_pauses_grow_while_a_lane_is_down() -> None:
    lane = ScriptedBackend("a", down=(0, 1e9))
    dispatch([planned(0)], lane, options=DispatchOptions(patience_s=100))
    gaps = [b - a for a, b in zip(lane.probes, lane.probes[1:], strict=False)]
    assert gaps == sorted(gaps)
    assert gaps[-1] == 30


def test_a_lane_keeps_to_what_it_has_loaded_within_a_bound() -> None:
    requests = [planned(n, workflow="xy"[n % 2]) for n in range(100)]
    lane = ScriptedBackend("a")
    dispatch(requests, lane, options=DispatchOptions(affinity=lambda p: str(p.request.workflow)))
    loaded = [requests[int(row[1:])].request.workflow for row in lane.rows()]
    loads = 1 + sum(a != b for a, b in pairwise(loaded))
    assert loads <= 4
    assert lane.rows().index("R1") <= 33


def test_a_fault_of_ours_costs_one_request_not_the_run(caplog: pytest.LogCaptureFixture) -> None:
    async def faulty(ticket: Ticket) -> Made:
        if ticket.planned.row == "R1":
            raise ZeroDivisionError("ours")
        return await make(ticket)

    outcomes, _ = dispatch([planned(n) for n in range(4)], ScriptedBackend("a"), step=faulty)
    assert statuses(outcomes) == ["stored", "failed", "stored", "stored"]
    assert "ZeroDivisionError" in outcomes[1].reason
    assert "asset step failed" in caplog.text


def test_a_picture_that_cannot_be_used_counts_as_that_lanes_failure() -> None:
    broken = iter([True, False])

    async def checks(ticket: Ticket) -> Made:
        while True:
            await ticket.generate()
            if not next(broken):
                return Made(Outcome.of(ticket.planned, "stored", attempts=tuple(ticket.attempts)))
            await ticket.again(ImageError("the file is cut off"))

    outcomes, _ = dispatch([planned(0)], ScriptedBackend("a"), ScriptedBackend("b", seconds=9), step=checks)
    assert [("a", "the file is cut off"), ("b", "")] == [(a.lane, a.error) for a in outcomes[0].attempts]


def test_cancelling_tells_the_backends_and_keeps_what_has_ended() -> None:
    lane = ScriptedBackend("a")

    async def main() -> dict[int, Made]:
        dispatcher = Dispatcher([Lane(lane, 2)])
        run = asyncio.create_task(dispatcher.run([planned(n) for n in range(10)], make, lambda _: None))
        await asyncio.sleep(2.5)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        return dispatcher.made

    made = run_virtual(main())
    assert sorted(made) == [0, 1, 2, 3]
    assert [("R4", "canceled"), ("R5", "canceled")] == sorted(entry for entry in lane.log if entry[1] == "canceled")
