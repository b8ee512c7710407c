"""Colours of an FPO comp, chosen from numbers alone: the same numbers give the same colours on every machine."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

Colour = tuple[int, int, int]
T = TypeVar("T")

TONES = 8  # art is drawn with tone numbers 0 .. TONES - 1 and ACCENT; 0 is the lightest
ACCENT = TONES
SECOND = TONES + 1

# Degrees between the main hue, the second hue and the accent: analogous, complementary, split, triadic, quiet.
SCHEMES = ((28, 200), (-32, 165), (180, 35), (150, -40), (115, 235), (60, -140), (14, 190), (-75, 105))


class Dice:
    """An endless stream of numbers from a text: sha256 of the text and a counter, so no generator's version matters."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._thrown = 0

    def throw(self) -> float:
        """The next number, 0 <= n < 1."""
        digest = hashlib.sha256(f"{self._text}/{self._thrown}".encode()).digest()
        self._thrown += 1
        return int.from_bytes(digest[:6]) / 2**48

    def between(self, low: float, high: float) -> float:
        """A number, low <= n < high."""
        return low + (high - low) * self.throw()

    def pick(self, choices: Sequence[T]) -> T:
        """One of `choices`."""
        return choices[int(self.throw() * len(choices))]

    def chance(self, share: float) -> bool:
        """True in `share` of all cases."""
        return self.throw() < share


@dataclass(frozen=True)
class Palette:
    """`tones` from light to dark, then the accent and a second hue; `paper` and `ink` carry the type."""

    tones: tuple[Colour, ...]
    paper: Colour
    ink: Colour
    soft: Colour

    @property
    def swatches(self) -> tuple[Colour, ...]:
        """What the colour bar shows."""
        return (self.tones[0], self.tones[3], self.tones[6], self.tones[ACCENT], self.tones[SECOND], self.ink)


def palette_of(seed: int) -> Palette:
    """The palette of a seed: eight tones between two neighbouring hues, an accent, a second hue, paper and ink."""
    dice = Dice(f"palette/{seed}")
    hue = dice.between(0, 360)
    second, accent = dice.pick(SCHEMES)
    light, dark = dice.between(0.88, 0.95), dice.between(0.38, 0.50)
    chroma = dice.between(0.05, 0.13)
    drift = _away_from_olive(hue, dice.between(-40, 40))
    tones = [_tone(step / (TONES - 1), (light, dark), chroma, (hue, drift)) for step in range(TONES)]
    tones.append(oklch(dice.between(0.68, 0.78), dice.between(0.11, 0.16), hue + accent))
    tones.append(oklch(dice.between(0.55, 0.82), dice.between(0.07, 0.12), hue + second))
    return Palette(
        tones=tuple(tones),
        paper=oklch(0.975, 0.010, hue),
        ink=oklch(0.25, 0.030, hue),
        soft=oklch(0.50, 0.025, hue),
    )


def _away_from_olive(hue: float, drift: float) -> float:
    """Dark yellows look like mud: let such a ramp darken towards terracotta or forest green instead."""
    if not 70 <= (hue + drift) % 360 <= 135:
        return drift
    target = 42 if hue < 95 or hue > 300 else 155
    return (target - hue + 180) % 360 - 180


def _tone(share: float, lightness: tuple[float, float], chroma: float, turn: tuple[float, float]) -> Colour:
    light, dark = lightness
    hue, drift = turn
    fullness = 0.35 + 0.65 * math.sin(math.pi * (0.15 + 0.7 * share))  # ends are quieter than the middle
    return oklch(light + (dark - light) * share, chroma * fullness, hue + drift * share)


def oklch(lightness: float, chroma: float, hue: float) -> Colour:
    """OKLCH (0..1, 0..0.37, degrees) as sRGB 0..255; what sRGB cannot show loses chroma, not hue.

    Matrices: Bjorn Ottosson, "A perceptual color space for image processing" (2020).
    """
    while True:
        linear = _linear_rgb(lightness, chroma, hue)
        if chroma <= 0 or all(-1e-4 <= value <= 1 + 1e-4 for value in linear):
            red, green, blue = (_encoded(value) for value in linear)
            return red, green, blue
        chroma -= 0.005


def _linear_rgb(lightness: float, chroma: float, hue: float) -> tuple[float, float, float]:
    a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )


def _encoded(value: float) -> int:
    value = min(1.0, max(0.0, value))
    return round(255 * (12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055))
