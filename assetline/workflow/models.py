"""The model files of a graph: which one paints, which change it, and in which folder of a worker each belongs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from assetline.records import Record
from assetline.workflow.wiring import Link, Place, Wiring

MODEL_ENDINGS = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf")
_CHECKPOINT_INPUTS = ("ckpt_name", "unet_name", "base_ckpt_name", "model_name", "checkpoint", "gguf_name")
_NOT_THE_PAINTER = re.compile(r"vision|style|upscale|control|clip|vae|sam|bbox|segm|ipadapter|patch|detect")
_LORA_INPUT = re.compile(r"lora(?:_name)?(?:_(\d+))?|lora_(\d+)_name")
_MODEL_STRENGTHS = ("strength_model", "lora_model_strength", "model_weight", "model_str", "strength", "lora_wt")
_CLIP_STRENGTHS = ("strength_clip", "lora_clip_strength", "clip_weight", "clip_str")

# Folder by class and input where the input's name alone says too little, then by input (ComfyUI 0.3.64).
_FOLDERS_BY_CLASS = {
    "CLIPVisionLoader": "clip_vision",
    "UpscaleModelLoader": "upscale_models",
    "PhotoMakerLoader": "photomaker",
    "ModelPatchLoader": "model_patches",
    "AudioEncoderLoader": "audio_encoders",
    "SAMLoader": "sams",
    "UltralyticsDetectorProvider": "ultralytics",
    "InstantIDModelLoader": "instantid",
}
_FOLDERS_BY_INPUT = {
    "ckpt_name": "checkpoints",
    "base_ckpt_name": "checkpoints",
    "refiner_ckpt_name": "checkpoints",
    "unet_name": "diffusion_models",
    "lora_name": "loras",
    "control_net_name": "controlnet",
    "vae_name": "vae",
    "clip_name": "text_encoders",
    "style_model_name": "style_models",
    "gligen_name": "gligen",
    "hypernetwork_name": "hypernetworks",
    "ipadapter_file": "ipadapter",
    "pulid_file": "pulid",
    "instantid_file": "instantid",
}


class ModelFile(Record):
    """A model file that a graph names. `folder` is the one under `models/` on the worker, empty where not known."""

    node: str
    input: str
    file: str
    folder: str

    def __str__(self) -> str:
        return f"models/{self.folder}/{self.file}" if self.folder else self.file


@dataclass(frozen=True)
class Lora:
    """A LoRA with where its name and its strengths stand."""

    name: Place
    strength: Place | None
    clip_strength: Place | None


@dataclass(frozen=True)
class ControlNet:
    """A ControlNet as one node applies it. `name` is None where its file is not a plain value."""

    node: str
    name: Place | None
    strength: Place


def is_model_file(value: object) -> bool:
    """Whether a value is the name of a model file: told by its ending."""
    return isinstance(value, str) and "\n" not in value and value.lower().endswith(MODEL_ENDINGS)


def files_of(graph: Mapping[str, Any]) -> tuple[ModelFile, ...]:
    """Every model file that a graph names, with its folder, in the order of the graph."""
    return tuple(
        ModelFile(node=node, input=name, file=value, folder=folder_of(item["class_type"], name))
        for node, item in graph.items()
        for name, value in item["inputs"].items()
        if is_model_file(value)
    )


def folder_of(kind: str, name: str) -> str:
    """The folder under `models/` that an input of a node class names files of; empty where it is not known."""
    if kind in _FOLDERS_BY_CLASS:
        return _FOLDERS_BY_CLASS[kind]
    if name.startswith("lora"):
        return "loras"
    return _FOLDERS_BY_INPUT.get(name) or _FOLDERS_BY_INPUT.get(name.rstrip("0123456789"), "")


def find_painters(wiring: Wiring, model: Link, path: tuple[str, ...]) -> Iterator[Place]:
    """The files behind a sampler's model, past LoRAs and patches; several where models are merged."""
    seen: set[str] = set()
    waiting = [(model, path)]
    while waiting:
        link, way = waiting.pop(0)
        if link.node in seen:
            continue
        seen.add(link.node)
        way = (*way, link.node)
        named = [name for name in _CHECKPOINT_INPUTS if name in wiring.inputs(link.node)]
        before = [] if named else _models_before(wiring, link.node)
        if before:
            waiting += [(each, way) for each in before]
        else:
            yield from _painter(wiring, link.node, named, way)


def _models_before(wiring: Wiring, node: str) -> list[Link]:
    links = wiring.links(node)
    typed = [link for name, link in links.items() if wiring.input_type(node, name) == "MODEL"]
    return typed or [link for name, link in links.items() if "model" in name and not _NOT_THE_PAINTER.search(name)]


def _painter(wiring: Wiring, node: str, named: list[str], path: tuple[str, ...]) -> Iterator[Place]:
    places = [wiring.place(node, name, "text", path[:-1]) for name in named]
    if not named:
        files = [name for name, value in wiring.literals(node).items() if is_model_file(value)]
        places = [wiring.place(node, name, "text", path[:-1]) for name in files[:1]]
    yield from (place for place in places[:1] if place)


def find_loras(wiring: Wiring, nodes: list[str]) -> Iterator[Lora]:
    """Every LoRA among `nodes`, the one nearest to the model file first. Empty places of a stack are left out."""
    for node in nodes:
        for name in wiring.inputs(node):
            match = _LORA_INPUT.fullmatch(name)
            place = wiring.place(node, name, "text") if match else None
            if match and place and is_model_file(place.value):
                number = match[1] or match[2] or ""
                yield Lora(place, _strength(wiring, node, _MODEL_STRENGTHS, number), _clip(wiring, node, number))


def _clip(wiring: Wiring, node: str, number: str) -> Place | None:
    return _strength(wiring, node, _CLIP_STRENGTHS, number)


def _strength(wiring: Wiring, node: str, names: tuple[str, ...], number: str) -> Place | None:
    written = [f"{name}_{number}" if number else name for name in names]
    return next((place for name in written if (place := wiring.place(node, name, "number"))), None)


def find_controlnets(wiring: Wiring, nodes: list[str]) -> Iterator[ControlNet]:
    """Every application of a ControlNet among `nodes`, in the order in which the conditioning passes them."""
    for node in nodes:
        net = wiring.link(node, "control_net", "controlnet")
        strength = wiring.place(node, "strength", "number")
        if net and strength:
            yield ControlNet(node, _net_file(wiring, net, (f"{node}.control_net",)), strength)


def _net_file(wiring: Wiring, net: Link, path: tuple[str, ...]) -> Place | None:
    """The loader's file, past nodes that only set the type of a ControlNet."""
    seen: set[str] = set()
    while net.node not in seen:
        seen.add(net.node)
        files = [name for name in wiring.inputs(net.node) if name in {"control_net_name", "controlnet_name"}]
        if files:
            return wiring.place(net.node, files[0], "text", path)
        before = wiring.link(net.node, "control_net", "controlnet")
        if before is None:
            return None
        path = (*path, f"{net.node}.control_net")
        net = before
    return None
