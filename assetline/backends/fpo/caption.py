"""The caption of an FPO comp: a card with the row, the size, the prompt, the seed and a colour bar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from assetline.backends.fpo.art import Box
from assetline.backends.fpo.lettering import SMALLEST_TYPE_PX, Style, settable, shortened, wrapped

if TYPE_CHECKING:
    from PIL import ImageDraw

    from assetline.backends.fpo.palette import Palette
    from assetline.records import ImageRequest

COMMON_RATIOS = ((1, 1), (4, 5), (5, 4), (3, 4), (4, 3), (2, 3), (3, 2), (9, 16), (16, 9), (4, 7), (7, 4), (21, 9))
PROMPT_SIZES = (0.034, 0.031, 0.028, 0.025, 0.0225, 0.02)  # shares of the unit, the largest that fits
MOST_CHARACTERS = 1500  # of a prompt; more never fits


@dataclass(frozen=True)
class Line:
    """A line of type and the distance in px from the line above to its baseline."""

    text: str
    style: Style
    drop: float


@dataclass(frozen=True)
class Caption:
    """A card: its box in px, its lines from the top, the line at its foot (empty: none), its padding in px."""

    box: Box
    lines: tuple[Line, ...]
    foot: Line
    pad: float

    def write(self, draw: ImageDraw.ImageDraw, palette: Palette) -> None:
        """Draw the card and all that is on it."""
        draw.rectangle((self.box.left, self.box.top, self.box.right, self.box.bottom), fill=palette.paper)
        left, baseline = self.box.left + self.pad, self.box.top + self.pad
        for line in self.lines:
            baseline += line.drop
            line.style.write(draw, (left, baseline), line.text)
        if self.foot.text:
            self.foot.style.write(draw, (left, self.box.bottom - self.pad), self.foot.text)
            self._colour_bar(draw, palette)

    def _colour_bar(self, draw: ImageDraw.ImageDraw, palette: Palette) -> None:
        side = self.foot.style.capital_px * 1.35
        length = side * len(palette.swatches)
        if self.box.width - 2 * self.pad - self.foot.style.width(self.foot.text) < length + side:
            return
        top = self.box.bottom - self.pad - self.foot.style.capital_px / 2 - side / 2
        for number, colour in enumerate(palette.swatches):
            x = self.box.right - self.pad - length + side * number
            draw.rectangle((x, top, x + side, top + side), fill=colour)


def set_caption(request: ImageRequest, palette: Palette, room: Box, unit: float, *, fill: bool) -> Caption | None:
    """The caption in at most `room`: all of it (`fill`), or as little as it needs at its foot. None where none fits."""
    pad = max(5, round(unit * 0.03))
    width, height = room.width - 2 * pad, room.height - 2 * pad
    lines = _headline(request, palette, width, unit)
    while lines and sum(line.drop for line in lines) > height:
        lines.pop()
    if not lines:
        return None
    soft = Style("Regular", _px(unit, 0.022), palette.soft)
    seed = f"seed {request.seed}"
    foot = Line(
        seed if soft.width(seed) <= width else shortened(str(request.seed), soft, width), soft, soft.line_px * 1.6
    )
    left_over = height - sum(line.drop for line in lines) - foot.drop
    if left_over < 0:
        foot = Line("", soft, 0)
    else:
        lines += _prompt(request.prompt, palette, (width, left_over), unit)
    used = sum(line.drop for line in lines) + foot.drop + 2 * pad
    top = room.top if fill else room.bottom - used
    return Caption(Box(room.left, top, room.right, room.bottom), tuple(lines), foot, pad)


def _headline(request: ImageRequest, palette: Palette, width: float, unit: float) -> list[Line]:
    bold = Style("SemiBold", _px(unit, 0.04), palette.ink)
    name = settable(str(request.parameters.get("label", "")))
    lines = [
        Line(text, bold, bold.line_px if number else bold.capital_px)
        for number, text in enumerate(wrapped(name, bold, width, 2))
    ]
    pixels = f"{request.width}\u00d7{request.height}"
    ratio = ratio_of(request.width, request.height)
    plain = Style("Regular", _px(unit, 0.028), palette.ink)
    size = next((text for text in (f"{pixels}   {ratio}", pixels) if plain.width(text) <= width), "")
    if size:
        lines.append(Line(size, plain, plain.line_px * 1.08 if lines else plain.capital_px))
    return lines


def _prompt(prompt: str, palette: Palette, room: tuple[float, float], unit: float) -> list[Line]:
    """The prompt in the largest type in which all of it fits; in the smallest, as much as fits."""
    text = settable(prompt[:MOST_CHARACTERS]) + "\u2026" * (len(prompt) > MOST_CHARACTERS)
    width, height = room
    lines: list[Line] = []
    for size in sorted({_px(unit, share) for share in PROMPT_SIZES}, reverse=True):
        style = Style("Regular", size, palette.ink)
        most = int((height - style.size_px * 0.45) / style.line_px)
        if most < 1:
            continue
        found = wrapped(text, style, width, most)
        lines = [Line(line, style, style.line_px + style.size_px * 0.45 * (not n)) for n, line in enumerate(found)]
        if "".join(found).replace(" ", "") == text.replace(" ", ""):
            break
    return lines


def _px(unit: float, share: float) -> int:
    return max(SMALLEST_TYPE_PX, round(unit * share))


def ratio_of(width: int, height: int) -> str:
    """`4:5`; for odd sizes a common ratio within 1 %, else one like `2.39:1`."""
    for across, down in COMMON_RATIOS:
        if abs(width * down / (height * across) - 1) < 0.01:
            return f"{across}:{down}"
    return f"{width / height:.3g}:1" if width > height else f"1:{height / width:.3g}"
