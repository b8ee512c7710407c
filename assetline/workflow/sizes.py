"""Where a picture's size is decided: from the saved picture back to the empty latent or the loaded picture.

What is asked for is the size of the finished picture. So every place on the way gets its part of it: the last one all,
a first pass two thirds, where the export had two thirds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from assetline.workflow.contract import Target
from assetline.workflow.wiring import Link, Place, Wiring

LATENT_STEP_PX = 8
MAX_SIDE_PX = 16_384  # what ComfyUI's nodes take (MAX_RESOLUTION)
MAX_STEP_PX = 128  # coarser sizes than this are of no use to a campaign
SIDES = ("width", "height")
_SIDE_NAMES = {side: (side, f"empty_latent_{side}", f"resize_{side}", f"image_{side}") for side in SIDES}
_SCALES = ("scale_by", "upscale_by", "scale_factor", "upscale_factor", "rescale_factor")
# Which input of a node holds the picture that it changes, the surest first.
_PICTURES = (
    "stitcher", "stitch", "destination", "latent_image", "images", "image", "samples", "pixels", "latent",
    "upscaled_image", "image1", "samples1", "samples_to", "image_to", "optional_latent",
)  # fmt: skip
# Nodes that change the size by a rule of their own, so that no number in the graph says what comes out.
_OWN_RULE = re.compile(
    r"TotalPixels|MaxDimension|KontextImageScale|PadForOutpaint|ImageRotate|AndPad|ImageStitch|Megapixel|Longest"
)
_ENCODES = re.compile(r"VAEEncode|InpaintModelConditioning", re.IGNORECASE)
_DECODES = re.compile(r"VAEDecode", re.IGNORECASE)
_LOADS = re.compile(r"Load.*Image", re.IGNORECASE)
_MODEL_FACTOR = re.compile(r"(?<![a-z0-9])(?:x(\d)|(\d)x)(?![0-9])", re.IGNORECASE)
# Sizes of latents in pixels where it is not 8, and the other classes that set a size (ComfyUI 0.3.64).
_STEPS_PX = {
    "EmptySD3LatentImage": 16,
    "EmptyHunyuanLatentVideo": 16,
    "EmptyHunyuanImageLatent": 32,
    "EmptyMochiLatentVideo": 16,
    "EmptyChromaRadianceLatentImage": 16,
    "EmptyFlux2LatentImage": 16,
}
_SIZED = {"EmptyLatentImage", "EmptyImage", "LatentUpscale", "LatentCrop", "ImageScale", "ImageCrop", *_STEPS_PX}
# Inputs beside the way that tell a model how large the picture is.
_TOLD = {
    "ModelSamplingFlux": ("width", "height"),
    "CLIPTextEncodeSDXL": ("width", "height", "target_width", "target_height"),
    "CLIPTextEncodeSDXLRefiner": ("width", "height"),
    "Flux2Scheduler": ("width", "height"),
}
# Layouts in pixels of the picture, corners too.
_AREAS = ("ConditioningSetArea", "GLIGENTextBoxApply", "SolidMask", "MaskComposite")


@dataclass(frozen=True)
class Part:
    """An input that takes a part of the finished picture's side. `factor` None: all of it."""

    side: str
    place: Place
    factor: float | None
    multiple_of: int

    @property
    def target(self) -> Target:
        """As the contract writes it."""
        if self.factor is None:
            return self.place.target()
        return self.place.target(self.factor, self.multiple_of)


@dataclass(frozen=True)
class SizePlan:
    """The exported size of the finished picture and every input that makes it.

    `native` is None where no number decides it: then `loose` is the output with a loaded picture that has to be fitted
    to the size asked for, or None, and `refusals` say why it cannot be. `step` is what sizes are multiples of, so that
    every pass comes out whole.
    """

    native: tuple[int, int] | None
    parts: tuple[Part, ...] = ()
    step: int = LATENT_STEP_PX
    loose: Link | None = None
    growth: Fraction = Fraction(1)
    doubts: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Sized:
    """A node that sets a size; `growth` is what the picture grows by after it, `step` what the node takes."""

    node: str
    sides: tuple[Place, Place]
    growth: Fraction
    step: int

    @property
    def size(self) -> tuple[int, int]:
        return int(self.sides[0].value), int(self.sides[1].value)


