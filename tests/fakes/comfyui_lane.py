"""What the ComfyUI tests share: two small workflows, requests for them, a clock that passes no time, a lane."""

from __future__ import annotations

from typing import Any

from fakes.comfyui_nodes import CLASSES
from fakes.stepping_time import SteppingTime

from assetline.backends.comfyui import Clock, ComfyUIBackend, ComfyUISettings
from assetline.records import ImageRequest, PlannedRequest, Value
from assetline.workflow import Contract, Parameter, Target, Workflow

SEVEN: dict[str, Any] = {
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "AWPainting_v1.3.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["4", 1]}},
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 0,
            "steps": 2,
            "cfg": 7.0,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1.0,
            "model": ["4", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
    },
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "x"}},
}
REFERENCE: dict[str, Any] = {
    **SEVEN,
    "1": {"class_type": "LoadImage", "inputs": {"image": ""}},
    "2": {"class_type": "VAEEncode", "inputs": {"pixels": ["1", 0], "vae": ["4", 2]}},
    "3": {"class_type": "KSampler", "inputs": {**SEVEN["3"]["inputs"], "latent_image": ["2", 0]}},
}


def _parameter(kind: Any, *targets: str, default: Value | None = None) -> Parameter:
    places = tuple(Target(node=target.split(".")[0], input=target.split(".")[1]) for target in targets)
    return Parameter(targets=places, type=kind, default=default)


def workflow(name: str = "seven", graph: dict[str, Any] | None = None, output: str = "9") -> Workflow:
    """The seven classic nodes, or another graph that has them; `reference` also takes a picture to start from."""
    parameters = {
        "prompt": _parameter("str", "6.text"),
        "negative_prompt": _parameter("str", "7.text", default=""),
        "width": _parameter("int", "5.width"),
        "height": _parameter("int", "5.height"),
        "seed": _parameter("int", "3.seed"),
        "checkpoint": _parameter("str", "4.ckpt_name", default="AWPainting_v1.3.safetensors"),
        "steps": _parameter("int", "3.steps", default=2),
        "sampler": _parameter("str", "3.sampler_name", default="euler"),
    }
    if name == "reference":
        parameters["reference_image"] = _parameter("image", "1.image")
    contract = Contract(
        name=name,
        description="for tests",
        native=(64, 64),
        prefix=Target(node="9", input="filename_prefix"),
        output=output,
        parameters=parameters,
    )
    graph = graph or (REFERENCE if name == "reference" else SEVEN)
    return Workflow(name, graph, contract, sha256=f"sha-of-{name}")


def planned(
    seed: int = 7, name: str = "seven", *, references: dict[str, str] | None = None, **values: Value
) -> PlannedRequest:
    """A request of 64x64 for one of the workflows."""
    request = ImageRequest(
        prompt="a red fox",
        negative_prompt="blurry",
        width=64,
        height=64,
        seed=seed,
        workflow=name,
        workflow_sha256=f"sha-of-{name}",
        parameters=values,
        references=references or {},
    )
    return PlannedRequest(row="SKU0007", row_number=2, variant=1, size="64x64", request=request)


class Ticker(SteppingTime):
    """The client's clock."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock(now=lambda: self.seconds, sleep=self.sleep)


def lane(
    url: str,
    ticker: Ticker | None = None,
    *workflows: Workflow,
    listen: bool = False,
    asks: bool = False,
    **options: Any,
) -> ComfyUIBackend:
    """A backend for the worker at `url`, on a ticker's time, knowing `workflows` (else the seven nodes).

    It knows the worker's node classes already, unless it `asks`: half of a small picture's time here goes on that.
    """
    known = {item.name: item for item in workflows or (workflow(),)}
    settings = options.get("settings", ComfyUISettings())
    options["settings"] = settings.model_copy(update={"listen": listen})
    options.setdefault("references", lambda sha256: b"\x89PNG" + sha256.encode())
    options.setdefault("clock", (ticker or Ticker()).clock)
    backend = ComfyUIBackend(url, known, **options)
    if not asks:
        backend._binder._classes.update(CLASSES)
    return backend
