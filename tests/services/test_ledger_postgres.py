"""The ledger on Postgres: everything that it does on SQLite, and what a server adds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from fakes.postgres import new_database, postgres

pytest.register_assert_rewrite("fakes.ledger_behaviour")

from fakes.ledger_behaviour import FREE, LedgerBehaviour  # noqa: E402 - after the registration
from fakes.ledger_race import intent  # noqa: E402

from assetline.errors import LedgerUnreachable  # noqa: E402
from assetline.ledger import Ledger, open_ledger  # noqa: E402

_names = itertools.count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as address:
        yield address


@pytest.fixture
def url(server: str) -> str:
    return new_database(server, f"ledger_{next(_names)}")


class TestPostgres(LedgerBehaviour):
    """Over a real server on loopback."""

    racers = 50


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "postgres"])
def test_each_way_to_write_the_address_is_taken(url: str, scheme: str) -> None:
    ledger = open_ledger(url.replace("postgresql", scheme))
    assert [] == ledger.held()
    ledger.close()


def test_a_server_that_was_restarted_between_two_calls_is_asked_again(url: str, server: str) -> None:
    """Its connections are gone, and the next call makes a new one."""
    import psycopg

    ledger = open_ledger(url)
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    assert 1 == ledger.reserve(intent("tent"), FREE).number
    ledger.close()


def test_a_commit_waits_for_the_disk_whatever_the_server_is_set_to(url: str, server: str) -> None:
    import psycopg
    from sqlalchemy import text

    from assetline.ledger.database import open_database

    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("ALTER ROLE ledger SET synchronous_commit TO off")
    database = open_database(url)
    with database.writing() as connection:
        assert "on" == connection.execute(text("SHOW synchronous_commit")).scalar_one()
    database.close()


def test_a_database_that_is_not_there_is_named_and_the_password_is_not(server: str) -> None:
    address = server.replace("ledger@", "ledger:s3cret@").rpartition("/")[0] + "/nowhere"
    with pytest.raises(LedgerUnreachable, match="nowhere") as raised:
        open_ledger(address)
    assert "s3cret" not in str(raised.value)


def test_a_role_that_may_not_write_is_told_so(url: str, server: str) -> None:
    import psycopg

    open_ledger(url).close()
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS reader")
        admin.execute("CREATE ROLE reader LOGIN")
        admin.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    ledger: Ledger = open_ledger(url.replace("ledger@", "reader@"))
    with pytest.raises(LedgerUnreachable, match="permission denied for table ledger_attempts"):
        ledger.reserve(intent("tent"), FREE)
    ledger.close()
