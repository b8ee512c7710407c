"""`workflows import`: shows what was found in an art director's export, asks, and writes the workflow."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apps.words import many
from assetline.errors import OptionError
from assetline.settings import load_settings
from assetline.workflow import Workflow
from assetline.workflow.findings import Found
from assetline.workflow.importing import Proposal, classes_of, propose, read_export, workflow_name
from assetline.workflow.wiring import Wiring
from assetline.workflow.write import write_workflow

_VERSION_DIGITS = 12
_VALUE_SHOWN = 60
_CHANGES_SHOWN = 24


def import_workflow(file: str, *, name: str, lane: str, yes: bool, as_json: bool) -> int:
    """Show what was found in `file`, ask, write. Raises OptionError (nobody to ask), WorkflowError, BackendError."""
    path = Path(file)
    content = read_export(path)
    folder = load_settings().workflows_folder
    object_info = asyncio.run(_ask_worker(lane, classes_of(content))) if lane else {}
    proposal = propose(content, workflow_name(path, name), folder, object_info)
    if not as_json:
        print("\n".join(_story(proposal)))
    same = bool(proposal.replaces) and not proposal.changes
    write = not same and (yes or (not as_json and _agreed(proposal)))
    files = write_workflow(folder, proposal.workflow) if write else ()
    if as_json:
        print(json.dumps(_facts(proposal) | {"written": [str(each) for each in files]}, ensure_ascii=False))
    if same:
        _say(f"{proposal.workflow.name} is this very workflow already; nothing was written.")
    elif files:
        _say(f"Written: {', '.join(map(str, files))}. A sheet names it {proposal.workflow.name}.")
    elif as_json or not _on_a_terminal():
        raise OptionError("Nothing was written, since nobody could be asked. Look at what was found, then add --yes.")
    else:
        _say("Nothing was written.")
    return 0


async def _ask_worker(lane: str, classes: tuple[str, ...]) -> dict[str, Any]:
    """What the worker says of these node classes; those that it lacks are left out."""
    import httpx

    from assetline.backends.comfyui.client import ComfyUIClient

    if not lane.startswith(("http://", "https://")):
        raise OptionError(f'"{lane}" is no ComfyUI worker. Give its URL, such as http://gpu1:8188.')
    client = ComfyUIClient(lane, httpx.Timeout(30.0))
    try:
        facts = {kind: await client.node_class(kind) for kind in classes}
    finally:
        await client.close()
    return {kind: each for kind, each in facts.items() if each}


def _on_a_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _agreed(proposal: Proposal) -> bool:
    """Ask on a terminal; nowhere else."""
    if not _on_a_terminal():
        return False
    what = f"Write {proposal.workflow.name}{' over the one that is there' if proposal.overwrites else ''}?"
    print(f"{what} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().casefold() in {"y", "yes"}


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _story(proposal: Proposal) -> Iterator[str]:
    """What was found, as a person reads it."""
    workflow, found = proposal.workflow, proposal.discovery
    wiring = Wiring(found.graph)
    size = "x".join(map(str, found.native))
    yield f"{workflow.name}: {many(len(found.graph), 'node')}; {wiring.label(found.output)} saves the picture, {size}."
    yield from ("", "Found: what a sheet may set, as exported, with the links that lead there")
    for name in workflow.contract.parameters:
        yield from _found_lines(found.found[name], wiring, workflow)
    if found.absent:
        yield from ("", "Not found")
        yield from (f"  {absent.name:<22} {absent.meaning}" for absent in found.absent)
    if found.files:
        yield from ("", "Fixed model files, which every worker needs")
        yield from (f"  {file!s:<58} {file.node}.{file.input}" for file in found.files)
    yield from _section("Look at this before you agree", found.doubts)
    yield from _section("Done, and to know", (*found.notes, *proposal.notes))
    yield from _version_lines(proposal)


def _found_lines(found: Found, wiring: Wiring, workflow: Workflow) -> Iterator[str]:
    parameter = workflow.contract.parameters[found.name]
    value = found.value if parameter.default is None else parameter.default
    takes = f"one of {many(len(parameter.choices), 'name')}" if parameter.choices else parameter.range
    yield f"  {found.name:<22} {_shown(value)} ({takes}{f'; {found.about}' if found.about else ''})"
    for target, path in zip(found.targets, found.paths, strict=True):
        share = f" x {target.factor:g}" if target.factor else ""
        _, _, kind = wiring.label(target.node).partition(" ")
        yield f"  {'':<22} {target}{share} {kind}{'' if path == str(target) else f', by {path}'}"


def _shown(value: object) -> str:
    text = " ".join(str(value).split())
    cut = text if len(text) <= _VALUE_SHOWN else f"{text[: _VALUE_SHOWN - 1]}…"
    return f'"{cut}"' if isinstance(value, str) else cut


def _section(title: str, lines: tuple[str, ...]) -> Iterator[str]:
    if lines:
        yield from ("", title)
        yield from (f"  - {line}" for line in lines)


def _version_lines(proposal: Proposal) -> Iterator[str]:
    """What becomes of the workflow that is there under this name."""
    old, new = proposal.replaces, proposal.workflow
    if old is None or not proposal.changes:
        return
    yield from ("", f"A new version: {new.sha256[:_VERSION_DIGITS]} instead of {old.sha256[:_VERSION_DIGITS]}")
    yield from (f"  - {change}" for change in proposal.changes[:_CHANGES_SHOWN])
    if len(proposal.changes) > _CHANGES_SHOWN:
        yield f"  - and {len(proposal.changes) - _CHANGES_SHOWN} more changes"
    yield "  Pictures of rows that use it are made anew. Sheets that pin the old version are refused at check."
    if proposal.kept:
        yield f"  Kept from the contract that is there: {', '.join(proposal.kept)}."


def _facts(proposal: Proposal) -> dict[str, Any]:
    """The proposal for programs."""
    found = proposal.discovery
    parameters = [
        {
            "name": each.name,
            "value": each.value,
            "targets": [target.model_dump(mode="json", exclude_defaults=True) for target in each.targets],
            "paths": list(each.paths),
            "about": each.about,
        }
        for each in (found.found[name] for name in proposal.workflow.contract.parameters)
    ]
    return {
        "name": proposal.workflow.name,
        "sha256": proposal.workflow.sha256,
        "replaces": proposal.replaces.sha256 if proposal.replaces else None,
        "native": list(found.native),
        "output": found.output,
        "parameters": parameters,
        "absent": [{"name": absent.name, "meaning": absent.meaning} for absent in found.absent],
        "model_files": [file.model_dump(mode="json") for file in found.files],
        "doubts": list(found.doubts),
        "notes": [*found.notes, *proposal.notes],
        "changes": list(proposal.changes),
        "kept": list(proposal.kept),
    }
