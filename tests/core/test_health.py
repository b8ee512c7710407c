"""A worker that fails is left alone, tried again with one request, and trusted again: on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from math import inf

import pytest
from fakes.lanes import ScriptedBackend, make, planned
from fakes.virtual_time import run_virtual

from assetline.dispatch import Dispatcher, DispatchOptions, Lane, LaneEvent, Speed, Speeds, Ticket
from assetline.dispatch.health import FIRST_PAUSE_S, FORGIVEN, LONGEST_PAUSE_S, Fault, Health
from assetline.errors import (
    AssetlineError,
    BackendUnavailable,
    ImageError,
    JobFailed,
    JobLost,
    JobRejected,
    JobStalled,
    JobTimedOut,
    LaneClosed,
    LaneUnsuited,
    PaidJobFailed,
)
from assetline.records import Made, Outcome, PlannedRequest, Render
from assetline.timeline import Happening, Recorder

BROKEN = "bad model file"


class Worker(ScriptedBackend):
    """One at a time; fails what `fails` says, at a time and for a request. `tried`: the times and rows of all tries."""

    def __init__(
        self, name: str, fails: Callable[[float, PlannedRequest], AssetlineError | None] = lambda *_: None, **options
    ) -> None:
        super().__init__(name, **options)
        self.fails = fails
        self.tried: list[tuple[float, str]] = []
        self._one_at_a_time = asyncio.Lock()

    async def generate(self, planned: PlannedRequest, attempt: int) -> Render:
        self.tried.append((self._now(), planned.row))
        async with self._one_at_a_time:
            await asyncio.sleep(0.1)
            if error := self.fails(self._now(), planned):
                raise error
            return await super().generate(planned, attempt)


def broken(_now: float, _planned: PlannedRequest) -> AssetlineError:
    return JobFailed(BROKEN)


def flaps(_now: float, _planned: PlannedRequest) -> AssetlineError:
    """Answers every probe, and dies of every request."""
    return BackendUnavailable("flappy died")


def broken_until(until: float, error: AssetlineError) -> Callable[[float, PlannedRequest], AssetlineError | None]:
    return lambda now, _planned: error if now < until else None


def broken_for(workflow: str) -> Callable[[float, PlannedRequest], AssetlineError | None]:
    return lambda _now, planned: JobFailed(f"{BROKEN} {workflow}") if planned.request.workflow == workflow else None


class Run:
    """What became of requests on workers with one slot ahead: outcomes, events, virtual seconds."""

    def __init__(self, requests: Sequence[PlannedRequest], *workers: ScriptedBackend, step=make, **options) -> None:
        self.events: list[LaneEvent] = []
        self.outcomes: list[Outcome] = []
        self.seconds = run_virtual(self._main(requests, workers, step, options))

    async def _main(self, requests, workers, step, options) -> float:
        speeds = Speeds(Speed(w.name, name, w.seconds, 0.0, samples=9) for w in workers for name in ("any", "x", "y"))
        chosen = {"affinity": lambda item: str(item.request.workflow), "speeds": speeds, "listen": self.events.append}
        lanes = [Lane(worker, 2, ahead=1) for worker in workers]
        for lane, worker in zip(lanes, workers, strict=True):
            if worker.down and not worker.down[0]:
                lane.fail(f"{lane.name} does not answer")
        dispatcher = Dispatcher(lanes, DispatchOptions(**chosen | options))
        await dispatcher.run(requests, step, lambda _: None)
        self.outcomes = [dispatcher.made[n].outcome for n in range(len(requests))]
        return asyncio.get_running_loop().time()

    @property
    def statuses(self) -> set[str]:
        return {outcome.status for outcome in self.outcomes}

    def kinds(self, lane: str) -> list[tuple[str, str]]:
        """The lane's quarantine, as (kind, affinity)."""
        kinds = {"quarantined", "canary", "released"}
        return [(event.kind, event.affinity) for event in self.events if event.lane == lane and event.kind in kinds]


# --- a flapping worker


