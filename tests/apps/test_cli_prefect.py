"""`run` with Prefect: a server that is there, one of its own, one of `make server`; and what is left running: nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from sqlite3 import connect
from typing import Any

import httpx
import pytest
from fakes.command_line import COMPS, MODELS, Ended, ended, python, serving, start, wait_until, write
from fakes.fake_comfyui import FakeComfyUI
from fakes.s3_servers import free_port
from fakes.strict_worker import SOME_FAIL, strict_worker

from apps.prefect_server import is_healthy

pytestmark = pytest.mark.server
WAITING = "Starting Prefect's embedded server (about 10 s; make server keeps one running)"
STEPS = ("looking at what is already made: ", "making pictures: ", "writing the contact sheet: ")
KILLED = """
import sys
from apps.prefect_server import embedded_server, wait_until_healthy
with embedded_server() as api_url:
    wait_until_healthy(api_url)
    print(api_url, flush=True)
    sys.stdin.read()
    while True:
        pass
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, prefect_home: Path, prefect_api: str) -> Path:
    """A database for the servers of this file: a copy of the test run's, since a new one takes 5 s of CPU to make."""
    home = tmp_path_factory.mktemp("prefect-home")
    with closing(connect(prefect_home / "prefect.db")) as source, closing(connect(home / "prefect.db")) as copy:
        source.backup(copy)
    return home


