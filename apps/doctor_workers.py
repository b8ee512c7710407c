"""`doctor` at the ComfyUI workers: what each one is, does and lacks, all asked at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence

from apps.finding import Finding
from apps.words import many
from assetline.backends.comfyui.capabilities import Machine, examine
from assetline.bootstrap.planning import lane_label
from assetline.errors import BackendError
from assetline.plan import Capability, Lack, find_lacks
from assetline.plan.fleet import nearest_file
from assetline.workflow import Workflow, complete, defaults

Answer = tuple[Machine, Capability] | BackendError


def examine_workers(urls: Sequence[str], workflows: Mapping[str, Workflow]) -> Iterator[Finding]:
    """Of each worker a line for itself, and one for each thing that it lacks of the workflows, with the remedy."""
    answers = asyncio.run(_ask(urls)) if urls else []
    for url, answer in zip(map(lane_label, urls), answers, strict=True):
        if isinstance(answer, BackendError):
            yield Finding(name=f"lane {url}", verdict="fail", found=str(answer), mend="Start it, or leave it out.")
        else:
            yield from _worker(url, *answer, workflows)


async def _ask(urls: Sequence[str]) -> list[Answer]:
    return await asyncio.gather(*map(_examine, urls))


async def _examine(url: str) -> Answer:
    try:
        return await examine(url)
    except BackendError as error:
        return error


def _worker(url: str, machine: Machine, has: Capability, workflows: Mapping[str, Workflow]) -> Iterator[Finding]:
    lacks = {name: find_lacks(has, workflow, defaults(workflow)) for name, workflow in workflows.items()}
    ready = [name for name, found in lacks.items() if not found]
    yield Finding(
        name=f"lane {url}",
        verdict="ok" if ready else "warn",
        found=f"{_machine(machine)}; can run {', '.join(ready) or 'none of the workflows'}",
    )
    for lack, names in _by_lack(lacks).items():
        found = f"no {lack}, for {', '.join(names)}"
        yield Finding(name=f"lane {url}", verdict="warn", found=found, mend=_remedy(lack, has))
    for name, workflow in workflows.items():
        if notes := complete(workflow.graph, has.classes)[1]:
            mend = f"The defaults are used; import {name} anew to choose these values yourself."
            yield Finding(name=f"lane {url}", verdict="ok", found=f"{name}: {' '.join(notes)}", mend=mend)


def _machine(machine: Machine) -> str:
    """`ComfyUI 0.3.64 on NVIDIA H200, 138.2 of 139.7 GiB free, 1 running and 4 waiting`."""
    memory = f", {machine.free / 2**30:.1f} of {machine.memory / 2**30:.1f} GiB free" if machine.memory else ""
    queued = f"{machine.running} running and {machine.waiting} waiting"
    queue = queued if machine.running or machine.waiting else "nothing queued"
    return f"ComfyUI {machine.version} on {machine.device}{memory}, {queue}"


def _by_lack(lacks: Mapping[str, Iterable[Lack]]) -> dict[Lack, list[str]]:
    """Each thing that is lacking once, with the workflows that want it."""
    found: dict[Lack, list[str]] = {}
    for name, missing in lacks.items():
        for lack in missing:
            found.setdefault(lack, []).append(name)
    return found


def _remedy(lack: Lack, has: Capability) -> str:
    choices = has.choices(lack.place) or ()
    near = nearest_file(lack.value, choices)
    there = f' Nearest there: "{near}".' if near else f" It has {many(len(choices), 'other')}." if choices else ""
    return lack.remedy.replace("a worker", "that worker") + there
