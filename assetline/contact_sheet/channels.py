"""The files for channels in a picture's tile: name, size, link, note, and where each lies in the picture."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from assetline.catalogue import slug

if TYPE_CHECKING:
    from assetline.contact_sheet.page import Sheet
    from assetline.records import Asset, Outcome, Rendition

Box = tuple[float, float, float, float]  # left, top, right, bottom in px


def channel_files(sheet: Sheet, asset: Asset | None) -> str:
    """The files that were cut from a picture, as a list in HTML; nothing where there are none."""
    files = "".join(_file(sheet, asset, file) for file in asset.renditions) if asset else ""
    return f'<ul class="files" aria-label="Files for channels">{files}</ul>' if files else ""


def count_files(outcomes: Iterable[Outcome]) -> int:
    """How many files for channels there are; one that two rows share counts once."""
    return len({file.key for outcome in outcomes if outcome.asset for file in outcome.asset.renditions})


def safe_area(sheet: Sheet, file: Rendition) -> Box | None:
    """What no channel of the file lays its own words over, in px of the original; None where all of it is safe.

    Of a file that several channels take it is what is safe on each of them. A file that was made for another size of
    the channel than it has now has none.
    """
    size = (file.width, file.height)
    channels = [channel for name in file.channels if (channel := sheet.channels.get(slug(name)))]
    areas = [channel.safe for channel in channels if any(channel.cover) and (channel.width, channel.height) == size]
    if not areas:
        return None
    left, top = (max(area[side] for area in areas) for side in (0, 1))
    right, bottom = (min(area[side] for area in areas) for side in (2, 3))
    if left >= right or top >= bottom:
        return None
    across, down = (file.box[2] - file.box[0]) / file.width, (file.box[3] - file.box[1]) / file.height
    x, y = file.box[:2]
    return x + left * across, y + top * down, x + right * across, y + bottom * down


def _file(sheet: Sheet, asset: Asset, file: Rendition) -> str:
    name = escape(", ".join(file.channels))
    note = f'<span class="note">{escape(file.note)}</span>' if file.note else ""
    return (
        f'<li><a href="{escape(sheet.link(file.key))}" title="{escape(sheet.place(file.key))}"'
        f'{_drawn(sheet, asset, file)} target="_blank" rel="noopener"><bdi>{name}</bdi></a> '
        f"{file.width}\u00d7{file.height}"
        f' <span class="weight">{file.format} &middot; {_weight(file.size_bytes)}</span>{note}</li>'
    )


def _drawn(sheet: Sheet, asset: Asset, file: Rendition) -> str:
    """What the page draws over the picture: nothing where all of it is in the file, and safe."""
    left, top, right, bottom = file.box
    safe = safe_area(sheet, file)
    if not safe and max(left, top, asset.width - right, asset.height - bottom) < 1:
        return ""
    return f' data-cut="{_numbers(file.box)}"' + (f' data-safe="{_numbers(safe)}"' if safe else "")


def _numbers(box: Box) -> str:
    return " ".join(f"{round(side, 1):g}" for side in box)


def _weight(size_bytes: int) -> str:
    return f"{size_bytes / 1_000_000:.1f} MB" if size_bytes >= 1_000_000 else f"{max(1, round(size_bytes / 1000))} kB"
