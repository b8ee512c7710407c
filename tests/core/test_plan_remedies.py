"""What a prompt or a size gets wrong is said with what was probably meant, at the cell where it stands."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from assetline.catalogue import load_catalogue
from assetline.plan import CampaignPlan, World, plan_campaign
from assetline.sheet import read_sheet
from assetline.workflow import load_workflows

ROOT = Path(__file__).parents[2]
CATALOGUE, WORKFLOWS = load_catalogue(ROOT / "campaigns"), load_workflows(ROOT / "workflows")


def planned(text: str, picture: bytes = b"") -> CampaignPlan:
    """A sheet that is written out in the test, against what this repository has, for comps."""
    read = (lambda _: picture) if picture else None
    world = World(catalogue=CATALOGUE, workflows=WORKFLOWS, lanes=frozenset({"fpo"}), read_reference=read)
    return plan_campaign("mugs", read_sheet("mugs.csv", text.encode(), CATALOGUE), world)


MUG = "id;prompt;product;colour\n1;{};mug;red|blue\n"


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        (
            "a {{product}}",
            '"{{product}}" stands in the prompt as it is written. The cell of the column product is {product}',
        ),
        (
            "a [product]",
            '"[product]" stands in the prompt as it is written. The cell of the column product is {product}',
        ),
        ("a < product >", '"< product >" stands in the prompt as it is written.'),
        ("a {product} in {colour}", '{colour} puts "red|blue" into the prompt as it is written. A choice stands in'),
        ("a __setings__ mug", "Did you mean __setting__? Put its lines into wildcards/setings.txt"),
        ("a {red/blue} mug", "A choice is written with bars: {red|blue}."),
        ("a {red, blue or green} mug", "A choice is written with bars: {red|blue|green}."),
        (
            "a {product\u201d in red",
            'The "{" at character 3 ("{product\u201d in red") is never closed. Did you mean {product}?',
        ),
    ],
)
def test_what_looks_like_a_placeholder_is_told_with_what_was_meant(prompt: str, told: str) -> None:
    [problem] = planned(MUG.format(prompt)).problems
    assert (problem.cell, told in str(problem)) == ("B2", True), str(problem)


@pytest.mark.parametrize("prompt", ["a mug [soft light]", "a <lora:x:1> mug", "a {{quoted}} mug", "{product} [style]"])
def test_brackets_that_name_no_column_of_the_sheet_are_nobodys_mistake(prompt: str) -> None:
    assert planned(MUG.format(prompt)).problems == ()


def test_a_size_is_blamed_where_it_stands_and_not_in_a_blank_cell_beside_it() -> None:
    [problem] = planned("prompt;channels;size\na mug;;1081 x 1350px\n").problems
    assert (problem.code, problem.cell) == ("size-unfit", "C2")


def test_a_size_that_cannot_be_made_but_cut_is_told_with_its_channels() -> None:
    [problem] = planned("prompt;size\na mug;1080x1350\n").problems
    assert problem.fix == (
        "The nearest size is 1080x1352. A channel is cut to the pixel: instagram_feed, facebook_feed."
    )


def test_a_reference_image_that_is_not_there_is_told_though_the_workflow_takes_none() -> None:
    found = [(p.code, p.severity) for p in planned("prompt;pose\na mug;C:\\\\poses\\\\run.png\n").problems]
    assert found == [("parameter-unknown", "error"), ("reference-unreadable", "warning")]


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP"])
def test_a_reference_image_that_is_cut_short_is_told_before_anything_is_made(file_format: str) -> None:
    file = io.BytesIO()
    thumbnail = Image.Exif()
    thumbnail[0x010E] = "\xff\xd9"  # what ends a JPEG may stand in its metadata too
    Image.effect_noise((90, 60), 90).convert("RGB").save(file, file_format, exif=thumbnail)
    whole, sheet = file.getvalue(), "prompt;pose;workflow\na mug;run.png;sdxl-controlnet-pose\n"
    for data in (whole, whole + b"\0 what a telephone adds"):
        assert planned(sheet, data).problems == ()
    for data in (whole[: len(whole) * 2 // 3], whole[:-40], whole[:30]):
        [problem] = planned(sheet, data).problems
        told = (problem.code, problem.cell, "cut short or damaged" in problem.message)
        assert told == ("reference-unreadable", "B2", True), len(data)
