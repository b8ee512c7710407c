"""The commands of `assetline workflows`: parse, call, print."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

Flag = Parameter(negative="")
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON object on stdout, for programs.")]

workflows = App(
    name="workflows",
    help="ComfyUI workflows: what can be run, and what each one takes.\n\nExample: assetline workflows list",
)


@workflows.command(name="list")
def list_workflows(*, json: Json = False) -> int:
    """List the workflows that a sheet's `workflow` column may name.

    Example: assetline workflows list
    """
    from apps.workflows import print_workflows

    return print_workflows(as_json=json)


@workflows.command
def inspect(file: str, /, *, json: Json = False) -> int:
    """Explain one workflow: its parameters with range, default and nodes, the model files it needs, its version.

    Example: assetline workflows inspect sdxl-lora

    Parameters
    ----------
    file
        A workflow's name, or its graph file in API format.

    """
    from apps.workflows import inspect_workflow

    return inspect_workflow(file, as_json=json)


@workflows.command(name="import")
def import_workflow(
    file: str,
    /,
    *,
    name: str = "",
    lane: str = "",
    yes: Annotated[bool, Flag] = False,
    json: Json = False,
) -> int:
    """Adopt a workflow that was exported from ComfyUI: find its parameters, show them, ask, write its contract.

    Example: assetline workflows import ~/Downloads/hero_api.json --name hero

    Parameters
    ----------
    file
        The file of ComfyUI's Workflow > Export (API).
    name
        What sheets shall call it. Default: made from the file's name.
    lane
        A ComfyUI URL: its own ranges and choices are taken, and what it lacks is told.
    yes
        Do not ask; also replaces the workflow that is there under this name.

    """
    from apps.workflow_import import import_workflow as adopt

    return adopt(file, name=name, lane=lane, yes=yes, as_json=json)
