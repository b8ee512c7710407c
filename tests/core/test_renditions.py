"""What a channel takes: a file of exactly its size and within its limit, made once, recorded where it was cut."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.campaigns import encoded, png
from PIL import Image

from assetline.catalogue import load_catalogue
from assetline.errors import ImageError, OptionError, StoreError
from assetline.images import MARK_BYTES, fit
from assetline.pipeline.renditions import RenditionMaker
from assetline.plan import CampaignPlan, World, plan_campaign
from assetline.provenance import PublishFacts
from assetline.records import Asset, Exact, ImageRequest, PlannedRequest
from assetline.sheet import read_sheet
from assetline.store.folder import FolderStore
from assetline.workflow import load_workflows

ROOT = Path(__file__).parents[2]
CATALOGUE = load_catalogue(ROOT / "campaigns")
WORKFLOWS = load_workflows(ROOT / "workflows")


def test_each_channel_says_where_its_figures_are_from_and_which_of_them_are_assumed() -> None:
    known = ("published: ", "assumed: ", "house format ", "ISO 216,")
    assert [channel.name for channel in CATALOGUE.channels.values() if not channel.source.startswith(known)] == []


def wanted(width: int, height: int, **more: object) -> Exact:
    return Exact.model_validate({"channels": ("feed",), "width": width, "height": height, **more})


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def stripes(width: int, height: int) -> bytes:
    """Black at the outer tenth of the longer sides, white between: what is cut away is seen."""
    pixels = np.full((height, width, 3), 255, dtype=np.uint8)
    edge = max(width, height) // 10
    if width > height:
        pixels[:, :edge] = pixels[:, -edge:] = 0
    else:
        pixels[:edge] = pixels[-edge:] = 0
    return encoded(Image.fromarray(pixels))


@pytest.mark.parametrize("name", CATALOGUE.channels)
def test_every_channel_gets_its_own_size_from_what_is_generated_for_it(name: str) -> None:
    channel = CATALOGUE.channels[name]
    small = tuple(side // 8 for side in channel.render)
    [made] = fit(png(1, (small[0], small[1])), [channel.exact])
    assert (opened(made.data).size, opened(made.data).format) == ((channel.width, channel.height), channel.format)
    left, top, right, bottom = made.box
    assert (right - left) / (bottom - top) == pytest.approx(channel.width / channel.height, rel=1e-4)
    assert made.scale == pytest.approx(channel.width / (right - left), rel=1e-3)


@pytest.mark.parametrize(
    ("size", "exact", "box"),
    [
        ((200, 100), (100, 100), (50, 0, 150, 100)),
        ((100, 200), (50, 50), (0, 50, 100, 150)),
        ((928, 1160), (1080, 1350), (0, 0, 928, 1160)),
        ((1424, 744), (1200, 627), (0.038, 0, 1423.962, 744)),
    ],
)
def test_it_is_cut_from_the_middle_and_no_more_than_the_ratio_asks(
    size: tuple[int, int], exact: tuple[int, int], box: tuple[float, ...]
) -> None:
    [made] = fit(stripes(*size), [wanted(*exact)])
    assert made.box == box
    if size[0] / size[1] in {2, 0.5}:
        assert np.asarray(opened(made.data)).min() > 250


def test_a_file_stays_within_its_limit_by_its_quality() -> None:
    noisy = encoded(Image.fromarray(np.random.default_rng(1).integers(0, 256, (250, 300, 3), dtype=np.uint8)))
    free, tight = fit(noisy, [wanted(300, 250), wanted(300, 250, most_bytes=60_000)])
    assert (free.quality, free.note) == (95, "")
    assert len(tight.data) <= 60_000 - MARK_BYTES < len(free.data)
    assert (40 <= tight.quality < 95, tight.note) == (True, "")


def test_what_cannot_be_made_short_enough_or_looks_soft_is_said() -> None:
    [made] = fit(png(1), [wanted(640, 640, most_bytes=5_000)])
    assert (opened(made.data).size, made.quality) == ((640, 640), 40)
    assert made.note == (
        "Enlarged 10.0 times, so it looks soft; a workflow that enlarges makes more of it. "
        "Longer than the 5,000 bytes that feed takes."
    )


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP"])
def test_it_has_the_format_that_the_channel_takes_on_white_and_without_metadata(file_format: str) -> None:
    clear = encoded(Image.new("RGBA", (64, 64), (200, 0, 0, 0)), {"prompt": "secret"})
    [made] = fit(clear, [wanted(32, 32, format=file_format)])
    picture = opened(made.data)
    assert (picture.format, picture.convert("RGB").getpixel((9, 9))) == (file_format, (255, 255, 255))
    assert b"secret" not in made.data


def test_a_damaged_original_is_an_image_error() -> None:
    with pytest.raises(ImageError):
        fit(png(1)[:2000], [wanted(32, 32)])


def planned(sheet: str) -> CampaignPlan:
    world = World(catalogue=CATALOGUE, workflows=WORKFLOWS, lanes=frozenset({"fpo"}))
    return plan_campaign("spring", read_sheet("spring.csv", sheet.encode(), CATALOGUE), world)


def test_channels_that_share_a_picture_are_one_request_with_a_file_for_each() -> None:
    plan = planned("prompt;channels\na mug;instagram_square, linkedin_square, amazon_main, instagram_feed\n")
    assert plan.problems == ()
    assert [[(exact.width, exact.height) for exact in one.exact] for one in plan.requests] == [
        [(1080, 1080), (1200, 1200), (2000, 2000)],
        [(1080, 1350)],
    ]


def test_channels_that_take_the_same_file_share_it_within_the_tighter_limit() -> None:
    plan = planned("prompt;channels\na mug;facebook_feed, instagram_feed\n")
    assert [problem.code for problem in plan.problems] == ["size-twice"]
    [exact] = plan.requests[0].exact
    assert (exact.channels, exact.most_bytes) == (("facebook_feed", "instagram_feed"), 8_000_000)


def test_a_size_or_a_ratio_asks_for_no_other_file() -> None:
    plan = planned("prompt;size\na mug;1024x1024, 4:5\n")
    assert [one.exact for one in plan.requests] == [(), ()]


def test_what_channels_take_changes_no_request() -> None:
    one, other = (planned(f"id;prompt;channels\n1;a mug;{name}\n") for name in ("instagram_square", "linkedin_square"))
    assert one.requests[0].request.key == other.requests[0].request.key


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "assets")


REQUEST = PlannedRequest(
    row="M/1",
    row_number=2,
    variant=1,
    size="feed",
    request=ImageRequest(prompt="a red mug", width=64, height=64, seed=1),
    exact=(wanted(100, 125), wanted(48, 48)),
)
MARK = PublishFacts(request_key=REQUEST.request.key, source="trainedAlgorithmicMedia")
ASSET = Asset(
    original="campaigns/spring/assets/M/a.png", sidecar="campaigns/spring/assets/M/a.json", thumbnails={}, sha256="0" * 64,
    width=64, height=64, format="PNG", seed=1, lane="lane", job_id="", seconds=1, cost_usd=0,
)  # fmt: skip


def test_they_are_stored_with_the_mark_and_recorded(store: FolderStore) -> None:
    made = RenditionMaker(store, "spring", REQUEST, MARK).complete(ASSET, png(1)).renditions
    assert [(one.width, one.height, one.channels, one.note) for one in made] == [
        (100, 125, ("feed",), ""),
        (48, 48, ("feed",), ""),
    ]
    for one in made:
        data = store.get(one.key).data
        assert (opened(data).size, len(data), b"trainedAlgorithmicMedia" in data) == (
            (one.width, one.height),
            one.size_bytes,
            True,
        )
    key8 = REQUEST.request.key[:8]
    assert made[0].key.startswith("campaigns/spring/channels/M-1-")
    assert made[0].key.endswith(f"/a-red-mug_feed_100x125_{key8}.jpg")


def test_the_mark_is_within_what_is_kept_free_for_it(store: FolderStore) -> None:
    noisy = encoded(Image.fromarray(np.random.default_rng(1).integers(0, 256, (250, 300, 3), dtype=np.uint8)))
    tight = REQUEST.model_copy(update={"exact": (wanted(300, 250, most_bytes=60_000),)})
    [made] = RenditionMaker(store, "spring", tight, MARK).complete(ASSET, noisy).renditions
    assert made.size_bytes <= 60_000


def written_at(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_of_an_asset_that_has_them_nothing_is_read_or_written(store: FolderStore, tmp_path: Path) -> None:
    maker = RenditionMaker(store, "spring", REQUEST, MARK)
    whole = maker.complete(ASSET, png(1))
    written = written_at(tmp_path)
    assert (maker.lacking(whole), maker.complete(whole)) == ((), whole)  # the store has no original to read
    assert written_at(tmp_path) == written


def test_a_channel_that_is_added_later_is_made_from_the_stored_original(store: FolderStore) -> None:
    first = replace(
        RenditionMaker(store, "spring", REQUEST, MARK), planned=REQUEST.model_copy(update={"exact": REQUEST.exact[:1]})
    )
    once = first.complete(ASSET, png(1))
    store.put(ASSET.original, png(1))
    later = RenditionMaker(store, "spring", REQUEST, MARK)
    assert [(exact.width, exact.height) for exact in later.lacking(once)] == [(48, 48)]
    assert [one.width for one in later.complete(once).renditions] == [100, 48]


def test_a_stored_original_that_is_damaged_is_named(store: FolderStore) -> None:
    store.put(ASSET.original, png(1)[:2000])
    with pytest.raises(StoreError, match=r"assets/M/a\.png cannot be used: .*cut short.* Remove it"):
        RenditionMaker(store, "spring", REQUEST, MARK).complete(ASSET)


def test_a_channel_of_a_persons_own_names_its_format_its_limit_and_what_it_covers(tmp_path: Path) -> None:
    text = "channels:\n  App: {{width: 600, height: 600, render: [512, 512], source: ours, format: {}, cover: {}}}\n"
    (tmp_path / "channels.yaml").write_text(text.format("PNG", [60, 10, 90, 20]))
    app = load_catalogue(tmp_path).channels["app"]
    assert (app.exact.format, app.safe) == ("PNG", (20, 60, 590, 510))
    (tmp_path / "channels.yaml").write_text(text.format("GIF", [0, 0, 0, 0]))
    with pytest.raises(OptionError, match="format: 'GIF' cannot be used"):
        load_catalogue(tmp_path)
    (tmp_path / "channels.yaml").write_text(text.format("PNG", [300, 0, 300, 0]))
    with pytest.raises(OptionError, match="something must be left between"):
        load_catalogue(tmp_path)
