"""Whether a picture file is there to its end, by its structure alone: nothing is decoded, so `check` can afford it."""

from __future__ import annotations

import re
import struct

from assetline.errors import ImageError
from assetline.provenance.containers import CONTAINERS
from assetline.records import ImageFormat

_BEGINNINGS: dict[ImageFormat, re.Pattern[bytes]] = {
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "WEBP": re.compile(rb"RIFF....WEBP", re.DOTALL),
}
_JPEG_END = b"\xff\xd9"  # never inside the picture's own data, where a byte of FF is followed by 00


def find_damage(data: bytes) -> str:
    """What is wrong with the bytes of a PNG, JPEG or WebP file, in words after its name; empty where nothing is.

    Cut short or of another kind is told; a pixel that cannot be decoded is not.
    """
    found = next((name for name, beginning in _BEGINNINGS.items() if beginning.match(data)), None)
    if found is None:
        return "is not a PNG, JPEG or WebP picture."
    try:
        parts = CONTAINERS[found].split(data)
        is_whole = found != "JPEG" or bytes(parts[-1].raw).rfind(_JPEG_END) > 0
    except (ImageError, struct.error, IndexError):
        is_whole = False
    return "" if is_whole else f"is a {found} picture that is cut short or damaged."
