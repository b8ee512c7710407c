"""Takes an art director's export in: reads the file, finds what may be changed, drafts the contract, compares versions.

Nothing is written here; `write_workflow` does that once a person has looked at the proposal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from assetline.errors import OptionError, WorkflowError
from assetline.records import MAX_SEED
from assetline.workflow.complete import complete
from assetline.workflow.contract import Workflow
from assetline.workflow.discover import discover
from assetline.workflow.draft import carried_over, draft_contract
from assetline.workflow.edits import ADDED_CLASSES
from assetline.workflow.files import EXPORT_HINT, graph_faults, load_workflow
from assetline.workflow.findings import Discovery
from assetline.workflow.models import files_of
from assetline.workflow.ui_format import is_ui_format, to_api_format
from assetline.workflow.wiring import choices_of, input_spec
from assetline.workflow.write import changes, files_in, prepared

_NAME = re.compile(r"[\w][\w-]*")


@dataclass(frozen=True)
class Proposal:
    """A workflow as it would be written, what was found on the way, and what it changes.

    `replaces` is what is there under its name (None: nothing, or nothing that can be read); `changes` are empty where
    it makes the same pictures; `kept` was carried over from the contract that is there. `notes` tell of the file and
    of the worker, the discovery's own of the graph.
    """

    workflow: Workflow
    discovery: Discovery
    notes: tuple[str, ...]
    replaces: Workflow | None = None
    changes: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    overwrites: bool = False


def read_export(file: Path) -> dict[str, Any]:
    """The JSON of an export; of a whole request only its graph. Raises OptionError (no file), WorkflowError."""
    try:
        content = json.loads(file.read_text("utf-8-sig"))
    except OSError as error:
        raise OptionError(f"{file} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    except ValueError as error:
        raise WorkflowError(f"{file.name} is no JSON: {error}. {EXPORT_HINT}") from error
    if not isinstance(content, dict):
        raise WorkflowError(f"{file.name} is not a graph of nodes. {EXPORT_HINT}")
    inner = content.get("prompt")
    return inner if isinstance(inner, dict) and "class_type" not in inner else content


def classes_of(content: Mapping[str, Any]) -> tuple[str, ...]:
    """The node classes of an export in either format, and those that may be added: what to ask a worker about."""
    nodes = content["nodes"] if is_ui_format(content) else content.values()
    kinds = (node.get("type") or node.get("class_type") for node in nodes if isinstance(node, dict))
    return tuple(sorted({kind for kind in kinds if isinstance(kind, str)} | {*ADDED_CLASSES}))


def workflow_name(file: Path, name: str = "") -> str:
    """`name`, or one made from the file's (`Hero Shot_api.json` is `hero-shot`). Raises OptionError."""
    made = re.sub(r"[\W_]+", "-", file.stem.lower()).strip("-")
    chosen = name or re.sub(r"-(workflow-)?api$", "", made)
    if not _NAME.fullmatch(chosen):
        raise OptionError(
            f'"{chosen}" cannot be a workflow\'s name: it has letters, digits, - and _. Give one with --name.'
        )
    return chosen


def propose(content: Mapping[str, Any], name: str, folder: Path, object_info: Mapping[str, Any]) -> Proposal:
    """What an import would write into `folder` under `name`. `object_info` is {} where no worker was asked.

    Raises WorkflowError with every reason why the export cannot be used.
    """
    graph, notes = _as_graph(content, object_info)
    found = discover(graph, object_info)
    contract = draft_contract(name, found, object_info)
    replaces, words = _what_is_there(folder, name)
    kept: tuple[str, ...] = ()
    if replaces:
        contract, kept = carried_over(replaces.contract, contract)
    workflow = prepared(found.graph, contract)
    return Proposal(
        workflow=workflow,
        discovery=found,
        notes=(*notes, *words, *_lacking(found.graph, object_info), *_small_seeds(workflow)),
        replaces=replaces,
        changes=changes(replaces, workflow) if replaces else (),
        kept=kept,
        overwrites=any(path.exists() for path in files_in(folder, name)),
    )


def _as_graph(content: Mapping[str, Any], object_info: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The graph in API format, complete for the worker, and what was done for that."""
    graph, notes = dict(content), tuple[str, ...]()
    if is_ui_format(content):
        if not object_info:
            raise WorkflowError(
                "This is a workflow as the editor saves it (`nodes`, `links`), which workers cannot run. "
                f"{EXPORT_HINT} Or give a worker that has all its nodes (--lane http://HOST:8188) to have it converted."
            )
        graph, notes = to_api_format(content, object_info)
        notes = ("The editor's file was converted; the worker's own list of node inputs gave their order.", *notes)
    faults = [*graph_faults(graph)]
    if faults:
        raise WorkflowError("\n".join(f"The graph {fault}" for fault in faults))
    graph, filled = complete(graph, object_info)
    return graph, (*notes, *filled)


def _what_is_there(folder: Path, name: str) -> tuple[Workflow | None, tuple[str, ...]]:
    graph_file, contract_file = files_in(folder, name)
    if not contract_file.exists():
        alone = f"{graph_file.name} is there without a contract; it is replaced."
        return None, (alone,) if graph_file.exists() else ()
    try:
        return load_workflow(graph_file), ()
    except WorkflowError as error:
        return None, (f"What is there under the name {name} cannot be read: {error}",)


def _small_seeds(workflow: Workflow) -> Iterator[str]:
    """A sheet's own seeds go to 2^64-1, and so do those that are derived for it."""
    seed = workflow.contract.parameters.get("seed")
    if seed and seed.maximum is not None and seed.maximum < MAX_SEED:
        yield f"Its seeds end at {seed.maximum}; give the rows seeds of their own, since derived ones may be larger."


def _lacking(graph: Mapping[str, Any], object_info: Mapping[str, Any]) -> Iterator[str]:
    """What the worker that was asked does not have."""
    if not object_info:
        return
    for kind in sorted({item["class_type"] for item in graph.values()} - object_info.keys()):
        yield f"The worker has no node class {kind}."
    for file in files_of(graph):
        spec = input_spec(object_info, graph[file.node]["class_type"], file.input)
        known = [str(choice) for choice in (choices_of(spec) or [])] if spec else []
        if spec and choices_of(spec) is not None and file.file not in known:
            near = get_close_matches(file.file, known, n=1)
            yield f"The worker has no {file}." + (f" Nearest: {near[0]}." if near else "")
