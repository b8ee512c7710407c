"""A storm of 429 and then a 402 in the middle of a campaign: what was paid is stored, the rest says why, everywhere."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fakes.command_line import Ended, ended, start, write
from fakes.fake_replicate import TOKEN, FakeReplicate
from fakes.spent import spent_micros
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.settings import PREFECT_API_URL, temporary_settings

ROWS, BEFORE, THROTTLED, AFTER = 40, 12, 3, 7  # creates that are taken, then the storm, then some more, then no credit
SHEET = "id,prompt,size,backend,model\n" + "".join(
    f"P{n:02},paid {n},1:1,replicate,{'imagen-4' if n % 4 == 0 else 'flux-schnell'}\n" for n in range(ROWS)
)
COMP = "COMP,a comp,128x128,fpo,\n"
COMMAND = ("run", "storm.csv", "--lane", "fpo", "--lane", "replicate", "--json", "--yes", "--max-cost", "5")
HAPPENED = "Replicate takes nothing more: the account has no credit left"
TO_DO = "Add credit at replicate.com/account/billing, wait some minutes, then run again; what was made is kept."


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeReplicate]:
    with FakeReplicate(queue_s=0.2, run_s=1.5) as service:
        monkeypatch.setenv("REPLICATE_BASE_URL", service.url)
        monkeypatch.setenv("REPLICATE_API_TOKEN", TOKEN)
        yield service


def folder_of(found: Ended) -> Path:
    return Path(found.json["run"].removeprefix("file://"))


def manifest(found: Ended) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder_of(found) / "manifest.jsonl").read_text().splitlines()]


def shown(client: SyncPrefectClient, ran: Ended) -> tuple[str, str, dict[str, str]]:
    """What the UI has of the flow run: its state's name and message, and its artifacts."""
    record = json.loads((folder_of(ran) / "run.json").read_text("utf-8"))
    run = client.read_flow_run(UUID(record["flow_run"]))
    assert run.state
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
    found = {item.key or "": str(item.data) for item in client.read_artifacts(artifact_filter=of_run)}
    return run.state.name or "", run.state.message or "", found


@pytest.mark.server
def test_all_that_was_paid_is_stored_and_the_rest_says_why_and_what_to_do(api: FakeReplicate, prefect_api: str) -> None:
    write("storm.csv", SHEET + COMP)
    api.on("create", *[""] * BEFORE, *["429 1"] * THROTTLED, *[""] * AFTER, *["402"] * ROWS)
    found = ended(start(*COMMAND, PREFECT_API_URL=prefect_api))
    paid = BEFORE + AFTER
    assert sum(api.posts.values()) > paid + THROTTLED, "the storm came, and the refusal"

    assert (4, paid + 1, ROWS - paid) == (found.code, found.json["counts"]["stored"], found.json["counts"]["failed"])
    assert {1} == set(api.creates_by_input().values())
    assert (paid, []) == (api.creates(), api.open())
    assert spent_micros() == api.billed_micros() == round(found.json["cost_usd"] * 1e6)
    lines = manifest(found)
    stored = [line["asset"] for line in lines if line["status"] == "stored"]
    assert set(api.held) == {asset["job_id"] for asset in stored if asset["lane"] == "replicate"}

    told = {line["reason"] for line in lines if line["status"] == "failed"}
    rows = csv.DictReader((folder_of(found) / "storm.results.csv").read_text("utf-8-sig").splitlines())
    told_in_sheet = {row["problem"].partition(": ")[2] for row in rows if row["status"] == "failed"}
    assert told == told_in_sheet
    with temporary_settings({PREFECT_API_URL: prefect_api}), get_client(sync_client=True) as client:
        name, message, artifacts = shown(client, found)
    assert "CompletedWithFailures" == name
    everywhere = [
        *told,
        *told_in_sheet,
        message,
        artifacts["campaign-summary"],
        artifacts["campaign-failures"],
        found.err,
    ]
    assert [] == [words for words in everywhere if HAPPENED not in words or TO_DO not in words]

    api._faults.clear()  # somebody has added credit
    again = ended(start(*COMMAND, "--direct"))
    assert (0, ROWS - paid) == (again.code, again.json["counts"]["stored"])
    assert {1} == set(api.creates_by_input().values())
    assert (ROWS, spent_micros()) == (api.creates(), api.billed_micros())


def test_a_token_that_is_not_valid_fails_its_rows_at_once_and_the_others_are_made(
    api: FakeReplicate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The patience with a lane is two minutes; nobody waits for a person that long."""
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_of-somebody-else")
    write("storm.csv", SHEET + COMP)
    found = ended(start(*COMMAND, "--direct"), limit_s=60)
    assert (4, 1, ROWS) == (found.code, found.json["counts"]["stored"], found.json["counts"]["failed"])
    reasons = {line["reason"] for line in manifest(found) if line["status"] == "failed"}
    assert ["Set REPLICATE_API_TOKEN to a valid one, then run again"] == [
        reason.partition("). ")[2].partition(";")[0] for reason in reasons
    ]
    assert 0 == api.creates()
