"""Type for FPO comps: Inter, shipped beside this file, set without any system font or shaping library.

Inter covers Latin, Greek and Cyrillic (1,389 characters). Pillow's own default font lacks even the umlauts. What Inter
lacks is greeked: drawn as bars, as layouts do with text that is not there yet, never as empty boxes.
"""

from __future__ import annotations

import io
import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from PIL import ImageFont

if TYPE_CHECKING:
    from PIL import ImageDraw
    from PIL.ImageFont import FreeTypeFont

    from assetline.backends.fpo.palette import Colour

Weight = Literal["Regular", "SemiBold"]
SMALLEST_TYPE_PX = 9  # smaller is not readable
NOT_A_CHARACTER = "\uffff"
WIDE_EM, NARROW_EM = 0.95, 0.58  # widths of a greeked character
BREAKABLE = re.compile(r"[^-/_]*[-/_]|[^-/_]+")
INVISIBLE = {"Mn", "Me", "Cf", "Cc", "Cs", "Co", "Cn"}


@cache
def _file(weight: Weight) -> bytes:
    return files("assetline.backends.fpo").joinpath("fonts", f"Inter-{weight}.ttf").read_bytes()


@lru_cache(maxsize=64)
def font(weight: Weight, size_px: int) -> FreeTypeFont:
    """Inter at a size. BASIC layout: raqm depends on a library of the system, and bytes must not."""
    return ImageFont.truetype(io.BytesIO(_file(weight)), size_px, layout_engine=ImageFont.Layout.BASIC)


@cache
def drawable(character: str) -> bool:
    """Whether Inter has the character: its picture is not the picture of a missing one."""
    return _shape(character) != _shape(NOT_A_CHARACTER)


def _shape(character: str) -> tuple[tuple[int, int], bytes]:
    mask = font("Regular", 24).getmask(character)
    return mask.size, bytes(mask)


def settable(text: str) -> str:
    """The text composed, on one line, without what has no width (joiners, variation selectors, controls)."""
    composed = unicodedata.normalize("NFC", text)
    seen = (c for c in composed if c.isspace() or unicodedata.category(c) not in INVISIBLE)
    return " ".join("".join(seen).split())


def missing(text: str) -> int:
    """How many characters of the text have to be greeked."""
    return sum(not drawable(character) for character in settable(text))


@dataclass(frozen=True)
class Style:
    """A weight, a size in px and a colour."""

    weight: Weight
    size_px: int
    colour: Colour

    @property
    def line_px(self) -> int:
        """From one baseline to the next."""
        return round(self.size_px * 1.36)

    @property
    def capital_px(self) -> float:
        """The height of capitals: 0.727 em in Inter."""
        return self.size_px * 0.727

    def width(self, text: str) -> float:
        """The width of settable text in px."""
        return sum(
            font(self.weight, self.size_px).getlength(run) if known else sum(_em(c) for c in run) * self.size_px
            for known, run in _runs(text)
        )

    def write(self, draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str) -> None:
        """Draw settable text; `place` is its left end on the baseline."""
        x, baseline = place
        for known, run in _runs(text):
            if known:
                draw.text((x, baseline), run, font=font(self.weight, self.size_px), fill=self.colour, anchor="ls")
                x += font(self.weight, self.size_px).getlength(run)
            else:
                x = self._greek(draw, (x, baseline), run)

    def _greek(self, draw: ImageDraw.ImageDraw, place: tuple[float, float], run: str) -> float:
        x, baseline = place
        length = sum(_em(character) for character in run) * self.size_px
        gap = self.size_px * 0.08
        box = (x + gap, baseline - self.size_px * 0.52, x + length - gap, baseline)
        red, green, blue = ((value + 2 * 255) // 3 for value in self.colour)
        draw.rounded_rectangle(box, self.size_px * 0.1, fill=(red, green, blue))
        return x + length


def _runs(text: str) -> list[tuple[bool, str]]:
    return [(known, "".join(run)) for known, run in groupby(text, key=drawable)]


def _em(character: str) -> float:
    return WIDE_EM if _is_wide(character) else NARROW_EM


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


def wrapped(text: str, style: Style, width: float, most_lines: int) -> list[str]:
    """The text in at most `most_lines` lines no wider than `width` px; what does not fit ends in an ellipsis."""
    lines: list[str] = []
    rest = _pieces(text)
    while rest and len(lines) < most_lines:
        line, rest = _one_line(rest, style, width)
        lines.append(line.strip())
    if rest and lines:
        lines[-1] = shortened(lines[-1] + "\u2026", style, width)
    return [line for line in lines if line]


def shortened(text: str, style: Style, width: float) -> str:
    """The text, or as much of it as fits into `width` px with an ellipsis; empty where not even that does."""
    if style.width(text) <= width:
        return text
    kept = text.rstrip("\u2026")
    while kept and style.width(kept.rstrip() + "\u2026") > width:
        kept = kept[:-1]
    return kept.rstrip() + "\u2026" if kept.strip() else ""


def _pieces(text: str) -> list[str]:
    """Words with the blank behind them; a line may break behind a hyphen, and anywhere in wide characters (CJK)."""
    pieces: list[str] = []
    for word in text.split():
        for wide, run in groupby(word, key=_is_wide):
            letters = list(run)
            pieces += letters if wide else BREAKABLE.findall("".join(letters))
        pieces[-1] += " "
    return pieces


def _one_line(pieces: list[str], style: Style, width: float) -> tuple[str, list[str]]:
    """As many pieces as fit, and the rest; widths add up, since the face has no kerning."""
    blank, used = style.width(" "), 0.0
    for number, piece in enumerate(pieces):
        length = style.width(piece)
        if used + length - blank * piece.endswith(" ") > width:
            if number:
                return "".join(pieces[:number]), pieces[number:]
            head = _head_that_fits(piece, style, width)
            return head, [piece[len(head) :], *pieces[1:]]
        used += length
    return "".join(pieces), []


def _head_that_fits(word: str, style: Style, width: float) -> str:
    end = 1
    while end < len(word) and style.width(word[: end + 1]) <= width:
        end += 1
    return word[:end]
