"""The inside of the fake ComfyUI: queue, one-at-a-time execution with real PNGs, history, the cache of the last prompt.

No HTTP here. Everything is called under the owner's lock. Behaviour as measured on ComfyUI 0.3.64.
"""

from __future__ import annotations

import hashlib
import heapq
import io
import json
import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from fakes.comfyui_nodes import DEFAULT_MODELS, Graph, Verdict, object_info, validate
from fakes.comfyui_sockets import Send, Teller
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

MOST_BYTES = 2**36
ALLOCATION_FAILED = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate {} bytes. Error code 12 (Cannot allocate memory)\n"
)
HEADER_BROKEN = "Error while deserializing header: invalid JSON in header: expected ident at line 1 column 2\n"
SAMPLERS = ("KSampler", "KSamplerAdvanced")
SAVERS = ("SaveImage", "PreviewImage")

Item = tuple[float, str, Graph, dict[str, Any], list[str]]


class NodeFailed(Exception):
    """A node raised: what the server puts into `execution_error`."""

    def __init__(self, node: str, kind: str, message: str) -> None:
        self.node, self.kind, self.message = node, kind, message
        super().__init__(message)


@dataclass
class Latent:
    """What a sampler makes, as far as anybody can see it: sizes in pixels."""

    width: int
    height: int
    batch: int


