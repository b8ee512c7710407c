"""Workflows: what is wrong with files and contracts, what bind sets, and that ComfyUI accepted just these graphs."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from assetline.errors import WorkflowError
from assetline.records import MAX_SEED, ImageRequest
from assetline.workflow import (
    Contract,
    Parameter,
    Target,
    Workflow,
    affinity,
    bind,
    defaults,
    describe,
    load_workflow,
    load_workflows,
    model_files,
    value_problem,
)

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "workflows"
FIXTURES = ROOT / "tests" / "fixtures" / "comfyui"
NAMES = ("sd15-txt2img", "sdxl-controlnet-pose", "sdxl-lora", "sdxl-refine", "sdxl-txt2img")
NUMBERS = ("INT", "FLOAT")

GRAPH: dict[str, Any] = {
    "3": {
        "class_type": "KSampler",
        "inputs": {"seed": 7, "steps": 20, "sampler_name": "euler", "latent_image": ["5", 0]},
    },
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cup"}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["3", 0]}},
}
CONTRACT: dict[str, Any] = {
    "name": "small",
    "description": "A graph for tests.",
    "native": [512, 512],
    "prefix": "9.filename_prefix",
    "output": 9,
    "parameters": {
        "prompt": {"type": "str", "targets": ["6.text"]},
        "width": {"type": "int", "targets": ["5.width"], "minimum": 64, "maximum": 2048, "multiple_of": 8},
        "height": {"type": "int", "targets": ["5.height"], "minimum": 64, "maximum": 2048, "multiple_of": 8},
        "seed": {"type": "int", "targets": ["3.seed"], "minimum": 0, "maximum": MAX_SEED},
        "steps": {"type": "int", "targets": ["3.steps"], "default": 20, "minimum": 1, "maximum": 60},
    },
}


@pytest.fixture(scope="module")
def workflows() -> dict[str, Workflow]:
    return load_workflows(FOLDER)


def write(folder: Path, *, name: str = "small", graph: object = GRAPH, contract: object = CONTRACT) -> Path:
    """A workflow's two files; a contract of None is left out, a text is written as it is."""
    graph_file = folder / f"{name}.json"
    graph_file.write_text(graph if isinstance(graph, str) else json.dumps(graph))
    if contract is not None:
        text = contract if isinstance(contract, str) else yaml.safe_dump(contract, sort_keys=False)
        (folder / f"{name}.contract.yaml").write_text(text)
    return graph_file


