"""Rows for Replicate: which they are, what each model takes of them, the sizes that come, the money and what fits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from fakes.replicate_lane import MODELS

from assetline.catalogue import Catalogue, Style
from assetline.errors import OptionError
from assetline.plan import (
    CampaignPlan,
    CapQuote,
    Fleet,
    Known,
    Money,
    Overflow,
    Workers,
    World,
    choose_overflow,
    equivalents_of,
    limit_of,
    local_seconds,
    plan_campaign,
    quote,
    quote_paid,
    refusal,
)
from assetline.plan.paid_models import by_ref
from assetline.records import FPO_MODEL, Cell, ImageRequest, Row, Size
from assetline.sheet import Sheet
from assetline.workflow import Contract, Parameter, Target, Workflow, load_workflows
from assetline.workflow.files import _sha256_of

COLUMNS = (
    "id",
    "prompt",
    "size",
    "channels",
    "workflow",
    "model",
    "backend",
    "seed",
    "negative_prompt",
    "steps",
    "style",
)
SHIPPED = Path(__file__).parents[2] / "workflows"
TODAY = dt.date(2026, 11, 22)


def parameter(type_: str, default: object = None, **more: object) -> Parameter:
    return Parameter.model_validate({"targets": ["1.x"], "type": type_, "default": default, **more})


def workflow(name: str, **parameters: Parameter) -> Workflow:
    side = parameter("int", 1024, minimum=64, maximum=2048, multiple_of=8)
    facts = {"name": name, "description": "", "native": (1024, 1024), "output": "9"}
    known = {"prompt": parameter("str"), "negative_prompt": parameter("str", ""), "width": side, "height": side}
    known |= {"seed": parameter("int"), "checkpoint": parameter("str", "a.safetensors"), **parameters}
    prefix = Target(node="9", input="filename_prefix")
    contract = Contract.model_validate({**facts, "prefix": prefix, "parameters": known})
    return Workflow(name, {}, contract, "0" * 64)


CATALOGUE = Catalogue(
    styles={"studio": Style(name="Studio", prompt="light", negative_prompt="shadow")}, default_negative_prompt="blurry"
)
WORKFLOWS = {"sdxl-txt2img": workflow("sdxl-txt2img", lora_strength=parameter("float", 1.0))}


def world(*lanes: str, **more: object) -> World:
    made = World(CATALOGUE, WORKFLOWS, frozenset(lanes or ("replicate",)), models=MODELS)
    return replace(made, **more)


def row(number: int = 2, **fields: object) -> Row:
    texts = {name: str(fields.get(name, "")) for name in COLUMNS} | {"id": f"R{number}", "prompt": "a mug"}
    cells = {
        name: Cell(column=name, cell=f"{chr(65 + n)}{number}", value=texts[name]) for n, name in enumerate(COLUMNS)
    }
    facts = {name: value for name, value in fields.items() if name not in {"size", "channels"}}
    return Row.model_validate(
        {"sheet": "S", "number": number, "id": f"R{number}", "prompt": "a mug", "cells": cells, **facts}
    )


def plan(*rows: Row, of: World | None = None) -> CampaignPlan:
    sheet = Sheet(file_name="spring.csv", name="spring", sha256="0" * 64, rows=rows, problems=())
    return plan_campaign("spring", sheet, of or world())


def said(made: CampaignPlan) -> list[tuple[str, str, str]]:
    return [(problem.severity, problem.code, problem.cell) for problem in made.problems]


def only(made: CampaignPlan) -> ImageRequest:
    [planned] = made.requests
    assert [] == list(made.errors)
    return planned.request


def sized(width: int, height: int, label: str = "") -> tuple[Size, ...]:
    return (Size(width=width, height=height, label=label or f"{width}x{height}"),)


def ratio(across: int, down: int) -> tuple[Size, ...]:
    return (Size(width=0, height=0, label=f"{across}:{down}", ratio=(across, down)),)


# --- which rows


@pytest.mark.parametrize("name", ["flux-schnell", "Flux Schnell", "black-forest-labs/flux-schnell"])
@pytest.mark.parametrize("backend", ["auto", "replicate"])
def test_a_row_that_names_a_model_becomes_a_request_for_it(name: str, backend: str) -> None:
    request = only(plan(row(model=name, backend=backend)))
    assert ("black-forest-labs/flux-schnell", None) == (request.model, request.workflow)
    assert {"steps": 4, "go_fast": 0, "num_outputs": 1}.items() <= request.parameters.items()


def test_a_version_is_a_part_of_the_request() -> None:
    request = only(plan(row(model="sdxl")))
    assert MODELS["sdxl"].ref == request.model
    assert request.model.startswith("stability-ai/sdxl:7762fd07")


@pytest.mark.parametrize(
    ("lanes", "fields", "expected"),
    [
        (("replicate", "fpo"), {"model": "imagen-4"}, "google/imagen-4"),
        (("fpo",), {"model": "imagen-4"}, FPO_MODEL),
        (("replicate", "fpo"), {"model": "imagen-4", "backend": "fpo"}, FPO_MODEL),
        (("replicate", "fpo"), {}, FPO_MODEL),
        (("replicate", "comfyui"), {}, None),
        (("replicate", "comfyui"), {"model": "base.safetensors"}, None),
        (("replicate", "comfyui"), {"model": "sdxl", "backend": "comfyui"}, None),
    ],
)
def test_model_backend_and_lanes_decide_who_makes_it(
    lanes: tuple[str, ...], fields: dict, expected: str | None
) -> None:
    assert expected == only(plan(row(**fields), of=world(*lanes))).model


@pytest.mark.parametrize(
    ("lanes", "fields", "expected", "words"),
    [
        (("fpo",), {"model": "imagen-4", "backend": "replicate"}, ("lane-missing", "G2"), "Add --lane replicate; it takes"),
        (("comfyui",), {"model": "imagen-4"}, ("lane-missing", "G2"), "REPLICATE_API_TOKEN"),
        (("replicate",), {}, ("lane-missing", "G2"), "Write a model such as flux-schnell"),
        (("replicate",), {"backend": "replicate"}, ("model-missing", "F2"), "Write one of sdxl, flux-schnell,"),
        (("replicate",), {"model": "flux-schnel"}, ("model-unknown", "F2"), 'Did you mean "flux-schnell"?'),
        (("replicate",), {"model": "black-forest-labs/flux-schnel", "backend": "replicate"}, ("model-unknown", "F2"), '"flux-schnell"?'),
        (("comfyui",), {"model": "flux-shnell"}, ("model-unknown", "F2"), 'Did you mean "flux-schnell"?'),
        (("replicate",), {"model": "dall-e", "backend": "replicate"}, ("model-unknown", "F2"), "Known models: sdxl,"),
        (("replicate",), {"workflow": "imagen-4", "backend": "replicate"}, ("model-unknown", "E2"), "column model"),
        (("comfyui",), {"workflow": "imagen-4"}, ("workflow-unknown", "E2"), "Write it into the column model."),
        (("replicate",), {"model": "sdxl", "workflow": "sdxl-txt2img"}, ("workflow-unused", "E2"), "Empty the cell"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_made_there_is_an_error_with_the_remedy(
    lanes: tuple[str, ...], fields: Mapping[str, object], expected: tuple[str, str], words: str
) -> None:
    made = plan(row(**fields), of=world(*lanes))
    assert ("error", *expected) in said(made)
    assert words in " ".join(str(problem) for problem in made.problems)
    assert () == made.requests


# --- what the model takes


@pytest.mark.parametrize(
    ("model", "fields", "expected"),
    [
        ("flux-schnell", {"negative_prompt": "fog"}, ("error", "negative-unused", "I2")),
        ("imagen-4", {"seed": 7}, ("error", "seed-unused", "H2")),
        ("flux-schnell", {"parameters": {"steps": 25}}, ("error", "parameter-unfit", "J2")),
        ("flux-schnell", {"parameters": {"cfg": 7.5}}, ("error", "parameter-unknown", "")),
        ("flux-schnell", {"extra": {"lora_strength": "0.5"}}, ("error", "parameter-unknown", "")),
        ("flux-kontext-pro", {}, ("error", "parameter-missing", "")),
        ("recraft-v3", {"prompt": "x" * 1001}, ("error", "text-too-long", "B2")),
        ("flux-schnell", {"styles": ("studio",)}, ("warning", "negative-unused", "K2")),
    ],
)
def test_a_field_that_a_model_lacks_is_told_at_its_cell(
    model: str, fields: Mapping[str, object], expected: tuple[str, str, str]
) -> None:
    assert [expected] == said(plan(row(model=model, **fields)))


def test_what_a_model_lacks_is_a_warning_for_a_comp() -> None:
    made = plan(row(model="flux-schnell", negative_prompt="fog"), of=world("fpo"))
    assert [("warning", "negative-unused", "I2")] == said(made)
    assert FPO_MODEL == only(made).model


def test_the_house_s_negative_prompt_and_a_derived_seed_are_no_problem_and_the_unused_one_is_not_in_the_key() -> None:
    assert "" == only(plan(row(model="flux-schnell"))).negative_prompt
    assert "blurry" == only(plan(row(model="sdxl"))).negative_prompt
    quiet = plan(row(model="imagen-4", variants=3))
    assert ([], 3) == (said(quiet), len({planned.request.key for planned in quiet.requests}))


def test_equal_values_are_one_request_however_they_are_written() -> None:
    whole = only(plan(row(model="sdxl", parameters={"steps": 30, "cfg": 7})))
    other = only(plan(row(model="sdxl", parameters={"steps": 30, "cfg": 7.0}, extra={"num_outputs": "1"})))
    assert whole.key == other.key


# --- sizes


@pytest.mark.parametrize(
    ("model", "sizes", "expected"),
    [
        ("flux-schnell", (), (1024, 1024)),
        ("qwen-image", (), (1328, 1328)),
        ("flux-schnell", ratio(4, 5), (896, 1088)),
        ("flux-schnell", sized(928, 1160, "instagram_feed"), (896, 1088)),
        ("flux-1.1-pro", sized(928, 1160, "instagram_feed"), (928, 1152)),
        ("recraft-v3", sized(928, 1160, "instagram_feed"), (1024, 1280)),
        ("seedream-4", sized(928, 1160, "instagram_feed"), (1024, 1280)),
        ("sdxl", sized(928, 1160, "instagram_feed"), (928, 1160)),
        ("flux-schnell", sized(1408, 792, "youtube_thumbnail"), (1344, 768)),
    ],
)
def test_a_shape_is_made_in_the_pixels_that_the_model_has_for_it(
    model: str, sizes: tuple[Size, ...], expected: tuple[int, int]
) -> None:
    made = plan(row(model=model, sizes=sizes))
    assert (expected, []) == ((only(made).width, only(made).height), said(made))


def test_pixels_that_become_others_of_the_same_shape_are_told() -> None:
    made = plan(row(model="flux-schnell", sizes=sized(1080, 1350), size="1080x1350"))
    assert [("warning", "size-nearest", "C2")] == said(made)
    assert "flux-schnell at Replicate makes 896x1088 of 1080x1350." in str(made.problems[0])


@pytest.mark.parametrize(
    ("model", "sizes", "words"),
    [
        ("flux-schnell", sized(1424, 744, "linkedin_post"), "takes the ratios 1:1, 16:9,"),
        ("recraft-v3", sized(1000, 1000), "Nearest: 1024x1024"),
        ("flux-1.1-pro", sized(1000, 1000), "Nearest: 992x992."),
    ],
)
def test_a_size_that_a_model_does_not_have_is_an_error_that_names_those_it_has(
    model: str, sizes: tuple[Size, ...], words: str
) -> None:
    made = plan(row(model=model, sizes=sizes))
    assert ["size-unfit"] == [problem.code for problem in made.problems]
    assert words in str(made.problems[0])


def test_the_nearest_shape_is_taken_where_the_settings_say_so_and_told() -> None:
    made = plan(row(model="flux-schnell", sizes=sized(1424, 744, "linkedin_post")), of=world(strict_sizes=False))
    assert ["size-nearest"] == [problem.code for problem in made.problems]
    assert (1344, 768) == (only(made).width, only(made).height)


# --- money


def money(run: float = 100.0, **more: object) -> Money:
    return Money(by_ref(MODELS), (CapQuote(cap="run", usd=run, left_usd=run),), today=TODAY, **more)


def mixed() -> CampaignPlan:
    """Three comps, four pictures of 0.003 and one of 0.065 USD."""
    rows = [row(2, backend="fpo", variants=3), row(3, model="flux-schnell", variants=4)]
    return plan(*rows, row(4, model="stable-diffusion-3.5-large"), of=world("fpo", "replicate"))


def test_the_quote_has_the_money_the_dearest_rows_first_and_the_prices() -> None:
    lanes = {"fpo": "fpo", "replicate": "replicate"}
    found = quote(mixed(), [], lanes, Known(money=money()))
    assert (0.077, 0.077) == (found.cost_usd.low, found.cost_usd.high)
    assert [("R4", 0.065), ("R3", 0.012), ("R2", 0.0)] == [(one.row, one.cost_usd.high) for one in found.dearest_rows]
    assert [("fpo", 3), ("replicate", 5)] == [(one.lane, one.requests) for one in found.lanes]
    assert found.paid
    assert [("flux-schnell", 4, False), ("stable-diffusion-3.5-large", 1, False)] == [
        (one.model, one.pictures, one.old) for one in found.paid.prices
    ]


def test_what_is_stored_or_paid_for_is_not_paid_again() -> None:
    made = mixed()
    keys = [planned.request.key for planned in made.requests]
    stored, fetched = keys[3:5], frozenset(keys[5:6])
    found = quote(made, stored, {"replicate": "replicate", "fpo": "fpo"}, Known(money=money(paid=fetched)))
    assert found.paid
    assert (2, 1, 0.068) == (found.paid.pictures, found.paid.paid, found.cost_usd.high)


@pytest.mark.parametrize(("cap", "fit"), [(0.0, 0), (0.003, 1), (0.0119, 3), (0.012, 4), (0.0769, 4), (0.077, 5)])
def test_a_cap_lets_so_many_pictures_through_in_the_order_of_the_sheet(cap: float, fit: int) -> None:
    paid = quote_paid(mixed().requests, money(cap))
    assert paid
    assert (5, fit) == (paid.pictures, paid.fit)


def test_the_cap_with_the_least_left_counts() -> None:
    caps = (CapQuote(cap="run", usd=5, left_usd=5), CapQuote(cap="day", usd=20, left_usd=0.01))
    paid = quote_paid(mixed().requests, replace(money(), caps=caps))
    assert paid
    assert paid.cap
    assert ("day", 3) == (paid.cap.cap, paid.fit)
    said = (
        "and the cap for today (UTC) is 20.00 USD, of which 0.01 are left (ASSETLINE_MAX_COST_DAY). Nothing was made."
    )
    assert refusal(paid, free=0).endswith(said)


@pytest.mark.parametrize(("cap", "free", "refused"), [(0, 0, True), (0.07, 0, True), (0.077, 0, False), (0, 3, False)])
def test_a_run_is_refused_where_its_cap_is_below_the_estimate_unless_free_work_can_go_on(
    cap: float, free: int, refused: bool
) -> None:
    paid = quote_paid(mixed().requests, money(cap))
    assert paid
    assert refused is bool(refusal(paid, free))


def test_a_price_by_the_second_has_a_range_and_holds_back_what_one_may_cost_at_most() -> None:
    made = plan(*(row(number, model="sdxl") for number in range(2, 12)))
    paid = quote_paid(made.requests, money(0.13))
    assert paid
    assert (0.039, 0.0604, 0.117) == (paid.cost_usd.low, round(paid.cost_usd.high, 4), paid.most_usd)
    assert 3 == paid.fit


def test_a_price_of_long_ago_is_told() -> None:
    later = replace(money(), today=dt.date(2027, 3, 1))
    paid = quote_paid(mixed().requests, later)
    assert paid
    assert {True} == {one.old for one in paid.prices}


def test_free_work_has_no_paid_part() -> None:
    assert quote_paid(plan(row(2), of=world("fpo")).requests, money()) is None


# --- overflow


def gpu_plan(*rows: Row) -> CampaignPlan:
    return plan(*rows, of=world("comfyui", workflows=load_workflows(SHIPPED)))


def chosen(made: CampaignPlan, limit_s: float, budget: float = 100.0) -> Overflow:
    """As a run with one worker that takes 12 s a picture would choose."""
    workflows = load_workflows(SHIPPED)
    known = Known(Fleet(Workers(), workflows))
    lanes = {"http://gpu1": "comfyui"}
    equivalents = equivalents_of(made.requests, made.rows, workflows, MODELS)
    seconds = partial(local_seconds, lanes=lanes, known=known)
    return choose_overflow(made.requests, equivalents, seconds, limit_s, money(budget))


def test_nothing_overflows_while_the_workers_are_in_time() -> None:
    found = chosen(gpu_plan(row(variants=10)), limit_s=120)
    assert (0, 2.0) == (found.quote.pictures, found.quote.minutes)


def test_the_quote_says_what_could_go_if_the_workers_fail() -> None:
    found = chosen(gpu_plan(row(variants=10)), limit_s=120, budget=0.117 + 2 * 0.006)
    assert (0, 2, 0.0121) == (found.quote.pictures, found.quote.most, round(found.quote.most_usd, 4))
    assert 10 == len(found.requests)


def test_as_few_as_needed_are_expected_to_overflow() -> None:
    found = chosen(gpu_plan(row(2, variants=5), row(3, variants=5, priority=1)), limit_s=60)
    assert (5, 2.0, 1.0) == (found.quote.pictures, found.quote.minutes, found.quote.limit_minutes)
    assert (0.0195, 0.03) == (found.quote.cost_usd.low, round(found.quote.cost_usd.high, 3))


def test_no_more_overflows_than_the_caps_allow() -> None:
    made = gpu_plan(row(variants=10))
    assert 1 == chosen(made, limit_s=60, budget=0.117).quote.pictures
    assert {} == chosen(made, limit_s=60, budget=0.0).requests


def test_what_has_been_paid_for_goes_whatever_the_caps_say() -> None:
    made = gpu_plan(row(variants=3))
    paid = frozenset({made.requests[0].request.key})
    equivalents = equivalents_of(made.requests, made.rows, load_workflows(SHIPPED), MODELS)
    found = choose_overflow(made.requests, equivalents, lambda _: 0.0, 60, replace(money(0.0), paid=paid))
    assert (paid, 1, 0.0) == (found.paid, found.quote.most, found.quote.most_usd)


def test_the_equivalent_has_the_same_prompt_size_and_seed_and_the_values_that_the_contract_maps() -> None:
    made = gpu_plan(row(variants=2, parameters={"steps": 30, "cfg": 6.0}))
    found = chosen(made, limit_s=12)
    key, request = next(iter(found.requests.items()))
    own = next(planned.request for planned in made.requests if planned.request.key == key)
    assert (own.prompt, own.negative_prompt, own.width, own.height, own.seed) == (
        request.prompt, request.negative_prompt, request.width, request.height, request.seed,
    )  # fmt: skip
    assert (MODELS["sdxl"].ref, 30, 6.0) == (request.model, request.parameters["steps"], request.parameters["cfg"])


@pytest.mark.parametrize(
    "fields",
    [
        {"backend": "comfyui"},
        {"model": "juggernaut.safetensors"},
        {"parameters": {"sampler": "uni_pc"}},
        {"parameters": {"scheduler": "karras"}},
        {"parameters": {"cfg": 0.5}},
        {"workflow": "sd15-txt2img"},
        {"sizes": sized(2048, 4096)},
    ],
)
def test_what_would_be_another_picture_there_stays_here(fields: Mapping[str, object]) -> None:
    assert {} == chosen(gpu_plan(row(variants=10, **fields)), limit_s=12).requests


@pytest.mark.parametrize(
    ("sampler", "there"),
    [
        (None, "K_EULER_ANCESTRAL"),
        ("euler", "K_EULER"),
        ("heun", "HeunDiscrete"),
        ("dpmpp_2m", "DPMSolverMultistep"),
    ],
)
def test_a_sampler_goes_under_the_name_that_it_has_there(sampler: str | None, there: str) -> None:
    parameters = {"sampler": sampler} if sampler else {}
    [request] = chosen(gpu_plan(row(parameters=parameters)), limit_s=1).requests.values()
    assert there == request.parameters["scheduler"]


@pytest.mark.parametrize("name", ["sd15-txt2img", "sdxl-controlnet-pose", "sdxl-lora", "sdxl-refine"])
def test_a_workflow_without_an_equivalent_says_why(name: str) -> None:
    assert {} == load_workflows(SHIPPED)[name].contract.equivalent
    assert "\n# No `equivalent`: " in (SHIPPED / f"{name}.contract.yaml").read_text("utf-8")


@pytest.mark.parametrize(("written", "seconds"), [("off", None), ("", None), ("30m", 1800), ("2h", 7200), ("90 s", 90)])
def test_the_limit_is_written_with_its_unit(written: str, seconds: float | None) -> None:
    assert seconds == limit_of(written)


@pytest.mark.parametrize("written", ["on", "30", "-5m", "1.5h"])
def test_a_limit_that_cannot_be_read_is_an_option_error(written: str) -> None:
    with pytest.raises(OptionError, match=r"Write off, or how long the GPUs may take: 30m, 2h\."):
        limit_of(written)


def test_what_else_may_make_a_workflow_s_pictures_changes_no_key() -> None:
    workflows = load_workflows(SHIPPED)
    known = workflows["sdxl-txt2img"]
    without = known.contract.model_copy(update={"equivalent": {}})
    assert known.contract.equivalent
    assert _sha256_of(known.graph, without) == known.sha256
