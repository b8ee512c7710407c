"""Names fold alike, and every fault of the campaign files is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assetline.catalogue import Catalogue, Channel, Style, load_catalogue, name_key, slug
from assetline.errors import OptionError


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Product Photography", "product_photography"),
        ("  Größe / Size ", "grösse_size"),
        ("instagram-feed", "instagram_feed"),
        ("Cafe\u0301", "café"),
        ("サイズ 1", "サイズ_1"),
        ("__", ""),
    ],
)
def test_slug_keeps_letters_of_any_script_and_digits(text: str, expected: str) -> None:
    assert slug(text) == expected


@given(st.text())
def test_slug_of_a_slug_is_itself(text: str) -> None:
    assert slug(slug(text)) == slug(text)


def test_column_names_fold_without_blanks_and_underscores() -> None:
    assert {name_key(text) for text in ("Product Name", "product_name", "ProductName")} == {"productname"}


def test_load_reads_styles_channels_and_wildcards(tmp_path: Path) -> None:
    write(tmp_path, "styles.yaml", "default_negative_prompt: blurry\nstyles:\n  Product Shot: {prompt: studio}\n")
    channel = "channels:\n  Feed: {width: 1080, height: 1350, render: [928, 1160], source: spec}\n"
    write(tmp_path, "channels.yaml", channel)
    write(tmp_path, "wildcards/Day Time.txt", "\ufeff# a note\n\n dawn \ndusk\n")
    expected = Catalogue(
        styles={"product_shot": Style(name="Product Shot", prompt="studio")},
        channels={"feed": Channel(name="Feed", width=1080, height=1350, render=(928, 1160), source="spec")},
        wildcards={"day_time": ("dawn", "dusk")},
        default_negative_prompt="blurry",
    )
    assert load_catalogue(tmp_path) == expected


def test_an_empty_folder_is_an_empty_catalogue(tmp_path: Path) -> None:
    assert load_catalogue(tmp_path) == Catalogue()


def test_a_missing_folder_is_an_option_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="nowhere"):
        load_catalogue(tmp_path / "nowhere")


def test_all_faults_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    write(
        tmp_path,
        "styles.yaml",
        "stiles: {}\ndefault_negative_prompt: [a]\nstyles: {A: {prompt: x}, a: {prompt: y}, B: z}\n",
    )
    write(
        tmp_path,
        "channels.yaml",
        "channels:\n"
        "  odd: {width: 10, height: 10, render: [1000, 1004], source: s}\n"
        "  flat: {width: 1080, height: 1350, render: [1024, 1024], source: s}\n"
        "  zero: {width: 0, height: 10, render: [8, 8], source: s, colour: red}\n"
        "  bare: {width: 10, height: 10}\n",
    )
    write(tmp_path, "wildcards/empty.txt", "# nothing\n")
    (tmp_path / "wildcards/latin.txt").write_bytes("Grün".encode("latin-1"))
    with pytest.raises(OptionError) as caught:
        load_catalogue(tmp_path)
    lines = str(caught.value).splitlines()
    starts = [
        "styles.yaml: 'stiles' is not a known key",
        "styles.yaml: default_negative_prompt: ['a'] is not text",
        "styles.yaml: a: the same name as one above",
        "styles.yaml: B: must be a list",
        "channels.yaml: odd: render 1000x1004: both sides must be multiples of 8",
        "channels.yaml: flat: render 1024x1024 has another ratio",
        "channels.yaml: zero: width: 0 cannot be used",
        "channels.yaml: zero: colour is not a known key",
        "channels.yaml: bare: render is missing",
        "channels.yaml: bare: source is missing",
        "wildcards/empty.txt: there is no line in it",
        "wildcards/latin.txt: cannot be read as UTF-8 text",
    ]
    assert [line for line, start in zip(lines, starts, strict=True) if not line.startswith(start)] == []


@pytest.mark.parametrize("text", ["styles: [", "styles: {A: {prompt: x}, A: {prompt: y}}", "- a list", "styles: text"])
def test_yaml_that_is_broken_or_of_another_shape_is_named(tmp_path: Path, text: str) -> None:
    write(tmp_path, "styles.yaml", text)
    with pytest.raises(OptionError, match=r"^styles\.yaml: "):
        load_catalogue(tmp_path)


def test_a_key_that_is_there_twice_is_named_with_its_line(tmp_path: Path) -> None:
    write(tmp_path, "styles.yaml", "styles:\n  A: {prompt: x}\n  A: {prompt: y}\n")
    with pytest.raises(OptionError, match=r"line 3: 'A' is there twice"):
        load_catalogue(tmp_path)
