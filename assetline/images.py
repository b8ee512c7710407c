"""Everything that a picture's bytes say about it, from ONE decode: checks, fingerprint, colour, thumbnails.

Also the files that channels take, cut and scaled to the pixel.

Only the pipeline imports this: the module pulls numpy and imagehash, and the first hash pulls scipy.
"""

from __future__ import annotations

import hashlib
import io
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

import imagehash
import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from assetline.errors import ImageError
from assetline.records import THUMBNAIL_SIZES_PX, Check, Exact, Fingerprint, ImageFormat, Inspection

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

FORMATS: tuple[ImageFormat, ...] = ("PNG", "JPEG", "WEBP")  # nothing else is parsed: no EPS, PSD, TIFF
MAX_PIXELS = 64_000_000  # Pillow itself only warns above 89 Mpx; a decoded picture takes 4 bytes a pixel
HASHED_AT_PX = 256  # the one preparation for `phash16/256/v1`: another one moves the hash by up to 4 bits
HASH_SIZE = 16  # 16 x 16 = 256 bits
CHROMA_GRID = 16
THUMBNAIL_QUALITY = 85  # JPEG: 13 to 29 times cheaper to encode than WebP, at about 1.6 times the bytes

# Cut-offs on the luma (0..255) of the 256 px reduction, chosen between measured cases.
BLACK_MAX = 8
BLANK_STD = 2.0
NEAR_UNIFORM_STD = 4.0
USABLE_BITS = range(64, 193)  # a textured picture sets exactly 128 of 256; a solid one 0 to 1
SOFT_SHARPNESS = 30.0  # sharp 1,284-2,144, blur of 4 px 42-193, of 8 px 6-31; one smooth sharp picture had 128

# Qualities of JPEG and WebP, tried from the best until the file is short enough; down to 90 colour is not thinned out.
QUALITIES = (95, 90, 85, 80, 75, 70, 60, 50, 40)
FULL_COLOUR_QUALITY = 90
MARK_BYTES = 4_096  # kept free of a channel's limit for the provenance mark, which has about 1,200
SOFT_SCALE = 2.0  # enlarged more than this a picture looks soft beside a sharp one

_TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)  # Pillow's own limits, far above ours
_WHITE = (255, 255, 255, 255)
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def inspect(data: bytes, expected_size: tuple[int, int], *, hashed: bool = True) -> Inspection:
    """Decode `data` (a PNG, JPEG or WebP file) once and say everything that is kept about the picture.

    `expected_size` is (width, height) in px as asked for; another size, or a black or empty picture, is
    `rejected`, not an error. Width and height are as a person sees it: after EXIF orientation. Hash, colour
    and thumbnails (JPEG, longer side 256 and 512 px, never enlarged) are of sRGB pixels composited on white.
    `sha256` is of `data`: where other bytes are stored (the graph taken out, XMP put in), the pixels and so
    everything else stay the same, and `dataclasses.replace(inspection, sha256=...)` is all it takes. Without `hashed`
    it is left empty, for whoever does so.

    Raises ImageError: not one of the formats, cut short or damaged, animated, over 64 Mpx.
    """
    warnings: list[str] = []
    image, file_format = _decode(data)
    picture = _as_seen(image, warnings)
    pyramid = _pyramid(picture)
    small = _reduction(pyramid[HASHED_AT_PX])
    fingerprint = _fingerprint(picture, small)
    rejected = next(_failed_checks(picture.size, expected_size, small), None)
    if rejected is None and fingerprint.sharpness < SOFT_SHARPNESS:
        warnings.append(f"The picture may be out of focus: its sharpness is {fingerprint.sharpness:.0f}, under 30.")
    return Inspection(
        sha256=hashlib.sha256(data).hexdigest() if hashed else "",
        width=picture.width,
        height=picture.height,
        format=file_format,
        fingerprint=fingerprint,
        thumbnails={size_px: _jpeg(image) for size_px, image in sorted(pyramid.items())},
        colour=_mean_colour(small.grid),
        rejected=rejected,
        warnings=tuple(warnings),
    )


@dataclass(frozen=True)
class Fitted:
    """A picture cut to `box` (left, top, right, bottom in px of the upright original) and enlarged by `scale`."""

    data: bytes
    box: tuple[float, float, float, float]
    scale: float
    quality: int = 0
    note: str = ""