@dataclass
class _Walk:
    """The way from the saved picture back to where it begins."""

    wiring: Wiring
    sized: list[_Sized] = field(default_factory=list)
    growth: Fraction = Fraction(1)
    nodes: list[str] = field(default_factory=list)
    loose: Link | None = None
    encoded: bool = False
    decoded: bool = False
    doubts: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def back_from(self, node: str) -> None:
        """Walk back from the node that saves."""
        link = self._picture(node)
        while link and link.node not in self.nodes:
            kind = self.wiring.class_of(link.node)
            self.nodes.append(link.node)
            self.encoded = self.encoded or bool(_ENCODES.search(kind))
            self.decoded = self.decoded or bool(_DECODES.search(kind))
            if not self._sets_size(link.node, kind) and not self._scales(link.node):
                self._own_rule(link, kind)
            before = self._picture(link.node)
            if before is None and not self.sized and (self.encoded or _LOADS.search(kind)):
                self.loose = self.loose or link
            link = before

    def _picture(self, node: str) -> Link | None:
        links = self.wiring.links(node)
        typed = [name for name in links if self.wiring.input_type(node, name) in {"IMAGE", "LATENT"}]
        names = [name for name in _PICTURES if name in links] or typed
        return links[names[0]] if names else None

    def _sets_size(self, node: str, kind: str) -> bool:
        sides = side_places(self.wiring, node)
        if sides is None:
            return False
        if kind not in _SIZED:
            self.doubts.append(f"{self.wiring.label(node)} was taken to set the size, by the names of its inputs.")
        pixels = kind.startswith("Image") and not self.decoded  # after the last pass any size can be had
        step = math.lcm(_STEPS_PX.get(kind, 1), 1 if pixels else LATENT_STEP_PX)
        self.sized.append(_Sized(node, sides, self.growth, step))
        return True

    def _scales(self, node: str) -> bool:
        """Take in a node that enlarges by a factor."""
        place = next((p for name in _SCALES if (p := self.wiring.place(node, name, "number"))), None)
        if place:
            self.growth *= Fraction(str(place.value)).limit_denominator(100)
            return True
        model = self.wiring.link(node, "upscale_model")
        if model:
            self.growth *= self._model_factor(node, model)
        return bool(model)

    def _model_factor(self, node: str, model: Link) -> int:
        names = " ".join(str(value) for value in self.wiring.literals(model.node).values()).replace("_", " ")
        match = _MODEL_FACTOR.search(names)
        if match is None and not self.sized:
            self.doubts.append(
                f"{self.wiring.label(node)} enlarges by a factor that its file's name does not tell; taken for 4."
            )
        return int(match[1] or match[2]) if match else 4

    def _own_rule(self, link: Link, kind: str) -> None:
        """A loaded picture can be fitted again after such a node; a finished one cannot."""
        if self.sized or not _OWN_RULE.search(kind):
            return
        if self.encoded:
            self.loose = self.loose or link
        else:
            self.refusals.append(
                f"{self.wiring.label(link.node)} gives the finished picture a size that cannot be asked for. Take it "
                'out, or put "Upscale Image" with a width and a height in its place.'
            )


def side_places(wiring: Wiring, node: str) -> tuple[Place, Place] | None:
    """The two places of a node's size in whole pixels; None where it has none."""
    found = []
    for side in SIDES:
        places = (wiring.place(node, name, "number") for name in _SIDE_NAMES[side])
        place = next((place for place in places if place), None)
        if place is None or not float(place.value).is_integer() or not 0 < place_value(place) <= MAX_SIDE_PX:
            return None
        found.append(place)
    return found[0], found[1]


def place_value(place: Place) -> float:
    """The number that a place holds."""
    return float(place.value)