def contract_with(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(CONTRACT) | changes


def parameters_with(**changes: Any) -> dict[str, Any]:
    """The small contract with parameters added or, where None, taken out."""
    merged = copy.deepcopy(CONTRACT["parameters"]) | changes
    return contract_with(parameters={name: value for name, value in merged.items() if value is not None})


def faults_of(graph_file: Path) -> list[str]:
    with pytest.raises(WorkflowError) as caught:
        load_workflow(graph_file)
    return str(caught.value).splitlines()


def request(**fields: Any) -> ImageRequest:
    return ImageRequest(**({"prompt": "a red fox", "width": 512, "height": 768, "seed": 5} | fields))


def recorded(name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((FIXTURES / f"validation-{name}.json").read_text("utf-8"))
    return record


# --- what ComfyUI accepted


@pytest.mark.parametrize("name", NAMES)
def test_bind_gives_the_very_graph_that_comfyui_accepted(workflows: dict[str, Workflow], name: str):
    """Submit a changed workflow to a real POST /prompt again and record the exchange in validation-NAME.json."""
    record = recorded(name)

    bound = bind(workflows[name], ImageRequest.model_validate(record["request"]), record["prefix"], record["images"])

    assert record["accepted"]["prompt"] == bound, f"{name} changed: validate it on a real ComfyUI and record that again"
    assert {"prompt_id": f"validation-{name}", "node_errors": {}} == {
        key: record["accepted"]["response"][key] for key in ("prompt_id", "node_errors")
    }
    assert (record["accepted"]["status"], record["refused"]["status"]) == (200, 400)


@pytest.mark.parametrize("name", NAMES)
def test_the_recorded_validation_really_looked_at_the_values(name: str):
    refused = recorded(name)["refused"]

    assert [refused["change"]["node"]] == list(refused["response"]["node_errors"])


@pytest.mark.parametrize("name", NAMES)
def test_each_contract_keeps_to_what_comfyui_lists_for_its_nodes(workflows: dict[str, Workflow], name: str):
    """Ranges lie within the node's own, choices are all of the node's, in its order (object_info of 0.3.64)."""
    nodes = json.loads((FIXTURES / "object_info-subset.json").read_text("utf-8"))
    for parameter in workflows[name].contract.parameters.values():
        for target in parameter.targets:
            kind, *options = nodes[workflows[name].graph[target.node]["class_type"]]["input"]["required"][target.input]
            if kind in NUMBERS:
                assert {"INT": "int", "FLOAT": "float"}[kind] == parameter.type
                assert options[0]["min"] <= parameter.minimum
                assert parameter.maximum <= options[0]["max"]
                assert parameter.type == "float" or (parameter.multiple_of or 1) % options[0].get("step", 1) == 0
            elif parameter.choices:
                assert kind == list(parameter.choices)


@pytest.mark.parametrize("name", NAMES)
def test_opened_in_comfyui_each_graph_shows_the_contracts_defaults(workflows: dict[str, Workflow], name: str):
    """The template must not tell an art director other values than those that will be used."""
    workflow = workflows[name]
    shown = {
        (parameter, str(target)): workflow.graph[target.node]["inputs"][target.input]
        for parameter, known in workflow.contract.parameters.items()
        for target in known.targets
        if known.default not in (None, "")
    }

    assert {
        (parameter, str(target)): target.scaled(workflow.contract.parameters[parameter].default)
        for parameter, known in workflow.contract.parameters.items()
        for target in known.targets
        if known.default not in (None, "")
    } == shown


# --- the five as they are asked for


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sd15-txt2img", ("AWPainting_v1.3.safetensors", (512, 512), 20, "euler", "normal", 8.0)),
        ("sdxl-txt2img", ("sd_xl_base_1.0.safetensors", (1024, 1024), 25, "euler_ancestral", "normal", 7.5)),
    ],
)
def test_the_plain_workflows_have_the_promised_defaults(
    workflows: dict[str, Workflow], name: str, expected: tuple[Any, ...]
):
    values = defaults(workflows[name])

    assert expected == (
        values["checkpoint"],
        workflows[name].contract.native,
        *(values[key] for key in ("steps", "sampler", "scheduler", "cfg")),
    )


def test_the_draft_profile_replaces_only_what_it_names(workflows: dict[str, Workflow]):
    workflow = workflows["sd15-txt2img"]

    assert dict(defaults(workflow, "draft").items() - defaults(workflow).items()) == {
        "steps": 15,
        "sampler": "dpmpp_2m",
    }


def test_an_unknown_profile_names_those_there_are(workflows: dict[str, Workflow]):
    with pytest.raises(WorkflowError, match=r"sd15-txt2img has no profile 'draf'; it has: draft\."):
        defaults(workflows["sd15-txt2img"], "draf")
    with pytest.raises(WorkflowError, match=r"sdxl-lora has no profile 'draft'; it has none\."):
        defaults(workflows["sdxl-lora"], "draft")


def test_lora_strength_goes_to_model_and_clip(workflows: dict[str, Workflow]):
    graph = bind(
        workflows["sdxl-lora"], request(parameters={"lora": "fox.safetensors", "lora_strength": 0.35}), "p", {}
    )

    assert [graph["10"]["inputs"][name] for name in ("lora_name", "strength_model", "strength_clip")] == [
        "fox.safetensors",
        0.35,
        0.35,
    ]


@pytest.mark.parametrize(("name", "missing"), [("sdxl-lora", "lora"), ("sdxl-controlnet-pose", "reference_image")])
def test_what_has_no_default_must_be_given(workflows: dict[str, Workflow], name: str, missing: str):
    with pytest.raises(WorkflowError, match=f"^Workflow {name}: {missing}: is missing and has no default"):
        bind(workflows[name], request(), "p", {})


