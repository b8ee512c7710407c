"""The graph goes out, the mark goes in, the pixels stay: for PNG, JPEG and WebP, read back with Pillow."""

from __future__ import annotations

import io
import json
import struct
import zlib
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from assetline.errors import ImageError, StoreError
from assetline.provenance import PublishFacts, publish, read_sidecar, sidecar_json
from assetline.records import Asset, Check, Fingerprint, ImageRequest
from assetline.run_records import Sidecar

KEY = "5e" * 32
FACTS = PublishFacts(KEY)
AI = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
SOURCE_TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
REQUEST_KEY = "{urn:assetline:1.0#}RequestKey"
PROMPT = json.dumps({"3": {"class_type": "KSampler", "inputs": {"text": "unreleased: süß"}}})
WORKFLOW = json.dumps({"nodes": [], "links": [], "name": "ünveröffentlicht"}, ensure_ascii=False)
WRITTEN = "IPTC DigitalSourceType trainedAlgorithmicMedia: written"
RNG = np.random.default_rng(11)


def picture(mode="RGB", size=(61, 43)):
    """Odd sides, so that chunks of odd length come up."""
    channels = {"RGB": 3, "RGBA": 4, "L": 1}[mode]
    pixels = RNG.integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    return Image.fromarray(pixels.squeeze())


