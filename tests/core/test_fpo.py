from __future__ import annotations

import io
import itertools
from concurrent.futures import ThreadPoolExecutor

import imagehash
import numpy as np
import pytest
from PIL import Image

from assetline.backends.fpo import FpoBackend
from assetline.backends.fpo.art import Box
from assetline.backends.fpo.caption import ratio_of, set_caption
from assetline.backends.fpo.comp import draw_comp
from assetline.backends.fpo.lettering import Style, drawable, missing, settable, wrapped
from assetline.backends.fpo.palette import Dice, oklch, palette_of
from assetline.records import FPO_MODEL, MAX_SEED, ImageRequest, PlannedRequest

INK = (20, 20, 20)
PROMPT = "Sommerkleid aus Leinen, Größe M, auf einem Steg am See, frühes Licht"


def a_request(seed: int = 7, size: tuple[int, int] = (256, 256), prompt: str = PROMPT) -> ImageRequest:
    width, height = size
    label = {"label": "SKU0007-hero"}
    return ImageRequest(prompt=prompt, width=width, height=height, seed=seed, model=FPO_MODEL, parameters=label)


def planned(request: ImageRequest) -> PlannedRequest:
    return PlannedRequest(row="SKU0007-hero", row_number=2, variant=1, size="1:1", request=request)


def picture(request: ImageRequest) -> Image.Image:
    return Image.open(io.BytesIO(draw_comp(request)))


def alike(requests: list[ImageRequest]) -> list[tuple[int, int]]:
    """The pairs that the duplicate rule takes for one picture: phash <= 10 of 256 and chroma p95 <= 16."""
    signatures = [signature(picture(request)) for request in requests]
    return [
        (one, other)
        for (one, (hash_one, chroma_one)), (other, (hash_other, chroma_other)) in itertools.combinations(
            enumerate(signatures), 2
        )
        if hash_one - hash_other <= 10
        and np.percentile(np.hypot(*(chroma_one - chroma_other).reshape(-1, 2).T), 95) <= 16
    ]


def signature(image: Image.Image) -> tuple[imagehash.ImageHash, np.ndarray]:
    small = image.resize((256, 256))
    chroma = np.asarray(small.resize((16, 16), Image.Resampling.BOX).convert("YCbCr"), float)[..., 1:]
    return imagehash.phash(small, 16), chroma


@pytest.mark.anyio
async def test_a_comp_is_a_png_of_the_size_asked_for_with_its_facts():
    request = a_request(size=(240, 300))
    render = await FpoBackend().generate(planned(request), 1)
    image = Image.open(io.BytesIO(render.data))
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (240, 300))
    assert (render.seed, render.lane, render.cost_usd) == (7, "fpo", 0.0)
    assert render.job_id == f"fpo-{request.key[:8]}"


@pytest.mark.anyio
async def test_the_drawing_runs_where_the_caller_says():
    ran = []

    async def run(function, *arguments):
        ran.append(function)
        return function(*arguments)

    await FpoBackend(run).generate(planned(a_request()), 1)
    assert ran == [draw_comp]


def test_the_lane_takes_comps_and_never_stands_in_for_a_real_render():
    real = ImageRequest(prompt="x", width=64, height=64, seed=1, workflow="sdxl-txt2img")
    assert FpoBackend().suits(planned(a_request()))
    assert not FpoBackend().suits(planned(real))


def test_the_same_request_gives_the_same_bytes():
    assert draw_comp(a_request()) == draw_comp(a_request())