@pytest.mark.parametrize(
    ("size", "first_pass"),
    [
        ((1536, 1536), (1024, 1024)),
        ((1024, 1280), (680, 856)),
        ((4096, 64), (2728, 40)),
        ((64, 72), (40, 48)),
    ],
)
def test_refine_begins_at_two_thirds_and_ends_at_exactly_the_size_asked_for(
    workflows: dict[str, Workflow], size: tuple[int, int], first_pass: tuple[int, int]
):
    graph = bind(workflows["sdxl-refine"], request(width=size[0], height=size[1]), "p", {})

    assert (first_pass, size) == tuple(
        (graph[node]["inputs"]["width"], graph[node]["inputs"]["height"]) for node in ("5", "10")
    )


def test_refine_sets_both_passes_and_only_the_second_repaints_in_part(workflows: dict[str, Workflow]):
    graph = bind(workflows["sdxl-refine"], request(parameters={"steps": 30, "denoise": 0.4}), "p", {})

    assert [tuple(graph[node]["inputs"][name] for name in ("seed", "steps", "denoise")) for node in ("3", "11")] == [
        (5, 30, 1.0),
        (5, 18, 0.4),
    ]


# --- bind


def test_bind_sets_every_mapped_input_even_where_the_request_says_nothing(tmp_path: Path):
    """A value of the template that shows through is how a fixed seed or the last export's prompt gets into a campaign."""
    workflow = load_workflow(write(tmp_path))
    for node in workflow.graph.values():
        node["inputs"] |= {name: "STALE" for name, value in node["inputs"].items() if not isinstance(value, list)}

    graph = bind(workflow, request(), "job-1", {})

    assert {node_id: node["inputs"] for node_id, node in graph.items()} == {
        "3": {"seed": 5, "steps": 20, "sampler_name": "STALE", "latent_image": ["5", 0]},
        "5": {"width": 512, "height": 768},
        "6": {"text": "a red fox"},
        "9": {"filename_prefix": "job-1", "images": ["3", 0]},
    }


@pytest.mark.parametrize("name", NAMES)
def test_bind_never_changes_the_template_nor_shares_with_it(workflows: dict[str, Workflow], name: str):
    workflow, record = workflows[name], recorded(name)
    before = copy.deepcopy(workflow.graph)

    graph = bind(workflow, ImageRequest.model_validate(record["request"]), "p", record["images"])
    for node in graph.values():
        for value in node["inputs"].values():
            if isinstance(value, list):
                value.append("spoiled")
        node["inputs"].clear()

    assert before == workflow.graph


@pytest.mark.parametrize("seed", [0, 2**53 + 1, MAX_SEED])
def test_the_seed_stays_the_same_whole_number_through_json(workflows: dict[str, Workflow], seed: int):
    graph = bind(workflows["sd15-txt2img"], request(seed=seed), "p", {})

    bound = json.loads(json.dumps(graph))["3"]["inputs"]["seed"]
    assert (seed, int) == (bound, type(bound))


@pytest.mark.parametrize(
    ("given", "bound"),
    [({"steps": 12.0}, 12), ({"steps": 12}, 12), ({"cfg": 7}, 7.0), ({"cfg": 6.5}, 6.5)],
)
def test_a_number_gets_the_parameters_own_type(workflows: dict[str, Workflow], given: dict[str, Any], bound: float):
    """8 and 8.0 are one picture, so they must be one graph."""
    graph = bind(workflows["sd15-txt2img"], request(parameters=given), "p", {})

    value = graph["3"]["inputs"][next(iter(given))]
    assert (bound, type(bound)) == (value, type(value))


