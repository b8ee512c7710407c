"""Which pictures are the same again: planted truths through the real fingerprint, and the search against brute force."""

from __future__ import annotations

import io
import random
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from assetline.dedupe import Candidate, HashIndex, find_duplicates, pack
from assetline.images import inspect
from assetline.records import Fingerprint

SIDE = 320


def banner(*, headline="SUMMER SALE", product=(200, 40, 40), seed=1):
    """A campaign banner: soft background, a product in its colour, a headline, light grain."""
    rng = np.random.default_rng(seed)
    base = Image.fromarray(rng.integers(60, 200, (6, 6, 3), dtype=np.uint8)).resize(
        (SIDE, SIDE), Image.Resampling.BICUBIC
    )
    draw = ImageDraw.Draw(base)
    x, y = rng.integers(60, 120, 2).tolist()
    draw.ellipse((x, y, x + 120, y + 150), fill=product)
    draw.rectangle((x + 40, y - 30, x + 80, y), fill=(40, 40, 50))
    draw.text((16, 256), headline, fill="white", font_size=40, stroke_width=2, stroke_fill="black")
    grain = np.random.default_rng(99).normal(0, 3, (SIDE, SIDE, 3))
    return Image.fromarray(np.clip(np.asarray(base) + grain, 0, 255).astype(np.uint8))


def encoded(image, file_format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def candidate(key, image, file_format="PNG", *, group=("SKU0007", "1024x1024"), **options):
    seen = inspect(encoded(image, file_format, **options), image.size)
    return Candidate(key, group, seen.fingerprint, image.width * image.height, file_format)


def made_up(key, bits=(), *, chroma=128, group="row", usable=True, pixels_sha256="", sharpness=0.0, **facts):
    """A candidate whose hash differs from zero in the bits that are named."""
    number = sum(1 << bit for bit in bits)
    fingerprint = Fingerprint(
        phash=f"{number:064x}",
        chroma=bytes([chroma] * 512).hex(),
        usable=usable,
        pixels_sha256=pixels_sha256,
        sharpness=sharpness,
    )
    return Candidate(key, group, fingerprint, facts.pop("pixels", 100), facts.pop("format", "PNG"), **facts)


def pairs(candidates):
    return {(one.key, one.keeper) for one in find_duplicates(candidates)}


@pytest.mark.parametrize(
    "again",
    [
        lambda image: candidate("b", image, "JPEG", quality=60),
        lambda image: candidate("b", image, "WEBP", quality=75),
        lambda image: candidate("b", image.resize((SIDE // 2, SIDE // 2))),
        lambda image: candidate("b", ImageEnhance.Brightness(image).enhance(1.1)),
        lambda image: candidate("b", ImageEnhance.Contrast(image).enhance(1.15)),
        lambda image: candidate("b", image),
    ],
    ids=["jpeg-q60", "webp-q75", "half-size", "brightness", "contrast", "same-bytes"],
)
def test_the_same_picture_again_is_a_duplicate(again):
    image = banner()
    assert len(find_duplicates([candidate("a", image), again(image)])) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"headline": "WINTER SALE"},
        {"product": (40, 90, 200)},
        {"product": (40, 160, 60)},
        {"seed": 2},
    ],
    ids=["headline", "blue product", "green product", "seed"],
)
def test_a_wanted_variant_is_not_a_duplicate(changed):
    assert find_duplicates([candidate("a", banner()), candidate("b", banner(**changed))]) == []


def test_colour_alone_tells_two_variants_apart():
    """The same hash bit for bit: only the chroma rule keeps the second colour."""
    assert pairs([made_up("a", chroma=100), made_up("b", chroma=120)]) == set()
    assert pairs([made_up("a", chroma=100), made_up("b", chroma=105)]) == {("b", "a")}


def test_another_row_or_size_is_never_compared():
    assert find_duplicates([made_up("a", group=("SKU1", "1:1")), made_up("b", group=("SKU2", "1:1"))]) == []


def test_distance_ten_is_a_duplicate_and_twelve_is_not():
    found = find_duplicates([made_up("a"), made_up("b", range(10)), made_up("c", range(40, 52))])
    assert [(one.key, one.keeper, one.distance, one.chroma, one.group) for one in found] == [("b", "a", 10, 0.0, "row")]


def test_a_chain_does_not_pull_in_what_is_unlike_its_keeper():
    """a-b-c-d each 8 bits from the next: c is a keeper of its own, since it is 16 bits from a."""
    chain = [made_up(key, range(8 * place)) for place, key in enumerate("abcd")]
    assert pairs(chain) == {("b", "a"), ("d", "c")}


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"pixels": 200}, {"pixels": 100, "sharpness": 9.0}),
        ({"format": "PNG"}, {"format": "WEBP", "sharpness": 9.0}),
        ({"format": "WEBP"}, {"format": "JPEG", "sharpness": 9.0}),
        ({"sharpness": 9.0}, {"sharpness": 8.0}),
        ({"decided_in": "20260101", "format": "JPEG"}, {"pixels": 10_000}),
        ({"decided_in": "20260101"}, {"decided_in": "20260102", "pixels": 10_000}),
    ],
    ids=["pixels", "png", "webp", "sharper", "made before", "earlier run"],
)
def test_the_better_picture_is_kept(better, worse):
    """By its name alone `a` would win; here the reason in the test's name makes it `z`."""
    assert pairs([made_up("a", **worse), made_up("z", **better)]) == {("a", "z")}


