"""The few changes that an import makes to an art director's graph, each told; ids of nodes stay as they are."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from assetline.workflow.wiring import Link, Place, Wiring

_BATCHES = ("batch_size", "amount")
_REPEATS = {"RepeatLatentBatch", "RepeatImageBatch"}  # `amount` means other things elsewhere
ADDED_CLASSES = ("ImageScale", "MaskToImage", "ImageToMask")  # what `fitted` may add; all are ComfyUI's own
_MASK_LOADERS = ("LoadImageMask",)

Graph = dict[str, Any]


def one_picture(graph: Mapping[str, Any], nodes: list[str]) -> tuple[Graph, list[str], list[str]]:
    """Set batch sizes to 1 among `nodes`; also what was changed, and what could not be."""
    changed = copy.deepcopy(dict(graph))
    wiring, notes, doubts = Wiring(graph), [], []
    for node, name in _batches(wiring, nodes):
        place = wiring.place(node, name, "number")
        if place is None:
            doubts.append(f"{node}.{name} is computed; a job must make one picture, or it fails.")
        elif place.value != 1:
            changed[node]["inputs"][name] = 1
            notes.append(
                f"{wiring.label(node)}: {name} was {place.value} and is 1 now; the sheet's variants make more."
            )
    return changed, notes, doubts


def _batches(wiring: Wiring, nodes: list[str]) -> Iterator[tuple[str, str]]:
    for node in nodes:
        for name in _BATCHES:
            if name in wiring.inputs(node) and (name == "batch_size" or wiring.class_of(node) in _REPEATS):
                yield node, name


def unplugged(graph: Graph, place: Place) -> Place:
    """Give the input that a place's value is for a value of its own, in `graph`; the place where it is now."""
    if place.user is None or place.user == place.key:
        return place
    node, name = place.user
    graph[node]["inputs"][name] = place.value
    return Place(node, name, place.value, (f"{node}.{name}",))


def fitted(graph: Mapping[str, Any], loose: Link, size: tuple[int, int]) -> tuple[Graph, list[str]]:
    """Fit a loaded picture, and the masks that belong to it, to `size` by cropping from the middle.

    Without it the picture would have the size of whatever file a row names. Returns the graph and what was added.
    """
    changed = copy.deepcopy(dict(graph))
    wiring = Wiring(graph)
    notes = []
    masks = [Link(node, 0) for node in graph if wiring.class_of(node) in _MASK_LOADERS]
    picture = _inserted(changed, loose, _scale(size, list(loose)), "Fit to the size asked for")
    notes.append(
        f"{picture} (ImageScale) was added after {wiring.label(loose.node)}: it fits the picture to the size that a "
        "row asks for, cropping from the middle."
    )
    used = (mask for mask in (Link(loose.node, 1), *masks) if mask.slot in wiring.slots_used(mask.node))
    notes += [_fit_mask(changed, mask, size) for mask in used]
    return changed, notes


def _scale(size: tuple[int, int], image: list[Any]) -> dict[str, Any]:
    inputs = {"upscale_method": "lanczos", "width": size[0], "height": size[1], "crop": "center", "image": image}
    return {"class_type": "ImageScale", "inputs": inputs}


def _fit_mask(graph: Graph, mask: Link, size: tuple[int, int]) -> str:
    """As a picture: a mask by itself would be stretched, and would no longer lie on its picture."""
    users = _users(graph, mask)
    image = _added(graph, {"class_type": "MaskToImage", "inputs": {"mask": list(mask)}}, "Mask as a picture")
    scale = _added(graph, _scale(size, [image, 0]), "Fit the mask likewise")
    back = _added(graph, {"class_type": "ImageToMask", "inputs": {"image": [scale, 0], "channel": "red"}}, "Mask again")
    _rewire(graph, users, back)
    return f"{image}, {scale}, {back} (MaskToImage, ImageScale, ImageToMask) were added: they fit its mask likewise."


def _inserted(graph: Graph, link: Link, node: dict[str, Any], title: str) -> str:
    """Put a node between an output and all that take it."""
    users = _users(graph, link)
    added = _added(graph, node, title)
    _rewire(graph, users, added)
    return added


def _users(graph: Graph, link: Link) -> list[tuple[str, str]]:
    return [(node, name) for node, item in graph.items() for name, value in item["inputs"].items() if value == [*link]]


def _rewire(graph: Graph, users: list[tuple[str, str]], node: str) -> None:
    for user, name in users:
        graph[user]["inputs"][name] = [node, 0]


def _added(graph: Graph, node: dict[str, Any], title: str) -> str:
    """Add a node under the next number; its id."""
    number = 1 + max((int(key) for key in graph if key.isdecimal()), default=0)
    graph[str(number)] = node | {"_meta": {"title": title}}
    return str(number)
