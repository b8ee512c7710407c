"""The picture behind an FPO comp: a quiet composition of large paper-cut shapes, drawn from dice.

A composition draws tone numbers on a map of twice the size; colours come in when the map is halved, so that edges are
smooth and 1024x1024 costs a few milliseconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageChops, ImageDraw

from assetline.backends.fpo.palette import ACCENT, SECOND, TONES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from assetline.backends.fpo.palette import Colour, Dice

OVERSAMPLING = 2
STRIP_PX = 512  # rows coloured at once: a 4096x4096 comp never holds its map in RGB


@dataclass(frozen=True)
class Box:
    """A rectangle in px."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Top to bottom."""
        return self.bottom - self.top

    def scaled(self, factor: float) -> Box:
        """The same rectangle on a map `factor` times as large."""
        return Box(self.left * factor, self.top * factor, self.right * factor, self.bottom * factor)


@dataclass(frozen=True)
class Canvas:
    """A map of tones, in map pixels. `view` is what no caption covers: there the composition has its centre."""

    draw: ImageDraw.ImageDraw
    width: int
    height: int
    view: Box

    @property
    def unit(self) -> float:
        """What shapes are measured by: the view's shorter side, and up to 1.45 of it in long formats."""
        short, long = sorted((self.view.width, self.view.height))
        return short * (1 + 0.15 * min(3, long / short - 1))

    def across(self, share: float) -> float:
        """The x at a share of the view's width."""
        return self.view.left + share * self.view.width

    def down(self, share: float) -> float:
        """The y at a share of the view's height."""
        return self.view.top + share * self.view.height

    def disc(self, x: float, y: float, radius: float, tone: int) -> None:
        """A filled circle."""
        self.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=tone)

    def box(self, x0: float, y0: float, x1: float, y1: float, tone: int) -> None:
        """A filled rectangle; nothing where it would be upside down."""
        if x1 > x0 and y1 > y0:
            self.draw.rectangle((x0, y0, x1, y1), fill=tone)

    def ground(self, top: float, tone: int) -> None:
        """Everything from `top` down."""
        self.box(0, top, self.width, self.height, tone)


def paint(size: tuple[int, int], view: Box, colours: Sequence[Colour], dice: Dice) -> Image.Image:
    """An RGB picture of exactly `size` (width, height), composed by the dice round the view's centre."""
    width, height = size
    tones = Image.new("L", (width * OVERSAMPLING, height * OVERSAMPLING), 0)
    compose = dice.pick(COMPOSITIONS)
    compose(Canvas(ImageDraw.Draw(tones), *tones.size, view.scaled(OVERSAMPLING)), dice)
    return _lit(_coloured(tones, colours), dice)