def test_of_equals_the_smaller_key_is_kept():
    assert pairs([made_up("b"), made_up("a")]) == {("b", "a")}


def test_a_new_picture_never_displaces_one_of_an_earlier_run():
    candidates = [made_up("a", decided_in="20260101"), made_up("b", pixels=10_000), made_up("c", sharpness=9.0)]
    assert pairs(candidates) == {("b", "a"), ("c", "a")}


def test_a_run_that_only_reuses_sets_the_same_pictures_aside():
    new = [made_up("a"), made_up("b", sharpness=9.0), made_up("c", pixels=200, bits=range(30))]
    assert pairs(new) == pairs(replace(one, decided_in="20260101") for one in new) == {("a", "b")}


def test_what_was_kept_once_stays_the_keeper_in_every_later_run():
    first, better = made_up("b", decided_in="20260101"), made_up("a", sharpness=9.0)
    assert pairs([first, better]) == pairs([first, replace(better, decided_in="20260102")]) == {("a", "b")}


def test_unusable_hashes_are_compared_by_their_pixels_alone():
    flat = [
        made_up("a", usable=False, pixels_sha256="11"),
        made_up("b", usable=False, pixels_sha256="22"),
        made_up("c", usable=False, pixels_sha256="11"),
        made_up("d", usable=False),
        made_up("e", usable=False),
        made_up("f"),
    ]
    assert pairs(flat) == {("c", "a")}


def test_the_same_request_twice_in_a_row_is_one_picture_not_a_duplicate():
    assert find_duplicates([made_up("a"), made_up("a")]) == []


def test_the_order_of_arrival_changes_nothing():
    """600 pictures in families of small changes, in 5 orders: more than one look-up of keepers."""
    rng = random.Random(7)
    candidates = []
    for family in range(150):
        base = rng.sample(range(256), 128)
        for member in range(4):
            flips = rng.sample(range(256), rng.randint(0, 12))
            facts = {
                "sharpness": float(rng.randint(0, 2)),
                "decided_in": rng.choice(["", "", "20260101", "20260102"]),
                "group": f"row {family % 2}",
            }
            candidates.append(made_up(f"{family:03}-{member}", set(base) ^ set(flips), **facts))
    first = find_duplicates(candidates)
    assert len(first) > 200
    for _ in range(4):
        rng.shuffle(candidates)
        assert find_duplicates(candidates) == first


def test_every_duplicate_is_like_its_keeper_and_no_two_keepers_are_alike():
    rng = random.Random(3)
    candidates = [made_up(f"{number:03}", rng.sample(range(14), 7)) for number in range(300)]
    phash = {one.key: int(one.fingerprint.phash, 16) for one in candidates}
    found = find_duplicates(candidates)
    aside = {one.key for one in found}
    assert all((phash[one.key] ^ phash[one.keeper]).bit_count() == one.distance <= 10 for one in found)
    kept = sorted(phash.keys() - aside)
    assert aside.isdisjoint(one.keeper for one in found)
    assert all((phash[a] ^ phash[b]).bit_count() > 10 for a in kept for b in kept if a < b)


@pytest.mark.parametrize("radius", [0, 3, 10])
def test_the_index_finds_exactly_what_brute_force_finds(radius):
    rng = np.random.default_rng(5)
    stored = rng.integers(0, 2**64, (3_000, 4), dtype=np.uint64)
    stored[100:160] = stored[7]  # many equal hashes
    bits = np.unpackbits(stored[:400].view(np.uint8), axis=1)
    for row in bits:
        row[rng.choice(256, rng.integers(0, 14), replace=False)] ^= 1
    queries = np.packbits(bits, axis=1).view(np.uint64)
    distances = np.bitwise_count(queries[:, None] ^ stored).sum(axis=2)
    expected = [(int(q), int(s), int(distances[q, s])) for q, s in np.argwhere(distances <= radius)]
    found = HashIndex(stored).search(queries, radius)
    assert list(zip(found.queries.tolist(), found.stored.tolist(), found.distances.tolist(), strict=True)) == expected
    assert len(expected) > 50


def test_the_index_stays_exact_when_the_pairs_to_compare_are_many():
    """1,000 equal hashes: a million pairs in each of 11 chunks, looked at in blocks."""
    hashes = pack(["0f" * 32] * 1_000)
    assert len(HashIndex(hashes).search(hashes[:300], 0).queries) == 300 * 1_000


def test_the_index_refuses_a_radius_that_it_cannot_search_exactly():
    with pytest.raises(ValueError, match="0 to 10 bits"):
        HashIndex(pack(["00" * 32])).search(pack(["00" * 32]), 11)


def test_no_candidates_give_no_duplicates():
    assert find_duplicates([]) == []
