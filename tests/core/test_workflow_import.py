"""Importing art directors' workflows: what is found in 34 graphs of the kinds that are about, and what is refused."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from assetline.errors import OptionError, WorkflowError
from assetline.records import MAX_SEED, ImageRequest
from assetline.workflow import Target, bind, load_workflow, load_workflows, needed_files
from assetline.workflow.discover import discover
from assetline.workflow.draft import SAMPLERS, SCHEDULERS, draft_contract
from assetline.workflow.findings import Discovery
from assetline.workflow.importing import propose, read_export, workflow_name
from assetline.workflow.write import changes, contract_text, prepared, write_workflow

ROOT = Path(__file__).parents[2]
SHIPPED = ("sd15-txt2img", "sdxl-controlnet-pose", "sdxl-lora", "sdxl-refine", "sdxl-txt2img")
CASES = {
    file.stem: json.loads(file.read_text("utf-8"))
    for file in sorted((ROOT / "tests" / "fixtures" / "comfyui" / "workflows").glob("*.json"))
}
INFO = json.loads((ROOT / "tests" / "fakes" / "comfyui_object_info.json").read_text("utf-8"))
Graph = dict[str, Any]


def targets(found: Discovery) -> dict[str, set[Target]]:
    return {name: set(each.targets) for name, each in found.found.items()}


def expected(case: Graph) -> dict[str, set[Target]]:
    return {name: {Target.model_validate(each) for each in places} for name, places in case["expected"].items()}


def places(of: dict[str, set[Target]], name: str) -> set[tuple[str, str]]:
    """Where the texts of one side go, `prompt_2` and so on with them."""
    sides = [each for key, each in of.items() if key.startswith(name)]
    return {(target.node, target.input) for side in sides for target in side}


def node(kind: str, **inputs: Any) -> Graph:
    return {"class_type": kind, "inputs": {name.rstrip("_"): value for name, value in inputs.items()}}


def graph(**changes: Graph | None) -> Graph:
    """Seven nodes from text to a saved picture; nodes changed, added or (None) taken out by id."""
    nodes = {
        "3": node(
            "KSampler", seed=7, steps=20, cfg=8.0, sampler_name="euler", scheduler="normal", denoise=1.0,
            model=["4", 0], positive=["6", 0], negative=["7", 0], latent_image=["5", 0],
        ),
        "4": node("CheckpointLoaderSimple", ckpt_name="base.safetensors"),
        "5": node("EmptyLatentImage", width=512, height=512, batch_size=1),
        "6": node("CLIPTextEncode", text="a cup", clip=["4", 1]),
        "7": node("CLIPTextEncode", text="blurry", clip=["4", 1]),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", filename_prefix="x", images=["8", 0]),
    } | {name.removeprefix("n"): each for name, each in changes.items()}  # fmt: skip
    return {name: each for name, each in nodes.items() if each is not None}


def sampler(**inputs: Any) -> Graph:
    """The sampler of `graph()` with other inputs."""
    return node("KSampler", **(graph()["3"]["inputs"] | inputs))


# --- measure 6


@pytest.mark.parametrize("object_info", [None, INFO], ids=["names alone", "with a worker's object_info"])
def test_at_least_95_percent_of_parameters_are_found_and_positive_and_negative_never_swapped(
    object_info: Graph | None,
):
    """Run with -s to see the figures."""
    wanted = {name: expected(case) for name, case in CASES.items()}
    found = {name: targets(discover(case["graph"], object_info)) for name, case in CASES.items()}

    hits = [(name, key) for name in CASES for key, each in wanted[name].items() if found[name].get(key) == each]
    missed = [f"{name}: {key}" for name in CASES for key in wanted[name] if (name, key) not in hits]
    more = [f"{name}: {key}" for name in CASES for key in found[name] if key not in wanted[name]]
    swaps = [
        name
        for name in CASES
        if places(found[name], "prompt") & places(wanted[name], "negative_prompt")
        or places(found[name], "negative_prompt") & places(wanted[name], "prompt")
    ]
    total = sum(map(len, wanted.values()))
    sys.stdout.write(
        f"\n{len(CASES)} graphs, {total} parameters: {len(hits)} found ({len(hits) / total:.1%}), "
        f"{len(more)} more than expected, {len(swaps)} swaps. Missed: {', '.join(missed) or 'none'}\n"
    )

    assert len(CASES) >= 30
    assert [] == swaps
    assert [] == more
    assert len(hits) / total >= 0.95, missed


@pytest.mark.parametrize("name", CASES)
def test_what_is_found_makes_a_contract_that_loads_and_binds(name: str):
    """Every mapped input gets the row's value; the size of the finished picture is the one asked for."""
    found = discover(CASES[name]["graph"])
    workflow = prepared(found.graph, draft_contract(name, found))
    lacking = {key: "a.png" for key, parameter in workflow.contract.parameters.items() if parameter.type == "image"}
    width, height = (side * 2 for side in found.native)
    request = ImageRequest(prompt="PROMPT", width=min(width, 4096), height=min(height, 4096), seed=MAX_SEED)

    bound = bind(workflow, request, "p", lacking)

    for key, value in (("prompt", "PROMPT"), ("seed", MAX_SEED)):
        assert {value} == {bound[t.node]["inputs"][t.input] for t in workflow.contract.parameters[key].targets}
    assert set(CASES[name]["graph"]) <= set(bound), "ids of nodes stay"


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_workflow_imported_again_says_what_its_contract_says(name: str):
    """Targets, types, ranges and choices are those that were written by hand."""
    shipped = load_workflow(ROOT / "workflows" / f"{name}.json")
    again = draft_contract(name, discover(shipped.graph))

    def facts(parameters: Any) -> dict[str, object]:
        wording = {"description", "default"}
        return {key: parameter.model_dump(exclude=wording) for key, parameter in parameters.items()}

    assert facts(shipped.contract.parameters) == facts(again.parameters)
    assert (shipped.contract.native, shipped.contract.output, shipped.contract.prefix) == (
        again.native,
        again.output,
        again.prefix,
    )
    assert {
        key: each.default for key, each in shipped.contract.parameters.items() if each.default not in {None, ""}
    }.items() <= {key: each.default for key, each in again.parameters.items()}.items()


