"""A request as it goes to one worker: its graph with the worker's own names, under a fresh prompt_id and prefix."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from assetline.backends.comfyui.answers import Remnant
from assetline.backends.comfyui.client import ComfyUIClient
from assetline.backends.comfyui.errors import Job
from assetline.plan.capability import plain
from assetline.records import ImageRequest, PlannedRequest
from assetline.workflow import Contract, Parameter, Workflow, bind, complete
from assetline.workflow.wiring import choices_of

LEAST_SIDE_PX = 64  # 8 in the latent: three halvings in the UNet still leave one
ADOPTED = "Found on the worker after an interruption, and not made again."
_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".webp"}


@dataclass(frozen=True)
class Bound:
    """A request as it goes to the worker: its prompt_id, its graph, and what to know it by.

    `output` is the node whose picture is the result, `prefix` the node, input and value that no other prompt has.
    """

    job: Job
    graph: dict[str, Any]
    output: str
    prefix: tuple[str, str, str]
    facts: dict[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def request_key(self) -> str:
        """Which request it makes; empty for one that only warms the worker up."""
        return str(self.facts.get("request_key", ""))


class Binder:
    """Binds requests for one worker. `owner` goes with each prompt; `references` gives a picture's bytes by sha256."""

    def __init__(
        self,
        client: ComfyUIClient,
        workflows: Mapping[str, Workflow],
        references: Callable[[str], bytes],
        owner: Mapping[str, str],
    ) -> None:
        self._client = client
        self._workflows = workflows
        self._references = references
        self._owner = owner
        self._uploads: dict[str, str] = {}
        self._classes: dict[str, dict[str, Any]] = {}
        self._asking = asyncio.Lock()

    def suits(self, planned: PlannedRequest) -> bool:
        """Whether the request names a workflow that is known here, in the very version that was planned."""
        workflow = self._workflows.get(planned.request.workflow or "")
        return workflow is not None and workflow.sha256 == planned.request.workflow_sha256

    async def bind(self, planned: PlannedRequest, attempt: int) -> Bound:
        """A fresh prompt_id and prefix each time: a prefix of its own makes even a cached result write a new file.

        Raises BackendError where the worker does not answer or take a picture, WorkflowError for values that the
        contract does not take.
        """
        request, prompt_id = planned.request, str(uuid4())
        prefix = f"assetline/{request.key[:8]}-{attempt}-{prompt_id[:8]}"
        facts = {"request_key": request.key, "label": planned.label, "attempt": attempt, **self._owner}
        return await self._bind(request, Job(self._client.url, prompt_id), prefix, facts)

    async def bind_warm_up(self, planned: PlannedRequest) -> Bound:
        """A prompt that loads what the request needs and makes next to nothing. Nobody can take it for the request's
        own: it does not name it. Raises as `bind` does.
        """
        prompt_id = str(uuid4())
        request = smallest(self._workflow(planned.request).contract, planned.request)
        facts = {"warms": planned.label, **self._owner}
        return await self._bind(request, Job(self._client.url, prompt_id), f"assetline/warm-{prompt_id[:8]}", facts)

    async def _bind(self, request: ImageRequest, job: Job, prefix: str, facts: dict[str, Any]) -> Bound:
        workflow = self._workflow(request)
        async with self._asking:
            images = {role: await self._upload(sha256) for role, sha256 in request.references.items()}
            graph = bind(workflow, request, prefix, images)
            await self._learn(graph)
        graph, notes = complete(graph, self._classes)
        spell(graph, self._classes)
        place = _prefix_place(workflow.contract)
        return Bound(job, graph, workflow.contract.output, (*place, prefix), facts, notes)

    def rebind(self, planned: PlannedRequest, remnant: Remnant) -> Bound | None:
        """A prompt that is on the worker already; None where its graph is not that of the workflow."""
        contract = self._workflow(planned.request).contract
        node, name = _prefix_place(contract)
        try:
            prefix = str(remnant.graph[node]["inputs"][name])
        except (KeyError, TypeError):
            return None
        return Bound(
            job=Job(self._client.url, remnant.prompt_id),
            graph=remnant.graph,
            output=contract.output,
            prefix=(node, name, prefix),
            facts=remnant.facts,
            notes=(ADOPTED,),
        )

    def forget_uploads(self, text: str) -> bool:
        """Send those pictures again whose names are in `text`: the worker says that it does not have them."""
        lost = [sha256 for sha256, name in self._uploads.items() if name in text]
        for sha256 in lost:
            del self._uploads[sha256]
        return bool(lost)

    def forget_classes(self) -> None:
        """Ask for the node classes again: the worker may have been updated."""
        self._classes.clear()

    def _workflow(self, request: ImageRequest) -> Workflow:
        return self._workflows[request.workflow or ""]

    async def _upload(self, sha256: str) -> str:
        """The worker's name for a reference image, sent once. It is named by its content, so no other can be meant."""
        if sha256 not in self._uploads:
            data = await asyncio.to_thread(self._references, sha256)
            suffix = next((suffix for mark, suffix in _SUFFIXES.items() if data.startswith(mark)), ".png")
            self._uploads[sha256] = await self._client.upload(sha256[:32] + suffix, data)
        return self._uploads[sha256]

    async def _learn(self, graph: dict[str, Any]) -> None:
        """Ask for each node class once, and again for one that the worker did not know: it may have it by now."""
        for name in {node["class_type"] for node in graph.values()} - self._classes.keys():
            if known := await self._client.node_class(name):
                self._classes[name] = known


def smallest(contract: Contract, request: ImageRequest) -> ImageRequest:
    """The request at the smallest size that its contract takes, `LEAST_SIDE_PX` at least, and one step.

    It loads the same files, since neither says which; so what it loads is what ComfyUI's cache then has.
    """
    sides = {name: _least(contract.parameters.get(name), getattr(request, name)) for name in ("width", "height")}
    steps = contract.parameters.get("steps")
    fewer = {} if steps is None else {"steps": max(1, int(steps.minimum or 1))}
    return ImageRequest.model_validate({**request.model_dump(), **sides, "parameters": {**request.parameters, **fewer}})


def _least(parameter: Parameter | None, wanted: int) -> int:
    """The least number of pixels of a side that the contract takes, never more than is `wanted`."""
    if parameter is None:
        return wanted
    step = parameter.multiple_of or 1
    return min(wanted, -(-max(LEAST_SIDE_PX, int(parameter.minimum or 0)) // step) * step)


def spell(graph: dict[str, Any], classes: Mapping[str, dict[str, Any]]) -> None:
    """Write the names of files in folders as the worker lists them: one on Windows has back-slashes in them."""
    for node in graph.values():
        for name, choices in _choices(classes.get(node["class_type"], {})):
            value = node["inputs"].get(name)
            if isinstance(value, str) and value not in choices:
                alike = (choice for choice in choices if plain(choice) == plain(value))
                node["inputs"][name] = next(alike, value)


def _choices(known: dict[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for section in ("required", "optional"):
        for name, config in known.get("input", {}).get(section, {}).items():
            if config and (choices := choices_of(list(config))):
                yield name, tuple(map(str, choices))


def _prefix_place(contract: Contract) -> tuple[str, str]:
    return contract.prefix.node, contract.prefix.input
