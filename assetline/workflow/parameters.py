"""The parameters of a graph, each by its own search: prompts, size, seed, the samplers' settings, models, pictures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from assetline.workflow.contract import Target
from assetline.workflow.findings import Findings
from assetline.workflow.models import ControlNet, Lora, find_controlnets, find_loras, find_painters
from assetline.workflow.passes import Pass
from assetline.workflow.sizes import SIDES, SizePlan
from assetline.workflow.texts import Role, Text, TextSearch, main_first, merged
from assetline.workflow.wiring import Place, Wiring, is_value, numbered

_TO_THE_END = 10_000  # end_at_step's way of saying "to the last step"
_LOADS = re.compile(r"Load.*Image", re.IGNORECASE)
_MASKS = re.compile(r"LoadImageMask", re.IGNORECASE)
_ENCODES = re.compile(r"VAEEncode|InpaintModelConditioning|ReferenceLatent", re.IGNORECASE)


@dataclass(frozen=True)
class Scene:
    """What the searches look at: the wiring, the nodes that feed the saved picture in order, the samplers."""

    wiring: Wiring
    nodes: list[str]
    passes: tuple[Pass, ...]


def find_prompts(scene: Scene, findings: Findings) -> None:
    """`prompt` and `negative_prompt`, with `prompt_2` ... where a prompt is made of several texts."""
    texts = {"positive": _texts(scene, findings, "positive"), "negative": _texts(scene, findings, "negative")}
    keys = {place.key for text in texts["positive"] for place in text.places}
    alone = [text for text in texts["negative"] if not keys & {place.key for place in text.places}]
    if len(alone) < len(texts["negative"]):
        findings.doubts.append(
            "The positive and the negative prompt are made of one text; it follows the positive one."
        )
    _add_texts(scene, findings, "prompt", texts["positive"])
    _add_texts(scene, findings, "negative_prompt", alone)


def _texts(scene: Scene, findings: Findings, role: Role) -> list[Text]:
    search = TextSearch(scene.wiring)
    found: list[Text] = []
    for each in scene.passes:
        prompt = each.positive if role == "positive" else each.negative
        if prompt:
            found += search.follow(prompt[0], role, (prompt[1],))
    findings.doubts += search.doubts
    findings.notes += search.kept
    return main_first(merged(found), scene.wiring)


def _add_texts(scene: Scene, findings: Findings, name: str, texts: Sequence[Text]) -> None:
    for number, text in enumerate(texts, 1):
        findings.plain(numbered(name, number), text.places, "one area of the picture" if text.regional else "")
    if len(texts) > 1:
        places = ", ".join(f"{numbered(name, n)} {text.places[0].key[0]}" for n, text in enumerate(texts, 1))
        main = scene.wiring.label(texts[0].places[0].node)
        findings.doubts.append(
            f"{len(texts)} texts make the {name.replace('_', ' ')} ({places}): the sheet's {name} goes to {main}, the "
            "others stay as exported unless the sheet has columns for them."
        )


def find_size(plan: SizePlan, findings: Findings) -> None:
    """`width` and `height` of the finished picture."""
    for side in SIDES:
        findings.add(side, [(part.place, part.target) for part in plan.parts if part.side == side])
    findings.doubts += plan.doubts


def find_seed(scene: Scene, findings: Findings) -> None:
    """`seed`, the same for every pass, at the sampler's own input: nodes that hold seeds take smaller numbers."""
    places = []
    for holder, name in (each.seed_input for each in scene.passes if each.seed_input):
        value = scene.wiring.inputs(holder)[name]
        if not is_value(value, "number"):
            feeder = scene.wiring.link(holder, name)
            feeding = scene.wiring.label(feeder.node) if feeder else "another value"
            findings.notes.append(f"{holder}.{name} was fed by {feeding}; the sheet's seed goes there directly now.")
            value = 0
        findings.graph[holder]["inputs"][name] = int(value)
        places.append(Place(holder, name, int(value), (f"{holder}.{name}",)))
    findings.plain("seed", places)
    findings.notes += _other_seeds(scene, findings, {place.key for place in places})


