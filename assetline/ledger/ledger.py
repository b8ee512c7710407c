"""The ledger: every attempt that may cost money, from the intent to the settlement, and the speeds that lanes showed.

One transaction for each step of an attempt; when a call returns, the step is on the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, fields
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, get_args

from sqlalchemy import ColumnElement, Select, case, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from assetline.errors import AttemptOpen, PredictionTaken
from assetline.ledger.caps import check_caps
from assetline.ledger.database import WAIT_S, Database, open_database, parse
from assetline.ledger.migrations import migrate
from assetline.ledger.money import STEPS, By, Caps, Entry, Intent, Settlement, Spent, Total, to_cost, to_reserve, usd
from assetline.ledger.rows import as_attempt, as_text, columns_of, day_of, enter, newest, scope, tells_again
from assetline.ledger.tables import attempts, is_open, journal, reserved_sum, settled_sum, speeds
from assetline.ledger_records import PaidAttempt, PaidState, Speed

ASKED_AT_ONCE = 500  # values in one IN (...)
_GROUPS: dict[By, ColumnElement[str]] = {
    "campaign": attempts.c.campaign,
    "model": attempts.c.model,
    "day": attempts.c.day,
    "run": attempts.c.run_id,
}


class IllegalStep(RuntimeError):
    """A step that may not follow the attempt's state: a mistake in the program, or another process was there first."""


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def open_ledger(url: str, *, clock: Callable[[], datetime] = utc_now, wait_s: float = WAIT_S) -> Ledger:
    """Open the ledger, make it where it is not there, bring it to this version. `clock` gives times in UTC.

    `wait_s` is how long a call waits while other processes write. Raises OptionError for a URL that cannot be used,
    LedgerUnreachable for a ledger that cannot.
    """
    database = open_database(url, wait_s)
    try:
        database.use_wal()
        migrate(database, clock())
    except BaseException:
        database.close()
        raise
    return Ledger(database, clock)


def ledger_exists(url: str) -> bool:
    """Whether there is a file; of Postgres it is taken for granted. Raises OptionError."""
    parsed = parse(url)
    return parsed.drivername != "sqlite" or Path(str(parsed.database)).exists()


