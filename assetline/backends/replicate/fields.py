"""The inputs of a model at Replicate: parameters with their ranges, and the three ways in which models take a size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from assetline.records import Record

Setting = bool | int | float | str
SHOWN_CHOICES = 16
RATIO_TOLERANCE = 0.02  # 1216x832 is called 3:2 (off by 2.6 %); a choice's own pixels are compared as well
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


@dataclass(frozen=True)
class Misfit:
    """What a model cannot take: the parameter (`seed`, `size`, `steps`), a code, plain words, what to write instead."""

    parameter: str
    code: str
    message: str
    fix: str


@dataclass(frozen=True)
class SizeFit:
    """A size as a model takes it: the inputs to send, the pixels that it then makes, a note where they are others."""

    send: dict[str, Setting]
    width: int
    height: int
    note: str = ""


class Parameter(Record):
    """One setting of a model. `field` is its input name, `default` is sent explicitly where nothing else is given.

    `optional`: sent only while the live input schema has it. `fixed`: the default is the only value.
    """

    field: str = Field(min_length=1)
    type: Literal["int", "float", "str", "bool"]
    default: Setting | None = None
    min: float | None = None
    max: float | None = None
    choices: tuple[Setting, ...] = ()
    optional: bool = False
    fixed: bool = False
    description: str = ""

    @model_validator(mode="after")
    def _default_fits(self) -> Parameter:
        if self.default is not None and (fault := self.fault(self.default)):
            raise ValueError(f"the default {self.default!r} {fault}")
        if self.fixed and self.default is None:
            raise ValueError("a fixed parameter needs its default")
        return self

    def typed(self, value: Setting) -> Setting:
        """`value` in the type of the JSON that is sent. Raises ValueError where it cannot be read as that."""
        if self.type == "bool":
            return _truth(value)
        if self.type == "str":
            return value if isinstance(value, str) else str(value)
        number = float(value)
        if not math.isfinite(number) or (self.type == "int" and not number.is_integer()):
            raise ValueError(f"{value!r} is no {'whole ' if self.type == 'int' else ''}number")
        return int(number) if self.type == "int" else number

    def fault(self, value: Setting) -> str:
        """Why it cannot take `value` (after `it`, lower case); empty where it can."""
        try:
            typed = self.typed(value)
        except ValueError:
            return f"is not of the type {self.type}"
        if self.choices and typed not in self.choices:
            return f"is not one of {listed(self.choices)}"
        if isinstance(typed, int | float) and not isinstance(typed, bool):
            if self.min is not None and typed < self.min:
                return f"is less than {self.min:g}"
            if self.max is not None and typed > self.max:
                return f"is more than {self.max:g}"
        return ""

    @property
    def allowed(self) -> str:
        """What it takes, for a remedy: `1 to 50`, `png, jpg`."""
        if self.choices:
            return listed(self.choices)
        if self.type == "bool":
            return "true or false"
        if self.min is not None and self.max is not None:
            return f"{self.min:g} to {self.max:g}"
        return {"int": "a whole number", "float": "a number", "str": "text"}[self.type]


class ImageInput(Record):
    """Where a reference image goes. `many`: the field is a list. `required`: the model only edits pictures."""

    field: str = Field(min_length=1)
    many: bool = False
    required: bool = False


class PixelSize(Record):
    """A model that takes width and height in pixels. `send` holds what must go along (`aspect_ratio: custom`)."""

    form: Literal["pixels"]
    width: str = "width"
    height: str = "height"
    min: int = Field(ge=1)
    max: int = Field(ge=1)
    step: int = Field(default=8, ge=1)
    send: dict[str, Setting] = Field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs that it fills."""
        return (self.width, self.height, *self.send)

    def fit(self, width: int, height: int, *, strict: bool) -> SizeFit | Misfit:
        """The nearest size that it takes; strict: only the very one."""
        near = (self._near(width), self._near(height))
        if strict and near != (width, height):
            rule = f"sides of {self.min} to {self.max} pixels in steps of {self.step}"
            return Misfit(
                "size", "size-unfit", f"takes {rule}, not {width}x{height}.", f"Nearest: {near[0]}x{near[1]}."
            )
        note = "" if near == (width, height) else f"Made at {near[0]}x{near[1]}, the nearest that it takes."
        return SizeFit({self.width: near[0], self.height: near[1], **self.send}, *near, note)

    def _near(self, side: int) -> int:
        low, high = math.ceil(self.min / self.step), self.max // self.step
        return min(max(round(side / self.step), low), high) * self.step