def test_the_known_samplers_and_schedulers_are_all_of_ksamplers_in_its_order():
    nodes = json.loads((ROOT / "tests" / "fixtures" / "comfyui" / "object_info-subset.json").read_text("utf-8"))
    required = nodes["KSampler"]["input"]["required"]

    assert (required["sampler_name"][0], required["scheduler"][0]) == ([*SAMPLERS], [*SCHEDULERS])


# --- prompts


def test_titles_and_texts_never_decide_which_prompt_is_which():
    crossed = graph(n3=sampler(positive=["7", 0], negative=["6", 0]))
    crossed["6"]["_meta"] = {"title": "Positive prompt"}
    crossed["7"]["_meta"] = {"title": "Negative"}

    found = discover(crossed).found

    assert ("7.text", "6.text") == tuple(str(found[name].targets[0]) for name in ("prompt", "negative_prompt"))


def test_a_node_that_crosses_the_prompts_is_followed_by_its_outputs_and_told():
    """ControlNetApplyAdvanced gives positive, then negative; here the sampler takes them the other way round."""
    net = node(
        "ControlNetApplyAdvanced",
        strength=1.0,
        positive=["6", 0],
        negative=["7", 0],
        control_net=["11", 0],
        image=["12", 0],
    )
    found = discover(
        graph(
            n3=sampler(positive=["10", 1], negative=["10", 0]),
            n10=net,
            n11=node("ControlNetLoader", control_net_name="c.safetensors"),
            n12=node("LoadImage", image="a.png"),
        )
    )  # fmt: skip

    assert ("7.text", "6.text") == tuple(str(found.found[name].targets[0]) for name in ("prompt", "negative_prompt"))
    assert "The sampler's positive input comes from the negative of 10 (ControlNetApplyAdvanced)." in found.doubts