def test_bind_names_every_value_that_it_cannot_use(workflows: dict[str, Workflow]):
    wrong = request(width=510, parameters={"steps": 2000, "cfg": "high", "sampler": "dpmp_2m", "clip_skip": 2})

    with pytest.raises(WorkflowError) as caught:
        bind(workflows["sd15-txt2img"], wrong, "p", {})

    assert str(caught.value).splitlines()[:4] == [
        (
            "Workflow sd15-txt2img: clip_skip: is not one of its parameters. Known: prompt, negative_prompt, width, height,"
            " seed, steps, cfg, sampler, scheduler, checkpoint."
        ),
        "Workflow sd15-txt2img: width: 510 is not a whole number from 64 to 4096 in steps of 8.",
        "Workflow sd15-txt2img: steps: 2000 is not a whole number from 1 to 150.",
        "Workflow sd15-txt2img: cfg: 'high' is not a number from 0.0 to 30.0.",
    ]
    assert re.search(r"sampler: 'dpmp_2m' is not one of 42 names: .*; nearest: dpmpp_2m,", str(caught.value))


def test_the_picture_gets_the_name_that_the_worker_answered(workflows: dict[str, Workflow]):
    pose = request(references={"reference_image": "ab" * 32})

    graph = bind(workflows["sdxl-controlnet-pose"], pose, "p", {"reference_image": "assetline/pose (1).png"})

    assert graph["10"]["inputs"]["image"] == "assetline/pose (1).png"


def test_a_picture_that_was_not_sent_to_the_worker_is_an_error(workflows: dict[str, Workflow]):
    pose = request(references={"reference_image": "ab" * 32})

    with pytest.raises(WorkflowError, match="reference_image: the picture was not sent to the worker"):
        bind(workflows["sdxl-controlnet-pose"], pose, "p", {})


def test_a_picture_for_a_workflow_that_takes_none_is_an_error(workflows: dict[str, Workflow]):
    with pytest.raises(WorkflowError, match="reference_image: is not one of its parameters"):
        bind(workflows["sd15-txt2img"], request(), "p", {"reference_image": "pose.png"})


def test_a_negative_prompt_is_refused_only_where_it_would_be_lost(tmp_path: Path):
    """The small workflow has none, as those of distilled models have."""
    workflow = load_workflow(write(tmp_path))

    assert bind(workflow, request(negative_prompt=""), "p", {})["6"]["inputs"]["text"] == "a red fox"
    with pytest.raises(WorkflowError, match="negative_prompt: is not one of its parameters"):
        bind(workflow, request(negative_prompt="blurry"), "p", {})


@pytest.mark.parametrize(
    ("parameter", "value", "fits"),
    [
        ({"type": "int", "minimum": 1, "maximum": 3}, 3, True),
        ({"type": "int", "minimum": 1, "maximum": 3}, 4, False),
        ({"type": "int"}, 2.5, False),
        ({"type": "int"}, 2.0, True),
        ({"type": "int"}, 2.0**60, False),
        ({"type": "int"}, 10**400, True),
        ({"type": "int"}, True, False),
        ({"type": "int", "maximum": MAX_SEED}, 2**64, False),
        ({"type": "int", "maximum": MAX_SEED}, MAX_SEED, True),
        ({"type": "float"}, float("nan"), False),
        ({"type": "float"}, float("inf"), False),
        ({"type": "float", "minimum": 0.0}, 0, True),
        ({"type": "float"}, "1.5", False),
        ({"type": "int", "multiple_of": 8}, 1020, False),
        ({"type": "str"}, "", True),
        ({"type": "str"}, 15, False),
        ({"type": "str", "choices": ("euler",)}, "Euler", False),
        ({"type": "image"}, "pose.png", True),
        ({"type": "image"}, 3, False),
    ],
)
def test_a_value_fits_a_parameter_or_the_reason_is_said(parameter: dict[str, Any], value: Any, fits: bool):
    problem = value_problem(Parameter(targets=(Target(node="1", input="x"),), **parameter), value)

    assert fits == (problem == "")


# --- files


def test_all_five_load_and_their_hashes_differ(workflows: dict[str, Workflow]):
    assert tuple(workflows) == NAMES
    assert len({workflow.sha256 for workflow in workflows.values()}) == 5


