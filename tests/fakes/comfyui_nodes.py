"""What the fake ComfyUI knows of nodes: the classes as the real 0.3.64 describes them, and how it validates a graph.

`comfyui_object_info.json` is real /object_info, cut to some classes; a list of files there stands as `models:FOLDER`.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MOST_CHOICES_TOLD = 20
DEFAULT_MODELS = {
    "checkpoints": ["AWPainting_v1.3.safetensors", "sd_xl_base_1.0.safetensors"],
    "loras": ["house-style.safetensors", "product-detail.safetensors"],
    "controlnet": ["OpenPoseXL2.safetensors"],
    "vae": ["sdxl_vae.safetensors"],
    "diffusion_models": [],
    "text_encoders": [],
}
CLASSES: dict[str, Any] = json.loads(Path(__file__).with_name("comfyui_object_info.json").read_text())
_FILE_LISTS = [
    (name, section, field_name)
    for name, item in CLASSES.items()
    for section, inputs in item["input"].items()
    for field_name, config in inputs.items()
    if str(config[0]).startswith("models:") or (name, field_name) == ("LoadImage", "image")
]
_CONVERSIONS: dict[str, Any] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}

Graph = dict[str, Any]
Error = dict[str, Any]


def object_info(models: dict[str, list[str]], uploads: list[str], without: frozenset[str]) -> dict[str, Any]:
    """GET /object_info for a worker with these files and without these classes."""
    info = {name: item for name, item in CLASSES.items() if name not in without}
    for name, section, field_name in _FILE_LISTS:
        if name in info:
            info[name] = copy.deepcopy(CLASSES[name])
            config = info[name]["input"][section][field_name]
            config[0] = uploads if name == "LoadImage" else models.get(config[0].removeprefix("models:"), [])
    return info


@dataclass
class Verdict:
    """The result of a validation: `error` for a 400; outputs that will run; errors by node, on a 200 too."""

    error: Error | None = None
    outputs: list[str] = field(default_factory=list)
    node_errors: dict[str, Any] = field(default_factory=dict)


def validate(graph: Graph, info: dict[str, Any], targets: list[str] | None = None) -> Verdict:
    """Validate as the server does, and coerce values in place (`"2"` becomes 2).

    Raises TypeError for what is no graph (a workflow in UI format): the real server answers 500 to it.
    """
    outputs = []
    for node, item in graph.items():
        if "class_type" not in item:
            return Verdict(_invalid(node, "Cannot execute because a node is missing the class_type property."))
        if item["class_type"] not in info:
            return Verdict(_invalid(node, f"Cannot execute because node {item['class_type']} does not exist."))
        if info[item["class_type"]]["output_node"] and (targets is None or node in targets):
            outputs.append(node)
    if not outputs:
        return Verdict(_error("prompt_no_outputs", "Prompt has no outputs"))
    return _Validation(graph, info).verdict(outputs)


def _error(kind: str, message: str, details: str = "") -> Error:
    return {"type": kind, "message": message, "details": details, "extra_info": {}}


def _invalid(node: str, message: str) -> Error:
    return _error("invalid_prompt", message, f"Node ID '#{node}'")


class _Validation:
    def __init__(self, graph: Graph, info: dict[str, Any]) -> None:
        self.graph = graph
        self.info = info
        self.found: dict[str, list[Error]] = {}  # per node visited; with `bad`, what makes it invalid
        self.bad: set[str] = set()

    def verdict(self, outputs: list[str]) -> Verdict:
        result = Verdict()
        details: list[str] = []
        for output in outputs:
            try:
                self._visit(output)
            except RecursionError:
                self.found, self.bad = {}, {*self.bad, output}
            except Exception as exc:  # noqa: BLE001 - the real server tells whatever was raised
                self.found[output] = [_raised("exception_during_validation", "Exception when validating node", exc)]
                self.bad.add(output)
            if output not in self.bad:
                result.outputs.append(output)
                continue
            details += [f"{error['message']}: {error['details']}" for error in self.found.get(output, [])]
            self._add(result, output)
        if not result.outputs:
            result.error = _error(
                "prompt_outputs_failed_validation", "Prompt outputs failed validation", "\n".join(details)
            )
        return result

    def _add(self, result: Verdict, output: str) -> None:
        for node, errors in self.found.items():
            if errors:
                item = {"errors": errors, "dependent_outputs": [], "class_type": self.graph[node]["class_type"]}
                result.node_errors.setdefault(node, item)["dependent_outputs"].append(output)

    def _visit(self, node: str) -> bool:
        if node not in self.found:
            class_type, inputs = self.graph[node]["class_type"], self.graph[node]["inputs"]
            known = self.info[class_type]["input"]
            errors = [
                error
                for section in ("required", "optional")
                for name, config in known.get(section, {}).items()
                if (error := self._input(node, name, config, required=section == "required"))
            ]
            self.found[node] = errors
            if errors or any(isinstance(value, list) and value[0] in self.bad for value in inputs.values()):
                self.bad.add(node)
        return node not in self.bad

    def _input(self, node: str, name: str, config: list[Any], *, required: bool) -> Error | None:
        inputs = self.graph[node]["inputs"]
        if name not in inputs:
            missing = {"input_name": name}
            return (
                _input_error("required_input_missing", "Required input is missing", name, missing) if required else None
            )
        if isinstance(inputs[name], list):
            return self._link(name, inputs[name], config)
        return self._value(node, name, config)

    def _link(self, name: str, link: list[Any], config: list[Any]) -> Error | None:
        facts = {"input_name": name, "input_config": config}
        if len(link) != 2:
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            return _input_error("bad_linked_input", message, name, {**facts, "received_value": link})
        received = self.info[self.graph[link[0]]["class_type"]]["output"][link[1]]
        if received != config[0]:
            details = f"{name}, received_type({received}) mismatch input_type({config[0]})"
            facts |= {"received_type": received, "linked_node": link}
            return _input_error("return_type_mismatch", "Return type mismatch between linked nodes", details, facts)
        try:
            self._visit(link[0])
        except RecursionError:
            raise
        except Exception as exc:  # noqa: BLE001 - as above
            error = _raised("exception_during_inner_validation", "Exception when validating inner node", exc)
            error["extra_info"] |= {**facts, "exception_message": str(exc), "linked_node": link}
            self.found[link[0]] = [error]
            self.bad.add(link[0])
        return None

    def _value(self, node: str, name: str, config: list[Any]) -> Error | None:
        inputs = self.graph[node]["inputs"]
        kind, limits = config[0], config[1] if len(config) > 1 else {}
        facts = {"input_name": name, "input_config": config, "received_value": inputs[name]}
        try:
            value = inputs[name] = (
                _CONVERSIONS.get(kind, _same)(inputs[name]) if isinstance(kind, str) else inputs[name]
            )
        except (ValueError, TypeError) as exc:
            message = f"Failed to convert an input value to a {kind} value"
            facts["exception_message"] = str(exc)
            return _input_error("invalid_input_type", message, f"{name}, {inputs[name]}, {exc}", facts)
        if "min" in limits and value < limits["min"]:
            message = f"Value {value} smaller than min of {limits['min']}"
            return _input_error("value_smaller_than_min", message, name, {**facts, "received_value": value})
        if "max" in limits and value > limits["max"]:
            message = f"Value {value} bigger than max of {limits['max']}"
            return _input_error("value_bigger_than_max", message, name, {**facts, "received_value": value})
        return _not_in_list(self.graph[node]["class_type"], name, value, config) if isinstance(kind, list) else None


def _not_in_list(class_type: str, name: str, value: Any, config: list[Any]) -> Error | None:
    choices = config[0]
    if value in choices:
        return None
    if class_type == "LoadImage":
        details = f"{name} - Invalid image file: {value}"
        return _input_error(
            "custom_validation_failed", "Custom validation failed for node", details, {"input_name": name}
        )
    told = len(choices) <= MOST_CHOICES_TOLD
    shown = str(choices) if told else f"(list of length {len(choices)})"
    facts = {"input_name": name, "input_config": config if told else None, "received_value": value}
    return _input_error("value_not_in_list", "Value not in list", f"{name}: '{value}' not in {shown}", facts)


def _input_error(kind: str, message: str, details: str, facts: dict[str, Any]) -> Error:
    return {"type": kind, "message": message, "details": details, "extra_info": facts}


def _raised(kind: str, message: str, exc: Exception) -> Error:
    facts = {"exception_type": type(exc).__name__, "traceback": ['  File "<comfyui>/execution.py"\n']}
    return _input_error(kind, message, str(exc), facts)


def _same(value: Any) -> Any:
    return value