def test_a_flapping_worker_costs_two_tries_and_then_one_for_each_pause_which_grows() -> None:
    bad, good = Worker("flappy", flaps), Worker("good", seconds=0.9)
    run = Run([planned(n) for n in range(400)], bad, good)
    assert {"stored"} == run.statuses
    gaps = [round(b - a) for (a, _), (b, _) in zip(bad.tried[1:], bad.tried[2:], strict=False)]
    assert 0.0 == bad.tried[0][0] == bad.tried[1][0], "one to run and one ahead: no more in all, until a pause is over"
    assert [3, 9, 15, 27, 51, 18, 123] == gaps[:7], "the sixth is the last within the patience"
    assert max(len(outcome.attempts) for outcome in run.outcomes) <= 3


def test_a_worker_that_dies_after_each_picture_is_left_alone_ever_longer() -> None:
    """Every second request kills it; a picture between does not make it a good worker."""
    turns = iter(range(10**6))
    bad = Worker("flappy", lambda *_: BackendUnavailable("flappy died") if next(turns) % 2 else None)
    run = Run([planned(n) for n in range(300)], bad, Worker("good", seconds=0.9))
    assert {"stored"} == run.statuses
    assert sum(len(outcome.attempts) > 1 for outcome in run.outcomes) <= 9


def test_a_worker_that_was_started_again_is_back_as_soon_as_it_answers() -> None:
    """The first pause is over long before it answers; then one request, then all of it."""
    worker = Worker("a", down=(10.5, 30.0))
    run = Run([planned(n) for n in range(30)], worker)
    assert {"stored"} == run.statuses
    assert [("quarantined", ""), ("canary", "any"), ("released", "")] == run.kinds("a")
    assert run.seconds < 30 + 15 + 30 * 1.1


def test_a_worker_that_cannot_be_reached_is_shown_as_down_and_as_quarantined_once_it_answers() -> None:
    run = Run([planned(n) for n in range(30)], Worker("a", down=(10.5, 30.0)))
    recorder = Recorder(["a"])
    for event in run.events:
        recorder.hear(Happening(event.at, event.lane, event.kind, event.label, event.affinity and "any", event.detail))
    [lane] = recorder.timeline(run.seconds, ended=True).lanes
    down, shut = lane.bands
    assert ("down", "a does not answer", 11.0) == (down.kind, down.why.rpartition(": ")[2], round(down.start, 1))
    assert ("quarantined", "It was away: a does not answer.") == (shut.kind, shut.why.partition(" One")[0])
    assert down.end == shut.start >= 30, "it answers"
    assert 1.1 == round(shut.end - shut.start, 1), "one picture tries it"


def test_a_long_run_gives_each_worker_its_full_part_again() -> None:
    sick = Worker("sick", broken_until(20.0, BackendUnavailable("sick died")))
    Run([planned(n) for n in range(400)], sick, Worker("good"))
    assert len(sick.rows()) > 150


# --- one model on one worker


def test_a_broken_model_shuts_that_pair_and_the_worker_gets_the_rest() -> None:
    bad, good = Worker("bad", broken_for("x")), Worker("good")
    run = Run([planned(n, workflow="xy"[n % 2]) for n in range(120)], bad, good)
    assert {"stored"} == run.statuses
    assert {("quarantined", "x"), ("canary", "x")} == set(run.kinds("bad"))
    assert len(bad.rows()) >= 55
    assert len([row for _, row in bad.tried if int(row[1:]) % 2 == 0]) <= 6


def test_a_model_that_kills_the_worker_is_kept_from_it_too() -> None:
    def kills(_now: float, planned: PlannedRequest) -> AssetlineError | None:
        return BackendUnavailable("killed") if planned.request.workflow == "x" else None

    bad, good = Worker("bad", kills), Worker("good")
    run = Run([planned(n, workflow="xy"[n % 2]) for n in range(120)], bad, good)
    assert {"stored"} == run.statuses
    assert ("quarantined", "x") in run.kinds("bad")
    assert len([row for _, row in bad.tried if int(row[1:]) % 2 == 0]) <= 8
    assert len(bad.rows()) >= 30


def test_two_models_that_fail_shut_the_worker() -> None:
    bad = Worker("bad", broken)
    run = Run([planned(n, workflow="xy"[n % 2]) for n in range(100)], bad, Worker("good", seconds=2))
    assert {"stored"} == run.statuses
    assert ("quarantined", "") in run.kinds("bad")


def test_a_mended_model_is_made_there_again_without_a_new_run() -> None:
    worker = Worker("a", broken_until(30.0, JobFailed(BROKEN)))
    run = Run([planned(n) for n in range(40)], worker)
    assert {"stored"} == run.statuses
    assert ("released", "any") == run.kinds("a")[-1]