def test_the_readmes_example_of_a_contract_loads(tmp_path: Path):
    text = (FOLDER / "README.md").read_text("utf-8")
    example = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert example is not None

    workflow = load_workflow(write(tmp_path, name="my-look", contract=re.sub(r"(?m)^   ", "", example[1])))

    assert defaults(workflow, "draft") == {"steps": 12}


def test_the_editors_file_is_told_how_to_export_the_other(tmp_path: Path):
    graph_file = write(tmp_path, graph={"nodes": [], "links": [], "version": 0.4})

    assert faults_of(graph_file) == [
        (
            "small.json: is a workflow as the editor saves it (`nodes`, `links`), which cannot be submitted."
            " In ComfyUI choose Workflow > Export (API) and take that file."
        )
    ]


@pytest.mark.parametrize(
    ("graph", "fault"),
    [
        ("{", "small.json: cannot be read: Expecting property name"),
        ('{"3": {"class_type": "X", "inputs": {"a": NaN}}}', "small.json: cannot be read: NaN is no JSON"),
        ([], "small.json: is not a graph of nodes."),
        ({"prompt": GRAPH}, "small.json: is a whole request; keep only what is under `prompt`."),
        ({"prompt": 3}, "small.json: node prompt: has no `class_type` and `inputs`."),
        (GRAPH | {"7": {"inputs": {}}}, "small.json: node 7: has no `class_type` and `inputs`."),
        (
            GRAPH | {"7": {"class_type": "VAEDecode", "inputs": {"samples": ["33", 0]}}},
            "small.json: node 7: input samples is linked to node 33, which is not in the graph.",
        ),
    ],
)
def test_a_graph_that_cannot_be_submitted_is_named_with_its_place(tmp_path: Path, graph: object, fault: str):
    (first,) = faults_of(write(tmp_path, graph=graph))

    assert first.startswith(fault)


NODES = "3 (KSampler), 5 (EmptyLatentImage), 6 (CLIPTextEncode), 9 (SaveImage)"


