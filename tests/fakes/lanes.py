"""Scripted backends for the dispatcher: each answers what the test says, after as long as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from assetline.dispatch import Ticket
from assetline.errors import AssetlineError, BackendUnavailable
from assetline.records import ImageRequest, Made, Outcome, PlannedRequest, Render

Answer = AssetlineError | None


def planned(number: int, *, priority: int = 0, workflow: str = "any") -> PlannedRequest:
    request = ImageRequest(prompt=f"picture {number}", width=64, height=64, seed=number, workflow=workflow)
    return PlannedRequest(
        row=f"R{number}", row_number=number + 2, variant=1, size="64x64", request=request, priority=priority
    )


class ScriptedBackend:
    """Takes `seconds` a picture. `answers` are used up first: an error is raised, None is a picture."""

    def __init__(
        self,
        name: str,
        *,
        seconds: float = 1.0,
        answers: Iterable[Answer] = (),
        down: tuple[float, float] | None = None,
        suits: Callable[[PlannedRequest], bool] = lambda _: True,
    ) -> None:
        self.name = name
        self.seconds = seconds
        self.answers = list(answers)
        self.down = down
        self.suits = suits
        self.log: list[tuple[str, str]] = []
        self.probes: list[float] = []
        self.running = 0
        self.most_running = 0

    async def probe(self) -> None:
        self.probes.append(self._now())
        self._answer_or_refuse()

    async def generate(self, planned: PlannedRequest, attempt: int) -> Render:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            self._answer_or_refuse()
            await asyncio.sleep(self.seconds)
            self._answer_or_refuse()
            if self.answers and (error := self.answers.pop(0)):
                self.log.append((planned.row, type(error).__name__))
                raise error
        except asyncio.CancelledError:
            self.log.append((planned.row, "canceled"))
            raise
        finally:
            self.running -= 1
        self.log.append((planned.row, "made"))
        return Render(
            data=b"", seed=planned.request.seed, lane=self.name, job_id=f"{planned.row}.{attempt}", seconds=self.seconds
        )

    async def close(self) -> None:
        return

    def rows(self) -> list[str]:
        return [row for row, what in self.log if what == "made"]

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _answer_or_refuse(self) -> None:
        if self.down and self.down[0] <= self._now() < self.down[1]:
            raise BackendUnavailable(f"{self.name} does not answer", lane=self.name)


async def make(ticket: Ticket) -> Made:
    """The shortest asset step: generate with retries, store nothing."""
    while True:
        try:
            await ticket.generate()
        except AssetlineError as error:
            try:
                await ticket.again(error)
            except AssetlineError as final:
                return Made(Outcome.of(ticket.planned, "failed", str(final), attempts=tuple(ticket.attempts)))
        else:
            return Made(Outcome.of(ticket.planned, "stored", attempts=tuple(ticket.attempts)))
