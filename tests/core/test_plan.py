"""A sheet becomes requests: fan-out, seeds, sizes, parameters against contracts, lanes, and every problem at its cell."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assetline.catalogue import Catalogue, Style
from assetline.errors import AssetlineError, OptionError
from assetline.plan import CODES, CampaignPlan, World, campaign_slug, plan_campaign, quote
from assetline.plan.sizes import size_for
from assetline.records import FPO_MODEL, MAX_SEED, Cell, Problem, Row, Size
from assetline.sheet import Sheet
from assetline.workflow import Contract, Parameter, Target, Workflow

PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0IHDR\0\0\0\0" + b"\0\0\0\0IEND\0\0\0\0"  # whole by its structure


def parameter(type_: str, default: object = None, **more: object) -> Parameter:
    return Parameter.model_validate({"targets": ["1.x"], "type": type_, "default": default, **more})


SIDE = parameter("int", 1024, minimum=64, maximum=2048, multiple_of=8)
FIELDS = {
    "prompt": parameter("str"),
    "negative_prompt": parameter("str", ""),
    "width": SIDE,
    "height": SIDE,
    "seed": parameter("int"),
}
BASE = FIELDS | {
    "steps": parameter("int", 25, minimum=1, maximum=150),
    "cfg": parameter("float", 7.5, minimum=0, maximum=30),
    "sampler": parameter("str", "euler", choices=["euler", "dpmpp_2m", "euler_ancestral"]),
    "checkpoint": parameter("str", "base.safetensors"),
}


def workflow(
    name: str, parameters: Mapping[str, Parameter], native: int = 1024, **profiles: dict[str, object]
) -> Workflow:
    prefix = Target(node="9", input="filename_prefix")
    facts = {"name": name, "description": "", "native": (native, native), "prefix": prefix, "output": "9"}
    contract = Contract.model_validate({**facts, "parameters": dict(parameters), "profiles": profiles})
    return Workflow(name=name, graph={}, contract=contract, sha256=hashlib.sha256(name.encode()).hexdigest())


LORA = BASE | {"lora": parameter("str"), "lora_strength": parameter("float", 0.8, minimum=-5, maximum=5)}
POSE = BASE | {
    "reference_image": parameter("image", description="The pose."),
    "controlnet_strength": parameter("float", 0.8, maximum=2),
}
WORKFLOWS = {
    found.name: found
    for found in (
        workflow("sdxl-txt2img", BASE),
        workflow("sd15-txt2img", BASE, 512, draft={"steps": 15, "sampler": "dpmpp_2m"}),
        workflow("sdxl-lora", LORA),
        workflow("sdxl-controlnet-pose", POSE),
        workflow("seedless", {name: BASE[name] for name in ("prompt", "width", "height")}),
    )
}
CATALOGUE = Catalogue(
    styles={"studio": Style(name="Studio", prompt="studio light", negative_prompt="shadow")},
    wildcards={"light": tuple(f"light {n}" for n in range(10))},
    default_negative_prompt="blurry",
)


def world(*lanes: str, **more: object) -> World:
    made = World(catalogue=CATALOGUE, workflows=WORKFLOWS, lanes=frozenset(lanes or ("comfyui",)))
    return replace(made, **more)


COLUMNS = (
    "id",
    "prompt",
    "negative_prompt",
    "size",
    "channels",
    "variants",
    "seed",
    "workflow",
    "model",
    "steps",
    "cfg",
)
COLUMNS += ("sampler", "lora", "reference_image", "backend", "style", "Product Name", "Controlnet Strength")


def row(number: int = 2, **fields: object) -> Row:
    """A row whose every column is a cell, as a sheet gives it; `size` and `channels` are only the texts of cells."""
    texts = {"id": fields.get("id", f"R{number}"), "prompt": fields.get("prompt", "a mug")}
    texts |= {name: str(value) for name, value in fields.items()} | dict(fields.get("parameters", {}))
    texts |= {"Product Name": fields.get("extra", {}).get("product_name", "")}
    cells = {
        name: Cell(column=name, cell=f"{chr(65 + n)}{number}", value=str(texts.get(name, "")))
        for n, name in enumerate(COLUMNS)
    }
    facts = {name: value for name, value in fields.items() if name not in {"size", "channels"}}
    return Row.model_validate(
        {"sheet": "S", "number": number, "id": f"R{number}", "prompt": "a mug", "cells": cells, **facts}
    )


def sheet(*rows: Row, problems: tuple[Problem, ...] = ()) -> Sheet:
    return Sheet(file_name="spring.csv", name="spring", sha256="0" * 64, rows=rows, problems=problems)


def plan(*rows: Row, of: World | None = None, **more: object) -> CampaignPlan:
    return plan_campaign("spring", sheet(*rows), of or world(), **more)


def said(made: CampaignPlan) -> list[tuple[str, str, str]]:
    """Severity, code and cell of each problem."""
    return [(problem.severity, problem.code, problem.cell) for problem in made.problems]


def square(side: int, label: str = "") -> Size:
    return Size(width=side, height=side, label=label or f"{side}x{side}")


# fan-out


def test_a_row_fans_out_into_choices_then_variants_then_sizes() -> None:
    made = plan(row(prompt="{red|blue} mug", variants=2, sizes=(square(512), square(1024)), seed=7))
    found = [(r.variant, r.request.prompt, r.request.width, r.request.seed) for r in made.requests]
    expected = [
        (1, "red mug", 512, 7), (1, "red mug", 1024, 7), (2, "red mug", 512, 8), (2, "red mug", 1024, 8),
        (3, "blue mug", 512, 7), (3, "blue mug", 1024, 7), (4, "blue mug", 512, 8), (4, "blue mug", 1024, 8),
    ]  # fmt: skip
    assert found == expected


def test_a_request_carries_its_place_priority_and_tags() -> None:
    [made] = plan(row(5, priority=3, tags=("a", "b"), sizes=(square(512, "feed"),))).requests
    assert (made.row, made.row_number, made.size, made.priority, made.tags) == ("R5", 5, "feed", 3, ("a", "b"))


def test_negative_prompt_is_the_cell_else_the_default_and_styles_add_theirs() -> None:
    rows = [row(2), row(3, styles=("studio",)), row(4, negative_prompt="{rain|snow}", styles=("studio",))]
    found = [(r.request.prompt, r.request.negative_prompt) for r in plan(*rows).requests]
    styled = "a mug, studio light"
    assert found == [
        ("a mug", "blurry"),
        (styled, "blurry, shadow"),
        (styled, "rain, shadow"),
        (styled, "snow, shadow"),
    ]


def test_placeholders_take_canonical_and_own_columns_by_any_spelling() -> None:
    made = plan(row(id="007", prompt="{Product Name} {ID} {productname}", extra={"product_name": "Rill mug"}))
    assert [r.request.prompt for r in made.requests] == ["Rill mug 007 Rill mug"]


def test_a_placeholder_whose_cell_is_empty_is_a_warning_and_the_picture_is_made() -> None:
    made = plan(row(prompt="a {product_name} on oak", extra={"product_name": ""}))
    assert (said(made), made.requests[0].request.prompt) == ([("warning", "placeholder-empty", "B2")], "a on oak")


def test_prompt_faults_are_told_at_their_cells_all_at_once() -> None:
    made = plan(row(prompt="{produt_name} and {zzz}", negative_prompt="{", styles=("studoi",)))
    expected = [
        ("placeholder-unknown", "B2"),
        ("placeholder-unknown", "B2"),
        ("brace-unbalanced", "C2"),
        ("style-unknown", "P2"),
    ]
    assert ([(code, cell) for _, code, cell in said(made)], made.requests) == (expected, ())


def test_choices_and_variants_together_stay_within_the_limit() -> None:
    made = plan(row(prompt="{1|2|3|4|5}", variants=13))
    assert said(made) == [("error", "variants-too-many", "F2")]


def test_a_cell_that_blows_the_prompt_up_is_refused() -> None:
    made = plan(row(prompt="{product_name}" * 300, extra={"product_name": "x" * 100}))
    assert said(made) == [("error", "text-too-long", "B2")]


# seeds and wildcards


def pictures(made: CampaignPlan) -> dict[tuple[str, str, str], list[int]]:
    found: dict[tuple[str, str, str], list[int]] = {}
    for planned in made.requests:
        found.setdefault((planned.row, planned.request.prompt, planned.size), []).append(planned.request.seed)
    return found


@settings(max_examples=30, deadline=None)
@given(
    ids=st.lists(st.text(min_size=1), min_size=1, max_size=6, unique=True), shuffle=st.randoms(), more=st.integers(1, 4)
)
def test_other_rows_another_order_more_variants_and_choices_change_no_picture(
    ids: list[str], shuffle: random.Random, more: int
) -> None:
    before = pictures(plan(*(row(n, id=name, prompt="{a|b}", variants=2) for n, name in enumerate(ids, 2))))
    order = [*ids, "a new one of another kind"]
    shuffle.shuffle(order)
    after = pictures(plan(*(row(n, id=name, prompt="{c|a|b}", variants=2 + more) for n, name in enumerate(order, 2))))
    assert {place: after[place][:2] for place in before} == before


def test_derived_seeds_are_the_first_eight_bytes_of_the_sha256() -> None:
    expected = [int.from_bytes(hashlib.sha256(f"spring\0R2\0{n}".encode()).digest()[:8], "big") for n in (1, 2)]
    assert [r.request.seed for r in plan(row(variants=2)).requests] == expected


def test_an_explicit_seed_counts_up_and_round_at_its_maximum() -> None:
    assert [r.request.seed for r in plan(row(seed=MAX_SEED, variants=3)).requests] == [MAX_SEED, 0, 1]


def test_wildcards_give_each_variant_another_line_and_every_run_the_same() -> None:
    first, again = (plan(row(prompt="__light__", variants=10)) for _ in range(2))
    assert {r.request.prompt for r in first.requests} == set(CATALOGUE.wildcards["light"])
    assert first.requests == again.requests


def test_a_line_added_to_a_wildcard_leaves_most_pictures_as_they_are() -> None:
    longer = replace(CATALOGUE, wildcards={"light": (*CATALOGUE.wildcards["light"], "light 10")})
    rows = [row(n, prompt="__light__") for n in range(2, 202)]
    before, after = (plan(*rows, of=world(catalogue=names)).requests for names in (CATALOGUE, longer))
    changed = sum(old != new for old, new in zip(before, after, strict=True))
    assert 0 < changed < 40


# sizes


@pytest.mark.parametrize(
    ("ratio", "native", "expected"),
    [
        ((1, 1), 1024, (1024, 1024)),
        ((4, 5), 1024, (928, 1160)),
        ((9, 16), 1024, (792, 1408)),
        ((16, 9), 1024, (1408, 792)),
        ((3, 2), 1024, (1248, 832)),
        ((191, 100), 1024, (1528, 800)),
        ((1080, 1350), 1024, (928, 1160)),
        ((1, 1), 512, (512, 512)),
        ((4, 5), 512, (448, 560)),
        ((16, 9), 512, (640, 360)),
        ((191, 100), 512, (704, 368)),  # the smallest exact one has four times the area
        ((1000, 667), 1024, (1248, 832)),
    ],
)
def test_a_ratio_becomes_multiples_of_8_near_the_native_area(
    ratio: tuple[int, int], native: int, expected: tuple[int, int]
) -> None:
    assert size_for(ratio, (native, native)) == expected


@given(st.integers(1, 2000), st.integers(1, 2000), st.sampled_from([512, 1024, 1536]))
def test_any_ratio_a_sheet_may_say_gives_usable_sides(across: int, down: int, native: int) -> None:
    if not 1 / 20 <= across / down <= 20:
        return
    width, height = size_for((across, down), (native, native))
    assert width % 8 == height % 8 == 0
    assert width * height == pytest.approx(native**2, rel=1.01)
    assert width / height == pytest.approx(across / down, rel=0.04)


def test_without_a_size_the_workflow_says_its_native_one() -> None:
    made = plan(row(2), row(3, workflow="sd15-txt2img"))
    assert [(r.size, r.request.width) for r in made.requests] == [("1024x1024", 1024), ("512x512", 512)]


def test_a_ratio_keeps_its_label_and_takes_the_area_of_the_workflow() -> None:
    ratio = Size(width=0, height=0, label="4:5", ratio=(4, 5))
    [made] = plan(row(workflow="sd15-txt2img", sizes=(ratio,))).requests
    assert (made.size, made.request.width, made.request.height) == ("4:5", 448, 560)


def test_a_size_the_workflow_cannot_make_is_told_at_its_column_with_the_nearest() -> None:
    feed = Size(width=1080, height=1350, label="1080x1350")
    wide = Size(width=4096, height=512, label="billboard")
    made = plan(row(sizes=(feed, wide), size="1080x1350", channels="Billboard, other"))
    assert [(p.code, p.cell, p.fix) for p in made.problems] == [
        ("size-unfit", "D2", "The nearest size is 1080x1352."),
        ("size-unfit", "E2", "The nearest size is 2048x512."),
    ]


def test_a_ratio_that_leaves_the_limits_is_told() -> None:
    made = plan(row(sizes=(Size(width=0, height=0, label="19:1", ratio=(19, 1)),)), of=world("fpo"))
    assert [(p.code, "4408x232" in p.message) for p in made.problems if p.severity == "error"] == [("size-range", True)]


# workflows and parameters


def test_defaults_then_profile_then_cells_make_the_parameters() -> None:
    given_row = row(
        workflow="SD15 txt2img : Draft",
        model="painting.safetensors",
        parameters={"cfg": 8, "sampler": "Euler Ancestral"},
    )
    [made] = plan(given_row).requests
    expected = {"steps": 15, "cfg": 8.0, "sampler": "euler_ancestral", "checkpoint": "painting.safetensors"}
    assert (made.request.workflow, made.request.parameters) == ("sd15-txt2img", expected)
    assert made.request.workflow_sha256 == WORKFLOWS["sd15-txt2img"].sha256


def test_numbers_take_the_contract_s_type_so_that_equal_requests_have_one_key() -> None:
    found = plan(
        row(2, seed=1, parameters={"steps": 20.0, "cfg": 7}), row(3, seed=1, parameters={"steps": 20, "cfg": 7.0})
    )
    assert len({r.request.key for r in found.requests}) == 1
    assert [type(value) for value in found.requests[0].request.parameters.values()][:2] == [int, float]


@pytest.mark.parametrize(
    ("fields", "cell", "words"),
    [
        ({"workflow": "sdxl-text2img"}, "H2", 'There is no workflow "sdxl-text2img". Did you mean "sdxl-txt2img"?'),
        ({"workflow": "sd15-txt2img:darft"}, "H2", 'has no profile "darft". Did you mean "draft"?'),
        ({"workflow": "sdxl-txt2img:draft"}, "H2", "There are no profiles"),
        ({"parameters": {"lora": "x.safetensors"}}, "M2", "Workflow sdxl-txt2img takes no lora. Use sdxl-lora, or empty"),
        ({"reference_image": "p.png"}, "N2", "takes no reference_image. Use sdxl-controlnet-pose"),
        ({"parameters": {"steps": 9000}}, "J2", "The nearest is 150."),
        ({"parameters": {"steps": 20.5}}, "J2", "takes a whole number from 1 to 150 here, not 20.5. The nearest is 20."),
        ({"parameters": {"cfg": -1.5}}, "K2", "The nearest is 0."),
        ({"parameters": {"cfg": "high"}}, "K2", '"high" is not a number from'),
        ({"parameters": {"sampler": "dpmpp2m"}}, "L2", 'Did you mean "dpmpp_2m"?'),
        ({"parameters": {"sampler": "zzz"}}, "L2", "one of 3 names: euler, dpmpp_2m, euler_ancestral"),
        ({"workflow": "sdxl-lora"}, "M2", "Workflow sdxl-lora needs a lora"),
        ({"workflow": "sdxl-controlnet-pose"}, "N2", "needs a reference_image: The pose."),
        ({"workflow": "sdxl-controlnet-pose", "reference_image": "gone.png"}, "N2", "gone.png is not there"),
        ({"workflow": "sdxl-controlnet-pose", "reference_image": "text.png"}, "N2", "text.png is not a PNG, JPEG or WebP"),
    ],
)  # fmt: skip
def test_what_a_workflow_cannot_take_is_an_error_at_its_cell_with_the_remedy(
    fields: dict[str, object], cell: str, words: str
) -> None:
    made = plan(row(**fields), of=world(read_reference=read_reference))
    assert [(p.severity, p.cell) for p in made.problems] == [("error", cell)]
    assert words in str(made.problems[0])
    assert made.requests == ()


def read_reference(path: str) -> bytes:
    if path == "gone.png":
        raise AssetlineError("gone.png is not there.")
    return b"a text" if path == "text.png" else PNG


def test_a_reference_image_is_named_by_its_hash_and_read_once() -> None:
    asked: list[str] = []

    def read(path: str) -> bytes:
        asked.append(path)
        return PNG

    rows = [row(n, workflow="sdxl-controlnet-pose", reference_image="poses/a.png") for n in (2, 3)]
    made = plan(*rows, of=world(read_reference=read))
    sha256 = hashlib.sha256(PNG).hexdigest()
    assert [r.request.references for r in made.requests] == [{"reference_image": sha256}] * 2
    assert (made.references, asked) == ({sha256: "poses/a.png"}, ["poses/a.png"])
    assert "reference_image" not in made.requests[0].request.parameters


def test_another_column_that_is_called_like_a_parameter_fills_it() -> None:
    fields = {"workflow": "sdxl-controlnet-pose", "reference_image": "a.png", "extra": {"controlnet_strength": "0.5"}}
    [made] = plan(row(**fields), of=world(read_reference=read_reference)).requests
    assert made.request.parameters["controlnet_strength"] == 0.5


def test_another_column_with_a_value_out_of_range_is_told_at_its_own_header() -> None:
    fields = {"workflow": "sdxl-controlnet-pose", "reference_image": "a.png", "extra": {"controlnet_strength": "3"}}
    [problem] = plan(row(**fields), of=world(read_reference=read_reference)).problems
    assert (problem.code, problem.column, problem.cell) == ("parameter-unfit", "Controlnet Strength", "R2")


def test_a_workflow_without_a_negative_prompt_gets_none_and_refuses_one() -> None:
    bare = workflow("bare", {name: known for name, known in BASE.items() if name != "negative_prompt"})
    own = world(workflows={"bare": bare}, default_workflow="bare")
    made = plan(row(2), row(3, negative_prompt="rain"), of=own)
    assert [r.request.negative_prompt for r in made.requests] == [""]
    assert said(made) == [("error", "parameter-unknown", "C3")]


VERSION = WORKFLOWS["sd15-txt2img"].sha256[:8]


@pytest.mark.parametrize(
    "written",
    [
        f"sd15-txt2img@{VERSION}",
        f"sd15 txt2img @ {VERSION.upper()}",
        f"sd15-txt2img@{WORKFLOWS['sd15-txt2img'].sha256}",
        f"sd15-txt2img@{VERSION}:draft",
        f"sd15-txt2img:draft@{VERSION}",
    ],
)
def test_a_pinned_workflow_is_taken_where_it_is_that_version(written: str) -> None:
    [made] = plan(row(workflow=written)).requests
    assert ("sd15-txt2img", 15 if "draft" in written else 25) == (
        made.request.workflow,
        made.request.parameters["steps"],
    )


@pytest.mark.parametrize("pin", ["1f0c9a2b", VERSION[:7], "", "latest"])
def test_another_version_than_the_pinned_one_is_an_error_that_says_which_is_there(pin: str) -> None:
    made = plan(row(workflow=f"sd15-txt2img@{pin}:draft"))
    assert [("error", "workflow-version", "H2")] == said(made)
    assert f'is version {VERSION} here, not "{pin}". Write sd15-txt2img@{VERSION} to' in made.problems[
        0
    ].message + " " + (made.problems[0].fix)
    assert () == made.requests


def test_every_picture_that_a_workflow_takes_has_a_column_of_its_name() -> None:
    masked = POSE | {"mask_image": parameter("image")}
    of = world(workflows=WORKFLOWS | {"masked": workflow("masked", masked)}, read_reference=read_reference)
    fields = {"workflow": "masked", "reference_image": "a.png"}
    made = plan(row(**fields, extra={"Mask Image": "b.png"}), row(3, **fields), of=of)
    assert [{"reference_image", "mask_image"}] == [set(r.request.references) for r in made.requests]
    assert ["parameter-missing"] == [p.code for p in made.problems]
    assert "needs a mask_image" in made.problems[0].message


def test_a_default_workflow_that_does_not_exist_is_an_option_error() -> None:
    with pytest.raises(OptionError, match='Did you mean "sdxl-txt2img"'):
        world(default_workflow="sdxl-txt2image")


# lanes


@pytest.mark.parametrize(
    ("lanes", "backend", "expected"),
    [
        (("fpo",), "auto", FPO_MODEL),
        (("fpo", "comfyui"), "auto", "sdxl-txt2img"),
        (("comfyui",), "auto", "sdxl-txt2img"),
        (("fpo", "comfyui"), "fpo", FPO_MODEL),
        (("fpo", "comfyui"), "comfyui", "sdxl-txt2img"),
    ],
)
def test_backend_and_lanes_decide_between_comp_and_render(lanes: tuple[str, ...], backend: str, expected: str) -> None:
    [made] = plan(row(backend=backend), of=world(*lanes)).requests
    assert (made.request.model or made.request.workflow) == expected


@pytest.mark.parametrize(
    ("lanes", "backend", "words"),
    [
        (("fpo",), "comfyui", "--lane http://HOST:8188"),
        (("comfyui",), "fpo", "--lane fpo"),
        (("comfyui", "replicate"), "fpo", "--lane fpo"),
    ],
)
def test_a_backend_without_a_lane_is_an_error_with_its_cure(lanes: tuple[str, ...], backend: str, words: str) -> None:
    made = plan(row(backend=backend), of=world(*lanes))
    assert said(made) == [("error", "lane-missing", "O2")]
    assert words in str(made.problems[0])


def test_a_comp_carries_the_row_s_label_and_nothing_of_the_workflow() -> None:
    made = plan(row(id="SKU 1", parameters={"steps": 30}), of=world("fpo")).requests[0].request
    assert (made.model, made.workflow, made.workflow_sha256) == (FPO_MODEL, None, None)
    assert (made.parameters, made.references) == ({"label": "SKU 1"}, {})


def test_a_comp_has_the_seed_and_size_of_the_render_that_it_stands_for() -> None:
    comp, render = (
        plan(row(workflow="sd15-txt2img", variants=2), of=world(lane)).requests for lane in ("fpo", "comfyui")
    )
    assert [(r.label, r.request.seed) for r in comp] == [(r.label, r.request.seed) for r in render]


def test_what_only_a_render_needs_is_a_warning_for_a_comp() -> None:
    feed = Size(width=1080, height=1350, label="1080x1350")
    rows = [
        row(2, workflow="sdxl-controlnet-pose"),
        row(3, workflow="sdxl-lora"),
        row(4, sizes=(feed,), size="1080x1350"),
    ]
    made = plan(*rows, of=world("fpo"))
    expected = [("parameter-missing", "N2"), ("parameter-missing", "M3"), ("size-unfit", "D4")]
    assert said(made) == [("warning", code, cell) for code, cell in expected]
    assert (made.ok, len(made.requests)) == (True, 3)


def test_what_is_wrong_is_an_error_for_a_comp_too() -> None:
    made = plan(row(workflow="sdxl-txt", parameters={"steps": 0}), row(3, parameters={"steps": 0}), of=world("fpo"))
    assert said(made) == [("error", "workflow-unknown", "H2"), ("error", "parameter-unfit", "J3")]


# the whole


def problem(code: str, number: int | None, severity: str = "error", cell: str = "") -> Problem:
    return Problem.model_validate({"severity": severity, "code": code, "row": number, "cell": cell, "message": "m"})


def test_problems_come_in_the_order_file_header_rows_left_to_right_across_rows() -> None:
    own = (
        problem("encoding-guessed", None, "warning"), problem("header-nearly", 1, "warning", "C1"),
        problem("not-whole", 3, cell="F3"), problem("id-twice", 2, cell="A2"),
    )  # fmt: skip
    rows = [row(2, backend="fpo", prompt="{x}"), row(3, prompt="{x}"), row(4, seed=1), row(5, seed=1)]
    made = plan_campaign("spring", sheet(*rows, problems=own), world())
    codes = ["encoding-guessed", "header-nearly", "placeholder-unknown", "lane-missing"]
    codes += ["placeholder-unknown", "not-whole", "id-twice", "same-request"]
    assert [p.code for p in made.problems] == codes


def test_a_row_that_the_sheet_refuses_makes_nothing_but_all_its_problems_are_told() -> None:
    own = (problem("not-whole", 2, cell="F2"),)
    made = plan_campaign("spring", sheet(row(2, parameters={"steps": 0}), row(3), problems=own), world())
    assert [p.code for p in made.problems] == ["not-whole", "parameter-unfit"]
    assert ([r.row for r in made.requests], made.ok) == (["R3"], False)


def test_a_problem_that_the_sheet_has_told_is_not_told_again() -> None:
    bad = row(2, styles=("studoi",))
    own = (bad.problem("style", "style-unknown", "in other words"),)
    assert plan_campaign("spring", sheet(bad, problems=own), world()).problems == own


def test_only_valid_keeps_the_errors_listed_and_runs_the_rest() -> None:
    made = plan(row(2, backend="fpo"), row(3), only_valid=True)
    assert (made.ok, len(made.errors), [r.row for r in made.requests]) == (True, 1, ["R3"])


def test_only_valid_with_nothing_valid_is_not_ok() -> None:
    assert plan(row(2, backend="fpo"), only_valid=True).ok is False


def test_selected_rows_alone_are_planned_and_judged() -> None:
    own = (problem("encoding-guessed", None, "warning"), problem("not-whole", 3))
    three = sheet(row(2, backend="fpo"), row(3), row(4), problems=own)
    made = plan_campaign("spring", three, world(), rows=["R4"])
    assert ([p.code for p in made.problems], [r.row for r in made.requests]) == (["encoding-guessed"], ["R4"])


def test_an_unknown_row_is_an_option_error_that_names_the_nearest() -> None:
    with pytest.raises(OptionError, match=r'no row "SKU-8"\. Did you mean "SKU-7"\?.*no row "zzz"\.'):
        plan(row(2, id="SKU-7"), row(3, id="SKU-7"), rows=["SKU-7", "SKU-8", "zzz"])


def test_the_same_request_twice_is_kept_with_one_warning_for_the_row() -> None:
    made = plan(row(2, seed=5, variants=2), row(3, seed=5, variants=3))
    assert len(made.requests) == 5
    [warning] = made.problems
    assert (warning.severity, warning.code, warning.row) == ("warning", "same-request", 3)
    assert "R3-1-1024x1024 (1024x1024) is the same picture as R2-1-1024x1024 (1024x1024), and 1 more" in warning.message


def test_every_code_that_planning_gives_is_in_the_table(project_root: object) -> None:
    rows = [
        row(2, backend="fpo", workflow="x", prompt="{x} {}} __x__", styles=("x",)),
        row(3, workflow="sd15-txt2img:x", parameters={"lora": "x", "steps": 0}, seed=1, prompt="{1|2}" * 7),
        row(4, seed=1, workflow="sdxl-lora"), row(5, seed=1), row(6, seed=1), row(7, variants=65),
        row(8, workflow="sdxl-controlnet-pose", reference_image="gone.png", sizes=(square(1001),)),
        row(9, sizes=(Size(width=0, height=0, label="9999:1", ratio=(9999, 1)),)),
        row(10, prompt="{product_name}"), row(11, prompt="{id}" * 2000), row(12, workflow="seedless", variants=2),
        row(13, workflow="sd15-txt2img@00000000"), row(14, combine="zip", sizes=(square(512), square(768))),
        row(15, prompt="a [tint]", extra={"tint": "red"}),
    ]  # fmt: skip
    made = plan(*rows, of=world(read_reference=read_reference))
    of_workers = {"worker-lacks", "worker-lacks-node", "worker-split", "worker-silent", "workflow-completed"}
    of_replicate = {"workflow-unused", "model-missing", "model-unknown", "negative-unused", "size-nearest"}
    others = of_workers | of_replicate  # those: test_plan_workers.py, test_plan_paid.py
    assert {p.code for p in made.problems} == set(CODES) - others


def test_a_workflow_without_a_seed_makes_one_picture_and_refuses_more() -> None:
    assert len(plan(row(2, workflow="seedless")).requests) == 1
    refused = plan(row(2, workflow="seedless", variants=2))
    assert ([], ["seed-unused"]) == ([*refused.requests], [p.code for p in refused.problems])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Spring Launch 2027.xlsx", "spring-launch-2027"),
        ("spring-launch.csv", "spring-launch"),
        ("/tmp/in/Frühjahr_Größe.CSV", "fruhjahr-grosse"),
        ("C:\\Users\\me\\Holiday.xlsx", "holiday"),
        ("v1.2 final", "v1-2-final"),
        ("x" * 100, "x" * 64),
    ],
)
def test_a_campaign_is_called_after_its_sheet(name: str, expected: str) -> None:
    assert campaign_slug(name) == expected


def test_names_in_other_scripts_are_told_apart() -> None:
    assert len({campaign_slug(name) for name in ("春.csv", "夏.csv")}) == 2


# the quote


def test_the_quote_shares_work_between_lanes_and_counts_what_is_stored() -> None:
    made = plan(row(2, variants=3), row(3, seed=1), row(4, seed=1), row(5, backend="fpo"), of=world("comfyui", "fpo"))
    existing = [made.requests[0].request.key]
    found = quote(made, existing, {"http://a": "comfyui", "http://b": "comfyui", "fpo": "fpo"}).model_dump(mode="json")
    assert found == {
        "campaign": "spring",
        "rows": 4,
        "requests": 6,
        "reused": 2,
        "to_make": 4,
        "lanes": [
            {"lane": "http://a", "requests": 2, "can_make": 3, "minutes": 0.4, "minutes_are": "guess"},
            {"lane": "http://b", "requests": 1, "can_make": 3, "minutes": 0.2, "minutes_are": "guess"},
            {"lane": "fpo", "requests": 1, "can_make": 1, "minutes": 0.0, "minutes_are": "guess"},
        ],
        "minutes": 0.4,
        "minutes_range": {"low": 0.2, "high": 0.8},
        "minutes_are": "guess",
        "cost_usd": {"low": 0.0, "high": 0.0},
        "dearest_rows": [
            {"row": "R2", "requests": 2, "minutes": 0.4, "cost_usd": {"low": 0.0, "high": 0.0}},
            {"row": "R3", "requests": 1, "minutes": 0.2, "cost_usd": {"low": 0.0, "high": 0.0}},
            {"row": "R5", "requests": 1, "minutes": 0.0, "cost_usd": {"low": 0.0, "high": 0.0}},
        ],
        "paid": None,
        "overflow": None,
    }


def test_the_quote_of_nothing_is_all_zero() -> None:
    found = quote(plan(row(backend="fpo")), [], {"fpo": "fpo"})
    assert (found.requests, found.to_make, found.minutes, found.dearest_rows) == (0, 0, 0.0, ())


# --- zip, languages


def test_zipped_pictures_have_one_size_each_in_turn() -> None:
    made = plan(row(variants=3, combine="zip", sizes=(square(512), square(768))))
    assert ["512x512", "768x768", "512x512"] == [request.size for request in made.requests]


def test_a_size_that_no_zipped_picture_is_left_for_is_an_error() -> None:
    made = plan(row(variants=1, combine="zip", sizes=(square(512), square(768))))
    assert [("error", "combine-unfit")] == [one[:2] for one in said(made)]
    assert () == made.requests


def test_each_language_has_its_own_pictures_with_the_same_seeds() -> None:
    texts = {"de": {"prompt": "ein Becher, {product_name}", "product_name": "Emaille"}, "fr": {"product_name": "émail"}}
    wanted = row(prompt="a mug, {product_name}", extra={"product_name": "enamel"}, sizes=(square(512),), locales=texts)
    made = plan(wanted)
    assert ["512x512", "512x512@de", "512x512@fr"] == [request.size for request in made.requests]
    assert ["a mug, enamel", "ein Becher, Emaille", "a mug, émail"] == [one.request.prompt for one in made.requests]
    assert 1 == len({one.request.seed for one in made.requests})


def test_a_fault_in_a_language_is_told_at_its_own_cell() -> None:
    wanted = row(sizes=(square(512),), locales={"de": {"prompt": "ein {nichts}"}})
    cells = {**wanted.cells, "Prompt@DE": Cell(column="Prompt@DE", cell="Q2", value="ein {nichts}")}
    made = plan(wanted.model_copy(update={"cells": cells}))
    assert ["Q2"] == [cell for severity, _, cell in said(made) if severity == "error"]
    assert () == made.requests
