"""Beside a run that goes on: look every few seconds whether it shall pause, and write down how it stands."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from assetline.dispatch import Dispatcher
from assetline.errors import StoreError
from assetline.pipeline.asset import Bench
from assetline.pipeline.books import Books
from assetline.pipeline.lanes import LaneWatch
from assetline.pipeline.live import news_of, put_news, put_timeline, read_control

log = logging.getLogger(__name__)

LOOK_EVERY_S = 3.0  # one GET of a few bytes, mostly of an object that is not there
NEWS_EVERY = 3  # looks: one small PUT every nine seconds
TIMELINE_EVERY = 10  # looks: at most some 500 KB every half minute, of 10,000 pictures


@dataclass(frozen=True)
class Attended:
    """A run that goes on: where it writes, what it knows, who hands out its requests."""

    bench: Bench
    books: Books
    lanes: LaneWatch
    dispatcher: Dispatcher


@asynccontextmanager
async def attended(run: Attended, every_s: float = LOOK_EVERY_S) -> AsyncIterator[None]:
    """Attend to `run` for as long as this is open. A run that ends before the first look pays nothing."""
    stop = asyncio.Event()
    task = asyncio.create_task(Attendant(run).attend(stop, every_s))
    try:
        yield
    finally:
        stop.set()  # what is being written is written to its end, so that it cannot come after the last word
        await asyncio.gather(task, return_exceptions=True)


class Attendant:
    """Looks, obeys and writes. A store that does not answer costs what is shown, not the run."""

    def __init__(self, run: Attended) -> None:
        self._run = run
        self._paused = False
        self._looks = 0

    async def attend(self, stop: asyncio.Event, every_s: float) -> None:
        """Look every so many seconds until `stop` is set."""
        while not await _is_set_within(stop, every_s):
            try:
                await self.look()
            except StoreError as error:
                log.warning("the run goes on, how it stands cannot be written: reason=%s", error)

    async def look(self) -> None:
        """Obey what is asked, take note of the lanes, and write what is due. Raises StoreError."""
        run, bench = self._run, self._run.bench
        every = NEWS_EVERY if self._looks < TIMELINE_EVERY else TIMELINE_EVERY  # while it is young, it is small
        timeline = None if self._looks % every else run.lanes.timeline(bench.campaign, bench.run_id)
        run.books.see(run.lanes.lanes(), timeline)
        changed = await self._obey()
        if changed or self._looks % NEWS_EVERY == 0:
            await bench.pool.run(put_news, bench, news_of(run.books.progress, _stamp()))
        if timeline:
            await bench.pool.run(put_timeline, bench, timeline)
        self._looks += 1

    async def _obey(self) -> bool:
        """Pause or go on, as `control.json` says; whether that changed anything. Raises StoreError."""
        run = self._run
        control = await run.bench.pool.run(read_control, run.bench.store, run.bench.campaign, run.bench.run_id)
        wanted = control is not None and control.paused
        if wanted == self._paused:
            return False
        self._paused = wanted
        if wanted:
            run.dispatcher.pause()
        else:
            run.dispatcher.resume()
        run.books.pause(on=wanted)
        log.info("run %s: by=%s", "paused" if wanted else "resumed", control.by if control else "")
        return True


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


def _stamp() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
