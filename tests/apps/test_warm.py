"""`warm`: each worker loads what it will begin a sheet with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.command_line import Ended, write
from fakes.fake_comfyui import FakeComfyUI

Assetline = Callable[..., Ended]
SHEET = "id,prompt,workflow,size,variants\nA,a tent,sd15-txt2img,64x64,{}\nB,a mug,sdxl-txt2img,64x64,{}\n"
FOUR = "{0},a {0},sd15-txt2img,64x64,{0}.safetensors,{1}\n"
SD15, SDXL = "AWPainting_v1.3.safetensors", "sd_xl_base_1.0.safetensors"


def test_each_worker_loads_the_model_of_a_group_and_nothing_is_stored(assetline: Assetline) -> None:
    with FakeComfyUI() as gpu1, FakeComfyUI() as gpu2:
        found = assetline("warm", write("two.csv", SHEET.format(4, 6)), "--lane", gpu1.url, "--lane", gpu2.url)
        sent = [len(worker.bodies["/prompt"]) for worker in (gpu1, gpu2)]
    assert 0 == found.code
    head, *table = [line.split() for line in found.out.splitlines()]
    assert ["worker", "model", "seconds"] == head
    assert [[gpu1.url, SDXL], [gpu2.url, SD15]] == [line[:2] for line in table]
    assert [1, 1] == sent
    assert f"{gpu1.url}: loading {SDXL}\n" in found.err
    assert found.err.endswith("2 of 2 workers ready.\n")
    assert not list(Path().glob("assets/campaigns/**/*.png"))


def test_the_run_that_follows_begins_each_worker_with_what_it_has_loaded(assetline: Assetline) -> None:
    sheet = write(
        "four.csv", "id,prompt,workflow,size,checkpoint,variants\n" + "".join(map(FOUR.format, "abcd", (3, 9, 6, 4)))
    )
    checkpoints = {"checkpoints": [f"{name}.safetensors" for name in "abcd"]}
    with FakeComfyUI(checkpoints) as gpu1, FakeComfyUI(checkpoints) as gpu2, FakeComfyUI(checkpoints) as gpu3:
        workers = (gpu1, gpu2, gpu3)
        lanes = [word for worker in workers for word in ("--lane", worker.url)]
        warmed = [one["models"] for one in assetline("warm", sheet, "--json", *lanes).json["workers"]]
        assert 0 == assetline("run", sheet, "--direct", *lanes).code
        first = [worker.bodies["/prompt"][1]["prompt"]["4"]["inputs"]["ckpt_name"] for worker in workers]
    assert first == warmed
    assert 3 == len(set(warmed))


def test_what_is_made_already_is_not_warmed_for(assetline: Assetline) -> None:
    with FakeComfyUI() as worker:
        write("two.csv", SHEET.format(1, 1))
        lane = ("--lane", worker.url)
        assert 0 == assetline("run", "two.csv", "--direct", "--rows", "A", *lane).code
        assert SDXL in assetline("warm", "two.csv", *lane).out
        assert 0 == assetline("run", "two.csv", "--direct", *lane).code
        found = assetline("warm", "two.csv", "--json", *lane)
    facts = {"worker": worker.url, "models": "", "seconds": None, "reason": ""}
    assert (0, {"workers": [facts]}) == (found.code, found.json)


def test_where_nothing_is_left_to_load_it_is_said_and_who_does_not_answer_is_no_failure(assetline: Assetline) -> None:
    with FakeComfyUI() as worker:
        sheet = write("two.csv", SHEET.format(1, 1))
        assert 0 == assetline("run", sheet, "--direct", "--lane", worker.url).code
    found = assetline("warm", sheet, "--lane", worker.url)
    assert (0, True) == (found.code, "cannot be reached" in found.out)
    assert found.err.endswith("Nothing to load: this sheet has no picture left to make on a ComfyUI worker.\n")


def test_a_worker_that_lacks_the_model_of_the_largest_group_loads_another(assetline: Assetline) -> None:
    with FakeComfyUI({"checkpoints": [SD15]}) as poor, FakeComfyUI() as rich:
        sheet = write("two.csv", SHEET.format(1, 30))
        found = assetline("warm", sheet, "--json", "--lane", rich.url, "--lane", poor.url)
    assert [SDXL, SD15] == [one["models"] for one in found.json["workers"]]


def test_it_ends_6_where_no_worker_answers_and_0_where_one_does(assetline: Assetline) -> None:
    sheet = write("two.csv", SHEET.format(1, 1))
    found = assetline("warm", sheet, "--lane", "http://127.0.0.1:1")
    assert (6, True) == (found.code, "cannot be reached" in found.out)
    with FakeComfyUI() as worker:
        found = assetline("warm", sheet, "--json", "--lane", "http://127.0.0.1:1", "--lane", worker.url)
    reasons = [bool(one["reason"]) for one in found.json["workers"]]
    assert (0, [True, False]) == (found.code, reasons)


def test_a_worker_that_cannot_load_is_a_failure_with_its_reason(assetline: Assetline) -> None:
    with FakeComfyUI() as worker:
        worker.engine.next_error = ("torch.OutOfMemoryError", "CUDA out of memory.")
        found = assetline("warm", write("two.csv", SHEET.format(1, 1)), "--lane", worker.url)
    assert (4, True) == (found.code, "ran out of memory" in found.out)


@pytest.mark.parametrize(
    ("sheet", "arguments", "code", "said"),
    [
        (SHEET.format(1, 1), [], 2, "There is no ComfyUI worker to warm."),
        ("id,prompt,workflow\nA,a,nobody_knows_it\n", ["--lane", "http://127.0.0.1:1"], 3, "no workflow"),
    ],
)
def test_what_cannot_be_warmed_is_refused(
    assetline: Assetline, sheet: str, arguments: list[str], code: int, said: str
) -> None:
    found = assetline("warm", write("two.csv", sheet), *arguments)
    assert (code, True) == (found.code, said in found.err)


def test_a_renamed_sheet_is_warmed_for_as_the_campaign_that_it_goes_on_as(assetline: Assetline) -> None:
    with FakeComfyUI() as worker:
        lane = ("--lane", worker.url)
        assert 0 == assetline("run", write("two.csv", SHEET.format(1, 1)), "--direct", *lane).code
        found = assetline("warm", write("two final.csv", SHEET.format(1, 1)), *lane)
    assert found.err.endswith("Nothing to load: this sheet has no picture left to make on a ComfyUI worker.\n")