def test_bad_pictures_are_the_workers_fault() -> None:
    """The picture comes, and cannot be used: the same as none."""

    async def checks(ticket: Ticket) -> Made:
        while True:
            try:
                render = await ticket.generate()
                if render.lane == "bad":
                    raise ImageError("the file is cut off")
            except AssetlineError as error:
                await ticket.again(error)
            else:
                return Made(Outcome.of(ticket.planned, "stored", attempts=tuple(ticket.attempts)))

    run = Run([planned(n) for n in range(100)], Worker("bad"), Worker("good"), step=checks)
    assert {"stored"} == run.statuses
    assert ("quarantined", "any") in run.kinds("bad")
    assert sum(len(outcome.attempts) > 1 for outcome in run.outcomes) <= 8


# --- the requests' part


@pytest.mark.parametrize("error", [JobRejected("cfg is 0"), LaneUnsuited("no LoRA brand")], ids=repr)
def test_what_is_the_sheets_or_the_workflows_fault_shuts_nothing(error: AssetlineError) -> None:
    run = Run([planned(n) for n in range(30)], Worker("a", answers=[error] * 10), Worker("b"))
    assert [] == run.kinds("a")


def test_a_request_that_no_worker_can_make_shuts_none_of_them_and_ends_soon() -> None:
    def too_large(_now: float, planned: PlannedRequest) -> AssetlineError | None:
        return JobFailed("out of memory") if planned.row in {"R10", "R50"} else None

    run = Run([planned(n) for n in range(100)], *(Worker(name, too_large) for name in "abc"))
    assert [("R10", "failed", 3), ("R50", "failed", 3)] == [
        (o.row, o.status, len(o.attempts)) for o in run.outcomes if o.status != "stored"
    ]
    assert [] == [event for event in run.events if event.kind == "quarantined"]


def test_a_row_of_requests_that_no_worker_can_make_costs_the_others_one_pause() -> None:
    def too_large(_now: float, planned: PlannedRequest) -> AssetlineError | None:
        return JobFailed("out of memory") if 20 <= int(planned.row[1:]) < 32 else None

    run = Run([planned(n) for n in range(200)], *(Worker(name, too_large) for name in "abcd"))
    assert 12 == sum(outcome.status == "failed" for outcome in run.outcomes)
    assert run.seconds <= 200 / 4 * 1.1 + 12 * 3 * 0.1 + 2 * FIRST_PAUSE_S


def test_one_bad_worker_uses_up_no_requests_chances() -> None:
    """It fails at once what others take seconds for, and no other has room; each request has one try there."""
    bad, good = Worker("bad", broken), Worker("good", seconds=9)
    run = Run([planned(n) for n in range(30)], bad, good)
    assert {"stored"} == run.statuses
    assert max(len(outcome.attempts) for outcome in run.outcomes) <= 3


def test_three_bad_workers_of_four_use_up_no_requests_chances() -> None:
    run = Run([planned(n) for n in range(60)], *(Worker(name, broken) for name in "abc"), Worker("good", seconds=3))
    assert {"stored"} == run.statuses


def test_the_only_worker_that_fails_for_a_while_uses_up_no_requests_chances() -> None:
    for error in (JobFailed(BROKEN), JobLost("lost"), JobTimedOut("hangs"), BackendUnavailable("died")):
        run = Run([planned(n) for n in range(20)], Worker("a", broken_until(60.0, error)))
        assert {"stored"} == run.statuses


def test_a_lane_that_is_closed_is_asked_once_for_each_pause_and_works_again_when_somebody_has_acted() -> None:
    paid = Worker("paid", broken_until(30.0, LaneClosed("no credit is left")))
    run = Run([planned(n) for n in range(100)], paid, Worker("own", seconds=2))
    assert {"stored"} == run.statuses
    assert len([at for at, _ in paid.tried if at < 30]) <= 5
    assert len(paid.rows()) > 40


# --- when nobody is left


def test_when_all_workers_fail_everything_the_rest_waits_for_the_patience_and_then_says_why() -> None:
    workers = Worker("a", broken), Worker("b", broken)
    run = Run([planned(n) for n in range(300)], *workers, patience_s=60)
    assert {"failed"} == run.statuses
    assert 60 < run.seconds < 62
    assert f"{BROKEN}. No lane is left that can make it." == run.outcomes[-1].reason
    assert sum(len(worker.tried) for worker in workers) <= 2 * (3 + 6), (
        "one more that was ahead when it was known, then canaries"
    )