def test_an_unknown_nodes_output_names_decide_where_a_worker_tells_them():
    """Its first output is the negative prompt; nothing but the worker's own description says so."""
    odd = graph(
        n3=sampler(positive=["10", 1], negative=["10", 0]), n10=node("Odd", positive=["6", 0], negative=["7", 0])
    )
    info = {"Odd": {"input": {"required": {}}, "output": ["CONDITIONING"] * 2, "output_name": ["negative", "positive"]}}

    for object_info in (None, info):
        found = discover(odd, object_info).found
        assert ("6.text", "7.text") == tuple(str(found[name].targets[0]) for name in ("prompt", "negative_prompt"))


def test_one_text_for_both_sides_is_the_prompt_and_never_the_negative_one():
    found = discover(graph(n3=sampler(negative=["6", 0])))

    assert ["6.text"] == [str(target) for target in found.found["prompt"].targets]
    assert "negative_prompt" not in found.found
    assert any("made of one text" in doubt for doubt in found.doubts)
    assert ["negative_prompt"] == [absent.name for absent in found.absent]


def test_a_negative_prompt_that_is_zeroed_out_is_none():
    found = discover(graph(n3=sampler(negative=["10", 0]), n10=node("ConditioningZeroOut", conditioning=["6", 0])))

    assert ("6.text", False) == (str(found.found["prompt"].targets[0]), "negative_prompt" in found.found)


def test_a_prompt_that_a_model_writes_is_not_taken_and_that_is_said():
    found = discover(
        graph(
            n6=node("CLIPTextEncode", text=["10", 0], clip=["4", 1]),
            n10=node("Florence2Run", text_input="describe", image=["11", 0]),
            n11=node("LoadImage", image="a.png"),
        )
    )

    assert "prompt" not in found.found
    assert any("6.text is made by 10 (Florence2Run)" in doubt for doubt in found.doubts)


def test_two_empty_negative_prompts_are_one():
    """A refiner's encoder beside the base's; a sheet's negative prompt must reach both."""
    found = discover(
        graph(
            n3=sampler(negative=["10", 0]),
            n7=node("CLIPTextEncode", text="", clip=["4", 1]),
            n10=node("ConditioningConcat", conditioning_to=["7", 0], conditioning_from=["11", 0]),
            n11=node("CLIPTextEncode", text=" ", clip=["4", 1]),
        )
    )

    assert ["7.text", "11.text"] == [str(target) for target in found.found["negative_prompt"].targets]
    assert "negative_prompt_2" not in found.found


def test_texts_that_are_joined_over_and_over_are_followed_once():
    """Thirty nodes that each join the one before with itself: 2^30 ways to one text."""
    joined = {
        f"n{number}": node("StringConcatenate", string_a=[str(number - 1), 0], string_b=[str(number - 1), 0])
        for number in range(21, 51)
    }
    found = discover(
        graph(
            n6=node("CLIPTextEncode", text=["50", 0], clip=["4", 1]), n20=node("PrimitiveString", value="a"), **joined
        )
    )

    assert ["20.value"] == [str(target) for target in found.found["prompt"].targets]


def test_rings_end():
    found = discover(
        graph(
            n3=sampler(positive=["10", 0]),
            n10=node("ConditioningCombine", conditioning_1=["11", 0], conditioning_2=["6", 0]),
            n11=node("ConditioningCombine", conditioning_1=["10", 0], conditioning_2=["10", 0]),
        )
    )

    assert ["6.text"] == [str(target) for target in found.found["prompt"].targets]


def test_a_workflows_own_negative_prompt_holds_where_a_row_has_none():
    found = discover(graph())
    workflow = prepared(found.graph, draft_contract("x", found))

    def negative(words: str) -> str:
        request = ImageRequest(prompt="p", negative_prompt=words, width=512, height=512, seed=1)
        return str(bind(workflow, request, "p", {})["7"]["inputs"]["text"])

    assert ("blurry", "rain") == (negative(""), negative("rain"))


# --- sizes, batches, seeds


def test_a_batch_becomes_one_picture_and_that_is_said():
    found = discover(graph(n5=node("EmptyLatentImage", width=512, height=512, batch_size=4)))

    assert 1 == found.graph["5"]["inputs"]["batch_size"]
    assert any("batch_size was 4 and is 1 now" in note for note in found.notes)


