"""`doctor` at the workers and at the names of settings."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fakes.command_line import Ended, write
from fakes.fake_comfyui import FakeComfyUI

Assetline = Callable[..., Ended]


def lines(found: Ended, name: str) -> list[tuple[str, str, str]]:
    """Verdict, what was found and what mends it, of the findings of this name."""
    return [(one["verdict"], one["found"], one["mend"]) for one in found.json["findings"] if one["name"] == name]


def test_a_worker_is_told_with_its_machine_its_queue_and_what_it_can_run(assetline: Assetline) -> None:
    with FakeComfyUI() as worker:
        worker.hold()
        worker.submit_foreign("one")
        found = assetline("doctor", "--json", "--lane", worker.url)
    every = "sd15-txt2img, sdxl-controlnet-pose, sdxl-lora, sdxl-refine, sdxl-txt2img"
    machine = "ComfyUI 0.3.64 on cpu, 16.0 of 16.0 GiB free, 1 running and 0 waiting"
    assert [("ok", f"{machine}; can run {every}", "")] == lines(found, f"lane {worker.url}")
    assert 0 == found.code


def test_each_thing_that_a_worker_lacks_is_a_line_with_its_remedy(assetline: Assetline) -> None:
    with FakeComfyUI({"checkpoints": ["sd_xl_base_0.9.safetensors"], "controlnet": []}) as worker:
        worker.engine.without = frozenset({"LatentUpscale"})
        found = assetline("doctor", "--json", "--lane", worker.url)
    summary, *lacks = lines(found, f"lane {worker.url}")
    assert ("warn", True) == (summary[0], summary[1].endswith("can run none of the workflows"))
    sdxl = "sdxl-controlnet-pose, sdxl-lora, sdxl-refine, sdxl-txt2img"
    copy = "Copy the file to models/checkpoints on that worker."
    assert (
        "warn",
        f'no checkpoint "sd_xl_base_1.0.safetensors", for {sdxl}',
        f'{copy} Nearest there: "sd_xl_base_0.9.safetensors".',
    ) in lacks
    assert ("warn", 'no checkpoint "AWPainting_v1.3.safetensors", for sd15-txt2img', f"{copy} It has 1 other.") in lacks
    assert (
        "warn",
        'no ControlNet "OpenPoseXL2.safetensors", for sdxl-controlnet-pose',
        "Copy the file to models/controlnet on that worker.",
    ) in lacks
    assert any('node class "LatentUpscale", for sdxl-refine' in found for _, found, _ in lacks)
    assert (4, 0) == (len(lacks), found.code)


def test_what_is_filled_in_for_a_newer_comfyui_is_told(assetline: Assetline) -> None:
    with FakeComfyUI() as worker:
        worker.engine.added = {"LatentUpscale": {"shift": ["FLOAT", {"default": 1.5}]}}
        found = assetline("doctor", "--json", "--lane", worker.url)
    [_, (verdict, said, mend)] = lines(found, f"lane {worker.url}")
    assert ("ok", True) == (verdict, "shift was not in the workflow and is 1.5 now" in said)
    assert "import sdxl-refine anew" in mend


def test_workers_are_told_in_the_order_of_the_lanes_and_one_that_is_down_fails(assetline: Assetline) -> None:
    with FakeComfyUI() as worker:
        found = assetline("doctor", "--json", "--lane", "http://127.0.0.1:1", "--lane", worker.url)
    lanes = [(one["name"], one["verdict"]) for one in found.json["findings"] if one["name"].startswith("lane ")]
    assert [("lane http://127.0.0.1:1", "fail"), (f"lane {worker.url}", "ok")] == lanes
    assert 6 == found.code


def test_a_misspelt_setting_is_named_with_the_real_name(assetline: Assetline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSETLINE_COMFY_UI", "http://gpu1:8188")
    monkeypatch.setenv("ASSETLINE_ZZZ", "1")
    monkeypatch.setenv("ASSETLINE_STORE", "./assets")
    write(".env", "ASSETLINE_MAX_ROW=7\nexport ASSETLINE_MAX_COST = 3\n# ASSETLINE_OLD=1\nOTHER=1\n")
    found = assetline("doctor", "--json")
    assert [
        ("warn", "nothing reads ASSETLINE_COMFY_UI (in the environment)", "Did you mean ASSETLINE_COMFYUI?"),
        (
            "warn",
            "nothing reads ASSETLINE_ZZZ (in the environment)",
            "Remove it; docs/operations.md has all names.",
        ),
        ("warn", "nothing reads ASSETLINE_MAX_ROW (in .env)", "Did you mean ASSETLINE_MAX_ROWS?"),
    ] == lines(found, "settings")
    assert 0 == found.code
