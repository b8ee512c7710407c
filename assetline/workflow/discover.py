"""Finds what may be changed in a graph that an art director exported: by its links, never by the order of its nodes.

Nothing is guessed silently: what several readings fit is a doubt, what cannot be is a refusal with its remedy.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from assetline.errors import WorkflowError
from assetline.workflow.contract import Target, is_link
from assetline.workflow.edits import fitted, one_picture
from assetline.workflow.findings import Absent, Discovery, Findings
from assetline.workflow.models import files_of
from assetline.workflow.parameters import (
    Scene,
    find_models,
    find_pictures,
    find_prompts,
    find_seed,
    find_settings,
    find_size,
)
from assetline.workflow.passes import find_passes
from assetline.workflow.sizes import SizePlan, plan_sizes
from assetline.workflow.wiring import Wiring, is_value

PREFIX = "assetline"
_IMAGES = ("images", "image")
_FILMS = re.compile(r"animated|video|audio|webm|latent|mesh|svg", re.IGNORECASE)
_SMALL_MODELS = re.compile(r"sd[-_ ]?1|v1-5|1\.5|sd15", re.IGNORECASE)
_MEANINGS = {
    "prompt": "the picture does not follow the sheet's prompt",
    "negative_prompt": "a row that has one is refused; the negative prompt, if any, stays as exported",
    "seed": "every picture of a row would be the same; more than one variant is refused",
    "steps": "the number of steps stays as exported",
    "cfg": "how strictly the prompt is followed stays as exported",
    "sampler": "the sampler stays as exported",
    "scheduler": "the scheduler stays as exported",
    "checkpoint": "the model stays as exported; the sheet's column model cannot be used with it",
}


def discover(graph: Mapping[str, Any], object_info: Mapping[str, Any] | None = None) -> Discovery:
    """The parameters of an API-format graph, its output and model files. `graph` itself is not changed.

    `object_info` is a worker's own description of its node classes, for nodes that are not known here. Raises
    WorkflowError with every reason why the graph cannot be used.
    """
    wiring = Wiring(graph, object_info)
    findings = Findings(copy.deepcopy(dict(graph)))
    output, prefix = _find_output(wiring, findings)
    changed, notes, doubts = one_picture(findings.graph, wiring.upstream(output))
    findings.graph, findings.notes, findings.doubts = changed, [*findings.notes, *notes], [*findings.doubts, *doubts]
    scene, sizes = _fit(_scene(findings.graph, object_info, output), output, findings)
    _find_all(scene, sizes, findings)
    native = _whole(sizes, findings)
    return Discovery(
        graph=findings.graph,
        found=findings.found,
        output=output,
        prefix=Target(node=output, input=prefix),
        native=native,
        size_step=sizes.step,
        files=_fixed_files(scene, findings),
        absent=tuple(Absent(name, words) for name, words in _MEANINGS.items() if name not in findings.found),
        doubts=tuple(dict.fromkeys(findings.doubts)),
        notes=tuple(dict.fromkeys([*findings.notes, *_beside(scene)])),
    )


def _scene(graph: dict[str, Any], object_info: Mapping[str, Any] | None, output: str) -> Scene:
    wiring = Wiring(graph, object_info)
    nodes = wiring.upstream(output)
    return Scene(wiring, nodes, find_passes(wiring, nodes))


def _find_all(scene: Scene, sizes: SizePlan, findings: Findings) -> None:
    find_prompts(scene, findings)
    find_size(sizes, findings)
    find_seed(scene, findings)
    find_settings(scene, findings)
    find_models(scene, findings)
    find_pictures(scene, findings)
    if not scene.passes:
        findings.doubts.append("There is no sampler: no prompt, seed or setting of one was found.")


def _find_output(wiring: Wiring, findings: Findings) -> tuple[str, str]:
    """The node that saves the picture and its input for file names."""
    saving = [node for node in wiring.graph if _saves(wiring, node)]
    if not saving:
        raise WorkflowError(_no_output(wiring))
    best = max(saving, key=lambda node: len(wiring.upstream(node)))
    others = ", ".join(wiring.label(node) for node in saving if node != best)
    if others:
        findings.doubts.append(
            f"The result is what {wiring.label(best)} saves. {others} saves too: it costs time, and its pictures stay "
            "on the worker. Take it out, or mute it, if that is not meant."
        )
    if is_link(wiring.inputs(best)["filename_prefix"]):
        findings.graph[best]["inputs"]["filename_prefix"] = PREFIX
        findings.notes.append(f"{best}.filename_prefix was fed by another node; file names are set there directly now.")
    return best, "filename_prefix"


def _saves(wiring: Wiring, node: str) -> bool:
    if _FILMS.search(wiring.class_of(node)):
        return False
    prefix = wiring.inputs(node).get("filename_prefix")
    pictured = any(name in wiring.links(node) for name in _IMAGES)
    return pictured and (is_value(prefix, "text") or is_link(prefix))


def _no_output(wiring: Wiring) -> str:
    previews = [node for node in wiring.graph if "preview" in wiring.class_of(node).casefold()]
    if previews:
        return (
            f"{wiring.label(previews[0])} only shows the picture; workers keep previews in a folder that is wiped. Put "
            '"Save Image" in its place and export again.'
        )
    films = [node for node in wiring.graph if _FILMS.search(wiring.class_of(node)) and not wiring.slots_used(node)]
    if films:
        return f"{wiring.label(films[0])} saves no single picture, and assetline makes pictures alone."
    return 'No node saves a picture. End the graph in one "Save Image" node and export again.'


def _fit(scene: Scene, output: str, findings: Findings) -> tuple[Scene, SizePlan]:
    """The places of the size; a loaded picture that no number sizes is fitted first."""
    sizes = plan_sizes(scene.wiring, output, scene.nodes)
    if sizes.refusals:
        raise WorkflowError("\n".join(sizes.refusals))
    if sizes.loose is None:
        return scene, sizes
    small = any(_SMALL_MODELS.search(file.file) for file in files_of(scene.wiring.graph))
    side = 512 if small else 1024
    findings.graph, notes = fitted(findings.graph, sizes.loose, (side, side))
    findings.notes += notes
    findings.doubts.append(
        f"The graph does not say its size, which was that of the loaded picture; {side}x{side} was taken for the "
        "native one (`native` in the contract)."
    )
    scene = _scene(findings.graph, scene.wiring.object_info, output)
    return scene, plan_sizes(scene.wiring, output, scene.nodes)


def _whole(sizes: SizePlan, findings: Findings) -> tuple[int, int]:
    """The native size, as the nearest that the contract takes."""
    if sizes.native is None:
        raise WorkflowError("\n".join(sizes.refusals))
    width, height = (max(round(side / sizes.step), 1) * sizes.step for side in sizes.native)
    if (width, height) != sizes.native:
        exported = "x".join(map(str, sizes.native))
        findings.notes.append(
            f"{exported} is not in steps of {sizes.step} pixels; the native size is {width}x{height}."
        )
    return width, height


def _fixed_files(scene: Scene, findings: Findings) -> tuple[Any, ...]:
    taken = {(target.node, target.input) for found in findings.found.values() for target in found.targets}
    used = {node: findings.graph[node] for node in scene.nodes}
    return tuple(file for file in files_of(used) if (file.node, file.input) not in taken)


def _beside(scene: Scene) -> list[str]:
    """Nodes that do not feed the saved picture."""
    others = [scene.wiring.label(node) for node in scene.wiring.graph if node not in scene.nodes]
    shown = ", ".join(others[:6]) + (f" and {len(others) - 6} more" if len(others) > 6 else "")
    return [f"Not needed for the saved picture, kept as they are: {shown}."] if others else []
