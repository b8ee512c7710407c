"""Our prompts on one worker: handed in once, followed to their end, taken back when nobody waits for them any more.

Polling is the truth; what the listener hears only ends a pause. Facts measured on ComfyUI 0.3.64.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from assetline.backends.comfyui.answers import HistoryEntry
from assetline.backends.comfyui.binder import Bound
from assetline.backends.comfyui.client import AnswerLost, ComfyUIClient, Refused
from assetline.backends.comfyui.clock import Clock
from assetline.backends.comfyui.errors import Job, refusal
from assetline.backends.comfyui.listener import Ear, Listener
from assetline.backends.comfyui.room import Room
from assetline.backends.comfyui.watch import ComfyUISettings, Watch
from assetline.errors import BackendError, BackendUnavailable, JobRejected, JobTimedOut

log = logging.getLogger(__name__)

INTERRUPT_PAUSES_S = (0.2, 0.4, 0.8)  # a prompt that starts just now resets the flag; a second one is after that
_WITH_REASON = 400
_SAME_EVERYWHERE = {_WITH_REASON, 413, 500}  # the body's fault; 401, 403, 404 and the like are this address's

Posting = asyncio.Task[dict[str, Any]]


class Prompts:
    """Prompts from their POST to their entry in history.

    `room`: who else has prompts there. `given_up`, by request key: prompts that could not be taken back and may still
    be made. `stuck`: the prompt_ids that go on running though they were interrupted.
    """

    def __init__(self, client: ComfyUIClient, settings: ComfyUISettings, clock: Clock) -> None:
        self.room = Room(client.queue, settings, clock)
        self.listener = Listener(client.socket_address, client.socket_headers, clock.now, self.room.hear)
        self.given_up: dict[str, Bound] = {}
        self.stuck: set[str] = set()
        self._client = client
        self._settings = settings
        self._clock = clock
        self._taking_back: set[asyncio.Task[None]] = set()
        self._untidy: set[str] = set()

    async def make(self, bound: Bound) -> HistoryEntry:
        """Submit when there is room, and follow. Whatever ends that early, the prompt is taken back where the worker
        may hold it.

        `number` is never sent: together with a prompt_id of ours it can end the worker's thread for good.
        """
        asked = self._clock.now()
        await self.room.enter(bound.job)
        ear = self.listener.open_ear(bound.job.prompt_id)
        body = {
            "prompt": bound.graph,
            "prompt_id": bound.job.prompt_id,
            "client_id": self.listener.client_id,  # without one, all that is open there hears of our progress
            "extra_data": {"assetline": bound.facts},
        }
        posting = asyncio.create_task(self._client.submit(body))
        watch = Watch(bound.job, self._settings, self._clock.now(), asked)
        return await self._or_take_back(bound, posting, self._submitted(bound, posting, ear, watch))

    async def follow(self, bound: Bound) -> HistoryEntry:
        """Follow a prompt that the worker has already; taken back like one that was submitted here."""
        self.room.follow(bound.job.prompt_id)
        watch = Watch(bound.job, self._settings, self._clock.now())
        return await self._or_take_back(bound, None, self._follow(bound.job, Ear(), watch))

    async def is_there(self, job: Job) -> bool:
        """Whether the worker has it, waiting, running, or with a picture. Raises BackendUnavailable."""
        if job.prompt_id in await self._client.queue():
            return True
        entry = await self._client.history(job.prompt_id)
        return entry is not None and entry.succeeded

    async def tidy(self, wanted: str) -> None:
        """Once after an outage: take out of the queue what was given up, but for the prompt_id `wanted`.

        What runs already is left: it may come to be wanted here again.
        """
        for prompt_id in self._untidy - {wanted}:
            await self._client.delete_pending(prompt_id)
            self._untidy.discard(prompt_id)

    async def take_back(self, bound: Bound, posting: Posting | None = None) -> None:
        """Withdraw in a task of its own: a second cancel ends this wait alone, and `settle` waits for the rest."""
        task = asyncio.create_task(self._withdraw(bound, posting))
        self._taking_back.add(task)
        task.add_done_callback(self._taking_back.discard)
        await asyncio.wait({task})

    async def settle(self) -> None:
        """Wait until all that was to be taken back is."""
        if self._taking_back:
            await asyncio.wait(self._taking_back)

    async def _or_take_back(
        self, bound: Bound, posting: Posting | None, work: Coroutine[None, None, HistoryEntry]
    ) -> HistoryEntry:
        """Do the work. Raises BackendUnavailable for a prompt that is too late and does not let itself be stopped."""
        prompt_id = bound.job.prompt_id
        try:
            return await work
        except (asyncio.CancelledError, BackendError) as exc:
            await self.take_back(bound, posting)
            if isinstance(exc, BackendError):
                exc.job_id = exc.job_id or prompt_id
            if isinstance(exc, JobTimedOut) and prompt_id in self.stuck:
                raise BackendUnavailable(
                    f"{exc} It goes on running though it was interrupted. Restart ComfyUI there.",
                    lane=exc.lane,
                    job_id=prompt_id,
                ) from exc
            raise
        finally:
            self.listener.close_ear(prompt_id)
            self.room.leave(prompt_id)

    async def _submitted(self, bound: Bound, posting: Posting, ear: Ear, watch: Watch) -> HistoryEntry:
        tellings = self.room.tellings
        await self._accept(bound, posting)
        self.room.accept(bound.job.prompt_id, tellings)
        return await self._follow(bound.job, ear, watch)

    async def _accept(self, bound: Bound, posting: Posting) -> None:
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
                f"{bound.job.lane} is too old to keep our prompt_id. Update ComfyUI there to 0.3.64 or newer.",
                lane=bound.job.lane,
            )

    def _refusal(self, job: Job, refused: Refused) -> BackendError:
        """400 tells why, in JSON. 500 is the answer to a body that it cannot read, and so the same on every lane."""
        if refused.status == _WITH_REASON and isinstance(refused.answer.get("error"), dict):
            return refusal(job, refused.answer)
        if refused.status in _SAME_EVERYWHERE:
            return JobRejected(f"{job.lane} does not take the workflow: {refused}. See its log.", lane=job.lane)
        return self._client.closed("/prompt", refused)

    async def _search(self, job: Job, lost: AnswerLost) -> None:
        """Look for a prompt whose POST got no answer. Raises `lost`, or what hid the worker, if it is not found."""
        found: BackendUnavailable = lost
        began = self._clock.now()
        for pause in self._settings.search_s:
            await self._clock.sleep(pause)
            try:
                if job.prompt_id in await self._client.queue() or await self._client.history(job.prompt_id):
                    log.info("found after a lost answer lane=%s prompt_id=%s", job.lane, job.prompt_id)
                    return
            except BackendUnavailable as exc:
                found = exc
                if self._clock.now() - began >= self._settings.read_s:
                    break  # it takes connections and answers none of them
        raise found

    async def _follow(self, job: Job, ear: Ear, watch: Watch) -> HistoryEntry:
        while (entry := await self._look(job, watch, ear)) is None:
            if await ear.rest(self._clock.sleep(watch.pause(self._clock.now()))):
                watch.hear_end(self._clock.now())
        return entry

    async def _look(self, job: Job, watch: Watch, ear: Ear) -> HistoryEntry | None:
        """Queue first, then history; see `Watch` for why in this order."""
        began = self._clock.now()
        try:
            queue = await self._client.queue() if watch.wants_queue() else None
            entry = await self._client.history(job.prompt_id)
        except BackendUnavailable as exc:
            watch.no_answer(exc, began, self._clock.now())
            return None
        if entry is None:
            if queue is not None:
                self.room.see(queue)
            watch.not_yet(queue, self._clock.now(), ear.moved_at)
        return entry

    async def _withdraw(self, bound: Bound, posting: Posting | None) -> None:
        """Delete it if it waits, interrupt it if it runs, never touch another's; give up after `cancel_s`."""
        job = bound.job
        try:
            async with asyncio.timeout(self._settings.cancel_s):
                if posting:
                    await asyncio.wait({posting})
                if (posting is None or _may_have_arrived(posting)) and not await self._remove(job):
                    self.stuck.add(job.prompt_id)
                    self.room.keep(job.prompt_id)
        except (BackendUnavailable, TimeoutError) as exc:
            if posting:
                posting.cancel()
            self.given_up[bound.request_key] = bound
            self._untidy.add(job.prompt_id)
            self.room.keep(job.prompt_id)
            log.warning("not taken back lane=%s prompt_id=%s reason=%s", job.lane, job.prompt_id, exc)

    async def _remove(self, job: Job) -> bool:
        """Whether it is gone. What has just ended stays in history: a run that goes on later may take it from there."""
        await self._client.delete_pending(job.prompt_id)
        for pause_s in INTERRUPT_PAUSES_S:
            if job.prompt_id not in (await self._client.queue()).running:
                return True
            await self._client.interrupt(job.prompt_id)
            await self._clock.sleep(pause_s)
        return job.prompt_id not in (await self._client.queue()).running


def _may_have_arrived(posting: Posting) -> bool:
    """Not where it was refused, nor where no connection came about."""
    error = posting.exception()
    return error is None or isinstance(error, AnswerLost)
