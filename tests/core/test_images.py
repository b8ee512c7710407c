"""One decode says everything about a picture: what is refused, what is rejected, and what is measured."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFilter, PngImagePlugin

from assetline.errors import ImageError
from assetline.images import inspect

RNG = np.random.default_rng(4)
TEXTURE = RNG.integers(0, 256, (24, 36, 3), dtype=np.uint8)


def picture(width=360, height=240, mode="RGB"):
    image = Image.fromarray(TEXTURE).resize((width, height), Image.Resampling.NEAREST)
    return image.convert(mode)


def encoded(image, file_format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def looked_at(image, file_format="PNG", **options):
    return inspect(encoded(image, file_format, **options), image.size)


def png_claiming(width, height):
    """A PNG of a few bytes whose header claims a size."""
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(b"\0" * 99))
    framed = (struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) for body in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def test_a_good_picture_has_its_facts_and_no_complaint():
    data = encoded(picture())
    seen = inspect(data, (360, 240))
    assert seen.sha256 == hashlib.sha256(data).hexdigest()
    assert (seen.width, seen.height, seen.format, seen.rejected, seen.warnings) == (360, 240, "PNG", None, ())
    assert seen.fingerprint.usable
    assert seen.fingerprint.pixels_sha256 == ""
    assert len(bytes.fromhex(seen.fingerprint.phash)) == 32
    assert len(bytes.fromhex(seen.fingerprint.chroma)) == 512
    assert seen.fingerprint.sharpness > 100


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP"])
def test_the_format_is_told_by_the_content(file_format):
    assert looked_at(picture(), file_format).format == file_format


def test_the_hash_is_imagehash_s_own_of_the_256_px_reduction():
    image = picture(1024, 1024)
    expected = imagehash.phash(image.reduce(2).reduce(2), hash_size=16)
    assert looked_at(image).fingerprint.phash == str(expected)


@pytest.mark.parametrize(
    ("size", "small", "large"),
    [
        ((1024, 1024), (256, 256), (512, 512)),
        ((1216, 832), (256, 175), (512, 350)),
        ((400, 800), (128, 256), (256, 512)),
        ((300, 200), (256, 171), (300, 200)),
        ((90, 60), (90, 60), (90, 60)),
        ((1600, 16), (256, 3), (512, 6)),
    ],
)
def test_thumbnails_keep_the_shape_and_are_never_enlarged(size, small, large):
    thumbnails = looked_at(picture(*size)).thumbnails
    opened = {side: Image.open(io.BytesIO(data)) for side, data in thumbnails.items()}
    assert list(opened) == [256, 512]
    assert (opened[256].size, opened[512].size) == (small, large)
    assert {image.format for image in opened.values()} == {"JPEG"}


def test_thumbnails_carry_nothing_of_the_file_s_text_profile_or_exif():
    text = PngImagePlugin.PngInfo()
    text.add_text("prompt", '{"3": {"class_type": "KSampler", "text": "unreleased"}}')
    exif = Image.Exif()
    exif[0x010E] = "unreleased"
    for thumbnail in looked_at(picture(), pnginfo=text, exif=exif).thumbnails.values():
        assert b"unreleased" not in thumbnail
        assert Image.open(io.BytesIO(thumbnail)).info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><title>502 Bad Gateway</title>", "it begins with '<!DOCTYPE html>"),
        (b"GIF89a" + b"\x01\x00" * 40, "not a PNG, JPEG or WebP"),
        (encoded(picture(), "TIFF"), "not a PNG, JPEG or WebP"),
        (encoded(picture())[:3_000], "cut short or damaged"),
        (encoded(picture(), "JPEG")[:9_000], "cut short or damaged"),
        (encoded(picture(), "WEBP")[:3_000], "cut short or damaged|not a PNG, JPEG or WebP"),
        (png_claiming(8_200, 8_200), "8200x8200: over the limit of 64 megapixels"),
        (png_claiming(9_900, 9_900), "over the limit of 64 megapixels"),
        (png_claiming(20_000, 20_000), "over the limit of 64 megapixels"),
    ],
    ids=["empty", "html", "gif", "tiff", "png", "jpeg", "webp", "67 Mpx", "98 Mpx", "400 Mpx"],
)
def test_what_is_not_a_whole_still_picture_is_refused_in_plain_words(data, says):
    with pytest.raises(ImageError, match=says):
        inspect(data, (360, 240))


def test_a_flipped_bit_in_the_pixels_of_a_png_is_found():
    data = bytearray(encoded(picture()))
    data[len(data) // 2] ^= 0x10
    with pytest.raises(ImageError):
        inspect(bytes(data), (360, 240))


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_an_animation_is_refused(file_format):
    frames = [picture(), picture().rotate(180)]
    data = encoded(frames[0], file_format, save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="animation"):
        inspect(data, (360, 240))


def noise(std):
    return Image.fromarray(np.clip(RNG.normal(120, std, (256, 256)), 0, 255).astype(np.uint8)).convert("RGB")


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (Image.new("RGB", (64, 64), (0, 0, 0)), "black"),
        (Image.new("RGB", (64, 64), (8, 8, 8)), "black"),
        (Image.new("RGB", (64, 64), (9, 9, 9)), "blank"),
        (Image.new("RGB", (64, 64), (255, 255, 255)), "blank"),
        (noise(1.0), "blank"),
        (noise(3.0), "near_uniform"),
    ],
    ids=["black", "nearly black", "dark", "white", "faint noise", "noise"],
)
def test_an_empty_picture_is_rejected_and_its_hash_is_not_used(image, code):
    seen = looked_at(image)
    assert seen.rejected is not None
    assert seen.rejected.code == code
    assert not seen.fingerprint.usable
    assert len(seen.fingerprint.pixels_sha256) == 64
    assert seen.warnings == ()


def test_another_size_than_asked_for_is_rejected_with_both_sizes():
    rejected = inspect(encoded(picture()), (1024, 1024)).rejected
    assert (rejected.code, rejected.reason) == ("wrong_size", "The picture is 360x240; 1024x1024 was asked for.")


def test_a_picture_with_little_in_it_passes_but_its_hash_is_not_used():
    """A plain gradient from side to side: enough contrast to keep, too few bits to compare."""
    ramp = np.tile(np.linspace(0, 255, 256).astype(np.uint8), (256, 1))
    seen = looked_at(Image.fromarray(ramp).convert("RGB"))
    assert seen.rejected is None
    assert not seen.fingerprint.usable


def test_equal_pixels_of_an_unusable_picture_are_equal_whatever_the_file():
    white = Image.new("RGB", (64, 64), "white")
    hashes = {looked_at(white, *way).fingerprint.pixels_sha256 for way in (["PNG"], ["WEBP"])}
    assert len(hashes) == 1
    assert looked_at(Image.new("RGB", (32, 128), "white")).fingerprint.pixels_sha256 not in hashes


def test_a_blurred_picture_is_kept_with_a_warning():
    seen = looked_at(picture().filter(ImageFilter.GaussianBlur(9)))
    assert seen.rejected is None
    assert seen.warnings == (
        f"The picture may be out of focus: its sharpness is {seen.fingerprint.sharpness:.0f}, under 30.",
    )


def test_transparency_is_seen_on_white():
    """A hidden colour under full transparency is not looked at."""
    shown = np.zeros((240, 360, 4), np.uint8)
    shown[..., :3] = np.asarray(picture())
    shown[:, :180, 3] = 255
    hidden = shown.copy()
    hidden[:, 180:, :3] = (255, 0, 0)
    on_white = np.asarray(picture()).copy()
    on_white[:, 180:] = 255
    first, second, third = (looked_at(Image.fromarray(pixels)) for pixels in (shown, hidden, on_white))
    assert first.fingerprint == second.fingerprint == third.fingerprint
    assert first.colour == third.colour


@pytest.mark.parametrize(("orientation", "size"), [(3, (360, 240)), (6, (240, 360))])
def test_the_picture_is_seen_upright(orientation, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    seen = inspect(encoded(picture(), exif=exif), size)
    upright = picture().transpose({3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_270}[orientation])
    assert (seen.width, seen.height) == size
    assert seen.rejected is None
    assert seen.fingerprint == looked_at(upright).fingerprint


def test_unreadable_exif_is_a_warning_and_no_more():
    seen = looked_at(picture(), "WEBP", exif=b"Exif\0\0no TIFF in here")
    assert seen.rejected is None
    assert seen.warnings == ("The EXIF data could not be read; the picture is taken as upright.",)


def test_another_colour_space_is_converted_to_srgb():
    """The same colours under a Lab profile and in sRGB look the same; under a wrong one the file is still kept."""
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    plain = looked_at(picture())
    assert looked_at(picture(), icc_profile=srgb.tobytes()).fingerprint == plain.fingerprint
    for unusable in (lab.tobytes(), b"no profile"):
        seen = looked_at(picture(), icc_profile=unusable)
        assert seen.fingerprint == plain.fingerprint
        assert seen.warnings == ("The colour profile could not be used; the colours are taken as sRGB.",)


def swapped_profile():
    """sRGB with red and blue exchanged: a profile that visibly does something."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {bytes(data[at : at + 4]): at for at in range(132, 132 + 12 * struct.unpack_from(">I", data, 128)[0], 12)}
    red, blue = tags[b"rXYZ"] + 4, tags[b"bXYZ"] + 4
    data[red : red + 8], data[blue : blue + 8] = data[blue : blue + 8], data[red : red + 8]
    return bytes(data).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


