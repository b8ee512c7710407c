"""Stopping a run while predictions are open: each is ended, and settled for what it cost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.fake_replicate import FakeReplicate
from fakes.replicate_lane import Time, lane, ledger_at, planned

from assetline.ledger import Ledger

pytestmark = pytest.mark.anyio


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def ledger(tmp_path: Path, time: Time) -> Iterator[Ledger]:
    found = ledger_at(tmp_path, time)
    yield found
    found.close()


@pytest.fixture
def api(time: Time) -> Iterator[FakeReplicate]:
    with FakeReplicate(clock=time.seconds_since_1970, queue_s=1, run_s=500) as fake:
        yield fake


async def until(ready: Callable[[], object]) -> None:
    while not ready():  # noqa: ASYNC110  # the fake lives in another thread
        await asyncio.sleep(0)


def agree(api: FakeReplicate, ledger: Ledger) -> None:
    spent = ledger.spent()
    assert (0, api.billed_micros()) == (spent.reserved_usd, round(spent.settled_usd * 1e6))


async def test_cancelled_requests_end_their_predictions_and_what_they_cost_is_settled(
    api: FakeReplicate, ledger: Ledger, time: Time
) -> None:
    backend = lane(api.url, ledger, time)
    tasks = [asyncio.create_task(backend.generate(planned("sdxl", seed), 1)) for seed in range(5)]
    await until(lambda: api.creates() == 5)
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    await backend.close()
    assert [asyncio.CancelledError] * 5 == [type(one) for one in ended]
    assert [] == api.open()
    assert ["canceled"] * 5 == [api._status(held) for held in api.held.values()]
    agree(api, ledger)


async def test_a_cancel_while_the_create_is_under_way_loses_no_id(
    api: FakeReplicate, ledger: Ledger, time: Time
) -> None:
    backend = lane(api.url, ledger, time)
    task = asyncio.create_task(backend.generate(planned(), 1))
    await until(lambda: ledger.open_attempts() and ledger.open_attempts()[0].state == "submitting")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await backend.close()
    assert [] == api.open()
    agree(api, ledger)


async def test_what_succeeded_before_the_cancel_came_is_fetched_by_the_next_run_and_not_paid_again(
    api: FakeReplicate, ledger: Ledger, time: Time
) -> None:
    backend = lane(api.url, ledger, time)
    task = asyncio.create_task(backend.generate(planned(), 1))
    await until(lambda: bool(ledger.open_attempts()) and ledger.open_attempts()[0].state == "submitted")
    next(iter(api.held.values())).ends = api.now()
    next(iter(api.held.values())).starts = api.now()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await backend.close()
    agree(api, ledger)
    again = lane(api.url, ledger, time, run="run-2")
    render = await again.generate(planned(), 1)
    await again.close()
    assert [render.job_id] == list(api.held)
    agree(api, ledger)


async def test_an_hour_later_it_is_paid_again_and_that_is_told(api: FakeReplicate, ledger: Ledger, time: Time) -> None:
    for held_s in (0, 3 * 3600):
        time.seconds += held_s
        backend = lane(api.url, ledger, time)
        task = asyncio.create_task(backend.generate(planned(), 1))
        count = api.creates()
        await until(lambda count=count: api.creates() > count)
        list(api.held.values())[-1].ends = api.now() + 2
        render = await task
        await backend.close()
    assert 2 == api.creates()
    assert any(note.startswith("It was paid for before (0.0030 USD") for note in render.notes)
    agree(api, ledger)


async def test_a_run_that_goes_on_after_a_crash_can_end_what_the_dead_process_left(
    api: FakeReplicate, ledger: Ledger, time: Time
) -> None:
    dead = lane(api.url, ledger, time)
    task = asyncio.create_task(dead.generate(planned(), 1))
    await until(lambda: bool(ledger.open_attempts()) and ledger.open_attempts()[0].state == "submitted")
    backend = lane(api.url, ledger, time)
    assert 1 == await backend.cancel_open()
    assert [] == api.open()
    await asyncio.gather(task, return_exceptions=True)
    await dead.close()
    await backend.close()
    agree(api, ledger)


async def test_two_processes_that_want_the_same_picture_pay_once(
    api: FakeReplicate, ledger: Ledger, time: Time
) -> None:
    """No time passes while one of them sends: else the other would take it for dead after a moment of waiting."""

    async def patient(seconds: float) -> None:
        await until(lambda: not any(paid.state in {"intent", "submitting"} for paid in ledger.open_attempts()))
        await time.sleep(seconds)

    api._run_s = 3
    time.clock = replace(time.clock, sleep=patient)
    lanes = [lane(api.url, ledger, time, run=f"run-{n}") for n in (1, 2)]
    renders = await asyncio.gather(*(each.generate(planned(), 1) for each in lanes))
    for each in lanes:
        await each.close()
    assert 1 == api.creates()
    assert 1 == len({render.job_id for render in renders})
    agree(api, ledger)
