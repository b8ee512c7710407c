"""The speeds that lanes show are known to the next run: read at a run's start, kept while it goes and at its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from typing import Protocol

from assetline.bootstrap.planning import FPO
from assetline.dispatch import Speeds
from assetline.errors import LedgerUnreachable
from assetline.ledger_records import Speed

KEEP_EVERY_S = 60.0  # of a long run; what a `kill -9` loses is learned again in as long
LAST_KEEP_S = 5.0  # of a run that is being canceled; a ledger that is locked must not hold up its end

logger = logging.getLogger(__name__)


class SpeedBook(Protocol):
    """Where speeds are kept: the ledger. Both raise LedgerUnreachable."""

    def speeds(self) -> list[Speed]:
        """What earlier runs have learned."""

    def keep_speeds(self, rows: Iterable[Speed]) -> None:
        """Keep these for the next run."""


@asynccontextmanager
async def learned_speeds(
    book: SpeedBook | None, lanes: Collection[str], *, every_s: float = KEEP_EVERY_S
) -> AsyncIterator[Speeds]:
    """What is known of these lanes, to be learned on; kept every `every_s` and at the end, however that comes.

    A book that fails is a warning, never the run's end.
    """
    if book is None:
        yield Speeds()
        return
    keeper = _Keeper(book, await _known(book, lanes))
    ticking = asyncio.create_task(keeper.keep_each(every_s), name="keep speeds")
    try:
        yield keeper.speeds
    finally:
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(keeper.keep()), LAST_KEEP_S)
        finally:
            ticking.cancel()


async def _known(book: SpeedBook, lanes: Collection[str]) -> list[Speed]:
    try:
        return [row for row in await asyncio.to_thread(book.speeds) if row.lane in lanes]
    except LedgerUnreachable as error:
        logger.warning("Speeds of earlier runs are not known: %s", error)
        return []


class _Keeper:
    """Keeps what has changed since it last did, so that a run does not undo what another learned of other lanes."""

    def __init__(self, book: SpeedBook, known: list[Speed]) -> None:
        self.speeds = Speeds(known)
        self._book = book
        self._kept = set(self.speeds.rows())
        self._warned = False
        self._turn = asyncio.Lock()

    async def keep_each(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            await self.keep()

    async def keep(self) -> None:
        async with self._turn:
            await self._keep()

    async def _keep(self) -> None:
        changed = [row for row in self.speeds.rows() if row not in self._kept and row.lane != FPO]
        if not changed:
            return
        try:
            await asyncio.to_thread(self._book.keep_speeds, changed)
            self._kept.update(changed)
        except LedgerUnreachable as error:
            if not self._warned:
                logger.warning("What this run learns of its lanes' speeds is not kept: %s", error)
            self._warned = True
