"""PNG, JPEG and WebP taken apart into chunks or segments and put together again; the picture itself is never touched.

Layouts: PNG 3rd edition; JPEG T.81 with XMP part 3; WebP RFC 9649; where C2PA lies: C2PA 2.1, appendix A.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from assetline.errors import ImageError
from assetline.records import ImageFormat

Role = Literal["kept", "text", "xmp", "exif", "signature", "trailing"]

MAX_UNPACKED_TEXT = 4 * 2**20  # bytes; a compressed chunk may claim to be anything
_EXIF_HEAD = b"Exif\0\0"


@dataclass(frozen=True)
class Part:
    """One chunk or segment: `raw` with its framing, `body` the text, XMP or EXIF in it, `name` its kind or keyword."""

    role: Role
    name: str
    raw: memoryview | bytes
    body: bytes = b""


@dataclass(frozen=True)
class Container:
    """A file format: into its parts, back together with a new XMP packet, and how it holds EXIF.

    `split` raises ImageError, struct.error or IndexError for a file that is cut short or of another format.
    `xmp_limit` is the longest packet in bytes, where there is a limit.
    """

    split: Callable[[bytes], list[Part]]
    join: Callable[[list[Part], bytes | None], bytes]
    exif_part: Callable[[bytes], Part]
    xmp_limit: int | None = None


# PNG: 8 bytes, then chunks of length, kind, body, CRC

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_XMP = "XML:com.adobe.xmp"


def _split_png(data: bytes) -> list[Part]:
    view, at = memoryview(data), len(_PNG_SIGNATURE)
    parts: list[Part] = []
    if data[:at] != _PNG_SIGNATURE or data[12:16] != b"IHDR":
        raise ImageError("The file is not a PNG: it does not begin like one.")
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise ImageError("The PNG file is cut short.")
        parts.append(_png_part(kind, view[at:end]))
        if kind == b"IEND":
            return parts + _trailing(view[end:])
        at = end


def _png_part(kind: bytes, raw: memoryview) -> Part:
    if kind in {b"tEXt", b"zTXt", b"iTXt"}:
        keyword, text = _png_text(kind, bytes(raw[8:-4]))
        return Part("xmp" if keyword == _PNG_XMP else "text", keyword, raw, text)
    if kind == b"eXIf":
        return Part("exif", "eXIf", raw, bytes(raw[8:-4]))
    return Part("signature" if kind == b"caBX" else "kept", kind.decode("latin-1"), raw)


def _png_text(kind: bytes, body: bytes) -> tuple[str, bytes]:
    """Keyword and text of a tEXt, zTXt or iTXt chunk, unpacked."""
    keyword, _, text = body.partition(b"\0")
    packed = kind == b"zTXt"
    if packed:
        text = text[1:]
    if kind == b"iTXt":
        packed, text = text[:1] == b"\1", text[2:].split(b"\0", 2)[-1]
    return keyword.decode("latin-1"), _inflated(text) if packed else text


def _inflated(packed: bytes) -> bytes:
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(packed, MAX_UNPACKED_TEXT)
    except zlib.error:
        return b"(a compressed text that could not be unpacked)"
    return text if not unpacker.unconsumed_tail else b"(a compressed text of over 4 MiB, left out)"


def _join_png(parts: list[Part], packet: bytes | None) -> bytes:
    """XMP goes right after IHDR."""
    xmp = b"" if packet is None else _png_chunk(b"iTXt", _PNG_XMP.encode() + b"\0\0\0\0\0" + packet)
    return b"".join([_PNG_SIGNATURE, parts[0].raw, xmp, *(part.raw for part in parts[1:])])


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png_exif(tiff: bytes) -> Part:
    return Part("exif", "eXIf", _png_chunk(b"eXIf", tiff), tiff)


# JPEG: SOI, then segments of marker and length up to SOS; from there on it is the picture

_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_JPEG_XMP_LIMIT = 65_502
_APP0, _APP1, _APP11, _COM, _SOS = 0xE0, 0xE1, 0xEB, 0xFE, 0xDA


def _split_jpeg(data: bytes) -> list[Part]:
    view, at = memoryview(data), 2
    parts: list[Part] = []
    if data[:at] != b"\xff\xd8":
        raise ImageError("The file is not a JPEG: it does not begin like one.")
    while True:
        while data[at] == data[at + 1] == 0xFF:
            at += 1  # fill bytes
        if data[at] != 0xFF:
            raise ImageError("The JPEG file is damaged: there is no marker where one must be.")
        if data[at + 1] == _SOS:
            return [*parts, Part("kept", "SOS", view[at:])]
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        if end > len(data) or end < at + 4:
            raise ImageError("The JPEG file is cut short or damaged.")
        parts.append(_jpeg_part(data[at + 1], view[at:end]))
        at = end


def _jpeg_part(marker: int, raw: memoryview) -> Part:
    body = bytes(raw[4:])
    if marker == _COM:
        return Part("text", "comment", raw, body)
    if marker == _APP1 and body.startswith(_EXIF_HEAD):
        return Part("exif", "APP1", raw, body.removeprefix(_EXIF_HEAD))
    if marker == _APP1 and body.startswith(_JPEG_XMP):
        return Part("xmp", "APP1", raw, body.removeprefix(_JPEG_XMP))
    if marker == _APP11 and body.startswith(b"JP"):
        return Part("signature", "APP11", raw)  # JUMBF, the box of C2PA
    return Part("kept", "APP0" if marker == _APP0 else f"{marker:02X}", raw)


def _join_jpeg(parts: list[Part], packet: bytes | None) -> bytes:
    """XMP goes after JFIF's APP0 and EXIF, where readers look for it."""
    front = next(place for place, part in enumerate(parts) if part.name != "APP0" and part.role != "exif")
    xmp = b"" if packet is None else _app1(_JPEG_XMP + packet)
    return b"".join([b"\xff\xd8", *(part.raw for part in parts[:front]), xmp, *(part.raw for part in parts[front:])])


