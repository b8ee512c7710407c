"""Overflow while a run goes on: the real dispatcher and the real rule, scripted lanes, a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from fakes.campaigns import PictureBackend, job, run
from fakes.lanes import ScriptedBackend, make
from fakes.replicate_lane import MODELS
from fakes.virtual_time import run_virtual

from assetline.bootstrap.overflowing import LiveOverflow
from assetline.dispatch import Dispatcher, DispatchOptions, Lane, Speed, Speeds
from assetline.errors import (
    BackendUnavailable,
    JobFailed,
    JobLost,
    JobRejected,
    JobTimedOut,
    LaneClosed,
    LaneUnsuited,
    LedgerUnreachable,
    RequestUnsuited,
)
from assetline.manifest import summary_markdown
from assetline.pipeline import run_campaign
from assetline.plan import CapQuote, Money, Overflow
from assetline.plan.overflow import Candidate, fewest
from assetline.plan.paid_models import by_ref
from assetline.records import ImageRequest, Outcome, PlannedRequest, Render
from assetline.store.folder import FolderStore

SDXL = MODELS["sdxl"]
HIGH_USD = SDXL.price_range(ImageRequest(prompt="", width=1024, height=1024, seed=0, model=SDXL.ref))[1]
RESERVED_USD = SDXL.reserve(ImageRequest(prompt="", width=1024, height=1024, seed=0, model=SDXL.ref))
FOR_EVER = float("inf")


def tents(count: int, workflow: str = "sdxl") -> list[PlannedRequest]:
    return [
        PlannedRequest(
            row=f"{workflow}{number}",
            row_number=number + 2,
            variant=1,
            size="1:1",
            request=ImageRequest(prompt="tent", width=1024, height=1024, seed=number, workflow=workflow),
        )
        for number in range(count)
    ]


def instead(planned: PlannedRequest) -> ImageRequest:
    facts = {"workflow": None, "model": SDXL.ref, "parameters": SDXL.complete({})}
    return planned.request.model_copy(update=facts)


async def at_once(compute: Callable[[], set[int]]) -> set[int]:
    """In this thread: while another one works, a virtual clock would run on."""
    return compute()


@dataclass
class Office:
    """A run: some workers, what the caps leave, how long the workers may take. `speeds` are known from before."""

    workers: Sequence[ScriptedBackend]
    limit_s: float | None
    usd: float = 100.0
    speeds: Sequence[Speed] = ()
    patience_s: float = 120.0
    may_go: Callable[[PlannedRequest], bool] = lambda _: True
    paid: frozenset[str] = frozenset()
    slots: int = 100
    replicate: ScriptedBackend = field(default_factory=lambda: ScriptedBackend("replicate", seconds=8))
    money: Callable[[], Money] | None = None
    rule: LiveOverflow | None = None

    def run(self, requests: Sequence[PlannedRequest], *, during: Callable[[Dispatcher], object] = lambda _: None):
        """The outcomes in the order of the requests, and the seconds until the last."""
        found = {one.request.key: instead(one) for one in requests if self.may_go(one)}
        if self.limit_s is not None:
            overflow = Overflow(found, limit_s=self.limit_s, paid=self.paid)
            self.rule = LiveOverflow(overflow, self._left, at_once)
        self.replicate.suits = lambda one: one.request.key in found

        async def main() -> tuple[list[Outcome], float]:
            lanes = [Lane(worker, 1) for worker in self.workers]
            if self.rule:
                lanes.append(Lane(self.replicate, self.slots, every_s=1 / 9, loads=False))
            options = DispatchOptions(
                patience_s=self.patience_s,
                affinity=lambda one: one.request.workflow or "",
                speeds=Speeds(self.speeds),
                overflow=self.rule,
            )
            dispatcher = Dispatcher(lanes, options)
            during(dispatcher)
            await dispatcher.run(requests, make, lambda _: None)
            return [dispatcher.made[n].outcome for n in range(len(requests))], asyncio.get_running_loop().time()

        return run_virtual(main())

    async def _left(self) -> Money:
        """What is paid for by now, at the high end."""
        if self.money:
            return self.money()
        left = self.usd - HIGH_USD * len(self.replicate.rows())
        return Money(by_ref(MODELS), (CapQuote(cap="run", usd=self.usd, left_usd=max(left, 0.0)),))


def worker(name: str, seconds: float = 10.0, **more) -> ScriptedBackend:
    return ScriptedBackend(name, seconds=seconds, **more)


def known(*names: str, seconds: float = 10.0, workflow: str = "sdxl") -> list[Speed]:
    return [Speed(name, workflow, seconds, 0.0, 50) for name in names]


def went(outcomes: Sequence[Outcome]) -> int:
    return sum(outcome.attempts[-1].lane == "replicate" for outcome in outcomes)


def statuses(outcomes: Sequence[Outcome]) -> set[str]:
    return {outcome.status for outcome in outcomes}


# --- when the workers are late


def test_nothing_goes_while_the_workers_are_in_time() -> None:
    outcomes, seconds = Office([worker("a"), worker("b")], 110).run(tents(20))
    assert (0, 100) == (went(outcomes), seconds)


def test_off_is_off_whatever_happens() -> None:
    office = Office([worker("a"), worker("b", down=(50, FOR_EVER))], None)
    outcomes, seconds = office.run(tents(20))
    assert ({"stored"}, []) == (statuses(outcomes), office.replicate.log)
    assert seconds > 110


def test_a_worker_dies_half_way_the_rest_goes_and_the_limit_is_kept() -> None:
    office = Office([worker("a"), worker("b", down=(100, FOR_EVER))], 330, speeds=known("a", "b"))
    outcomes, seconds = office.run(tents(60))
    assert {"stored"} == statuses(outcomes)
    assert seconds <= 330
    assert 17 <= went(outcomes) <= 22  # 20 were made by then, and a makes 20 to 23 more in its time
    assert ("b is not there (b does not answer).",) == tuple(office.rule._why.values())


def test_workers_that_are_slower_than_was_learned_are_noticed_in_time() -> None:
    office = Office([worker("a"), worker("b")], 200, speeds=known("a", "b", seconds=5))
    outcomes, seconds = office.run(tents(60))
    assert seconds <= 200
    assert 20 <= went(outcomes) <= 24  # of 60, of which the two make 40 at most
    assert next(iter(office.rule._why.values())).startswith("The workers are slower than expected: about ")


def test_workers_that_are_quicker_than_was_guessed_make_what_was_expected_to_go() -> None:
    outcomes, seconds = Office([worker("a", 3), worker("b", 3)], 200).run(tents(60))
    assert (0, 90) == (went(outcomes), seconds)  # by the first guess, 27 would have had to go


def test_what_will_be_late_by_any_reckoning_goes_at_once_and_no_more_than_needed() -> None:
    office = Office([worker("a")], 300, speeds=known("a"))
    outcomes, seconds = office.run(tents(100))
    assert seconds <= 300
    assert 70 <= went(outcomes) <= 73
    assert 28 <= len(office.workers[0].rows()) <= 30


def test_a_worker_that_restarts_sends_nothing() -> None:
    office = Office([worker("a"), worker("b", down=(55, 75))], 140, speeds=known("a", "b"))
    outcomes, _ = office.run(tents(20))
    assert ({"stored"}, 0) == (statuses(outcomes), went(outcomes))


def test_no_worker_is_left_so_that_all_goes_however_much_time_there_is() -> None:
    office = Office([worker("a", down=(15, FOR_EVER))], 7200, speeds=known("a"))
    outcomes, seconds = office.run(tents(10))
    assert ({"stored"}, 9) == (statuses(outcomes), went(outcomes))
    assert 120 < seconds < 200


def test_what_the_workers_cannot_make_fails_where_replicate_is_gone_too() -> None:
    """Once it went to a lane that was gone, and waited there until that came back."""
    office = Office(
        [worker("a", answers=[*[None] * 14, LaneUnsuited("a lacks the model")])],
        7200,
        speeds=known("a"),
        replicate=ScriptedBackend("replicate", down=(0, 9000)),
    )
    outcomes, seconds = office.run(tents(15), during=lambda dispatcher: dispatcher._lanes[-1].fail("away"))
    assert (14, 150) == (sum(outcome.status == "stored" for outcome in outcomes), seconds)


def test_a_pause_does_not_count() -> None:
    def pause(dispatcher: Dispatcher) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(5, dispatcher.pause)
        loop.call_later(1000, dispatcher.resume)

    outcomes, seconds = Office([worker("a")], 130, speeds=known("a")).run(tents(10), during=pause)
    assert 0 == went(outcomes)
    assert seconds > 1000


# --- what may go


def test_each_request_is_made_once() -> None:
    office = Office([worker("a"), worker("b", down=(33, FOR_EVER))], 100, speeds=known("a", "b"))
    outcomes, _ = office.run(tents(60))
    made = [row for lane in [*office.workers, office.replicate] for row in lane.rows()]
    assert sorted(outcome.row for outcome in outcomes) == sorted(made)


def test_what_would_be_made_last_goes() -> None:
    office = Office([worker("a")], 100, speeds=known("a"))
    office.run(tents(20))
    assert {f"sdxl{number}" for number in range(8)} <= set(office.workers[0].rows())


def test_what_is_urgent_stays_longest() -> None:
    office = Office([worker("a")], 100, speeds=known("a"))
    requests = [one.model_copy(update={"priority": int(one.row_number > 14)}) for one in tents(20)]
    office.run(requests)
    assert {f"sdxl{number}" for number in range(13, 20)} <= set(office.workers[0].rows())


def test_rows_that_have_no_equivalent_stay() -> None:
    office = Office([worker("a")], 60, speeds=known("a"), may_go=lambda one: one.row_number % 2 == 0)
    office.run(tents(20))
    assert all(int(row.removeprefix("sdxl")) % 2 == 0 for row in office.replicate.rows())
    assert office.replicate.rows()


@pytest.mark.parametrize("failure", [JobFailed("out of memory"), JobRejected("bad value"), JobTimedOut("too long")])
def test_what_its_own_prompt_may_have_spoiled_never_goes(failure) -> None:
    office = Office([worker("a", answers=[failure] * 3)], 15, speeds=known("a"))
    outcomes, _ = office.run(tents(4))
    failed = [outcome for outcome in outcomes if any(attempt.error for attempt in outcome.attempts)]
    assert 1 <= len(failed)
    assert all(attempt.lane == "a" for outcome in failed for attempt in outcome.attempts)


def test_what_a_worker_lost_may_go() -> None:
    office = Office([worker("a", answers=[JobLost("restarted")])], 15, speeds=known("a"))
    outcomes, _ = office.run(tents(4))
    assert "replicate" == outcomes[0].attempts[-1].lane


def test_what_comes_to_nothing_there_is_made_here_and_the_others_still_go() -> None:
    replicate = ScriptedBackend("replicate", seconds=1, answers=[RequestUnsuited("NSFW")])
    office = Office([worker("a")], 60, speeds=known("a"), replicate=replicate, slots=1)
    outcomes, _ = office.run(tents(20))
    [back] = [outcome for outcome in outcomes if len(outcome.attempts) > 1]
    assert ["replicate", "a"] == [attempt.lane for attempt in back.attempts]
    assert went(outcomes) >= 13


def test_what_has_been_paid_for_goes_at_once() -> None:
    requests = tents(5)
    paid = frozenset({requests[2].request.key})
    office = Office([worker("a")], 500, usd=0, speeds=known("a"), paid=paid)
    office.run(requests)
    assert ["sdxl2"] == office.replicate.rows()


@pytest.mark.parametrize("seconds", [0.2, 10.0])
def test_what_has_been_paid_for_no_worker_makes_however_quick(seconds: float) -> None:
    requests = tents(140)
    paid = frozenset(one.request.key for one in requests[:120])
    quick = known("a", "b", seconds=seconds)
    office = Office([worker("a", seconds), worker("b", seconds)], 60, usd=0, speeds=quick, paid=paid)
    outcomes, _ = office.run(requests)
    assert {"stored"} == statuses(outcomes)
    assert {one.row for one in requests[:120]} == set(office.replicate.rows())


def test_what_has_been_paid_for_waits_for_replicate_to_come_back_and_is_made_here_if_it_does_not() -> None:
    requests = tents(9)
    paid = frozenset(one.request.key for one in requests)
    for back_at, there in ((60.0, 9), (FOR_EVER, 0)):
        replicate = ScriptedBackend("replicate", seconds=8, down=(0, back_at))
        office = Office([worker("a")], 500, usd=0, speeds=known("a"), paid=paid, replicate=replicate)
        outcomes, _ = office.run(requests)
        assert ({"stored"}, there) == (statuses(outcomes), went(outcomes))


@pytest.mark.parametrize("failure", [JobLost("not downloaded"), BackendUnavailable("no answer", job_id="p1")])
def test_what_was_paid_for_in_this_run_is_fetched_there_at_the_next_try(failure) -> None:
    replicate = ScriptedBackend("replicate", seconds=1, answers=[failure])
    office = Office([worker("a", 2)], 30, speeds=known("a", seconds=2), replicate=replicate, slots=1)
    outcomes, _ = office.run(tents(20))
    [again] = [outcome for outcome in outcomes if len(outcome.attempts) > 1]
    assert ["replicate", "replicate"] == [attempt.lane for attempt in again.attempts]


def test_what_has_been_paid_for_is_made_here_where_the_account_is_closed() -> None:
    requests = tents(9)
    paid = frozenset(one.request.key for one in requests)
    replicate = ScriptedBackend("replicate", seconds=1, answers=[LaneClosed("no credit")] * 99)
    office = Office([worker("a")], 500, usd=0, speeds=known("a"), paid=paid, replicate=replicate)
    outcomes, seconds = office.run(requests)
    assert ({"stored"}, 0) == (statuses(outcomes), went(outcomes))
    assert seconds < 110


# --- money


def test_when_the_budget_ends_the_rest_is_made_here() -> None:
    office = Office([worker("a")], 60, usd=RESERVED_USD + 4 * HIGH_USD, speeds=known("a"))
    outcomes, _ = office.run(tents(20))
    assert ({"stored"}, 5) == (statuses(outcomes), went(outcomes))


def test_a_small_budget_is_for_what_no_worker_is_left_for() -> None:
    workers = [
        worker("a", suits=lambda one: one.request.workflow == "sdxl"),
        worker("b", suits=lambda one: one.request.workflow == "other", down=(0, FOR_EVER)),
    ]
    office = Office(workers, 100, usd=RESERVED_USD + 2 * HIGH_USD, speeds=known("a"))
    outcomes, _ = office.run([*tents(3, "other"), *tents(6)])
    assert ({"stored"}, ["other0", "other1", "other2"]) == (statuses(outcomes), sorted(office.replicate.rows()))


def test_nothing_goes_without_a_budget() -> None:
    outcomes, _ = Office([worker("a")], 60, usd=0, speeds=known("a")).run(tents(20))
    assert ({"stored"}, 0) == (statuses(outcomes), went(outcomes))


def test_what_nobody_is_left_for_says_that_the_cap_is_why() -> None:
    replicate = ScriptedBackend("replicate", answers=[RequestUnsuited("the cap for this run is 0.00 USD")] * 9)
    office = Office([worker("a", down=(15, FOR_EVER))], 7200, usd=0, speeds=known("a"), replicate=replicate)
    outcomes, _ = office.run(tents(4))
    assert ["stored", "failed", "failed", "failed"] == [outcome.status for outcome in outcomes]
    assert all("the cap for this run is 0.00 USD." in outcome.reason for outcome in outcomes[1:])


def test_a_ledger_that_does_not_answer_sends_nothing_and_the_run_goes_on() -> None:
    def silent() -> Money:
        raise LedgerUnreachable("locked")

    outcomes, _ = Office([worker("a")], 60, speeds=known("a"), money=silent).run(tents(20))
    assert ({"stored"}, 0) == (statuses(outcomes), went(outcomes))


def test_replicate_is_tried_again_after_faults_of_its_own() -> None:
    replicate = ScriptedBackend("replicate", seconds=1, answers=[JobLost("lost"), JobLost("lost")])
    office = Office([worker("a")], 60, speeds=known("a"), replicate=replicate, slots=1)
    outcomes, seconds = office.run(tents(20))
    assert {"stored"} == statuses(outcomes)
    assert went(outcomes) >= 12
    assert seconds <= 60


def test_nothing_is_counted_on_replicate_while_it_does_not_answer() -> None:
    replicate = ScriptedBackend("replicate", seconds=8, down=(0, FOR_EVER))
    outcomes, seconds = Office([worker("a")], 60, speeds=known("a"), replicate=replicate).run(tents(20))
    assert ({"stored"}, 0) == (statuses(outcomes), went(outcomes))
    assert seconds <= 220


# --- the rule by itself


def candidates(*groups: str) -> list[Candidate]:
    return [Candidate(number, instead(tents(1)[0]), group) for number, group in enumerate(groups)]


def test_what_the_late_workers_have_no_part_in_stays() -> None:
    """Two workers, each with a model of its own; only the one of `b` is late."""
    those = candidates(*"aabbaabb")

    def seconds(gone) -> float:
        left = [one for one in those if one.number not in gone]
        return 10.0 * max(sum(one.group == group for one in left) for group in "ab") + (
            10.0 * 4 if sum(one.group == "b" for one in left) > 1 else 0.0
        )

    assert [2, 3, 6] == [one.number for one in fewest(those, seconds, 40)]


def test_where_nobody_is_left_for_more_than_the_budget_allows_that_much_goes() -> None:
    those = candidates("a", "a")
    assert those == fewest(those, lambda _: FOR_EVER, 60)


def test_where_the_limit_cannot_be_kept_only_what_helps_goes() -> None:
    those = candidates("a", "a", "b")

    def seconds(gone) -> float:
        return 1000.0 - 10.0 * (2 in gone)

    assert [2] == [one.number for one in fewest(those, seconds, 60)]


# --- what is told of it


class Elsewhere(PictureBackend):
    """Makes something equivalent in place of what is asked for."""

    async def generate(self, planned: PlannedRequest, attempt: int) -> Render:
        return replace(await super().generate(planned, attempt), made_as="stability-ai/sdxl:7762", cost_usd=0.01)


SHEET = "id,prompt,size\nR0,tent,64x64\nR1,hut,64x64\n"


def test_a_run_says_how_many_went_for_how_much_and_why(tmp_path: Path) -> None:
    rule = LiveOverflow(Overflow(), lambda: None)
    rule._why["late"] = "The workers alone would need about 9 min, 5 are allowed."
    work = replace(job(SHEET, FolderStore(tmp_path), Elsewhere()), overflowed=rule.record)
    record = asyncio.run(run_campaign(work, lambda step: step, lambda _: None)).record
    said = "Overflow: 2 pictures at Replicate (0 expected), 0.0200 USD. The workers alone would need about 9 min, 5 are allowed."
    assert said == str(record.overflow)
    told = "Overflow: 2 pictures at Replicate (0 expected), 0.0200 USD."
    assert told in summary_markdown(record, [], None, "")


def test_a_picture_whose_recipe_was_not_written_yet_still_says_what_made_it(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    run(SHEET, store, Elsewhere())
    for sidecar in tmp_path.glob("campaigns/*/assets/*/*.json"):
        sidecar.unlink()
    found = run(SHEET, store, PictureBackend())
    assert ["stability-ai/sdxl:7762"] * 2 == [outcome.asset.made_as for outcome in found.outcomes if outcome.asset]
    assert found.record.overflow is None