def test_what_only_a_failing_pair_could_make_fails_while_the_rest_is_made() -> None:
    run = Run([planned(n, workflow="xy"[n % 2]) for n in range(40)], Worker("a", broken_for("x")), patience_s=30)
    assert [["failed"] * 20, ["stored"] * 20] == [[one.status for one in run.outcomes[first::2]] for first in (0, 1)]
    assert all(one.reason.startswith(f"{BROKEN} x") for one in run.outcomes[::2])


def test_a_lane_that_lacks_the_model_is_no_reason_to_wait_for_one_that_fails_it() -> None:
    poor = Worker("poor", lambda _now, one: LaneUnsuited("no x there") if one.request.workflow == "x" else None)
    run = Run([planned(n, workflow="xy"[n % 2]) for n in range(60)], Worker("bad", broken_for("x")), poor)
    assert [["failed"] * 30, ["stored"] * 30] == [[one.status for one in run.outcomes[first::2]] for first in (0, 1)]
    assert run.seconds <= 120 + 12


def test_a_lone_request_waits_for_a_worker_that_dies_of_everything_no_longer_than_the_patience() -> None:
    run = Run([planned(0)], Worker("flappy", flaps))
    assert ["flappy died. No lane is left that can make it."] == [outcome.reason for outcome in run.outcomes]
    assert 120 <= run.seconds <= 120 + FIRST_PAUSE_S + 2


def test_the_reason_of_a_lost_lane_comes_first() -> None:
    run = Run([planned(0)], Worker("a", down=(0, inf)), Worker("b", down=(0, inf)), patience_s=10)
    assert ["a does not answer. b does not answer. No lane is left that can make it."] == [
        outcome.reason for outcome in run.outcomes
    ]


def test_many_lost_lanes_are_counted() -> None:
    run = Run([planned(0)], *(Worker(f"gpu{n}", down=(0, inf)) for n in range(9)), patience_s=1)
    assert (
        "gpu0 does not answer. gpu1 does not answer. gpu2 does not answer. And 6 more lanes." in run.outcomes[0].reason
    )


# --- lanes that are away


def test_a_lane_that_is_dead_at_the_start_is_told_with_what_waits_for_it() -> None:
    async def main() -> tuple[list[LaneEvent], list[str], float]:
        events: list[LaneEvent] = []
        dead = Lane(Worker("dead", down=(0, inf)), 2)
        alive = Lane(Worker("alive", suits=lambda one: one.request.workflow != "x"), 2)
        dead.fail("dead does not answer")
        dispatcher = Dispatcher([dead, alive], DispatchOptions(listen=events.append))
        await dispatcher.run([planned(n, workflow="xy"[n % 2]) for n in range(10)], make, lambda _: None)
        statuses = [made.outcome.status for _, made in sorted(dispatcher.made.items())]
        return events, statuses, asyncio.get_running_loop().time()

    events, statuses, seconds = run_virtual(main())
    assert ["failed", "stored"] * 5 == statuses
    assert 120 == seconds
    told = [event for event in events if event.lane == "dead"]
    assert ["down", *["waiting"] * 8, "gone"] == [event.kind for event in told]
    assert "5 requests wait for it alone, for 119 s still: dead does not answer" == told[1].detail


def test_a_lane_that_was_gone_may_come_back() -> None:
    late = Worker("late", down=(2.5, 100.0))
    run = Run([planned(n) for n in range(300)], late, Worker("good", seconds=1.0), patience_s=20)
    assert {"stored"} == run.statuses
    assert ["down", "gone", "up"] == [
        e.kind for e in run.events if e.lane == "late" and e.kind in {"down", "gone", "up"}
    ]
    assert len(late.rows()) > 50


# --- the records alone


def fault(error: AssetlineError, request: int = 0, affinity: str = "x", **fields) -> Fault:
    return Fault("a", affinity, request, error, **fields)


def health(patience_s: float = inf) -> tuple[Health, list[str]]:
    told: list[str] = []
    return Health(patience_s, lambda kind, place, _: told.append(f"{kind} {place[1]}".strip())), told


