"""`workflows list` and `workflows inspect`."""

from __future__ import annotations

import json
from pathlib import Path

from assetline.errors import OptionError
from assetline.settings import load_settings
from assetline.workflow import Workflow, describe, load_workflow, load_workflows, needed_files


def print_workflows(*, as_json: bool) -> int:
    """Print every workflow of the workflows folder."""
    found = load_workflows(load_settings().workflows_folder)
    if as_json:
        print(json.dumps([_facts(workflow) for workflow in found.values()], ensure_ascii=False))
        return 0
    width = max((len(name) for name in found), default=0)
    for workflow in found.values():
        profiles = f" (profiles: {', '.join(workflow.contract.profiles)})" if workflow.contract.profiles else ""
        print(f"{workflow.name:<{width}}  {workflow.contract.description}{profiles}")
    return 0


def inspect_workflow(file: str, *, as_json: bool) -> int:
    """Print what one workflow takes. Raises OptionError for an unknown name, WorkflowError for a file with faults."""
    workflow = _find(file)
    lines = describe(workflow)
    if as_json:
        parameters = [line.model_dump(mode="json") for line in lines]
        files = [file.model_dump(mode="json") for file in needed_files(workflow)]
        print(
            json.dumps(
                _facts(workflow) | {"output": workflow.contract.output, "parameters": parameters, "model_files": files}
            )
        )
        return 0
    contract = workflow.contract
    print(f"{workflow.name}: {contract.description}")
    print(f"  native size {contract.native[0]}x{contract.native[1]}, version {workflow.sha256[:12]}")
    print(f"  a sheet may pin this version: {workflow.name}@{workflow.sha256[:8]}")
    print(f"  the picture is saved by node {contract.output} ({workflow.graph[contract.output]['class_type']})")
    for needed in needed_files(workflow):
        print(f"  needs {needed}" if needed.folder else f"  needs {needed} (node {needed.node}, {needed.input})")
    for line in lines:
        default = "required" if line.default is None else f"default {line.default}"
        print(f"  {line.name:<20} {line.range}; {default}; sets {', '.join(line.targets)}")
        if line.description:
            print(f"  {'':<20} {line.description}")
    for name, values in contract.profiles.items():
        print(f"  profile {workflow.name}:{name}  " + ", ".join(f"{key} {value}" for key, value in values.items()))
    return 0


def _find(file: str) -> Workflow:
    if file.endswith(".json") or Path(file).is_file():
        return load_workflow(Path(file))
    found = load_workflows(load_settings().workflows_folder)
    if file not in found:
        raise OptionError(f'There is no workflow "{file}". There are: {", ".join(found)}; or give a graph file.')
    return found[file]


def _facts(workflow: Workflow) -> dict[str, object]:
    contract = workflow.contract
    return {
        "name": workflow.name,
        "description": contract.description,
        "native": list(contract.native),
        "sha256": workflow.sha256,
        "profiles": contract.profiles,
    }
