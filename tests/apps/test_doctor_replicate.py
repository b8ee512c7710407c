"""`doctor` at Replicate: the token, the caps, the prices and the ledger; the token itself is never shown."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fakes.command_line import Ended
from fakes.fake_replicate import TOKEN, FakeReplicate

Assetline = Callable[..., Ended]


def lines(found: Ended, name: str) -> list[tuple[str, str, str]]:
    return [(one["verdict"], one["found"], one["mend"]) for one in found.json["findings"] if one["name"] == name]


def test_without_a_token_nothing_is_asked_and_only_a_run_that_wants_it_fails(assetline: Assetline) -> None:
    found = assetline("doctor", "--json", "--lane", "fpo")
    assert [("ok", "no token, so nothing is made there", "")] == lines(found, "replicate")
    found = assetline("doctor", "--json", "--lane", "replicate")
    [(verdict, _, mend)] = lines(found, "replicate")
    assert ("fail", 6) == (verdict, found.code)
    assert mend.startswith("Set REPLICATE_API_TOKEN")


def test_a_token_that_is_taken_is_told_with_what_may_be_spent(
    assetline: Assetline, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeReplicate() as api:
        monkeypatch.setenv("REPLICATE_BASE_URL", api.url)
        monkeypatch.setenv("REPLICATE_API_TOKEN", TOKEN)
        found = assetline("doctor", "--json")
        monkeypatch.setenv("ASSETLINE_MAX_COST", "2.5")
        richer = assetline("doctor", "--json")
    [(verdict, words, mend)] = lines(found, "replicate")
    said = f"the token is accepted by {api.url}; 12 models; a run may spend 0.00 USD"
    assert ("ok", said) == (verdict, words)
    assert "Nothing is spent until ASSETLINE_MAX_COST or --max-cost says how much." == mend
    assert lines(richer, "replicate")[0][1].endswith("a run may spend 2.50 USD")
    assert [("ok", "nothing has been spent yet; the first run makes it", "")] == lines(found, "ledger")
    assert TOKEN not in found.out + found.err
    assert ["GET /v1/account"] * 2 == api.paths()


def test_a_token_that_is_not_taken_fails_in_plain_words(assetline: Assetline, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeReplicate() as api:
        monkeypatch.setenv("REPLICATE_BASE_URL", api.url)
        monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_of-somebody-else")
        found = assetline("doctor", "--json")
    [(verdict, words, _)] = lines(found, "replicate")
    assert ("fail", 6, True) == (verdict, found.code, words.startswith("Replicate does not accept the token"))
    assert "somebody-else" not in found.out + found.err


def test_an_address_that_must_not_get_the_token_is_named(assetline: Assetline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLICATE_BASE_URL", "http://example.org")
    monkeypatch.setenv("REPLICATE_API_TOKEN", TOKEN)
    [(verdict, words, _)] = lines(assetline("doctor", "--json"), "replicate")
    assert ("fail", "REPLICATE_BASE_URL must begin with https://: the token is sent there.") == (verdict, words)


@pytest.mark.parametrize("ledger", ["sqlite:////nowhere/at/all.db", "postgresql://me:word@127.0.0.1:1/books"])
def test_a_ledger_that_cannot_be_used_is_told_without_a_token_and_fails_only_what_spends(
    assetline: Assetline, monkeypatch: pytest.MonkeyPatch, ledger: str
) -> None:
    monkeypatch.setenv("ASSETLINE_LEDGER", ledger)
    free, paying = assetline("doctor", "--json", "--lane", "fpo"), assetline("doctor", "--json", "--lane", "replicate")
    assert [("warn", "Set ASSETLINE_LEDGER.")] == [(one, mend) for one, _, mend in lines(free, "ledger")]
    assert [("fail", "Set ASSETLINE_LEDGER.")] == [(one, mend) for one, _, mend in lines(paying, "ledger")]
    assert (0, 6) == (free.code, paying.code)
    assert "word" not in free.out + free.err
