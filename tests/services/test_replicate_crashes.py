"""A process that dies at any step of paying, and the one that goes on: nothing is paid twice, nothing paid is lost."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
from fakes.fake_replicate import FakeReplicate, Fate
from fakes.replicate_lane import Time, lane, ledger_at, planned
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assetline.errors import BackendError
from assetline.ledger import Ledger
from assetline.records import PlannedRequest

WRITES = ("reserve", "submitting", "submitted", "refused", "unknown", "never_sent", "hold", "settle")
MOST_TRIES = 8
MOST_STEPS = 100


class Crash(BaseException):
    """The process is dead from here on."""


class Life:
    """One process: it dies at its `fatal`-th step (a ledger write or an HTTP request), before it or just after."""

    def __init__(self, fatal: int | None, *, after: bool) -> None:
        self._fatal = fatal
        self._after = after
        self.steps = 0
        self.dead = False

    def begin(self) -> bool:
        """Whether this is the fatal step and dies after it. Raises Crash before it."""
        if self.dead:
            raise Crash
        self.steps += 1
        if self.steps != self._fatal:
            return False
        self.dead = True
        if not self._after:
            raise Crash
        return True

    def end(self) -> None:
        if self.dead:
            raise Crash


class MortalLedger:
    """A ledger as a process that may die sees it."""

    def __init__(self, ledger: Ledger, life: Life) -> None:
        self._ledger = ledger
        self._life = life

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method, life = getattr(self._ledger, name), self._life

        def call(*args: Any, **named: Any) -> Any:
            if name in WRITES:
                life.begin()
            elif life.dead:
                raise Crash
            result = method(*args, **named)
            life.end()
            return result

        return call


class MortalTransport(httpx.AsyncBaseTransport):
    """Connections of a process that may die: what was sent stays sent."""

    def __init__(self, life: Life) -> None:
        self.inner = httpx.AsyncHTTPTransport(verify=False)
        self._life = life

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._life.begin()
        response = await self.inner.handle_async_request(request)
        await response.aread()
        self._life.end()
        return response


class World:
    """What outlives processes: the service, the ledger's file, the store, the time."""

    def __init__(self, folder: Path, requests: Sequence[PlannedRequest]) -> None:
        self.time = Time()
        self.folder = folder
        self.requests = requests
        self.stored: dict[str, str] = {}
        self.given_up: set[str] = set()
        self.api = FakeReplicate(clock=self.time.seconds_since_1970)

    def live(self, fatal: int | None = None, *, after: bool = False) -> Life:
        """One process makes what is not stored yet."""
        life = Life(fatal, after=after)
        asyncio.run(self._process(life))
        return life

    async def _process(self, life: Life) -> None:
        ledger, transport = ledger_at(self.folder, self.time), MortalTransport(life)
        backend = lane(
            self.api.url, MortalLedger(ledger, life), self.time, transport=transport, settings={"create_s": 0.3}
        )
        missing = [one for one in self.requests if one.request.key not in self.stored.keys() | self.given_up]
        await asyncio.gather(*(self._make(backend, one, life) for one in missing), return_exceptions=True)
        if not life.dead:
            await backend.close()
        await transport.inner.aclose()
        ledger.close()

    async def _make(self, backend: Any, one: PlannedRequest, life: Life) -> None:
        for attempt in range(1, MOST_TRIES):
            try:
                render = await backend.generate(one, attempt)
            except BackendError as error:
                if not error.transient:
                    self.given_up.add(one.request.key)
                    return
            else:
                life.end()
                self.stored[one.request.key] = render.job_id
                return

    def check(self) -> None:
        """The four promises."""
        assert [] == self.api.complaints
        assert [] == self.api.leaks
        assert {one.request.key for one in self.requests} == self.stored.keys() | self.given_up
        succeeded = [held.id for held in self.api.held.values() if self.api._status(held) == "succeeded"]
        assert sorted(self.stored.values()) == sorted(succeeded), "paid twice, or paid and lost"
        ledger = ledger_at(self.folder, self.time)
        spent = ledger.spent()
        owned = Counter(ledger.owned(self.api.held))
        ledger.close()
        assert 0 == spent.reserved_usd
        assert self.api.billed_micros() == round(spent.settled_usd * 1e6)
        assert self.api.held.keys() == owned.keys()


