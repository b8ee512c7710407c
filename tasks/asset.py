"""The asset step as one Prefect task run, named after its row: `SKU0007-1-1024x1024`."""

from __future__ import annotations

import asyncio

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import State
from prefect.states import Cancelled, Completed, Failed

from assetline.dispatch import Ticket
from assetline.pipeline import Make
from assetline.records import Made


def as_task(step: Make) -> Make:
    """Wrap the asset step, so that each asset is one task run: 3 to 6 ms of CPU here (measured, Prefect 3.8.8).

    The parameters are labels alone: clients and bytes stay in the closure, since Prefect keeps parameters. The
    result stays in this process, no state of it is stored; what the store holds is the memory. Awaited, never
    submitted: a submitted async task costs 123 ms of CPU. No tags: Prefect opens a client for each new set of them.
    Raises what the step raises, CancelledError too.
    """
    tickets: dict[str, Ticket] = {}
    ended: dict[str, Made] = {}

    @task(name="asset", task_run_name="{label}", cache_policy=NO_CACHE, persist_result=False)
    async def asset(label: str, request_key: str) -> State[None]:  # noqa: ARG001  (the label names the task run)
        try:
            made = ended[request_key] = await step(tickets.pop(request_key))
        except asyncio.CancelledError:  # past this point Prefect would call the task run crashed
            return Cancelled(message="The run was stopped.")
        return _state(made)

    async def make(ticket: Ticket) -> Made:
        key = ticket.planned.request.key
        tickets[key] = ticket
        state = await asset(ticket.planned.label, key, return_state=True)  # type: ignore[misc]  # Prefect's overload is sync
        if key not in ended:
            if state.is_cancelled():
                raise asyncio.CancelledError
            await state.aresult()  # raises what the step raised
        return ended.pop(key)

    return make


def _state(made: Made) -> State[None]:
    """The task run's state: a failed request is a failed task run, whatever the flow does about it."""
    outcome = made.outcome
    if outcome.status == "failed":
        return Failed(message=outcome.reason)
    if outcome.status == "canceled":
        return Cancelled(message=outcome.reason)
    if outcome.status == "rejected":
        return Completed(name="Rejected", message=outcome.reason)
    return Completed(message=outcome.asset.original if outcome.asset else "")
