"""How a ledger gets its tables: numbered steps, forward only, each applied once, all in one locked transaction.

A step that was released is never edited; a change is a new step at the end. Both databases take back DDL with the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import Connection, func, insert, inspect, select

from assetline.errors import LedgerUnreachable
from assetline.ledger.database import Database
from assetline.ledger.tables import versions

Step = Callable[[str], Sequence[str]]  # takes the dialect (`sqlite`, `postgresql`), gives its DDL

_IDS = {
    "sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT",  # an id is never given twice, since a person decides by it
    "postgresql": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
}
_APPEND_ONLY = {
    "sqlite": (
        """CREATE TRIGGER ledger_journal_{event} BEFORE {event} ON ledger_journal
           BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
    ),
    "postgresql": (
        """CREATE FUNCTION ledger_journal_{event}() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'the journal is append-only'; END $$""",
        """CREATE TRIGGER ledger_journal_{event} BEFORE {event} ON ledger_journal
           FOR EACH ROW EXECUTE FUNCTION ledger_journal_{event}()""",
    ),
}


def _first(dialect: str) -> Sequence[str]:
    """Attempts with their reservations and settlements, the journal of their states, learned speeds.

    The rules that money hangs on are the database's own: an open attempt has no cost, one that ended has; a request
    has at most one open attempt; a prediction belongs to one attempt.
    """
    return (
        f"""CREATE TABLE ledger_attempts (
              id {_IDS[dialect]},
              request_key TEXT NOT NULL, campaign TEXT NOT NULL, run_id TEXT NOT NULL, row_id TEXT NOT NULL,
              provider TEXT NOT NULL, model TEXT NOT NULL, version TEXT NOT NULL,
              number INTEGER NOT NULL, state TEXT NOT NULL, prediction_id TEXT, input TEXT NOT NULL,
              reserved_micros BIGINT NOT NULL CHECK (reserved_micros >= 0),
              cost_micros BIGINT CHECK (cost_micros >= 0),
              day TEXT NOT NULL, intent_at TEXT NOT NULL, state_at TEXT NOT NULL, settled_at TEXT,
              reason TEXT NOT NULL,
              CHECK ((cost_micros IS NULL) = (state IN ('intent', 'submitting', 'unknown', 'submitted', 'held'))),
              CHECK ((cost_micros IS NULL) = (settled_at IS NULL)),
              UNIQUE (request_key, provider, number),
              UNIQUE (prediction_id, provider))""",
        "CREATE UNIQUE INDEX ledger_one_open ON ledger_attempts (request_key) WHERE cost_micros IS NULL",
        "CREATE INDEX ledger_by_run ON ledger_attempts (campaign, run_id, cost_micros, reserved_micros)",
        "CREATE INDEX ledger_by_day ON ledger_attempts (day, cost_micros, reserved_micros)",
        f"""CREATE TABLE ledger_journal (
              id {_IDS[dialect]}, attempt_id BIGINT NOT NULL REFERENCES ledger_attempts (id),
              at TEXT NOT NULL, state TEXT NOT NULL, prediction_id TEXT, cost_micros BIGINT, reason TEXT NOT NULL)""",
        "CREATE INDEX ledger_journal_of ON ledger_journal (attempt_id)",
        *(ddl.format(event=event) for event in ("UPDATE", "DELETE") for ddl in _APPEND_ONLY[dialect]),
        """CREATE TABLE ledger_speeds (
              lane TEXT NOT NULL, affinity TEXT NOT NULL, seconds DOUBLE PRECISION NOT NULL,
              load_seconds DOUBLE PRECISION, samples BIGINT NOT NULL, updated_at TEXT NOT NULL,
              PRIMARY KEY (lane, affinity))""",
    )


def _spread(_dialect: str) -> Sequence[str]:
    """How unlike a lane's pictures are: the quote's minutes hang on the last ones."""
    return ("ALTER TABLE ledger_speeds ADD COLUMN slow_seconds DOUBLE PRECISION",)


STEPS: tuple[Step, ...] = (_first, _spread)


def migrate(database: Database, now: datetime, steps: Sequence[Step] = STEPS) -> None:
    """Bring the ledger to the newest version. Raises LedgerUnreachable for one that is newer than `steps`."""
    with database.reading() as connection:
        if _version(connection) == len(steps):
            return
    with database.writing(alone=True) as connection:
        found = _version(connection)
        if found > len(steps):
            raise LedgerUnreachable(
                f"The ledger {database.place} is of version {found}, made by a newer assetline; this one knows "
                f"versions up to {len(steps)}. Update assetline on this machine."
            )
        if found == 0 and not inspect(connection).has_table(versions.name):
            versions.create(connection)
        for number, step in enumerate(steps[found:], found + 1):
            for ddl in step(connection.dialect.name):
                connection.exec_driver_sql(ddl)
            connection.execute(insert(versions).values(version=number, applied_at=now.isoformat()))


def _version(connection: Connection) -> int:
    """The newest version that was applied; 0 where there is none."""
    if not inspect(connection).has_table(versions.name):
        return 0
    newest: int | None = connection.execute(select(func.max(versions.c.version))).scalar_one()
    return newest or 0
