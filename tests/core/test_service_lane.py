"""A lane that is a service: nothing loads there, it begins so many a minute, and it may close. On a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from math import inf

from fakes.lanes import ScriptedBackend, make, planned
from fakes.virtual_time import run_virtual

from assetline.dispatch import Dispatcher, DispatchOptions, Lane, LaneEvent, Speed, Speeds
from assetline.errors import LaneClosed
from assetline.records import Made, Outcome, PlannedRequest, Render

NO_CREDIT = LaneClosed("The account has no credit left. Add some, then run again.")


class Service(ScriptedBackend):
    """Begins one in `every_s`; a picture takes the seconds of its model. From `closes_at` on it takes nothing new."""

    def __init__(
        self, *, every_s: float = 0.0, seconds: dict[str, float] | None = None, closes_at: float = inf
    ) -> None:
        super().__init__("service", suits=lambda one: one.request.workflow != "local")
        self.every_s = every_s
        self.of_model = seconds or {}
        self.closes_at = closes_at
        self.began: list[str] = []
        self._turn = asyncio.Lock()

    async def probe(self) -> None:
        await super().probe()
        self._check()

    async def generate(self, planned: PlannedRequest, attempt: int) -> Render:
        came = self._now()
        async with self._turn:
            self._check()
            await asyncio.sleep(self.every_s)
            self._check()
        waited_s = self._now() - came
        self.began.append(str(planned.request.workflow))
        await asyncio.sleep(self.of_model.get(str(planned.request.workflow), 1.0))
        self.log.append((planned.row, "made"))
        return Render(data=b"", seed=0, lane=self.name, job_id=planned.row, seconds=1.0, waited_s=waited_s)

    def _check(self) -> None:
        if self._now() >= self.closes_at:
            raise NO_CREDIT


class Run:
    """What became of requests on a service with 20 slots and on others with one: outcomes, events, virtual seconds."""

    def __init__(
        self, requests: Sequence[PlannedRequest], service: Service, *others: ScriptedBackend, **options
    ) -> None:
        self.events: list[LaneEvent] = []
        self.speeds = options.pop("speeds", Speeds())
        self.options = DispatchOptions(
            affinity=lambda one: str(one.request.workflow), speeds=self.speeds, listen=self.events.append, **options
        )
        lanes = [Lane(other, 1) for other in others]
        self.dispatcher = Dispatcher([Lane(service, 20, every_s=service.every_s, loads=False), *lanes], self.options)
        self.outcomes: list[Outcome] = []
        self.seconds = run_virtual(self._main(requests))

    async def _main(self, requests: Sequence[PlannedRequest]) -> float:
        await self.dispatcher.run(requests, make, lambda _: None)
        self.outcomes = [self.dispatcher.made[n].outcome for n in range(len(requests))]
        return asyncio.get_running_loop().time()


def of(*models: str, each: int = 10) -> list[PlannedRequest]:
    """So many of each model, in turn."""
    return [planned(n, workflow=models[n % len(models)]) for n in range(each * len(models))]


# --- nothing loads there


def test_no_load_is_seen_learned_or_told_where_a_service_changes_the_model() -> None:
    run = Run(of("a", "b"), Service(seconds={"a": 1.0, "b": 1.0}))
    assert set() == {event.detail for event in run.events if event.kind == "began"} - {""}
    assert {None} == {row.load_seconds for row in run.speeds.rows()}
    assert [0.0, 0.0] == [run.speeds.load_seconds("service", model) for model in "ab"]


def test_its_speed_is_known_by_model() -> None:
    run = Run(of("quick", "slow"), Service(seconds={"quick": 1.0, "slow": 10.0}))
    assert {"quick": 1.0, "slow": 10.0} == {row.affinity: row.seconds for row in run.speeds.rows()}


def test_the_wait_for_its_rate_is_no_part_of_its_speed() -> None:
    run = Run(of("a", each=60), Service(every_s=0.5))
    [row] = run.speeds.rows()
    assert (1.0, 60) == (round(row.seconds, 6), row.samples)


def test_what_takes_longest_is_begun_first() -> None:
    known = Speeds([Speed("service", "quick", 1.0, None, 9), Speed("service", "slow", 10.0, None, 9)])
    service = Service(every_s=0.5, seconds={"quick": 1.0, "slow": 10.0})
    run = Run(of("quick", "slow"), service, speeds=known)
    assert ["slow"] * 10 == service.began[:10]
    assert run.seconds <= 20 * 0.5 + 10 * 0.5 + 1


def test_it_is_counted_on_for_no_more_than_it_may_begin() -> None:
    """Both can make all; the service would seem able to make a hundred a second, and may begin one in five seconds."""
    names = "service", "own"
    known = Speeds([Speed("service", "a", 0.2, None, 9), Speed("own", "a", 5.0, 0.0, 9)])
    own = ScriptedBackend("own", seconds=5.0)
    run = Run(of("a", each=40), Service(every_s=5.0, seconds={"a": 0.2}), own, speeds=known)
    assert set(names) == {attempt.lane for outcome in run.outcomes for attempt in outcome.attempts}
    assert len(own.rows()) >= 15
    assert run.seconds <= 40 * 5 / 2 * 1.15


# --- it closes


def test_what_only_a_closed_lane_could_make_fails_at_once_and_says_why_while_the_rest_is_made() -> None:
    service, own = Service(every_s=0.5, closes_at=5.0), ScriptedBackend("own", suits=is_local)
    requests = [planned(n, workflow="local" if n % 2 else "a") for n in range(60)]
    run = Run(requests, service, own)
    paid, free = run.outcomes[::2], run.outcomes[1::2]
    assert ["stored"] * 30 == [outcome.status for outcome in free]
    assert len(service.began) == sum(outcome.status == "stored" for outcome in paid) == 9
    reasons = {outcome.reason for outcome in paid if outcome.status == "failed"}
    assert {f"{NO_CREDIT} No lane is left that can make it."} == reasons
    assert run.seconds == 30.0, "nobody waited for the service"
    assert [] == [event for event in run.events if event.kind == "canary"]


def test_what_was_begun_before_it_closed_is_brought_home() -> None:
    service = Service(every_s=0.5, seconds={"a": 60.0}, closes_at=5.0)
    run = Run(of("a", each=40), service)
    assert (9, 31) == tuple(sum(one.status == status for one in run.outcomes) for status in ("stored", "failed"))
    assert run.seconds == 4.5 + 60


def test_a_lane_that_is_closed_from_the_beginning_is_not_waited_for() -> None:
    """A token that is not valid: the account is asked before anything is made."""
    service = Service(closes_at=0.0)
    own = ScriptedBackend("own", seconds=0.1, suits=is_local)
    run = probed(of("a", "local"), service, own)
    assert {"a": "failed", "local": "stored"} == {
        workflow: run.outcomes[n].status for n, workflow in enumerate(["a", "local"])
    }
    assert run.outcomes[0].reason.startswith(str(NO_CREDIT))
    assert run.seconds <= 2.0


def test_others_make_what_they_can_of_it() -> None:
    run = Run(of("a", each=20), Service(closes_at=0.0), ScriptedBackend("own", seconds=0.1))
    assert {"stored"} == {outcome.status for outcome in run.outcomes}


def test_a_request_that_comes_later_fails_at_once_too_and_the_first_after_the_pause_tries_it() -> None:
    service = Service(closes_at=0.0)
    made: list[tuple[float, Made]] = []

    async def ask(dispatcher: Dispatcher) -> None:
        now = asyncio.get_running_loop().time
        for at in (0.0, 1.0, 10.0):
            await asyncio.sleep(at - now())
            service.closes_at = inf if at >= 10 else 0.0  # somebody has acted
            result = await dispatcher.submit(planned(int(at), workflow="a"), make)
            made.append((now(), result))

    serve(ask, service)
    assert ["failed", "failed", "stored"] == [result.outcome.status for _, result in made]
    assert [0.0, 1.0, 11.0] == [at for at, _ in made], "nobody waited"


def is_local(one: PlannedRequest) -> bool:
    return one.request.workflow == "local"


def probed(requests: Sequence[PlannedRequest], service: Service, *others: ScriptedBackend) -> Run:
    """A run whose service was asked before, and was found closed."""

    class Probed(Run):
        async def _main(self, requests: Sequence[PlannedRequest]) -> float:
            self.dispatcher._lanes[0].fail(str(NO_CREDIT))
            return await super()._main(requests)

    return Probed(requests, service, *others)


def serve(work: Callable[[Dispatcher], Awaitable[None]], service: Service) -> None:
    async def main() -> None:
        dispatcher = Dispatcher([Lane(service, 20, loads=False)])
        async with dispatcher.serving():
            await work(dispatcher)

    run_virtual(main())
