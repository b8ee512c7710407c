"""What a ComfyUI worker has, by its own account, and what a workflow with its values lacks there. Pure data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from assetline.plan.node_packs import pack_of
from assetline.records import Value
from assetline.workflow import Workflow, complete
from assetline.workflow.contract import is_link
from assetline.workflow.models import folder_of, is_model_file
from assetline.workflow.wiring import choices_of, options_of

Kind = Literal["class", "file", "choice", "input"]
Place = tuple[str, str]  # a node class and one of its inputs

_WORDS = {
    "checkpoints": "checkpoint",
    "diffusion_models": "diffusion model",
    "loras": "LoRA",
    "controlnet": "ControlNet",
    "vae": "VAE",
    "text_encoders": "text encoder",
    "clip_vision": "CLIP vision model",
    "style_models": "style model",
    "upscale_models": "upscale model",
    "ipadapter": "IP-Adapter",
    "sampler_name": "sampler",
    "scheduler": "scheduler",
}


@dataclass(frozen=True)
class Capability:
    """What one worker has. `url` is the lane's name, `classes` its node classes as GET /object_info describes them."""

    url: str
    classes: Mapping[str, Any] = field(repr=False)
    _choices: dict[Place, tuple[str, ...] | None] = field(default_factory=dict, repr=False, compare=False)

    def choices(self, place: Place) -> tuple[str, ...] | None:
        """What an input takes, files in folders with `/`; None where that is no list, or not one that is kept to.

        Pictures are uploaded, and a picture in a folder is taken though it is not in the list.
        """
        if place not in self._choices:
            self._choices[place] = _choices(self.classes, place)
        return self._choices[place]


@dataclass(frozen=True)
class Lack:
    """One thing that a worker does not have: a node class, a model file, a choice, or the value of a required input.

    `word` is what a producer calls it (`LoRA`), `parameter` the contract's name for it, empty where the graph itself
    says `value`. `folder` is the one under `models/` where a file belongs.
    """

    kind: Kind
    word: str
    value: str
    place: Place
    parameter: str = ""
    folder: str = ""

    def __str__(self) -> str:
        return f'{self.word} "{self.value}"'

    @property
    def word_first(self) -> str:
        """The word at the beginning of a sentence."""
        return self.word[:1].upper() + self.word[1:]

    @property
    def remedy(self) -> str:
        """What whoever looks after the worker does about it."""
        if self.kind == "class":
            brings = pack_of(self.value)
            other = "Update ComfyUI, or install the custom nodes that bring it, on a worker."
            return f"Install {brings} on a worker." if brings else other
        if self.kind == "file":
            return f"Copy the file to models/{self.folder or '...'} on a worker."
        if self.kind == "input":
            return "Import the workflow anew, from an export of that worker's ComfyUI."
        return "Update ComfyUI or the custom nodes there, or take what it has."


@dataclass(frozen=True)
class _Need:
    """A text that must be among the choices of an input."""

    place: Place
    value: str
    parameter: str


def plain(name: str) -> str:
    """A file's name as the names of all workers can be compared: one on Windows has back-slashes in them."""
    return name.replace("\\", "/")


def find_lacks(worker: Capability, workflow: Workflow, values: Mapping[str, Value]) -> tuple[Lack, ...]:
    """What `worker` lacks to run `workflow` with `values`, the contract's parameters that are known; each once.

    It says what ComfyUI's own validation of POST /prompt would say (0.3.64): every class must be there, and of what
    leads to an output every choice and every required input. What is not known (a parameter without a value, a
    picture) is passed over.
    """
    kinds = {str(node["class_type"]): None for node in workflow.graph.values()}
    found = [Lack("class", "node class", kind, (kind, "")) for kind in kinds if kind not in worker.classes]
    counted = _counted(workflow, worker.classes)
    found += (lack for need in _needs(workflow, values, counted) if (lack := _lack(worker, need)))
    found += _unfilled(workflow, worker.classes, counted)
    return tuple(dict.fromkeys(found))


def _counted(workflow: Workflow, classes: Mapping[str, Any]) -> tuple[str, ...]:
    """The nodes that lead to an output, in the order of the graph; ComfyUI looks at no others."""
    graph = workflow.graph
    waiting = [node for node, item in graph.items() if classes.get(item["class_type"], {}).get("output_node")]
    waiting.append(workflow.contract.output)
    seen: set[str] = set()
    while waiting:
        node = waiting.pop()
        if node in graph and node not in seen:
            seen.add(node)
            waiting += [value[0] for value in graph[node]["inputs"].values() if is_link(value)]
    return tuple(node for node in graph if node in seen)


def _needs(workflow: Workflow, values: Mapping[str, Value], counted: Sequence[str]) -> Iterator[_Need]:
    parameters = workflow.contract.parameters.items()
    names = {(target.node, target.input): name for name, known in parameters for target in known.targets}
    for node in counted:
        item = workflow.graph[node]
        for name, template in item["inputs"].items():
            parameter = names.get((node, name), "")
            value = values.get(parameter) if parameter else template
            if isinstance(value, str):
                yield _Need((str(item["class_type"]), name), value, parameter)


def _lack(worker: Capability, need: _Need) -> Lack | None:
    choices = worker.choices(need.place)
    folder = folder_of(*need.place)
    is_file = bool(folder) or is_model_file(need.value)
    if choices is None or plain(need.value) in choices or not (choices or is_file):
        return None
    word = _WORDS.get(folder) or _WORDS.get(need.place[1]) or need.parameter or need.place[1]
    return Lack("file" if is_file else "choice", word, need.value, need.place, need.parameter, folder)


def _unfilled(workflow: Workflow, classes: Mapping[str, Any], counted: Sequence[str]) -> Iterator[Lack]:
    """Required inputs that the workflow does not have and for which there is no default either."""
    completed, _ = complete(workflow.graph, classes)
    for node in counted:
        kind, inputs = completed[node]["class_type"], completed[node]["inputs"]
        for name, spec in _section(classes, kind, "required").items():
            if name not in inputs and not _is_dynamic(spec):
                yield Lack("input", "input", f"{kind}.{name}", (kind, name))


def _is_dynamic(spec: Any) -> bool:
    """Inputs that grow or change as they are used; the graph then has other names than the description."""
    return not spec or (isinstance(spec[0], str) and spec[0].startswith("COMFY_"))


def _choices(classes: Mapping[str, Any], place: Place) -> tuple[str, ...] | None:
    kind, name = place
    spec = _section(classes, kind, "required").get(name) or _section(classes, kind, "optional").get(name)
    if not spec:
        return None
    options = options_of(list(spec))
    listed = isinstance(spec[0], list) or "options" in options
    if not listed or "remote" in options or any(key.endswith("upload") and options[key] for key in options):
        return None
    return tuple(plain(str(choice)) for choice in choices_of(list(spec)) or ())


def _section(classes: Mapping[str, Any], kind: str, section: str) -> Mapping[str, Any]:
    found = (classes.get(kind, {}).get("input") or {}).get(section)
    return found if isinstance(found, Mapping) else {}
