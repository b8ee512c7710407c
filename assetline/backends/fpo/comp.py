"""An FPO comp: the composition, and over it what a layout needs to know: mark, row, size, prompt, seed, colour bar.

Small and narrow comps drop what would not be readable: first the prompt, then seed, size and row, the mark never.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import ImageDraw

from assetline.backends.fpo.art import Box, paint
from assetline.backends.fpo.caption import Caption, set_caption
from assetline.backends.fpo.lettering import SMALLEST_TYPE_PX, Style, missing
from assetline.backends.fpo.palette import Dice, Palette, palette_of

if TYPE_CHECKING:
    from assetline.records import ImageRequest

ROOM_FOR_TRIM_PX = 160  # shorter sides than this get no frame and no crop marks
ROOM_FOR_CAPTION_PX = 96


@dataclass(frozen=True)
class Plate:
    """What a comp is drawn on: its size in px, its palette, and `unit`, the px that type is measured by."""

    width: int
    height: int
    palette: Palette

    @property
    def short(self) -> int:
        """The shorter side."""
        return min(self.width, self.height)

    @property
    def unit(self) -> float:
        """The shorter side, and up to 1.6 of it for long formats, which have more room."""
        return self.short * min(1.6, math.sqrt(max(self.width, self.height) / self.short))

    @property
    def margin(self) -> float:
        """From the edge to the safe-area frame; nothing where the plate is too small for a frame."""
        return round(0.042 * self.short) if self.short >= ROOM_FOR_TRIM_PX else 0

    @property
    def line(self) -> int:
        """The weight of frame and marks."""
        return max(1, round(self.short / 700))

    @property
    def safe(self) -> Box:
        """The safe area, to its last pixel."""
        return Box(self.margin, self.margin, self.width - 1 - self.margin, self.height - 1 - self.margin)


def draw_comp(request: ImageRequest) -> bytes:
    """The PNG of a request, exactly at its size. The same request gives the same bytes on the same Pillow."""
    plate = Plate(request.width, request.height, palette_of(request.seed))
    caption = _caption(plate, request)
    view = _view(plate, caption)
    picture = paint((plate.width, plate.height), view, plate.palette.tones, Dice(f"art/{request.key}"))
    draw = ImageDraw.Draw(picture)
    if plate.margin:
        _trim(draw, plate)
    if caption is not None:
        caption.write(draw, plate.palette)
    _mark(draw, plate, view)
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=3)  # 1024x1024: 16 ms and 55 KB; level 6: 21 ms and 39 KB
    return file.getvalue()


def notes(request: ImageRequest) -> tuple[str, ...]:
    """What the comp could not show, in words for the sidecar."""
    greeked = missing(request.prompt)
    if not greeked:
        return ()
    return (f"Characters of the prompt that the comp's typeface lacks, drawn as bars: {greeked}.",)


def _caption(plate: Plate, request: ImageRequest) -> Caption | None:
    """Beside the picture in landscape formats, below it in all others."""
    if plate.short < ROOM_FOR_CAPTION_PX:
        return None
    safe = plate.safe
    if plate.width >= 1.5 * plate.height:
        room = Box(safe.left, safe.top, safe.left + min(plate.width * 0.36, plate.height * 1.2), safe.bottom)
        return set_caption(request, plate.palette, room, plate.unit, fill=True)
    room = Box(safe.left, safe.bottom - plate.height * 0.36, safe.right, safe.bottom)
    return set_caption(request, plate.palette, room, plate.unit, fill=False)


def _view(plate: Plate, caption: Caption | None) -> Box:
    """What the caption leaves of the picture."""
    if caption is None:
        return Box(0, 0, plate.width, plate.height)
    if plate.width >= 1.5 * plate.height:
        return Box(caption.box.right, 0, plate.width, plate.height)
    return Box(0, 0, plate.width, caption.box.top)


def _trim(draw: ImageDraw.ImageDraw, plate: Plate) -> None:
    """The safe-area frame, crop marks at its corners and registration marks on its sides."""
    safe, colour, line = plate.safe, plate.palette.paper, plate.line
    right, bottom, inset = plate.width - 1, plate.height - 1, plate.margin
    draw.rectangle((safe.left, safe.top, safe.right, safe.bottom), outline=colour, width=line)
    reach = inset * 0.62
    for x in (safe.left, safe.right):
        draw.line((x, 0, x, reach), colour, line)
        draw.line((x, bottom - reach, x, bottom), colour, line)
    for y in (safe.top, safe.bottom):
        draw.line((0, y, reach, y), colour, line)
        draw.line((right - reach, y, right, y), colour, line)
    above_and_below = ((right / 2, inset / 2), (right / 2, bottom - inset / 2))
    left_and_right = ((inset / 2, bottom / 2), (right - inset / 2, bottom / 2))
    for middle in above_and_below + left_and_right:
        _registration_mark(draw, middle, inset * 0.22, plate)


def _registration_mark(draw: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, plate: Plate) -> None:
    x, y = centre
    colour, line = plate.palette.paper, plate.line
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=line)
    draw.line((x - radius * 1.7, y, x + radius * 1.7, y), colour, line)
    draw.line((x, y - radius * 1.7, x, y + radius * 1.7), colour, line)


def _mark(draw: ImageDraw.ImageDraw, plate: Plate, view: Box) -> None:
    """The FPO mark: a tab in ink, hung from the frame, large enough to be read on a thumbnail."""
    left = view.left + plate.margin * 0.6 if view.left else plate.safe.left
    room = plate.safe.right - left
    size = max(SMALLEST_TYPE_PX, round(min(max(plate.unit * 0.11, min(22, plate.short * 0.2)), room * 0.3)))
    big = Style("SemiBold", size, plate.palette.paper)
    small = Style("Regular", max(SMALLEST_TYPE_PX, round(size * 0.175)), plate.palette.paper)
    words = "FOR POSITION ONLY"
    spelled = small.width(words) <= min(room, big.width("FPO") * 1.35)
    pad = size * 0.3
    width = max(big.width("FPO"), small.width(words) * spelled) + 2 * pad
    bottom = plate.safe.top + pad * 1.9 + big.capital_px + (small.capital_px + pad * 0.7) * spelled
    draw.rectangle((left, plate.safe.top, left + width, bottom), fill=plate.palette.ink)
    big.write(draw, (left + pad - size * 0.06, plate.safe.top + pad + big.capital_px), "FPO")
    if spelled:
        small.write(draw, (left + pad, bottom - pad * 0.9), words)