class WatchedLedger:
    """A ledger that is looked at each time an attempt is about to be sent; `before` may do what others do meanwhile."""

    def __init__(self, ledger: Ledger, before: Callable[[int], None] = lambda _: None) -> None:
        self._ledger = ledger
        self._before = before
        self.sending: list[int] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return getattr(self._ledger, name)

    def submitting(self, attempt_id: int) -> None:
        self._before(attempt_id)
        self._ledger.submitting(attempt_id)
        self.sending.append(sum(paid.state == "submitting" for paid in self._ledger.open_attempts()))


def run_all(watched: WatchedLedger, api: FakeReplicate, time: Time, requests: Sequence[PlannedRequest]) -> list[Any]:
    async def process() -> list[Any]:
        backend = lane(api.url, watched, time, settings={"connections": 6})
        renders = await asyncio.gather(*(backend.generate(one, 1) for one in requests))
        await backend.close()
        return renders

    return asyncio.run(process())


def test_no_more_creates_are_written_down_as_being_sent_than_have_a_connection(tmp_path: Path) -> None:
    """One that waits for a connection would be sent when others take its sender for dead, and pay again."""
    time = Time()
    ledger = ledger_at(tmp_path, time)
    watched = WatchedLedger(ledger)
    with FakeReplicate(clock=time.seconds_since_1970) as api:
        renders = run_all(watched, api, time, [planned(seed=seed) for seed in range(12)])
    ledger.close()
    assert (12, 12) == (len(renders), len(watched.sending))
    assert max(watched.sending) <= 2  # a third of the connections


def test_a_process_that_comes_too_late_to_send_looks_again_and_pays_once(tmp_path: Path) -> None:
    """Another process has given up its intent, as that of one that died."""
    time = Time()
    ledger = ledger_at(tmp_path, time)
    late: list[int] = []

    def given_up(attempt_id: int) -> None:
        if not late:
            late.append(attempt_id)
            ledger.never_sent(attempt_id, "the process that meant to send it is gone")

    with FakeReplicate(clock=time.seconds_since_1970) as api:
        [render] = run_all(WatchedLedger(ledger, given_up), api, time, [planned()])
        assert [render.job_id] == list(api.held)
        assert (0, api.billed_micros()) == (ledger.spent().reserved_usd, round(ledger.spent().settled_usd * 1e6))
    ledger.close()
    assert 1 == len(late)


FAULTS = ("", "", "", "429 1", "500_before", "500_after", "reset_before", "reset_after", "html_after", "odd_after")
FATES = (Fate(), Fate(), Fate("failed", "(code: PA)"), Fate("failed", "NSFW content detected"), Fate(queue_s=9_999))


def test_a_process_that_dies_at_any_step_neither_pays_twice_nor_loses_what_it_paid() -> None:
    """Two requests, one with a lost answer; every step of the run, before and after it."""
    requests = [planned(seed=1), planned("imagen-4", seed=2)]
    for step in range(1, MOST_STEPS):
        for after in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                world = World(Path(folder), requests)
                with world.api:
                    world.api.on("create", "reset_after")
                    life = world.live(step, after=after)
                    world.live()
                    world.check()
                    if not life.dead:
                        return
    raise AssertionError("the run has more steps than were tried")


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    faults=st.lists(st.sampled_from(FAULTS), max_size=6),
    fates=st.lists(st.sampled_from(FATES), max_size=5),
    crashes=st.lists(st.tuples(st.integers(1, 30), st.booleans()), max_size=3),
)
def test_whatever_fails_and_whenever_processes_die_the_books_agree(
    faults: list[str], fates: list[Fate], crashes: list[tuple[int, bool]]
) -> None:
    requests = [planned(seed=1), planned("sdxl", seed=2), planned("imagen-4", seed=3), planned("imagen-4", seed=4)]
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), requests)
        with world.api:
            world.api.on("create", *faults)
            world.api.fates.extend(fates)
            for step, after in crashes:
                world.live(step, after=after)
            world.live()
            world.check()
