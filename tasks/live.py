"""What people see in Prefect's UI of a run while it goes on: its progress, and what its lanes do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import acreate_markdown_artifact, acreate_progress_artifact, aupdate_progress_artifact
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.exceptions import PrefectException

from assetline.manifest import lanes_markdown
from assetline.pipeline import Progress, Report, RunJob
from assetline.timeline.figures import many
from tasks.run_log import ProgressLines

UPDATE_EVERY_S = 1.0  # an update costs 0.1 to 0.35 s on a busy server (measured, Prefect 3.8.8)
LANES_EVERY_S = 15.0
PROGRESS_KEY = "campaign-progress"
LANES_KEY = "campaign-lanes"
MOST_BYTES = 150_000  # of what is sent again and again; past it the table goes without the picture


class Paced:
    """A report that passes on the newest of what it hears, at most once in `every_s`, and the last one always.

    Only what `shown` makes of it counts as news. Whoever reports never waits for what is passed on: use it as a context
    manager round the work.
    """

    def __init__(
        self,
        total: int,
        pass_on: Callable[[Progress], Awaitable[None]],
        every_s: float,
        shown: Callable[[Progress], object] = lambda progress: progress,
    ) -> None:
        self._newest = self._passed = Progress(total=total)
        self._pass_on = pass_on
        self._every_s = every_s
        self._shown = shown

    def __call__(self, progress: Progress) -> None:
        """Hear of progress."""
        self._newest = progress

    async def __aenter__(self) -> Self:
        self._updates = asyncio.create_task(self._keep_up())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._updates.cancel()
        await asyncio.gather(self._updates, return_exceptions=True)
        await self._catch_up()

    async def _keep_up(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            await self._catch_up()

    async def _catch_up(self) -> None:
        newest = self._newest
        if self._shown(newest) != self._shown(self._passed):
            await self._pass_on(newest)
            self._passed = newest


@asynccontextmanager
async def followed(job: RunJob) -> AsyncIterator[Report]:
    """What the pipeline reports to: the progress artifact, and lines in the Logs tab."""
    plan, say = job.plan, get_run_logger().info
    names = ", ".join(lane.name for lane in job.lanes)
    say(
        "%s: %d requests from %d rows, on %s, into %s",
        plan.campaign,
        len(plan.requests),
        len(plan.rows),
        names,
        job.store.uri,
    )
    lines = ProgressLines(say)
    total = len(plan.requests)
    async with (
        get_client() as client,  # one for all updates: a new one costs 0.1 s of CPU (measured, Prefect 3.8.8)
        progress_artifact(total, client) as shown,
        Paced(total, LanesArtifact(client).show, LANES_EVERY_S, lanes_shown) as lanes,
    ):

        def report(progress: Progress) -> None:
            lines(progress)
            shown(progress)
            lanes(progress)

        yield report


@asynccontextmanager
async def progress_artifact(total: int, client: PrefectClient) -> AsyncIterator[Report]:
    """A progress artifact whose description is the progress sentence: `312 of 400, 2 failed, 3.1/s, 28 s left`."""
    artifact = await acreate_progress_artifact(0.0, key=PROGRESS_KEY, description=str(Progress(total=total)))

    async def update(progress: Progress) -> None:
        percent = round(progress.percent, 1)
        try:
            await aupdate_progress_artifact(artifact, percent, description=progress.said, client=client)
        except (httpx.HTTPError, PrefectException) as error:  # the pictures are made all the same
            get_run_logger().warning("progress not shown: reason=%s", error)

    async with Paced(total, update, UPDATE_EVERY_S) as report:
        yield report


class LanesArtifact:
    """The artifact `campaign-lanes`: what each lane did and does now, and the newest picture of it.

    It comes into being with the first news of lanes, so that runs of seconds have none.
    """

    def __init__(self, client: PrefectClient) -> None:
        self._client = client
        self._id: UUID | None = None

    async def show(self, progress: Progress) -> None:
        """Show the lanes as they are in `progress`."""
        said = lanes_said(progress)
        text = lanes_markdown(progress.lanes, progress.timeline)
        if len(text) > MOST_BYTES:
            text = lanes_markdown(progress.lanes, None)
        try:
            if self._id is None:
                self._id = await acreate_markdown_artifact(text, key=LANES_KEY, description=said)
            else:
                await self._client.update_artifact(self._id, ArtifactUpdate(data=text, description=said))
        except (httpx.HTTPError, PrefectException) as error:  # the pictures are made all the same
            get_run_logger().warning("lanes not shown: reason=%s", error)


def lanes_shown(progress: Progress) -> object:
    """What of the lanes is news: pictures, failures, whether they work. Not that time has passed."""
    return _have_ended(progress), [(lane.name, lane.pictures, lane.failures, lane.state) for lane in progress.lanes]


def lanes_said(progress: Progress) -> str:
    """The lanes in one line: `4 lanes: 3 working, 1 down`; `4 lanes made 200 pictures` when they have ended."""
    states = [lane.state for lane in progress.lanes]
    if _have_ended(progress):
        return f"{many(len(states), 'lane')} made {many(sum(lane.pictures for lane in progress.lanes), 'picture')}"
    counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return f"{many(len(states), 'lane')}: {counted}"


def _have_ended(progress: Progress) -> bool:
    return progress.timeline is not None and progress.timeline.ended
