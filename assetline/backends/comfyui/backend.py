"""The ComfyUI lane: what `dispatch` sees of one worker. The work is in binder, prompts, pictures and adoption."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import httpx

from assetline.backends import State
from assetline.backends.comfyui import adoption, pictures
from assetline.backends.comfyui.answers import HistoryEntry
from assetline.backends.comfyui.binder import Binder, Bound
from assetline.backends.comfyui.client import ComfyUIClient
from assetline.backends.comfyui.clock import Clock
from assetline.backends.comfyui.errors import run_error
from assetline.backends.comfyui.prompts import Prompts
from assetline.backends.comfyui.watch import ComfyUISettings
from assetline.errors import BackendError, BackendUnavailable, JobLost, JobRejected, JobTimedOut
from assetline.records import PlannedRequest, Render
from assetline.workflow import Workflow

log = logging.getLogger(__name__)

REAL_TIME = Clock()
DEFAULT_SETTINGS = ComfyUISettings()
KEPT_IN_HISTORY = 16  # of ours, fetched: while their pictures are checked and stored, a killed run finds them there


@dataclass
class _Way:
    """How far a request is: when it `began`, its prompt, its entry in history."""

    began: float
    bound: Bound | None = None
    entry: HistoryEntry | None = None


class ComfyUIBackend:
    """One ComfyUI worker. `references` gives the bytes of a reference image by its sha256, `campaign` goes with
    each prompt.

    `name` is the URL without a trailing slash and without credentials. Raises OptionError for what is no URL.
    """

    def __init__(
        self,
        url: str,
        workflows: Mapping[str, Workflow],
        *,
        references: Callable[[str], bytes],
        settings: ComfyUISettings = DEFAULT_SETTINGS,
        campaign: str = "",
        client: httpx.AsyncClient | None = None,
        clock: Clock = REAL_TIME,
    ) -> None:
        timeout = httpx.Timeout(settings.read_s, connect=settings.connect_s)
        self._client = ComfyUIClient(url, timeout, client)
        self.name = self._client.url
        self._settings = settings
        self._clock = clock
        self._campaign = campaign
        self._maker = adoption.new_maker()
        self._binder = Binder(self._client, workflows, references, {"campaign": campaign, "maker": self._maker})
        self._prompts = Prompts(self._client, settings, clock)
        self._adopted: dict[str, Bound] = {}
        self._fetched: list[str] = []

    def suits(self, planned: PlannedRequest) -> bool:
        """Whether the request names a workflow that is known here, in the very version that was planned."""
        return self._binder.suits(planned)

    async def probe(self) -> None:
        """Ask for /system_stats and /queue. Raises BackendUnavailable, also while a prompt there cannot be stopped."""
        await self._client.system_stats()
        queue = await self._client.queue()
        self._prompts.stuck.intersection_update(queue.running)
        if self._prompts.stuck:
            raise BackendUnavailable(
                f"{self.name} still runs a picture that was interrupted; it may hang. Restart ComfyUI there.",
                lane=self.name,
            )

    async def generate(self, planned: PlannedRequest, attempt: int) -> Render:
        """Make the picture and bring its bytes back; when cancelled, take it back from the worker within 5 s.

        What was adopted, or given up here earlier, is followed instead where it is still there. While others have
        prompts there, it waits until none of ours is (`Room`).

        Raises BackendUnavailable, JobLost, JobTimedOut, JobFailed, LaneUnsuited, JobRejected; WorkflowError for
        values that the contract does not take.
        """
        self._listen()
        way = _Way(self._clock.now())
        try:
            async with asyncio.timeout(self._settings.request_s) as limit:
                return await self._bring(planned, attempt, way)
        except TimeoutError:
            if not limit.expired():
                raise
            raise self._too_late(way) from None
        except (BackendUnavailable, JobLost):
            self._binder.forget_classes()  # it may have been updated and started again
            raise

    async def warm(self, planned: PlannedRequest) -> float:
        """Let the worker load what `planned` needs: its own graph at the smallest size and one step, thrown away.

        Seconds from the question to the end, what waited there before it included. The prompt has an id of its own
        and is not the request's attempt; its history is deleted, its small file (`assetline/warm-...`) stays on the
        worker, which has no route to delete it. Cancelling takes it back. Raises what `generate` raises.
        """
        self._listen()
        began = self._clock.now()
        bound = await self._binder.bind_warm_up(planned)
        entry = await self._make(bound)
        if not entry.succeeded:
            raise run_error(bound.job, entry.messages)
        await self._forget([bound.job.prompt_id])
        return self._clock.now() - began

    async def foreign(self) -> int:
        """How many prompts of other clients wait or run there now. Raises BackendUnavailable."""
        return self._prompts.room.see(await self._client.queue())

    async def adopt(self, wanted: Sequence[PlannedRequest]) -> dict[str, State]:
        """Take over what a run that is no more has left here of `wanted`: how far each is, by request key.

        What else it left waiting for this campaign is deleted; nothing of another campaign or client is touched.
        Raises BackendUnavailable.
        """
        remnants = await self._client.remnants()
        best = adoption.best_by_request(remnants)
        found = {}
        for planned in wanted:
            remnant = best.get(planned.request.key)
            if remnant and self.suits(planned) and (bound := self._binder.rebind(planned, remnant)):
                self._adopted[planned.request.key] = bound
                self._prompts.room.keep(bound.job.prompt_id)
                found[planned.request.key] = remnant
        for orphan in adoption.orphans(remnants, self._campaign, found.values()):
            log.info("deleted, wanted no more lane=%s prompt_id=%s", self.name, orphan.prompt_id)
            await self._client.delete_pending(orphan.prompt_id)
        return {key: remnant.state for key, remnant in found.items()}

    async def disown(self, request_key: str) -> None:
        """Take back what was adopted: another lane is further with it."""
        if bound := self._adopted.pop(request_key, None):
            await self._prompts.take_back(bound)

    async def close(self) -> None:
        """Take back what was cancelled a moment ago or never came to its turn, then close the connections."""
        await self._prompts.settle()
        left = [*self._adopted.values(), *self._prompts.given_up.values()]
        await asyncio.gather(self._forget(self._fetched), *(self._prompts.take_back(bound) for bound in left))
        await self._prompts.listener.close()
        adoption.retire(self._maker)
        await self._client.close()

    def _listen(self) -> None:
        if self._settings.listen:
            self._prompts.listener.start()

    async def _bring(self, planned: PlannedRequest, attempt: int, way: _Way) -> Render:
        """All that `generate` does; `way` tells how far it is."""
        way.bound = bound = await self._waiting_there(planned.request.key)
        if bound:
            way.entry = await self._prompts.follow(bound)
        else:
            way.bound = bound = await self._binder.bind(planned, attempt)
            way.entry = await self._make(bound)
        data = await self._fetch(bound, way.entry)
        seconds = way.entry.seconds if way.entry.seconds is not None else self._clock.now() - way.began
        return Render(
            data,
            planned.request.seed,
            self.name,
            bound.job.prompt_id,
            seconds,
            graph=bound.graph,
            notes=bound.notes,
        )

    def _too_late(self, way: _Way) -> BackendError:
        """The error for a request that took `request_s`; it is taken back by now. A picture that is made is kept."""
        prompt_id = way.bound.job.prompt_id if way.bound else ""
        words = f"{self.name} did not bring the picture within {self._settings.request_s:g} s, all in all"
        if prompt_id in self._prompts.stuck:
            return BackendUnavailable(
                f"{words}, and goes on with it though it was interrupted. Restart ComfyUI there.",
                lane=self.name,
                job_id=prompt_id,
            )
        if way.bound and way.bound in self._prompts.given_up.values():
            return BackendUnavailable(f"{words}, and does not answer now.", lane=self.name, job_id=prompt_id)
        if way.bound and way.entry:
            self._prompts.given_up[way.bound.request_key] = way.bound
        return JobTimedOut(f"{words}; it was taken back there.", lane=self.name, job_id=prompt_id)

    async def _waiting_there(self, request_key: str) -> Bound | None:
        """The prompt that already makes this request here, if it still does. Raises BackendUnavailable."""
        known = self._adopted.get(request_key) or self._prompts.given_up.get(request_key)
        await self._prompts.tidy(known.job.prompt_id if known else "")
        if known is None:
            return None
        is_there = await self._prompts.is_there(known.job)
        self._adopted.pop(request_key, None)
        self._prompts.given_up.pop(request_key, None)
        return known if is_there else None

    async def _make(self, bound: Bound) -> HistoryEntry:
        try:
            return await self._prompts.make(bound)
        except JobRejected as exc:
            if not self._binder.forget_uploads(exc.detail):
                raise
            raise JobLost(
                f"{self.name} lost a reference image that it had; it is sent again next time.",
                lane=self.name,
                job_id=bound.job.prompt_id,
            ) from exc

    async def _fetch(self, bound: Bound, entry: HistoryEntry) -> bytes:
        """The picture's bytes. Every error says which prompt it is about; a picture that is made is not given up."""
        try:
            data = await pictures.fetch(self._client, bound, entry, self._clock.sleep)
        except BackendError as exc:
            exc.job_id = exc.job_id or bound.job.prompt_id
            if isinstance(exc, BackendUnavailable):
                self._prompts.given_up[bound.request_key] = bound
            raise
        self._fetched.append(bound.job.prompt_id)
        if len(self._fetched) >= 2 * KEPT_IN_HISTORY:
            old, self._fetched = self._fetched[:KEPT_IN_HISTORY], self._fetched[KEPT_IN_HISTORY:]
            await self._forget(old)
        return data

    async def _forget(self, prompt_ids: Sequence[str]) -> None:
        """Keep the worker's history small. A failed prompt stays in it, for whoever wants to see it there."""
        try:
            async with asyncio.timeout(self._settings.cancel_s):
                if prompt_ids:
                    await self._client.forget(prompt_ids)
        except (BackendUnavailable, TimeoutError) as exc:
            log.debug("not forgotten lane=%s count=%d reason=%s", self.name, len(prompt_ids), exc)