class Engine:
    """One worker's state. `folder` holds input, output and temp; two engines may share one, as real servers may.

    `send` takes the messages for websockets: event, data, and for whom (None: for all).
    """

    def __init__(self, folder: Path, models: dict[str, list[str]] | None = None) -> None:
        self.folder = folder
        self.models = {**DEFAULT_MODELS, **(models or {})}
        self.without: frozenset[str] = frozenset()
        self.added: dict[str, dict[str, Any]] = {}  # required inputs of a newer version, by class
        self.broken: set[str] = set()
        self.keeps_prompt_id = True  # servers of before mid-2025 do not
        self.executions: Counter[str] = Counter()
        self.started: list[str] = []
        self.next_error: tuple[str, str] | None = None
        self.obeys_interrupts = True
        self.writes_metadata = True  # not under --disable-metadata
        self.overwritten = 0  # so many of the next files get another prompt's picture, as in a shared folder
        self.send: Send = lambda _event, _data, _sid: None
        self.restart()

    def restart(self) -> None:
        """What a killed and started server remembers: nothing but its files; temp is wiped."""
        self.number = 0
        self.pending: list[Item] = []
        self.running: Item | None = None
        self.teller = Teller(self.send, "", None)
        self.history: dict[str, Any] = {}
        self.cache: dict[str, list[dict[str, str]] | None] = {}
        self.thread_alive = True
        for old in (self.folder / "temp").glob("**/*.*"):
            old.unlink()

    @property
    def status(self) -> dict[str, Any]:
        """GET /prompt, and what all sockets hear of the queue."""
        return {"exec_info": {"queue_remaining": len(self.pending) + bool(self.running)}}

    def info(self) -> dict[str, Any]:
        """GET /object_info."""
        inputs = self.folder / "input"
        uploads = sorted(str(path.relative_to(inputs)) for path in inputs.glob("**/*") if path.is_file())
        info = object_info(self.models, uploads, self.without)
        for name, inputs in self.added.items():
            known = info[name]["input"]
            info[name] = {**info[name], "input": {**known, "required": {**known["required"], **inputs}}}
        return info

    def submit(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """POST /prompt. Raises TypeError or ValueError where the real server answers 500."""
        if "number" in body:
            number = float(body["number"])
        else:
            number = -self.number if body.get("front") else self.number
            self.number += 1
        if "prompt" not in body:
            kind = {"type": "no_prompt", "message": "No prompt provided", "details": "No prompt provided"}
            return 400, {"error": {**kind, "extra_info": {}}, "node_errors": {}}
        verdict: Verdict = validate(body["prompt"], self.info(), body.get("partial_execution_targets"))
        extra = body.get("extra_data", {})
        if "client_id" in body:
            extra["client_id"] = body["client_id"]
        if verdict.error:
            return 400, {"error": verdict.error, "node_errors": verdict.node_errors}
        prompt_id = str(body.get("prompt_id", uuid4()) if self.keeps_prompt_id else uuid4())
        heapq.heappush(self.pending, (number, prompt_id, body["prompt"], extra, verdict.outputs))
        self._tell_status()
        return 200, {"prompt_id": prompt_id, "number": number, "node_errors": verdict.node_errors}

    def advance(self) -> bool:
        """Let the next prompt start, if none runs. An equal pair in the heap ends the thread for good."""
        if self.running or not self.pending or not self.thread_alive:
            return False
        try:
            self.running = heapq.heappop(self.pending)
        except TypeError:
            self.thread_alive = False
            return False
        self.started.append(self.running[1])
        self.executions[self._key(self.running)] += 1
        self._tell_status()
        _, prompt_id, graph, extra, _ = self.running
        self.teller = Teller(self.send, prompt_id, extra.get("client_id"))
        start, cached, _ = _messages(prompt_id, _Run(self, graph, extra, prompt_id).cached, ("", {}))
        for event, facts in (start, cached):
            self.teller.message(event, facts)
        return True

    def step(self, value: int, most: int) -> None:
        """The sampler of what runs has made a step, as far as sockets hear of it."""
        assert self.running
        node = _sampler(self.running[2])
        if self.teller.node is None:
            self.teller.start(node)
        self.teller.step(node, value, most)

    def finish(self) -> None:
        """Execute what runs and put it into history, in one step as the real server does under its lock."""
        assert self.running
        number, prompt_id, graph, extra, outputs = self.running
        run = _Run(self, graph, extra, prompt_id)
        entry = run.entry(outputs)
        shown = {key: value for key, value in extra.items() if not key.endswith("_comfy_org")}
        self._end([number, prompt_id, graph, shown, outputs], entry)

    def interrupt(self, prompt_id: str | None) -> None:
        """POST /interrupt: what runs, if it is this one or none is named. Nothing at all between prompts."""
        if not self.running or prompt_id not in {None, self.running[1]} or not self.obeys_interrupts:
            return
        graph = self.running[2]
        node = _sampler(graph)
        facts = {"node_id": node, "node_type": graph[node]["class_type"], "executed": sorted(_upstream(graph, node))}
        messages = _messages(self.running[1], [], ("execution_interrupted", facts))
        self._end(list(self.running), {"outputs": {}, "status": _status(messages, ok=False), "meta": {}})

    def delete_pending(self, ids: list[str]) -> None:
        """POST /queue {"delete"}: pending ones alone."""
        before = len(self.pending)
        self.pending = [item for item in self.pending if item[1] not in ids]
        heapq.heapify(self.pending)
        if len(self.pending) < before:
            self._tell_status()

    def _end(self, prompt: list[Any], entry: dict[str, Any]) -> None:
        """The end is told before history has it, and once more after."""
        event, facts = entry["status"]["messages"][-1]
        self.teller.message(event, facts, to_all=event == "execution_interrupted")
        self.history[prompt[1]] = {"prompt": prompt, **entry}
        self.running = None
        self._tell_status()
        self.teller.over()

    def _tell_status(self) -> None:
        self.send("status", {"status": self.status}, None)

    @staticmethod
    def _key(item: Item) -> str:
        return str(item[3].get("assetline", {}).get("request_key", item[1]))


class _Run:
    """The execution of one prompt."""

    def __init__(self, engine: Engine, graph: Graph, extra: dict[str, Any], prompt_id: str) -> None:
        self.engine, self.graph, self.extra, self.prompt_id = engine, graph, extra, prompt_id
        self.info = engine.info()
        self.cached = [node for node in graph if self._signature(node) in engine.cache]
        self.done: dict[str, list[dict[str, str]] | None] = {}
        self.values: dict[str, Any] = {}

    def entry(self, outputs: list[str]) -> dict[str, Any]:
        """Outputs, status and meta for history. The cache then holds this prompt's results alone."""
        end: tuple[str, dict[str, Any]] = ("execution_success", {})
        try:
            if self.engine.next_error:
                kind, message = self.engine.next_error
                self.engine.next_error = None
                raise NodeFailed(outputs[0], kind, message)
            for output in outputs:
                self._execute(output)
        except NodeFailed as exc:
            end = ("execution_error", self._error(exc))
        self.engine.cache = {self._signature(node): files for node, files in self.done.items()}
        made = {node: files for node, files in self.done.items() if files is not None}
        return {
            "outputs": {node: {"images": files} for node, files in made.items()},
            "status": _status(_messages(self.prompt_id, self.cached, end), ok=end[0] == "execution_success"),
            "meta": {node: _meta(node) for node in made},
        }

    def _error(self, exc: NodeFailed) -> dict[str, Any]:
        inputs = self.graph[exc.node]["inputs"]
        return {
            "node_id": exc.node,
            "node_type": self.graph[exc.node]["class_type"],
            "executed": [node for node in self.done if node not in self.cached],
            "exception_message": exc.message,
            "exception_type": exc.kind,
            "traceback": ['  File "<comfyui>/execution.py", line 496, in execute\n'],
            "current_inputs": {name: [value] for name, value in inputs.items() if not isinstance(value, list)},
            "current_outputs": list(self.graph),
        }

    def _signature(self, node: str) -> str:
        """Equal for equal class, inputs and whatever is upstream: what the real cache compares."""
        item = self.graph[node]
        inputs = {
            name: [self._signature(value[0]), value[1]] if isinstance(value, list) else value
            for name, value in item["inputs"].items()
        }
        text = json.dumps([item["class_type"], inputs], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _execute(self, node: str) -> Any:
        """The node's value; nodes in the cache are not run again, so their files are the old ones."""
        if node in self.values:
            return self.values[node]
        item = self.graph[node]
        known = self.info[item["class_type"]]["input"]
        names = [*known.get("required", {}), *known.get("optional", {})]
        given = {name: item["inputs"][name] for name in names if name in item["inputs"]}
        values = {name: self._execute(value[0]) if isinstance(value, list) else value for name, value in given.items()}
        if node in self.cached:
            files = self.engine.cache[self._signature(node)]
            if files:
                self.engine.teller.saved(node, files)
        else:
            self.engine.teller.start(node)
            files = self._save(node, item["class_type"], values) if item["class_type"] in SAVERS else None
        if item["class_type"] not in SAVERS:
            self.values[node] = self._value(node, item["class_type"], values)
        if node not in self.cached:
            self.engine.teller.end(node, files)
        self.done[node] = files
        return self.values.setdefault(node, None)

    def _value(self, node: str, kind: str, values: dict[str, Any]) -> Any:
        broken = [str(value) for value in values.values() if str(value) in self.engine.broken]
        if broken:
            raise NodeFailed(node, "safetensors._safetensors_rust.SafetensorError", HEADER_BROKEN)
        if kind in {"EmptyLatentImage", "EmptySD3LatentImage"}:
            return Latent(values["width"], values["height"], values["batch_size"])
        if kind in SAMPLERS:
            for value in () if node in self.cached else range(values["steps"]):
                self.engine.teller.step(node, value + 1, values["steps"])
            return values["latent_image"]
        if kind == "LatentUpscale":
            return Latent(values["width"], values["height"], values["samples"].batch)
        if kind == "LatentUpscaleBy":
            old, factor = values["samples"], values["scale_by"]
            return Latent(round(old.width * factor), round(old.height * factor), old.batch)
        return self._pictures(node, kind, values)

    def _pictures(self, node: str, kind: str, values: dict[str, Any]) -> Any:
        if kind == "VAEDecode":
            latent = values["samples"]
            return [self._sampled(node, index, (latent.width, latent.height)) for index in range(latent.batch)]
        if kind == "VAEEncode":
            first = values["pixels"][0]
            return Latent(first.width, first.height, len(values["pixels"]))
        if kind == "ImageInvert":
            return [picture.point(lambda value: 255 - value) for picture in values["image"]]
        if kind == "ImageScale":
            return [picture.resize((values["width"], values["height"])) for picture in values["image"]]
        return self._source(node, kind, values)

    def _source(self, node: str, kind: str, values: dict[str, Any]) -> list[Image.Image] | None:
        if kind == "EmptyImage":
            size = values["width"] * values["height"] * values["batch_size"] * 4
            if size > MOST_BYTES:
                raise NodeFailed(node, "RuntimeError", ALLOCATION_FAILED.format(size))
            colour = values["color"]
            rgb = (colour >> 16 & 255, colour >> 8 & 255, colour & 255)
            return [Image.new("RGB", (values["width"], values["height"]), rgb)] * values["batch_size"]
        if kind == "LoadImage":
            try:
                with Image.open(self.engine.folder / "input" / values["image"]) as picture:
                    return [picture.convert("RGB")]
            except UnidentifiedImageError as exc:
                raise NodeFailed(node, "PIL.UnidentifiedImageError", str(exc)) from exc
        return None

    def _sampled(self, node: str, index: int, size: tuple[int, int]) -> Image.Image:
        """A picture that depends on all that is upstream (seed, prompt, sizes, files) and on nothing else."""
        grid = (16, 16)
        data = random.Random(f"{self._signature(node)}-{index}").randbytes(grid[0] * grid[1] * 3)
        return Image.frombytes("RGB", grid, data).resize(size, Image.Resampling.BICUBIC)

    def _save(self, node: str, kind: str, values: dict[str, Any]) -> list[dict[str, str]]:
        temp = kind == "PreviewImage"
        root = (self.engine.folder / ("temp" if temp else "output")).resolve()
        first = values["images"][0]
        prefix = "ComfyUI_temp_klopj" if temp else _with_variables(values["filename_prefix"], first.size)
        folder, name = (root / prefix).parent, Path(prefix).name
        if not folder.resolve().is_relative_to(root):
            message = "**** ERROR: Saving image outside the output folder is not allowed.\n full_output_folder: "
            raise NodeFailed(node, "Exception", f"{message}{folder.resolve()}\n         output_dir: {root}\n")
        folder.mkdir(parents=True, exist_ok=True)
        numbers = [path.name[len(name) + 1 :].split("_")[0] for path in folder.glob(f"{name}_*")]
        counter = max((int(number) for number in numbers if number.isdigit()), default=0) + 1
        files = []
        for offset, picture in enumerate(values["images"]):
            filename = f"{name}_{counter + offset:05}_.png"
            (folder / filename).write_bytes(self._png(picture))
            if self.engine.overwritten:
                self.engine.overwritten -= 1
                self._overwrite(folder / filename, node)
            subfolder = "" if folder == root else str(folder.relative_to(root))
            files.append({"filename": filename, "subfolder": subfolder, "type": "temp" if temp else "output"})
        return files

    def _overwrite(self, path: Path, node: str) -> None:
        """Another server's prompt had the same name in mind."""
        inputs = {**self.graph[node]["inputs"], "filename_prefix": "somebody/else"}
        other = {**self.graph, node: {**self.graph[node], "inputs": inputs}}
        with Image.open(path) as picture:
            path.write_bytes(self._png(ImageOps.invert(picture), other))

    def _png(self, picture: Image.Image, graph: Graph | None = None) -> bytes:
        chunks = PngImagePlugin.PngInfo()
        if self.engine.writes_metadata:
            chunks.add_text("prompt", json.dumps(graph or self.graph))
        for name, value in (self.extra.get("extra_pnginfo") or {}).items():
            chunks.add_text(name, json.dumps(value))
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", pnginfo=chunks, compress_level=1)
        return buffer.getvalue()


def _sampler(graph: Graph) -> str:
    return next((name for name in graph if graph[name]["class_type"] in SAMPLERS), next(iter(graph)))


def _upstream(graph: Graph, node: str) -> set[str]:
    links = {value[0] for value in graph[node]["inputs"].values() if isinstance(value, list)}
    return links.union(*(_upstream(graph, link) for link in links))


def _with_variables(prefix: str, size: tuple[int, int]) -> str:
    for name, value in (("width", size[0]), ("height", size[1]), ("year", time.localtime().tm_year)):
        prefix = prefix.replace(f"%{name}%", str(value))
    return prefix


def _messages(prompt_id: str, cached: list[str], end: tuple[str, dict[str, Any]]) -> list[Any]:
    now = {"prompt_id": prompt_id, "timestamp": int(time.time() * 1000)}
    return [["execution_start", {**now}], ["execution_cached", {"nodes": cached, **now}], [end[0], {**now, **end[1]}]]


def _status(messages: list[Any], *, ok: bool) -> dict[str, Any]:
    return {"status_str": "success" if ok else "error", "completed": ok, "messages": messages}


def _meta(node: str) -> dict[str, Any]:
    return {"node_id": node, "display_node": node, "parent_node": None, "real_node_id": node}
