"""Overflow: what the office's GPU would not have done in time is made at Replicate, within the caps, and comes back."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fakes.command_line import Ended, wait_until, write
from fakes.fake_comfyui import FakeComfyUI
from fakes.fake_replicate import TOKEN, FakeReplicate, Fate
from fakes.spent import spent_micros

Assetline = Callable[..., Ended]
SHEET = "id,prompt,size,workflow\n" + "".join(
    f"T{n},tent {n},256x256,sdxl-txt2img\n" for n in range(6)
)  # 72 s, guessed
RUN = ("--direct", "--json", "--yes", "--max-cost", "1")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeReplicate]:
    with FakeReplicate(queue_s=0.05, run_s=0.1) as service:
        monkeypatch.setenv("REPLICATE_BASE_URL", service.url)
        monkeypatch.setenv("REPLICATE_API_TOKEN", TOKEN)
        yield service


@contextmanager
def stuck_until(holds: Callable[[], bool]) -> Iterator[FakeComfyUI]:
    """A worker that goes on only then."""
    with FakeComfyUI() as worker:
        worker.hold()

        def watch() -> None:
            wait_until(holds, "what Replicate does")
            worker.release()

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        yield worker
        watching.join()


def outcomes(found: Ended) -> list[dict[str, Any]]:
    folder = Path(found.json["run"].removeprefix("file://"))
    lines = (folder / "manifest.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def lanes(found: Ended) -> list[str]:
    return [outcome["asset"]["lane"].partition(":")[0] for outcome in outcomes(found)]


def test_off_by_default_nothing_goes(assetline: Assetline, api: FakeReplicate) -> None:
    with FakeComfyUI() as worker:
        found = assetline("run", write("tents.csv", SHEET), "--lane", worker.url, *RUN)
    assert (0, ["http"] * 6) == (found.code, lanes(found))
    assert [] == api.asked


def test_what_the_gpu_would_not_have_done_in_time_may_go_and_no_more(assetline: Assetline, api: FakeReplicate) -> None:
    write("tents.csv", SHEET)
    with stuck_until(lambda: len(api.bill()) == 3) as worker:
        found = assetline("run", "tents.csv", "--lane", worker.url, *RUN, "--overflow", "40s")
    assert 0 == found.code
    assert ["http"] * 3 + ["replicate"] * 3 == lanes(found)
    assert 3 == api.creates(width=256, height=256, num_inference_steps=25, guidance_scale=7.5)
    assert abs(spent_micros() - api.billed_micros()) <= 3
    assert spent_micros() == round(found.json["cost_usd"] * 1e6)
    why = "The workers alone would need about 1.2 min, 0.67 are allowed."
    overflow = found.json["overflow"]
    assert (3, [why]) == (overflow["pictures"], overflow["why"])
    assert (
        f"  Overflow: 3 pictures at Replicate (3 expected), {overflow['cost_usd']:.4f} USD. {why}"
        in found.err.splitlines()
    )


def test_a_picture_made_by_an_equivalent_says_so_and_serves_the_next_run(
    assetline: Assetline, api: FakeReplicate
) -> None:
    write("tents.csv", SHEET)
    with stuck_until(lambda: len(api.bill()) == 3) as worker:
        first = assetline("run", "tents.csv", "--lane", worker.url, *RUN, "--overflow", "40s")
        again = assetline("run", "tents.csv", "--lane", worker.url, *RUN, "--overflow", "off")
    assert (0, 0) == (first.code, again.code)
    told = "Made by stability-ai/sdxl at Replicate in place of sdxl-txt2img."
    there = [outcome for outcome in outcomes(first) if outcome["asset"]["made_as"]]
    assert [told] * 3 == [outcome["reason"] for outcome in there]
    assert ["sdxl-txt2img"] * 3 == [outcome["workflow"] for outcome in there]
    recipe = json.loads(Path("assets", there[0]["asset"]["sidecar"]).read_text())
    assert recipe["asset"]["made_as"] == recipe["graph"]["replicate"]["requested"]["model"]
    assert (6, 3) == (again.json["counts"]["reused"], api.creates())


def test_what_comes_to_nothing_there_is_made_here(assetline: Assetline, api: FakeReplicate) -> None:
    """Its safety filter is not the office's; and it is not paid for a second time."""
    write("tents.csv", SHEET)
    api.fates.append(Fate(ending="failed", error="NSFW content detected"))
    with stuck_until(lambda: len(api.bill()) >= 1) as worker:
        found = assetline("run", "tents.csv", "--lane", worker.url, *RUN, "--overflow", "65s")
    assert (0, ["http"] * 6, 1) == (found.code, lanes(found), api.creates())