@pytest.mark.parametrize(
    ("contract", "fault"),
    [
        (contract_with(name="other"), "name: is 'other'; it must be 'small', as the file is called."),
        (contract_with(output="8"), f"output: there is no node '8' in the graph. It has: {NODES}."),
        (
            contract_with(prefix="9.prefix"),
            "prefix: node 9 (SaveImage) has no input 'prefix'. It has: filename_prefix, images.",
        ),
        (
            contract_with(equivalent={"replicate": {"model": "sdxl", "parameters": {"guidance": "cfg"}}}),
            "equivalent.replicate.parameters.guidance: is not a parameter of this workflow. Known: ",
        ),
        (
            contract_with(equivalent={"replicate": {"model": "sdxl", "values": {"cfg": {"7": 7}}}}),
            "equivalent.replicate.values.cfg: is not among its parameters. There: ",
        ),
        (
            contract_with(equivalent={"replicate": {"model": "sdxl", "valeus": {}}}),
            "equivalent.replicate.valeus: is not a known key. Known: model, parameters, values.",
        ),
        (
            contract_with(preffix="9.x"),
            "preffix: is not a known key. Known: name, description, native, prefix, output, parameters, profiles, equivalent.",
        ),
        (
            parameters_with(steps={"type": "int", "targets": ["3.steps"], "defualt": 20}),
            (
                "parameters.steps.defualt: is not a known key. Known: targets, type, default, minimum, maximum, multiple_of,"
                " choices, description."
            ),
        ),
        (
            parameters_with(steps={"type": "int", "targets": [{"node": 3, "input": "steps", "scale": 2}]}),
            "parameters.steps.targets.0.scale: is not a known key. Known: node, input, factor, multiple_of.",
        ),
        (parameters_with(cfg={"type": "float"}), "parameters.cfg.targets: is missing."),
        (
            parameters_with(cfg={"type": "float", "targets": []}),
            "parameters.cfg: targets: names no input that it sets.",
        ),
        (
            parameters_with(cfg={"type": "float", "targets": ["3.cfg"]}),
            "parameters.cfg: node 3 (KSampler) has no input 'cfg'. It has: seed, steps, sampler_name, latent_image.",
        ),
        (
            parameters_with(cfg={"type": "float", "targets": ["33.cfg"]}),
            f"parameters.cfg: there is no node '33' in the graph. It has: {NODES}.",
        ),
        (
            parameters_with(latent={"type": "str", "targets": ["3.latent_image"]}),
            (
                "parameters.latent: node 3 (KSampler): input 'latent_image' is linked to another node and takes no value;"
                " map that node's input."
            ),
        ),
        (
            parameters_with(steps={"type": "int", "targets": ["3.sampler_name"]}),
            "parameters.steps: node 3 (KSampler): input 'sampler_name' holds 'euler' in the graph, which is another type.",
        ),
        (
            parameters_with(steps={"type": "int", "targets": ["3.steps"], "default": 90, "maximum": 60}),
            "parameters.steps: default: 90 is not a whole number up to 60.",
        ),
        (
            parameters_with(steps={"type": "int", "targets": ["3.steps"], "default": [1]}),
            "parameters.steps.default: [1] is neither a number nor text.",
        ),
        (
            parameters_with(steps={"type": "int", "targets": ["3.steps"], "minimum": 9, "maximum": 6}),
            "parameters.steps: minimum 9 is above maximum 6.",
        ),
        (
            parameters_with(sampler={"type": "str", "targets": ["3.sampler_name"], "maximum": 6}),
            "parameters.sampler: minimum, maximum and multiple_of are for numbers; the type is str.",
        ),
        (
            parameters_with(steps={"type": "int", "targets": ["3.steps"], "choices": ["a"]}),
            "parameters.steps: choices are for text; the type is int.",
        ),
        (
            parameters_with(steps={"type": "float", "targets": [{"node": 3, "input": "steps", "factor": 0.5}]}),
            "parameters.steps: a target has a factor, which is for whole numbers; the type is float.",
        ),
        (parameters_with(width=None), "parameters.width: is missing; every workflow must say which node takes it."),
        (parameters_with(again={"type": "int", "targets": ["3.seed"]}), "3.seed is set 2 times; once is enough."),
        (contract_with(native=[500, 512]), "native: width 500 is not a whole number from 64 to 2048 in steps of 8."),
        (
            contract_with(profiles={"draft": {"step": 3}}),
            "profiles.draft.step: is not a parameter of this workflow. Known: prompt, width, height, seed, steps.",
        ),
        (
            contract_with(profiles={"draft": {"steps": 61}}),
            "profiles.draft.steps: 61 is not a whole number from 1 to 60.",
        ),
        ("name: [", "cannot be read: line 2: did not find expected node content."),
        ("just words", "'just words' cannot be used: Input should be a valid dictionary or instance of Contract."),
    ],
)
def test_a_contract_that_does_not_fit_is_named_with_its_place(tmp_path: Path, contract: object, fault: str):
    (first, *others) = faults_of(write(tmp_path, contract=contract))

    assert first.startswith(f"small.contract.yaml: {fault}")
    assert others == []


def test_all_faults_of_all_files_come_at_once(tmp_path: Path):
    write(tmp_path, name="a", contract=None)
    write(tmp_path, name="b", graph="{", contract=contract_with(name="c", native=[1, 512]))
    write(tmp_path, name="small")
    write(tmp_path, name="d", contract=CONTRACT)
    (tmp_path / "orphan.contract.yaml").write_text("name: orphan")

    with pytest.raises(WorkflowError) as caught:
        load_workflows(tmp_path)

    starts = (
        "orphan.contract.yaml: there is no graph",
        "a.contract.yaml: is missing; write",
        "b.json: cannot be read:",
        "b.contract.yaml: name: is 'c'",
        "b.contract.yaml: native: width 1 is not",
        "d.contract.yaml: name: is 'small'",
    )
    lines = str(caught.value).splitlines()
    assert tuple(line[: len(start)] for line, start in zip(lines, starts, strict=True)) == starts