def encoded(image, file_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def opened(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def descriptions(data):
    """All attributes of the XMP packet that Pillow finds, by their full names."""
    packet = opened(data).info["xmp"]
    packet = packet.encode() if isinstance(packet, str) else packet
    return {name: value for element in ET.fromstring(packet.strip(b"\0")).iter() for name, value in element.items()}


def comfyui_png(image=None):
    text = PngImagePlugin.PngInfo()
    text.add_text("prompt", PROMPT)
    text.add_text("workflow", WORKFLOW)
    return encoded(image or picture(), "PNG", pnginfo=text)


def exif(**tags):
    block = Image.Exif()
    for name, value in tags.items():
        block[{"orientation": 0x0112, "make": 0x010F, "model": 0x0110, "software": 0x0131}[name]] = value
    return block


def user_comment(text, order):
    """EXIF as A1111 and its kin write it: UNICODE, mostly big-endian whatever the TIFF says."""
    value = b"UNICODE\0" + text.encode(f"utf-16-{order}")
    ifd0 = struct.pack("<HHHIII", 1, 0x8769, 4, 1, 26, 0)
    sub = struct.pack("<HHHIII", 1, 0x9286, 7, len(value), 44, 0)
    return b"Exif\0\0" + struct.pack("<2sHI", b"II", 42, 8) + ifd0 + sub + value


VARIANTS = [
    ("PNG", "RGB", {}),
    ("PNG", "RGBA", {}),
    ("PNG", "L", {}),
    ("JPEG", "RGB", {}),
    ("JPEG", "L", {"progressive": True}),
    ("WEBP", "RGB", {}),
    ("WEBP", "RGBA", {}),
    ("WEBP", "RGB", {"lossless": True}),
    ("WEBP", "RGBA", {"lossless": True}),
    ("WEBP", "RGB", {"icc_profile": b"x" * 33}),
]


@pytest.mark.parametrize(("file_format", "mode", "options"), VARIANTS)
def test_the_pixels_are_the_same_and_pillow_reads_the_mark(file_format, mode, options):
    data = encoded(picture(mode), file_format, **options)
    published = publish(data, file_format, FACTS)
    before, after = opened(data), opened(published.data)
    assert (after.mode, after.size, after.format) == (before.mode, before.size, file_format)
    assert np.array_equal(np.asarray(after), np.asarray(before))
    assert after.info.get("icc_profile") == before.info.get("icc_profile")
    marks = descriptions(published.data)
    assert (marks[SOURCE_TYPE], marks[REQUEST_KEY]) == (AI, KEY)
    assert published.marks == (WRITTEN,)
    assert published.embedded == {}


@pytest.mark.parametrize(("file_format", "mode", "options"), VARIANTS)
def test_publishing_twice_changes_nothing_more(file_format, mode, options):
    once = publish(encoded(picture(mode), file_format, **options), file_format, FACTS).data
    again = publish(once, file_format, FACTS)
    assert again.data == once
    assert again.marks == ("IPTC DigitalSourceType trainedAlgorithmicMedia: found and kept",)


def test_comfyui_s_graph_goes_out_of_the_png_and_is_kept_as_it_was():
    published = publish(comfyui_png(), "PNG", FACTS)
    assert published.embedded == {"prompt": PROMPT, "workflow": WORKFLOW}
    assert opened(published.data).text.keys() == {"XML:com.adobe.xmp"}
    assert b"KSampler" not in published.data


def test_every_text_chunk_goes_out_packed_or_not_and_of_the_same_name_too():
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", "a cat\nSteps: 20, Sampler: Euler")
    text.add_text("parameters", "a dog")
    text.add_text("Comment", "packed", zip=True)
    text.add_itxt("Title", "süß", lang="de", tkey="Titel", zip=True)
    published = publish(encoded(picture(), "PNG", pnginfo=text), "PNG", FACTS)
    assert published.embedded == {
        "parameters": "a cat\nSteps: 20, Sampler: Euler",
        "parameters 2": "a dog",
        "Comment": "packed",
        "Title": "süß",
    }


def test_the_png_s_checksums_are_right_and_xmp_follows_the_header():
    data = publish(comfyui_png(), "PNG", FACTS).data
    at, kinds = 8, []
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(data[at + 4 : at + 8 + length])
        kinds.append(kind)
        at += 12 + length
    assert kinds[:2] == [b"IHDR", b"iTXt"]
    assert kinds[-1] == b"IEND"


def test_a_compressed_text_that_lies_or_is_huge_does_no_harm():
    text = PngImagePlugin.PngInfo()
    text.add_text("bomb", "x" * 9_000_000, zip=True)
    text.add(b"zTXt", b"broken\0\0not zlib")
    published = publish(encoded(picture(), "PNG", pnginfo=text), "PNG", FACTS)
    assert published.embedded == {
        "bomb": "(a compressed text of over 4 MiB, left out)",
        "broken": "(a compressed text that could not be unpacked)",
    }


def test_the_webp_s_sizes_and_flags_are_right():
    data = publish(encoded(picture("RGBA"), "WEBP", lossless=True), "WEBP", FACTS).data
    assert struct.unpack_from("<I", data, 4)[0] == len(data) - 8
    assert (data[12:16], data[20]) == (b"VP8X", 0x10 | 0x04)
    assert (int.from_bytes(data[24:27], "little"), int.from_bytes(data[27:30], "little")) == (60, 42)


def test_a_jpeg_comment_goes_out():
    published = publish(encoded(picture(), "JPEG", comment=PROMPT.encode()), "JPEG", FACTS)
    assert published.embedded == {"comment": PROMPT}
    assert "comment" not in opened(published.data).info


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP"])
def test_exif_that_carries_a_graph_goes_out_and_the_orientation_stays(file_format):
    """ComfyUI's own WebP: the graph in Make and Model."""
    workflow = f"workflow:{json.dumps({'nodes': [], 'links': []})}"
    tags = exif(make=workflow, model=f"prompt:{PROMPT}", orientation=6, software="ComfyUI")
    published = publish(encoded(picture(), file_format, exif=tags), file_format, FACTS)
    assert published.embedded == {
        "exif:Make": workflow,
        "exif:Model": f"prompt:{PROMPT}",
        "exif:Software": "ComfyUI",
    }
    assert dict(opened(published.data).getexif()) == {0x0112: 6}


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP"])
def test_exif_that_only_carries_a_graph_goes_out_whole(file_format):
    data = encoded(picture(), file_format, exif=exif(model=f"prompt:{PROMPT}", orientation=1))
    published = publish(data, file_format, FACTS)
    assert "exif" not in opened(published.data).info
    assert b"class_type" not in published.data


def test_exif_in_a_webp_goes_out_with_the_flag_that_announces_it():
    """Some writers put JPEG's head before the EXIF of a WebP."""
    data = encoded(picture("RGBA"), "WEBP", exif=exif(model=f"prompt:{PROMPT}"))
    at = data.index(b"EXIF")
    body = b"Exif\0\0" + data[at + 8 :]
    data = data[:at] + b"EXIF" + struct.pack("<I", len(body)) + body
    data = data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    published = publish(data, "WEBP", FACTS)
    assert published.embedded == {"exif:Model": f"prompt:{PROMPT}"}
    assert (data[20] & 0x0C, published.data[20] & 0x0C) == (0x08, 0x04)


@pytest.mark.parametrize("order", ["be", "le"])
def test_the_parameters_in_a_user_comment_go_out(order):
    text = "a cat, süß\nNegative prompt: dog\nSteps: 20, Sampler: Euler a"
    published = publish(encoded(picture(), "JPEG", exif=user_comment(text, order)), "JPEG", FACTS)
    assert published.embedded == {"exif:UserComment": text}
    assert "exif" not in opened(published.data).info


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP"])
def test_exif_without_a_recipe_stays_as_it_is(file_format):
    data = encoded(picture(), file_format, exif=exif(make="Canon", orientation=6))
    published = publish(data, file_format, FACTS)
    assert published.embedded == {}
    assert opened(published.data).info["exif"] == opened(data).info["exif"]
    assert descriptions(published.data)[SOURCE_TYPE] == AI


@pytest.mark.parametrize("tiff", [b"", b"II*\0", b"nonsense", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff"])
def test_unreadable_exif_stays_as_it_is(tiff):
    data = encoded(picture(), "JPEG")
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", 8 + len(tiff)) + b"Exif\0\0" + tiff + data[2:]
    assert b"Exif\0\0" + tiff in publish(data, "JPEG", FACTS).data


OTHER_XMP = (
    '<?xpacket begin="" id="x"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF '
    'xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><r:Description r:about="uuid:1" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/" dc:rights="ACME"/></r:RDF></x:xmpmeta><?xpacket end="w"?>'
)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP"])
def test_a_packet_that_is_there_keeps_what_it_says_and_gets_ours(file_format):
    published = publish(with_xmp(file_format, OTHER_XMP), file_format, FACTS)
    marks = descriptions(published.data)
    assert marks["{http://purl.org/dc/elements/1.1/}rights"] == "ACME"
    assert marks["{http://www.w3.org/1999/02/22-rdf-syntax-ns#}about"] == "uuid:1"
    assert (marks[SOURCE_TYPE], marks[REQUEST_KEY]) == (AI, KEY)
    assert published.marks == (f"{WRITTEN} into the XMP packet that was there",)
    assert published.data.count(b"adobe:ns:meta/") == 1


def with_xmp(file_format, packet):
    if file_format != "PNG":
        return encoded(picture(), file_format, xmp=packet.encode())
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", packet)
    return encoded(picture(), "PNG", pnginfo=text)


@pytest.mark.parametrize(
    "said",
    [
        'i:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/digitalArt"/>',
        "><i:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/digitalArt</i:DigitalSourceType></r:Description>",
        '><i:DigitalSourceType r:resource="http://cv.iptc.org/newscodes/digitalsourcetype/digitalArt"/></r:Description>',
    ],
    ids=["attribute", "element", "resource"],
)
def test_a_source_type_that_is_there_is_never_changed(said):
    packet = OTHER_XMP.replace('dc:rights="ACME"/>', f'xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" {said}')
    data = with_xmp("JPEG", packet)
    published = publish(data, "JPEG", FACTS)
    assert published.data == data
    assert published.marks == ("IPTC DigitalSourceType digitalArt: found and kept",)


@pytest.mark.parametrize(
    "packet",
    [
        "not XML at all",
        OTHER_XMP.replace("<x:xmpmeta", '<!DOCTYPE x [<!ENTITY a "b">]><x:xmpmeta'),
        OTHER_XMP.replace("ACME", "A" * 65_000),
    ],
    ids=["broken", "doctype", "no room in a segment"],
)
def test_a_packet_that_nothing_can_be_added_to_stays_and_the_marks_say_so(packet):
    data = with_xmp("JPEG", packet)
    published = publish(data, "JPEG", FACTS)
    assert published.data == data
    assert published.marks == ("XMP packet that nothing can be added to: kept; no IPTC DigitalSourceType written",)


def test_a_packet_that_carries_a_graph_goes_out_whole():
    packet = OTHER_XMP.replace("ACME", "{&quot;class_type&quot;: 1}")
    published = publish(with_xmp("WEBP", packet), "WEBP", FACTS)
    assert published.embedded == {"xmp": packet}
    assert b"class_type" not in published.data
    assert published.marks == (WRITTEN,)


def test_an_fpo_comp_does_not_claim_to_be_ai_s():
    published = publish(encoded(picture(), "PNG"), "PNG", PublishFacts(KEY, source="algorithmicMedia"))
    assert descriptions(published.data)[SOURCE_TYPE] == AI.replace("trainedAlgorithmicMedia", "algorithmicMedia")
    assert published.marks == ("IPTC DigitalSourceType algorithmicMedia: written",)
    assert b"trainedAlgorithmicMedia" not in published.data


def signed_png():
    data = comfyui_png()
    chunk = b"caBX" + b"jumb"
    return data[:33] + struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]


def signed_jpeg():
    data = encoded(picture(), "JPEG")
    return data[:2] + b"\xff\xeb" + struct.pack(">H", 14) + b"JP\0\1\0\0\0\1jumb" + data[2:]


def signed_webp():
    data = encoded(picture("RGBA"), "WEBP", icc_profile=b"x") + b"C2PA" + struct.pack("<I", 4) + b"jumb"
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


@pytest.mark.parametrize(
    ("file_format", "data", "still"),
    [
        ("PNG", signed_png(), ", with its texts (prompt, workflow)"),
        ("JPEG", signed_jpeg(), ""),
        ("WEBP", signed_webp(), ""),
        ("JPEG", with_xmp("JPEG", OTHER_XMP.replace("dc:rights", 'dcterms:provenance="https://x" dc:rights')), ""),
    ],
    ids=["PNG", "JPEG", "WEBP", "manifest elsewhere"],
)
def test_a_signed_file_is_kept_byte_for_byte(file_format, data, still):
    opened(data)
    published = publish(data, file_format, FACTS)
    assert published.data == data
    assert published.embedded == {}
    assert published.marks == (f"C2PA signature: found; the file is kept byte for byte{still}",)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_bytes_after_the_end_are_left_out(file_format):
    data = encoded(picture(), file_format)
    published = publish(data + b'{"class_type": 1}', file_format, FACTS)
    assert published.data == publish(data, file_format, FACTS).data
    assert published.marks == (WRITTEN, "bytes after the end of the picture: left out")


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP"])
def test_a_file_that_is_cut_anywhere_in_its_structure_is_refused(file_format):
    data = encoded(picture(), file_format)
    header = data.index(b"\xff\xda") if file_format == "JPEG" else len(data)
    for end in range(0, header, 7):
        with pytest.raises(ImageError, match=f"(?i)The {file_format} file|The file is not a {file_format}"):
            publish(data[:end], file_format, FACTS)


@pytest.mark.parametrize(("file_format", "other"), [("PNG", "JPEG"), ("JPEG", "WEBP"), ("WEBP", "PNG")])
def test_a_file_of_another_format_is_refused(file_format, other):
    with pytest.raises(ImageError, match=f"not a {'WebP' if file_format == 'WEBP' else file_format}"):
        publish(encoded(picture(), other), file_format, FACTS)


def sidecar():
    return Sidecar(
        request_key=KEY,
        request=ImageRequest(
            prompt="süß 🍓", width=64, height=64, seed=2**64 - 1, parameters={"cfg": 7.5, "steps": 20}
        ),
        campaign="spring",
        row="SKU1",
        row_number=2,
        variant=1,
        size="1:1",
        run_id="r1",
        asset=Asset(
            original="a.png",
            sidecar="a.json",
            thumbnails={"256": "256.jpg"},
            sha256="00",
            width=64,
            height=64,
            format="PNG",
            seed=2**64 - 1,
            lane="fpo",
            job_id="1",
            seconds=0.5,
            cost_usd=0.0,
        ),
        fingerprint=Fingerprint(phash="00" * 32, chroma="80" * 512),
        rejected=Check(code="black", reason="The picture is black."),
        graph={"3": {"class_type": "KSampler"}},
        embedded={"prompt": PROMPT},
        generator="assetline 0.1.0",
    )


def test_a_sidecar_comes_back_as_it_was_written():
    data = sidecar_json(sidecar())
    assert read_sidecar(data) == sidecar()
    assert data.endswith(b"}\n")
    assert '\n  "request_key"' in data.decode()
    assert "süß 🍓" in data.decode()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (sidecar_json(sidecar()).replace(b'"version": 1', b'"version": 9'), r"version: Input should be 1"),
        (sidecar_json(sidecar())[:200], "Invalid JSON"),
    ],
    ids=["empty", "binary", "newer", "cut"],
)
def test_an_unreadable_sidecar_says_what_is_wrong(data, says):
    with pytest.raises(StoreError, match=says):
        read_sidecar(data)
