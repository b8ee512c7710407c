"""What every ledger must do: one suite, run over SQLite and Postgres by subclasses that give `url`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from fakes.command_line import ROOT, ended, python
from fakes.ledger_race import finish, intent
from sqlalchemy import inspect, text

from assetline.errors import AttemptOpen, BudgetRefused, LedgerUnreachable, PredictionTaken
from assetline.ledger import Caps, Entry, IllegalStep, Ledger, PaidAttempt, Spent, Total, open_ledger
from assetline.ledger.database import open_database
from assetline.ledger.migrations import STEPS, migrate
from assetline.ledger.tables import metadata
from assetline.ledger_records import Speed

FREE = Caps()
LATE = datetime(2026, 11, 22, 23, 59, tzinfo=UTC)
PYTHONPATH = f"{ROOT}:{ROOT / 'tests'}"


@dataclass
class Watch:
    """A clock that stands still until it is set."""

    now: datetime = LATE

    def __call__(self) -> datetime:
        return self.now


def race(*arguments: str) -> dict[str, float]:
    """What processes of their own did to one ledger."""
    end = ended(python("-m", "fakes.ledger_race", "race", *arguments, PYTHONPATH=PYTHONPATH))
    assert (0, "") == (end.code, end.err)
    return json.loads(end.out)


class LedgerBehaviour:
    """Subclasses give the fixture `url`: a ledger that is not there yet. `racers` is how many processes race."""

    racers = 8

    @pytest.fixture
    def clock(self) -> Watch:
        return Watch()

    @pytest.fixture
    def ledger(self, url: str, clock: Watch) -> Iterator[Ledger]:
        opened = open_ledger(url, clock=clock)
        yield opened
        opened.close()

    # --- the way of an attempt

    def test_a_reservation_is_an_attempt_with_all_that_was_meant(self, ledger: Ledger) -> None:
        expected = PaidAttempt(
            id=1,
            request_key="tent",
            campaign="spring",
            run_id="run-1",
            row="TENT",
            provider="replicate",
            model="flux",
            version="",
            number=1,
            state="intent",
            prediction_id="",
            input={"prompt": "tent"},
            reserved_usd=0.04,
            cost_usd=0.0,
            intent_at=LATE,
            state_at=LATE,
            settled_at=None,
            reason="",
        )
        assert expected == ledger.reserve(intent("tent"), FREE)
        assert expected == ledger.attempt("tent", "replicate") == ledger.get(1)
        assert [expected] == ledger.open_attempts()
        assert ledger.attempt("tent", "elsewhere") is ledger.attempt("mug", "replicate") is ledger.get(2) is None

    def test_a_settlement_takes_the_reservations_place(self, ledger: Ledger, clock: Watch) -> None:
        attempt = ledger.reserve(intent("tent", 0.05), FREE)
        assert Spent(0.0, 0.05) == ledger.spent()
        clock.now += timedelta(seconds=9)
        finish(ledger, attempt.id, "p1", 0.0312345)
        assert Spent(0.031234, 0.0) == ledger.spent()
        found = ledger.get(attempt.id)
        assert found is not None
        assert ("succeeded", 0.031234, 0.05, clock.now) == (
            found.state,
            found.cost_usd,
            found.reserved_usd,
            found.settled_at,
        )
        assert [] == ledger.open_attempts()

    def test_the_journal_has_every_state_with_its_time_and_reason(self, ledger: Ledger, clock: Watch) -> None:
        attempt = ledger.reserve(intent("tent"), FREE)
        ledger.submitting(attempt.id)
        clock.now += timedelta(seconds=1)
        ledger.unknown(attempt.id, "the answer did not come")
        ledger.never_sent(attempt.id, "in no listing")
        first, second = (f"2026-11-22T23:59:0{second}.000000+00:00" for second in (0, 1))
        expected = [
            Entry(first, "intent", "", None),
            Entry(first, "submitting", "", None),
            Entry(second, "unknown", "the answer did not come", None),
            Entry(second, "released", "in no listing", 0.0),
        ]
        assert expected == ledger.history(attempt.id)

    @pytest.mark.parametrize("change", ["UPDATE ledger_journal SET reason = 'x'", "DELETE FROM ledger_journal"])
    def test_nobody_can_rewrite_the_journal(self, ledger: Ledger, url: str, change: str) -> None:
        ledger.reserve(intent("tent"), FREE)
        database = open_database(url)
        with pytest.raises(Exception, match="append-only"), database.writing() as connection:
            connection.execute(text(change))
        database.close()

    def test_after_an_end_the_next_attempt_has_the_next_number(self, ledger: Ledger) -> None:
        for number in (1, 2, 3):
            attempt = ledger.reserve(intent("tent"), FREE)
            assert number == attempt.number
            ledger.submitting(attempt.id)
            ledger.refused(attempt.id, "429")
        assert Spent(0.0, 0.0) == ledger.spent()

    @pytest.mark.parametrize("seen", [0, 2])
    def test_an_attempt_that_was_not_seen_bars_another_though_it_has_ended(self, ledger: Ledger, seen: int) -> None:
        """It may have made the picture between the look and the reservation."""
        finish(ledger, ledger.reserve(intent("tent"), FREE, after=0).id, "p1", 0.035)
        with pytest.raises(IllegalStep, match="attempt 1 of row TENT"):
            ledger.reserve(intent("tent"), FREE, after=seen)
        assert Spent(0.035, 0.0) == ledger.spent()
        assert 2 == ledger.reserve(intent("tent"), FREE, after=1).number

    @pytest.mark.parametrize("state", ["intent", "submitting", "unknown", "submitted", "held"])
    def test_an_open_attempt_bars_another_of_the_same_picture(self, ledger: Ledger, state: str) -> None:
        """Also from another campaign and with another provider: the picture would be paid for twice."""
        first = ledger.reserve(intent("tent"), FREE)
        if state != "intent":
            ledger.submitting(first.id)
        if state in ("unknown", "submitted", "held"):
            {"unknown": ledger.unknown, "submitted": ledger.submitted, "held": ledger.hold}[state](first.id, "p1")
        with pytest.raises(AttemptOpen, match=f'Row TENT.*"{state}" since 2026-11-22') as raised:
            ledger.reserve(intent("tent", campaign="autumn"), FREE)
        assert ledger.get(first.id) == raised.value.attempt

    def test_a_prediction_belongs_to_one_attempt(self, ledger: Ledger) -> None:
        first, second = (ledger.reserve(intent(name), FREE) for name in ("tent", "mug"))
        ledger.submitting(first.id)
        ledger.submitting(second.id)
        ledger.submitted(first.id, "p1")
        with pytest.raises(PredictionTaken, match="p1"):
            ledger.submitted(second.id, "p1")
        found = ledger.get(second.id)
        assert found is not None
        assert ("submitting", "") == (found.state, found.prediction_id)
        assert {"p1"} == ledger.owned(["p1", "p2", *(f"x{n}" for n in range(1200))])

    def test_two_who_are_about_to_send_are_not_both_let(self, ledger: Ledger) -> None:
        attempt = ledger.reserve(intent("tent"), FREE)
        ledger.submitting(attempt.id)
        with pytest.raises(IllegalStep, match='"submitting"; it cannot become "submitting"'):
            ledger.submitting(attempt.id)

    def test_who_tells_what_is_known_changes_nothing(self, ledger: Ledger) -> None:
        attempt = ledger.reserve(intent("tent"), FREE)
        finish(ledger, attempt.id, "p1", 0.04)
        ledger.settle(attempt.id, "succeeded", 0.04)
        assert 4 == len(ledger.history(attempt.id))

    @pytest.mark.parametrize("usd", [-0.01, float("nan"), float("inf"), 1e12])
    def test_what_is_no_amount_is_refused(self, ledger: Ledger, usd: float) -> None:
        with pytest.raises(ValueError, match="no amount of money"):
            ledger.reserve(intent("tent", usd), FREE)
        assert [] == ledger.open_attempts()

    def test_an_attempt_that_is_not_there_is_said(self, ledger: Ledger) -> None:
        with pytest.raises(IllegalStep, match="has no attempt 7"):
            ledger.submitting(7)

    # --- caps

    @pytest.mark.parametrize(
        ("caps", "words"),
        [
            (Caps(run=0.10), "the cap of 0.10 USD for this run"),
            (Caps(campaign=0.10), "the cap of 0.10 USD for campaign spring"),
            (Caps(day=0.10), r"the cap of 0.10 USD for 2026-11-22 \(a UTC day\)"),
        ],
    )
    def test_a_cap_counts_what_is_settled_and_reserved_and_its_refusal_says_so(
        self, ledger: Ledger, caps: Caps, words: str
    ) -> None:
        finish(ledger, ledger.reserve(intent("tent"), caps).id, "p1", 0.035)
        ledger.reserve(intent("mug"), caps)
        with pytest.raises(
            BudgetRefused, match=words + ".*: 0.035 USD spent, 0.04 USD reserved, 0.0251 USD wanted"
        ) as raised:
            ledger.reserve(intent("boot", 0.0251), caps)
        assert 5 == raised.value.exit_code
        ledger.reserve(intent("boot", 0.025), caps)
        assert Spent(0.035, 0.065) == ledger.spent()

    def test_a_cap_of_nothing_lets_nothing_be_spent(self, ledger: Ledger) -> None:
        with pytest.raises(BudgetRefused):
            ledger.reserve(intent("tent", 0.000001), Caps(run=0))
        assert 1 == ledger.reserve(intent("gift", 0.0), Caps(run=0)).number

    def test_each_cap_counts_its_own(self, ledger: Ledger, clock: Watch) -> None:
        ledger.reserve(intent("tent"), FREE)
        tight = Caps(run=0.04)
        assert 1 == ledger.reserve(intent("mug", run_id="run-2"), tight).number, "another run"
        assert 1 == ledger.reserve(intent("boot", campaign="autumn"), Caps(campaign=0.04)).number
        clock.now += timedelta(minutes=2)
        assert 1 == ledger.reserve(intent("hat"), Caps(day=0.04)).number, "the next UTC day"

    def test_money_counts_on_the_day_of_the_intent(self, ledger: Ledger, clock: Watch) -> None:
        attempt = ledger.reserve(intent("tent"), FREE)
        clock.now += timedelta(minutes=2)
        finish(ledger, attempt.id, "p1", 0.03)
        assert (Spent(0.03, 0.0), Spent(0.0, 0.0)) == (ledger.spent(day="2026-11-22"), ledger.spent(day="2026-11-23"))

    def test_floats_add_up_to_the_cent(self, ledger: Ledger) -> None:
        for number in range(10):
            ledger.reserve(intent(f"t{number}", 0.1), Caps(run=1.0))
        assert Spent(0.0, 1.0) == ledger.spent(run_id="run-1")

    def test_threads_that_race_for_a_cap_stay_below_it(self, ledger: Ledger) -> None:
        def try_one(number: int) -> bool:
            try:
                ledger.reserve(intent(f"t{number}"), Caps(day=0.4))
            except BudgetRefused:
                return False
            return True

        with ThreadPoolExecutor(16) as pool:
            assert 10 == sum(pool.map(try_one, range(40)))
        assert Spent(0.0, 0.4) == ledger.spent()

    def test_processes_open_one_ledger_at_once_and_race_for_a_cap(self, url: str) -> None:
        """As many win as fit under the cap, whoever settles in between; nobody fails."""
        tries, fit = self.racers * 4, self.racers * 3 // 2
        found = race(url, str(self.racers), "4", "0.04", str(fit * 0.04))
        assert (fit, tries - fit, 0) == (found["won"], found["refused"], found["died"])
        ledger = open_ledger(url)
        spent = ledger.spent(day="2026-11-22")
        ledger.close()
        assert fit * 0.04 == pytest.approx(spent.settled_usd + spent.reserved_usd, abs=1e-9)

    def test_a_process_that_is_killed_in_its_transaction_holds_nobody_up(self, url: str, ledger: Ledger) -> None:
        process = python("-m", "fakes.ledger_race", "hold", url, PYTHONPATH=PYTHONPATH)
        assert process.stdout
        assert "holding\n" == process.stdout.readline()
        process.kill()
        ended(process)
        assert 1 == ledger.reserve(intent("tent"), FREE).number

    def test_a_process_that_stays_in_its_transaction_is_named_as_the_reason(self, url: str, ledger: Ledger) -> None:
        other = open_ledger(url, wait_s=0.2)
        database = open_database(url)
        with database.writing(alone=True), pytest.raises(LedgerUnreachable, match=r"lock"):
            other.reserve(intent("tent"), FREE)
        database.close()
        assert 1 == other.reserve(intent("tent"), FREE).number
        other.close()

    # --- what is asked

    def test_totals_are_told_by_campaign_model_day_and_run(self, ledger: Ledger, clock: Watch) -> None:
        finish(ledger, ledger.reserve(intent("tent"), FREE).id, "p1", 0.03)
        ledger.hold(ledger.reserve(intent("mug"), FREE).id, "nobody knows")
        clock.now += timedelta(days=1)
        ledger.reserve(intent("boot", 0.02, campaign="autumn", run_id="run-2"), FREE)
        spring, autumn = Total("spring", 2, 1, 1, 0.03, 0.04), Total("autumn", 1, 1, 0, 0.0, 0.02)
        assert [autumn, spring] == ledger.totals("campaign")
        assert ["run-1", "run-2"] == [total.name for total in ledger.totals("run")]
        assert ["2026-11-22", "2026-11-23"] == [total.name for total in ledger.totals("day")]
        assert [Total("flux", 3, 2, 1, 0.03, 0.06)] == ledger.totals("model")
        assert [Total("run-2", 1, 1, 0, 0.0, 0.02)] == ledger.totals("run", campaign="autumn")
        assert ["MUG"] == [attempt.row for attempt in ledger.held()]
        assert ["BOOT"] == [attempt.row for attempt in ledger.open_attempts(campaign="autumn")]
        assert ["MUG"] == [attempt.row for attempt in ledger.open_attempts(run_id="run-1")]
        assert Spent(0.03, 0.04) == ledger.spent(campaign="spring", run_id="run-1")

    # --- speeds

    def test_speeds_are_kept_and_a_newer_one_takes_the_olders_place(self, ledger: Ledger) -> None:
        assert [] == ledger.speeds()
        ledger.keep_speeds([Speed("gpu2", "xl", 4.0, None, 3), Speed("gpu1", "xl", 2.0, 9.0, 30)])
        ledger.keep_speeds([Speed("gpu2", "xl", 5.0, 12.5, 7, slow_seconds=6.5)])
        ledger.keep_speeds([])
        assert [Speed("gpu1", "xl", 2.0, 9.0, 30), Speed("gpu2", "xl", 5.0, 12.5, 7, 6.5)] == ledger.speeds()

    # --- versions

    def test_what_was_kept_is_there_when_it_is_opened_again(self, url: str, ledger: Ledger) -> None:
        attempt = ledger.reserve(intent("Gießkanne 靴"), FREE)
        again = open_ledger(url)
        assert [attempt] == again.open_attempts()
        again.close()

    def test_the_migrations_make_the_tables_that_the_code_reads(self, url: str, ledger: Ledger) -> None:
        database = open_database(url)
        with database.reading() as connection:
            found = {
                table: {column["name"]: (str(column["type"]), column["nullable"]) for column in columns}
                for (_, table), columns in inspect(connection).get_multi_columns().items()
            }
            dialect = connection.dialect
        database.close()
        kinds = {"BIGINT": "INTEGER", "REAL": "FLOAT"} if dialect.name == "sqlite" else {"DOUBLE PRECISION": "FLOAT"}
        for table in metadata.tables.values():
            for column in table.columns:
                kind, nullable = found[table.name].pop(column.name)
                expected = column.type.compile(dialect)
                assert kinds.get(expected, expected) == kinds.get(kind, kind), f"{table.name}.{column.name}"
                assert column.nullable == nullable or column.primary_key, f"{table.name}.{column.name}"
            assert {} == found.pop(table.name), table.name
        assert {} == found

    def test_a_step_is_applied_once_and_keeps_what_is_there(self, url: str, ledger: Ledger) -> None:
        ledger.reserve(intent("tent"), FREE)
        steps = (*STEPS, lambda _dialect: ["ALTER TABLE ledger_attempts ADD COLUMN note TEXT NOT NULL DEFAULT ''"])
        database = open_database(url)
        for _ in range(2):
            migrate(database, LATE, steps)
        with database.reading() as connection:
            query = text("SELECT count(*), max(note), (SELECT max(version) FROM ledger_versions) FROM ledger_attempts")
            assert (1, "", len(steps)) == tuple(connection.execute(query).one())
        database.close()

    def test_a_step_that_fails_leaves_nothing_behind(self, url: str, ledger: Ledger) -> None:
        broken = (*STEPS, lambda _dialect: ["CREATE TABLE half (id INTEGER)", "ALTER TABLE nowhere ADD COLUMN x TEXT"])
        database = open_database(url)
        with pytest.raises(LedgerUnreachable, match="nowhere"):
            migrate(database, LATE, broken)
        with database.reading() as connection:
            assert not inspect(connection).has_table("half")
        migrate(database, LATE)
        database.close()

    def test_a_ledger_of_a_newer_assetline_is_left_alone(self, url: str, ledger: Ledger) -> None:
        database = open_database(url)
        with database.writing() as connection:
            connection.execute(text("INSERT INTO ledger_versions VALUES (99, 'later')"))
        database.close()
        with pytest.raises(LedgerUnreachable, match=r"of version 99, made by a newer assetline.*Update assetline"):
            open_ledger(url)