def test_an_embedded_profile_decides_the_colours():
    image = Image.new("RGB", (64, 64), (250, 10, 10))
    assert looked_at(image).colour == "#fa0a0a"
    red, _, blue = bytes.fromhex(looked_at(image, icc_profile=swapped_profile()).colour[1:])
    assert blue > 240
    assert red < 20


@pytest.mark.parametrize("mode", ["L", "P", "1", "LA", "RGBA"])
def test_other_modes_are_taken_as_they_look(mode):
    image = picture(mode=mode)
    expected = looked_at(image.convert("RGB"))
    assert looked_at(image).fingerprint == expected.fingerprint


def test_a_16_bit_grey_picture_is_scaled_not_clipped():
    grey = np.asarray(picture(mode="L"))
    sixteen = looked_at(Image.fromarray(grey.astype(np.uint16) * 257))
    assert sixteen.rejected is None
    assert sixteen.fingerprint == looked_at(Image.fromarray(grey)).fingerprint


def test_the_colour_is_the_mean():
    halves = np.zeros((128, 128, 3), np.uint8)
    halves[:64], halves[64:] = (255, 0, 0), (0, 0, 255)
    assert looked_at(Image.fromarray(halves)).colour == "#800080"


def test_text_that_pillow_refuses_makes_the_picture_refused_not_the_program_fail():
    text = PngImagePlugin.PngInfo()
    text.add_text("workflow", "x" * 2_000_000, zip=True)
    with pytest.raises(ImageError, match="damaged"):
        looked_at(picture(), pnginfo=text)
