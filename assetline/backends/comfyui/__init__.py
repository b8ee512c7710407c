"""The ComfyUI lane: submit under an own prompt_id, look until it has ended, bring the picture back.

Polling is the truth. A websocket could only end the pause in `_follow` earlier. Facts measured on ComfyUI 0.3.64.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from assetline.backends.comfyui.answers import Capabilities, HistoryEntry, ImageFile
from assetline.backends.comfyui.client import AnswerLost, ComfyUIClient, Refused
from assetline.backends.comfyui.errors import Job, refusal, run_error
from assetline.backends.comfyui.watch import ComfyUISettings, Watch
from assetline.errors import BackendError, BackendUnavailable, JobLost, JobRejected
from assetline.records import PlannedRequest, Render
from assetline.workflow import Workflow, bind

__all__ = ["Capabilities", "Clock", "ComfyUIBackend", "ComfyUISettings"]

log = logging.getLogger(__name__)

SHORT_PAUSE_S = 0.2  # before a second look at what should be there, or be gone, at once
LOOKS_FOR_OUTPUTS = 4
INTERRUPTS = 2  # a prompt that starts just now resets the flag; a second one is after that
_WITH_REASON = 400
_SAME_EVERYWHERE = {_WITH_REASON, 413, 500}  # the body's fault; 401, 403, 404 and the like are this address's
_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".webp"}


@dataclass(frozen=True)
class Clock:
    """Seconds that only go forward, and the way to let some pass; tests bring their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


REAL_TIME = Clock()
DEFAULT_SETTINGS = ComfyUISettings()


@dataclass(frozen=True)
class _Bound:
    """A request as it goes to the worker: its prompt_id, its graph, the node whose picture is the result."""

    job: Job
    graph: dict[str, Any]
    output: str
    facts: dict[str, Any]


