"""The ledger on SQLite: attempts, caps, speeds, versions; and what is said of a file that cannot be one."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from pathlib import Path

import pytest

pytest.register_assert_rewrite("fakes.ledger_behaviour")

from fakes.ledger_behaviour import FREE, LedgerBehaviour  # noqa: E402 - after the registration
from fakes.ledger_race import intent  # noqa: E402
from fakes.ordinary_user import as_ordinary_user  # noqa: E402

from assetline.errors import LedgerUnreachable, OptionError  # noqa: E402
from assetline.ledger import ledger_exists, open_ledger  # noqa: E402


class TestSQLite(LedgerBehaviour):
    """Over a file."""

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/assetline.db"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A ledger with one attempt."""
    return make(tmp_path)


def make(folder: Path) -> Path:
    ledger = open_ledger(f"sqlite:///{folder}/assetline.db")
    ledger.reserve(intent("tent"), FREE)
    ledger.close()
    return folder / "assetline.db"


def test_a_relative_address_is_of_the_working_folder_at_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger("sqlite:///./assetline.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    ledger.reserve(intent("tent"), FREE)
    ledger.close()
    assert str(tmp_path / "assetline.db") == ledger.place
    assert [] == list(Path().iterdir())


def test_a_commit_is_on_the_disk_in_a_log_that_readers_do_not_wait_for(file: Path) -> None:
    from assetline.ledger.database import open_database

    database = open_database(f"sqlite:///{file}")
    with database.writing() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    database.close()
    assert ["wal", 2, 1, 30_000] == found


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "no address of a database"),
        ("assetline.db", "no address of a database"),
        ("postgresql://host:port/db", "no address of a database"),
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
        ("sqlite:///x.db?mode=ro", "must name a file"),
        ("sqlite://x.db", "must name a file"),
        ("mysql://root:s3cret@host/db", "SQLite or Postgres, not mysql"),
        ("postgresql+asyncpg://u:s3cret@host/db", r"not postgresql\+asyncpg"),
        ("postgresql://ledger:s3cret@host", "no database on it"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_with_examples_and_without_its_password(url: str, words: str) -> None:
    with pytest.raises(OptionError, match=f"{words}.*Examples: sqlite:///") as raised:
        open_ledger(url)
    assert "s3cret" not in str(raised.value)


def test_without_psycopg_a_postgres_address_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(OptionError, match=r"psycopg cannot be imported.*pip install 'assetline\[postgres\]'"):
        open_ledger("postgresql://ledger@127.0.0.1/assets")


def test_a_server_that_does_not_answer_is_named_without_the_password() -> None:
    with pytest.raises(LedgerUnreachable, match=r"assets on 127.0.0.1:9 cannot be used.*refused") as raised:
        open_ledger("postgresql://ledger:s3cret@127.0.0.1:9/assets")
    assert "s3cret" not in str(raised.value)


def test_a_file_that_is_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "assetline.db").write_text("id,prompt\n" * 500)
    with pytest.raises(LedgerUnreachable, match=r"no SQLite database\. Move it away"):
        open_ledger(f"sqlite:///{tmp_path}/assetline.db")
    assert "id,prompt\n" * 500 == (tmp_path / "assetline.db").read_text()


def test_a_damaged_file_is_told_with_what_may_save_it(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    file.write_bytes(data)
    with pytest.raises(LedgerUnreachable, match=r"damaged. Keep the file, and restore a backup or recover it"):
        make(file.parent)


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnreachable, match=r"cannot be opened. Its folder must exist"):
        open_ledger(f"sqlite:///{tmp_path}/typo/assetline.db")
    assert [] == list(tmp_path.iterdir())


def test_a_file_that_may_not_be_written_is_told_so() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        file = make(folder)
        file.chmod(0o444)
        folder.chmod(0o555)
        with as_ordinary_user(), pytest.raises(LedgerUnreachable, match=r"cannot be (written|opened).*this user"):
            make(folder)
        folder.chmod(0o755)


def test_a_file_that_another_program_keeps_locked_is_told_so(file: Path) -> None:
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    ledger = open_ledger(f"sqlite:///{file}", wait_s=0.1)
    with pytest.raises(LedgerUnreachable, match=r"locked for more than 0.1 s. End that one"):
        ledger.reserve(intent("mug"), FREE)
    other.close()
    assert 1 == ledger.reserve(intent("mug"), FREE).number
    ledger.close()


def test_whether_there_is_a_ledger_is_told_without_making_one(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/assetline.db"
    assert not ledger_exists(url)
    assert [] == list(tmp_path.iterdir())
    make(tmp_path)
    assert ledger_exists(url)
