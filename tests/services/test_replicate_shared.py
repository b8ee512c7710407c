"""Several processes that pay from one ledger: turns that come late, processes that stood still, clocks that are wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.campaigns import png
from fakes.fake_replicate import FakeReplicate, Fate
from fakes.replicate_lane import Time, lane, ledger_at, planned

from assetline.backends.replicate.backend import ReplicateBackend
from assetline.ledger import Caps, Intent, Ledger, open_ledger
from assetline.records import Render

pytestmark = pytest.mark.anyio
HOURS_2 = 7_200.0


class Meanwhile:
    """A ledger that lets others act before one of its steps is taken for the first time."""

    def __init__(self, ledger: Ledger, step: str, others: Callable[[], object]) -> None:
        self._ledger = ledger
        self._others = {step: others}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._ledger, name)

        def call(*args: Any, **named: Any) -> Any:
            self._others.pop(name, lambda: None)()
            return method(*args, **named)

        return call


class Two:
    """The service, the time, the ledger that both processes have."""

    def __init__(self, folder: Path) -> None:
        self.time = Time()
        self.folder = folder
        self.ledger = ledger_at(folder, self.time)
        self.api = FakeReplicate(clock=self.time.seconds_since_1970)

    def make(self, run: str, ledger: Any = None, **options: Any) -> str:
        """One process from its beginning to its end; the prediction that it has got the picture of."""

        async def process() -> str:
            backend = lane(self.api.url, ledger or self.ledger, self.time, run=run, **options)
            render = await backend.generate(planned(), 1)
            await backend.close()
            return render.job_id

        return asyncio.run(process())

    def check(self, creates: int) -> None:
        """So many were created, and the books are equal."""
        spent = self.ledger.spent()
        assert (creates, 0) == (self.api.creates(), spent.reserved_usd)
        assert self.api.billed_micros() == round(spent.settled_usd * 1e6)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    found = Two(tmp_path)
    with found.api:
        yield found
    found.ledger.close()


def test_a_picture_that_another_has_paid_for_before_ones_turn_came_is_not_paid_again(two: Two) -> None:
    """Between the first look and the reservation lies the wait for the rate, which may be minutes."""
    made: list[str] = []
    late = Meanwhile(two.ledger, "reserve", lambda: made.append(two.make("run-2")))
    assert [two.make("run-1", late)] == made
    two.check(creates=1)


def test_a_picture_that_is_gone_is_paid_again_once_by_two_who_want_it(two: Two) -> None:
    two.make("run-0")
    two.time.seconds += HOURS_2
    made: list[str] = []
    late = Meanwhile(two.ledger, "reserve", lambda: made.append(two.make("run-2")))
    assert [two.make("run-1", late)] == made
    two.check(creates=2)


def test_a_picture_that_another_run_has_stored_meanwhile_is_not_paid_again_when_it_is_gone(two: Two) -> None:
    """A run that was paused for hours, while somebody ran the same sheet again."""
    made = two.make("run-2")
    two.time.seconds += HOURS_2
    picture = png(7, (1024, 1024))
    assert made == two.make("run-1", stored=lambda _: picture)
    two.check(creates=1)


def test_what_another_has_found_for_a_process_that_stood_still_is_paid_once(two: Two) -> None:
    """A closed laptop: its create was accepted, and another machine has found that, and has the picture."""

    def hours_later() -> None:
        two.time.seconds += 600
        made.append(two.make("run-2"))

    made: list[str] = []
    assert [two.make("run-1", Meanwhile(two.ledger, "submitted", hours_later))] == made
    two.check(creates=1)


@pytest.mark.parametrize("fault", ["reset_after", "500_after"])
def test_a_lost_answer_that_another_has_found_meanwhile_is_paid_once(two: Two, fault: str) -> None:
    def hours_later() -> None:
        two.time.seconds += 600
        made.append(two.make("run-2"))

    made: list[str] = []
    two.api.on("create", fault)
    assert [two.make("run-1", Meanwhile(two.ledger, "unknown", hours_later))] == made
    two.check(creates=1)


class Trickling(httpx.AsyncBaseTransport):
    """A connection that brings the answer to a create byte by byte, each in time."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async with httpx.AsyncHTTPTransport(verify=False) as inner:
            answer = await inner.handle_async_request(request)
            body = await answer.aread()
        whole = not (request.method == "POST" and request.url.path.endswith("/predictions"))
        return httpx.Response(answer.status_code, content=body if whole else self._slowly(body))

    async def _slowly(self, body: bytes) -> AsyncIterator[bytes]:
        for place in range(len(body)):
            yield body[place : place + 1]
            await asyncio.sleep(0.02)  # real, as the limit is


