"""The ledger's database: a SQLite file or Postgres. Transactions as hard as money needs, errors in our words."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from assetline.errors import LedgerUnreachable, OptionError

EXAMPLES = "Examples: sqlite:///./assetline.db, postgresql+psycopg://user:password@host/database."
SQLITE = ("sqlite", "sqlite+pysqlite")
POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")
WAIT_S = 30  # for another process's transaction, which takes milliseconds; longer means that it hangs
CONNECT_S = 10
WAL_RETRY_S = 0.02
CAPS_LOCK = 0x61737365746C_6E65  # our name as a number; Postgres's advisory locks are numbers, one room a database

# What SQLite says, what that means, what mends it.
_MEANINGS = (
    ("database is locked", "another process keeps it locked for more than {wait_s:g} s. End that one, then try again."),
    ("readonly", "it cannot be written. Give this user the right to write the file and its folder."),
    ("unable to open", "it cannot be opened. Its folder must exist, and this user must be able to write there."),
    ("not a database", "this file is no SQLite database. Move it away, or name another file in ASSETLINE_LEDGER."),
    ("malformed", "it is damaged. Keep the file, and restore a backup or recover it: sqlite3 FILE .recover"),
    ("disk is full", "the disk is full. Make room, then run the same command again."),
    ("disk I/O error", "the disk reports an error. Check it before anything is paid for."),
)


class Database:
    """A pool of connections. `reading` and `writing` raise LedgerUnreachable for what the database itself refuses.

    SQLite: every writer begins with BEGIN IMMEDIATE, so there is one at a time and what it reads stays true until it
    commits; WAL with synchronous=FULL, so that a commit is on the disk when it returns. Postgres: READ COMMITTED; who
    asks to be `alone` takes one advisory lock first, which the server lets go at the end of the transaction, also of a
    process that died. Not SERIALIZABLE: of fifty that race for one cap it would send most back to try again, where the
    lock lets each wait its turn.
    """

    def __init__(self, engine: Engine, place: str, wait_s: float) -> None:
        self.place = place
        self._wait_s = wait_s
        self._engine = engine
        self._is_sqlite = engine.dialect.name == "sqlite"
        self._turn: AbstractContextManager[Any] = threading.Lock() if self._is_sqlite else nullcontext()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the ledger and changes nothing."""
        with self._said_plainly(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self, *, alone: bool = False) -> Iterator[Connection]:
        """A transaction that is on the disk when it ends. `alone`: no other such one at the same time, anywhere."""
        with self._turn, self._said_plainly(), self._engine.connect() as connection:
            connection.execution_options(assetline_writes=True)
            with connection.begin():
                if alone and not self._is_sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": CAPS_LOCK})
                yield connection

    def use_wal(self) -> None:
        """Switch a SQLite file to WAL, for good. The switch needs the file alone and does not wait by itself."""
        if not self._is_sqlite:
            return
        deadline = time.monotonic() + self._wait_s
        with self._said_plainly():
            while True:
                connection = self._engine.raw_connection()
                try:
                    connection.cursor().execute("PRAGMA journal_mode=WAL")
                    return
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                        raise
                finally:
                    connection.close()
                time.sleep(WAL_RETRY_S)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextmanager
    def _said_plainly(self) -> Iterator[None]:
        """Translate what the driver raises. An IntegrityError passes: the caller knows which rule it broke."""
        try:
            yield
        except IntegrityError:
            raise
        except (DBAPIError, sqlite3.Error) as error:
            raise LedgerUnreachable(self._explain(getattr(error, "orig", error))) from error
        except PoolTimeout as error:
            raise LedgerUnreachable(f"The ledger {self.place} was busy for {self._wait_s:g} s. Try again.") from error

    def _explain(self, error: BaseException | None) -> str:
        """A driver's error in plain words, with the remedy."""
        said = " ".join(str(error).split()).rstrip(".")
        for sign, meaning in _MEANINGS:
            if self._is_sqlite and sign in said:
                return f"The ledger {self.place} cannot be used: {meaning.format(wait_s=self._wait_s)}"
        return f"The ledger {self.place} cannot be used: {said}. ASSETLINE_LEDGER says where it is."


def open_database(url: str, wait_s: float = WAIT_S) -> Database:
    """Make the pool; a SQLite file need not be there yet. Raises OptionError for a URL that cannot be used."""
    parsed = parse(url)
    is_sqlite = parsed.drivername == SQLITE[0]
    arguments: dict[str, Any] = (
        {"timeout": wait_s, "isolation_level": None} if is_sqlite else {"connect_timeout": CONNECT_S}
    )
    try:
        engine = create_engine(parsed, connect_args=arguments, pool_timeout=wait_s, pool_pre_ping=not is_sqlite)
    except ImportError as error:
        raise OptionError(
            f"ASSETLINE_LEDGER names Postgres, and its driver psycopg cannot be imported ({error}). "
            "pip install 'assetline[postgres]' brings it."
        ) from error
    event.listen(engine, "connect", _prepare_sqlite if is_sqlite else partial(_prepare_postgres, wait_s))
    if is_sqlite:
        event.listen(engine, "begin", _begin_sqlite)
    return Database(engine, describe(parsed), wait_s)


def parse(url: str) -> URL:
    """The address of a SQLite file (made absolute) or of a Postgres database. Raises OptionError; tells no password."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:  # ValueError: a port that is no number
        raise OptionError(f"ASSETLINE_LEDGER is no address of a database. {EXAMPLES}") from error
    if parsed.drivername in SQLITE:
        if parsed.query or not parsed.database or parsed.database == ":memory:" or parsed.host:
            raise OptionError(f"ASSETLINE_LEDGER must name a file, and nothing else, after sqlite:///. {EXAMPLES}")
        return URL.create(SQLITE[0], database=str(Path(parsed.database).expanduser().absolute()))
    if parsed.drivername in POSTGRES:
        if not parsed.database:
            raise OptionError(f"ASSETLINE_LEDGER names a Postgres server but no database on it. {EXAMPLES}")
        return parsed.set(drivername="postgresql+psycopg")
    raise OptionError(f"ASSETLINE_LEDGER is for SQLite or Postgres, not {parsed.drivername}. {EXAMPLES}")


def describe(parsed: URL) -> str:
    """Where the ledger is, for messages: a path, or host and database. Never a password."""
    if parsed.drivername == SQLITE[0]:
        return str(parsed.database)
    return f"{parsed.database} on {parsed.host or 'the local socket'}" + (f":{parsed.port}" if parsed.port else "")


def _prepare_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:
    """Each connection: a commit is on the disk when it returns, and references must exist."""
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _prepare_postgres(wait_s: float, connection: Any, _entry: ConnectionPoolEntry) -> None:
    """Each connection: commits wait for the disk whatever the server's default is, and nobody waits for ever.

    A process that was stopped in the middle of a transaction (SIGSTOP, a closed laptop) gives its lock back.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit TO on")
        cursor.execute(f"SET lock_timeout TO '{wait_s:g}s'")
        cursor.execute(f"SET idle_in_transaction_session_timeout TO '{WAIT_S}s'")
    connection.commit()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("assetline_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
