"""The picture of a prompt that has ended: the one file that it should have, whole, and really that prompt's."""

from __future__ import annotations

import json
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from assetline.backends.comfyui.answers import HistoryEntry, ImageFile
from assetline.backends.comfyui.binder import Bound
from assetline.backends.comfyui.client import ComfyUIClient
from assetline.backends.comfyui.errors import run_error
from assetline.errors import BackendUnavailable, ImageError, JobLost, JobRejected
from assetline.provenance.containers import CONTAINERS

SHORT_PAUSE_S = 0.2  # before a second look at what should be there at once
LOOKS_FOR_OUTPUTS = 4
DOWNLOAD_PAUSES_S = (0.2, 1, 3, 6)  # a picture that is made is worth a few more tries than making it again


async def fetch(
    client: ComfyUIClient, bound: Bound, entry: HistoryEntry, sleep: Callable[[float], Awaitable[None]]
) -> bytes:
    """The picture's bytes. Status before outputs: a failed prompt may have outputs of its other branches.

    Raises JobFailed, JobLost (interrupted, gone from the disk, another prompt's), JobRejected (not one picture),
    BackendUnavailable.
    """
    if not entry.succeeded:
        raise run_error(bound.job, entry.messages)
    file = await _only_image(client, bound, entry, sleep)
    data = await _download(client, file, sleep)
    _check_owner(data, bound, file)
    return data


async def _download(client: ComfyUIClient, file: ImageFile, sleep: Callable[[float], Awaitable[None]]) -> bytes:
    for pause_s in DOWNLOAD_PAUSES_S:
        try:
            return await client.view(file)
        except BackendUnavailable:
            await sleep(pause_s)
    return await client.view(file)


async def _only_image(
    client: ComfyUIClient, bound: Bound, entry: HistoryEntry, sleep: Callable[[float], Awaitable[None]]
) -> ImageFile:
    """The one picture of the contract's output node; it may stand in history a moment after the status."""
    for _ in range(LOOKS_FOR_OUTPUTS):
        if entry.images:
            break
        await sleep(SHORT_PAUSE_S)
        entry = await client.history(bound.job.prompt_id) or entry
    files = entry.images.get(bound.output, ())
    if len(files) == 1:
        return files[0]
    others = ", ".join(sorted(entry.images.keys() - {bound.output})) or "none"
    raise JobRejected(
        f"{bound.job.lane}: the workflow's output node {bound.output} gave {len(files)} pictures, not one "
        f"(other nodes with pictures: {others}). Set batch_size to 1, or name the right node in the contract.",
        lane=bound.job.lane,
    )


def _check_owner(data: bytes, bound: Bound, file: ImageFile) -> None:
    """Names are handed out again after files were deleted, and by another server in the same folder (measured)."""
    graph = embedded_graph(data)
    if graph is None:
        return
    node, name, prefix = bound.prefix
    if graph.get(node, {}).get("inputs", {}).get(name) != prefix:
        raise JobLost(
            f"{bound.job.lane} gave the picture of another prompt as {file.subfolder}/{file.filename}. Somebody "
            "deletes its outputs while it works, or two workers share one output folder: give each its own.",
            lane=bound.job.lane,
            job_id=bound.job.prompt_id,
        )


def embedded_graph(data: bytes) -> dict[str, Any] | None:
    """The graph that a PNG says it was made by (text chunk `prompt`); None where it says nothing that can be read.

    Workers started with --disable-metadata, and other formats, have none.
    """
    try:
        parts = CONTAINERS["PNG"].split(data)
        text = next(part.body for part in parts if part.role == "text" and part.name == "prompt")
        graph = json.loads(text)
    except (ImageError, struct.error, IndexError, StopIteration, ValueError):
        return None
    nodes = graph.values() if isinstance(graph, dict) else [None]
    return graph if all(isinstance(node, dict) and isinstance(node.get("inputs"), dict) for node in nodes) else None
