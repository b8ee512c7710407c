"""What a sheet may refer to by name: styles, channels, wildcards. Read from `campaigns/*.yaml` and `campaigns/wildcards/`."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

from assetline.records import Record


def slug(text: str) -> str:
    """Fold a name for comparison: `"Größe / Size "` and `"GRÖSSE_size"` are both `grösse_size`.

    Composed, casefolded, runs of anything but letters (of any script) and digits as one `_`, none at the ends.
    """
    folded = unicodedata.normalize("NFC", text).casefold()
    return re.sub(r"[\W_]+", "_", folded).strip("_")


class Style(Record):
    """A preset: `prompt` is appended to the row's prompt after a comma, `negative_prompt` to its negative prompt."""

    name: str
    prompt: str
    negative_prompt: str = ""


class Channel(Record):
    """Where a picture is published. `width` x `height` is what the channel shows, `render` the size that is generated.

    `render` has the channel's ratio, multiples of 8, about a megapixel. `source` says where the size is from.
    """

    name: str
    width: int
    height: int
    render: tuple[int, int]
    source: str


@dataclass(frozen=True)
class Catalogue:
    """All names a sheet may use. Keys are slugs: casefolded, runs of other characters as `_` (see `slug`)."""

    styles: dict[str, Style] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    wildcards: dict[str, tuple[str, ...]] = field(default_factory=dict)
    default_negative_prompt: str = ""
