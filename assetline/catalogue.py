"""What a sheet may refer to by name: styles, channels, wildcards.

Read from `styles.yaml`, `channels.yaml` and `wildcards/` of the campaigns folder.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError

from assetline.errors import OptionError
from assetline.records import Exact, ImageFormat, Record
from assetline.yaml_reader import read_yaml

RATIO_TOLERANCE = 0.01  # a render may differ from its channel by this share; nobody sees a crop of 1 %
RENDER_STEP_PX = 8  # latents are an eighth of the picture's side

Named = TypeVar("Named", bound=Record)


@lru_cache(maxsize=16_384)  # the same headers and words in every row
def slug(text: str) -> str:
    """Fold a name for comparison: `"Größe / Size "` and `"GRÖSSE_size"` are both `grösse_size`.

    Composed, casefolded, runs of anything but letters (of any script) and digits as one `_`, none at the ends.
    """
    folded = unicodedata.normalize("NFC", text).casefold()
    return re.sub(r"[\W_]+", "_", folded).strip("_")


def name_key(text: str) -> str:
    """Fold the name of a column: as `slug`, but blanks and underscores make no difference (`ProductName`)."""
    return slug(text).replace("_", "")


class Style(Record):
    """A preset: `prompt` is appended to the row's prompt after a comma, `negative_prompt` to its negative prompt."""

    name: str
    prompt: str = Field(min_length=1)
    negative_prompt: str = ""


class Channel(Record):
    """Where a picture is published. `width` x `height` is what the channel shows, `render` the size that is generated.

    `render` has the channel's ratio, multiples of 8, about a megapixel. `source` says where the size is from.
    `format` and `max_bytes` (0: no limit) are of the file that the channel takes; `cover` are the px at its top, right,
    bottom and left over which the channel lays its own words, so that the safe area is what is left.
    """

    name: str
    width: int = Field(ge=1, le=16384)
    height: int = Field(ge=1, le=16384)
    render: tuple[int, int]
    source: str
    format: ImageFormat = "JPEG"
    max_bytes: int = Field(default=0, ge=0)
    cover: tuple[int, int, int, int] = (0, 0, 0, 0)

    @cached_property
    def exact(self) -> Exact:
        """The file that the channel takes."""
        return Exact(
            channels=(self.name,),
            width=self.width,
            height=self.height,
            format=self.format,
            most_bytes=self.max_bytes,
        )

    @property
    def safe(self) -> tuple[int, int, int, int]:
        """The safe area: left, top, right, bottom in px of the channel's file."""
        top, right, bottom, left = self.cover
        return left, top, self.width - right, self.height - bottom


@dataclass(frozen=True)
class Catalogue:
    """All names a sheet may use. Keys are slugs: casefolded, runs of other characters as `_` (see `slug`)."""

    styles: dict[str, Style] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    wildcards: dict[str, tuple[str, ...]] = field(default_factory=dict)
    default_negative_prompt: str = ""


def load_catalogue(folder: Path) -> Catalogue:
    """Read `styles.yaml`, `channels.yaml` and `wildcards/*.txt` of `folder`; each of them may be absent.

    Raises OptionError with every fault of every file, one a line, or when there is no such folder.
    """
    if not folder.is_dir():
        raise OptionError(f"There is no folder {folder} with styles and channels; give the one that has styles.yaml.")
    faults: list[str] = []
    styles_file = _read_yaml(folder / "styles.yaml", {"styles", "default_negative_prompt"}, faults)
    channels_file = _read_yaml(folder / "channels.yaml", {"channels"}, faults)
    negative = styles_file.get("default_negative_prompt") or ""
    if not isinstance(negative, str):
        faults.append(f"styles.yaml: default_negative_prompt: {negative!r} is not text. Put it in quotes.")
    catalogue = Catalogue(
        styles=_records("styles.yaml", styles_file.get("styles"), Style, faults),
        channels=_records("channels.yaml", channels_file.get("channels"), Channel, faults, _render_fault),
        wildcards=_read_wildcards(folder / "wildcards", faults),
        default_negative_prompt=str(negative).strip(),
    )
    if faults:
        raise OptionError("\n".join(faults))
    return catalogue


def _read_yaml(path: Path, known: set[str], faults: list[str]) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = read_yaml(path.read_text("utf-8-sig"))
    except (OSError, ValueError) as exc:
        faults.append(f"{path.name}: cannot be read: {exc}.")
        return {}
    if content is None:
        return {}
    if not isinstance(content, dict):
        faults.append(f"{path.name}: the file must hold the keys {_listed(known)}.")
        return {}
    faults.extend(
        f"{path.name}: {key!r} is not a known key. Known: {_listed(known)}." for key in content if key not in known
    )
    return content


def _records(
    file: str,
    entries: object,
    record: type[Named],
    faults: list[str],
    further: Callable[[Named], str] = lambda _: "",
) -> dict[str, Named]:
    """The entries of one file as records by slug; `further` looks at a whole record and names its fault."""
    if not isinstance(entries, Mapping):
        if entries is not None:
            faults.append(f"{file}: must map each name to its values.")
        return {}
    found: dict[str, Named] = {}
    for name, values in entries.items():
        key = slug(str(name))
        place = f"{file}: {name}"
        if not key or key in found:
            faults.append(f"{place}: {'the same name as one above' if key else 'the name has no letter or digit'}.")
        elif not isinstance(values, Mapping):
            faults.append(f"{place}: must be a list of `key: value`.")
        else:
            try:
                found[key] = record.model_validate({**values, "name": str(name)})
            except ValidationError as exc:
                faults.extend(f"{place}: {_field_fault(error)}" for error in exc.errors())
            else:
                faults.extend(f"{place}: {fault}" for fault in (further(found[key]),) if fault)
    return found


def _field_fault(error: Mapping[str, Any]) -> str:
    place = ".".join(map(str, error["loc"]))
    if error["type"] == "missing":
        return f"{place} is missing."
    if error["type"] == "extra_forbidden":
        return f"{place} is not a known key."
    return f"{place}: {error['input']!r} cannot be used: {error['msg']}."


def _render_fault(channel: Channel) -> str:
    width, height = channel.render
    if width <= 0 or height <= 0 or width % RENDER_STEP_PX or height % RENDER_STEP_PX:
        return f"render {width}x{height}: both sides must be multiples of {RENDER_STEP_PX}."
    if abs(width * channel.height / (height * channel.width) - 1) > RATIO_TOLERANCE:
        return f"render {width}x{height} has another ratio than the channel's {channel.width}x{channel.height}."
    left, top, right, bottom = channel.safe
    if min(channel.cover) < 0 or left >= right or top >= bottom:
        return f"cover {list(channel.cover)}: top, right, bottom and left in px, and something must be left between."
    return ""


def _read_wildcards(folder: Path, faults: list[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for path in sorted(folder.glob("*.txt")):
        key = slug(path.stem)
        try:
            text = path.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as exc:
            faults.append(f"wildcards/{path.name}: cannot be read as UTF-8 text: {exc}.")
            continue
        lines = tuple(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))
        if not lines:
            faults.append(f"wildcards/{path.name}: there is no line in it.")
        elif not key or key in found:
            faults.append(f"wildcards/{path.name}: the name is taken or has no letter or digit; rename the file.")
        else:
            found[key] = lines
    return found


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
