"""The caps: what is reserved and settled in a cap's scope, and the refusal. Called in the transaction that reserves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, Connection, select

from assetline.errors import BudgetRefused
from assetline.ledger.money import MICROS, Caps, Intent, to_cap
from assetline.ledger.rows import scope
from assetline.ledger.tables import reserved_sum, settled_sum


@dataclass(frozen=True)
class _Cap:
    kind: Literal["run", "campaign", "day"]
    of: str
    micros: int
    where: list[ColumnElement[bool]]


def check_caps(connection: Connection, intent: Intent, caps: Caps, day: str, wanted: int) -> None:
    """Refuse `wanted` micro-dollars (BudgetRefused) where a cap would be passed. The caller's transaction is alone."""
    for cap in _caps(intent, caps, day):
        settled, reserved = map(int, connection.execute(select(settled_sum, reserved_sum).where(*cap.where)).one())
        if settled + reserved + wanted > cap.micros:
            raise BudgetRefused(
                f"Row {intent.row}: the cap of {in_usd(cap.micros)} for {cap.of} would be passed: {in_usd(settled)} "
                f"spent, {in_usd(reserved)} reserved, {in_usd(wanted)} wanted ({intent.model}). Nothing was sent.",
                cap=cap.kind,
            )


def in_usd(micros: int) -> str:
    """`0.25 USD`, `0.003 USD`: at least cents, and no digit lost."""
    dollars, rest = divmod(micros, MICROS)
    return f"{dollars:,}.{f'{rest:06d}'.rstrip('0').ljust(2, '0')} USD"


def _caps(intent: Intent, caps: Caps, day: str) -> Iterator[_Cap]:
    if caps.run is not None:
        where = scope(campaign=intent.campaign, run_id=intent.run_id)
        yield _Cap("run", "this run", to_cap(caps.run), where)
    if caps.campaign is not None:
        yield _Cap("campaign", f"campaign {intent.campaign}", to_cap(caps.campaign), scope(campaign=intent.campaign))
    if caps.day is not None:
        yield _Cap("day", f"{day} (a UTC day)", to_cap(caps.day), scope(day=day))
