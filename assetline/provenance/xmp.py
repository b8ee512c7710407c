"""XMP packets: the IPTC mark for AI pictures, alone or added to a packet that a file already has (XMP part 1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree as ET
from xml.sax.saxutils import quoteattr

DigitalSource = Literal["trainedAlgorithmicMedia", "algorithmicMedia"]

_IPTC_CODES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_IPTC_EXT = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_OWN = "urn:assetline:1.0#"
_SOURCE_TYPE = f"{{{_IPTC_EXT}}}DigitalSourceType"
_END_OF_RDF = re.compile(rb"</(?:[\w.-]+:)?RDF\s*>")


@dataclass(frozen=True)
class PublishFacts:
    """What the published file says of itself: the key of its request, and the IPTC code of how it was made.

    An FPO comp is `algorithmicMedia` (drawn by a formula): only a real render may claim to be AI's.
    """

    request_key: str
    source: DigitalSource = "trainedAlgorithmicMedia"


def mark(existing: bytes | None, facts: PublishFacts, limit: int | None) -> tuple[bytes | None, str]:
    """The packet to write (None: the file's own stays as it is), and what to say about it in plain words.

    `existing` is the file's packet; a DigitalSourceType in it is never changed. `limit` is the longest packet
    in bytes that the file format can hold.
    """
    written = f"IPTC DigitalSourceType {facts.source}: written"
    if existing is None:
        return _packet(facts), written
    found = _source_type(existing)
    if found:
        return None, f"IPTC DigitalSourceType {found.removeprefix(_IPTC_CODES)}: found and kept"
    merged = _merged(existing, facts)
    if merged is None or (limit is not None and len(merged) > limit):
        return None, "XMP packet that nothing can be added to: kept; no IPTC DigitalSourceType written"
    return merged, f"{written} into the XMP packet that was there"


def _packet(facts: PublishFacts) -> bytes:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">\n{_description(facts)}\n'
        '</rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>'
    ).encode()


def _description(facts: PublishFacts, about: str = "") -> str:
    """One rdf:Description that brings its own namespaces, so that it fits into any packet."""
    return (
        f'<rdf:Description rdf:about={quoteattr(about)} xmlns:rdf="{_RDF}" xmlns:Iptc4xmpExt="{_IPTC_EXT}" '
        f'xmlns:assetline="{_OWN}"\n  Iptc4xmpExt:DigitalSourceType="{_IPTC_CODES}{facts.source}"\n'
        f"  assetline:RequestKey={quoteattr(facts.request_key)}/>"
    )


def _merged(existing: bytes, facts: PublishFacts) -> bytes | None:
    """The packet with our description as the last one, or None where it is not plain UTF-8 RDF.

    All descriptions of a packet are about the same thing, so ours repeats the first one's rdf:about.
    """
    root = _parsed(existing)
    ends = list(_END_OF_RDF.finditer(existing))
    if root is None or len(ends) != 1:
        return None
    described = root.find(f".//{{{_RDF}}}Description")
    about = described.get(f"{{{_RDF}}}about", "") if described is not None else ""
    at = ends[0].start()
    merged = existing[:at] + _description(facts, about).encode() + b"\n" + existing[at:]
    return merged if _source_type(merged) else None


def _source_type(packet: bytes) -> str:
    """The DigitalSourceType in the packet, written as an attribute or as an element; empty where there is none."""
    root = _parsed(packet)
    for element in root.iter() if root is not None else ():
        value = element.get(_SOURCE_TYPE)
        if element.tag == _SOURCE_TYPE:
            value = (element.text or "").strip() or element.get(f"{{{_RDF}}}resource")
        if value:
            return value
    return ""


def _parsed(packet: bytes) -> ET.Element | None:
    """The packet's root, or None: not XML, not UTF-8, or with a DOCTYPE (entities have no place in XMP)."""
    if b"<!DOCTYPE" in packet:
        return None
    try:
        return ET.fromstring(packet.strip(b"\0 \t\r\n").decode())  # noqa: S314 no DOCTYPE, so no entities
    except (ET.ParseError, UnicodeDecodeError):
        return None