def fit(data: bytes, wanted: Sequence[Exact]) -> list[Fitted]:
    """Files of exactly the sizes that are wanted, from one decode of `data`: cut from the middle, scaled (LANCZOS).

    The pixels are sRGB on white, as in `inspect`; nothing of the file's metadata comes along. A file stays within the
    limit of its channel by its quality; where that cannot be, or where it is much enlarged, `note` says so. Raises
    ImageError as `inspect` does.
    """
    picture = _as_seen(_decode(data)[0], [])
    return [_fitted(picture, exact) for exact in wanted]


def _fitted(picture: Image.Image, exact: Exact) -> Fitted:
    box = _middle(picture.size, exact.width / exact.height)
    scale = exact.width / (box[2] - box[0])
    exactly = picture.resize((exact.width, exact.height), Image.Resampling.LANCZOS, box=box)
    data, quality = _within(exactly, exact)
    notes = []
    if scale > SOFT_SCALE:
        notes.append(f"Enlarged {scale:.1f} times, so it looks soft; a workflow that enlarges makes more of it.")
    if exact.most_bytes and len(data) > exact.most_bytes - MARK_BYTES:
        notes.append(f"Longer than the {exact.most_bytes:,} bytes that {exact.channels[0]} takes.")
    return Fitted(data, box, round(scale, 4), quality, " ".join(notes))


def _middle(size: tuple[int, int], ratio: float) -> tuple[float, float, float, float]:
    """The largest part of that ratio in the middle of a picture, to parts of a pixel."""
    width, height = min(size[0], size[1] * ratio), min(size[1], size[0] / ratio)
    left, top = (size[0] - width) / 2, (size[1] - height) / 2
    return round(left, 3), round(top, 3), round(left + width, 3), round(top + height, 3)


def _within(image: Image.Image, exact: Exact) -> tuple[bytes, int]:
    """The file in the best quality that its limit allows, and that quality; 0 for PNG, which has none."""
    if exact.format == "PNG":
        return _saved(image, exact.format), 0
    most = exact.most_bytes - MARK_BYTES
    for quality in QUALITIES:
        sampling = {"subsampling": 0} if exact.format == "JPEG" and quality >= FULL_COLOUR_QUALITY else {}
        data = _saved(image, exact.format, quality=quality, **sampling)
        if not exact.most_bytes or len(data) <= most:
            break
    return data, quality


def _saved(image: Image.Image, file_format: ImageFormat, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, exif=b"", icc_profile=None, **options)
    return buffer.getvalue()


