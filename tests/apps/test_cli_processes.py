"""The command line in processes of its own: what it imports, and what an interrupt leaves behind."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.command_line import COMPS, MODELS, Ended, ended, python, start, wait_until, write
from fakes.fake_comfyui import FakeComfyUI

HEAVY = {"prefect", "pandas", "gradio", "boto3", "botocore", "fastapi", "uvicorn"}
IMAGING = {"PIL", "numpy", "imagehash", "scipy"}
IMPORTED = f"""
import sys
from apps.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    print(end.code, *sorted(set(sys.modules) & {HEAVY | IMAGING}), file=sys.stderr)
"""
FOUR = "id,prompt,workflow,size\n" + "".join(f"T{n},tent {n},sd15-txt2img,64x64\n" for n in range(4))


@pytest.mark.parametrize("command", ["--help", "check comps.csv", "plan comps.csv", "workflows list"])
def test_a_quick_command_imports_nothing_heavy(command: str) -> None:
    write("comps.csv", COMPS)
    found = ended(python("-c", IMPORTED, *command.split()))
    assert "0" == found.err.splitlines()[-1]


def test_doctor_imports_nothing_heavy() -> None:
    code, *imported = ended(python("-c", IMPORTED, "doctor")).err.splitlines()[-1].split()
    assert ("0", set()) == (code, HEAVY & set(imported))


def test_a_direct_run_imports_nothing_heavy_and_prints_plain_lines_where_there_is_no_terminal() -> None:
    found = ended(python("-c", IMPORTED, "run", write("comps.csv", COMPS), "--direct", "--json"))
    code, *imported = found.err.splitlines()[-1].split()
    assert ("0", set()) == (code, HEAVY & set(imported))
    assert 3 == found.json["counts"]["stored"]
    assert not set("\x1b\r") & set(found.err)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_130_clears_the_worker_and_can_be_gone_on_with(
    assetline: Callable[..., Ended], stop: signal.Signals
) -> None:
    with FakeComfyUI(MODELS) as worker:
        worker.hold()
        process = start("run", write("four.csv", FOUR), "--direct", "--json", "--lane", worker.url)
        wait_until(lambda: len(worker.bodies["/prompt"]) == 2, "one prompt running and one ahead")
        worker.step()
        wait_until(lambda: list(Path("assets").glob("campaigns/four/assets/*/*.json")), "the first asset")
        process.send_signal(stop)
        found = ended(process)
        assert 130 == found.code
        assert (None, []) == (worker.engine.running, worker.engine.pending)
        assert_interrupted(found)

        worker.release()
        rest = assetline("run", "four.csv", "--direct", "--json", "--lane", worker.url)
        counts = {status: count for status, count in rest.json["counts"].items() if count}
        assert (0, {"stored": 3, "reused": 1}) == (rest.code, counts)


def assert_interrupted(found: Ended) -> None:
    """The summary, the JSON and the manifest say what was made and what was not."""
    assert {"stored": 1, "canceled": 3} == {status: count for status, count in found.json["counts"].items() if count}
    assert "four: 1 made, 3 not made (" in found.err
    assert "  Stopped before 3 pictures; the same command makes the rest.\n" in found.err
    assert "Traceback" not in found.err
    folder = Path(found.json["run"].removeprefix("file://"))
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    assert ["canceled", "canceled", "canceled", "stored"] == sorted(line["status"] for line in lines)
    assert json.loads((folder / "run.json").read_text())["interrupted"]


def test_an_interrupt_before_anything_is_made_says_how_to_go_on() -> None:
    with FakeComfyUI(MODELS) as worker:
        worker.fault("GET /system_stats", "hang")
        process = start("run", write("four.csv", FOUR), "--direct", "--json", "--lane", worker.url)
        wait_until(lambda: "GET /system_stats" in worker.paths(), "the run's first question to the worker")
        process.send_signal(signal.SIGINT)
        found = ended(process)
    assert 130 == found.code
    assert {"canceled": 4} == {status: count for status, count in found.json["counts"].items() if count}
    assert "four: 0 pictures made, 4 not made (" in found.err


def test_an_interrupt_before_the_run_says_that_the_same_command_goes_on() -> None:
    with FakeComfyUI(MODELS) as worker:
        worker.fault("GET /object_info", "hang")
        process = start("check", write("four.csv", FOUR), "--lane", worker.url)
        wait_until(lambda: "GET /object_info" in worker.paths(), "the check's question to the worker")
        process.send_signal(signal.SIGINT)
        found = ended(process)
    assert (130, "Interrupted. The same command goes on where it stopped.\n") == (found.code, found.err)


@pytest.mark.parametrize("command", ["workflows list", "runs"])
def test_a_pipe_that_closes_early_is_no_error(command: str) -> None:
    """`assetline runs | true`."""
    run = Path("assets/campaigns/comps/runs/20261122T014500Z-9f3a1c/manifest.jsonl")
    run.parent.mkdir(parents=True)
    run.touch()
    process = start(*command.split())
    assert process.stdout
    process.stdout.close()
    process.stdout = None
    found = ended(process)
    assert (0, "") == (found.code, found.err)
