"""The asset step as a task run: what it leaves in Prefect, and what the dispatcher gets back from it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fakes.lanes import ScriptedBackend, planned
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas import State, TaskRun
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.events.worker import EventsWorker
from prefect.states import Completed

from assetline.dispatch import Dispatcher, Lane, Ticket
from assetline.pipeline import Make
from assetline.records import Asset, Made, Outcome
from tasks import batches
from tasks.asset import as_task
from tasks.batches import WITHIN_S, _Batch, asset_tasks
from tasks.run_log import core_log

# The connections of Prefect's cached clients are closed by the collector.
pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]

ORIGINAL = "campaigns/spring/assets/r0/r0_64x64_0123abcd.png"


def asset() -> Asset:
    return Asset(
        original=ORIGINAL,
        sidecar=f"{ORIGINAL}.json",
        thumbnails={},
        sha256="0" * 64,
        width=64,
        height=64,
        format="PNG",
        seed=1,
        lane="gpu1",
        job_id="1",
        seconds=1.0,
        cost_usd=0.0,
    )


def ended(ticket: Ticket, status: Any, reason: str = "") -> Made:
    return Made(Outcome.of(ticket.planned, status, reason, asset=asset() if status == "stored" else None))


async def scripted(ticket: Ticket) -> Made:
    """R0 is stored, R1 fails, R2 is rejected, R3 is our own mistake."""
    await asyncio.sleep(0)
    match ticket.planned.row:
        case "R0":
            return ended(ticket, "stored")
        case "R1":
            return ended(ticket, "failed", "gpu1 ran out of memory.")
        case "R2":
            return ended(ticket, "rejected", "The picture is black.")
    raise ZeroDivisionError("never expected")


async def stored(ticket: Ticket) -> Made:
    await asyncio.sleep(0)
    return ended(ticket, "stored")


def in_flow(work: Callable[[], Awaitable[Any]]) -> tuple[Any, State]:
    """Await `work` in a flow; what it gave, and the flow's last state."""
    got: list[Any] = []

    @flow
    async def around() -> State[None]:
        with core_log():
            got.append(await work())
        return Completed()

    state = asyncio.run(around(return_state=True))
    EventsWorker.drain_all(at_exit=False)
    return got[0], state


def task_runs(client: SyncPrefectClient, state: State, count: int) -> dict[str, TaskRun]:
    """By name. The server writes them down a moment after the flow has ended."""
    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
    found: list[TaskRun] = []
    for _ in range(2000):
        found = client.read_task_runs(flow_run_filter=of_run)
        if len(found) >= count and all(run.state and run.state.is_final() for run in found):
            break
    return {run.name: run for run in found}


def said(run: TaskRun) -> tuple[str | None, str | None, str | None]:
    assert run.state
    return (run.state.type.value, run.state.name, run.state.message)


def test_each_asset_is_a_task_run_with_its_label_its_end_and_why(prefect: SyncPrefectClient) -> None:
    make: Make = as_task(scripted)

    async def work() -> list[Made | BaseException]:
        tickets = [Ticket(planned(number), number, "") for number in range(4)]
        return await asyncio.gather(*(make(ticket) for ticket in tickets), return_exceptions=True)

    made, state = in_flow(work)
    assert ["stored", "failed", "rejected"] == [one.outcome.status for one in made[:3]]
    assert isinstance(made[3], ZeroDivisionError)
    runs = task_runs(prefect, state, 4)
    assert ("COMPLETED", "Completed", ORIGINAL) == said(runs["R0-1-64x64"])
    assert ("FAILED", "Failed", "gpu1 ran out of memory.") == said(runs["R1-1-64x64"])
    assert ("COMPLETED", "Rejected", "The picture is black.") == said(runs["R2-1-64x64"])
    assert ("FAILED", "Failed") == said(runs["R3-1-64x64"])[:2]
    assert "never expected" in (said(runs["R3-1-64x64"])[2] or "")


def test_a_mistake_of_ours_in_one_asset_is_its_outcome_and_the_others_are_made(prefect: SyncPrefectClient) -> None:
    made: list[Made] = []

    async def work() -> None:
        lane = Lane(ScriptedBackend("gpu1"), slots=2)
        await Dispatcher([lane]).run([planned(0), planned(3)], as_task(scripted), made.append)

    in_flow(work)
    by_row = {one.outcome.row: one.outcome for one in made}
    assert {"R0": "stored", "R3": "failed"} == {row: outcome.status for row, outcome in by_row.items()}
    assert "ZeroDivisionError: never expected" in by_row["R3"].reason


