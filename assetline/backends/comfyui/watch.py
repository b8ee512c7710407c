"""What the looks at one prompt add up to: on its way, lost, stuck or too late. Pure: queue and time are passed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from assetline.errors import BackendError, BackendUnavailable, JobLost, JobStalled, JobTimedOut
from assetline.records import Record

if TYPE_CHECKING:
    from assetline.backends.comfyui.answers import Queue
    from assetline.backends.comfyui.errors import Job

PAUSE_SHARE = 0.1  # of the time gone by: a look costs 1 ms there, and a picture is seen at most 10 % late
ABSENT_TWICE = 2  # once may be a prompt that ended, and was read, between two looks


class ComfyUISettings(Record):
    """Time limits of a ComfyUI lane, in seconds.

    `read_s` is above the 10 s for which a checkpoint load or a large JSON can hold the server's interpreter
    (measured on 0.3.64). `search_s`: the pauses between looks for a prompt whose POST got no answer. `listen`:
    whether to open a websocket, which makes it only faster, and `stall_s` possible.

    What ends the wait for a picture, each in its own way: `idle_s` without its turn, while the worker runs nothing
    at all (the worker counts as down); `start_s` without its turn, behind others' work or in a queue that does not
    move (it is taken out of the queue, another lane may help); `stall_s` without a step or another node, where the
    websocket told of them before (it is interrupted, the worker is suspect); `run_s` from its turn to its end, the
    load of a checkpoint included (it is interrupted); `request_s` for all of it, from the reference images to the
    download. What does not let itself be interrupted makes the worker count as down.
    """

    connect_s: float = Field(default=5, gt=0)
    read_s: float = Field(default=30, gt=0)
    first_pause_s: float = Field(default=0.05, gt=0)
    longest_pause_s: float = Field(default=1, gt=0)
    queue_every: int = Field(default=4, ge=1)
    silent_s: float = Field(default=10, ge=0)
    idle_s: float = Field(default=20, gt=0)
    start_s: float = Field(default=3600, gt=0)
    stall_s: float = Field(default=600, gt=0)
    run_s: float = Field(default=1800, gt=0)
    request_s: float = Field(default=7200, gt=0)
    cancel_s: float = Field(default=5, gt=0)
    search_s: tuple[float, ...] = (0.2, 1, 3, 6)
    listen: bool = True


class Watch:
    """The looks at one prompt, until it is in history or there is no more hope.

    A look reads the queue (now and then) and then history. ComfyUI moves a prompt from running to history
    under one lock, so this order has no gap: absent from both twice means lost (execution.py, `task_done`).
    """

    def __init__(self, job: Job, settings: ComfyUISettings, now: float, asked: float | None = None) -> None:
        self._job = job
        self._settings = settings
        self._asked = now if asked is None else asked
        self._pace_from = now
        self._turn = now
        self._waits = False
        self._before = 0
        self._front: tuple[str, ...] | None = None
        self._has_moved = False
        self._idle_since: float | None = None
        self._silent_since: float | None = None
        self._looks = 0
        self._absent = 0

    def wants_queue(self) -> bool:
        """Whether the next look reads the queue first: every few looks, and at once after an absence."""
        return self._absent > 0 or self._looks % self._settings.queue_every == self._settings.queue_every - 1

    def pause(self, now: float) -> float:
        """Seconds until the next look: a tenth of the time gone by, within the settings' bounds."""
        share = (now - self._pace_from) * PAUSE_SHARE
        return min(max(share, self._settings.first_pause_s), self._settings.longest_pause_s)

    def hear_end(self, now: float) -> None:
        """It is said to have ended: history has it now or in a moment, so the pauses are short once more."""
        self._pace_from = now

    def not_yet(self, queue: Queue | None, now: float, moved_at: float | None = None) -> None:
        """History does not have it. `moved_at`: when a step or node of it was last heard of, where that can be heard.

        Raises JobLost, JobTimedOut, BackendUnavailable (the worker runs nothing).
        """
        self._looks += 1
        self._silent_since = None
        if queue is not None:
            self._place(queue, now)
        if moved_at is not None:
            self._waits = False
            self._stall(moved_at, now)
        self._limit(now)

    def no_answer(self, exc: BackendUnavailable, asked_at: float, now: float) -> None:
        """The worker gave no answer. Raises `exc` once it has been silent for `silent_s`, a limit being over before."""
        if self._silent_since is None:
            self._silent_since = asked_at
        if now - self._silent_since >= self._settings.silent_s:
            raise exc
        self._limit(now)

    def _place(self, queue: Queue, now: float) -> None:
        if self._job.prompt_id not in queue:
            self._count_absence()
            return
        self._absent = 0
        self._waits = self._job.prompt_id not in queue.running
        if not self._waits:
            self._idle_since = None
            return
        self._turn = now
        self._stand(queue)
        if queue.running:
            self._idle_since = None
        else:
            self._count_idleness(now)

    def _stand(self, queue: Queue) -> None:
        """It waits: how many are before it, and whether what runs there has ever changed meanwhile."""
        self._before = queue.before(self._job.prompt_id)
        self._has_moved = self._has_moved or self._front not in {None, queue.running}
        self._front = queue.running

    def _count_absence(self) -> None:
        self._absent += 1
        if self._absent >= ABSENT_TWICE:
            raise self._error(
                JobLost,
                "accepted the picture and no longer knows it: it was restarted, or its queue was cleared. "
                "It can be made again.",
            )

    def _count_idleness(self, now: float) -> None:
        """The thread that runs prompts can end while the server goes on accepting them (seen on 0.3.64)."""
        if self._idle_since is None:
            self._idle_since = now
        if now - self._idle_since >= self._settings.idle_s:
            raise self._error(
                BackendUnavailable,
                f"accepts pictures but has run nothing for {self._settings.idle_s:g} s. Restart ComfyUI there.",
            )

    def _stall(self, moved_at: float, now: float) -> None:
        if now - moved_at >= self._settings.stall_s:
            raise self._error(
                JobStalled,
                f"has not moved on with the picture for {self._settings.stall_s:g} s; it was interrupted there. "
                "Look at its log: it may hang.",
            )

    def _limit(self, now: float) -> None:
        if self._waits and now - self._asked >= self._settings.start_s:
            raise self._error(JobTimedOut, not_begun(self._settings.start_s, self._before, moves=self._has_moved))
        if now - self._turn >= self._settings.run_s:
            raise self._error(
                JobTimedOut, f"did not finish the picture within {self._settings.run_s:g} s; it was taken back there."
            )

    def _error(self, kind: type[BackendError], words: str) -> BackendError:
        return kind(f"{self._job.lane} {words}", lane=self._job.lane, job_id=self._job.prompt_id)


def not_begun(start_s: float, before: int, *, moves: bool) -> str:
    """The words for a picture that never came to its turn. `before`: how many prompts are before it."""
    why = f"there are still {before} others before it" if moves else "its queue does not move"
    return (
        f"did not begin the picture within {start_s:g} s: {why}. It was taken back. "
        "Give it to another worker, or wait until that one is free."
    )
