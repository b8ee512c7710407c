"""Interactive requests go first, campaigns share fairly, all can be paused: on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby

import pytest
from fakes.lanes import ScriptedBackend, make, planned
from fakes.virtual_time import run_virtual

from assetline.dispatch import Batch, Dispatcher, DispatchOptions, Lane, LaneEvent, Speed, Speeds, Ticket
from assetline.dispatch.dispatcher import URGENT_UNSTORED
from assetline.dispatch.fair_share import FairShare
from assetline.dispatch.request_queue import URGENT_IN_A_ROW
from assetline.dispatch.situation import Group
from assetline.records import Made, PlannedRequest, Render

A, B, PERSON = 0, 10_000, 50_000  # numbers of rows: a campaign's, another's, and those of people


class Worker(ScriptedBackend):
    """One at a time, a load whenever the workflow changes; `began` are the seconds and rows in their order."""

    def __init__(self, name: str, *, load_s: float = 0.0, **options) -> None:
        super().__init__(name, **options)
        self.load_s = load_s
        self.loads: list[str] = []
        self.began: list[tuple[float, str]] = []
        self._one_at_a_time = asyncio.Lock()

    async def generate(self, planned: PlannedRequest, attempt: int) -> Render:
        async with self._one_at_a_time:
            self.began.append((self._now(), planned.row))
            workflow = str(planned.request.workflow)
            if self.loads[-1:] != [workflow]:
                self.loads.append(workflow)
                await asyncio.sleep(self.load_s)
            return await super().generate(planned, attempt)


def rows(first: int, count: int, **fields) -> list[PlannedRequest]:
    return [planned(first + number, **fields) for number in range(count)]


def whose(row: str) -> str:
    number = int(row[1:])
    return "person" if number >= PERSON else "b" if number >= B else "a"


def now() -> float:
    return asyncio.get_running_loop().time()


def serve(
    work: Callable[[Dispatcher], Awaitable[None]], *workers: Worker, listen: list[LaneEvent] | None = None, **options
) -> None:
    """Do `work` with a dispatcher that serves workers with one slot ahead, of which all speeds are known."""

    async def main() -> None:
        speeds = Speeds(
            Speed(w.name, name, w.seconds, w.load_s, samples=9) for w in workers for name in ("any", "x", "y")
        )
        chosen = {"affinity": lambda one: str(one.request.workflow), "speeds": speeds}
        if listen is not None:
            chosen["listen"] = listen.append
        dispatcher = Dispatcher([Lane(one, 2, ahead=1) for one in workers], DispatchOptions(**chosen | options))
        async with dispatcher.serving():
            await work(dispatcher)

    run_virtual(main())


async def campaign(dispatcher: Dispatcher, name: str, requests: Sequence[PlannedRequest]) -> float:
    """Make a campaign; when it ended."""
    made: list[Made] = []
    await dispatcher.make_all(Batch(requests, make, made.append, campaign=name))
    assert ["stored"] * len(requests) == [one.outcome.status for one in made]
    return now()


# --- people


def test_a_person_waits_behind_what_runs_and_one_more_of_thousands() -> None:
    workers = [Worker(name, load_s=5) for name in "ab"]

    async def work(dispatcher: Dispatcher) -> None:
        running = asyncio.create_task(campaign(dispatcher, "a", rows(A, 3000, workflow="x", priority=99)))
        await asyncio.sleep(100.5)
        made = await dispatcher.submit(planned(PERSON, workflow="y"), make)
        assert "stored" == made.outcome.status
        assert now() <= 100.5 + 1 + 1 + 5 + 1, "what runs, one more, the load, the picture"
        running.cancel()

    serve(work, *workers)
    [lane] = [worker for worker in workers if f"R{PERSON}" in worker.rows()]
    ahead = [row for at, row in lane.began if at >= 100.5]
    assert ahead.index(f"R{PERSON}") <= 1


def test_people_do_not_starve_a_campaign_and_it_does_not_starve_them() -> None:
    """People ask without end; a campaign has its turn after so many of theirs."""
    worker = Worker("a")

    async def work(dispatcher: Dispatcher) -> None:
        running = asyncio.create_task(campaign(dispatcher, "a", rows(A, 40)))
        await asyncio.sleep(0)
        asked = [asyncio.create_task(dispatcher.submit(one, make)) for one in rows(PERSON, 100)]
        await asyncio.gather(running, *asked)

    serve(work, worker)
    turns = [(who, len(list(run))) for who, run in groupby(whose(row) for row in worker.rows())]
    assert max(length for who, length in turns if who == "person") <= URGENT_IN_A_ROW
    assert max(length for who, length in turns[1:-1] if who == "a") == 1


def test_a_person_does_not_wait_for_a_slow_store_and_memory_stays_bounded() -> None:
    live, most = 0, 0

    async def slow_to_store(ticket: Ticket) -> Made:
        nonlocal live, most
        live += 1
        most = max(most, live)
        made = await make(ticket)
        await asyncio.sleep(1000)
        live -= 1
        return made

    async def work(dispatcher: Dispatcher) -> None:
        running = asyncio.create_task(dispatcher.make_all(Batch(rows(A, 50), slow_to_store, lambda _: None)))
        await asyncio.sleep(100)
        await dispatcher.submit(planned(PERSON), make)
        assert now() == 101
        asked = [asyncio.create_task(dispatcher.submit(one, slow_to_store)) for one in rows(PERSON + 1, 20)]
        await asyncio.gather(running, *asked)

    serve(work, Worker("a"), unstored=4)
    assert most == 2 + 4 + URGENT_UNSTORED


def test_what_nobody_wants_any_more_is_taken_back() -> None:
    worker = Worker("a")

    async def work(dispatcher: Dispatcher) -> None:
        running = asyncio.create_task(campaign(dispatcher, "a", rows(A, 5)))
        await asyncio.sleep(0.5)
        asked = [asyncio.create_task(dispatcher.submit(one, make)) for one in rows(PERSON, 3)]
        await asyncio.sleep(2)
        for task in asked[:2]:
            task.cancel()
        ends = await asyncio.gather(*asked, return_exceptions=True)
        assert [True, True, False] == [isinstance(end, asyncio.CancelledError) for end in ends]
        await running

    serve(work, worker)
    assert [f"R{PERSON + 2}"] == [row for row in worker.rows() if whose(row) == "person"]
    assert 5 == len([row for row in worker.rows() if whose(row) == "a"])


def test_a_request_that_nobody_can_make_is_an_outcome() -> None:
    async def work(dispatcher: Dispatcher) -> None:
        made = await dispatcher.submit(planned(PERSON), make)
        assert ("failed", "No lane of this run can make it.") == (made.outcome.status, made.outcome.reason)

    serve(work, Worker("a", suits=lambda _: False))


def test_a_run_takes_interactive_requests_too_and_ends_after_them() -> None:
    async def main() -> None:
        dispatcher = Dispatcher([Lane(Worker("a"), 2, ahead=1)])
        run = asyncio.create_task(dispatcher.run(rows(A, 3), make, lambda _: None))
        await asyncio.sleep(2.5)
        asked = [asyncio.create_task(dispatcher.submit(one, make)) for one in rows(PERSON, 4)]
        await run
        assert (7, True) == (now(), all(task.done() for task in asked))
        with pytest.raises(RuntimeError, match="not serving"):
            await dispatcher.submit(planned(PERSON), make)

    run_virtual(main())


# --- a life without requests


def test_it_serves_for_ever_and_lanes_come_and_go_meanwhile() -> None:
    events: list[LaneEvent] = []
    worker = Worker("a", down=(1000, 5000))

    async def work(dispatcher: Dispatcher) -> None:
        for at in (500, 1500, 9000):
            await asyncio.sleep(at - now())
            made = await dispatcher.submit(planned(PERSON + at), make)
            assert ("failed" if at == 1500 else "stored") == made.outcome.status
            if at == 1500:
                assert made.outcome.reason.startswith("a does not answer. ")
                assert now() == 1500 + 120

    serve(work, worker, listen=events)
    assert ["down", "gone", "up"] == [event.kind for event in events if event.kind in {"down", "gone", "up"}]


def test_closing_cancels_what_is_under_way_and_tells_the_backends() -> None:
    worker = Worker("a")
    ends: list[asyncio.Task[float]] = []

    async def work(dispatcher: Dispatcher) -> None:
        ends.append(asyncio.create_task(campaign(dispatcher, "a", rows(A, 9))))
        await asyncio.sleep(2.5)

    serve(work, worker)
    assert ends[0].cancelled()
    assert ["R2"] == [row for row, what in worker.log if what == "canceled"]


# --- two campaigns


def fair_ends(*workers: Worker, b_at: float = 0.0, big: str = "any", small: str = "any") -> tuple[float, float]:
    """When a campaign of 600 and one of 60 end, if the small one comes `b_at`."""
    ends: dict[str, float] = {}

    async def work(dispatcher: Dispatcher) -> None:
        async def one(name: str, at: float, requests: Sequence[PlannedRequest]) -> None:
            await asyncio.sleep(at)
            ends[name] = await campaign(dispatcher, name, requests)

        await asyncio.gather(one("a", 0, rows(A, 600, workflow=big)), one("b", b_at, rows(B, 60, workflow=small)))

    serve(work, *workers)
    return ends["a"], ends["b"]


def test_two_campaigns_of_one_model_take_turns_though_one_is_ten_times_as_large() -> None:
    worker = Worker("a")
    big, small = fair_ends(worker)
    assert (660, True) == (big, 118 <= small <= 122)
    early = [whose(row) for row in worker.rows()[:120]]
    assert max(len(list(run)) for _, run in groupby(early)) <= 2


def test_a_campaign_that_comes_later_begins_level_and_has_half_from_then_on() -> None:
    big, small = fair_ends(Worker("a"), b_at=200.5)
    assert (660, True) == (big, 318 <= small <= 324)


@pytest.mark.parametrize("count", [2, 4])
def test_campaigns_of_two_models_have_half_the_lanes_each_and_load_nothing_twice(count: int) -> None:
    workers = [Worker(f"gpu{number}", load_s=10) for number in range(count)]
    big, small = fair_ends(*workers, big="x", small="y")
    assert small <= 10 + 60 / (count / 2) + 3
    assert big <= 660 / count + 25
    assert sum(len(worker.loads) for worker in workers) <= 2 * count


def test_one_lane_changes_models_for_fairness_no_more_often_than_loads_are_worth() -> None:
    worker = Worker("a", load_s=10)
    big, small = fair_ends(worker, big="x", small="y")
    assert big <= 660 + 4 * 10
    assert small <= 660 / 2


def test_seconds_are_shared_not_requests() -> None:
    """Pictures of one campaign take four times as long: it gets one for four."""

    class TwoPaces(Worker):
        async def generate(self, planned: PlannedRequest, attempt: int) -> Render:
            self.seconds = 4.0 if planned.request.workflow == "y" else 1.0
            return await super().generate(planned, attempt)

    worker = TwoPaces("a")
    speeds = Speeds([Speed("a", "x", 1.0, 0.0, 9), Speed("a", "y", 4.0, 0.0, 9)])

    async def work(dispatcher: Dispatcher) -> None:
        a = asyncio.create_task(campaign(dispatcher, "a", rows(A, 400, workflow="x")))
        await campaign(dispatcher, "b", rows(B, 50, workflow="y"))
        made = [whose(row) for row in worker.rows()]
        assert 200 - 16 * 4 <= made.count("a") <= 200 + 16 * 4
        await a

    serve(work, worker, speeds=speeds)


def test_priority_goes_before_fairness() -> None:
    worker = Worker("a")

    async def work(dispatcher: Dispatcher) -> None:
        b = asyncio.create_task(campaign(dispatcher, "b", rows(B, 30)))
        await asyncio.sleep(0)
        await campaign(dispatcher, "a", rows(A, 30, priority=1))
        assert now() <= 32
        await b

    serve(work, worker)


def test_a_campaign_that_is_canceled_leaves_the_other_alone() -> None:
    worker = Worker("a")

    async def work(dispatcher: Dispatcher) -> None:
        b = asyncio.create_task(campaign(dispatcher, "b", rows(B, 100)))
        a = asyncio.create_task(campaign(dispatcher, "a", rows(A, 20)))
        await asyncio.sleep(10.5)
        b.cancel()
        with pytest.raises(asyncio.CancelledError):
            await b
        assert now() == 10.5
        assert await a <= 26

    serve(work, worker)


def test_rounds_leave_campaigns_level() -> None:
    def group(campaign: str, affinity: str, count: int, oldest: int = 0) -> Group:
        return Group(frozenset("l"), affinity, 0, count, oldest, 0.0, campaign)

    share = FairShare()
    share.see({"a", "b", "c"})
    share.give("b", 3.0)
    groups = [group("a", "x", 10), group("a", "y", 10, 1), group("b", "x", 4), group("c", "z", 100)]
    found = [
        [(one.campaign, one.affinity, one.count) for one in part]
        for part in share.rounds(groups, lambda one: 2.0 if one.campaign == "c" else 1.0, {"y"})
    ]
    assert [
        [("a", "y", 7), ("b", "x", 4), ("c", "z", 4)],
        [("a", "y", 3), ("a", "x", 10), ("c", "z", 6)],
        [("c", "z", 90)],
    ] == found


def test_one_campaign_alone_is_planned_as_a_whole() -> None:
    groups = [Group(frozenset("l"), affinity, 0, 1000, 0, 0.0, "a") for affinity in "xy"]
    assert [groups] == list(FairShare().rounds(groups, lambda _: 1.0, {"x"}, most_s=10.0))


def test_who_could_not_have_its_part_for_long_catches_up_within_a_bound() -> None:
    share = FairShare()
    share.see({"a", "b"}, 100.0)
    share.give("a", 1000.0)
    share.see({"a", "b"}, 100.0)
    assert 100.0 == share.given("a") - share.given("b")


# --- pause


def test_while_it_is_paused_nothing_is_handed_out_and_what_runs_is_finished() -> None:
    events: list[LaneEvent] = []
    worker = Worker("a")

    async def work(dispatcher: Dispatcher) -> None:
        running = asyncio.create_task(campaign(dispatcher, "a", rows(A, 10)))
        await asyncio.sleep(2.5)
        dispatcher.pause()
        asked = asyncio.create_task(dispatcher.submit(planned(PERSON), make))
        await asyncio.sleep(1000)
        assert ["R0", "R1", "R2", "R3"] == worker.rows(), "what ran and what was ahead"
        assert not asked.done()
        dispatcher.resume()
        await asked
        assert 1002.5 + 1 == now()
        await running

    serve(work, worker, listen=events)
    assert [(2.5, "paused", ""), (1002.5, "resumed", "")] == [
        (event.at, event.kind, event.lane) for event in events if event.kind in {"paused", "resumed"}
    ]


def test_one_campaign_can_be_paused_alone() -> None:
    worker = Worker("a")

    async def work(dispatcher: Dispatcher) -> None:
        a = asyncio.create_task(campaign(dispatcher, "a", rows(A, 20)))
        b = asyncio.create_task(campaign(dispatcher, "b", rows(B, 20)))
        await asyncio.sleep(4.5)
        dispatcher.pause("a")
        assert await b <= 26
        await asyncio.sleep(100)
        dispatcher.resume("a")
        await a

    serve(work, worker)


def test_a_worker_may_be_started_again_during_a_pause_however_long_it_takes() -> None:
    worker = Worker("a", down=(10, 600))

    async def work(dispatcher: Dispatcher) -> None:
        running = asyncio.create_task(campaign(dispatcher, "a", rows(A, 30)))
        await asyncio.sleep(9.5)
        dispatcher.pause()
        await asyncio.sleep(595)
        dispatcher.resume()
        await running

    serve(work, worker)


def test_a_paused_run_can_be_canceled() -> None:
    async def main() -> None:
        dispatcher = Dispatcher([Lane(Worker("a"), 2, ahead=1)])
        run = asyncio.create_task(dispatcher.run(rows(A, 10), make, lambda _: None))
        await asyncio.sleep(1.5)
        dispatcher.pause()
        await asyncio.sleep(100)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert 3 == len(dispatcher.made)

    run_virtual(main())