def test_a_create_whose_answer_trickles_ends_before_others_take_its_sender_for_dead(two: Two) -> None:
    found = two.make("run-1", transport=Trickling(), settings={"connect_s": 0.1, "create_s": 0.1})
    assert "unknown" in [entry.state for entry in two.ledger.history(1)]
    assert [found] == list(two.api.held)
    two.check(creates=1)


def test_what_was_accepted_after_it_was_given_up_is_ended(two: Two) -> None:
    """Another process saw nothing of it for a minute, and went on."""

    def given_up() -> None:
        [paid] = two.ledger.open_attempts()
        two.ledger.unknown(paid.id, "the process that sent it is gone")
        two.ledger.never_sent(paid.id, "it is not in the account's list: not arrived")

    two.api._queue_s = 5
    found = two.make("run-1", Meanwhile(two.ledger, "submitted", given_up))
    assert {found: "succeeded"} == {
        held.id: two.api._status(held) for held in two.api.held.values() if two.api._status(held) != "canceled"
    }
    two.check(creates=2)


@pytest.mark.parametrize("ahead_min", [-20, 20, 50])
def test_what_a_machine_with_a_wrong_clock_has_paid_for_is_found(two: Two, ahead_min: int) -> None:
    def wrong() -> datetime:
        return two.time.wall() + timedelta(minutes=ahead_min)

    dead = open_ledger(f"sqlite:///{two.folder / 'ledger.db'}", clock=wrong)
    sent = lane(two.api.url, two.ledger, two.time)._job(planned()).sent.input
    model = "black-forest-labs/flux-schnell"
    paid = dead.reserve(
        Intent(planned().request.key, "spring", "run-0", "A", "replicate", model, "", sent, 0.003), Caps()
    )
    dead.submitting(paid.id)
    dead.unknown(paid.id, "no answer")
    dead.close()
    two.api._accept(model, sent, {})
    two.time.seconds += 30
    assert [two.make("run-1")] == list(two.api.held)
    two.check(creates=1)


async def on_one_prediction(two: Two, *lanes: ReplicateBackend) -> list[asyncio.Task[Render]]:
    """Lanes that all follow the prediction of the first, which takes a minute."""
    two.api._run_s = 60
    following: list[asyncio.Task[Render]] = []
    for one in lanes:
        following.append(asyncio.create_task(one.generate(planned(), 1)))
        while not one._parts or not one._parts.attempts.live:  # noqa: ASYNC110  # the fake lives in another thread
            await asyncio.sleep(0)
    return following


async def test_one_who_stops_leaves_alone_what_another_has_sent(two: Two) -> None:
    here, there = (lane(two.api.url, two.ledger, two.time, run=run) for run in ("run-1", "run-2"))
    sent, taken_up = await on_one_prediction(two, here, there)
    taken_up.cancel()
    await asyncio.gather(taken_up, return_exceptions=True)
    await there.close()
    assert [(await sent).job_id] == list(two.api.held)
    await here.close()
    two.check(creates=1)


def test_a_picture_that_another_run_has_stored_serves_who_followed_it_too_late(two: Two) -> None:
    """A laptop that was closed while it followed a prediction, which another machine followed to its end."""
    two.api.fates.append(Fate(removed=True))
    picture = png(7, (1024, 1024))
    assert two.make("run-1", stored=lambda _: picture) in two.api.held
    two.check(creates=1)


async def test_one_whose_prediction_another_has_ended_pays_for_one_of_its_own(two: Two) -> None:
    """Of two people who run one sheet, one presses Ctrl-C."""
    here, there = (lane(two.api.url, two.ledger, two.time, run=run) for run in ("run-1", "run-2"))
    sent, taken_up = await on_one_prediction(two, here, there)
    sent.cancel()
    await asyncio.gather(sent, return_exceptions=True)
    await here.close()
    two.api._run_s = 1
    assert (await taken_up).job_id == list(two.api.held)[1]
    await there.close()
    two.check(creates=2)


def test_a_dead_process_whose_clock_was_ahead_is_not_waited_for_until_that_time(two: Two) -> None:
    dead = open_ledger(f"sqlite:///{two.folder / 'ledger.db'}", clock=lambda: two.time.wall() + timedelta(hours=1))
    model = "black-forest-labs/flux-schnell"
    intent = Intent(planned().request.key, "spring", "run-0", "A", "replicate", model, "", {"prompt": "a"}, 0.003)
    dead.submitting(dead.reserve(intent, Caps()).id)
    dead.close()
    began = two.time.seconds
    assert [two.make("run-1")] == list(two.api.held)
    assert two.time.seconds - began < 600
    two.check(creates=1)
