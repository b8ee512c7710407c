"""The models at Replicate as plan and check see them: what each takes, what is sent, what it costs. No network."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from fakes.command_line import ROOT

from assetline.backends.replicate.catalog import find_model, load_models
from assetline.backends.replicate.fields import Misfit, SizeFit
from assetline.errors import OptionError
from assetline.records import ImageRequest

MODELS = load_models()
TWELVE = [
    "sdxl",
    "flux-schnell",
    "flux-dev",
    "flux-1.1-pro",
    "flux-kontext-pro",
    "stable-diffusion-3.5-large",
    "imagen-4",
    "ideogram-v3-turbo",
    "recraft-v3",
    "seedream-4",
    "nano-banana",
    "qwen-image",
]


def request(model: str = "flux-schnell", **fields) -> ImageRequest:
    known = MODELS[model]
    facts = {"prompt": "a red fox", "width": 1024, "height": 1024, "seed": 7, "model": known.ref}
    return ImageRequest(**{**facts, "parameters": known.complete({}), **fields})


def codes(model: str, *written: str, **fields) -> list[str]:
    return [one.code for one in MODELS[model].misfits(request(model, **fields), written)]


def sent(model: str, images: dict | None = None, **fields) -> dict:
    return MODELS[model].to_input(request(model, **fields), images or {}).input


def test_the_catalogue_has_the_twelve_models_each_with_its_price_and_where_that_is_from() -> None:
    assert TWELVE == list(MODELS)
    assert all(model.price.source and model.price.usd > 0 for model in MODELS.values())
    assert MODELS["sdxl"].version.startswith("7762fd07cf82")
    assert "version" == MODELS["sdxl"].call


def test_reading_the_catalogue_imports_neither_the_client_nor_httpx() -> None:
    script = (
        "import sys; from assetline.backends.replicate.catalog import load_models; load_models();"
        "print(sorted({'replicate', 'httpx', 'jsonschema', 'sqlalchemy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.strip()


@pytest.mark.parametrize("model", TWELVE)
def test_every_model_makes_a_square_picture_from_its_defaults(model: str) -> None:
    references = {role: "a" * 64 for role, image in MODELS[model].images.items() if image.required}
    asked = request(model, references=references)
    assert [] == MODELS[model].misfits(asked, ())
    images = dict.fromkeys(references, "https://x/y.png")
    assert sent(model, images, references=references)["prompt"] == "a red fox"


def test_what_is_sent_to_flux_says_everything_that_makes_the_picture() -> None:
    assert sent("flux-schnell") == {
        "prompt": "a red fox",
        "seed": 7,
        "aspect_ratio": "1:1",
        "megapixels": "1",
        "num_inference_steps": 4,
        "output_format": "png",
        "output_quality": 100,
        "go_fast": False,
        "num_outputs": 1,
    }


def test_defaults_that_change_pictures_or_cost_money_are_sent_explicitly() -> None:
    assert sent("ideogram-v3-turbo")["magic_prompt_option"] == "Off"
    assert sent("seedream-4")["sequential_image_generation"] == "disabled"
    assert sent("seedream-4")["max_images"] == 1
    assert sent("recraft-v3")["aspect_ratio"] == "Not set"
    assert sent("flux-1.1-pro")["prompt_upsampling"] is False
    assert sent("sdxl")["prompt"] == "a red fox"


@pytest.mark.parametrize(
    ("model", "written", "fields", "expected"),
    [
        ("flux-dev", ("negative_prompt",), {"negative_prompt": "blurry"}, ["negative-unused"]),
        ("flux-dev", (), {"negative_prompt": "blurry"}, []),
        ("sdxl", ("negative_prompt",), {"negative_prompt": "blurry"}, []),
        ("imagen-4", ("seed",), {}, ["seed-unused"]),
        ("imagen-4", (), {}, []),
        ("flux-dev", ("seed",), {"seed": 2**40}, ["parameter-unfit"]),
        ("flux-dev", (), {"seed": 2**63}, []),
        ("flux-schnell", (), {"parameters": {"steps": 5}}, ["parameter-unfit"]),
        ("flux-schnell", (), {"parameters": {"steps": 2.5}}, ["parameter-unfit"]),
        ("flux-schnell", (), {"parameters": {"steps": "many"}}, ["parameter-unfit"]),
        ("flux-schnell", (), {"parameters": {"cfg": 3}}, ["parameter-unknown"]),
        ("flux-schnell", (), {"parameters": {"num_outputs": 4}}, ["parameter-unfit"]),
        ("flux-schnell", (), {"parameters": {"output_format": "tiff"}}, ["parameter-unfit"]),
        ("flux-schnell", (), {"width": 1424, "height": 744}, ["size-unfit"]),
        ("recraft-v3", (), {"width": 1000, "height": 1000}, ["size-unfit"]),
        ("recraft-v3", (), {"prompt": "ä" * 501}, ["text-too-long"]),
        ("flux-kontext-pro", (), {}, ["parameter-missing"]),
        ("flux-schnell", (), {"references": {"reference_image": "a" * 64}}, ["parameter-unknown"]),
        ("flux-1.1-pro", (), {"width": 1000}, ["size-unfit"]),
    ],
)
def test_what_a_model_cannot_do_is_told(model: str, written: tuple, fields: dict, expected: list[str]) -> None:
    assert expected == codes(model, *written, **fields)


def test_all_that_does_not_fit_is_told_at_once_with_the_model_s_name_and_a_remedy() -> None:
    wrong = {"seed": 5, "width": 1000, "height": 300, "parameters": {"steps": 9, "lora": "x"}}
    found = MODELS["imagen-4"].misfits(request("imagen-4", **wrong), ("seed",))
    assert {"seed-unused", "size-unfit", "parameter-unknown"} == {one.code for one in found}
    assert all(one.message.startswith("imagen-4 at Replicate ") and one.fix for one in found)


def test_what_the_house_adds_and_the_model_lacks_is_left_out_with_a_note() -> None:
    made = MODELS["imagen-4"].to_input(request("imagen-4", negative_prompt="blurry", seed=3), {})
    assert made.seed is None
    assert not {"seed", "negative_prompt"} & made.input.keys()
    assert ["no negative prompt" in made.notes[0], "no seed" in made.notes[1]] == [True, True]


def test_a_derived_seed_that_is_too_large_is_folded_and_told() -> None:
    made = MODELS["flux-dev"].to_input(request("flux-dev", seed=2**63 + 5), {})
    assert (5, 5) == (made.seed, made.input["seed"])
    assert "2147483647" in made.notes[0]


def test_lines_are_joined_for_flux_alone() -> None:
    assert "a fox in the snow" == sent("flux-dev", prompt="a fox\n  in the snow\n")["prompt"]
    assert "a fox\nin the snow" == sent("sdxl", prompt="a fox\nin the snow")["prompt"]


def test_truth_values_go_out_as_json_has_them_however_they_were_written() -> None:
    written = [sent("flux-dev", parameters={"go_fast": value})["go_fast"] for value in (1, 0, "true", "off")]
    assert [True, False, True, False] == written


def test_a_size_is_asked_for_in_the_model_s_own_way() -> None:
    assert {"aspect_ratio": "4:5"}.items() <= sent("flux-dev", width=928, height=1160).items()
    assert {"size": "1820x1024"}.items() <= sent("recraft-v3", width=1820, height=1024).items()
    wide = sent("flux-1.1-pro", width=1440, height=800)
    assert ("custom", 1440, 800) == (wide["aspect_ratio"], wide["width"], wide["height"])


def test_the_pixels_that_a_ratio_makes_are_known_beforehand() -> None:
    assert SizeFit(
        {"aspect_ratio": "4:5", "megapixels": "1"}, 896, 1088, "928x1160 was sent as 4:5, which makes 896x1088."
    ) == MODELS["flux-dev"].fit(928, 1160)


def test_a_size_that_cannot_be_made_is_refused_with_what_can_or_the_nearest_is_taken_where_that_is_wanted() -> None:
    refused = MODELS["flux-dev"].fit(1424, 744)
    assert isinstance(refused, Misfit)
    assert ("16:9" in refused.message, refused.fix) == (True, "Nearest: 16:9 (1344x768).")
    taken = MODELS["flux-dev"].fit(1424, 744, strict=False)
    assert isinstance(taken, SizeFit)
    assert ("16:9", 1344, 768) == (taken.send["aspect_ratio"], taken.width, taken.height)


def test_reference_images_go_where_the_model_takes_them() -> None:
    reference = {"reference_image": "a" * 64}
    images = {"reference_image": "https://x/y"}
    assert "https://x/y" == sent("flux-kontext-pro", images, references=reference)["input_image"]
    assert ["https://x/y"] == sent("nano-banana", images, references=reference)["image_input"]


def test_a_price_is_per_picture_or_per_second_and_the_most_is_reserved() -> None:
    assert (0.003, 0.003) == MODELS["flux-schnell"].price_range(request())
    assert 0.003 == MODELS["flux-schnell"].reserve(request())
    low, high = MODELS["sdxl"].price_range(request("sdxl"))
    assert 0.003 < low < high < 0.007
    assert 0.117 == pytest.approx(MODELS["sdxl"].reserve(request("sdxl")))


def test_what_failed_counts_as_charged_and_what_never_began_does_not() -> None:
    price, by_second = MODELS["flux-dev"].price, MODELS["sdxl"].price
    facts = {"pictures": 0, "worked_s": 4.0, "began": True, "deadline_s": 120}
    assert 0.025 == price.charge("failed", **facts)
    assert 0.025 == price.charge("canceled", **facts)
    assert 0.0 == price.charge("canceled", **{**facts, "began": False})
    assert 0.0 == price.charge("aborted", **{**facts, "began": False})
    assert 0.0 == price.charge("succeeded", **facts)
    assert 0.05 == price.charge("succeeded", **{**facts, "pictures": 2})
    assert 0.0039 == by_second.charge("failed", **facts)
    assert 0.117 == pytest.approx(by_second.charge("succeeded", **{**facts, "worked_s": None}))


def test_a_price_grows_old() -> None:
    price = MODELS["flux-dev"].price
    assert [False, True] == [price.is_old(date(2026, 12, 24)), price.is_old(date(2027, 2, 1))]


@pytest.mark.parametrize("written", ["flux-dev", "Flux-Dev ", "black-forest-labs/flux-dev"])
def test_a_model_is_found_by_its_name_or_its_owner_and_name(written: str) -> None:
    assert MODELS["flux-dev"] == find_model(written, MODELS)


def test_a_pinned_version_is_part_of_the_identity() -> None:
    assert MODELS["sdxl"] == find_model(f"stability-ai/sdxl:{MODELS['sdxl'].version}", MODELS)
    assert None is find_model("stability-ai/sdxl:" + "0" * 64, MODELS)


OWN = """
models:
  house:
    model: house/fox
    call: version
    version: {version}
    size: {{form: pixels, min: 512, max: 1024}}
    output: list
    price: {{usd: 0.001, per: image, certainty: p, source: our contract, date: 2026-11-01}}
"""


def test_a_file_of_one_s_own_adds_models(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN.format(version="a" * 64))
    models = load_models(tmp_path / "own.yaml")
    assert [*TWELVE, "house"] == list(models)
    assert "house/fox:" + "a" * 64 == models["house"].ref


def test_everything_that_is_wrong_with_one_s_own_models_is_told_at_once(tmp_path: Path) -> None:
    text = OWN.format(version="1.0") + "    sceed: seed\n  second: {model: fox, call: official}\n"
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(OptionError) as caught:
        load_models(tmp_path / "own.yaml")
    words = str(caught.value)
    assert all(
        part in words for part in ("own.yaml", "house: sceed: there is no such field", "second: output", "price")
    )


@pytest.mark.parametrize("text", ["", "models: 3", "a: b: c", "models: {x: 3}", "model: {}"])
def test_a_file_that_holds_no_models_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(OptionError, match=r"own\.yaml"):
        load_models(tmp_path / "own.yaml")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="No such file"):
        load_models(tmp_path / "own.yaml")
