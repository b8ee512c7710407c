"""Where everything lies in a store: pure functions from what is known to keys, and back. No I/O.

    campaigns/<campaign>/assets/<row>/<slug>_<W>x<H>_<key8>.<ext>   and a sidecar, .json, beside each original
    campaigns/<campaign>/channels/<row>/<slug>_<channel>_<W>x<H>_<key8>.<ext>   exactly what the channel takes
    campaigns/<campaign>/thumbs/<request key>/{256,512}.jpg
    campaigns/<campaign>/references/<sha256>.<ext>
    campaigns/<campaign>/runs/<run id>/{input/<sheet>, manifest.jsonl, manifest.csv, contact-sheet.html, run.json}
    sheets/<rows>/<campaign>.json                                   which campaigns ran which rows
    names/<name>.json                                               the campaign of files that were renamed

A request is found by its `AssetPlace`: the row's folder, the size, and 8 digits of its key. The slug is for people.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from assetline.records import Exact, PlannedRequest

MAX_NAME_BYTES = 120  # of a campaign, a row, a sheet's name: 120 letters in ASCII, 40 in Chinese
MAX_SLUG = 40
ROWS_DIGITS = 32
SIDECAR_EXT = "json"

_ASSET = re.compile(
    r"campaigns/(?P<campaign>[^/]+)/assets/(?P<row>[^/]+)/"
    r"[^/]*_(?P<width>\d+)x(?P<height>\d+)_(?P<key8>[0-9a-f]{8})\.(?P<ext>[0-9a-z]+)"
)
_UNSAFE = re.compile(
    r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\u2028\u2029\ud800-\udfff]+'
)  # what S3, shells' globs or Windows cannot hold


@dataclass(frozen=True)
class AssetPlace:
    """Where a request's asset is within its campaign, whatever its slug: `row` is the folder, `key8` of the request."""

    row: str
    width: int
    height: int
    key8: str


@dataclass(frozen=True)
class ParsedKey:
    """What the key of an original, or of a sidecar (`ext` json), says."""

    campaign: str
    row: str
    width: int
    height: int
    key8: str
    ext: str

    @property
    def place(self) -> AssetPlace:
        """To compare with `place_of`."""
        return AssetPlace(self.row, self.width, self.height, self.key8)

    @property
    def is_sidecar(self) -> bool:
        """Whether it is the recipe, not the picture."""
        return self.ext == SIDECAR_EXT


def assets_prefix(campaign: str) -> str:
    """Everything that the campaign has made: originals and sidecars."""
    return f"{_campaign(campaign)}/assets/"


def asset_key(campaign: str, planned: PlannedRequest, ext: str) -> str:
    """The key of the original. `ext` is without a dot: png, jpg, webp."""
    place = place_of(planned)
    name = f"{slug_of(planned.request.prompt)}_{place.width}x{place.height}_{place.key8}.{ext}"
    return f"{assets_prefix(campaign)}{place.row}/{name}"


def rendition_key(campaign: str, planned: PlannedRequest, exact: Exact, ext: str) -> str:
    """The key of the file for a channel; the first of its channels names it."""
    channel, key8 = safe_name(exact.channels[0]), planned.request.key[:8]
    name = f"{slug_of(planned.request.prompt)}_{channel}_{exact.width}x{exact.height}_{key8}.{ext}"
    return f"{_campaign(campaign)}/channels/{safe_name(planned.row)}/{name}"


def channels_prefix(campaign: str) -> str:
    """What the keys of all files for channels of a campaign begin with."""
    return f"{_campaign(campaign)}/channels/"


def place_of(planned: PlannedRequest) -> AssetPlace:
    """Where the asset of this request is, if it was made."""
    request = planned.request
    return AssetPlace(safe_name(planned.row), request.width, request.height, request.key[:8])


def parse_asset_key(key: str) -> ParsedKey | None:
    """What the key of an original or a sidecar says; None for any other key."""
    found = _ASSET.fullmatch(key)
    if not found:
        return None
    return ParsedKey(
        campaign=found["campaign"],
        row=found["row"],
        width=int(found["width"]),
        height=int(found["height"]),
        key8=found["key8"],
        ext=found["ext"],
    )


def sidecar_key(original: str) -> str:
    """The key of the recipe beside an original."""
    return str(PurePosixPath(original).with_suffix(f".{SIDECAR_EXT}"))


