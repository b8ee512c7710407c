"""EXIF (a TIFF 6.0 structure): read for its texts and the orientation, which is all that publishing asks."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_ORIENTATION, _USER_COMMENT, _EXIF_IFD = 0x0112, 0x9286, 0x8769
_TEXTS = {
    0x010E: "ImageDescription",
    0x010F: "Make",  # ComfyUI writes the workflow into Make and the prompt into Model of a WebP
    0x0110: "Model",
    0x0131: "Software",
    0x013B: "Artist",
    0x8298: "Copyright",
    _USER_COMMENT: "UserComment",
}
_WINDOWS_TEXTS = {
    0x9C9B: "XPTitle",
    0x9C9C: "XPComment",
    0x9C9D: "XPAuthor",
    0x9C9E: "XPKeywords",
    0x9C9F: "XPSubject",
}
_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 7: 1}  # bytes a value: byte, ASCII, short, long, undefined


@dataclass(frozen=True)
class Exif:
    """The texts by the tag's name, and the orientation (1: upright; 2 to 8: the viewer turns or mirrors it)."""

    texts: dict[str, str]
    orientation: int


def read_exif(tiff: bytes) -> Exif:
    """Read an EXIF block (without the `Exif` head). Raises ValueError or struct.error if it is not one."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        raise ValueError("not TIFF")
    tags = _ifd(tiff, order, struct.unpack_from(f"{order}I", tiff, 4)[0])
    if len(tags.get(_EXIF_IFD, b"")) == struct.calcsize("I"):
        tags |= _ifd(tiff, order, struct.unpack(f"{order}I", tags[_EXIF_IFD])[0])
    turned = tags.get(_ORIENTATION, b"")
    orientation = int.from_bytes(turned, "little" if order == "<" else "big") if len(turned) == 2 else 1
    texts = {name: _text(tag, tags[tag]) for tag, name in (_TEXTS | _WINDOWS_TEXTS).items() if tags.get(tag)}
    return Exif(texts, orientation)


def orientation_alone(orientation: int) -> bytes:
    """The smallest EXIF block: one IFD with one tag."""
    return struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, _ORIENTATION, 3, 1, orientation, 0, 0)


def _ifd(tiff: bytes, order: str, at: int) -> dict[int, bytes]:
    """The raw values of one directory by tag; of types that are not asked for, nothing."""
    tags: dict[int, bytes] = {}
    for number in range(struct.unpack_from(f"{order}H", tiff, at)[0]):
        entry = at + 2 + 12 * number
        tag, kind, count = struct.unpack_from(f"{order}HHI", tiff, entry)
        length = _WIDTHS.get(kind, 0) * count
        start = entry + 8 if length <= 4 else struct.unpack_from(f"{order}I", tiff, entry + 8)[0]
        tags[tag] = tiff[start : start + length]
    return tags


def _text(tag: int, value: bytes) -> str:
    """ASCII (in truth UTF-8 or Latin-1); UserComment after its 8-byte character code; Windows' own in UTF-16."""
    if tag in _WINDOWS_TEXTS:
        return value.decode("utf-16-le", errors="replace").strip("\0")
    if tag == _USER_COMMENT:
        code, value = value[:8], value[8:]
        if code == b"UNICODE\0":
            big = value[::2].count(0) > value[1::2].count(0)  # by the text itself: writers ignore the TIFF's order
            return value.decode("utf-16-be" if big else "utf-16-le", errors="replace").strip("\0")
    return utf8_or_latin1(value.strip(b"\0"))


def utf8_or_latin1(value: bytes) -> str:
    """Text of an unnamed encoding: Latin-1 takes whatever is not UTF-8, so this never fails."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