def test_no_cap_no_overflow(assetline: Assetline, api: FakeReplicate) -> None:
    write("tents.csv", SHEET)
    with FakeComfyUI() as worker:
        command = ("tents.csv", "--lane", worker.url, "--overflow", "40s")
        planned = assetline("plan", *command)
        found = assetline("run", *command, "--direct", "--json")
    said = (
        "  overflow: nothing goes to Replicate (the GPUs alone need about 1.2 min, 0.67 are allowed); 6 pictures could go, "
        "but the caps leave too little for one (--max-cost, ASSETLINE_MAX_COST...)"
    )
    assert said in planned.out.splitlines()
    assert (0, ["http"] * 6, []) == (found.code, lanes(found), api.asked)


def test_plan_says_how_many_will_probably_go_and_for_how_much(assetline: Assetline) -> None:
    write("tents.csv", SHEET)
    with FakeComfyUI() as worker:
        command = ("plan", "tents.csv", "--lane", worker.url, "--overflow", "40s", "--max-cost", "1")
        found, facts = assetline(*command), assetline(*command, "--json").json
    said = (
        "  overflow: probably 3 pictures to Replicate, 0.0117 to 0.0181 USD more (the GPUs alone need about 1.2 min, "
        "0.67 are allowed); if workers fail or are slower, 6 pictures for 0.0363 USD at most"
    )
    assert said in found.out.splitlines()
    told = ("pictures", "most", "minutes", "limit_minutes")
    assert (3, 6, 1.2, 0.67) == tuple(facts["overflow"][name] for name in told)


def test_plan_says_what_of_the_overflow_the_caps_keep_back(assetline: Assetline) -> None:
    write("tents.csv", SHEET)
    with FakeComfyUI() as worker:
        found = assetline("plan", "tents.csv", "--lane", worker.url, "--overflow", "40s", "--max-cost", "0.125")
    assert "if workers fail or are slower, 2 pictures for 0.0121 USD at most, the caps keep back 4 more\n" in found.out


def test_plan_says_where_no_model_at_replicate_makes_the_same_pictures(assetline: Assetline) -> None:
    write("lora.csv", "id,prompt,size,workflow,lora\nTENT,a red tent,1024x1024,sdxl-lora,house-style.safetensors\n")
    with FakeComfyUI() as worker:
        found = assetline("plan", "lora.csv", "--lane", worker.url, "--overflow", "1s", "--max-cost", "1")
    assert "are allowed); no model there makes the same pictures\n" in found.out


def test_overflow_costs_money_so_that_somebody_must_agree(assetline: Assetline, api: FakeReplicate) -> None:
    write("tents.csv", SHEET)
    with FakeComfyUI() as worker:
        found = assetline("run", "tents.csv", "--lane", worker.url, "--direct", "--max-cost", "1", "--overflow", "40s")
    assert (5, []) == (found.code, api.asked)
    assert found.err.startswith("Overflow: probably 3 pictures to Replicate, 0.0117 to 0.0181 USD more")


def test_workers_may_fail_so_that_somebody_must_agree_though_they_are_in_time(
    assetline: Assetline, api: FakeReplicate
) -> None:
    write("tents.csv", SHEET)
    with FakeComfyUI() as worker:
        found = assetline("run", "tents.csv", "--lane", worker.url, "--direct", "--max-cost", "1", "--overflow", "2h")
    assert (5, []) == (found.code, api.asked)
    said = "Overflow: probably nothing to Replicate (the GPUs alone need about 1.2 min, 120 are allowed); "
    assert found.err.startswith(f"{said}if workers fail or are slower, 6 pictures for 0.0363 USD at most. ")
