"""Where things lie: keys that people can read, and that name a request for certain."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assetline.records import ImageRequest, PlannedRequest
from assetline.store import layout
from assetline.store.rules import MAX_PART_BYTES, check_key, nfc


def planned(row: str = "SKU0007", prompt: str = "A red shoe, on white", **changes: object) -> PlannedRequest:
    request = ImageRequest(prompt=prompt, width=1024, height=768, seed=7, **changes)
    return PlannedRequest(row=row, row_number=2, variant=1, size="4:3", request=request)


def row_of(row: str) -> str:
    return layout.place_of(planned(row)).row


def test_an_asset_lies_under_its_campaign_and_row_with_words_size_and_key() -> None:
    item = planned()
    expected = f"campaigns/spring/assets/SKU0007/a-red-shoe-on-white_1024x768_{item.request.key[:8]}.png"
    assert expected == layout.asset_key("spring", item, "png")


def test_the_sidecar_lies_beside_the_original() -> None:
    assert (
        layout.sidecar_key("campaigns/c/assets/r.1/a_1x1_00000000.png") == "campaigns/c/assets/r.1/a_1x1_00000000.json"
    )


def test_all_other_places() -> None:
    expected = [
        "campaigns/c/assets/",
        "campaigns/c/thumbs/abc/256.jpg",
        "campaigns/c/references/def.png",
        "campaigns/c/runs/",
        "campaigns/c/runs/r/",
        "campaigns/c/runs/r/run.json",
        "campaigns/c/runs/r/input/Frühling 2026.xlsx",
    ]
    assert expected == [
        layout.assets_prefix("c"),
        layout.thumbnail_key("c", "abc", 256),
        layout.reference_key("c", "def", "png"),
        layout.runs_prefix("c"),
        layout.run_prefix("c", "r"),
        layout.run_key("c", "r", "run.json"),
        layout.input_key("c", "r", "Frühling 2026.xlsx"),
    ]


@pytest.mark.parametrize(
    "row", ["SKU0007", "hero 1", "Größe 42", "靴-赤", "خریف", "a.b_c", "x" * 120, "50% off + more", "🦊"]
)
def test_a_row_is_kept_as_written_where_that_can_be(row: str) -> None:
    assert row == row_of(row)


@pytest.mark.parametrize(
    ("row", "start"),
    [
        ("a/b", "a-b-"),
        ("a\\b:c*d", "a-b-c-d-"),
        ("../../etc/passwd", "-..-etc-passwd-"),
        (" padded ", "padded-"),
        ("x" * 200, "x" * 120 + "-"),
        ("靴" * 50, "靴" * 40 + "-"),
        (".hidden", "hidden-"),
        ("line\nbreak\x00", "line-break-"),
    ],
)
def test_a_row_that_no_path_can_hold_stays_readable_and_gets_a_hash(row: str, start: str) -> None:
    safe = row_of(row)
    assert (start.lstrip("-"), 6) == (safe[:-6], len(safe.rpartition("-")[2]))


@pytest.mark.parametrize("row", [".", "..", "...", "/", ""])
def test_a_row_of_which_nothing_can_stay_is_a_hash(row: str) -> None:
    assert len(row_of(row).strip("-")) == 6


def test_rows_that_look_alike_once_made_safe_stay_apart() -> None:
    rows = ["a/b", "a:b", "a-b", "a-b ", "x" * 121, "x" * 122, ".", ".."]
    assert len(rows) == len({row_of(row) for row in rows})


def test_two_spellings_of_one_letter_are_one_row() -> None:
    assert row_of("u\u0308") == row_of("\u00fc")


@pytest.mark.parametrize(
    ("prompt", "slug"),
    [
        ("A red shoe, on white!", "a-red-shoe-on-white"),
        ("Ein grüner Schuh", "ein-grüner-schuh"),
        ("赤い靴、白い背景", "赤い靴-白い背景"),
        ("a photograph of one extraordinarily long sentence", "a-photograph-of-one-extraordinarily-long"),
        ("a photograph of one quite extraordinarily long sentence", "a-photograph-of-one-quite"),
        ("x" * 50, "x" * 40),
        ("***", "picture"),
        ("(red:1.2)_shoe.png", "red-1-2-shoe-png"),
    ],
)
def test_the_slug_is_the_first_words_of_the_prompt(prompt: str, slug: str) -> None:
    assert slug == layout.slug_of(prompt)


@given(row=st.text(), prompt=st.text(), campaign=st.text(min_size=1))
def test_every_asset_key_can_be_stored_and_tells_its_place(row: str, prompt: str, campaign: str) -> None:
    """Whatever people type: the key is legal in a folder and in S3, composed, and leads back to the request."""
    item = planned(row, prompt.encode(errors="ignore").decode())
    key = layout.asset_key(campaign, item, "webp")
    found = layout.parse_asset_key(key)
    assert key == nfc(check_key(key))
    assert found is not None
    assert (layout.place_of(item), "webp", False) == (found.place, found.ext, found.is_sidecar)
    assert key.startswith(f"campaigns/{found.campaign}/")
    assert max(len(part.encode()) for part in key.split("/")) < MAX_PART_BYTES
    assert layout.is_immutable(key)


@given(sheet=st.text())
def test_every_sheets_copy_can_be_stored(sheet: str) -> None:
    check_key(layout.input_key("c", "r", sheet))


@pytest.mark.parametrize(
    ("sheet", "name"),
    [
        ("Frühling 2026.XLSX", "Frühling 2026.XLSX"),
        ("q1.v2.csv", "q1.v2.csv"),
        ("up/there.csv", "there.csv"),
        ("sheet", "sheet"),
    ],
)
def test_a_sheets_copy_has_the_sheets_own_name(sheet: str, name: str) -> None:
    assert f"campaigns/c/runs/r/input/{name}" == layout.input_key("c", "r", sheet)


def test_a_long_or_odd_sheet_name_keeps_its_extension() -> None:
    assert layout.input_key("c", "r", "x" * 300 + ".csv").endswith(".csv")
    assert layout.input_key("c", "r", "a:b.xlsx").endswith(".xlsx")
    check_key(layout.input_key("c", "r", "a." + "x" * 300))


def test_a_sidecar_tells_the_same_place_and_that_it_is_one() -> None:
    item = planned()
    found = layout.parse_asset_key(layout.sidecar_key(layout.asset_key("c", item, "png")))
    assert found == layout.ParsedKey("c", "SKU0007", 1024, 768, item.request.key[:8], "json")
    assert found.is_sidecar


@pytest.mark.parametrize(
    "key",
    [
        "campaigns/c/assets/r/notes.txt",
        "campaigns/c/assets/r/a_1024x768_0A1B2C3D.png",
        "campaigns/c/assets/a_1024x768_0a1b2c3d.png",
        "campaigns/c/thumbs/0a1b2c3d/256.jpg",
        "x/campaigns/c/assets/r/a_1024x768_0a1b2c3d.png",
        "",
    ],
)
def test_other_keys_are_no_assets(key: str) -> None:
    assert layout.parse_asset_key(key) is None


def test_run_ids_are_in_utc_sort_by_time_and_differ_at_one_moment() -> None:
    tokyo = timezone(timedelta(hours=9))
    moment = datetime(2026, 11, 22, 10, 45, 0, 500_000, tzinfo=tokyo)
    assert layout.new_run_id(moment, b"\x0a\x1b\x2c\xff") == "20261122T014500Z-800b2c"
    assert layout.new_run_id(moment, b"\x0a\x1b\x2d\xff") == "20261122T014500Z-800b2d"
    moments = [moment + timedelta(milliseconds=n) for n in (-500, 0, 1, 499, 86_400_000)]
    ids = [layout.new_run_id(one, bytes([255 - n]) * 3) for n, one in enumerate(moments)]
    assert ids == sorted(ids)


@pytest.mark.parametrize(
    "key",
    [
        "campaigns/c/assets/r/a_1x1_0a1b2c3d.json",
        "campaigns/c/runs/r/assets/contact-sheet.html",
        "campaigns/c/decisions.json",
        "assets/a.png",
        "campaigns",
    ],
)
def test_what_may_be_written_again_is_not_immutable(key: str) -> None:
    assert not layout.is_immutable(key)