def test_a_folder_that_is_not_there_is_an_error_and_an_empty_one_is_not(tmp_path: Path):
    assert load_workflows(tmp_path) == {}
    with pytest.raises(WorkflowError, match=r"There is no folder of workflows at .*nowhere"):
        load_workflows(tmp_path / "nowhere")


# --- identity


def test_the_hash_follows_what_makes_the_picture_and_not_the_wording(tmp_path: Path):
    def sha256(graph: dict[str, Any] = GRAPH, contract: dict[str, Any] = CONTRACT) -> str:
        return load_workflow(write(tmp_path, graph=graph, contract=contract)).sha256

    titled = copy.deepcopy(GRAPH)
    titled["3"]["_meta"] = {"title": "The sampler"}
    unmapped = copy.deepcopy(GRAPH)
    unmapped["3"]["inputs"]["sampler_name"] = "heun"
    steps = CONTRACT["parameters"]["steps"]

    assert sha256() == sha256(graph=titled)
    assert sha256() == sha256(contract=contract_with(description="Other words."))
    assert sha256() == sha256(contract=parameters_with(steps=steps | {"description": "How long."}))
    assert sha256() == sha256(graph=dict(reversed(GRAPH.items())))
    assert len({sha256(), sha256(graph=unmapped), sha256(contract=parameters_with(steps=steps | {"default": 21}))}) == 3


def test_model_files_are_told_by_their_ending_whatever_the_node():
    graph = {
        "1": {"class_type": "UnetLoaderGGUF", "inputs": {"unet_name": "flux/dev-Q4.GGUF"}},
        "2": {"class_type": "VAELoader", "inputs": {"vae_name": "ae.safetensors"}},
        "3": {
            "class_type": "Again",
            "inputs": {"vae": "ae.safetensors", "link": ["1", 0], "text": "a .pth of light", "n": 3},
        },
    }

    assert model_files(graph) == ("ae.safetensors", "flux/dev-Q4.GGUF")


def test_affinity_is_of_model_files_and_wiring_and_nothing_else(workflows: dict[str, Workflow]):
    lora = workflows["sdxl-lora"]

    def of(workflow: Workflow = lora, **fields: Any) -> str:
        parameters = {"lora": "a.safetensors"} | fields.pop("parameters", {})
        return affinity(workflow, request(parameters=parameters, **fields))

    assert of() == of(prompt="other", seed=9, width=1024, parameters={"steps": 3, "lora_strength": 0.2})
    assert of() == of(parameters={"checkpoint": "sd_xl_base_1.0.safetensors"})
    assert (
        len(
            {
                of(),
                of(parameters={"lora": "b.safetensors"}),
                of(parameters={"checkpoint": "b.safetensors"}),
                *(affinity(workflows[name], request()) for name in ("sdxl-txt2img", "sdxl-refine")),
            }
        )
        == 5
    )


# --- inspect


def test_describe_tells_each_parameter_with_its_range_default_and_nodes(workflows: dict[str, Workflow]):
    lines = {line.name: line for line in describe(workflows["sdxl-lora"])}

    assert tuple(workflows["sdxl-lora"].contract.parameters) == tuple(lines)
    assert (lines["lora_strength"].range, lines["lora_strength"].default, lines["lora_strength"].targets) == (
        "number from -5.0 to 5.0",
        0.8,
        ("10.strength_model (LoraLoader)", "10.strength_clip (LoraLoader)"),
    )
    assert (lines["lora"].range, lines["lora"].default) == ("text", None)
    assert all(line.description for line in lines.values())


@pytest.mark.parametrize(
    ("short", "node", "name"),
    [("6.text", "6", "text"), ("57:8.resize_type.width", "57:8", "resize_type.width")],
)
def test_the_short_form_of_a_target_splits_at_the_first_dot(short: str, node: str, name: str):
    assert Target(node=node, input=name) == Target.model_validate(short)


def test_a_nodes_number_may_be_written_without_quotes():
    contract = Contract.model_validate(CONTRACT)

    assert (contract.output, str(contract.prefix)) == ("9", "9.filename_prefix")