class Ledger:
    """All calls are blocking and may come from any thread. Each raises LedgerUnreachable where the database fails.

    A call that tells again what the ledger already has changes nothing, but for `submitting`: of two that are about to
    send, the second must not. A step that may not follow raises IllegalStep and changes nothing.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._clock = clock

    @property
    def place(self) -> str:
        """Where it is, for messages: a path, or host and database."""
        return self._database.place

    def close(self) -> None:
        """Close its connections."""
        self._database.close()

    # --- the steps of one attempt

    def reserve(self, intent: Intent, caps: Caps, *, after: int | None = None) -> PaidAttempt:
        """Begin a paid attempt: its number, its reservation, state `intent`, in one transaction that is alone.

        `after` is the number of the newest attempt with this provider that the caller has seen (0: none; None: it does
        not matter). A day is the UTC day of the intent, also for what is settled on the next. Raises AttemptOpen when
        the newest attempt has not ended, IllegalStep when there is one that the caller has not seen, which may have
        made the picture meanwhile, BudgetRefused when the reserved and settled of a cap's scope would pass it.
        """
        now, reserved = self._clock(), to_reserve(intent.reserved_usd)
        with self._database.writing(alone=True) as connection:
            if unfinished := connection.execute(newest(intent.request_key).where(is_open)).first():
                raise AttemptOpen(as_attempt(unfinished))
            last = connection.execute(newest(intent.request_key, intent.provider)).first()
            number = last.number if last else 0
            if after not in (None, number):
                raise IllegalStep(f"Another process has begun attempt {number} of row {intent.row} meanwhile.")
            check_caps(connection, intent, caps, day_of(now), reserved)
            columns = columns_of(intent, reserved, now) | {"number": number + 1}
            connection.execute(insert(attempts).values(columns))
            found = connection.execute(newest(intent.request_key)).one()
            enter(connection, found)
            return as_attempt(found)

    def submitting(self, attempt_id: int) -> None:
        """The one POST is about to be sent. On the disk when this returns."""
        self._step(attempt_id, "submitting")

    def submitted(self, attempt_id: int, prediction_id: str) -> None:
        """It was accepted under this id (the answer said so, or a listing). Raises PredictionTaken."""
        try:
            self._step(attempt_id, "submitted", prediction_id=prediction_id)
        except IntegrityError as error:
            raise PredictionTaken(f"Prediction {prediction_id} belongs to another attempt in the ledger.") from error

    def refused(self, attempt_id: int, reason: str) -> None:
        """It was not accepted and costs nothing; the reservation ends."""
        self._step(attempt_id, "refused", reason, cost=0)

    def unknown(self, attempt_id: int, reason: str) -> None:
        """Nobody knows yet whether it was accepted; it stays reserved."""
        self._step(attempt_id, "unknown", reason)

    def never_sent(self, attempt_id: int, reason: str) -> None:
        """It has been established that it did not arrive; the reservation ends."""
        self._step(attempt_id, "released", reason, cost=0)

    def hold(self, attempt_id: int, reason: str) -> None:
        """A person must decide what became of it; until then it stays reserved."""
        self._step(attempt_id, "held", reason)

    def settle(self, attempt_id: int, state: Settlement, cost_usd: float, reason: str = "") -> None:
        """It ended; what it cost takes the reservation's place."""
        if state not in get_args(Settlement):
            raise IllegalStep(f'An attempt is not settled as "{state}".')
        self._step(attempt_id, state, reason, cost=to_cost(cost_usd))

    def _step(
        self, attempt_id: int, state: PaidState, reason: str = "", *, cost: int | None = None, prediction_id: str = ""
    ) -> None:
        with self._database.writing() as connection:
            chosen = attempts.c.id == attempt_id
            before = connection.execute(select(attempts).where(chosen).with_for_update()).first()
            if before is None:
                raise IllegalStep(f"The ledger {self.place} has no attempt {attempt_id}.")
            if tells_again(before, state, cost, prediction_id):
                return
            if state not in STEPS.get(before.state, ()):
                raise IllegalStep(f'Attempt {attempt_id} is "{before.state}"; it cannot become "{state}".')
            now = as_text(self._clock())
            changes: dict[str, Any] = {"state": state, "state_at": now, "reason": reason, "cost_micros": cost}
            changes |= {"settled_at": now} if cost is not None else {}
            changes |= {"prediction_id": prediction_id} if prediction_id else {}
            connection.execute(update(attempts).where(chosen).values(changes))
            enter(connection, connection.execute(select(attempts).where(chosen)).one())

    # --- what is asked of it

    def get(self, attempt_id: int) -> PaidAttempt | None:
        """The attempt of that id."""
        return next(self._select(select(attempts).where(attempts.c.id == attempt_id)), None)

    def attempt(self, request_key: str, provider: str) -> PaidAttempt | None:
        """The newest attempt of a request with a provider."""
        return next(self._select(newest(request_key, provider)), None)

    def open_attempts(self, *, run_id: str | None = None, campaign: str | None = None) -> list[PaidAttempt]:
        """The attempts that have not ended, of a run, of a campaign or of all, oldest first."""
        wanted = [is_open, *scope(run_id=run_id, campaign=campaign)]
        return list(self._select(select(attempts).where(*wanted).order_by(attempts.c.id)))

    def held(self) -> list[PaidAttempt]:
        """The attempts that wait for a person, oldest first."""
        return list(self._select(select(attempts).where(attempts.c.state == "held").order_by(attempts.c.id)))

    def owned(self, prediction_ids: Iterable[str]) -> set[str]:
        """Those predictions that some attempt already has."""
        wanted, owned = iter(prediction_ids), set[str]()
        with self._database.reading() as connection:
            while asked := list(islice(wanted, ASKED_AT_ONCE)):
                column = attempts.c.prediction_id
                owned.update(connection.execute(select(column).where(column.in_(asked))).scalars())
        return owned

    def spent(self, *, run_id: str | None = None, campaign: str | None = None, day: str | None = None) -> Spent:
        """What a run, a campaign, a UTC day (`2026-11-22`) or all of it has cost and may still cost."""
        wanted = scope(run_id=run_id, campaign=campaign, day=day)
        with self._database.reading() as connection:
            settled, reserved = connection.execute(select(settled_sum, reserved_sum).where(*wanted)).one()
        return Spent(usd(int(settled)), usd(int(reserved)))

    def totals(self, by: By, *, campaign: str | None = None) -> list[Total]:
        """One line for each campaign, model, day or run that has an attempt, in the order of their names."""
        name = _GROUPS[by]
        counted = func.count()
        unfinished = func.sum(case((is_open, 1), else_=0))
        waiting = func.sum(case((attempts.c.state == "held", 1), else_=0))
        query = select(name, counted, unfinished, waiting, settled_sum, reserved_sum).group_by(name).order_by(name)
        with self._database.reading() as connection:
            return [
                Total(each, count, int(opened), int(held), usd(int(settled)), usd(int(reserved)))
                for each, count, opened, held, settled, reserved in connection.execute(
                    query.where(*scope(campaign=campaign))
                )
            ]

    def history(self, attempt_id: int) -> list[Entry]:
        """Every state that an attempt has been in, oldest first."""
        query = select(journal).where(journal.c.attempt_id == attempt_id).order_by(journal.c.id)
        with self._database.reading() as connection:
            return [
                Entry(row.at, row.state, row.reason, None if row.cost_micros is None else usd(row.cost_micros))
                for row in connection.execute(query)
            ]

    def _select(self, query: Select[Any]) -> Iterator[PaidAttempt]:
        with self._database.reading() as connection:
            found = connection.execute(query).all()
        return map(as_attempt, found)

    # --- learned speeds

    def speeds(self) -> list[Speed]:
        """What earlier runs have learned."""
        columns = [speeds.c[each.name] for each in fields(Speed)]
        with self._database.reading() as connection:
            return [Speed(*row) for row in connection.execute(select(*columns).order_by(*columns[:2]))]

    def keep_speeds(self, rows: Iterable[Speed]) -> None:
        """Keep these for the next run, in place of what was known of the same lane and affinity."""
        now = as_text(self._clock())
        values = [
            asdict(row) | {"updated_at": now}
            for row in sorted(rows, key=lambda row: (row.lane, row.affinity))  # one order, so that nobody deadlocks
        ]
        if not values:
            return
        with self._database.writing() as connection:
            new = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(speeds)
            named = ["lane", "affinity"]
            changed = {name: new.excluded[name] for name in values[0] if name not in named}
            connection.execute(new.on_conflict_do_update(index_elements=named, set_=changed), values)
