"""`check`, `plan` and `run` with ComfyUI workers: what they lack is said before anything is made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fakes.command_line import Ended, ended, python, write
from fakes.fake_comfyui import FakeComfyUI

from assetline.bootstrap.planning import plan_sheet
from assetline.ledger import open_ledger
from assetline.ledger_records import Speed
from assetline.run_records import RunOptions
from assetline.settings import Settings

Assetline = Callable[..., Ended]
LORAS = (
    "id,prompt,workflow,size,lora\nTENT,a tent,sdxl-lora,64x64,brand_v3.safetensors\nMUG,a mug,sd15-txt2img,64x64,\n"
)
SD15 = "id,prompt,workflow,size,variants\nTENT,a tent,sd15-txt2img,64x64,3\n"
NO_WORKER = "http://127.0.0.1:1"


def brand(*loras: str) -> FakeComfyUI:
    return FakeComfyUI({"loras": list(loras)})


def test_check_refuses_a_lora_that_is_on_no_worker_and_asks_each_worker_once(assetline: Assetline) -> None:
    with brand() as gpu1, brand("brand_v2.safetensors") as gpu2:
        found = assetline("check", write("spring.csv", LORAS), "--lane", gpu1.url, "--lane", gpu2.url)
        asked = [gpu1.asked, gpu2.asked]
    assert 3 == found.code
    assert found.out.splitlines() == [
        (
            'error: spring!E2 lora: LoRA "brand_v3.safetensors" is on no worker. Nearest: "brand_v2.safetensors" on '
            f"{gpu2.url}."
        ),
        "spring.csv: 2 rows, 1 picture, 1 error, 0 warnings.",
    ]
    assert [[("GET", "/object_info")]] * 2 == asked
    assert "is on no worker" in Path("spring.checked.csv").read_text()


def test_offline_asks_nobody(assetline: Assetline) -> None:
    with brand() as worker:
        codes = [
            assetline(name, write("spring.csv", LORAS), "--lane", worker.url, "--offline").code
            for name in ("check", "plan")
        ]
        assert ([0, 0], []) == (codes, worker.asked)


def test_a_worker_that_does_not_answer_is_one_warning(assetline: Assetline) -> None:
    found = assetline("check", write("spring.csv", LORAS), "--lane", NO_WORKER)
    assert 0 == found.code
    assert found.out.startswith(f"warning: {NO_WORKER} cannot be reached (")
    assert found.out.endswith("spring.csv: 2 rows, 2 pictures, 0 errors, 1 warning.\n")
    planned = assetline("plan", "spring.csv", "--lane", NO_WORKER, "--json")
    assert (0, 2) == (planned.code, planned.json["to_make"])
    [line] = planned.err.splitlines()
    assert line.startswith(f"warning: {NO_WORKER} cannot be reached (")


def test_a_default_that_is_on_no_worker_is_one_line_for_all_the_rows_and_an_error_of_each(assetline: Assetline) -> None:
    rows = "".join(f"R{n},mug {n},sd15-txt2img\n" for n in range(1, 41))
    with FakeComfyUI({"checkpoints": ["dream.safetensors"]}) as worker:
        write("many.csv", "id,prompt,workflow\n" + rows)
        found = assetline("check", "many.csv", "--lane", worker.url)
        told = assetline("check", "many.csv", "--lane", worker.url, "--json").json
    first, rest, total = found.out.splitlines()
    assert first.startswith(
        'error: many!row 2 model: Checkpoint "AWPainting_v1.3.safetensors", the default of workflow'
    )
    assert "error: the same in 39 more rows: 3, 4, 5, 6, 7 and so on." == rest
    assert "many.csv: 40 rows, 0 pictures, 40 errors, 0 warnings." == total
    assert list(range(2, 42)) == [problem["row"] for problem in told["problems"]]


def test_run_is_refused_before_anything_is_sent_or_written(assetline: Assetline) -> None:
    with brand() as worker:
        found = assetline("run", write("spring.csv", LORAS), "--lane", worker.url, "--direct")
        assert (3, [("GET", "/object_info")]) == (found.code, worker.asked)
    assert 'spring!E2 lora: LoRA "brand_v3.safetensors" is on no worker.' in found.err
    assert not Path("assets").exists()


def test_each_request_goes_only_where_it_can_run(assetline: Assetline) -> None:
    sheet = "id,prompt,workflow,size,variants\nA,a tent,sd15-txt2img,64x64,6\nB,a mug,sdxl-txt2img,64x64,6\n"
    sd15, sdxl = {"checkpoints": ["AWPainting_v1.3.safetensors"]}, {"checkpoints": ["sd_xl_base_1.0.safetensors"]}
    with FakeComfyUI(sd15) as gpu1, FakeComfyUI(sdxl) as gpu2:
        found = assetline("run", write("two.csv", sheet), "--direct", "--json", "--lane", gpu1.url, "--lane", gpu2.url)
        sent = [len(worker.bodies["/prompt"]) for worker in (gpu1, gpu2)]
    assert (0, 12) == (found.code, found.json["counts"]["stored"])
    assert [6, 6] == sent


def test_plan_says_which_lane_can_make_how_many(assetline: Assetline) -> None:
    sheet = "id,prompt,workflow,size\nA,a tent,sd15-txt2img,64x64\nB,a mug,sdxl-txt2img,64x64\n"
    with FakeComfyUI({"checkpoints": ["AWPainting_v1.3.safetensors"]}) as gpu1, FakeComfyUI() as gpu2:
        found = assetline("plan", write("two.csv", sheet), "--lane", gpu1.url, "--lane", gpu2.url)
    assert f"  {gpu1.url}: 1 picture (can make 1 of 2), about 0.2 min (a first guess)\n" in found.out
    assert f"  {gpu2.url}: 1 picture, about 0.2 min (a first guess)\n" in found.out


def test_plan_takes_its_minutes_from_the_ledger_where_there_is_one_and_makes_none(assetline: Assetline) -> None:
    write("tent.csv", SD15)
    with FakeComfyUI() as worker:
        guessed = assetline("plan", "tent.csv", "--lane", worker.url, "--json").json
        assert ("guess", 0.6) == (guessed["minutes_are"], guessed["minutes"])
        assert not Path("assetline.db").exists()
        planning = plan_sheet("tent.csv", RunOptions(lanes=(worker.url,)), Settings())
        affinity = planning.fleet.affinity(planning.plan.requests[0])
        ledger = open_ledger(Settings().ledger)
        ledger.keep_speeds([Speed(worker.url, affinity, 60.0, 30.0, 9)])
        ledger.close()
        learned = assetline("plan", "tent.csv", "--lane", worker.url, "--json").json
        found = assetline("plan", "tent.csv", "--lane", worker.url)
    assert ("learned", 3.5) == (learned["minutes_are"], learned["minutes"])
    assert "3 pictures, about 3.5 min (from earlier runs)\n  time: 3 to 4 min (from earlier runs)\n" in found.out


def test_a_ledger_that_cannot_be_read_leaves_a_guess(assetline: Assetline) -> None:
    Path("assetline.db").write_text("no database at all, but long enough to be looked at as one " * 20)
    found = assetline("plan", write("comps.csv", "id,prompt,size\nA,a tent,64x64\n"), "--lane", "fpo", "--json")
    assert (0, "guess") == (found.code, found.json["minutes_are"])
    assert found.err.startswith("The minutes are a guess: ")


def test_placeholders_alone_need_no_http_client() -> None:
    code = (
        "import sys\nfrom apps.cli import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n"
        "    print(end.code, *sorted({'httpx', 'sqlalchemy', 'websockets'} & set(sys.modules)), file=sys.stderr)"
    )
    sheet = write("comps.csv", "id,prompt,size\nA,a tent,64x64\n")
    for command in ("check", "plan"):
        assert "0" == ended(python("-c", code, command, sheet)).err.splitlines()[-1]
