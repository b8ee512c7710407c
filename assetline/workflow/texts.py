"""Follows conditioning from a sampler's positive or negative input to the texts that it is made of.

Positive and negative are told by the sampler's inputs and by which output of a node a link leaves, never by titles,
order or what a text says. Where that cannot be told the search stops there and says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from assetline.workflow.wiring import Link, Place, Wiring

Role = Literal["positive", "negative"]

# The text inputs of encoders, the one that describes the picture best first (ComfyUI 0.3.64, and well-known others).
ENCODERS: dict[str, tuple[str, ...]] = {
    "CLIPTextEncode": ("text",),
    "CLIPTextEncodeSDXL": ("text_g", "text_l"),
    "CLIPTextEncodeSDXLRefiner": ("text",),
    "CLIPTextEncodeFlux": ("t5xxl", "clip_l"),
    "CLIPTextEncodeSD3": ("t5xxl", "clip_g", "clip_l"),
    "CLIPTextEncodeHiDream": ("t5xxl", "llama", "clip_g", "clip_l"),
    "CLIPTextEncodeHunyuanDiT": ("mt5xl", "bert"),
    "CLIPTextEncodePixArtAlpha": ("text",),
    "CLIPTextEncodeLumina2": ("user_prompt",),
    "TextEncodeQwenImageEdit": ("prompt",),
    "TextEncodeQwenImageEditPlus": ("prompt",),
    "BNK_CLIPTextEncodeAdvanced": ("text",),
    "smZ CLIPTextEncode": ("text",),
}
_EMPTY_CONDITIONING = ("ConditioningZeroOut",)
# Nodes whose first output is known to be the positive prompt and whose second is the negative one.
_POSITIVE_FIRST = {
    "ControlNetApplyAdvanced",
    "ControlNetApplySD3",
    "ControlNetInpaintingAliMamaApply",
    "InpaintModelConditioning",
    "InstructPixToPixConditioning",
    "SD_4XUpscale_Conditioning",
    "PairConditioningSetProperties",
}
_ENCODER_FIELDS = ("text", "prompt", "t5xxl", "text_g", "clip_g", "text_l", "clip_l", "llama", "string")
_TEXT_NAME = re.compile(r"(text|string|str|prompt|value|positive|negative|content|multiline|input|any|wildcard)|[a-f]$")
_MAIN = re.compile(r"prompt|subject|positive|scene|main|description|product|motif")
_SIDE = re.compile(r"style|quality|trigger|camera|light|artist|prefix|suffix|boost|detail|background|mood|look")
_REGION = re.compile(r"area|mask|region|gligen", re.IGNORECASE)


@dataclass(frozen=True)
class Text:
    """One text of a prompt: the places that hold it (several encoders of one model). `regional`: for a part alone."""

    places: tuple[Place, ...]
    regional: bool = False

    @property
    def words(self) -> str:
        """The text as exported: the longest of its places."""
        return max((str(place.value).strip() for place in self.places), key=len)


@dataclass
class TextSearch:
    """One search. `doubts` are what a person should look at, `kept` the literal texts that stay as they are."""

    wiring: Wiring
    doubts: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    _seen: set[tuple[Link, Role]] = field(default_factory=set)
    _known: dict[tuple[Link, Role], list[Place]] = field(default_factory=dict)

    def follow(self, link: Link, role: Role, path: tuple[str, ...], *, regional: bool = False) -> Iterator[Text]:
        """The texts behind `link`, a conditioning that is the `role` of a sampler."""
        if (link, role) in self._seen:
            return
        self._seen.add((link, role))
        node, kind = link.node, self.wiring.class_of(link.node)
        if kind in _EMPTY_CONDITIONING:
            return
        regional = regional or bool(_REGION.search(kind))
        fields = ENCODERS.get(kind, ())
        before = () if fields else self._conditionings(link, role)
        if before:
            for name in before:
                yield from self.follow(
                    self.wiring.links(node)[name], role, (*path, f"{node}.{name}"), regional=regional
                )
            return
        fields = fields or self._encoder_fields(link, role)
        if fields:
            yield from self._encoded(node, fields, role, (path, regional))
        else:
            self.doubts.append(
                f"The {role} prompt could not be followed beyond {self.wiring.label(node)}: it takes no text."
            )

    def _conditionings(self, link: Link, role: Role) -> tuple[str, ...]:
        """The inputs of a node that the conditioning at `link` is made from."""
        node = link.node
        links = self.wiring.links(node)
        sides = {side: [name for name in links if side in name.casefold()] for side in ("positive", "negative")}
        if sides["positive"] and sides["negative"]:
            return tuple(sides[self._side(link, role)])
        other = "negative" if role == "positive" else "positive"
        if sides[other]:
            self.doubts.append(
                f"{self.wiring.label(node)} feeds the {role} prompt from its input {sides[other][0]}; left alone."
            )
            return ()
        if sides[role]:
            return tuple(sides[role])
        typed = tuple(name for name in links if self.wiring.input_type(node, name) == "CONDITIONING")
        return typed or tuple(name for name in links if "cond" in name.casefold())

    def _side(self, link: Link, role: Role) -> Role:
        """Which of a node's two prompts leaves at this output: by its name, or by its place where the class is known.

        Of an unknown class nothing but the sampler's own input tells it: outputs stand in any order, and a model may
        come first.
        """
        name = self.wiring.output_name(link)
        sides: tuple[Role, Role] = ("positive", "negative")
        known = self.wiring.class_of(link.node) in _POSITIVE_FIRST and link.slot < len(sides)
        side = next((side for side in sides if side in name), sides[link.slot] if known else role)
        if side != role:
            self.doubts.append(f"The sampler's {role} input comes from the {side} of {self.wiring.label(link.node)}.")
        return side

    def _encoder_fields(self, link: Link, role: Role) -> tuple[str, ...]:
        """The text inputs of a node that is not known by its class."""
        node = link.node
        inputs = self.wiring.inputs(node)
        texts = [name for name, value in inputs.items() if isinstance(value, str)]
        texts += [name for name in self.wiring.links(node) if self._may_be_text(node, name)]
        sided = [name for name in texts if role in name.casefold()]
        if sided:
            self.doubts.append(
                f"{self.wiring.label(node)} is not known here: its input {sided[0]} was taken for the {role} prompt."
            )
            return tuple(sided[:1])
        fields = tuple(name for name in _ENCODER_FIELDS if name in texts)
        if fields and not any("clip" in name.casefold() for name in self.wiring.links(node)):
            self.doubts.append(
                f"{self.wiring.label(node)} is not known here: its input {fields[0]} was taken for the {role} prompt."
            )
        return fields

    def _may_be_text(self, node: str, name: str) -> bool:
        kind = self.wiring.input_type(node, name)
        return kind == "STRING" if kind else bool(_TEXT_NAME.match(name.casefold()))

    def _encoded(
        self, node: str, fields: tuple[str, ...], role: Role, way: tuple[tuple[str, ...], bool]
    ) -> Iterator[Text]:
        """The texts of one encoder. Those of several (`text_g`, `text_l`) are one text; empty ones stay empty."""
        path, regional = way
        found = {name: self.strings(node, name, role, path) for name in fields}
        simple = [places[0] for places in found.values() if len(places) == 1]
        filled = [place for place in simple if str(place.value).strip()]
        if filled or simple:
            yield Text(tuple(filled or simple), regional)
        if len({str(place.value).strip() for place in filled}) > 1:
            names = " and ".join(dict.fromkeys(f"{place.node}.{place.input}" for place in filled))
            self.doubts.append(f"{names} hold different texts; both get the {role} prompt of the sheet.")
        if filled and len(filled) < len(simple):
            empty = ", ".join(f"{place.node}.{place.input}" for place in simple if place not in filled)
            self.kept.append(f"{empty} is empty and stays so.")
        for places in found.values():
            if len(places) > 1:
                yield from (Text((place,), regional) for place in places)

    def strings(self, node: str, name: str, role: Role, path: tuple[str, ...]) -> list[Place]:
        """Where the text of an input is written: here, or in the text nodes that it is put together from."""
        value = self.wiring.inputs(node).get(name)
        steps = (*path, f"{node}.{name}")
        if isinstance(value, str):
            return [Place(node, name, value, steps)]
        link = self.wiring.link(node, name)
        if link is None:
            return []
        if (link, role) not in self._known:
            self._known[link, role] = []  # so that a ring of text nodes ends
            self._known[link, role] = self._written(link, role, steps)
        places = [
            Place(place.node, place.input, place.value, place.path, user=place.user or (node, name))
            for place in self._known[link, role]
        ]
        if not places:
            self.doubts.append(
                f"The {role} prompt at {node}.{name} is made by {self.wiring.label(link.node)}, which takes no text."
            )
        return places

    def _written(self, link: Link, role: Role, path: tuple[str, ...]) -> list[Place]:
        """The texts of a text node: those that come in by links, else its own."""
        node = link.node
        if any(re.search("image|model|clip", name) for name in self.wiring.links(node)):
            return []  # a caption or a language model: computed
        names = self._sided([name for name in self.wiring.inputs(node) if self._may_be_text(node, name)], link, role)
        linked = [name for name in names if name in self.wiring.links(node)]
        own = [name for name in names if name not in linked and isinstance(self.wiring.inputs(node)[name], str)]
        filled = [name for name in own if self.wiring.inputs(node)[name].strip()]
        if linked:
            filled = [] if "show" in self.wiring.class_of(node).casefold() else filled  # what it showed last time
            self.kept += [
                f"{node}.{name} stays as it is: {_quoted(self.wiring.inputs(node)[name])}." for name in filled
            ]
            places = [place for name in linked for place in self.strings(node, name, role, path)]
            return [*{place.key: place for place in places}.values()]
        return [
            Place(node, name, self.wiring.inputs(node)[name], (*path, f"{node}.{name}")) for name in filled or own[:1]
        ]

    def _sided(self, names: list[str], link: Link, role: Role) -> list[str]:
        """Of a node that writes both prompts, only those of this role."""
        sides = {side: [name for name in names if side in name.casefold()] for side in ("positive", "negative")}
        return sides[self._side(link, role)] if sides["positive"] and sides["negative"] else names


def _quoted(text: str) -> str:
    flat = " ".join(text.split())
    return f'"{flat}"' if len(flat) <= 60 else f'"{flat[:59]}…"'


def merged(texts: list[Text]) -> list[Text]:
    """Texts that share a place, or say the same, are one; in the order found."""
    groups: list[Text] = []
    for text in texts:
        keys = {place.key for place in text.places}
        same = [group for group in groups if keys & {place.key for place in group.places} or group.words == text.words]
        if not same:
            groups.append(text)
            continue
        first = same[0]
        places = {place.key: place for group in (*same, text) for place in group.places}
        joined = Text(tuple(places.values()), all(group.regional for group in (*same, text)))
        groups = [joined if group is first else group for group in groups if group is first or group not in same]
    return groups


def main_first(texts: list[Text], wiring: Wiring) -> list[Text]:
    """The text that the sheet's prompt should go to, then the others: whole pictures before regions, then by titles."""
    return sorted(texts, key=lambda text: (text.regional, -_hint(text, wiring)))


def _hint(text: Text, wiring: Wiring) -> int:
    """What a node is called tells a subject from a style; never a positive prompt from a negative one."""
    titles = " ".join(wiring.title(place.node) for place in text.places).casefold()
    return bool(_MAIN.search(titles)) - bool(_SIDE.search(titles))
