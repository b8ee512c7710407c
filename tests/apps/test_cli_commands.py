"""What holds for every command: help with an example, usage errors, settings, workflows, doctor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.command_line import COMPS, MODELS, Ended, write
from fakes.fake_comfyui import FakeComfyUI

Assetline = Callable[..., Ended]
COMMANDS = [
    "",
    "check",
    "plan",
    "run",
    "warm",
    "runs",
    "status",
    "workflows",
    "workflows list",
    "workflows inspect",
    "doctor",
]
NAMES = ["sd15-txt2img", "sdxl-controlnet-pose", "sdxl-lora", "sdxl-refine", "sdxl-txt2img"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_and_the_exit_codes(assetline: Assetline, command: str) -> None:
    found = assetline(*command.split(), "--help")
    assert (0, "") == (found.code, found.err)
    assert f"Example: assetline {command}".rstrip() in found.out
    assert "Exit codes: 0 all well" in found.out


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in {"", "workflows"}])
def test_every_command_offers_json(assetline: Assetline, command: str) -> None:
    assert "--json" in assetline(*command.split(), "--help").out


def test_the_version_is_printed(assetline: Assetline) -> None:
    assert Ended(0, "0.1.0\n", "") == assetline("--version")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("chek s.csv", '"chek"'),
        ("check", "SHEET requires an argument"),
        ("check s.csv --nonsense", "--nonsense"),
        ("run s.csv --lanes fpo --direct", "Did you mean --lane?"),
        ("run s.csv --lane", "--lane requires an argument"),
        ("run s.csv more.csv --direct", "more.csv"),
        ("run s.csv --direct --max-cost much", "--max-cost"),
        ("run s.csv --direct --max-cost -1", "--max-cost: Input should be greater than or equal to 0"),
        ("run s.csv --direct --campaign " + "x" * 81, "--campaign: String should have at most 80 characters"),
        ("plan s.csv --lane replicat", '"replicat" is no lane. A lane is fpo, replicate, or a ComfyUI URL'),
        ("plan s.csv --lane gpu1 --lane ftp://gpu2", '"gpu1" is no lane'),
        ("plan s.csv --lane gpu1 --lane ftp://gpu2", '"ftp://gpu2" is no lane'),
        ("run s.csv --direct --store ftp://there", "ftp://there is no store that assetline knows"),
        ("run s.csv --direct --rows TENT,TNT", 'There is no row "TNT"'),
        ("run missing.csv --direct", "missing.csv cannot be read: no such file"),
        ("check missing.csv", "missing.csv cannot be read: no such file"),
        ("plan .", ". cannot be read: is a directory"),
        ("check s3://bucket", "s3://bucket names no file in S3"),
        ("status 2026", "There are no runs in"),
        ("status --by colour", "Choose from"),
        ("workflows inspect sdxl", 'There is no workflow "sdxl"'),
    ],
)
def test_a_usage_error_is_2_in_plain_words_on_stderr_alone(assetline: Assetline, command: str, said: str) -> None:
    write("s.csv", COMPS)
    found = assetline(*command.split())
    assert (2, "") == (found.code, found.out)
    assert said in " ".join(found.err.replace("│", " ").split())
    assert "Traceback" not in found.err
    assert {Path("s.csv")} == set(Path().iterdir())


# --- settings


def test_a_setting_that_cannot_be_used_is_named_and_a_secret_never_printed(
    assetline: Assetline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSETLINE_MAX_ROWS", "many")
    monkeypatch.setenv("ASSETLINE_MAX_COST", "-3")
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_secret")
    found = assetline("check", write("s.csv", COMPS))
    assert (2, "") == (found.code, found.out)
    assert "ASSETLINE_MAX_ROWS" in found.err
    assert "ASSETLINE_MAX_COST" in found.err
    assert "r8_secret" not in found.err


def test_settings_come_from_dotenv_and_the_environment_wins(
    assetline: Assetline, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(".env", "ASSETLINE_STORE=from-dotenv\nASSETLINE_COMFYUI=http://gpu1:8188, http://gpu2:8188/\n")
    write("s.csv", COMPS)
    assert ["http://gpu1:8188", "http://gpu2:8188"] == lanes(assetline("plan", "s.csv", "--json"))
    assert "already in from-dotenv" in assetline("plan", "s.csv").out
    monkeypatch.setenv("ASSETLINE_STORE", "from-environment")
    monkeypatch.setenv("ASSETLINE_COMFYUI", "")
    assert ["fpo"] == lanes(assetline("plan", "s.csv", "--json"))
    assert "already in from-environment" in assetline("plan", "s.csv").out
    assert "already in from-option" in assetline("plan", "s.csv", "--store", "from-option").out


def lanes(found: Ended) -> list[str]:
    return [lane["lane"] for lane in found.json["lanes"]]


def test_a_dotenv_that_is_not_utf8_is_said(assetline: Assetline) -> None:
    Path(".env").write_bytes(b"ASSETLINE_STORE=caf\xe9\n")
    assert (2, "", "The file .env is not UTF-8 (byte 20). Save it as UTF-8.\n") == split(assetline("workflows", "list"))


def split(found: Ended) -> tuple[int, str, str]:
    return found.code, found.out, found.err


# --- workflows


def test_workflows_list_names_each_with_what_it_is_for(assetline: Assetline) -> None:
    found = assetline("workflows", "list")
    assert (0, "") == (found.code, found.err)
    assert NAMES == [line.split()[0] for line in found.out.splitlines()]
    facts = assetline("workflows", "list", "--json").json
    assert NAMES == [workflow["name"] for workflow in facts]
    assert {"name", "description", "native", "sha256", "profiles"} == set(facts[0])


def test_workflows_inspect_explains_each_parameter(assetline: Assetline) -> None:
    found = assetline("workflows", "inspect", "sd15-txt2img")
    assert (0, "") == (found.code, found.err)
    assert "native size 512x512" in found.out
    assert "profile sd15-txt2img:draft" in found.out
    facts = assetline("workflows", "inspect", "sd15-txt2img", "--json").json
    assert {"name", "description", "native", "sha256", "profiles", "output", "parameters", "model_files"} == set(facts)
    by_name = {parameter["name"]: parameter for parameter in facts["parameters"]}
    assert 20 == by_name["steps"]["default"]
    assert by_name["prompt"]["targets"]


def test_workflows_inspect_takes_a_graph_file(assetline: Assetline, project_root: Path) -> None:
    found = assetline("workflows", "inspect", str(project_root / "workflows" / "sdxl-lora.json"), "--json")
    assert (0, "sdxl-lora") == (found.code, found.json["name"])


def test_a_graph_file_that_is_none_is_a_fault_of_the_workflow(assetline: Assetline) -> None:
    found = assetline("workflows", "inspect", write("mine.json", "{"))
    assert (3, "") == (found.code, found.out)
    assert "mine.json" in found.err


# --- doctor


def test_doctor_finds_all_well_on_the_embedded_defaults(assetline: Assetline) -> None:
    facts = assetline("doctor", "--json")
    assert (0, "", True) == (facts.code, facts.err, facts.json["ok"])
    assert {"ok", "findings"} == set(facts.json)
    assert {frozenset({"name", "verdict", "found", "mend"})} == {frozenset(one) for one in facts.json["findings"]}
    verdicts = {one["name"]: one["verdict"] for one in facts.json["findings"]}
    assert {"python", "prefect", "fastapi", "prefect server", "catalogue", "workflows", "lane fpo"} <= set(verdicts)
    assert "ok" == verdicts["store ./assets"]
    assert "fail" not in verdicts.values()


def test_doctor_leaves_nothing_in_the_store(assetline: Assetline) -> None:
    assetline("doctor")
    assert [] == [path for path in Path("assets").rglob("*") if path.is_file() and path.name != "lock"]


def test_doctor_says_which_workflows_a_worker_can_run_and_what_it_lacks(assetline: Assetline) -> None:
    with FakeComfyUI(MODELS) as worker:
        found = assetline("doctor", "--lane", worker.url)
    assert 0 == found.code
    assert f"ok    lane {worker.url}: ComfyUI 0.3.64 on cpu, " in found.out
    assert ", nothing queued; can run sd15-txt2img\n" in found.out
    assert "sd_xl_base_1.0.safetensors" in found.out


def test_doctor_ends_6_with_the_remedy_when_something_does_not_answer(
    assetline: Assetline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    found = assetline("doctor", "--lane", "http://127.0.0.1:1", "--store", write("a-file", ""))
    assert (6, "") == (found.code, found.err)
    assert "FAIL  prefect server: http://127.0.0.1:1/api does not answer\n      Start it, or unset" in found.out
    assert "FAIL  lane http://127.0.0.1:1: " in found.out
    assert "FAIL  store a-file: " in found.out


def test_doctor_goes_on_after_a_bad_setting(assetline: Assetline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSETLINE_MAX_ROWS", "many")
    found = assetline("doctor", "--json")
    assert 6 == found.code
    assert "ASSETLINE_MAX_ROWS" in found.json["findings"][-1]["found"]
