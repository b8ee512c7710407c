"""ComfyUI's refusals and run errors in plain words, each as the class that says whether another try may help.

Forms and types measured on ComfyUI 0.3.64: refusals of POST /prompt, `node_errors` of a 200, `execution_error`
and `execution_interrupted` in history.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from assetline.errors import BackendError, JobFailed, JobLost, JobRejected, LaneUnsuited

MOST_CHOICES_SHOWN = 8

_OUT_OF_MEMORY = (
    "outofmemory",
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
)
_BROKEN_FILE = ("safetensor", "unpicklingerror", "pytorchstreamreader", "error while deserializing", "badzipfile")
_PLAIN = {
    "required_input_missing": "{input} is missing",
    "value_bigger_than_max": "{input} {value} is above the maximum of {max}",
    "value_smaller_than_min": "{input} {value} is below the minimum of {min}",
    "invalid_input_type": "{input} {value!r} is not of type {type}",
    "return_type_mismatch": "{input} takes {type}, but is linked to {received_type}",
    "bad_linked_input": "{input} has a bad link {value}; a link is [node id, output number]",
}


@dataclass(frozen=True)
class Job:
    """Where an error happened: the worker's name and the prompt_id there. Every error carries both."""

    lane: str
    prompt_id: str


def refusal(job: Job, answer: dict[str, Any]) -> BackendError:
    """The error for a POST /prompt that was refused (400) or accepted with node_errors (200).

    LaneUnsuited if all that is wrong is what this worker lacks (a file, a sampler, a node class): another may
    have it. JobRejected for anything else. All node errors are in the message.
    """
    error, node_errors = answer.get("error") or {}, answer.get("node_errors") or {}
    found = list(_node_errors(node_errors))
    if not found and _lacks_class(error):
        return _unsuited(job, [_missing_class(error)], answer)
    if found and all(kind == "value_not_in_list" for kind, _ in found):
        return _unsuited(job, [words for _, words in found], answer)
    wrong = "; ".join(words for _, words in found) or _graph_error(error)
    return JobRejected(
        f"{job.lane} refuses the workflow: {wrong}. Mend the workflow, its contract or the row's values.",
        lane=job.lane,
        job_id=job.prompt_id,
        detail=json.dumps(answer, ensure_ascii=False),
    )


def _unsuited(job: Job, lacks: list[str], answer: dict[str, Any]) -> LaneUnsuited:
    return LaneUnsuited(
        f"{job.lane} lacks {'; '.join(lacks)}. Install it on that worker, or name what it has.",
        lane=job.lane,
        job_id=job.prompt_id,
        detail=json.dumps(answer, ensure_ascii=False),
    )


def _lacks_class(error: dict[str, Any]) -> bool:
    """`missing_node_type` is what newer versions are said to answer; 0.3.64 says it in the message alone."""
    kind, message = error.get("type"), str(error.get("message", ""))
    return kind == "missing_node_type" or (kind == "invalid_prompt" and message.endswith("does not exist."))


def _missing_class(error: dict[str, Any]) -> str:
    message = str(error.get("message", ""))
    name = message.removeprefix("Cannot execute because node ").removesuffix(" does not exist.")
    return f"the node class {name} ({_details(error) or 'no node named'})"


def _graph_error(error: dict[str, Any]) -> str:
    """The words for a refusal without node_errors; a cycle is refused with no reason at all."""
    if error.get("type") == "prompt_outputs_failed_validation" and not error.get("details"):
        return "no node is named; most likely its links form a circle"
    return " ".join(
        part for part in (str(error.get("message", "no reason given")).rstrip("."), _details(error)) if part
    )


def _details(error: dict[str, Any]) -> str:
    return str(error.get("details") or "").replace("Node ID '#", "node '").strip()


def _node_errors(node_errors: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each error's type and its words, with the node and its class."""
    for node, item in node_errors.items():
        place = f"node {node}, {item.get('class_type', 'unknown class')}"
        for error in item.get("errors", []):
            yield str(error.get("type", "")), _input_error(error, place)


def _input_error(error: dict[str, Any], place: str) -> str:
    kind, info = error.get("type"), error.get("extra_info") or {}
    config = info.get("input_config") or [None, {}]
    limits = config[1] if len(config) > 1 and isinstance(config[1], dict) else {}
    if kind == "value_not_in_list":
        choices = config[0] if isinstance(config[0], list) else limits.get("options")
        return f"{info.get('input_name')} {info.get('received_value')!r} ({place}{_has(choices)})"
    if kind not in _PLAIN:
        return ": ".join(str(part) for part in (error.get("message"), error.get("details")) if part) + f" ({place})"
    facts = {"input": info.get("input_name", "an input"), "value": info.get("received_value"), "type": config[0]}
    bounds = {"max": limits.get("max"), "min": limits.get("min"), "received_type": info.get("received_type")}
    return f"{_PLAIN[kind].format(**facts, **bounds)} ({place})"


def _has(choices: list[Any] | None) -> str:
    """What the worker has instead, where it tells: 20 choices at most, of more only how many (execution.py, 0.3.64)."""
    if choices is None:
        return ""
    rest = len(choices) - MOST_CHOICES_SHOWN
    shown = ", ".join(str(choice) for choice in choices[:MOST_CHOICES_SHOWN]) or "none"
    return f"; it has {shown}" + (f" and {rest} more" if rest > 0 else "")


def run_error(job: Job, messages: dict[str, dict[str, Any]]) -> BackendError:
    """The error for a prompt that ended in `error`: JobLost if somebody interrupted it, else JobFailed.

    The server's stack trace goes into `detail` alone.
    """
    if "execution_interrupted" in messages:
        return JobLost(
            f"{job.lane}: the picture was interrupted there by somebody else, and can be made again.",
            lane=job.lane,
            job_id=job.prompt_id,
        )
    data = messages.get("execution_error", {})
    return JobFailed(
        f"{job.lane} {_what_failed(data)}",
        lane=job.lane,
        job_id=job.prompt_id,
        detail="".join([json.dumps(data.get("current_inputs")), "\n", *data.get("traceback", [])]),
    )


def _what_failed(data: dict[str, Any]) -> str:
    kind, message = str(data.get("exception_type", "an error")), str(data.get("exception_message", "")).strip()
    text = f"{kind} {message}".lower()
    place = f"node {data.get('node_id', '?')} ({data.get('node_type', 'unknown class')})"
    if any(mark in text for mark in _OUT_OF_MEMORY):
        return f"ran out of memory at {place}{_size(data)}. Take a smaller size, or a worker with more memory."
    if any(mark in text for mark in _BROKEN_FILE):
        return f"cannot read {_file(data)} at {place}: {message}. Copy the file to the worker again."
    return f"failed at {place}: {kind}: {message or 'no message'}"


def _size(data: dict[str, Any]) -> str:
    """`, 4096x4096` where the failing node knows its size. The values of `current_inputs` are lists of one."""
    inputs = data.get("current_inputs") or {}
    if "width" not in inputs or "height" not in inputs:
        return ""
    return f", {_first(inputs['width'])}x{_first(inputs['height'])}"


def _file(data: dict[str, Any]) -> str:
    names = [str(_first(value)) for key, value in (data.get("current_inputs") or {}).items() if key.endswith("_name")]
    return "the model file " + ", ".join(names) if names else "a model file"


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value