def thumbnail_key(campaign: str, request_key: str, size_px: int) -> str:
    """The key of a JPEG whose longer side is `size_px`; `request_key` is whole (64 hex digits)."""
    return f"{_campaign(campaign)}/thumbs/{request_key}/{size_px}.jpg"


def reference_key(campaign: str, sha256: str, ext: str) -> str:
    """The key of a picture that requests refer to by its hash."""
    return f"{_campaign(campaign)}/references/{sha256}.{ext}"


def runs_prefix(campaign: str) -> str:
    """Everything that the campaign's runs wrote."""
    return f"{_campaign(campaign)}/runs/"


def run_prefix(campaign: str, run_id: str) -> str:
    """Everything that one run wrote."""
    return f"{runs_prefix(campaign)}{run_id}/"


def run_key(campaign: str, run_id: str, name: str) -> str:
    """The key of a run's own file: `manifest.jsonl`, `run.json`, ..."""
    return f"{run_prefix(campaign, run_id)}{name}"


def input_key(campaign: str, run_id: str, sheet: str) -> str:
    """The key of the copy of the sheet that a run read; `sheet` is its file name, whatever a person called it."""
    stem, dot, ext = PurePosixPath(sheet).name.rpartition(".")
    name = f"{safe_name(stem)}.{ext}" if re.fullmatch("[0-9A-Za-z]{1,8}", ext) and dot else safe_name(stem + dot + ext)
    return run_key(campaign, run_id, f"input/{name}")


def known_sheets_prefix(rows_sha256: str = "") -> str:
    """The campaigns that ran a sheet with these rows, or any sheet at all: an object for each content and campaign."""
    return f"sheets/{rows_sha256[:ROWS_DIGITS]}/" if rows_sha256 else "sheets/"


def known_sheet_key(rows_sha256: str, campaign: str) -> str:
    """The key of what is kept of a sheet's rows, to know them again under another file name."""
    return f"{known_sheets_prefix(rows_sha256)}{safe_name(campaign)}.json"


def other_name_key(name: str) -> str:
    """The key of what says that the files of this name belong to a campaign with another one; `name` is a slug."""
    return f"names/{safe_name(name)}.json"


def new_run_id(now: datetime, random: bytes) -> str:
    """`20261122T014500Z-<6 hex>`: sorts by time, and two of one moment differ. Takes three bytes of `random`.

    Three of the digits are the part of the second (to 0.24 ms), so that runs of one second keep their order.
    """
    moment = now.astimezone(UTC)
    part = moment.microsecond * 4096 // 1_000_000
    return f"{moment:%Y%m%dT%H%M%SZ}-{part:03x}{int.from_bytes(random[:3], 'big') % 4096:03x}"


def is_immutable(key: str) -> bool:
    """Whether the object, once there, never changes: originals and thumbnails, not what is written beside them."""
    parts = key.split("/")
    return parts[0] == "campaigns" and parts[2:3] in (["assets"], ["thumbs"]) and not key.endswith(f".{SIDECAR_EXT}")


def slug_of(text: str) -> str:
    """A few words of a prompt for a file name: lower case, letters of any script, at most 40 characters."""
    words = "".join(char if unicodedata.category(char)[0] in "LMN" else " " for char in _nfc(text.lower())).split()
    slug = "-".join(words)
    if len(slug) > MAX_SLUG:
        cut = slug[: MAX_SLUG + 1].rpartition("-")[0]
        slug = cut or slug[:MAX_SLUG]
    return slug or "picture"


def safe_name(name: str) -> str:
    """`name` as one part of a key, as a person wrote it where that can be: any script, blanks inside.

    Where something had to be changed or cut, 6 digits of a hash keep `a/b` and `a:b` apart.
    """
    whole = _nfc(name)
    safe = _UNSAFE.sub("-", whole).strip(" .")
    if safe == whole and safe and len(safe.encode()) <= MAX_NAME_BYTES:
        return safe
    short = safe.encode()[:MAX_NAME_BYTES].decode(errors="ignore").rstrip(" .-")
    digest = hashlib.sha256(whole.encode(errors="surrogatepass")).hexdigest()[:6]
    return f"{short}-{digest}".lstrip("-")


def _campaign(campaign: str) -> str:
    return f"campaigns/{safe_name(campaign)}"


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)
