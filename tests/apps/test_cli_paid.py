"""Money on the command line: caps, the question, exit 5, and books that agree with a Replicate of our own to the cent."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.command_line import Ended, ended, start, write
from fakes.fake_replicate import TOKEN, FakeReplicate, Fate

from assetline.ledger import open_ledger

Assetline = Callable[..., Ended]

COMPS = "".join(f"C{n},comp {n},128x128,fpo,\n" for n in range(3))
PAID = "".join(f"P{n},paid {n},1:1,replicate,flux-schnell\n" for n in range(3))
HEADER = "id,prompt,size,backend,model\n"
BOTH = ("--lane", "fpo", "--lane", "replicate")
RUN = ("--direct", "--json", "--yes")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeReplicate]:
    """The service, which the settings name, with a token for it."""
    with FakeReplicate(queue_s=0.05, run_s=0.1) as service:
        monkeypatch.setenv("REPLICATE_BASE_URL", service.url)
        monkeypatch.setenv("REPLICATE_API_TOKEN", TOKEN)
        yield service


def books(api: FakeReplicate) -> tuple[int, int]:
    """Micro-dollars by the ledger and by the service's bill; nothing may be reserved any more."""
    ledger = open_ledger("sqlite:///./assetline.db")
    spent = ledger.spent()
    ledger.close()
    assert 0 == spent.reserved_usd
    return round(spent.settled_usd * 1e6), api.billed_micros()


def manifest(found: Ended) -> list[dict]:
    folder = Path(found.json["run"].removeprefix("file://"))
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


# --- the caps


def test_what_fits_under_the_cap_is_made_the_rest_is_refused_and_the_run_ends_5(
    assetline: Assetline, api: FakeReplicate
) -> None:
    found = assetline("run", write("mixed.csv", HEADER + COMPS + PAID), *BOTH, *RUN, "--max-cost", "0.007")
    assert 5 == found.code
    assert (5, 1, 0.006) == (found.json["counts"]["stored"], found.json["counts"]["failed"], found.json["cost_usd"])
    [refused] = [line for line in manifest(found) if line["status"] == "failed"]
    assert refused["refused"]
    assert "the cap of 0.007 USD for this run would be passed: " in refused["reason"]
    assert "1 picture at Replicate will be refused: the cap for this run is 0.007 USD" in found.err
    assert "1 picture did not fit under the cap. A higher --max-cost makes them." in found.err
    assert (6_000, 6_000) == books(api)


def test_a_second_run_pays_for_nothing_that_is_stored(assetline: Assetline, api: FakeReplicate) -> None:
    sheet = write("mixed.csv", HEADER + COMPS + PAID)
    assetline("run", sheet, *BOTH, *RUN, "--max-cost", "0.007")
    second = assetline("run", sheet, *BOTH, *RUN, "--max-cost", "0.007")
    assert (0, 1, 5, 0.003) == (
        second.code, second.json["counts"]["stored"], second.json["counts"]["reused"], second.json["cost_usd"],
    )  # fmt: skip
    third = assetline("run", sheet, *BOTH, *RUN)
    assert (0, 6, 0.0) == (third.code, third.json["counts"]["reused"], third.json["cost_usd"])
    assert 3 == api.creates()
    assert (9_000, 9_000) == books(api)


def test_nothing_is_spent_until_somebody_says_how_much(assetline: Assetline, api: FakeReplicate) -> None:
    found = assetline("run", write("paid.csv", HEADER + PAID), "--lane", "replicate", *RUN)
    assert (5, "") == (found.code, found.out)
    said = "This will cost 0.009 USD on Replicate (3 pictures), and the cap for this run is 0.00 USD "
    assert f"{said}(--max-cost, ASSETLINE_MAX_COST). Nothing was made.\n" == found.err
    assert ([], False) == (api.asked, Path("assets").exists())


def test_a_run_whose_cap_is_below_the_estimate_is_refused_before_anything_is_paid(
    assetline: Assetline, api: FakeReplicate
) -> None:
    found = assetline("run", write("paid.csv", HEADER + PAID), "--lane", "replicate", *RUN, "--max-cost", "0.008")
    assert 5 == found.code
    assert "the cap for this run is 0.008 USD (--max-cost, ASSETLINE_MAX_COST). Nothing was made." in found.err
    assert 0 == api.creates()