FAILED, DIED = JobFailed("x is broken"), BackendUnavailable("died")


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ([fault(FAILED)], []),
        ([fault(FAILED), fault(FAILED)], []),
        ([fault(FAILED), fault(FAILED, 1)], ["quarantined x"]),
        ([fault(FAILED), fault(FAILED, 1, suspect=True)], []),
        ([fault(FAILED), fault(FAILED, 1, "y")], ["quarantined"]),
        ([fault(FAILED, 0, ""), fault(FAILED, 1, "")], ["quarantined"]),
        ([fault(JobLost("lost")), fault(JobLost("lost"), 1)], ["quarantined", "quarantined x"]),
        ([fault(DIED), fault(DIED, 1, began=False)], ["quarantined"]),
        ([fault(DIED), fault(DIED)], ["quarantined", "quarantined x"]),
        ([fault(PaidJobFailed("paid")), fault(PaidJobFailed("paid"), 1)], ["quarantined x"]),
        ([fault(JobStalled("hangs"))], ["quarantined"]),
        ([fault(LaneClosed("no credit"), affinity="x")], ["quarantined"]),
        ([fault(JobRejected("cfg")), fault(JobRejected("cfg"), 1)], []),
        ([fault(LaneUnsuited("no LoRA")), fault(LaneUnsuited("no LoRA"), 1)], []),
    ],
)  # fmt: skip
def test_what_shuts_a_place(faults: list[Fault], expected: list[str]) -> None:
    one, told = health()
    for each in faults:
        one.fault(each, 0.0)
    assert expected == told


def test_a_pause_is_over_for_one_request_and_each_that_fails_doubles_the_pause() -> None:
    one, _ = health()
    one.fault(fault(FAILED, 0), 0.0)
    one.fault(fault(FAILED, 1), 0.0)
    now, pauses = 0.0, []
    for request in range(2, 9):
        assert not one.is_open("a", "x", now)
        assert one.is_open("a", "y", now)
        pauses.append(one.next_due(now) - now)
        now = one.next_due(now)
        assert one.is_open("a", "x", now)
        assert one.took("a", "x", request)
        assert not one.is_open("a", "x", now + 1e6), "one canary, however long it takes"
        one.fault(fault(FAILED, request), now)
    assert [3, 6, 12, 24, 48, 96, 120] == pauses


def test_a_canary_that_says_nothing_makes_room_for_another() -> None:
    one, _ = health()
    one.fault(fault(FAILED, 0), 0.0)
    one.fault(fault(FAILED, 1), 0.0)
    one.took("a", "x", 2)
    one.fault(fault(JobRejected("cfg"), 2), FIRST_PAUSE_S)
    assert one.is_open("a", "x", FIRST_PAUSE_S)


def test_pauses_begin_anew_only_after_many_pictures() -> None:
    def pause_after(pictures: int) -> float:
        one, _ = health()
        for request in range(2):
            one.fault(fault(FAILED, request), 0.0)
        for _ in range(pictures):
            one.took("a", "x", 7)
            one.success("a", "x", 7, 10.0)
        for request in range(2):
            one.fault(fault(FAILED, request), 20.0)
        return one.next_due(20.0) - 20.0

    assert [6, 6, 3] == [pause_after(1), pause_after(FORGIVEN - 1), pause_after(FORGIVEN)]


def test_a_picture_from_before_the_fault_opens_nothing() -> None:
    one, told = health()
    for request in range(2):
        one.fault(fault(FAILED, request), 5.0)
    one.took("a", "x", 2)
    one.success("a", "x", 2, 4.0)
    assert ["quarantined x"] == told


def test_it_is_hopeless_when_the_last_canary_within_the_patience_has_failed() -> None:
    one, _ = health(patience_s=12)
    one.fault(fault(FAILED, 0), 0.0)
    one.fault(fault(FAILED, 1), 0.0)
    hopeless = []
    for request, now in ((2, 5.0), (3, 12.0)):
        one.took("a", "x", request)
        hopeless.append(one.is_hopeless("a", "x", now))
        one.fault(fault(FAILED, request), now)
    assert [False, False] == hopeless
    assert one.is_hopeless("a", "x", 12.0)
    assert not one.is_hopeless("a", "y", 12.0)
    assert not one.is_hopeless("a", "x", 12.0 + 12.0), "another canary is due"
    assert LONGEST_PAUSE_S >= one.next_due(12.0) - 12.0
