"""What a published file says about itself: ComfyUI's graph goes out, the IPTC mark for AI pictures goes in.

All at the level of chunks and segments: no pixel is decoded or encoded again. Also the sidecar as bytes.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

from pydantic import ValidationError

from assetline.errors import ImageError, StoreError
from assetline.provenance import xmp
from assetline.provenance.containers import CONTAINERS, Container, Part
from assetline.provenance.exif import orientation_alone, read_exif, utf8_or_latin1
from assetline.provenance.xmp import DigitalSource, PublishFacts
from assetline.records import ImageFormat
from assetline.run_records import Sidecar

__all__ = ["DigitalSource", "PublishFacts", "Published", "publish", "read_sidecar", "sidecar_json"]

# JSON (also as `workflow:{...}`, ComfyUI's EXIF), a graph anywhere, or the parameters that A1111 writes
_RECIPE = re.compile(r"\A\s*(?:\w+\s*:\s*)?\{|class_type|^Negative prompt:|^Steps: \d+,", re.MULTILINE)


@dataclass(frozen=True)
class Published:
    """The bytes to store, the texts moved out of them, and the marks found or written, in plain words."""

    data: bytes = field(repr=False)
    embedded: dict[str, str] = field(default_factory=dict)
    marks: tuple[str, ...] = ()


def publish(data: bytes, file_format: ImageFormat, facts: PublishFacts) -> Published:
    """The lane's file as it may be shown to the public; the pixels are the same bits.

    Text chunks and comments (ComfyUI's `prompt` and `workflow`, A1111's `parameters`), and EXIF or XMP that
    carries such a recipe, are moved into `embedded`. An XMP packet with Iptc4xmpExt:DigitalSourceType and the
    request's key is put in, or added to a packet that is there; a DigitalSourceType that is there stays.
    A file with a C2PA signature comes back byte for byte, since any change would break the signature.
    Thumbnails, which are JPEG, can be marked in the same way.

    Raises ImageError: the file is cut short, or its structure is not that of `file_format`.
    """
    try:
        return _published(data, CONTAINERS[file_format], facts)
    except (struct.error, IndexError) as exc:
        raise ImageError(f"The {file_format} file is cut short or damaged.") from exc


def sidecar_json(sidecar: Sidecar) -> bytes:
    """The sidecar as indented UTF-8 JSON with a newline at the end."""
    return sidecar.model_dump_json(indent=2).encode() + b"\n"


def read_sidecar(data: bytes) -> Sidecar:
    """The sidecar from its bytes. Raises StoreError if they are not one that this version can read."""
    try:
        return Sidecar.model_validate_json(data)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        detail = ": ".join(part for part in (".".join(map(str, first["loc"])), first["msg"]) if part)
        raise StoreError(f"The sidecar is not one that this version can read ({detail}).") from exc


def _published(data: bytes, container: Container, facts: PublishFacts) -> Published:
    parts = container.split(data)
    if any(_is_signed(part) for part in parts):
        return Published(data, marks=(_signed_mark(parts),))
    embedded: dict[str, str] = {}
    kept = [cleaned for part in parts if (cleaned := _cleaned(part, container, embedded))]
    existing = next((part.body for part in kept if part.role == "xmp"), None)
    packet, *marks = xmp.mark(existing, facts, container.xmp_limit)
    if packet is not None:
        kept = [part for part in kept if part.role != "xmp"]
    if any(part.role == "trailing" for part in parts):
        marks.append("bytes after the end of the picture: left out")
    return Published(container.join(kept, packet), embedded, tuple(marks))


def _is_signed(part: Part) -> bool:
    """C2PA in the file, or (its other form) XMP that names a manifest elsewhere, which holds this file's hash."""
    return part.role == "signature" or (part.role == "xmp" and b"dcterms:provenance" in part.body)


def _signed_mark(parts: list[Part]) -> str:
    names = sorted({part.name for part in parts if part.role == "text"})
    still = f", with its texts ({', '.join(names)})" if names else ""
    return f"C2PA signature: found; the file is kept byte for byte{still}"


def _cleaned(part: Part, container: Container, embedded: dict[str, str]) -> Part | None:
    """The part as it is published, or None; what goes out is put into `embedded`."""
    if part.role == "exif":
        return _cleaned_exif(part, container, embedded)
    text = utf8_or_latin1(part.body)
    if part.role == "text" or (part.role == "xmp" and _RECIPE.search(text)):
        _put(embedded, "xmp" if part.role == "xmp" else part.name, text)
        return None
    return None if part.role == "trailing" else part


def _cleaned_exif(part: Part, container: Container, embedded: dict[str, str]) -> Part | None:
    """EXIF that carries a recipe goes out whole; an orientation that turns the picture stays, alone."""
    try:
        exif = read_exif(part.body)
    except (struct.error, ValueError):
        return part
    if not any(_RECIPE.search(text) for text in exif.texts.values()):
        return part
    for name, text in exif.texts.items():
        _put(embedded, f"exif:{name}", text)
    return container.exif_part(orientation_alone(exif.orientation)) if exif.orientation in range(2, 9) else None


def _put(embedded: dict[str, str], name: str, text: str) -> None:
    """Keep every text, of the same name too: `comment`, `comment 2`."""
    number, key = 1, name
    while key in embedded:
        number += 1
        key = f"{name} {number}"
    embedded[key] = text
