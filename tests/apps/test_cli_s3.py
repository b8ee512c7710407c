"""The commands with sheets and stores in S3 (moto)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
from fakes.command_line import BROKEN, COMPS, Ended, write
from fakes.s3_servers import S3Server, free_port, moto_store_settings

from assetline.errors import ObjectMissing
from assetline.store.s3 import S3Store

Assetline = Callable[..., Ended]
QUICK_SEED = 301739  # botocore waits random shares of 1, 2, 4, 8, 16 s before its tries: with this seed 0.8 s in all
# botocore's connections are closed by the collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture(scope="module")
def moto() -> Iterator[S3Server]:
    with moto_store_settings() as server:
        yield server


@pytest.fixture
def s3(moto: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    """A store at a prefix of its own; the commands find the server by their environment."""
    for name, value in moto.environment.items():
        monkeypatch.setenv(name, value)
    return moto.store()


def test_a_sheet_in_a_bucket_is_run_into_the_bucket(assetline: Assetline, s3: S3Store) -> None:
    s3.put("drop/Spring Launch.csv", COMPS.encode())
    found = assetline("run", f"{s3.uri}/drop/Spring Launch.csv", "--direct", "--json", "--store", f"{s3.uri}/made")
    assert (0, 3, "spring-launch") == (found.code, found.json["counts"]["stored"], found.json["campaign"])
    run = f"made/campaigns/spring-launch/runs/{found.json['run_id']}"
    assert (f"{s3.uri}/{run}", f"{s3.uri}/{run}/contact-sheet.html") == (found.json["run"], found.json["contact_sheet"])
    assert f"  Contact sheet: {s3.uri}/{run}/contact-sheet.html\n" in found.err
    assert COMPS.encode() == s3.get(f"{run}/input/Spring Launch.csv").data
    again = assetline("run", f"{s3.uri}/drop/Spring Launch.csv", "--direct", "--json", "--store", f"{s3.uri}/made")
    assert (0, 3) == (again.code, again.json["counts"]["reused"])


def test_the_store_comes_from_the_settings_and_runs_and_status_read_it(
    assetline: Assetline, s3: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSETLINE_STORE", s3.uri)
    run_id = assetline("run", write("comps.csv", COMPS), "--direct", "--json").json["run_id"]
    assert [run_id] == [run["run_id"] for run in assetline("runs", "--json").json]
    assert (run_id, s3.uri) == (
        assetline("status", "--json").json["run_id"],
        assetline("status", "--json").json["store"],
    )
    assert 3 == assetline("plan", "comps.csv", "--json").json["reused"]


def test_credentials_and_the_server_may_stand_in_dotenv(
    assetline: Assetline, moto: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
    monkeypatch.setenv("AWS_CONFIG_FILE", "none")
    write(".env", "".join(f"{name}={value}\n" for name, value in moto.environment.items()))
    found = assetline("run", write("comps.csv", COMPS), "--direct", "--json", "--store", moto.uri("dotenv"))
    assert (0, 3) == (found.code, found.json["counts"]["stored"])


def test_check_writes_its_copy_beside_the_sheet_in_the_bucket(assetline: Assetline, s3: S3Store) -> None:
    s3.put("drop/broken.csv", BROKEN.encode())
    assert "" == assetline("check", f"{s3.uri}/drop/broken.csv", "--no-write").err
    with pytest.raises(ObjectMissing):
        s3.get("drop/broken.checked.csv")
    found = assetline("check", f"{s3.uri}/drop/broken.csv")
    assert (3, f"Checked copy: {s3.uri}/drop/broken.checked.csv\n") == (found.code, found.err)
    assert b'"huge" is not a size.' in s3.get("drop/broken.checked.csv").data.replace(b'""', b'"')


def test_a_sheet_that_is_not_in_the_bucket_is_a_usage_error(assetline: Assetline, s3: S3Store) -> None:
    found = assetline("check", f"{s3.uri}/drop/missing.csv")
    assert Ended(2, "", f"{s3.uri}/drop/missing.csv cannot be read: there is no such object.\n") == found


def test_a_bucket_that_is_not_there_ends_6(assetline: Assetline, s3: S3Store) -> None:
    found = assetline("run", write("comps.csv", COMPS), "--direct", "--store", "s3://nobody-has-this/2026")
    assert (6, "") == (found.code, found.out)
    assert "nobody-has-this" in found.err


def test_a_server_that_does_not_answer_ends_6_with_its_address(
    assetline: Assetline, s3: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("ASSETLINE_S3_ENDPOINT", endpoint)
    random.seed(QUICK_SEED)
    found = assetline("run", write("comps.csv", COMPS), "--direct", "--store", s3.uri)
    assert (6, "") == (found.code, found.out)
    assert endpoint in found.err


def test_doctor_probes_the_bucket_and_no_disk(assetline: Assetline, s3: S3Store) -> None:
    found = assetline("doctor", "--json", "--store", s3.uri)
    findings = {one["name"]: one for one in found.json["findings"]}
    assert findings[f"store {s3.uri}"]["verdict"] in {"ok", "warn"}
    assert "disk" not in findings
