"""What a run learns of its lanes is there for the next one, however the run ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path

import pytest

from assetline.bootstrap.learning import learned_speeds
from assetline.bootstrap.ledgers import open_for_run
from assetline.errors import LedgerUnreachable
from assetline.ledger_records import Speed
from assetline.settings import Settings

pytestmark = pytest.mark.anyio

GPU1 = Speed("gpu1", "xl", 2.0, 9.0, 30)
GPU2 = Speed("gpu2", "xl", 4.0, None, 3)


class Book:
    """A ledger's speeds in memory; `error` is raised instead, if there is one."""

    def __init__(self, *rows: Speed, error: LedgerUnreachable | None = None) -> None:
        self.rows = {(row.lane, row.affinity): row for row in rows}
        self.kept: list[list[Speed]] = []
        self.error = error

    def speeds(self) -> list[Speed]:
        if self.error:
            raise self.error
        return list(self.rows.values())

    def keep_speeds(self, rows: Iterable[Speed]) -> None:
        if self.error:
            raise self.error
        self.kept.append(list(rows))


async def test_a_run_knows_its_own_lanes_from_the_start() -> None:
    async with learned_speeds(Book(GPU1, GPU2), ["gpu1"]) as speeds:
        assert [GPU1] == speeds.rows()


async def test_what_was_learned_is_kept_at_the_end_and_what_was_not_touched_is_left() -> None:
    book = Book(GPU1, GPU2)
    async with learned_speeds(book, ["gpu1", "gpu2"]) as speeds:
        speeds.note("gpu2", "xl", 5.0, loaded=False)
    assert [[Speed("gpu2", "xl", 4.0, None, 4, 5.0)]] == book.kept


async def test_nothing_is_written_where_nothing_was_learned() -> None:
    book = Book(GPU1)
    async with learned_speeds(book, ["gpu1"]):
        pass
    assert [] == book.kept


async def test_placeholders_are_not_kept() -> None:
    book = Book()
    async with learned_speeds(book, ["fpo"]) as speeds:
        speeds.note("fpo", "", 0.1, loaded=False)
    assert [] == book.kept


async def test_a_run_that_is_canceled_keeps_what_it_has_learned() -> None:
    book = Book()

    async def run() -> None:
        async with learned_speeds(book, ["gpu1"]) as speeds:
            speeds.note("gpu1", "xl", 3.0, loaded=False)
            learned.set()
            await asyncio.Event().wait()

    learned = asyncio.Event()
    task = asyncio.create_task(run())
    await learned.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [[Speed("gpu1", "xl", 3.0, None, 1)]] == book.kept


async def test_a_long_run_keeps_what_it_has_learned_while_it_goes() -> None:
    book = Book()
    async with learned_speeds(book, ["gpu1"], every_s=0) as speeds:
        for seconds in (3.0, 4.0):
            speeds.note("gpu1", "xl", seconds, loaded=False)
            before = len(book.kept)
            while len(book.kept) == before:  # noqa: ASYNC110 - the book is written in another thread
                await asyncio.sleep(0)
    assert [1, 2] == [rows[0].samples for rows in book.kept]


async def test_a_book_that_fails_is_a_warning_and_the_run_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    book = Book(GPU1, error=LedgerUnreachable("The ledger is away."))
    async with learned_speeds(book, ["gpu1"]) as speeds:
        speeds.note("gpu1", "xl", 3.0, loaded=False)
    assert [logging.WARNING] * 2 == [record.levelno for record in caplog.records]
    assert 2 == caplog.text.count("The ledger is away.")


async def test_without_a_ledger_a_run_learns_for_itself() -> None:
    async with learned_speeds(None, ["gpu1"]) as speeds:
        speeds.note("gpu1", "xl", 3.0, loaded=False)
        assert 3.0 == speeds.seconds("gpu1", "xl")


def test_a_ledger_that_cannot_be_opened_is_a_warning_for_a_free_run_and_ends_one_that_spends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(ledger=f"sqlite:///{tmp_path}/nowhere/assetline.db")
    assert open_for_run(settings, paid=False) is None
    assert "neither known nor kept" in caplog.text
    with pytest.raises(LedgerUnreachable) as raised:
        open_for_run(settings, paid=True)
    assert 6 == raised.value.exit_code
