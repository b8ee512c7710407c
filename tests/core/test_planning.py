"""bootstrap.planning: where a sheet and its references are read from, which store and lanes a run has."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from fakes.campaigns import png

from assetline.bootstrap.planning import (
    campaign_of,
    lane_kinds,
    lane_names,
    limits_of,
    open_store,
    plan_sheet,
    read_source,
)
from assetline.bootstrap.running import open_job
from assetline.catalogue import Channel
from assetline.errors import OptionError, WorkflowError
from assetline.run_records import RunOptions
from assetline.settings import Settings, load_settings
from assetline.sheet import Limits
from assetline.store.folder import FolderStore

SHEET = "id,prompt,size\nTENT,a red tent,128x128\n"
POSE = "id,prompt,size,workflow,pose_image\nTENT,a dancer,1024x1024,sdxl-controlnet-pose,{}\n"
GPU = RunOptions(lanes=("http://gpu1:8188",))


def write(name: str, data: bytes | str) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return name


# --- the sheet


def test_a_sheet_is_read_as_bytes_with_its_file_name() -> None:
    source = read_source(write("sheets/spring.csv", b"\xef\xbb\xbfid\r\n"), Settings())
    assert ("spring.csv", b"\xef\xbb\xbfid\r\n") == (source.name, source.data)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("missing.csv", "missing.csv cannot be read: no such file or directory."),
        (".", ". cannot be read: is a directory."),
        ("spring.csv/x", "spring.csv/x cannot be read: not a directory."),
        ("s3://bucket", "s3://bucket names no file in S3; one looks like s3://bucket/folder/sheet.csv."),
        (
            "s3://bucket/folder/",
            "s3://bucket/folder/ names no file in S3; one looks like s3://bucket/folder/sheet.csv.",
        ),
        ("s3:///sheet.csv", "s3:///sheet.csv names no file in S3; one looks like s3://bucket/folder/sheet.csv."),
    ],
)
def test_a_sheet_that_cannot_be_read_is_an_option_error(address: str, said: str) -> None:
    write("spring.csv", SHEET)
    with pytest.raises(OptionError) as error:
        read_source(address, Settings())
    assert said == str(error.value)


def test_a_file_over_the_limit_is_a_problem_of_the_sheet_and_is_not_read_whole() -> None:
    with Path("huge.csv").open("wb") as file:
        file.write(b"prompt\n")
        file.truncate(10**12)  # sparse: reading it would take all memory
    [problem] = plan_sheet("huge.csv", RunOptions(), Settings()).plan.problems
    assert ("file-too-large", "The file has more than 20,000,000 bytes.") == (problem.code, problem.message)


def test_a_run_knows_the_channels_of_its_sheet_for_their_safe_areas() -> None:
    options, settings = RunOptions(lanes=("fpo",), store="assets"), Settings()

    async def channels() -> Mapping[str, Channel]:
        async with open_job(plan_sheet(write("spring.csv", SHEET), options, settings), options, settings) as job:
            return job.channels

    assert asyncio.run(channels())["instagram_story"].safe == (0, 269, 1080, 1536)


def test_a_reference_image_over_the_limit_is_refused() -> None:
    write("big.png", b"x" * 3_000)
    sheet = write("spring.csv", "prompt,workflow,reference_image\na pose,sdxl-controlnet-pose,big.png\n")
    [problem] = plan_sheet(sheet, RunOptions(), Settings(max_sheet_bytes=2_000)).plan.problems
    assert problem.message.startswith("big.png has more than 2,000 bytes (ASSETLINE_MAX_SHEET_BYTES).")


# --- store and lanes


@pytest.mark.parametrize("uri", ["made", "./made/", "file://{cwd}/made"])
def test_a_folder_is_a_store_and_is_not_made_by_opening_it(uri: str) -> None:
    store = open_store(uri.format(cwd=Path.cwd()), Settings())
    assert isinstance(store, FolderStore)
    assert str(Path("made").resolve()) == store.uri
    assert not Path("made").exists()


def test_a_store_in_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(Path.cwd()))
    assert str(Path("made").resolve()) == open_store("~/made", Settings()).uri


@pytest.mark.parametrize("uri", ["http://there/made", "gs://bucket"])
def test_another_scheme_is_no_store(uri: str) -> None:
    with pytest.raises(OptionError):
        open_store(uri, Settings())


def test_lanes_are_those_given_else_of_the_settings_else_fpo() -> None:
    settings = Settings(comfyui=("http://gpu1:8188",))
    assert ("http://gpu2:8188", "fpo") == lane_names(RunOptions(lanes=("http://gpu2:8188", "fpo")), settings)
    assert ("http://gpu1:8188",) == lane_names(RunOptions(), settings)
    assert ("fpo",) == lane_names(RunOptions(), Settings())


def test_a_lane_given_twice_is_one_lane() -> None:
    twice = RunOptions(lanes=("http://gpu1:8188/", "fpo", " http://gpu1:8188", "fpo"))
    assert ("http://gpu1:8188", "fpo") == lane_names(twice, Settings())


def test_every_bad_lane_is_named_at_once() -> None:
    with pytest.raises(OptionError) as error:
        lane_names(RunOptions(lanes=("gpu1", "fpo", "replicat", "")), Settings())
    said = str(error.value)
    assert '"gpu1" is no lane. A lane is fpo, replicate, or a ComfyUI URL such as http://gpu1:8188.' in said
    assert '"replicat" is no lane.' in said
    assert '"" is no lane.' in said


def test_the_kind_of_each_lane() -> None:
    kinds = lane_kinds(("fpo", "https://gpu1", "replicate"))
    assert {"fpo": "fpo", "https://gpu1": "comfyui", "replicate": "replicate"} == kinds


# --- the plan


@pytest.mark.parametrize(
    ("address", "campaign", "expected"),
    [
        ("sheets/Spring Launch.csv", "", "spring-launch"),
        ("s3://drop/2027/Spring Launch.xlsx", "", "spring-launch"),
        ("spring.checked.csv", "", "spring"),
        ("spring.csv", "Summer 2027", "summer-2027"),
    ],
)
def test_the_campaign_is_named_by_the_option_else_by_the_sheet(address: str, campaign: str, expected: str) -> None:
    assert expected == campaign_of(address, RunOptions(campaign=campaign))


def test_every_limit_of_the_settings_reaches_the_sheet() -> None:
    settings = Settings(
        max_rows=1, max_sheet_bytes=2_000, max_prompt_characters=3, max_variants=4, min_side_px=65, max_side_px=66
    )
    expected = Limits(rows=1, file_bytes=2_000, prompt_characters=3, variants=4, min_side_px=65, max_side_px=66)
    assert expected == limits_of(settings)


def test_a_limit_from_the_environment_is_a_problem_of_the_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSETLINE_MAX_SIDE_PX", "100")
    planning = plan_sheet(write("spring.csv", SHEET), RunOptions(), load_settings())
    assert (False, ["C2"]) == (planning.plan.ok, [problem.cell for problem in planning.plan.problems])


def test_the_default_workflow_is_a_setting() -> None:
    sheet = write("spring.csv", "id,prompt\nTENT,a red tent\n")
    planning = plan_sheet(sheet, GPU, Settings(default_workflow="sd15-txt2img"))
    [planned] = planning.plan.requests
    assert ("sd15-txt2img", 512, 512) == (planned.request.workflow, planned.request.width, planned.request.height)


def test_rows_and_only_valid_reach_the_plan() -> None:
    sheet = write("spring.csv", SHEET + "MUG,a mug,huge\nPAN,a pan,128x128\n")
    only = plan_sheet(sheet, RunOptions(rows=("PAN", "MUG"), only_valid=True), Settings()).plan
    assert (True, ["PAN"]) == (only.ok, [planned.row for planned in only.requests])
    assert not plan_sheet(sheet, RunOptions(rows=("PAN", "MUG")), Settings()).plan.ok


@pytest.mark.parametrize("place", ["sheets/pose.png", "pose.png"])
def test_a_reference_lies_beside_the_sheet_or_in_the_working_folder(place: str) -> None:
    write(place, png(1))
    planning = plan_sheet(write("sheets/dance.csv", POSE.format("pose.png")), GPU, Settings())
    assert ((), [png(1)]) == (planning.plan.problems, list(planning.references.values()))
    [planned] = planning.plan.requests
    assert list(planning.references) == list(planned.request.references.values())


def test_beside_the_sheet_comes_first() -> None:
    write("pose.png", png(1))
    write("sheets/pose.png", png(2))
    planning = plan_sheet(write("sheets/dance.csv", POSE.format("pose.png")), GPU, Settings())
    assert [png(2)] == list(planning.references.values())


def test_a_reference_that_is_missing_is_a_problem_of_its_cell() -> None:
    planning = plan_sheet(write("dance.csv", POSE.format("pose.png")), GPU, Settings())
    [problem] = planning.plan.errors
    assert ("E2", "pose.png") == (problem.cell, problem.value)


def test_workflows_and_presets_come_from_the_folders_of_the_settings(project_root: Path) -> None:
    write("mine/broken.json", "{")
    with pytest.raises(WorkflowError):
        plan_sheet(write("spring.csv", SHEET), RunOptions(), Settings(workflows_folder=Path("mine")))
    write("presets/styles.yaml", (project_root / "campaigns/styles.yaml").read_text().replace("Minimalist", "Bare"))
    write("presets/channels.yaml", (project_root / "campaigns/channels.yaml").read_text())
    styled = write("styled.csv", "id,prompt,size,style\nTENT,a tent,128x128,Bare\n")
    assert plan_sheet(styled, RunOptions(), Settings(campaigns_folder=Path("presets"))).plan.ok
    assert not plan_sheet(styled, RunOptions(), Settings()).plan.ok


# --- settings


def test_the_defaults_of_the_contract() -> None:
    settings = load_settings()
    assert ("./assets", (), 0.0) == (settings.store, settings.comfyui, settings.max_cost)
    assert (10_000, 20_000_000, 5_000, 64) == (
        settings.max_rows,
        settings.max_sheet_bytes,
        settings.max_prompt_characters,
        settings.max_variants,
    )
    assert (64, 4_096) == (settings.min_side_px, settings.max_side_px)


def test_a_token_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_secret")
    settings = load_settings()
    assert settings.replicate_api_token
    assert "r8_secret" == settings.replicate_api_token.get_secret_value()
    assert "r8_secret" not in repr(settings) + settings.model_dump_json()


def test_every_bad_setting_is_named_and_none_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSETLINE_MAX_ROWS", "hunter2")
    Path(".env").write_text("ASSETLINE_MIN_SIDE_PX=hunter3\n")
    with pytest.raises(OptionError) as error:
        load_settings()
    assert "ASSETLINE_MAX_ROWS: " in str(error.value)
    assert "ASSETLINE_MIN_SIDE_PX: " in str(error.value)
    assert "hunter" not in str(error.value)


def test_a_picture_that_may_take_longer_than_its_whole_try_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shorter whole alone is none: it ends the picture too."""
    monkeypatch.setenv("ASSETLINE_REQUEST_TIMEOUT_S", "300")
    assert (900, 300) == (load_settings().picture_timeout_s, load_settings().request_timeout_s)
    monkeypatch.setenv("ASSETLINE_PICTURE_TIMEOUT_S", "600")
    with pytest.raises(OptionError, match="PICTURE_TIMEOUT_S is longer than ASSETLINE_REQUEST_TIMEOUT_S"):
        load_settings()