@pytest.fixture(autouse=True)
def nothing_left_running(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After each test no server is left that was started with this file's home."""
    monkeypatch.setenv("PREFECT_HOME", str(home))
    yield
    left = serving()
    for pid in left:
        os.kill(pid, signal.SIGTERM)
    assert [] == left


def flow_runs(api_url: str) -> dict[str, str]:
    """Names and states of the flow runs that a server has."""
    newest = {"limit": 50, "sort": "START_TIME_DESC"}
    answer = httpx.post(f"{api_url}/flow_runs/filter", json=newest, timeout=30)
    return {run["name"]: run["state_name"] for run in answer.json()}


def press_cancel(api_url: str, name: str) -> None:
    """What the button of that name does in Prefect's UI."""
    newest = {"limit": 1, "sort": "START_TIME_DESC", "flow_runs": {"name": {"any_": [name]}}}
    [run] = httpx.post(f"{api_url}/flow_runs/filter", json=newest, timeout=30).json()
    asked = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    answer = httpx.post(f"{api_url}/flow_runs/{run['id']}/set_state", json=asked, timeout=30)
    assert "ACCEPT" == answer.json()["status"]


def strange(found: Ended) -> list[str]:
    """Lines on stderr that are neither progress nor summary."""
    ends = ("  failed: ", "  Stopped before ", "  Contact sheet: /", "  Your sheet with the results: /")
    known = (WAITING, *STEPS, "Watch the run at http://", *ends)
    summary = re.compile(r"[a-z-]+: \d+ .*made.* \(\d+\.\d s\)")
    return [line for line in found.err.splitlines() if not line.startswith(known) and not summary.fullmatch(line)]


# --- a server that is there (the test run's)


def test_a_run_appears_on_the_server_that_is_configured(prefect_api: str) -> None:
    with strict_worker() as worker:
        sheet = write("Command Line.csv", SOME_FAIL)
        found = ended(start("run", sheet, "--lane", worker.url, "--json", PREFECT_API_URL=f"{prefect_api}/"))
    assert (4, []) == (found.code, strange(found))
    assert {"stored": 1, "failed": 1} == {status: count for status, count in found.json["counts"].items() if count}
    assert WAITING not in found.err
    assert "CompletedWithFailures" == flow_runs(prefect_api)["command-line"]


def test_an_error_of_the_run_is_said_in_words_and_not_as_a_trace(prefect_api: str) -> None:
    sheet = write("no-lane.csv", "id,prompt,workflow,size\nA,a tent,sd15-txt2img,64x64\n")
    found = ended(start("run", sheet, "--lane", "http://127.0.0.1:1", "--json", PREFECT_API_URL=prefect_api))
    assert (6, "") == (found.code, found.out)
    assert "Traceback" not in found.err
    assert found.err.splitlines()[-1].startswith("No lane answers. http://127.0.0.1:1 cannot be reached")
    assert "Failed" == flow_runs(prefect_api)["no-lane"]


def test_a_run_that_is_terminated_ends_as_a_direct_one_does(prefect_api: str) -> None:
    sheet = write("stopped.csv", "id,prompt,workflow,size\nA,a tent,sd15-txt2img,64x64\n")
    with FakeComfyUI(MODELS) as worker:
        worker.hold()
        process = start("run", sheet, "--lane", worker.url, "--json", PREFECT_API_URL=prefect_api)
        wait_until(lambda: worker.engine.running, "the prompt")
        process.send_signal(signal.SIGTERM)
        found = ended(process)
        assert (None, []) == (worker.engine.running, worker.engine.pending)
    assert (130, []) == (found.code, strange(found))
    assert 1 == found.json["counts"]["canceled"]
    assert flow_runs(prefect_api)["stopped"] in {"Crashed", "Cancelled"}


def test_cancel_in_prefects_ui_ends_a_run_as_ctrl_c_does(prefect_api: str) -> None:
    sheet = write("cancel.csv", "id,prompt,workflow,size,variants\nA,a tent,sd15-txt2img,64x64,3\n")
    with FakeComfyUI(MODELS) as worker:
        worker.hold()
        process = start("run", sheet, "--lane", worker.url, "--json", PREFECT_API_URL=prefect_api)
        wait_until(lambda: worker.engine.running, "the prompt")
        press_cancel(prefect_api, "cancel")
        found = ended(process)
        assert (None, []) == (worker.engine.running, worker.engine.pending)
    assert (130, [], 3) == (found.code, strange(found), found.json["counts"]["canceled"])
    assert "Cancelled" == flow_runs(prefect_api)["cancel"]


def test_a_configured_server_that_does_not_answer_ends_6_with_the_remedy(
    assetline: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    found = assetline("run", write("comps.csv", COMPS), "--lane", "fpo", "--json")
    said = (
        "Prefect's API at http://127.0.0.1:1/api does not answer. Start it, or unset PREFECT_API_URL to use an "
        "embedded server, or run with --direct.\n"
    )
    assert Ended(6, "", said) == found
    assert not Path("assets").exists()


def test_the_server_of_the_active_profile_counts_as_configured(assetline: Callable[..., Ended], home: Path) -> None:
    profiles = home / "profiles.toml"
    profiles.write_text('active = "team"\n[profiles.team]\nPREFECT_API_URL = "http://127.0.0.1:2/api"\n')
    try:
        found = assetline("run", write("comps.csv", COMPS), "--lane", "fpo")
    finally:
        profiles.unlink()
    assert (6, True) == (found.code, "http://127.0.0.1:2/api does not answer" in found.err)


# --- a server of its own


def test_a_run_brings_its_own_server_and_takes_it_away() -> None:
    found = ended(start("run", write("comps.csv", COMPS), "--lane", "fpo", "--json"), limit_s=240)
    assert (0, 3) == (found.code, found.json["counts"]["stored"])
    assert (WAITING, []) == (found.err.splitlines()[0], strange(found))


def test_its_server_ends_with_it_also_when_it_is_killed() -> None:
    process = python("-c", KILLED)
    assert process.stdout
    api_url = process.stdout.readline().strip()
    assert is_healthy(api_url)
    process.kill()
    process.communicate()
    wait_until(lambda: not is_healthy(api_url), "the server's end")
    wait_until(lambda: not serving(), "the server's process to end")


# --- make server, make stop


def server(*arguments: str) -> Ended:
    return ended(python("-m", "apps.prefect_server", *arguments), limit_s=240)


def test_make_server_and_make_stop(assetline: Callable[..., Ended]) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    started = server("start", "--port", str(port))
    state: dict[str, Any] = json.loads(Path(".assetline/prefect-server.json").read_text())
    said = f"Prefect runs at {url} (pid {state['pid']}); make stop ends it.\n"
    assert (Ended(0, said, ""), {"pid", "url"}, url) == (started, set(state), state["url"])
    assert Ended(0, said, "") == server("start", "--port", str(free_port()))
    assert [state["pid"]] == serving()

    found = ended(start("run", write("kept.csv", COMPS), "--lane", "fpo", "--json"))
    assert (0, f"Watch the run at {url}", []) == (found.code, found.err.splitlines()[0], strange(found))
    assert "Completed" == flow_runs(f"{url}/api")["kept"]
    assert f"ok    prefect server: runs at {url} (make server)" in assetline("doctor").out

    assert Ended(0, "Prefect's server is stopped.\n", "") == server("stop")
    assert not Path(".assetline/prefect-server.json").exists()
    wait_until(lambda: not serving(), "the server's process to end")
    assert Ended(0, "No server was running.\n", "") == server("stop")


def test_make_server_on_a_taken_port_is_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = server("start", "--port", str(port))
    assert Ended(2, "", f"Port {port} is taken. Choose another: make server PORT={port + 1}\n") == found
    assert not Path(".assetline/prefect-server.json").exists()