def _app1(body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, _APP1, 2 + len(body)) + body


def _jpeg_exif(tiff: bytes) -> Part:
    return Part("exif", "APP1", _app1(_EXIF_HEAD + tiff), tiff)


# WebP: RIFF, size, WEBP, then chunks of kind, length, body, padded to even; metadata needs VP8X in front

_XMP_FLAG, _EXIF_FLAG, _ALPHA_FLAG = 0x04, 0x08, 0x10
_WEBP_ROLES: dict[bytes, Role] = {b"EXIF": "exif", b"XMP ": "xmp", b"C2PA": "signature"}


def _split_webp(data: bytes) -> list[Part]:
    view, at = memoryview(data), 12
    parts: list[Part] = []
    if data[:4] != b"RIFF" or data[8:at] != b"WEBP":
        raise ImageError("The file is not a WebP: it does not begin like one.")
    stop = 8 + struct.unpack_from("<I", data, 4)[0]
    while at < stop:
        kind, length = struct.unpack_from("<4sI", data, at)
        end = at + 8 + length
        if end > len(data):
            raise ImageError("The WebP file is cut short.")
        body = bytes(view[at + 8 : end]) if kind in _WEBP_ROLES else b""
        parts.append(
            Part(_WEBP_ROLES.get(kind, "kept"), kind.decode("latin-1"), view[at:end], body.removeprefix(_EXIF_HEAD))
        )
        at = end + length % 2
    if not parts or parts[0].name not in {"VP8X", "VP8 ", "VP8L"}:
        raise ImageError("The WebP file holds no picture.")
    return parts + _trailing(view[at:])


def _join_webp(parts: list[Part], packet: bytes | None) -> bytes:
    """XMP goes last; the flags in VP8X say what metadata there is."""
    if packet is not None:
        parts = [*parts, Part("xmp", "XMP ", _webp_chunk(b"XMP ", packet))]
    if parts[0].name != "VP8X":
        parts = [Part("kept", "VP8X", _vp8x(parts[0])), *parts]
    header = bytearray(parts[0].raw)
    header[8] &= ~(_XMP_FLAG | _EXIF_FLAG)
    header[8] |= sum({"xmp": _XMP_FLAG, "exif": _EXIF_FLAG}.get(role, 0) for role in {part.role for part in parts})
    chunks = [bytes(header), *(part.raw for part in parts[1:])]
    body = b"".join(piece for chunk in chunks for piece in (chunk, b"\0" * (len(chunk) % 2)))
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _vp8x(picture: Part) -> bytes:
    """The header that makes a simple file an extended one: size and alpha, out of the picture's own header."""
    if picture.name == "VP8L":
        bits = struct.unpack_from("<I", picture.raw, 9)[0]
        flags, width, height = _ALPHA_FLAG * (bits >> 28 & 1), (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        flags, (width, height) = 0, (side & 0x3FFF for side in struct.unpack_from("<HH", picture.raw, 14))
    if not width or not height:
        raise ImageError("The WebP file is damaged: its picture has no size.")
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return _webp_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + sides)


def _webp_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack("<4sI", kind, len(body)) + body


def _webp_exif(tiff: bytes) -> Part:
    return Part("exif", "EXIF", _webp_chunk(b"EXIF", tiff), tiff)


def _trailing(rest: memoryview) -> list[Part]:
    return [Part("trailing", "", rest)] if rest else []


CONTAINERS: dict[ImageFormat, Container] = {
    "PNG": Container(_split_png, _join_png, _png_exif),
    "JPEG": Container(_split_jpeg, _join_jpeg, _jpeg_exif, _JPEG_XMP_LIMIT),
    "WEBP": Container(_split_webp, _join_webp, _webp_exif),
}
