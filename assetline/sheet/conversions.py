"""From a cell's text to a value, each by its own narrow rule. What does not fit is reported, never guessed."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from assetline.catalogue import Channel, Style, slug
from assetline.records import Size, together
from assetline.sheet.grid import Limits, Raw, clean
from assetline.sheet.suggest import nearest, shown, suggestion

Report = Callable[[str, str, str], None]  # code, message, fix

EXACT_IN_A_SPREADSHEET = 2**53  # above it a number cell no longer holds every whole number
MOST_UNEVEN_RATIO = 16  # 1:16 at the usual area of a megapixel is 256 px by 4,096 px
LONGEST_ID = 80
LONGEST_NUMBER = 40  # digits and their separators, where a guess is made
MADE_ID_WORDS = 4
MADE_ID_LENGTH = 40

_WHOLE = re.compile(r"([+-]?\d{1,40})(?:\.0)?")
_DECIMAL = re.compile(r"([+-]?\d{1,20})(?:[.,](\d{1,20}))?")
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:[.,' ]\d{3})+")
_SHORTENED = re.compile(r"\d([.,]\d+)?[Ee]\+\d{1,3}")
_PIXELS = re.compile(r"(\d{1,9})\s*(?:px)?\s*[xX\u00d7*]\s*(\d{1,9})\s*(?:px)?", re.IGNORECASE)
_RATIO = re.compile(r"(\d{1,5}(?:\.\d{1,4})?)\s*:\s*(\d{1,5}(?:\.\d{1,4})?)")
_CLOCK = re.compile(r"\A(\d{1,2}:\d{1,2}):00\Z")  # the time that a spreadsheet makes of a ratio
_ANY_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3}\b)?")
_SEPARATORS = re.compile(r"[,;\n]")
_SHAPES = {"square": "1:1", "portrait": "4:5", "landscape": "3:2", "vertical": "9:16", "horizontal": "16:9"}


def words(raw: Raw) -> str:
    """A cell's text on one line."""
    return " ".join(clean(raw.text).split())


def listed(raw: Raw) -> list[str]:
    """The parts of a list by comma, semicolon or line break; blank parts and repetitions are left out."""
    if not raw.text:
        return []
    parts = (" ".join(part.split()) for part in _SEPARATORS.split(clean(raw.text)))
    return list(dict.fromkeys(part for part in parts if part))


def whole(raw: Raw, bounds: tuple[int, int], report: Report) -> int | None:
    """A whole number within the bounds, written in digits (`25`, also `25.0` as pandas and databases write it)."""
    text, (low, high) = words(raw), bounds
    plain = _WHOLE.fullmatch(text) or _WHOLE.fullmatch(raw.number)
    if not plain:
        _not_whole(text, bounds, report)
        return None
    value = int(plain[1])
    if low <= value <= high and not (raw.kind == "number" and abs(value) > EXACT_IN_A_SPREADSHEET):
        return value
    if raw.kind == "number" and abs(value) > EXACT_IN_A_SPREADSHEET:
        report("number-inexact", f"{shown(text)} is above 2^53, where number cells lose digits.", "")
    else:
        report("number-range", f"{shown(text)} is not from {low} to {high}.", f"Write {min(max(value, low), high)}.")
    return None


def _not_whole(text: str, bounds: tuple[int, int], report: Report) -> None:
    low, high = bounds
    if _SHORTENED.fullmatch(text):
        report("number-shortened", f"{shown(text)} is a long number that the spreadsheet has shortened.", "")
        return
    guess = _whole_guess(text)
    fix = f"Write a whole number from {low} to {high}."
    if guess is not None:
        fix = f"Did you mean {min(max(guess, low), high)}?"
    report("not-whole", f"{shown(text)} is not a whole number from {low} to {high}, written in digits.", fix)


