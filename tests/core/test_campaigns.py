"""The example campaigns and presets are right, and show what a sheet can do."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest

from assetline.catalogue import Catalogue, load_catalogue
from assetline.plan import CampaignPlan, World, campaign_slug, plan_campaign
from assetline.plan.sizes import size_for
from assetline.sheet import read_sheet
from assetline.workflow import load_workflows

PRESETS = {
    "Product Photography": "professional product photography, studio lighting, white background, 8k",
    "Social Media": "vibrant colors, modern design, instagram aesthetic, eye-catching",
    "Concept Art": "concept art, digital painting, detailed, artstation trending",
    "Photorealistic": "photorealistic, 8k, ultra detailed, DSLR quality, natural lighting",
    "Minimalist": "minimalist design, clean, modern, simple composition, negative space",
}
MEGAPIXEL = 1024 * 1024


@pytest.fixture
def folder(project_root: Path) -> Path:
    return project_root / "campaigns"


@pytest.fixture
def catalogue(folder: Path) -> Catalogue:
    return load_catalogue(folder)


@pytest.fixture
def planned(project_root: Path, folder: Path, catalogue: Catalogue) -> Callable[[str, str], CampaignPlan]:
    def plan(name: str, lane: str) -> CampaignPlan:
        world = World(catalogue, load_workflows(project_root / "workflows"), frozenset({lane}))
        sheet = read_sheet(name, (folder / name).read_bytes(), catalogue)
        return plan_campaign(campaign_slug(name), sheet, world)

    return plan


def test_the_presets_and_the_default_negative_prompt_are_as_promised(catalogue: Catalogue) -> None:
    assert {style.name: style.prompt for style in catalogue.styles.values()} == PRESETS
    assert catalogue.default_negative_prompt == "blurry, low quality, distorted, text, watermark"


def test_channels_render_in_their_ratio_at_about_a_megapixel(catalogue: Catalogue) -> None:
    for channel in catalogue.channels.values():
        width, height = channel.render
        assert 0.5 < width * height / MEGAPIXEL < 1.25, channel.name
        common = math.gcd(channel.width, channel.height)
        smallest_exact = channel.width * channel.height // common**2 * 64
        exact = width * channel.height == height * channel.width
        assert exact or smallest_exact > 1.5 * MEGAPIXEL, channel.name


def test_a_channel_and_the_ratio_of_its_name_give_the_same_size(catalogue: Catalogue) -> None:
    ratios = {"instagram_feed": (4, 5), "instagram_square": (1, 1), "instagram_story": (9, 16), "pinterest_pin": (2, 3)}
    expected = {name: size_for(ratio, (1024, 1024)) for name, ratio in ratios.items()}
    assert {name: catalogue.channels[name].render for name in ratios} == expected


@pytest.mark.parametrize("lane", ["fpo", "comfyui"])
@pytest.mark.parametrize("name", ["spring-launch.csv", "holiday.xlsx"])
def test_an_example_checks_clean_on_every_lane_and_uses_all_styles(
    planned: Callable[[str, str], CampaignPlan], name: str, lane: str
) -> None:
    made = planned(name, lane)
    assert [str(problem) for problem in made.problems] == []
    assert {style for row in made.rows for style in row.styles} == {name.lower().replace(" ", "_") for name in PRESETS}


def test_spring_launch_shows_what_a_sheet_can_do_and_runs_in_about_a_minute(
    planned: Callable[[str, str], CampaignPlan], folder: Path, catalogue: Catalogue
) -> None:
    made = planned("spring-launch.csv", "fpo")
    assert len(made.rows) >= 24
    assert 90 <= len(made.requests) <= 110
    with (folder / "spring-launch.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["language"] for line in lines} == {"en", "de"}
    filled = {name for line in lines for name, text in line.items() if text}
    assert filled >= {"size", "width", "height", "channels", "variants", "seed", "workflow", "negative_prompt", "steps"}
    prompts = " ".join(line["prompt"] for line in lines if line["language"] == "de")
    assert [sign for sign in ("{product}", "|", "__blumen__", "ä", "ü", "ß") if sign not in prompts] == []
    channels = {size.label for row in made.rows for size in row.sizes} & {c.name for c in catalogue.channels.values()}
    assert len(channels) >= 10
    assert {size.ratio is None for row in made.rows for size in row.sizes} == {True, False}


def test_holiday_is_an_agency_s_workbook_whose_ids_keep_their_zeros(
    planned: Callable[[str, str], CampaignPlan], folder: Path
) -> None:
    made = planned("holiday.xlsx", "fpo")
    worksheet = openpyxl.load_workbook(folder / "holiday.xlsx").active
    assert [row.id for row in made.rows][:2] == ["01204", "01205"]
    assert (worksheet["A5"].value, worksheet["A5"].number_format, worksheet.freeze_panes) == (1204, "00000", "C5")
    assert [str(merge) for merge in worksheet.merged_cells.ranges] == ["A1:M1"]
