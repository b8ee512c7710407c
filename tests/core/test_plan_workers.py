"""What workers lack, found at the plan: refused with the nearest name, told as a warning, or shared out among lanes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fakes.comfyui_nodes import object_info

from assetline.catalogue import Catalogue
from assetline.ledger_records import Speed
from assetline.plan import (
    CampaignPlan,
    Capability,
    Fleet,
    Known,
    Pace,
    Workers,
    World,
    find_lacks,
    plan_campaign,
    quote,
)
from assetline.plan.node_packs import pack_of
from assetline.sheet import read_sheet
from assetline.workflow import Workflow, defaults, load_workflows

WORKFLOWS = load_workflows(Path(__file__).parents[2] / "workflows")
GPU1, GPU2 = "http://gpu1:8188", "http://gpu2:8188"
ALL = {
    "checkpoints": ["AWPainting_v1.3.safetensors", "sd_xl_base_1.0.safetensors"],
    "loras": ["brand_v2.safetensors", "gold.safetensors"],
    "controlnet": ["OpenPoseXL2.safetensors"],
}


def worker(url: str, *without: str, added: Mapping[str, Any] | None = None, **models: list[str]) -> Capability:
    """A worker with the model files of `ALL`, but for those given by folder, and without some classes."""
    info = object_info({**ALL, **models}, [], frozenset(without))
    for kind, inputs in (added or {}).items():
        known = info[kind]["input"]
        info[kind] = {**info[kind], "input": {**known, "required": {**known["required"], **inputs}}}
    return Capability(url, info)


def workers(*known: Capability, silent: Mapping[str, str] | None = None) -> Workers:
    return Workers({each.url: each for each in known}, silent or {})


def plan(sheet: str, asked: Workers, workflows: Mapping[str, Workflow] = WORKFLOWS, **more: Any) -> CampaignPlan:
    world = World(Catalogue(), workflows, frozenset({"comfyui", "fpo"}), workers=asked)
    return plan_campaign("spring", read_sheet("Campaign.csv", sheet.encode(), world.catalogue), world, **more)


def said(made: CampaignPlan) -> list[str]:
    return [str(problem) for problem in made.problems]


# --- refused


def test_a_lora_that_no_worker_has_is_refused_at_its_cell_with_the_nearest_and_where_it_is() -> None:
    sheet = "id,prompt,workflow,seed,steps,lora\nA,a mug,sdxl-lora,1,20,brand_v3.safetensors\n"
    made = plan(sheet, workers(worker(GPU1, loras=["gold.safetensors"]), worker(GPU2)))
    assert [
        (
            'Campaign!F2 lora: LoRA "brand_v3.safetensors" is on no worker. '
            'Nearest: "brand_v2.safetensors" on http://gpu2:8188.'
        )
    ] == said(made)
    [problem] = made.problems
    assert ("error", "worker-lacks", 2) == (problem.severity, problem.code, problem.row)
    assert () == made.requests


def test_a_name_without_its_ending_is_refused_with_the_name_that_has_it() -> None:
    made = plan("id,prompt,model\nA,a mug,sd_xl_base_1.0\n", workers(worker(GPU1)))
    assert said(made)[0].endswith('Nearest: "sd_xl_base_1.0.safetensors" on http://gpu1:8188.')


def test_where_nothing_is_near_it_says_what_there_is() -> None:
    made = plan("id,prompt,workflow,lora\nA,a mug,sdxl-lora,zebra.safetensors\n", workers(worker(GPU1)))
    assert said(made)[0].endswith("is on no worker. There are: brand_v2.safetensors, gold.safetensors.")
    none = plan("id,prompt,workflow,lora\nA,a mug,sdxl-lora,zebra.safetensors\n", workers(worker(GPU1, loras=[])))
    assert said(none)[0].endswith("is on no worker. No worker has any LoRA.")


def test_a_default_of_the_workflow_says_that_the_sheet_did_not_name_it() -> None:
    made = plan("id,prompt\nA,a mug\n", workers(worker(GPU1, checkpoints=["dream.safetensors"])))
    assert [
        (
            'Campaign!row 2 model: Checkpoint "sd_xl_base_1.0.safetensors", the default of workflow sdxl-txt2img, is on no '
            "worker. There is: dream.safetensors. Write what a worker has into the column model, or copy the file to "
            "models/checkpoints on a worker."
        )
    ] == said(made)


def test_a_file_that_is_fixed_in_the_graph_is_told_at_the_workflow() -> None:
    made = plan("id,prompt,workflow\nA,a mug,flux\n", workers(worker(GPU1)), WORKFLOWS | {"flux": flux()})
    assert [
        (
            'Campaign!C2 workflow: Diffusion model "flux1-dev.safetensors", fixed in workflow flux, is on no worker. '
            "No worker has any diffusion model. Copy the file to models/diffusion_models on a worker."
        )
    ] == said(made)


def flux() -> Workflow:
    """sdxl-txt2img with its model from UNETLoader, as a fixed file."""
    base = WORKFLOWS["sdxl-txt2img"]
    loader = {"class_type": "UNETLoader", "inputs": {"unet_name": "flux1-dev.safetensors", "weight_dtype": "default"}}
    sampler = {"class_type": "KSampler", "inputs": {**base.graph["3"]["inputs"], "model": ["20", 0]}}
    graph = base.graph | {"20": loader, "3": sampler}
    return Workflow("flux", graph, base.contract, "f" * 64)


def test_a_sampler_that_no_worker_has_is_refused() -> None:
    info = object_info(ALL, [], frozenset())
    known = info["KSampler"]["input"]["required"]
    required = {**known, "sampler_name": [["euler", "ddim"], {}]}
    old = Capability(GPU1, info | {"KSampler": {**info["KSampler"], "input": {"required": required}}})
    made = plan("id,prompt,workflow,sampler\nA,a mug,sd15-txt2img,dpmpp_2m\n", workers(old))
    assert ['Campaign!D2 sampler: Sampler "dpmpp_2m" is on no worker. There are: euler, ddim.'] == said(made)


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("Power Lora Loader (rgthree)", "Install rgthree-comfy on a worker, or take another workflow."),
        (
            "OurOwnNode",
            "Update ComfyUI, or install the custom nodes that bring it, on a worker, or take another workflow.",
        ),
    ],
)
def test_a_node_class_that_no_worker_has_is_told_with_the_pack_that_usually_brings_it(kind: str, remedy: str) -> None:
    base = WORKFLOWS["sd15-txt2img"]
    odd = Workflow("odd", base.graph | {"77": {"class_type": kind, "inputs": {}}}, base.contract, "f" * 64)
    made = plan("id,prompt,workflow\nA,a mug,odd\n", workers(worker(GPU1), worker(GPU2)), WORKFLOWS | {"odd": odd})
    message = f'Campaign!C2 workflow: Workflow odd needs the node class "{kind}", which is on no worker.'
    assert [f"{message} {remedy}"] == said(made)
    assert "worker-lacks-node" == made.problems[0].code


def test_a_lora_is_on_no_worker_too_where_the_only_other_one_cannot_load_any() -> None:
    sheet = "id,prompt,workflow,lora\nA,a mug,sdxl-lora,brand_v3.safetensors\n"
    made = plan(sheet, workers(worker(GPU1), worker(GPU2, "LoraLoader")))
    assert ["worker-lacks"] == [problem.code for problem in made.problems]


def test_a_row_whose_parts_are_on_different_workers_is_refused_with_what_each_lacks() -> None:
    sheet = "id,prompt,workflow,lora\nA,a mug,sdxl-lora,gold.safetensors\n"
    made = plan(sheet, workers(worker(GPU1, loras=[]), worker(GPU2, checkpoints=[])))
    assert [
        (
            'Campaign!C2 workflow: No worker has all that this row needs: http://gpu1:8188 lacks LoRA "gold.safetensors"; '
            'http://gpu2:8188 lacks checkpoint "sd_xl_base_1.0.safetensors". Copy what is missing to one of them.'
        )
    ] == said(made)
    assert "worker-split" == made.problems[0].code


def test_a_required_input_that_cannot_be_filled_in_is_refused() -> None:
    newer = worker(GPU1, added={"KSampler": {"guide": ["GUIDE"]}})
    made = plan("id,prompt,workflow\nA,a mug,sd15-txt2img\n", workers(newer))
    assert "KSampler.guide" in said(made)[0]
    assert ["worker-lacks"] == [problem.code for problem in made.problems]


# --- not refused


@pytest.mark.parametrize("spelt", ["sub/gold.safetensors", "sub\\gold.safetensors"])
def test_a_file_in_a_folder_is_the_same_with_either_slash(spelt: str) -> None:
    sheet = f"id,prompt,workflow,lora\nA,a mug,sdxl-lora,{spelt}\n"
    for there in ("sub/gold.safetensors", "sub\\gold.safetensors"):
        assert [] == said(plan(sheet, workers(worker(GPU1, loras=[there]))))


def test_one_worker_that_has_it_is_enough() -> None:
    sheet = "id,prompt,workflow,lora\nA,a mug,sdxl-lora,gold.safetensors\n"
    assert [] == said(plan(sheet, workers(worker(GPU1, loras=[]), worker(GPU2))))


def test_a_worker_that_does_not_answer_is_one_warning_and_may_have_what_the_others_lack() -> None:
    sheet = "id,prompt,workflow,lora\nA,a mug,sdxl-lora,brand_v3.safetensors\n"
    made = plan(sheet, workers(worker(GPU1), silent={GPU2: "http://gpu2:8188 cannot be reached."}))
    assert [
        "http://gpu2:8188 cannot be reached. What this worker has was not checked.",
        (
            'Campaign!D2 lora: LoRA "brand_v3.safetensors" is on no worker that answers. Nearest: "brand_v2.safetensors" on '
            "http://gpu1:8188. http://gpu2:8188 did not answer and may have it."
        ),
    ] == said(made)
    assert ["worker-silent", "worker-lacks"] == [problem.code for problem in made.problems]
    assert {"warning"} == {problem.severity for problem in made.problems}
    assert 1 == len(made.requests)


@pytest.mark.parametrize("silent", [{}, {GPU1: "It is down."}])
def test_where_no_worker_has_answered_nothing_is_refused(silent: dict[str, str]) -> None:
    made = plan("id,prompt,workflow,lora\nA,a mug,sdxl-lora,nobody_has_this\n", workers(silent=silent))
    assert (True, 1, len(silent)) == (made.ok, len(made.requests), len(made.problems))


def test_a_comp_needs_no_worker_to_have_anything() -> None:
    sheet = "id,prompt,backend,model\nA,a mug,fpo,nobody_has_this.safetensors\n"
    assert [] == said(plan(sheet, workers(worker(GPU1))))


@pytest.mark.parametrize(
    "spec",
    [
        [["a.safetensors"], {"image_upload": True}],
        ["COMBO", {"remote": {"route": "/models"}, "options": []}],
        ["STRING", {}],
        [[], {}],
    ],
)
def test_a_list_that_is_not_kept_to_refuses_nothing(spec: list[Any]) -> None:
    base = WORKFLOWS["sd15-txt2img"]
    node = {"class_type": "Odd", "inputs": {"thing": "value"}}
    save = {"class_type": "SaveImage", "inputs": {**base.graph["9"]["inputs"], "odd": ["77", 0]}}
    odd = Workflow("odd", base.graph | {"77": node, "9": save}, base.contract, "f" * 64)
    has = worker(GPU1)
    has = Capability(GPU1, {**has.classes, "Odd": {"input": {"required": {"thing": spec}}, "output_node": False}})
    assert () == find_lacks(has, odd, defaults(odd))


def test_a_node_that_leads_to_no_output_needs_no_file() -> None:
    base = WORKFLOWS["sd15-txt2img"]
    orphan = {"class_type": "VAELoader", "inputs": {"vae_name": "nobody_has_this.safetensors"}}
    loose = Workflow("loose", base.graph | {"77": orphan}, base.contract, "f" * 64)
    assert () == find_lacks(worker(GPU1), loose, defaults(loose))


def test_new_required_inputs_with_defaults_are_one_warning_for_the_workflow() -> None:
    newer = worker(GPU1, added={"KSampler": {"shift": ["FLOAT", {"default": 1.5}]}})
    sheet = "id,prompt,workflow\nA,a mug,sd15-txt2img\nB,a cup,sd15-txt2img\n"
    made = plan(sheet, workers(newer, worker(GPU2)))
    assert [
        (
            "Workflow sd15-txt2img is older than ComfyUI on http://gpu1:8188: node 3 (KSampler): shift was not in the "
            "workflow and is 1.5 now, the worker's default. Import the workflow anew to choose these values yourself."
        )
    ] == said(made)
    assert ("workflow-completed", 2) == (made.problems[0].code, len(made.requests))


# --- shared out


TWO_MODELS = "id,prompt,workflow,variants\nA,a mug,sd15-txt2img,6\nB,a cup,sdxl-txt2img,4\n"


def test_each_lane_is_asked_for_what_it_has_and_the_quote_says_how_many() -> None:
    asked = workers(worker(GPU1, checkpoints=["AWPainting_v1.3.safetensors"]), worker(GPU2))
    made = plan(TWO_MODELS, asked)
    fleet = Fleet(asked, WORKFLOWS)
    found = quote(made, [], {GPU1: "comfyui", GPU2: "comfyui"}, Known(fleet))
    assert [(GPU1, 5, 6), (GPU2, 5, 10)] == [(lane.lane, lane.requests, lane.can_make) for lane in found.lanes]
    assert [True] * 6 + [False] * 4 == [fleet.suits(GPU1, planned) for planned in made.requests]


def test_learned_speeds_give_the_faster_lane_more_and_are_said_to_be_learned() -> None:
    asked = workers(worker(GPU1), worker(GPU2))
    made = plan("id,prompt,workflow,variants\nA,a mug,sd15-txt2img,12\n", asked)
    fleet = Fleet(asked, WORKFLOWS)
    affinity = fleet.affinity(made.requests[0])
    speeds = [Speed(GPU1, affinity, 30.0, 0.0, 9), Speed(GPU2, affinity, 10.0, 60.0, 9)]
    found = quote(made, [], {GPU1: "comfyui", GPU2: "comfyui"}, Known(fleet, Pace(speeds)))
    assert [(4, 2.0, "learned"), (8, 2.33, "learned")] == [(l.requests, l.minutes, l.minutes_are) for l in found.lanes]  # noqa: E741
    assert ("learned", 2.33) == (found.minutes_are, found.minutes)


def test_a_lane_that_was_never_seen_is_taken_for_as_fast_as_others_were_and_without_any_it_is_a_guess() -> None:
    pace = Pace([Speed(GPU1, "sdxl", 10.0, 8.0, 9), Speed(GPU1, "sd15", 3.0, None, 9), Speed("fpo", "", 9.0, None, 9)])
    assert [10.0, 3.0] == pytest.approx([pace.seconds(GPU2, "sdxl"), pace.seconds(GPU1, "flux")])
    assert [None, None] == [pace.seconds(GPU2, "flux"), pace.seconds("fpo", "")]
    assert [8.0, 0.0] == [pace.load_seconds(GPU2, "sdxl"), pace.load_seconds(GPU1, "sd15")]


def test_what_is_known_of_a_request_is_worked_out_once_for_equal_files() -> None:
    counted = CountingClasses(worker(GPU1).classes)
    sheet = "id,prompt,workflow,steps\n" + "".join(f"R{n},mug {n},sd15-txt2img,{n % 50 + 1}\n" for n in range(200))
    made = plan(sheet, workers(Capability(GPU1, counted)))
    assert (200, True) == (len(made.requests), counted.asked < 200)


class CountingClasses(dict[str, Any]):
    """Counts how often it is looked into."""

    asked = 0

    def get(self, key: str, default: Any = None) -> Any:
        self.asked += 1
        return super().get(key, default)


@pytest.mark.parametrize(
    ("kind", "pack"),
    [
        ("FaceDetailer", "ComfyUI-Impact-Pack"),
        ("BasicPipeToDetailerPipe", "ComfyUI-Impact-Pack"),
        ("UnetLoaderGGUF", "ComfyUI-GGUF"),
        ("DWPreprocessor", "comfyui_controlnet_aux"),
        ("KSampler (Efficient)", "efficiency-nodes-comfyui"),
        ("ImageResize+", "ComfyUI_essentials"),
        ("KSampler", ""),
        ("ControlNetLoader", ""),
    ],
)
def test_well_known_classes_have_their_pack_and_others_none(kind: str, pack: str) -> None:
    assert pack == pack_of(kind)


def test_no_class_of_comfyui_itself_is_taken_for_a_custom_one() -> None:
    assert [] == [kind for kind in object_info(ALL, [], frozenset()) if pack_of(kind)]