def _whole_guess(text: str) -> int | None:
    """The whole number that was probably meant: `1,024`, `1E3`, `12.7`, `20 steps`."""
    if len(text) <= LONGEST_NUMBER and _GROUPED.fullmatch(text):
        return int(re.sub(r"[.,' ]", "", text))
    numbers = _ANY_NUMBER.findall(text[: LONGEST_NUMBER + 1])
    value = float(numbers[0]) if len(numbers) == 1 else math.inf
    return round(value) if math.isfinite(value) else None


def decimal(raw: Raw, bounds: tuple[float, float], report: Report) -> float | None:
    """A number within the bounds: `7.5`, or `7,5` with fewer than three digits after the comma."""
    text, (low, high) = raw.number or words(raw), bounds
    plain = _DECIMAL.fullmatch(text)
    if not plain or ("," in text and _GROUPED.fullmatch(text)):  # 1,024 is 1.024 to one and 1024 to another
        guess = _decimal_guess(text)
        example = f"Write it with a point: {7.5 if high > 1 else 0.5}."
        fix = example if guess is None else f"Did you mean {min(max(guess, low), high):.15g}?"
        report("not-number", f"{shown(text)} is not a number from {low:.15g} to {high:.15g}.", fix)
        return None
    value = float(f"{plain[1]}.{plain[2] or 0}")
    if low <= value <= high:
        return value
    fix = f"Write {min(max(value, low), high):.15g}."
    report("number-range", f"{shown(text)} is not from {low:.15g} to {high:.15g}.", fix)
    return None


def _decimal_guess(text: str) -> float | None:
    """The number that was probably meant: `50%`, `about 7`."""
    numbers = _ANY_NUMBER.findall(text[:LONGEST_NUMBER].replace(",", "."))
    if len(numbers) != 1:
        return None
    return float(numbers[0]) / (100 if text.endswith("%") else 1)


def style_names(raw: Raw, styles: Mapping[str, Style], report: Report) -> tuple[str, ...]:
    """The keys of the styles that a cell lists."""
    found = []
    for name in listed(raw):
        if slug(name) in styles:
            found.append(slug(name))
        else:
            fix = suggestion(name, [style.name for style in styles.values()], "styles")
            report("style-unknown", f"{shown(name)} is not a known style.", fix)
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class SizeReader:
    """Reads sizes: pixels, ratios and channels, within the limits."""

    channels: Mapping[str, Channel]
    limits: Limits

    def read(self, raw: Raw, column: str, report: Report) -> list[Size]:
        """Every size in a cell of `size` or `channels`; both columns take all three kinds."""
        parts = [_CLOCK.sub(r"\1", part) for part in listed(raw)]
        sizes = (self._one(part, column, report) for part in parts)
        return [size for size in sizes if size]

    def _one(self, text: str, column: str, report: Report) -> Size | None:
        channel = self.channels.get(slug(text))
        if channel:
            width, height = channel.render
            return Size(width=width, height=height, label=channel.name, exact=(channel.exact,))
        if pixels := _PIXELS.fullmatch(text):
            return self.pixels(int(pixels[1]), int(pixels[2]), report)
        if ratio := _RATIO.fullmatch(text):
            return _ratio(text, Fraction(ratio[1]), Fraction(ratio[2]), report)
        if column == "channels":
            fix = suggestion(text, [channel.name for channel in self.channels.values()], "channels")
            report("channel-unknown", f"{shown(text)} is not a known channel.", fix)
        else:
            report("size-unreadable", f"{shown(text)} is not a size.", self._size_hint(text))
        return None

    def _size_hint(self, text: str) -> str:
        if slug(text) in _SHAPES:
            return f"Write a ratio, such as {_SHAPES[slug(text)]}, or a channel's name."
        numbers = re.findall(r"\d+", text)
        near = nearest(text, [channel.name for channel in self.channels.values()])
        if near:
            return f'Did you mean "{near}"?'
        if 1 <= len(numbers) <= 2 and all(len(number) in {2, 3, 4} for number in numbers):
            return f'Did you mean "{numbers[0]}x{numbers[-1]}"?'
        return "Write pixels (1024x1024), a ratio (4:5) or a channel's name."

    def pixels(self, width: int, height: int, report: Report) -> Size | None:
        """A size in pixels, each side within the limits."""
        low, high = self.limits.min_side_px, self.limits.max_side_px
        near = [min(max(side, low), high) for side in (width, height)]
        if near == [width, height]:
            return Size(width=width, height=height, label=f"{width}x{height}")
        message = f'"{width}x{height}" has a side that is not from {low} to {high} px.'
        report("size-range", message, f"The nearest is {near[0]}x{near[1]}.")
        return None


