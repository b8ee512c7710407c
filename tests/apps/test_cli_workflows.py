"""`workflows import` as an art director's producer uses it: shown, asked, written, run; versions and pins."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.command_line import MODELS, ROOT, Ended, write
from fakes.fake_comfyui import FakeComfyUI
from PIL import Image

Assetline = Callable[..., Ended]
CASES = ROOT / "tests" / "fixtures" / "comfyui" / "workflows"
REFUSED = "Nothing was written, since nobody could be asked. Look at what was found, then add --yes."


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty workflows folder for this test."""
    made = tmp_path / "workflows"
    made.mkdir()
    monkeypatch.setenv("ASSETLINE_WORKFLOWS_FOLDER", str(made))
    monkeypatch.setenv("ASSETLINE_DEFAULT_WORKFLOW", "hero-shot")
    return made


@pytest.fixture
def worker() -> Iterator[FakeComfyUI]:
    with FakeComfyUI(MODELS) as running:
        yield running


def export(case: str, **changes: Any) -> str:
    """A graph of the fixtures as a file in the working folder, with inputs changed (`n3={"steps": 9}`)."""
    graph = json.loads(next(CASES.glob(f"{case}-*.json")).read_text("utf-8"))["graph"]
    for node, inputs in changes.items():
        graph[node.removeprefix("n")]["inputs"] |= inputs
    return write("Hero Shot_api.json", json.dumps(graph))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_without_a_terminal_all_is_shown_nothing_written_and_the_remedy_told(
    assetline: Assetline, folder: Path
) -> None:
    found = assetline("workflows", "import", export("22"))

    assert (2, REFUSED, []) == (found.code, found.err.strip(), names(folder))
    for line in (
        'hero-shot: 13 nodes; 9 (SaveImage "Save Image") saves the picture, 704x1280.',
        '  prompt                 "wide shot of a coast, best quality" (text)',
        '  prompt_2               "(morning) green field" (text; one area of the picture)',
        "11.height x 0.5 (ConditioningSetArea",
        "by 3.positive < 35.conditioning_2 < 12.text",
        "Look at this before you agree",
        "3 texts make the prompt (prompt 12, prompt_2 13, prompt_3 14)",
    ):
        assert line in found.out


def test_yes_writes_both_files_and_the_workflow_can_be_listed_and_inspected(assetline: Assetline, folder: Path) -> None:
    found = assetline("workflows", "import", export("13"), "--yes")

    assert (0, ["hero-shot.contract.yaml", "hero-shot.json"]) == (found.code, names(folder))
    assert found.err.startswith(f"Written: {folder}/hero-shot.json, ")
    inspected = assetline("workflows", "inspect", "hero-shot")
    facts = assetline("workflows", "inspect", "hero-shot", "--json").json
    assert f"a sheet may pin this version: hero-shot@{facts['sha256'][:8]}" in inspected.out
    assert "the picture is saved by node 19 (SaveImage)" in inspected.out
    assert "needs models/checkpoints/sd_xl_refiner_1.0.safetensors" in inspected.out
    assert ("19", ["checkpoints", "checkpoints"]) == (
        facts["output"],
        [file["folder"] for file in facts["model_files"]],
    )


def test_json_is_one_object_and_asks_nobody(assetline: Assetline, folder: Path) -> None:
    shown = assetline("workflows", "import", export("24"), "--json")
    assert (2, [], []) == (shown.code, shown.json["written"], names(folder))

    written = assetline("workflows", "import", export("24"), "--name", "mood", "--yes", "--json")
    facts = written.json
    assert (0, "mood", None, "14") == (written.code, facts["name"], facts["replaces"], facts["output"])
    assert [str(folder / "mood.json"), str(folder / "mood.contract.yaml")] == facts["written"]
    assert ["9.text"] == [f"{target['node']}.{target['input']}" for target in facts["parameters"][0]["targets"]]
    assert ["12.positive < 9.text"] == facts["parameters"][0]["paths"]
    assert {"ipadapter", "clip_vision"} == {file["folder"] for file in facts["model_files"]}


def test_a_new_version_is_shown_and_never_written_over_the_old_one_without_a_yes(
    assetline: Assetline, folder: Path
) -> None:
    assetline("workflows", "import", export("01"), "--yes")
    old = (folder / "hero-shot.json").read_text()

    again = assetline("workflows", "import", export("01"))
    assert (0, "hero-shot is this very workflow already; nothing was written.") == (again.code, again.err.strip())

    found = assetline("workflows", "import", export("01", n3={"steps": 33}))
    assert (2, old) == (found.code, (folder / "hero-shot.json").read_text())
    assert "steps is 33 by default instead of 20" in found.out
    assert "Pictures of rows that use it are made anew." in found.out

    assert 0 == assetline("workflows", "import", export("01", n3={"steps": 33}), "--yes").code
    assert old != (folder / "hero-shot.json").read_text()