def _decode(data: bytes) -> tuple[Image.Image, ImageFormat]:
    """The loaded picture and its format, by content alone. `load` is the truncation check: `verify` misses JPEG."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        _refuse_unsuited(image)
        image.load()
    except UnidentifiedImageError as exc:
        raise ImageError(f"The file is not a PNG, JPEG or WebP picture{_beginning(data)}.") from exc
    except _TOO_LARGE as exc:
        raise ImageError(f"The picture is over the limit of {MAX_PIXELS // 1_000_000} megapixels.") from exc
    except (OSError, SyntaxError, ValueError) as exc:
        raise ImageError(f"The picture is cut short or damaged ({exc}).") from exc
    return image, cast("ImageFormat", image.format)


def _refuse_unsuited(image: Image.Image) -> None:
    """Refuse by the header, before any pixel is decoded."""
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(
            f"The picture is {image.width}x{image.height}: over the limit of {MAX_PIXELS // 1_000_000} megapixels."
        )
    if getattr(image, "n_frames", 1) > 1 or image.format not in FORMATS:
        raise ImageError("The file holds several pictures (an animation); a still picture is needed.")


def _beginning(data: bytes) -> str:
    """What a wrong file begins with: an error page that was saved as a picture is told at a glance."""
    if not data:
        return ": it is empty"
    words = " ".join(data[:48].decode("ascii", errors="replace").split())
    return f"; it begins with {words!r}" if words.isascii() and words.isprintable() else ""


def _as_seen(image: Image.Image, warnings: list[str]) -> Image.Image:
    """Upright, sRGB, on white, mode RGB: in this order, so that two pictures that look the same are the same."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except (SyntaxError, ValueError, KeyError, TypeError, struct.error):
        warnings.append("The EXIF data could not be read; the picture is taken as upright.")
    image = _in_srgb(_in_eight_bits(image), warnings)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, _WHITE), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """A 16-bit grey picture scaled to 8 bits: Pillow's own conversion clips it to white."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))


def _in_srgb(image: Image.Image, warnings: list[str]) -> Image.Image:
    """Convert by the embedded ICC profile, unless it is sRGB by its own words or cannot be used."""
    icc = image.info.get("icc_profile")
    if not icc:
        return image
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if "srgb" in ImageCms.getProfileDescription(profile).lower():
            return image
        transparent = image.has_transparency_data
        source = image.convert("RGBA" if transparent else "RGB") if transparent or image.mode == "P" else image
        converted = ImageCms.profileToProfile(source, profile, _SRGB, outputMode="RGBA" if transparent else "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        warnings.append("The colour profile could not be used; the colours are taken as sRGB.")
        return image
    return converted or image


def _pyramid(picture: Image.Image) -> dict[int, Image.Image]:
    """The picture at each thumbnail size, each made from the larger one (SSIM .9988 to one made alone)."""
    made: dict[int, Image.Image] = {}
    step = picture
    for longer_px in sorted(THUMBNAIL_SIZES_PX, reverse=True):
        made[longer_px] = step = _shrunk(step, longer_px)
    return made


def _shrunk(picture: Image.Image, longer_px: int) -> Image.Image:
    """At most `longer_px` on the longer side: whole factors by `reduce` (1.7 ms at 1024 px), the rest by LANCZOS."""
    factor = max(picture.size) // longer_px
    if factor > 1:
        picture = picture.reduce(factor)
    longer = max(picture.size)
    if longer <= longer_px:
        return picture
    width, height = (max(1, round(side * longer_px / longer)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


@dataclass(frozen=True)
class _Reduction:
    """The picture at 256 px in the forms that hash, checks and colour need, each made once.

    `luma` is mode L, `values` the same as float32 (height, width), `grid` the 16x16 mean colours, mode RGB.
    """

    luma: Image.Image
    values: npt.NDArray[np.float32]
    grid: Image.Image

    @cached_property
    def std(self) -> float:
        """Standard deviation of the luma, 0..127.5."""
        return float(self.values.std())


def _reduction(small: Image.Image) -> _Reduction:
    luma = small.convert("L")
    grid = small.resize((CHROMA_GRID, CHROMA_GRID), Image.Resampling.BOX)
    return _Reduction(luma=luma, values=np.asarray(luma, dtype=np.float32), grid=grid)


def _fingerprint(picture: Image.Image, small: _Reduction) -> Fingerprint:
    phash = imagehash.phash(small.luma, hash_size=HASH_SIZE)
    usable = int(phash.hash.sum()) in USABLE_BITS and small.std >= NEAR_UNIFORM_STD
    chroma = small.grid.convert("YCbCr")
    return Fingerprint(
        phash=np.packbits(phash.hash).tobytes().hex(),
        chroma=(chroma.getchannel("Cb").tobytes() + chroma.getchannel("Cr").tobytes()).hex(),
        usable=usable,
        pixels_sha256="" if usable else _pixels_sha256(picture),
        sharpness=round(_sharpness(small.values), 2),
    )


def _pixels_sha256(picture: Image.Image) -> str:
    return hashlib.sha256(f"{picture.width}x{picture.height}:".encode() + picture.tobytes()).hexdigest()


def _sharpness(y: npt.NDArray[np.float32]) -> float:
    """Variance of the 4-neighbour Laplacian at 256 px: at full size grain hides a blur."""
    laplacian = y[:-2, 1:-1] + y[2:, 1:-1] + y[1:-1, :-2] + y[1:-1, 2:] - 4 * y[1:-1, 1:-1]
    return float(laplacian.var()) if laplacian.size else 0.0


def _mean_colour(grid: Image.Image) -> str:
    return "#" + "".join(f"{round(channel):02x}" for channel in np.asarray(grid).mean(axis=(0, 1)))


def _failed_checks(size: tuple[int, int], expected: tuple[int, int], small: _Reduction) -> Iterator[Check]:
    if size != expected:
        made, asked = f"{size[0]}x{size[1]}", f"{expected[0]}x{expected[1]}"
        yield Check(code="wrong_size", reason=f"The picture is {made}; {asked} was asked for.")
    if small.values.max() <= BLACK_MAX:
        yield Check(
            code="black",
            reason="The picture is black: a safety filter or a numeric fault of the model. Another seed often helps.",
        )
    if small.std < BLANK_STD:
        yield Check(code="blank", reason="The picture is blank: one flat colour.")
    if small.std < NEAR_UNIFORM_STD:
        yield Check(
            code="near_uniform", reason="The picture is nearly one flat colour: there is hardly anything on it."
        )


def _jpeg(image: Image.Image) -> bytes:
    """JPEG bytes with no metadata: a loaded file's text, EXIF and profile do not come along."""
    return _saved(image, "JPEG", quality=THUMBNAIL_QUALITY)