@pytest.mark.parametrize(("cap", "words"), [("campaign", "this campaign"), ("day", "today (UTC)")])
def test_caps_of_campaign_and_day_hold_over_runs(
    assetline: Assetline, api: FakeReplicate, monkeypatch: pytest.MonkeyPatch, cap: str, words: str
) -> None:
    monkeypatch.setenv(f"ASSETLINE_MAX_COST_{cap.upper()}", "0.01")
    sheet = write("paid.csv", HEADER + PAID)
    run = ("run", sheet, "--lane", "replicate", *RUN, "--max-cost", "1")
    assert 0 == assetline(*run).code
    found = assetline(*run, "--store", "elsewhere")
    assert (0, 3) == (found.code, api.creates())  # paid for lately: only fetched, and no cap is in the way
    more = write("more.csv", HEADER + PAID.replace("paid", "another"))
    found = assetline("run", more, "--lane", "replicate", *RUN, "--max-cost", "1", "--campaign", "paid")
    assert 5 == found.code
    said = f"the cap for {words} is 0.01 USD, of which 0.001 are left (ASSETLINE_MAX_COST_{cap.upper()})"
    assert said in found.err
    assert 3 == api.creates()


def test_a_sheet_can_only_lower_the_cap(assetline: Assetline, api: FakeReplicate) -> None:
    from openpyxl import Workbook

    book = Workbook()
    rows = [HEADER.strip(), *PAID.splitlines()]
    for row in rows:
        book.active.append(row.split(","))
    options = book.create_sheet("Options")
    options.append(["max_cost", 0.001])
    book.save("paid.xlsx")
    found = assetline("run", "paid.xlsx", "--lane", "replicate", *RUN, "--max-cost", "1")
    assert (5, 0) == (found.code, api.creates())
    assert "the cap for this run is 0.001 USD" in found.err


def test_what_is_paid_by_the_second_waits_for_what_others_give_back(assetline: Assetline, api: FakeReplicate) -> None:
    """0.117 USD are reserved for each of 12, and 0.0001 spent: a cap of 0.30 lets two begin at once, and all in turn."""
    rows = "".join(f"S{n},paid {n},1024x1024,replicate,sdxl\n" for n in range(12))
    found = assetline("run", write("sdxl.csv", HEADER + rows), "--lane", "replicate", *RUN, "--max-cost", "0.30")
    assert (0, 12) == (found.code, found.json["counts"]["stored"])
    ledger, bill = books(api)
    assert abs(ledger - bill) <= 12
    assert ledger < 10_000


def test_a_picture_that_may_cost_more_than_the_cap_is_refused_with_that_reason(
    assetline: Assetline, api: FakeReplicate
) -> None:
    sheet = write("sdxl.csv", HEADER + "S,paid,1024x1024,replicate,sdxl\n")
    found = assetline("run", sheet, "--lane", "replicate", *RUN, "--max-cost", "0.10")
    assert 5 == found.code
    assert "This will cost 0.0039 to 0.006 USD on Replicate (1 picture), and the cap" in found.err
    assert "A picture that is paid by the second may cost up to 0.117 USD, which must be left." in found.err


# --- the question


def test_without_a_terminal_and_without_yes_nothing_is_spent(assetline: Assetline, api: FakeReplicate) -> None:
    found = assetline(
        "run", write("paid.csv", HEADER + PAID), "--lane", "replicate", "--direct", "--max-cost", "5"
    )  # no --yes
    assert (5, 0) == (found.code, api.creates())
    assert found.err.startswith("This will cost 0.009 USD on Replicate (3 pictures); the cap for this run is 5.00 USD")
    assert "Nobody is here to ask: --yes agrees to it. Nothing was made." in found.err


@pytest.mark.parametrize(("answer", "expected"), [("y\n", (0, 3)), ("n\n", (5, 0)), ("\n", (5, 0))])
def test_on_a_terminal_a_person_is_asked_once(
    assetline: Assetline, api: FakeReplicate, monkeypatch: pytest.MonkeyPatch, answer: str, expected: tuple[int, int]
) -> None:
    monkeypatch.setattr("apps.spending.on_a_terminal", lambda: True)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    found = assetline("run", write("paid.csv", HEADER + PAID), "--lane", "replicate", "--direct", "--max-cost", "5")
    assert expected == (found.code, api.creates())
    assert 1 == found.err.count("Go on? [y/N]")