def _coloured(tones: Image.Image, colours: Sequence[Colour]) -> Image.Image:
    flat = [value for colour in colours for value in colour]
    picture = Image.new("RGB", (tones.width // OVERSAMPLING, tones.height // OVERSAMPLING))
    for top in range(0, picture.height, STRIP_PX):
        bottom = min(top + STRIP_PX, picture.height)
        strip = tones.crop((0, top * OVERSAMPLING, tones.width, bottom * OVERSAMPLING))
        strip.putpalette(flat)
        picture.paste(strip.convert("RGB").reduce(OVERSAMPLING), (0, top))
    return picture


def _lit(picture: Image.Image, dice: Dice) -> Image.Image:
    """Light that falls in from one upper corner: at most 12 % darker in the other."""
    falls = (255, 250, 240, 251, 244, 234, 242, 233, 224)
    light = Image.new("L", (3, 3))
    light.putdata(falls)
    if dice.chance(0.5):
        light = light.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    shade = light.resize(picture.size, Image.Resampling.BICUBIC)
    return ImageChops.multiply(picture, Image.merge("RGB", (shade, shade, shade)))


def _hills(canvas: Canvas, dice: Dice) -> None:
    """A sky in steps, by day or by night, a sun or moon, and hills or peaks that darken towards the eye."""
    horizon = dice.between(0.3, 0.66)
    night = dice.chance(0.4)
    sky = (6, 5, 4, 3) if night else (0, 1, 2, 3)
    canvas.ground(0, sky[3])
    for step in range(3):
        canvas.box(0, 0, canvas.width, canvas.down(horizon * (0.82 - 0.28 * step)), sky[2 - step])
    light = 0 if night and dice.chance(0.5) else dice.pick((ACCENT, ACCENT, SECOND))
    x, y = canvas.across(dice.between(0.15, 0.9)), canvas.down(horizon * dice.between(0.35, 1.0))
    canvas.disc(x, y, dice.between(0.1, 0.26) * canvas.unit, light)
    ranges = dice.pick((3, 4, 5, 6))
    ridge = _Ridge(dice.between(0.6, 1.9), peaks=dice.chance(0.35))
    for number in range(ranges):
        share = number / (ranges - 1)
        level = canvas.down(horizon + (0.93 - horizon) * share)
        tone = SECOND if number == 1 and dice.chance(0.35) else round(2 + 2 * night + (TONES - 3 - 2 * night) * share)
        canvas.draw.polygon(ridge.line(canvas, dice, level), fill=tone)


@dataclass(frozen=True)
class _Ridge:
    """How a range of hills looks: how high its swings are, and whether it has peaks instead of waves."""

    height: float
    peaks: bool

    def line(self, canvas: Canvas, dice: Dice, level: float) -> list[tuple[float, float]]:
        """The outline of one range round `level`, down to the map's foot."""
        swings = [
            (self.height * dice.between(0.05, 0.11) / n, dice.between(0.35, 0.8) * n, dice.between(0, 1))
            for n in (1, 2)
        ]
        swing = _zigzag if self.peaks else _wave
        points = [(0.0, float(canvas.height))]
        steps = 160
        for step in range(steps + 1):
            x = canvas.width * step / steps
            lift = sum(size * swing(pace * x / canvas.unit + start) for size, pace, start in swings)
            points.append((x, level + lift * canvas.unit))
        return [*points, (float(canvas.width), float(canvas.height))]


def _wave(turn: float) -> float:
    return math.sin(math.tau * turn)


def _zigzag(turn: float) -> float:
    return 4 * abs(turn % 1 - 0.5) - 1


def _discs(canvas: Canvas, dice: Dice) -> None:
    """Large rings and discs that cut each other and the edges."""
    ground = dice.pick((0, 1, 4, 6))
    canvas.ground(0, ground)
    for number in range(dice.pick((3, 4, 5))):
        x, y = canvas.across(dice.between(-0.05, 1.05)), canvas.down(dice.between(-0.05, 1.1))
        radius = dice.between(0.2, 0.52) * canvas.unit
        first = dice.pick([tone for tone in (ACCENT, SECOND, 2, 5, 7) if number or tone >= TONES])
        second = dice.pick([tone for tone in (0, 1, 3, 6) if tone != ground])
        rings = dice.pick((1, 1, 2, 4))
        for ring in range(rings):
            canvas.disc(x, y, radius * (1 - ring / rings), second if ring % 2 else first)


def _arches(canvas: Canvas, dice: Dice) -> None:
    """Nested arches on a ground line, with a disc behind them."""
    floor = canvas.down(dice.between(0.84, 0.97))
    canvas.ground(0, dice.pick((0, 1, 2)))
    disc = dice.between(0.12, 0.24) * canvas.unit
    x, y = canvas.across(dice.between(0.2, 0.9)), canvas.down(dice.between(0.15, 0.45))
    canvas.disc(x, y, disc, dice.pick((ACCENT, SECOND)))
    left = canvas.view.left - dice.between(0.0, 0.3) * canvas.unit
    while left < canvas.width:
        half = dice.between(0.16, 0.32) * canvas.unit
        crown = floor - min(dice.between(0.3, 0.85) * canvas.view.height, 1.1 * canvas.unit) + half
        _arch(canvas, dice, (left + half, min(crown, floor - half * 0.2), half, floor))
        left += 2 * half * dice.between(0.84, 1.3)
    canvas.ground(floor, dice.pick((5, 6, 7)))


def _arch(canvas: Canvas, dice: Dice, place: tuple[float, float, float, float]) -> None:
    x, crown, half, floor = place
    rings = dice.pick((3, 4, 5))
    first = dice.pick((2, 3))
    for ring in range(rings):
        radius = half * (1 - ring / (rings + 0.6))
        tone = dice.pick((ACCENT, SECOND)) if ring == rings - 1 and dice.chance(0.5) else first + ring
        canvas.disc(x, crown, radius, tone)
        canvas.box(x - radius, crown, x + radius, floor, tone)


def _tiles(canvas: Canvas, dice: Dice) -> None:
    """A grid of quarter circles, half circles, leaves and discs."""
    side = min(canvas.width, canvas.height) / dice.pick((2, 3, 3, 4))
    for line in range(math.ceil(canvas.height / side)):
        for column in range(math.ceil(canvas.width / side)):
            _tile(canvas, dice, Box(column * side, line * side, (column + 1) * side, (line + 1) * side))


def _tile(canvas: Canvas, dice: Dice, cell: Box) -> None:
    ground = dice.pick((0, 1, 2, 4, 6))
    shape = dice.pick([tone for tone in (0, 3, 5, 7, SECOND, ACCENT) if abs(tone - ground) > 1])
    canvas.box(cell.left, cell.top, cell.right, cell.bottom, ground)
    middle = (cell.left + cell.width / 2, cell.top + cell.height / 2)
    corner = dice.pick((0, 1, 2, 3))
    match dice.pick(("quarter", "quarter", "quarter", "half", "disc", "eye", "plain")):
        case "quarter":
            _quarter(canvas, cell, corner, shape)
        case "half":
            canvas.draw.pieslice((cell.left, cell.top, cell.right, cell.bottom), 90 * corner, 90 * corner + 180, shape)
        case "disc":
            canvas.disc(*middle, cell.width * dice.pick((0.28, 0.5)), shape)
        case "eye":
            _quarter(canvas, cell, corner, shape)
            canvas.disc(*middle, cell.width * 0.17, ground)
        case _:
            pass


def _quarter(canvas: Canvas, cell: Box, corner: int, tone: int) -> None:
    """A quarter disc round one corner of the cell, counted clockwise from the upper left."""
    x = cell.right if corner in (1, 2) else cell.left
    y = cell.bottom if corner in (2, 3) else cell.top
    around = (x - cell.width, y - cell.height, x + cell.width, y + cell.height)
    canvas.draw.pieslice(around, 90 * corner, 90 * corner + 90, fill=tone)


def _stage(canvas: Canvas, dice: Dice) -> None:
    """A product set: a wall, a window of light, a floor, and plinths with still-life forms on them."""
    floor = canvas.down(dice.between(0.62, 0.74))
    canvas.ground(0, dice.pick((1, 2, 3)))
    half = dice.between(0.2, 0.32) * canvas.unit
    x, crown = canvas.across(dice.between(0.3, 0.75)), floor - dice.between(0.22, 0.4) * canvas.unit
    if dice.chance(0.6):
        canvas.disc(x, crown, half, 0)
        canvas.box(x - half, crown, x + half, floor, 0)
    else:
        canvas.disc(x, crown, half * 1.1, dice.pick((0, SECOND)))
    canvas.ground(floor, dice.pick((4, 5, 6)))
    count = max(2, round(canvas.view.width / canvas.unit * dice.pick((2, 3))))
    for number in range(count):
        _plinth(canvas, dice, canvas.across((number + dice.between(0.35, 0.65)) / count), floor)


def _plinth(canvas: Canvas, dice: Dice, x: float, floor: float) -> None:
    half = dice.between(0.09, 0.15) * canvas.unit
    foot = floor + dice.between(0.03, 0.14) * canvas.view.height
    top = foot - dice.between(0.12, 0.36) * canvas.view.height
    flat = half * 0.22
    side, lid = dice.pick(((5, 3), (6, 4), (3, 1), (SECOND, 1), (7, 5)))
    canvas.draw.ellipse((x - half, foot - flat, x + half, foot + flat), fill=side)
    canvas.box(x - half, top, x + half, foot, side)
    canvas.draw.ellipse((x - half, top - flat, x + half, top + flat), fill=lid)
    tone = dice.pick([tone for tone in (ACCENT, ACCENT, 7) if tone != side])
    match dice.pick(("ball", "bottle", "jar", "none")):
        case "ball":
            radius = half * dice.between(0.45, 0.75)
            canvas.disc(x, top - radius + flat * 0.5, radius, tone)
        case "bottle":
            _bottle(canvas, (x, top, half * 0.48), tone)
        case "jar":
            _jar(canvas, (x, top, half * 0.6), tone)
        case _:
            pass


def _bottle(canvas: Canvas, place: tuple[float, float, float], tone: int) -> None:
    x, foot, half = place
    shoulder = foot - half * 2.6
    canvas.draw.rounded_rectangle((x - half, shoulder, x + half, foot + half * 0.2), half * 0.45, fill=tone)
    canvas.box(x - half * 0.34, shoulder - half * 0.7, x + half * 0.34, shoulder + half * 0.3, tone)
    canvas.box(x - half * 0.46, shoulder - half * 1.2, x + half * 0.46, shoulder - half * 0.6, 7)


def _jar(canvas: Canvas, place: tuple[float, float, float], tone: int) -> None:
    x, foot, half = place
    canvas.draw.rounded_rectangle((x - half, foot - half * 1.3, x + half, foot + half * 0.2), half * 0.35, fill=tone)
    canvas.box(x - half * 0.86, foot - half * 1.62, x + half * 0.86, foot - half * 1.3, 7)


COMPOSITIONS: tuple[Callable[[Canvas, Dice], None], ...] = (_hills, _discs, _arches, _tiles, _stage)