class ComfyUIBackend:
    """One ComfyUI worker. `references` gives the bytes of a reference image by its sha256.

    `name` is the URL without a trailing slash and without credentials. Raises OptionError for what is no URL.
    """

    def __init__(
        self,
        url: str,
        workflows: Mapping[str, Workflow],
        *,
        references: Callable[[str], bytes],
        settings: ComfyUISettings = DEFAULT_SETTINGS,
        client: httpx.AsyncClient | None = None,
        clock: Clock = REAL_TIME,
    ) -> None:
        timeout = httpx.Timeout(settings.read_s, connect=settings.connect_s)
        self._client = ComfyUIClient(url, timeout, client)
        self.name = self._client.url
        self._workflows = workflows
        self._references = references
        self._settings = settings
        self._clock = clock
        self._client_id = uuid4().hex  # without one, the worker tells its progress to every browser that is open
        self._uploads: dict[str, str] = {}
        self._uploading = asyncio.Lock()
        self._taking_back: set[asyncio.Task[None]] = set()

    def suits(self, planned: PlannedRequest) -> bool:
        """Whether the request names a workflow that is known here, in the very version that was planned."""
        workflow = self._workflows.get(planned.request.workflow or "")
        return workflow is not None and workflow.sha256 == planned.request.workflow_sha256

    async def probe(self) -> None:
        """Ask for /system_stats and /queue. Raises BackendUnavailable."""
        await self._client.system_stats()
        await self._client.queue()

    async def capabilities(self) -> Capabilities:
        """What the worker can do: its files, samplers and node classes. Raises BackendUnavailable."""
        return await self._client.capabilities()

    async def generate(self, planned: PlannedRequest, attempt: int) -> Render:
        """Make the picture and bring its bytes back; when cancelled, take it back from the worker within 5 s.

        Raises BackendUnavailable, JobLost, JobTimedOut, JobFailed, LaneUnsuited, JobRejected; WorkflowError for
        values that the contract does not take.
        """
        bound = await self._bind(planned, attempt)
        started = self._clock.now()
        try:
            entry = await self._run(bound)
            data = await self._fetch(bound, entry)
        except BackendError as exc:
            exc.job_id = exc.job_id or bound.job.prompt_id
            raise
        seconds = entry.seconds if entry.seconds is not None else self._clock.now() - started
        await self._forget(bound.job)
        return Render(data, planned.request.seed, self.name, bound.job.prompt_id, seconds, graph=bound.graph)

    async def close(self) -> None:
        """Let work be taken back that was cancelled a moment ago, then close the connections."""
        if self._taking_back:
            await asyncio.wait(self._taking_back)
        await self._client.close()

    async def _bind(self, planned: PlannedRequest, attempt: int) -> _Bound:
        """A fresh prompt_id and prefix each time: a prefix of its own makes even a cached result write a new file."""
        request = planned.request
        prompt_id = str(uuid4())
        workflow = self._workflows[request.workflow or ""]
        images = {role: await self._upload(sha256) for role, sha256 in request.references.items()}
        prefix = f"assetline/{request.key[:8]}-{attempt}-{prompt_id[:8]}"
        return _Bound(
            job=Job(self.name, prompt_id),
            graph=bind(workflow, request, prefix, images),
            output=workflow.contract.output,
            facts={"request_key": request.key, "label": planned.label, "attempt": attempt},
        )

    async def _upload(self, sha256: str) -> str:
        """The worker's name for a reference image, sent once. It is named by its content, so no other can be meant."""
        async with self._uploading:
            if sha256 not in self._uploads:
                data = await asyncio.to_thread(self._references, sha256)
                suffix = next((suffix for mark, suffix in _SUFFIXES.items() if data.startswith(mark)), ".png")
                self._uploads[sha256] = await self._client.upload(sha256[:32] + suffix, data)
            return self._uploads[sha256]

    async def _run(self, bound: _Bound) -> HistoryEntry:
        """Submit and follow. Whatever ends that early, the prompt is taken back where the worker may hold it.

        `number` is never sent: together with a prompt_id of ours it can end the worker's thread for good.
        """
        posting = asyncio.create_task(
            self._client.submit(
                {
                    "prompt": bound.graph,
                    "prompt_id": bound.job.prompt_id,
                    "client_id": self._client_id,
                    "extra_data": {"assetline": bound.facts},
                }
            )
        )
        try:
            await self._accept(bound, posting)
            return await self._follow(bound.job)
        except (asyncio.CancelledError, BackendError):
            await self._take_back(bound.job, posting)
            raise

    async def _accept(self, bound: _Bound, posting: asyncio.Task[dict[str, Any]]) -> None:
        """Wait for the answer to the one POST. A lost one is never replaced by a second POST: the worker is searched.

        A 200 may still say that a part of the graph will not run.
        """
        try:
            answer = await asyncio.shield(posting)
        except AnswerLost as exc:
            await self._search(bound.job, exc)
            return
        except Refused as exc:
            raise self._refusal(bound.job, exc) from exc
        if answer.get("node_errors"):
            raise refusal(bound.job, answer)
        if answer["prompt_id"] != bound.job.prompt_id:
            await self._client.delete_pending(str(answer["prompt_id"]))
            raise BackendUnavailable(
                f"{self.name} is too old: it does not keep our prompt_id. Update ComfyUI there to 0.3.64 or newer.",
                lane=self.name,
            )

    def _refusal(self, job: Job, refused: Refused) -> BackendError:
        """400 tells why, in JSON. 500 is the answer to a body that it cannot read, and so the same on every lane."""
        lost = [sha256 for sha256, name in self._uploads.items() if name in str(refused.answer)]
        if lost:
            for sha256 in lost:
                del self._uploads[sha256]
            return JobLost(
                f"{self.name} lost a reference image that it had; it is sent again next time.", lane=self.name
            )
        if refused.status == _WITH_REASON and isinstance(refused.answer.get("error"), dict):
            return refusal(job, refused.answer)
        if refused.status in _SAME_EVERYWHERE:
            return JobRejected(f"{self.name} does not take the workflow: {refused}. See its log.", lane=self.name)
        return self._client.closed("/prompt", refused)

    async def _search(self, job: Job, lost: AnswerLost) -> None:
        """Look for a prompt whose POST got no answer. Raises `lost`, or what hid the worker, if it is not found."""
        found: BackendUnavailable = lost
        for pause in self._settings.search_s:
            await self._clock.sleep(pause)
            try:
                if job.prompt_id in await self._client.queue() or await self._client.history(job.prompt_id):
                    log.info("found after a lost answer lane=%s prompt_id=%s", self.name, job.prompt_id)
                    return
            except BackendUnavailable as exc:
                found = exc
        raise found

    async def _follow(self, job: Job) -> HistoryEntry:
        watch = Watch(job, self._settings, self._clock.now())
        while (entry := await self._look(job, watch)) is None:
            await self._clock.sleep(watch.pause(self._clock.now()))
        return entry

    async def _look(self, job: Job, watch: Watch) -> HistoryEntry | None:
        """Queue first, then history; see `Watch` for why in this order."""
        try:
            queue = await self._client.queue() if watch.wants_queue() else None
            entry = await self._client.history(job.prompt_id)
        except BackendUnavailable as exc:
            watch.no_answer(exc, self._clock.now())
            return None
        if entry is None:
            watch.not_yet(queue, self._clock.now())
        return entry

    async def _fetch(self, bound: _Bound, entry: HistoryEntry) -> bytes:
        """The picture's bytes. Status before outputs: a failed prompt may have outputs of its other branches."""
        if not entry.succeeded:
            raise run_error(bound.job, entry.messages)
        file = await self._only_image(bound, entry)
        try:
            return await self._client.view(file)
        except AnswerLost:
            await self._clock.sleep(SHORT_PAUSE_S)
            return await self._client.view(file)

    async def _only_image(self, bound: _Bound, entry: HistoryEntry) -> ImageFile:
        """The one picture of the contract's output node; it may stand in history a moment after the status."""
        for _ in range(LOOKS_FOR_OUTPUTS):
            if entry.images:
                break
            await self._clock.sleep(SHORT_PAUSE_S)
            entry = await self._client.history(bound.job.prompt_id) or entry
        files = entry.images.get(bound.output, ())
        if len(files) == 1:
            return files[0]
        others = ", ".join(sorted(entry.images.keys() - {bound.output})) or "none"
        raise JobRejected(
            f"{self.name}: the workflow's output node {bound.output} gave {len(files)} pictures, not one "
            f"(other nodes with pictures: {others}). Set batch_size to 1, or name the right node in the contract.",
            lane=self.name,
        )

    async def _forget(self, job: Job) -> None:
        """Keep the worker's history small. A failed prompt stays in it, for whoever wants to see it there."""
        try:
            await self._client.forget(job.prompt_id)
        except BackendUnavailable as exc:
            log.debug("not forgotten lane=%s prompt_id=%s reason=%s", self.name, job.prompt_id, exc)

    async def _take_back(self, job: Job, posting: asyncio.Task[dict[str, Any]]) -> None:
        """Withdraw in a task of its own: a second cancel ends this wait alone, and `close` waits for the rest."""
        task = asyncio.create_task(self._withdraw(job, posting))
        self._taking_back.add(task)
        task.add_done_callback(self._taking_back.discard)
        await asyncio.wait({task})

    async def _withdraw(self, job: Job, posting: asyncio.Task[dict[str, Any]]) -> None:
        """Delete it if it waits, interrupt it if it runs, never touch another's; give up after `cancel_s`."""
        try:
            async with asyncio.timeout(self._settings.cancel_s):
                await asyncio.wait({posting})
                if _may_have_arrived(posting):
                    await self._remove(job)
        except (BackendUnavailable, TimeoutError) as exc:
            posting.cancel()
            log.warning("not taken back lane=%s prompt_id=%s reason=%s", self.name, job.prompt_id, exc)

    async def _remove(self, job: Job) -> None:
        await self._client.delete_pending(job.prompt_id)
        for _ in range(INTERRUPTS):
            if job.prompt_id not in (await self._client.queue()).running:
                await self._client.forget(job.prompt_id)  # it may have ended meanwhile
                return
            await self._client.interrupt(job.prompt_id)
            await self._clock.sleep(SHORT_PAUSE_S)


def _may_have_arrived(posting: asyncio.Task[dict[str, Any]]) -> bool:
    """Not where it was refused, nor where no connection came about."""
    error = posting.exception()
    return error is None or isinstance(error, AnswerLost)
