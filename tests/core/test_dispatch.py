"""Who takes what, and what happens when a lane fails: on a virtual clock, against scripted backends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

import pytest
from fakes.lanes import ScriptedBackend, make, planned
from fakes.virtual_time import run_virtual

from assetline.dispatch import Dispatcher, DispatchOptions, Lane, LaneEvent, Ticket
from assetline.dispatch.speeds import Speed, Speeds
from assetline.errors import BackendUnavailable, ImageError, JobFailed, JobRejected, LaneUnsuited
from assetline.policy import NO_RETRIES
from assetline.records import Made, Outcome, PlannedRequest, Render


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
    dispatch([planned(0)], lane, options=DispatchOptions(patience_s=121))
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


def test_what_is_taken_back_is_no_failure_of_the_lane_and_no_load_of_the_next() -> None:
    events: list[LaneEvent] = []

    async def main() -> None:
        options = DispatchOptions(affinity=lambda _: "sdxl", listen=events.append)
        dispatcher = Dispatcher([Lane(ScriptedBackend("a"), 2, 1)], options)
        run = asyncio.create_task(dispatcher.run([planned(n) for n in range(10)], make, lambda _: None))
        await asyncio.sleep(2.5)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)

    run_virtual(main())
    ended = [event.detail for event in events if event.kind == "failed"]
    assert (["", ""], ["load"]) == (ended, [event.detail for event in events if event.kind == "began" and event.detail])


# --- a worker that makes one picture at a time, with one more ahead


class Worker(ScriptedBackend):
    """One at a time, in the order in which they came; a load whenever the workflow changes."""

    def __init__(self, name: str, *, load_s: float = 0.0, **options) -> None:
        super().__init__(name, **options)
        self.load_s = load_s
        self.loaded = ""
        self.loads: list[str] = []
        self._one_at_a_time = asyncio.Lock()

    async def generate(self, planned: PlannedRequest, attempt: int) -> Render:
        async with self._one_at_a_time:
            if self.loaded != planned.request.workflow:
                self.loaded = str(planned.request.workflow)
                self.loads.append(self.loaded)
                await asyncio.sleep(self.load_s)
            return await super().generate(planned, attempt)


def by_workflow(planned: PlannedRequest) -> str:
    return str(planned.request.workflow)


def known(*workers: Worker, workflows: str = "xy") -> Speeds:
    return Speeds(Speed(w.name, name, w.seconds, w.load_s, samples=9) for w in workers for name in workflows)


def run_fleet(
    requests: Sequence[PlannedRequest], *workers: Worker, later: Sequence[tuple[float, PlannedRequest]] = (), **options
) -> tuple[Dispatcher, float]:
    """Run workers with one slot ahead; `later` requests come at their seconds. The dispatcher, and how long it took."""

    async def come() -> AsyncIterator[list[PlannedRequest]]:
        for at, one in later:
            await asyncio.sleep(at - asyncio.get_running_loop().time())
            yield [one]

    async def main() -> tuple[Dispatcher, float]:
        chosen = DispatchOptions(affinity=by_workflow, **options)
        dispatcher = Dispatcher([Lane(worker, 2, ahead=1) for worker in workers], chosen)
        await dispatcher.run(requests, make, lambda _: None, come() if later else None)
        return dispatcher, asyncio.get_running_loop().time()

    return run_virtual(main())


def test_a_worker_never_waits_for_us_once_it_is_known() -> None:
    worker = Worker("a", load_s=5)
    _, seconds = run_fleet([planned(n) for n in range(20)], worker)
    assert 5 + 20 == seconds


def test_what_each_picture_took_is_learned() -> None:
    fast, slow = Worker("fast", seconds=1, load_s=7), Worker("slow", seconds=3, load_s=7)
    speeds = Speeds()
    run_fleet([planned(n, workflow="x") for n in range(40)], fast, slow, speeds=speeds)
    assert {("fast", 1.0, 7.0), ("slow", 3.0, 7.0)} == {
        (row.lane, row.seconds, row.load_seconds) for row in speeds.rows()
    }


def test_each_worker_keeps_its_models_and_all_end_together() -> None:
    workers = [Worker(name, load_s=20) for name in "abcd"]
    requests = [planned(n, workflow="xy"[n % 2]) for n in range(200)]
    _, seconds = run_fleet(requests, *workers, speeds=known(*workers))
    assert [1] * 4 == [len(worker.loads) for worker in workers]
    assert 20 + 50 == seconds


def test_a_slow_worker_does_not_hold_up_the_end() -> None:
    fast, slow = Worker("fast", seconds=1), Worker("slow", seconds=10)
    _, seconds = run_fleet([planned(n, workflow="x") for n in range(15)], fast, slow, speeds=known(fast, slow))
    assert (14, 1, 14) == (len(fast.rows()), len(slow.rows()), seconds)


def test_what_comes_later_is_made_too() -> None:
    worker = Worker("a")
    dispatcher, seconds = run_fleet([planned(0)], worker, later=[(5, planned(1)), (30, planned(2))])
    assert ["stored"] * 3 == [dispatcher.made[n].outcome.status for n in range(3)]
    assert ["R0", "R1", "R2"] == worker.rows()
    assert 31 == seconds


def test_a_run_may_begin_with_nothing() -> None:
    dispatcher, seconds = run_fleet([], Worker("a"), later=[(5, planned(0))])
    assert (1, 6) == (len(dispatcher.made), seconds)


def test_an_urgent_request_waits_behind_what_is_under_way_and_one_more() -> None:
    worker = Worker("a", load_s=5)
    urgent = planned(999, priority=9, workflow="y")
    run_fleet([planned(n, workflow="x") for n in range(300)], worker, later=[(20.5, urgent)], speeds=known(worker))
    waited = worker.rows().index("R999") - 16  # R15 is under way at 20.5 s, R16 is ahead
    assert waited <= 1


def test_what_a_dead_worker_held_is_made_by_others_where_it_costs_least() -> None:
    dead, x, y = Worker("dead", down=(12.5, 1e9), load_s=5), Worker("x", load_s=5), Worker("y", load_s=5)
    requests = [planned(n, workflow="xy"[n >= 20]) for n in range(60)]
    dispatcher, _ = run_fleet(requests, dead, x, y, speeds=known(dead, x, y))
    outcomes = [made.outcome for made in dispatcher.made.values()]
    assert {"stored"} == set(statuses(outcomes))
    assert sum(len(outcome.attempts) > 1 for outcome in outcomes) <= 2
    assert len(x.loads) + len(y.loads) <= 4


def test_a_worker_that_was_away_has_nothing_loaded() -> None:
    worker = Worker("a", down=(10.5, 12), load_s=5)
    speeds = known(worker)
    events: list[LaneEvent] = []
    run_fleet([planned(n, workflow="x") for n in range(20)], worker, speeds=speeds, listen=events.append)
    began = [(event.detail, event.at) for event in events if event.kind == "began"]
    assert [0.0, 14.0] == [at for detail, at in began if detail == "load"]


def test_everything_that_happens_on_a_lane_is_told() -> None:
    events: list[LaneEvent] = []
    worker = Worker("a", load_s=5, answers=[None, JobFailed("out of memory")])
    run_fleet([planned(n, workflow="x") for n in range(2)], worker, speeds=known(worker), listen=events.append)
    assert [
        (0.0, "taken", "R0-1-64x64", ""),
        (0.0, "began", "R0-1-64x64", "load"),
        (0.0, "taken", "R1-1-64x64", ""),
        (6.0, "made", "R0-1-64x64", "6.000"),
        (6.0, "began", "R1-1-64x64", ""),
        (7.0, "failed", "R1-1-64x64", "out of memory"),
        (7.0, "taken", "R1-1-64x64", ""),
        (7.0, "began", "R1-1-64x64", "load"),
        (8.0, "made", "R1-1-64x64", "1.000"),
    ] == [(event.at, event.kind, event.label, event.detail) for event in events]
    assert {("a", "x")} == {(event.lane, event.affinity) for event in events}


def test_a_lane_that_goes_and_comes_back_or_is_gone_is_told() -> None:
    events: list[LaneEvent] = []
    flaps, dies = Worker("flaps", down=(2.5, 4)), Worker("dies", down=(2.5, 1e9))
    run_fleet([planned(n) for n in range(300)], flaps, dies, listen=events.append, patience_s=20)
    kinds = [(event.lane, event.kind) for event in events if event.kind in {"down", "up", "gone"}]
    assert [("flaps", "down"), ("flaps", "up")] == [entry for entry in kinds if entry[0] == "flaps"]
    assert [("dies", "down"), ("dies", "gone")] == [entry for entry in kinds if entry[0] == "dies"]


def test_tickets_that_came_back_are_taken_even_when_nothing_more_may_be_under_way() -> None:
    """All slots' worth of pictures wait to be stored; a failed try must not wait for the one behind it."""
    worker = Worker("a", answers=[JobFailed("x")])
    dispatcher, _ = run_fleet([planned(n) for n in range(4)], worker, unstored=0)
    assert ["stored"] * 4 == [dispatcher.made[n].outcome.status for n in range(4)]


def test_a_lane_that_goes_while_the_run_is_canceled_changes_nothing() -> None:
    class Vanishing(Worker):
        async def generate(self, planned: PlannedRequest, attempt: int) -> Render:
            try:
                return await super().generate(planned, attempt)
            except asyncio.CancelledError:
                raise BackendUnavailable("a does not answer", lane="a") from None

    async def main() -> None:
        dispatcher = Dispatcher([Lane(Vanishing("a"), 2, ahead=1)])
        run = asyncio.create_task(dispatcher.run([planned(n) for n in range(10)], make, lambda _: None))
        await asyncio.sleep(2.5)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    run_virtual(main())
