"""The FPO lane: draws a labelled comp with Pillow, without GPU or network. "For position only", never a real render."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from assetline.backends.fpo.comp import draw_comp, notes
from assetline.records import FPO_MODEL, PlannedRequest, Render

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class FpoBackend:
    """Makes comps for requests whose model is `fpo/1`. `run` takes the drawing off the event loop."""

    name = "fpo"

    def __init__(self, run: Callable[..., Awaitable[bytes]] = asyncio.to_thread) -> None:
        """`run(function, *arguments)` runs a plain function in a thread; the pipeline passes its bounded pool."""
        self._run = run

    def suits(self, planned: PlannedRequest) -> bool:
        """Comps alone: a real render is never replaced by one unasked."""
        return planned.request.model == FPO_MODEL

    async def probe(self) -> None:
        """It is always there."""

    async def generate(self, planned: PlannedRequest, attempt: int) -> Render:  # noqa: ARG002 - the protocol's
        """Draw the comp: a PNG of the request's size. The job id comes from the request: every try is the same."""
        request = planned.request
        started = time.perf_counter()
        data = await self._run(draw_comp, request)
        return Render(
            data=data,
            seed=request.seed,
            lane=self.name,
            job_id=f"fpo-{request.key[:8]}",
            seconds=time.perf_counter() - started,
            notes=notes(request),
        )

    async def close(self) -> None:
        """Nothing is held."""