def plan_sizes(wiring: Wiring, output: str, nodes: list[str]) -> SizePlan:
    """How the size asked for reaches the picture that `output` saves. `nodes` are all that feed it."""
    walk = _Walk(wiring)
    walk.back_from(output)
    if not walk.sized:
        refusals = walk.refusals or ([] if walk.loose else [_no_size(wiring, walk.nodes)])
        return SizePlan(None, loose=walk.loose, growth=walk.growth, refusals=tuple(refusals))
    last = walk.sized[0]
    native = tuple(int(side * last.growth) for side in last.size)
    same = [sized.step for sized in walk.sized if sized.size == native and sized.growth == 1]
    step = math.lcm(last.step, *same) * last.growth.numerator
    if step > MAX_STEP_PX:
        walk.refusals.append(
            f"The picture grows {float(last.growth):g} times after {wiring.label(last.node)}: only sizes in steps of "
            f"{step} pixels would come out whole. Take a factor such as 1.25, 1.5 or 2."
        )
    parts = [*_way_parts(walk.sized, native), *_other_parts(wiring, walk, nodes, native)]
    return SizePlan(
        (native[0], native[1]), tuple(parts), step, None, walk.growth, tuple(walk.doubts), tuple(walk.refusals)
    )


def _no_size(wiring: Wiring, way: list[str]) -> str:
    begin = way[-1] if way else ""
    fed = [(name, wiring.link(begin, name)) for name in SIDES] if begin else []
    computed = [f"its {name} comes from {wiring.label(link.node)}" for name, link in fed if link]
    if computed:
        why = f"{wiring.label(begin)} begins the picture, and {' and '.join(computed)}, which computes it"
    else:
        why = f"{wiring.label(begin) if begin else 'nothing'} begins the picture and has no two numbers for them"
    return (
        f"No width and height were found: {why}. Type the size into an Empty Latent Image (or Upscale Image) node and "
        "export again."
    )


def _way_parts(sized: list[_Sized], native: tuple[int, ...]) -> Iterator[Part]:
    for node in reversed(sized):
        for side, place, whole in zip(SIDES, node.sides, native, strict=True):
            yield _part(side, place, whole, node.step)


def _part(side: str, place: Place, whole: int, step: int) -> Part:
    """The part of `whole` that a place has; rounded as the export has it."""
    value = int(place.value)
    if value == whole:
        return Part(side, place, None, step)
    multiple_of = step if value % step == 0 else 1
    for digits in (5, 9):
        part = Part(side, place, round(value / whole, digits), multiple_of)
        if part.target.scaled(whole) == value:
            break
    return part


def _other_parts(wiring: Wiring, walk: _Walk, nodes: list[str], native: tuple[int, ...]) -> Iterator[Part]:
    """Sizes beside the way: told to the model, areas of a layout, control pictures and masks of the same size."""
    known = {native, *(sized.size for sized in walk.sized)}
    for node in (node for node in nodes if node not in walk.nodes):
        kind = wiring.class_of(node)
        if kind in _TOLD:
            yield from _told_parts(wiring, node, _TOLD[kind], native)
        elif kind in _AREAS:
            yield from _area_parts(wiring, node, native)
        else:
            sides = side_places(wiring, node)
            if sides and (int(sides[0].value), int(sides[1].value)) in known:
                yield from (_part(*each, 8) for each in zip(SIDES, sides, native, strict=True))


def _told_parts(wiring: Wiring, node: str, names: tuple[str, ...], native: tuple[int, ...]) -> Iterator[Part]:
    """Only where both sides have the same part: other numbers are a choice of the art director's."""
    for pair in zip(names[::2], names[1::2], strict=True):
        places = [wiring.place(node, name, "number") for name in pair]
        if all(place and 0 < place_value(place) <= MAX_SIDE_PX for place in places):
            parts = [
                _part(side, place, whole, 1) for side, place, whole in zip(SIDES, places, native, strict=True) if place
            ]
            if parts[0].factor == parts[1].factor:
                yield from parts


def _area_parts(wiring: Wiring, node: str, native: tuple[int, ...]) -> Iterator[Part]:
    whole = dict(zip(SIDES, native, strict=True))
    for name, side in (("width", "width"), ("height", "height"), ("x", "width"), ("y", "height")):
        place = wiring.place(node, name, "number")
        if place and 0 < place_value(place) <= MAX_SIDE_PX:  # a corner at 0 stays there
            yield _part(side, place, whole[side], LATENT_STEP_PX)
