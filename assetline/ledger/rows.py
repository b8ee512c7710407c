"""Rows of the tables as records, and records as rows."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, insert, select

from assetline.ledger.money import Intent, usd
from assetline.ledger.tables import attempts, journal
from assetline.ledger_records import PaidAttempt, PaidState


def columns_of(intent: Intent, reserved: int, now: datetime) -> dict[str, Any]:
    """A new attempt's row, but for its number. `reserved` in micro-dollars."""
    return {
        "request_key": intent.request_key,
        "campaign": intent.campaign,
        "run_id": intent.run_id,
        "row_id": intent.row,
        "provider": intent.provider,
        "model": intent.model,
        "version": intent.version,
        "state": "intent",
        "input": json.dumps(intent.input, ensure_ascii=False, sort_keys=True),
        "reserved_micros": reserved,
        "day": day_of(now),
        "intent_at": as_text(now),
        "state_at": as_text(now),
        "reason": "",
    }


def as_attempt(row: Row[Any]) -> PaidAttempt:
    """A row of `attempts` as a record."""
    return PaidAttempt(
        id=row.id,
        request_key=row.request_key,
        campaign=row.campaign,
        run_id=row.run_id,
        row=row.row_id,
        provider=row.provider,
        model=row.model,
        version=row.version,
        number=row.number,
        state=row.state,
        prediction_id=row.prediction_id or "",
        input=json.loads(row.input),
        reserved_usd=usd(row.reserved_micros),
        cost_usd=usd(row.cost_micros or 0),
        intent_at=datetime.fromisoformat(row.intent_at),
        state_at=datetime.fromisoformat(row.state_at),
        settled_at=datetime.fromisoformat(row.settled_at) if row.settled_at else None,
        reason=row.reason,
    )


def enter(connection: Connection, row: Row[Any]) -> None:
    """Write into the journal what an attempt has become."""
    connection.execute(
        insert(journal).values(
            attempt_id=row.id,
            at=row.state_at,
            state=row.state,
            prediction_id=row.prediction_id,
            cost_micros=row.cost_micros,
            reason=row.reason,
        )
    )


def tells_again(before: Row[Any], state: PaidState, cost: int | None, prediction_id: str) -> bool:
    """Whether a step says nothing new. `submitting` never does: of two that are about to send, the second must not."""
    return (
        state != "submitting"
        and before.state == state
        and before.cost_micros == cost
        and prediction_id in ("", before.prediction_id)
    )


def newest(request_key: str, provider: str | None = None) -> Select[Any]:
    """The newest attempt of a request, with one provider or with any."""
    wanted = [attempts.c.request_key == request_key]
    if provider is not None:
        wanted.append(attempts.c.provider == provider)
    return select(attempts).where(*wanted).order_by(attempts.c.id.desc()).limit(1)


def scope(
    *, run_id: str | None = None, campaign: str | None = None, day: str | None = None
) -> list[ColumnElement[bool]]:
    """Whose attempts: each that is given narrows."""
    given = ((attempts.c.run_id, run_id), (attempts.c.campaign, campaign), (attempts.c.day, day))
    return [column == value for column, value in given if value is not None]


def as_text(moment: datetime) -> str:
    """A time in UTC with microseconds, always of one length, so that texts sort as times do."""
    return moment.isoformat(timespec="microseconds")


def day_of(moment: datetime) -> str:
    """The UTC day, `2026-11-22`."""
    return moment.date().isoformat()