def test_the_given_graph_is_not_changed():
    given = graph(
        n5=node("EmptyLatentImage", width=["10", 0], height=["10", 0], batch_size=2),
        n10=node("PrimitiveInt", value=640),
    )
    before = copy.deepcopy(given)  # fmt: skip

    discover(given)

    assert before == given


@pytest.mark.parametrize(
    ("scale", "step", "native"),
    [(2, 16, 1024), (1.5, 24, 768), (1.25, 40, 640), (0.5, 8, 256), (4, 32, 2048)],
)
def test_sizes_come_in_steps_that_every_pass_can_make(scale: float, step: int, native: int):
    """In latents: an eighth of the first pass, times the factor, must be whole."""
    found = discover(
        graph(
            n8=node("VAEDecode", samples=["10", 0], vae=["4", 2]),
            n10=node("LatentUpscaleBy", scale_by=scale, samples=["3", 0]),
        )
    )
    workflow = prepared(found.graph, draft_contract("x", found))

    assert (step, (native, native)) == (found.size_step, found.native)
    for side in range(step * 10, step * 20, step):
        bound = bind(workflow, ImageRequest(prompt="p", width=side, height=side, seed=1), "p", {})
        assert side == bound["5"]["inputs"]["width"] // 8 * scale * 8


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"n9": None}, "No node saves a picture."),
        ({"n9": node("PreviewImage", images=["8", 0])}, 'only shows the picture; .*"Save Image" in its place'),
        ({"n9": node("SaveAnimatedWEBP", filename_prefix="x", images=["8", 0])}, "saves no single picture"),
        (
            {
                "n5": node("EmptyLatentImage", width=["10", 0], height=["10", 1], batch_size=1),
                "n10": node("GetImageSize", image=["11", 0]),
                "n11": node("LoadImage", image="a.png"),
            },
            r"its width comes from 10 \(GetImageSize\).*Type the size into an Empty Latent Image",
        ),
        ({"n5": node("EmptyLatentPreset", resolution="1024x1024")}, r"5 \(EmptyLatentPreset\) begins the picture"),
        (
            {
                "n9": node("SaveImage", filename_prefix="x", images=["10", 0]),
                "n10": node("ImageScaleToTotalPixels", megapixels=1.0, image=["8", 0]),
            },
            "gives the finished picture a size that cannot be asked for",
        ),
        (
            {
                "n8": node("VAEDecode", samples=["10", 0], vae=["4", 2]),
                "n10": node("LatentUpscaleBy", scale_by=1.37, samples=["3", 0]),
            },
            "grows 1.37 times .* steps of 1096 pixels",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_remedy(changed: Graph, reason: str):
    with pytest.raises(WorkflowError, match=reason):
        discover(graph(**changed))


def test_the_picture_that_more_nodes_feed_is_the_result_and_the_other_one_a_doubt():
    found = discover(
        graph(
            n10=node("SaveImage", filename_prefix="big", images=["11", 0]),
            n11=node("ImageScale", upscale_method="area", width=1024, height=1024, crop="disabled", image=["8", 0]),
        )
    )

    assert ("10", (1024, 1024)) == (found.output, found.native)
    assert any("9 (SaveImage) saves too" in doubt for doubt in found.doubts)


def test_a_seed_node_is_unplugged_since_it_takes_smaller_numbers_than_a_sheet_gives():
    found = discover(graph(n3=sampler(seed=["10", 0]), n10=node("Seed (rgthree)", seed=5)))

    assert ["3.seed"] == [str(target) for target in found.found["seed"].targets]
    assert 0 == found.graph["3"]["inputs"]["seed"]
    assert any("3.seed was fed by 10 (Seed (rgthree))" in note for note in found.notes)


def test_a_picture_that_is_loaded_is_fitted_to_the_size_with_its_mask():
    found = discover(
        graph(
            n3=sampler(latent_image=["12", 0], denoise=0.8),
            n5=None,
            n11=node("LoadImage", image="room.png"),
            n12=node("VAEEncodeForInpaint", grow_mask_by=6, pixels=["11", 0], vae=["4", 2], mask=["11", 1]),
        )
    )
    fit, picture, mask, back = (found.graph[key] for key in ("13", "14", "15", "16"))

    assert ["ImageScale", "MaskToImage", "ImageScale", "ImageToMask"] == [
        each["class_type"] for each in (fit, picture, mask, back)
    ]
    assert (["11", 0], ["11", 1], ["14", 0], ["15", 0]) == (
        fit["inputs"]["image"], picture["inputs"]["mask"], mask["inputs"]["image"], back["inputs"]["image"],
    )  # fmt: skip
    assert (["13", 0], ["16", 0]) == tuple(found.graph["12"]["inputs"][name] for name in ("pixels", "mask"))
    assert {"13.width", "15.width"} == {str(target) for target in found.found["width"].targets}


# --- contracts


def test_a_contract_is_written_as_one_would_write_it_by_hand():
    found = discover(graph())
    text = contract_text(draft_contract("cup", found))

    assert "    targets: [6.text]\n" in text
    assert "    targets: [5.width]\n    default: 512\n    minimum: 64\n    maximum: 4096\n    multiple_of: 8\n" in text
    assert text.startswith("# What may be changed in cup.json")
    assert ["prompt", "negative_prompt", "width", "height", "seed"] == [*yaml.safe_load(text)["parameters"]][:5]


def test_a_workers_own_ranges_and_choices_are_taken_and_what_was_exported_is_always_within():
    info = copy.deepcopy(INFO)
    required = info["KSampler"]["input"]["required"]
    required["sampler_name"][0] = ["euler", "house_sampler"]
    required["steps"][1]["max"] = 60
    info["EmptyLatentImage"]["input"]["required"]["width"][1]["max"] = 2048
    found = discover(graph(n3=sampler(cfg=45)), info)
    parameters = draft_contract("x", found, info).parameters

    assert ("euler", "house_sampler") == parameters["sampler"].choices
    assert (60, 2048, 4096) == tuple(parameters[name].maximum for name in ("steps", "width", "height"))
    assert (45.0, 100.0) == (parameters["cfg"].maximum, info["KSampler"]["input"]["required"]["cfg"][1]["max"])
    assert () == parameters["checkpoint"].choices, "files come and go; a sheet's are checked against the fleet"


def test_a_sampler_that_is_not_known_leaves_the_choice_open():
    parameters = draft_contract("x", discover(graph(n3=sampler(scheduler="AYS SDXL")))).parameters

    assert ((), "AYS SDXL") == (parameters["scheduler"].choices, parameters["scheduler"].default)


# --- files and versions


@pytest.mark.parametrize(
    ("file", "name"),
    [("Hero Shot_api.json", "hero-shot"), ("workflow_api.json", "workflow"), ("Größe (2).json", "größe-2")],
)
def test_a_workflow_is_named_after_its_file(file: str, name: str):
    assert name == workflow_name(Path(file))


@pytest.mark.parametrize("name", ["a b", "a:b", "a@b", "a/b", ".a"])
def test_a_name_that_a_sheet_could_not_write_is_refused(name: str):
    with pytest.raises(OptionError, match="letters, digits, - and _"):
        workflow_name(Path("x.json"), name)


def test_a_whole_request_is_unwrapped_and_what_is_no_graph_refused(tmp_path: Path):
    file = tmp_path / "x.json"
    file.write_text(json.dumps({"prompt": graph(), "client_id": "me"}))
    assert graph() == read_export(file)

    file.write_text("{")
    with pytest.raises(WorkflowError, match=r"x.json is no JSON: .*Export \(API\)"):
        read_export(file)
    with pytest.raises(OptionError, match=r"gone\.json cannot be read"):
        read_export(tmp_path / "gone.json")
    with pytest.raises(WorkflowError, match="The graph node 1: has no `class_type`"):
        propose({"1": {}}, "x", tmp_path, {})


def test_the_editors_file_without_a_worker_is_told_how_to_export(tmp_path: Path):
    with pytest.raises(WorkflowError, match=r"as the editor saves it.*Workflow > Export \(API\).*--lane"):
        propose({"nodes": [], "links": []}, "x", tmp_path, {})


def test_both_files_are_written_and_read_back_as_the_same_workflow(tmp_path: Path):
    proposal = propose(graph(), "cup", tmp_path, {})
    files = write_workflow(tmp_path, proposal.workflow)

    assert (tmp_path / "cup.json", tmp_path / "cup.contract.yaml") == files
    assert proposal.workflow == load_workflows(tmp_path)["cup"]
    assert set(files) == set(tmp_path.iterdir()), "no draft is left"
    assert (proposal.replaces, proposal.overwrites) == (None, False)


def test_the_same_export_again_changes_nothing(tmp_path: Path):
    write_workflow(tmp_path, propose(graph(), "cup", tmp_path, {}).workflow)
    titled = graph()
    titled["6"]["_meta"] = {"title": "What it shows"}

    again = propose(titled, "cup", tmp_path, {})

    assert (True, ()) == (again.overwrites, again.changes)
    assert again.replaces is not None
    assert again.replaces.sha256 == again.workflow.sha256


def test_a_new_version_says_what_it_changes(tmp_path: Path):
    old = propose(graph(), "cup", tmp_path, {}).workflow
    new = propose(
        graph(
            n3=sampler(steps=30, model=["10", 0]),
            n10=node("LoraLoaderModelOnly", lora_name="l.safetensors", strength_model=1.0, model=["4", 0]),
        ),
        "cup",
        tmp_path,
        {},
    ).workflow

    assert (
        "parameter lora is new",
        "parameter lora_strength is new",
        "steps is 30 by default instead of 20",
        "model file models/loras/l.safetensors is new",
        "node 10 (LoraLoaderModelOnly) is new",
        "node 3 (KSampler) is wired anew: model",
    ) == changes(old, new)
    assert () == changes(old, old)


def test_what_people_wrote_into_a_contract_outlives_a_new_export(tmp_path: Path):
    """Words, narrower ranges, profiles, and that a sheet must give a value; targets and defaults are the export's."""
    write_workflow(tmp_path, propose(graph(), "cup", tmp_path, {}).workflow)
    path = tmp_path / "cup.contract.yaml"
    edited = yaml.safe_load(path.read_text())
    edited["description"] = "Cups."
    edited["parameters"]["steps"] |= {"maximum": 40, "description": "Rounds."}
    edited["parameters"]["sampler"]["choices"] = ["euler", "ddim"]
    edited["parameters"]["checkpoint"].pop("default")
    edited["profiles"] = {"draft": {"steps": 8}, "slow": {"steps": 40}}
    path.write_text(yaml.safe_dump(edited))

    proposal = propose(graph(n3=sampler(steps=25, cfg=5.0)), "cup", tmp_path, {})
    contract = proposal.workflow.contract
    steps = contract.parameters["steps"]

    assert ("Cups.", 25, 40, "Rounds.") == (contract.description, steps.default, steps.maximum, steps.description)
    assert ("euler", "ddim") == contract.parameters["sampler"].choices
    assert None is contract.parameters["checkpoint"].default
    assert {"draft": {"steps": 8}, "slow": {"steps": 40}} == contract.profiles
    assert ("steps is 25 by default instead of 20", "cfg is 5.0 by default instead of 8.0") == proposal.changes[:2]
    assert ("ranges and words of the contract", "profile draft", "profile slow", "its description") == proposal.kept


def test_what_the_worker_lacks_is_told_with_the_nearest_name(tmp_path: Path):
    info = copy.deepcopy(INFO)
    info["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0] = ["base_v2.safetensors"]
    info.pop("KSampler")

    notes = propose(graph(), "cup", tmp_path, info).notes

    assert (
        "The worker has no node class KSampler.",
        "The worker has no models/checkpoints/base.safetensors. Nearest: base_v2.safetensors.",
    ) == notes


def test_the_files_that_a_workflow_needs_are_named_with_their_folders():
    needed = {
        name: [str(file) for file in needed_files(load_workflow(ROOT / "workflows" / f"{name}.json"))]
        for name in SHIPPED
    }

    assert ["models/checkpoints/sd_xl_base_1.0.safetensors"] == needed["sdxl-lora"], "the sheet names the LoRA"
    assert [
        "models/checkpoints/sd_xl_base_1.0.safetensors",
        "models/controlnet/OpenPoseXL2.safetensors",
    ] == needed["sdxl-controlnet-pose"]  # fmt: skip