def test_nobody_is_asked_where_nothing_costs_money(assetline: Assetline) -> None:
    assert 0 == assetline("run", write("comps.csv", HEADER + COMPS), "--direct", "--lane", "fpo").code


# --- what is told


def test_a_run_on_replicate_without_a_token_says_where_to_get_one(
    assetline: Assetline, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = assetline("run", write("paid.csv", HEADER + PAID), "--lane", "replicate", *RUN, "--max-cost", "1")
    assert 2 == found.code
    assert found.err.startswith("The Replicate lane needs a token: set REPLICATE_API_TOKEN")


def test_a_row_for_replicate_without_its_lane_is_an_error_with_the_remedy(assetline: Assetline) -> None:
    found = assetline("check", write("paid.csv", HEADER + PAID), "--json")
    assert 3 == found.code
    assert ["D2", "D3", "D4"] == [problem["cell"] for problem in found.json["problems"]]
    said = "Add --lane replicate; it takes REPLICATE_API_TOKEN, and spends up to ASSETLINE_MAX_COST or --max-cost."
    assert {said} == {problem["fix"] for problem in found.json["problems"]}


def test_plan_says_the_money_the_prices_and_what_the_cap_cuts(assetline: Assetline) -> None:
    write("mixed.csv", HEADER + COMPS + PAID)
    found = assetline("plan", "mixed.csv", *BOTH, "--max-cost", "0.007")
    assert 0 == found.code
    assert "  cost: 0.009 USD\n    flux-schnell: 3 pictures, 0.003 USD a picture as of 2026-10-07" in found.out
    assert "  over the cap: 2 of 3 paid pictures fit; the cap for this run is 0.007 USD" in found.out
    assert "  dearest rows: P0 (0.003 USD), P1 (0.003 USD), P2 (0.003 USD)" in found.out
    facts = assetline("plan", "mixed.csv", *BOTH, "--max-cost", "0.007", "--json").json
    assert {"low": 0.009, "high": 0.009} == facts["cost_usd"]
    assert {"pictures": 3, "paid": 0, "fit": 2, "most_usd": 0.003}.items() <= facts["paid"].items()
    assert not Path("assetline.db").exists()


def test_the_recipe_of_a_paid_picture_holds_its_prediction_input_and_price(
    assetline: Assetline, api: FakeReplicate
) -> None:
    found = assetline("run", write("paid.csv", HEADER + PAID), "--lane", "replicate", *RUN, "--max-cost", "1")
    [first, *_] = manifest(found)
    assert 0.003 == first["asset"]["cost_usd"]
    recipe = json.loads(Path("assets", first["asset"]["sidecar"]).read_text())
    facts = recipe["graph"]["replicate"]
    assert first["asset"]["job_id"] == facts["prediction"]
    assert api.held[facts["prediction"]].input == facts["input"]
    assert "2026-10-07" == facts["price"]["date"]


def test_a_failed_prediction_is_told_and_its_cost_is_in_the_books(assetline: Assetline, api: FakeReplicate) -> None:
    api.fates.append(Fate(ending="failed", error="NSFW content detected"))
    found = assetline("run", write("paid.csv", HEADER + PAID), "--lane", "replicate", *RUN, "--max-cost", "1")
    assert (4, 2, 1) == (found.code, found.json["counts"]["stored"], found.json["counts"]["failed"])
    assert (0.009, 9_000) == (found.json["cost_usd"], books(api)[0])


@pytest.mark.server
def test_a_run_through_prefect_is_bound_by_the_caps(api: FakeReplicate, prefect_api: str) -> None:
    write("mixed.csv", HEADER + COMPS + PAID)
    run = ("run", "mixed.csv", *BOTH, "--json", "--yes")
    found = ended(start(*run, "--max-cost", "0.007", PREFECT_API_URL=prefect_api))
    assert (5, 5, 1) == (found.code, found.json["counts"]["stored"], found.json["counts"]["failed"])
    assert (6_000, 6_000) == books(api)