class ChoiceSize(Record):
    """A model that takes a ratio (`form: ratio`) or one of a few sizes (`form: enum`).

    `choices` maps what is sent to the pixels that come of it. Of ratios they are what the model is known to make; a
    ratio means any picture of about that shape.
    """

    form: Literal["ratio", "enum"]
    field: str = Field(min_length=1)
    choices: dict[str, Annotated[tuple[int, int], Field()]] = Field(min_length=1)
    send: dict[str, Setting] = Field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs that it fills."""
        return (self.field, *self.send)

    def fit(self, width: int, height: int, *, strict: bool) -> SizeFit | Misfit:
        """The choice nearest in shape; strict: only one of that shape (a ratio), or of that very size (an enum)."""
        name, (made_width, made_height) = min(
            self.choices.items(), key=lambda choice: self._distance(choice, width, height)
        )
        same = (made_width, made_height) == (width, height)
        exact = same or (self.form == "ratio" and self._off((name, (made_width, made_height)), width, height) == 0)
        if strict and not exact:
            what = "ratios" if self.form == "ratio" else "sizes"
            message = f"takes the {what} {listed(tuple(self.choices))}, not {width}x{height}."
            return Misfit("size", "size-unfit", message, f"Nearest: {name} ({made_width}x{made_height}).")
        note = "" if same else f"{width}x{height} was sent as {name}, which makes {made_width}x{made_height}."
        return SizeFit({self.field: name, **self.send}, made_width, made_height, note)

    def _distance(self, choice: tuple[str, tuple[int, int]], width: int, height: int) -> tuple[float, int]:
        made_width, made_height = choice[1]
        return self._off(choice, width, height), abs(made_width * made_height - width * height)

    def _off(self, choice: tuple[str, tuple[int, int]], width: int, height: int) -> float:
        """How far the shape is off, 0 within the tolerance; a ratio counts by its name and by its pixels."""
        shapes = [choice[1], *([_named(choice[0])] if self.form == "ratio" else [])]
        off = min(abs(math.log((width / height) / (w / h))) for w, h in shapes)
        return 0.0 if self.form == "ratio" and off <= RATIO_TOLERANCE else off

    @model_validator(mode="after")
    def _named_as_ratios(self) -> ChoiceSize:
        wrong = [name for name in self.choices if self.form == "ratio" and not _is_ratio(name)]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: a ratio is written like 16:9")
        return self


Size = Annotated[PixelSize | ChoiceSize, Field(discriminator="form")]


def listed(choices: tuple[Any, ...]) -> str:
    """`a, b, c`, cut where it would fill the screen."""
    rest = f" and {len(choices) - SHOWN_CHOICES} more" if len(choices) > SHOWN_CHOICES else ""
    return ", ".join(str(choice) for choice in choices[:SHOWN_CHOICES]) + rest


def _truth(value: Setting) -> bool:
    text = str(value).strip().lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError(f"{value!r} is neither true nor false")


def _is_ratio(name: str) -> bool:
    parts = name.split(":")
    return len(parts) == 2 and all(part.isdigit() and int(part) > 0 for part in parts)


def _named(ratio: str) -> tuple[int, int]:
    width, height = ratio.split(":")
    return int(width), int(height)
