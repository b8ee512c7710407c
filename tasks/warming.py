"""What people see in Prefect's UI of a warm-up that has ended: a table of the workers, its state."""

from __future__ import annotations

from prefect.artifacts import acreate_table_artifact
from prefect.client.schemas import State
from prefect.states import Cancelled, Completed, Failed

from assetline.bootstrap.warming import WarmedUp

WARM_UP_KEY = "worker-warm-up"


async def publish_warm_up(result: WarmedUp) -> None:
    """The table `worker-warm-up`: what each worker loaded in how many seconds, or why it did not."""
    await acreate_table_artifact(
        [
            {
                "worker": warmed.worker,
                "models": warmed.models,
                "seconds": "" if warmed.seconds is None else f"{warmed.seconds:.1f}",
                "reason": warmed.why_not,
            }
            for warmed in result.workers
        ],
        key=WARM_UP_KEY,
        description=str(result),
    )


def warm_up_state(result: WarmedUp) -> State[None]:
    """The flow run's last state: Failed where workers should have loaded something and none has."""
    message = f"{result} {result.reasons}".strip()
    if not result.failures:
        return Completed(message=message)
    return Completed(name="CompletedWithFailures", message=message) if result.ready else Failed(message=message)


def warm_up_stopped() -> State[None]:
    """The state of a warm-up that was canceled; Prefect would call it crashed."""
    return Cancelled(message="Stopped. What a worker has loaded already stays there; what still loaded was taken back.")