def test_a_sheet_that_pins_the_old_version_is_refused_at_check_with_the_one_that_is_there(assetline: Assetline) -> None:
    assetline("workflows", "import", export("01"), "--yes")
    pinned = assetline("workflows", "inspect", "hero-shot", "--json").json["sha256"][:8]
    sheet = write("s.csv", f"id,prompt,workflow,size\nA,a street,hero-shot@{pinned},512x768\n")
    check = ("check", sheet, "--lane", "http://127.0.0.1:9", "--no-write", "--offline")
    assert 0 == assetline(*check).code

    assetline("workflows", "import", export("01", n3={"steps": 33}), "--yes")
    here = assetline("workflows", "inspect", "hero-shot", "--json").json["sha256"][:8]
    refused = assetline(*check, "--json")
    assert (3, "workflow-version", "C2") == (
        refused.code,
        *(refused.json["problems"][0][key] for key in ("code", "cell")),
    )
    assert f'Workflow hero-shot is version {here} here, not "{pinned}".' == refused.json["problems"][0]["message"]


def test_an_imported_workflow_makes_a_campaigns_pictures(assetline: Assetline, worker: FakeComfyUI) -> None:
    """Picture to picture: no size in the export, so the loaded picture is fitted to the row's."""
    model = {"ckpt_name": "AWPainting_v1.3.safetensors"}
    taken = assetline("workflows", "import", export("03", n14=model), "--lane", worker.url, "--yes")
    assert (0, False) == (taken.code, "The worker has no" in taken.out), taken.out
    Image.new("RGB", (300, 200), "red").save("snow.png")
    sheet = write("s.csv", "id,prompt,workflow,size,reference_image\nA,a luthier at work,hero-shot,192x128,snow.png\n")

    ran = assetline("run", sheet, "--direct", "--lane", worker.url, "--json")

    assert (0, 1) == (ran.code, ran.json["counts"]["stored"]), ran.err
    [graph] = [body["prompt"] for body in worker.bodies["/prompt"]]
    house_list = "blurry, low quality, distorted, text, watermark"  # campaigns/styles.yaml, for rows without their own
    assert ["a luthier at work", house_list] == [graph[node]["inputs"]["text"] for node in ("6", "7")]
    assert (192, 128, ["15", 0]) == (
        graph["15"]["inputs"]["width"],
        graph["15"]["inputs"]["height"],
        graph["12"]["inputs"]["pixels"],
    )


def test_the_editors_file_is_converted_where_a_worker_is_given(assetline: Assetline, worker: FakeComfyUI) -> None:
    saved = {
        "nodes": [
            {"id": 1, "type": "EmptyImage", "mode": 0, "widgets_values": [64, 32, 1, 255], "outputs": [{"links": [1]}]},
            {
                "id": 2,
                "type": "SaveImage",
                "mode": 0,
                "widgets_values": ["x"],
                "inputs": [{"name": "images", "type": "IMAGE", "link": 1}],
            },
        ],
        "links": [[1, 1, 0, 2, 0, "IMAGE"]],
    }
    file = write("flat.json", json.dumps(saved))

    refused = assetline("workflows", "import", file, "--yes")
    assert (3, True) == (refused.code, "Workflow > Export (API)" in refused.err)
    found = assetline("workflows", "import", file, "--lane", worker.url, "--yes", "--json")
    assert (0, ["width", "height"]) == (found.code, [each["name"] for each in found.json["parameters"]])
    assert "The editor's file was converted" in found.json["notes"][0]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["gone.json"], 2, "gone.json cannot be read: no such file"),
        (["broken.json"], 3, "broken.json is no JSON"),
        (["list.json"], 3, "list.json is not a graph of nodes"),
        (["Hero Shot_api.json", "--name", "a b"], 2, '"a b" cannot be a workflow\'s name'),
        (["Hero Shot_api.json", "--lane", "gpu1"], 2, '"gpu1" is no ComfyUI worker'),
        (["Hero Shot_api.json", "--lane", "http://127.0.0.1:9"], 6, "http://127.0.0.1:9"),
    ],
)
def test_what_cannot_be_imported_is_said_on_stderr_with_its_exit_code(
    assetline: Assetline, arguments: list[str], code: int, said: str
) -> None:
    export("01")
    write("broken.json", "{")
    write("list.json", "[]")

    found = assetline("workflows", "import", *arguments, "--yes")

    assert (code, "") == (found.code, found.out)
    assert said in found.err


@pytest.mark.parametrize(("answer", "files"), [("y\n", 2), ("\n", 0)])
def test_on_a_terminal_it_asks(folder: Path, answer: str, files: int) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, answer.encode())
    command = [sys.executable, "-m", "apps.cli", "workflows", "import", export("01")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        command, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, env=environment, timeout=60, check=False
    )
    os.close(theirs)
    said = os.read(ours, 10_000).decode()
    os.close(ours)

    assert (0, files) == (ran.returncode, len(names(folder)))
    assert "Write hero-shot? [y/N]" in said
    assert ("Nothing was written." in said) == (files == 0)


def test_help_has_an_example(assetline: Assetline) -> None:
    found = assetline("workflows", "import", "--help")
    assert (0, True) == (found.code, "Example: assetline workflows import" in found.out)
