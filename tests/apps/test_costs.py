"""`assetline costs`: what the ledger has, told by campaign, model, day or run; and a person's word on what is held."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from fakes.command_line import COMPS, ROOT, Ended, ended, python, write
from fakes.ledger_race import finish, intent

from apps.costs import say_prices
from assetline.bootstrap.ledgers import PriceTable, price_table
from assetline.ledger import Caps, Ledger, open_ledger
from assetline.settings import Settings

Assetline = Callable[..., Ended]
FREE = Caps()
IMPORTED = """
import sys
from apps.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    print(end.code, *sorted(set(sys.modules) & {'sqlalchemy', 'psycopg', 'prefect', 'pandas', 'boto3'}), file=sys.stderr)
"""


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """Three campaigns: 0.90 spent and 0.30 reserved; 0.003 spent; 0.04 held."""
    opened = open_ledger(Settings().ledger)
    for number in range(3):
        finish(opened, opened.reserve(intent(f"tent{number}", 0.3), FREE).id, f"p{number}", 0.3)
    opened.reserve(intent("mug", 0.3), FREE)
    finish(opened, opened.reserve(intent("boot", campaign="autumn", run_id="run-2"), FREE).id, "p9", 0.003)
    opened.hold(opened.reserve(intent("hat", campaign="winter", run_id="run-3"), FREE).id, "The answer did not come.")
    yield opened
    opened.close()


def test_nothing_is_made_by_looking(assetline: Assetline) -> None:
    for arguments, said in (((), "Nothing has been spent.\n"), (("--held",), "Nothing waits for you.\n")):
        found = assetline("costs", *arguments)
        assert (0, said) == (found.code, found.out)
    assert [] == list(Path().iterdir())


def test_campaigns_are_told_dearest_first_with_a_bar_each_and_a_total(assetline: Assetline, ledger: Ledger) -> None:
    found = assetline("costs")
    lines = [line.split() for line in found.out.splitlines()]
    expected = [
        ["campaign", "attempts", "spent", "USD", "reserved", "USD"],
        ["spring", "4", "0.90", "0.30", "#" * 22 + "." * 8],
        ["winter", "1", "0.00", "0.04", "."],
        ["autumn", "1", "0.003", "0.00", "#"],
        ["total", "6", "0.903", "0.34"],
    ]
    assert (0, expected) == (found.code, lines)
    assert "1 attempt with 0.04 USD reserved: nobody knows what became of them. assetline costs --held" in found.err


@pytest.mark.parametrize(
    ("by", "names"), [("model", ["flux"]), ("run", ["run-1", "run-3", "run-2", "total"]), ("day", [])]
)
def test_the_lines_may_stand_for_something_else(
    assetline: Assetline, ledger: Ledger, by: str, names: list[str]
) -> None:
    lines = assetline("costs", "--by", by).out.splitlines()
    today = [datetime.now(UTC).date().isoformat()]
    assert [by, *(names or today)] == [line.split()[0] for line in lines]


def test_one_campaign_may_be_asked_for(assetline: Assetline, ledger: Ledger) -> None:
    [_, line] = assetline("costs", "--campaign", "autumn").out.splitlines()
    assert ["autumn", "1", "0.003"] == line.split()[:3]
    assert "Nothing has been spent on campaign summer.\n" == assetline("costs", "--campaign", "summer").out


def test_programs_get_one_object(assetline: Assetline, ledger: Ledger) -> None:
    found = assetline("costs", "--json").json
    assert ("campaign", 0.903, 0.34) == (found["by"], found["settled_usd"], found["reserved_usd"])
    expected = {"name": "autumn", "attempts": 1, "open": 0, "held": 0, "settled_usd": 0.003, "reserved_usd": 0.0}
    assert expected == found["totals"][0]
    [held] = found["held"]
    assert ("HAT", "held", 0.04, "The answer did not come.") == tuple(
        held[name] for name in ("row", "state", "reserved_usd", "reason")
    )
    assert {"oldest", "sources", "old"} == found["prices"].keys()
    assert [held] == assetline("costs", "--held", "--json").json


def test_a_terminal_gets_blocks_and_colours(ledger: Ledger) -> None:
    us, them = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "120", "LANG": "C.UTF-8"}
    environment.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "apps.cli", "costs"]
    with subprocess.Popen(command, stdout=them, stderr=subprocess.PIPE, env=environment) as process:
        process.communicate(timeout=60)
    os.close(them)
    said = os.read(us, 65536).decode()
    os.close(us)
    assert "█" * 22 in said
    assert "░" * 8 in said
    assert "\x1b[32m" in said


def test_what_is_held_is_told_with_how_to_decide_it(assetline: Assetline, ledger: Ledger) -> None:
    [held] = ledger.held()
    out = assetline("costs", "--held").out
    assert f"{held.id}: winter, row HAT, flux: 0.04 USD reserved; held since" in out
    assert "    The answer did not come.\n    no prediction id came back; meant at" in out
    assert f"  assetline costs release {held.id} " in out
    assert f"  assetline costs settle {held.id} 0.04 " in out


def test_a_person_says_that_it_was_not_charged(assetline: Assetline, ledger: Ledger) -> None:
    [held] = ledger.held()
    found = assetline("costs", "release", str(held.id), "--reason", "not in the account")
    assert (0, f"Attempt {held.id}: not charged; 0.04 USD are free again.\n") == (found.code, found.out)
    assert ("released", "not in the account") == (ledger.history(held.id)[-1].state, ledger.history(held.id)[-1].reason)
    assert 0.0 == ledger.spent(campaign="winter").reserved_usd


def test_a_person_says_that_it_was_charged(assetline: Assetline, ledger: Ledger) -> None:
    [held] = ledger.held()
    found = assetline("costs", "settle", str(held.id), "0.035")
    assert (0, f"Attempt {held.id}: 0.035 USD are counted as spent.\n") == (found.code, found.out)
    attempt = ledger.get(held.id)
    assert attempt is not None
    assert ("lost", 0.035, "a person: it was charged") == (attempt.state, attempt.cost_usd, attempt.reason)


def test_what_nobody_follows_any_more_may_be_decided_and_what_a_run_may_still_follow_not(
    assetline: Assetline, ledger: Ledger
) -> None:
    long_ago = datetime.now(UTC) - timedelta(hours=3)
    earlier = open_ledger(Settings().ledger, clock=lambda: long_ago)
    left = earlier.reserve(intent("left behind"), FREE)
    earlier.submitting(left.id)
    earlier.close()
    assert f"{left.id}: spring, row LEFT BEHIND" in assetline("costs", "--held").out
    assert 0 == assetline("costs", "release", str(left.id)).code
    assert ["intent", "submitting", "held", "released"] == [entry.state for entry in ledger.history(left.id)]
    [fresh] = ledger.open_attempts(campaign="spring")
    found = assetline("costs", "release", str(fresh.id))
    assert 2 == found.code
    assert f'Attempt {fresh.id} is not for you to decide: it is "intent" since' in found.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["release", "1"], 'Attempt 1 is not for you to decide: it ended as "succeeded"'),
        (["release", "99"], "There is no attempt 99. assetline costs --held lists those to decide."),
        (["settle", "6", "nan"], "nan is no amount of money"),
        (["settle", "6"], "USD requires an argument"),
        (["release", "six"], "six"),
    ],
)
def test_what_cannot_be_decided_is_said(assetline: Assetline, ledger: Ledger, arguments: list[str], said: str) -> None:
    before = ledger.open_attempts()
    found = assetline("costs", *arguments)
    assert 2 == found.code
    assert said in found.err
    assert before == ledger.open_attempts()


def test_without_a_ledger_there_is_nothing_to_decide(assetline: Assetline) -> None:
    found = assetline("costs", "release", "1")
    assert (2, "There is no attempt 1: nothing has been spent yet.\n") == (found.code, found.err)
    assert not Path("assetline.db").exists()


def test_a_ledger_that_cannot_be_used_ends_with_6(assetline: Assetline) -> None:
    Path("assetline.db").write_text("something else")
    found = assetline("costs")
    assert (6, "") == (found.code, found.out)
    assert "is no SQLite database" in found.err


@pytest.mark.parametrize("command", ["release", "settle"])
def test_the_ways_to_decide_have_help_with_an_example(assetline: Assetline, command: str) -> None:
    found = assetline("costs", command, "--help")
    assert (0, "") == (found.code, found.err)
    assert f"Example: assetline costs {command}" in found.out


# --- prices


def test_the_prices_name_their_sources_and_their_oldest_day(capsys: pytest.CaptureFixture[str]) -> None:
    say_prices(PriceTable({"the price page": 3, "a guess; from others": 1}, date(2026, 10, 7), ()))
    assert "Prices of 2026-10-07 or later: the price page (3), a guess (1).\n" == capsys.readouterr().err


def test_old_prices_are_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    say_prices(PriceTable({"the price page": 9}, date(2026, 1, 1), tuple("abcdef")))
    said = capsys.readouterr().err
    assert "warning: the prices of a, b, c, d and 2 more are older than 90 days." in said
    assert "ASSETLINE_REPLICATE_MODELS" in said


def test_a_price_is_old_after_ninety_days() -> None:
    table = price_table(Settings(), date(2026, 11, 22))
    newest = price_table(Settings(), table.oldest + timedelta(days=90))
    assert () == newest.old
    assert price_table(Settings(), table.oldest + timedelta(days=91)).old


@pytest.mark.parametrize("command", ["--help", "costs --help", "check comps.csv", "plan comps.csv", "workflows list"])
def test_where_there_is_neither_money_nor_speed_no_database_is_imported(command: str) -> None:
    write("comps.csv", COMPS)
    assert "0" == ended(python("-c", IMPORTED, *command.split())).err.splitlines()[-1]


def test_costs_imports_the_ledger_alone() -> None:
    assert "0 sqlalchemy" == ended(python("-c", IMPORTED, "costs")).err.splitlines()[-1]


def test_a_run_of_placeholders_imports_no_database() -> None:
    done = ended(python("-c", IMPORTED, "run", write("comps.csv", COMPS), "--direct", "--json"))
    assert "0" == done.err.splitlines()[-1]
    assert 3 == json.loads(done.out)["counts"]["stored"]
