"""What makes pictures: one file a backend, one protocol for all. `dispatch` sees nothing else of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

from assetline.records import PlannedRequest, Render

State = Literal["finished", "running", "pending"]
STATES: tuple[State, ...] = ("finished", "running", "pending")  # the furthest first


class Backend(Protocol):
    """A place that makes pictures. `name` is the lane's name in manifests (`fpo`, `http://gpu1:8188`)."""

    name: str

    def suits(self, planned: PlannedRequest) -> bool:
        """Whether this kind of backend can make the request at all (FPO only comps, ComfyUI only workflows)."""

    async def probe(self) -> None:
        """One cheap question: does it answer, and could it work? Raises BackendError."""

    async def generate(self, planned: PlannedRequest, attempt: int) -> Render:
        """Make the picture and bring its bytes back. `attempt` counts from 1 and makes ids unique.

        Raises BackendError, the class saying whether another try may help. Cancelling it cancels the work
        on the backend too, within a few seconds.
        """

    async def close(self) -> None:
        """Give back connections."""


@runtime_checkable
class Adopter(Protocol):
    """A backend that goes on with what a killed run left on it; `Backend.generate` then follows that instead."""

    async def adopt(self, wanted: Sequence[PlannedRequest]) -> dict[str, State]:
        """Take over what is there of `wanted`: how far each is, by request key. Raises BackendUnavailable."""

    async def disown(self, request_key: str) -> None:
        """Take back what was adopted: another lane is further with it."""


@runtime_checkable
class Shared(Protocol):
    """A backend whose place others use too, so that it may be busy with what is not ours."""

    async def foreign(self) -> int:
        """How many jobs of other clients wait or run there now. Raises BackendUnavailable."""


@runtime_checkable
class Warmable(Protocol):
    """A backend that loads models, and can be made to before they are needed."""

    async def warm(self, planned: PlannedRequest) -> float:
        """Load what `planned` needs, by the cheapest job that does; seconds that it took. Nothing of it is kept.

        For a request that it `suits`. Raises BackendError; cancelling takes the job back.
        """