def test_cancelling_reaches_the_step_and_the_caller_and_shows_as_cancelled(prefect: SyncPrefectClient) -> None:
    heard: list[str] = []

    async def work() -> str:
        begun = asyncio.Event()

        async def endless(ticket: Ticket) -> Made:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                heard.append(ticket.planned.row)
                raise
            raise AssertionError

        under_way = asyncio.ensure_future(as_task(endless)(Ticket(planned(0), 0, "")))
        await begun.wait()
        under_way.cancel()
        await asyncio.wait([under_way])
        return "cancelled" if under_way.cancelled() else "not cancelled"

    got, state = in_flow(work)
    assert ("cancelled", ["R0"]) == (got, heard)
    assert ("CANCELLED", "Cancelled", "The run was stopped.") == said(task_runs(prefect, state, 1)["R0-1-64x64"])


def test_the_parameters_of_a_task_run_are_labels_alone(prefect: SyncPrefectClient) -> None:
    async def work() -> Made:
        return await as_task(scripted)(Ticket(planned(0), 0, ""))

    _, state = in_flow(work)
    run = task_runs(prefect, state, 1)["R0-1-64x64"]
    assert {"label", "request_key"} == set(run.task_inputs)
    assert [] == run.tags


# --- several assets in one task run


def test_so_many_assets_share_a_task_run_that_says_what_became_of_them(prefect: SyncPrefectClient) -> None:
    made: list[Made] = []

    async def work() -> None:
        async with asset_tasks(2) as in_tasks:
            make = in_tasks(scripted)
            for first, second in ((0, 2), (1, 0)):
                tickets = [Ticket(planned(number), number, "") for number in (first, second)]
                made.extend(await asyncio.gather(*(make(ticket) for ticket in tickets)))
            made.append(await make(Ticket(planned(2), 2, "")))

    _, state = in_flow(work)
    assert ["stored", "rejected", "failed", "stored", "rejected"] == [one.outcome.status for one in made]
    runs = task_runs(prefect, state, 3)
    assert {
        "R0-1-64x64 and the next": ("COMPLETED", "Completed", "2 assets"),
        "R1-1-64x64 and the next": ("FAILED", "Failed", "1 of 2 failed. R1-1-64x64: gpu1 ran out of memory."),
        "R2-1-64x64 and the next": ("COMPLETED", "Completed", "1 asset"),
    } == {name: said(run) for name, run in runs.items()}


def test_assets_share_a_task_run_only_at_a_pace_that_is_too_quick_for_their_own(
    prefect: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "QUICK", 2)
    seconds = 0.0

    async def work() -> None:
        nonlocal seconds
        async with asset_tasks(None, clock=lambda: seconds) as in_tasks:
            make = in_tasks(stored)
            await asyncio.gather(*(make(Ticket(planned(number), number, "")) for number in range(4)))
            seconds += WITHIN_S / 2
            await make(Ticket(planned(4), 4, ""))  # none of those before is in the making any more
            seconds += WITHIN_S
            await make(Ticket(planned(5), 5, ""))

    _, state = in_flow(work)
    runs = task_runs(prefect, state, 5)
    labels = [f"R{number}-1-64x64" for number in range(6)]
    shared = {f"{labels[2]} and the next": "2 assets", f"{labels[4]} and the next": "1 asset"}
    assert {labels[0], labels[1], labels[5], *shared} == set(runs)
    assert list(shared.values()) == [said(runs[name])[2] for name in shared]


def test_a_run_that_stops_ends_the_task_run_that_its_assets_share(prefect: SyncPrefectClient) -> None:
    async def endless(ticket: Ticket) -> Made:
        await asyncio.Event().wait()
        raise AssertionError(ticket)

    async def work() -> None:
        async with asset_tasks(5) as in_tasks:
            under_way = [asyncio.ensure_future(in_tasks(endless)(Ticket(planned(n), n, ""))) for n in range(2)]
            await asyncio.sleep(0)
            for one in under_way:
                one.cancel()
            await asyncio.wait(under_way)

    _, state = in_flow(work)
    said_at_the_end = said(task_runs(prefect, state, 1)["R0-1-64x64 and the next"])
    assert ("CANCELLED", "Cancelled", "2 of 2 were not finished.") == said_at_the_end


def test_a_mistake_of_ours_fails_the_task_run_that_assets_share(prefect: SyncPrefectClient) -> None:
    async def work() -> list[Made | BaseException]:
        async with asset_tasks(2) as in_tasks:
            make = in_tasks(scripted)
            tickets = [Ticket(planned(number), number, "") for number in (0, 3)]
            return await asyncio.gather(*(make(ticket) for ticket in tickets), return_exceptions=True)

    made, state = in_flow(work)
    assert isinstance(made[1], ZeroDivisionError)
    told = "1 of 2 failed. R3-1-64x64: ZeroDivisionError: never expected"
    assert ("FAILED", "Failed", told) == said(task_runs(prefect, state, 1)["R0-1-64x64 and the next"])


def test_a_task_run_that_prefect_cannot_keep_costs_no_run_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise ConnectionError("Prefect's server does not answer")

    monkeypatch.setattr(_Batch, "_run", away)

    async def work() -> str:
        async with asset_tasks(2) as in_tasks:
            return (await in_tasks(scripted)(Ticket(planned(0), 0, ""))).outcome.status

    assert "stored" == asyncio.run(work())