def _ratio(text: str, across: Fraction, down: Fraction, report: Report) -> Size | None:
    if not across or not down or max(across / down, down / across) > MOST_UNEVEN_RATIO:
        message = f"{shown(text)} is not a ratio between {MOST_UNEVEN_RATIO}:1 and 1:{MOST_UNEVEN_RATIO}."
        report("size-range", message, "Write one such as 4:5.")
        return None
    scale = math.lcm(across.denominator, down.denominator)
    label = f"{float(across):g}:{float(down):g}"
    return Size(width=0, height=0, label=label, ratio=(int(across * scale), int(down * scale)))


def distinct_sizes(sizes: Iterable[Size], report: Report) -> tuple[Size, ...]:
    """The sizes without those that would give the same picture again; a second name for one is reported.

    Not so where a second channel takes another file of that picture: it is made once and delivered as both.
    """
    kept: dict[tuple[object, ...], Size] = {}
    for size in sizes:
        same = (size.width, size.height, size.ratio)
        first = kept.setdefault(same, size)
        if first is size:
            continue
        exact = together((*first.exact, *size.exact))
        kept[same] = first.model_copy(update={"exact": exact})
        if first.label != size.label and len(exact) == len(first.exact):
            place = f"{size.width}x{size.height}" if size.width else size.label
            report("size-twice", f'"{size.label}" gives the same picture as "{first.label}" ({place}).', "")
    return tuple(kept.values())


def _usable(character: str) -> bool:
    return character in "-_. " or unicodedata.category(character)[0] in "LMN"


def row_id(raw: Raw, report: Report) -> str:
    """The row's own id as written, or an empty text; what no file can be named after is reported."""
    text = words(raw)
    if raw.kind == "number" and text.lstrip("-").isdigit() and abs(int(text[:40])) > EXACT_IN_A_SPREADSHEET:
        report("number-inexact", f"{shown(text)} is above 2^53, where number cells lose digits.", "")
        return ""
    if _SHORTENED.fullmatch(text):
        report("number-shortened", f"{shown(text)} is a long number that the spreadsheet has shortened.", "")
        return ""
    fits = len(text) <= LONGEST_ID and all(map(_usable, text)) and slug(text) and text.strip(".") == text
    if text and not fits:
        better = "".join(character if _usable(character) else "-" for character in text)
        better = re.sub(r"-{2,}", "-", better)[:LONGEST_ID].strip("-_. ")
        fix = f'Write "{better}".' if slug(better) else "Write letters and digits, or leave the cell empty."
        report(
            "id-characters",
            f"{shown(text)} cannot name a file: 1 to {LONGEST_ID} letters, digits, - _ . and blanks.",
            fix,
        )
        return ""
    return text


def made_id(prompt: str, values: Mapping[str, str]) -> str:
    """An id from the prompt's first words, its `{column}` filled in; `row` where it has no words."""
    filled = re.sub(r"\{(\w+)\}", lambda found: values.get(slug(found[1]), found[1]), prompt)
    plain = "".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in filled[:1000])
    return "-".join(plain.casefold().split()[:MADE_ID_WORDS])[:MADE_ID_LENGTH].strip("-") or "row"