def _other_seeds(scene: Scene, findings: Findings, taken: set[tuple[str, str]]) -> Iterator[str]:
    """Seeds that no sampler takes (of wildcards, of noise on a picture): they stay, and so does what they make."""
    now = Wiring(findings.graph)
    for node in scene.nodes:
        seeded = any(
            is_value(now.inputs(node).get(name), "number") and (node, name) not in taken
            for name in ("seed", "noise_seed")
        )
        if seeded and now.slots_used(node):
            yield f"{scene.wiring.label(node)} has a seed of its own, which stays as exported."


def find_settings(scene: Scene, findings: Findings) -> None:
    """`steps`, `cfg`, `sampler`, `scheduler`, `denoise`, `flux_guidance` (a sheet's `guidance` is its `cfg`)."""
    _find_steps(scene, findings)
    for name in ("cfg", "sampler", "scheduler"):
        places = [place for each in scene.passes if (place := getattr(each, name))]
        _by_value(findings, name, places)
    whole = {each.denoise.key for each in scene.passes if each.denoise and not _repaints(scene, each)}
    changing = {
        each.denoise.key: each.denoise for each in scene.passes if each.denoise and each.denoise.key not in whole
    }
    for number, place in enumerate(changing.values(), 1):
        findings.plain(numbered("denoise", number), [place])
    guidance = (scene.wiring.place(node, "guidance", "number") for node in scene.nodes)
    _by_value(findings, "flux_guidance", [place for place in guidance if place])


def _by_value(findings: Findings, name: str, places: Iterable[Place]) -> None:
    """Places that hold the same are one parameter; a second pass with another value has one of its own."""
    groups: dict[object, list[Place]] = {}
    for place in places:
        groups.setdefault(place.value, []).append(place)
    for number, group in enumerate(groups.values(), 1):
        findings.plain(numbered(name, number), group, "" if number == 1 else f"node {group[0].path[0].split('.')[0]}")


def _find_steps(scene: Scene, findings: Findings) -> None:
    """All passes by one number: a second pass of 15 steps after 25 gets six tenths, a hand-over at 20 stays at 80 %."""
    steps = [each.steps for each in scene.passes if each.steps and 0 < int(each.steps.value) <= _TO_THE_END]
    if not steps:
        return
    whole = int(steps[0].value)
    bounds = [place for each in scene.passes for place in each.bounds if 0 < int(place.value) < _TO_THE_END]
    keys = {place.key for place in steps}
    parts = [*steps, *(place for place in bounds if place.key not in keys)]
    findings.add("steps", [(place, _share(place, whole)) for place in parts])


def _share(place: Place, whole: int) -> Target:
    value = int(place.value)
    return place.target() if value == whole else place.target(round(value / whole, 5), 1)


def _repaints(scene: Scene, each: Pass) -> bool:
    """Whether a pass works on a picture, so that it matters how much of it is made anew."""
    if each.denoise is None or each.source is None:
        return False
    before = scene.wiring.upstream(each.source.node)
    earlier = {other.node for other in scene.passes if other is not each}
    loaded = any(_LOADS.search(scene.wiring.class_of(node)) for node in before)
    return loaded or not earlier.isdisjoint(before) or float(each.denoise.value) < 1


def find_models(scene: Scene, findings: Findings) -> None:
    """`checkpoint`, `lora` with its strengths, `controlnet` with its strength; numbered where there are several."""
    painters = [
        place
        for each in scene.passes
        if each.model
        for place in find_painters(scene.wiring, each.model, (f"{each.node}.model",))
    ]
    _by_value(findings, "checkpoint", painters)
    for number, group in enumerate(_lora_groups(scene), 1):
        _add_lora(findings, number, group)
    for number, nets in enumerate(_controlnet_groups(scene), 1):
        names = [net.name for net in nets if net.name]
        findings.plain(numbered("controlnet", number), _unowned(findings, names))
        findings.plain(numbered("controlnet_strength", number), [net.strength for net in nets])