def test_comps_drawn_side_by_side_are_the_same_as_one_by_one():
    requests = [a_request(seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(draw_comp, requests)) == [draw_comp(request) for request in requests]


def test_no_two_seeds_of_a_prompt_are_taken_for_duplicates():
    assert alike([a_request(seed) for seed in range(24)]) == []


def test_no_two_prompts_of_a_seed_are_taken_for_duplicates():
    assert alike([a_request(prompt=f"{PROMPT} {number}") for number in range(16)]) == []


@pytest.mark.parametrize(
    "size",
    [(16, 16), (64, 64), (65, 95), (96, 96), (159, 161), (64, 512), (512, 64), (97, 1200), (1200, 100), (337, 251)],
    ids=lambda size: "x".join(map(str, size)),
)
def test_every_size_is_drawn_with_a_mark_and_enough_contrast(size):
    image = picture(a_request(size=size, prompt=PROMPT * 20))
    assert image.size == size
    assert np.asarray(image.convert("L").resize((256, 256)), float).std() > 20
    ink = palette_of(7).ink
    assert any(colour == ink and count > 20 for count, colour in image.getcolors(image.width * image.height) or [])


def test_the_largest_size_is_drawn():
    assert picture(a_request(size=(4096, 64))).size == (4096, 64)


@pytest.mark.parametrize("seed", [0, 1, 2**53 + 1, MAX_SEED])
def test_paper_and_ink_are_readable_whatever_the_seed(seed):
    palette = palette_of(seed)
    assert contrast(palette.paper, palette.ink) > 10
    assert contrast(palette.paper, palette.soft) > 4.5


def contrast(one, other):
    """WCAG 2 contrast ratio."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour):
    linear = [value / 255 / 12.92 if value <= 10 else ((value / 255 + 0.055) / 1.055) ** 2.4 for value in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("lightness", "colour"), [(0.0, (0, 0, 0)), (1.0, (255, 255, 255)), (0.5999, (128, 128, 128))])
def test_greys_of_oklch_are_the_known_ones(lightness, colour):
    assert oklch(lightness, 0, 0) == colour


def test_a_colour_outside_of_srgb_keeps_its_hue_and_loses_chroma():
    assert oklch(0.628, 0.2577, 29.23) == pytest.approx((255, 0, 0), abs=20)
    assert oklch(0.95, 0.37, 264)[2] > oklch(0.95, 0.37, 264)[0]


def test_dice_are_the_same_on_every_machine():
    dice = Dice("art/abc")
    assert [round(dice.throw(), 6) for _ in range(3)] == [0.592285, 0.660735, 0.114645]


@pytest.mark.parametrize("text", ["Größe ÄÖÜß", "Łódź Việt Ğış", "Ελληνικά", "Русский", "“quotes” – — … € × ™"])
def test_the_typeface_has_what_european_campaigns_need(text):
    assert missing(text) == 0


def test_what_the_typeface_lacks_is_counted_and_told():
    assert not drawable("日")
    assert missing("日本 tote 🎉") == 3


@pytest.mark.anyio
async def test_a_render_says_which_characters_its_comp_could_not_set():
    told = await FpoBackend().generate(planned(a_request(prompt="リネンバッグ on a table")), 1)
    plain = await FpoBackend().generate(planned(a_request()), 1)
    assert told.notes == ("Characters of the prompt that the comp's typeface lacks, drawn as bars: 6.",)
    assert plain.notes == ()


def test_marks_without_width_are_left_out_and_letters_are_composed():
    assert settable("a\u0308 \u200d\ufe0f b\n\tc\x07") == "ä b c"


def test_lines_are_no_wider_than_asked_and_lose_no_word():
    style = Style("Regular", 12, INK)
    lines = wrapped(PROMPT, style, 120, 99)
    assert " ".join(lines) == PROMPT
    assert max(style.width(line) for line in lines) <= 120


def test_what_does_not_fit_ends_in_an_ellipsis():
    style = Style("Regular", 12, INK)
    lines = wrapped(PROMPT, style, 120, 2)
    assert len(lines) == 2
    assert lines[-1].endswith("\u2026")
    assert style.width(lines[-1]) <= 120


@pytest.mark.parametrize("word", ["x" * 300, "日本語" * 60, "SKU0007-summer-hero-1024x1024"])
def test_a_word_longer_than_the_line_is_broken_not_lost(word):
    style = Style("Regular", 12, INK)
    lines = wrapped(word, style, 100, 99)
    assert "".join(lines) == word
    assert max(style.width(line) for line in lines) <= 100


def test_a_name_breaks_behind_its_hyphens():
    assert wrapped("SKU0007-summer-hero", Style("Regular", 12, INK), 70, 9) == ["SKU0007-", "summer-", "hero"]


def test_a_small_card_keeps_the_row_and_drops_the_prompt():
    def words(height):
        caption = set_caption(a_request(), palette_of(7), Box(0, 0, 160, height), 100, fill=True)
        return [line.text for line in caption.lines] + [caption.foot.text] if caption else []

    assert words(14) == []
    assert words(24) == ["SKU0007-hero", ""]
    assert words(40) == ["SKU0007-hero", "256\u00d7256   1:1", ""]
    assert words(56) == ["SKU0007-hero", "256\u00d7256   1:1", "seed 7"]
    assert words(200)[2].startswith("Sommerkleid")


@pytest.mark.parametrize(
    ("size", "ratio"), [((1024, 1024), "1:1"), ((1080, 1350), "4:5"), ((768, 1344), "4:7"), ((1200, 628), "1.91:1")]
)
def test_ratios_are_said_as_designers_say_them(size, ratio):
    assert ratio_of(*size) == ratio
