"""The ledger's tables as the code reads them. `migrations` makes them; a test holds the two together.

Times are ISO 8601 text in UTC with microseconds, so that both databases sort them alike; money is micro-dollars.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Integer, MetaData, Table, Text, case, func

metadata = MetaData()
_Id = BigInteger().with_variant(Integer, "sqlite")  # only an INTEGER PRIMARY KEY counts up in SQLite

attempts = Table(
    "ledger_attempts",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("request_key", Text, nullable=False),
    Column("campaign", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("row_id", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("prediction_id", Text),
    Column("input", Text, nullable=False),
    Column("reserved_micros", BigInteger, nullable=False),
    Column("cost_micros", BigInteger),  # NULL while the attempt is open
    Column("day", Text, nullable=False),
    Column("intent_at", Text, nullable=False),
    Column("state_at", Text, nullable=False),
    Column("settled_at", Text),
    Column("reason", Text, nullable=False),
)

journal = Table(
    "ledger_journal",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("attempt_id", _Id, ForeignKey("ledger_attempts.id"), nullable=False),
    Column("at", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("prediction_id", Text),
    Column("cost_micros", BigInteger),
    Column("reason", Text, nullable=False),
)

speeds = Table(
    "ledger_speeds",
    metadata,
    Column("lane", Text, primary_key=True),
    Column("affinity", Text, primary_key=True),
    Column("seconds", Float, nullable=False),
    Column("load_seconds", Float),
    Column("samples", BigInteger, nullable=False),
    Column("updated_at", Text, nullable=False),
    Column("slow_seconds", Float),
)

versions = Table(
    "ledger_versions",
    metadata,
    Column("version", Integer, primary_key=True),
    Column("applied_at", Text, nullable=False),
)

is_open = attempts.c.cost_micros.is_(None)  # as the partial index has it
settled_sum = func.coalesce(func.sum(attempts.c.cost_micros), 0)
reserved_sum = func.coalesce(func.sum(case((is_open, attempts.c.reserved_micros), else_=0)), 0)