def _unowned(findings: Findings, places: list[Place]) -> list[Place]:
    """One loader that serves two ControlNets is one parameter."""
    taken = {(target.node, target.input) for found in findings.found.values() for target in found.targets}
    return [place for place in places if place.key not in taken]


def _lora_groups(scene: Scene) -> Iterable[list[Lora]]:
    """The same LoRA at the same strengths for two models is one."""
    groups: dict[object, list[Lora]] = {}
    for lora in find_loras(scene.wiring, scene.nodes):
        strengths = [place.value if place else None for place in (lora.strength, lora.clip_strength)]
        groups.setdefault((lora.name.value, *strengths), []).append(lora)
    return groups.values()


def _add_lora(findings: Findings, number: int, group: list[Lora]) -> None:
    findings.plain(numbered("lora", number), [lora.name for lora in group])
    strengths = [lora.strength for lora in group if lora.strength]
    clips = [lora.clip_strength for lora in group if lora.clip_strength]
    if strengths and clips and strengths[0].value == clips[0].value:
        strengths, clips = [place for pair in zip(strengths, clips, strict=False) for place in pair], []
    findings.plain(numbered("lora_strength", number), strengths)
    findings.plain(numbered("lora_clip_strength", number), clips)


def _controlnet_groups(scene: Scene) -> Iterable[list[ControlNet]]:
    """One ControlNet on one picture at one strength, applied for two passes, is one."""
    groups: dict[object, list[ControlNet]] = {}
    for net in find_controlnets(scene.wiring, scene.nodes):
        key = (net.name.key if net.name else net.node, scene.wiring.link(net.node, "image"), net.strength.value)
        groups.setdefault(key, []).append(net)
    return groups.values()


def find_pictures(scene: Scene, findings: Findings) -> None:
    """`reference_image`, the picture that is worked on before others, and `mask_image`."""
    pictures: list[tuple[int, int, Place, str]] = []
    masks: list[tuple[int, int, Place, str]] = []
    for order, node in enumerate(scene.nodes):
        place = scene.wiring.place(node, "image", "text") if _LOADS.search(scene.wiring.class_of(node)) else None
        if place:
            rank, about = _purpose(scene, node)
            mask = bool(_MASKS.search(scene.wiring.class_of(node))) or _only_mask(scene, node)
            (masks if mask else pictures).append((rank, order, place, about))
    for name, group in (("reference_image", pictures), ("mask_image", masks)):
        for number, (_, _, place, about) in enumerate(sorted(group, key=lambda each: each[:2]), 1):
            findings.plain(numbered(name, number), [place], about if name == "reference_image" else "")


def _only_mask(scene: Scene, node: str) -> bool:
    slots = {slot for user, _, slot in scene.wiring.consumers(node) if user in scene.nodes}
    return slots == {1}


def _purpose(scene: Scene, node: str) -> tuple[int, str]:
    """What a loaded picture is for, by the first node after it that says so: its rank and words."""
    waiting, seen = [node], set()
    while waiting:
        current = waiting.pop(0)
        for user, name, _ in scene.wiring.consumers(current):
            if user in seen or user not in scene.nodes:
                continue
            seen.add(user)
            kind = scene.wiring.class_of(user)
            if _ENCODES.search(kind) or name == "destination":
                return 0, "the picture that is worked on"
            if "control_net" in scene.wiring.inputs(user):
                return 1, f"the picture that {scene.wiring.label(user)} follows"
            if any(word in kind.casefold() for word in ("vision", "adapter", "style", "instantid", "pulid")):
                return 2, f"the picture that {scene.wiring.label(user)} looks at"
            waiting.append(user)
    return 3, ""
