"""One websocket to a worker: a hint for speed. What it says ends a pause; what it does not say changes nothing.

Facts measured on ComfyUI 0.3.64: messages go to the client_id of the prompt alone and are not sent again after a
reconnect; of two sockets with one client_id the older one's end makes the newer deaf; the server sends no heartbeat.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from assetline.backends.comfyui.clock import rest

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0  # before the next connection; doubled each time
LONGEST_PAUSE_S = 60.0
STEADY_S = 60.0  # a connection that lived so long was a good one: the pauses start again
HEARTBEAT_S = 20.0
OPEN_S = 10.0
LONGEST_MESSAGE = 2**27  # bytes; some nodes send whole pictures this way
_ENDS = {"execution_success", "execution_error", "execution_interrupted"}


class Ear:
    """What was heard of one prompt. `moved_at` is None while nothing can be heard of it, by the clock of the lane."""

    def __init__(self) -> None:
        self.moved_at: float | None = None
        self._ended = asyncio.Event()

    def hear(self, kind: str, data: Mapping[str, Any], now: float) -> None:
        """Note a message about this prompt. The last one, `executing` without a node, comes after history has it."""
        self.moved_at = now
        if kind in _ENDS or (kind == "executing" and data.get("node") is None):
            self._ended.set()

    async def rest(self, pause: Awaitable[None]) -> bool:
        """Wait for `pause`, or until an end is heard; True in that case, once for each such message."""
        await rest(pause, self._ended)
        heard = self._ended.is_set()
        self._ended.clear()
        return heard


class Listener:
    """Listens to one worker from `start` to `close`, connecting again after growing pauses.

    `client_id` is the id to submit under now: that of the connection, or of the one to come. It is fresh for each,
    so that no older socket can make it deaf; what was submitted under an older one is not heard of any more.
    `told` gets the number of prompts on the worker whenever it changes, None once nothing is heard any more.
    """

    def __init__(
        self,
        address: str,
        headers: Mapping[str, str],
        now: Callable[[], float],
        told: Callable[[int | None], None] = lambda _count: None,
    ) -> None:
        self.client_id = uuid4().hex
        self._address = address
        self._headers = headers
        self._now = now
        self._told = told
        self._ears: dict[str, Ear] = {}
        self._listening: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen; more than once is harmless."""
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())

    async def close(self) -> None:
        """End the connection."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait({self._listening})
            self._listening = None

    def open_ear(self, prompt_id: str) -> Ear:
        """An ear for a prompt, to be opened before it is submitted."""
        return self._ears.setdefault(prompt_id, Ear())

    def close_ear(self, prompt_id: str) -> None:
        """Nobody waits for this prompt any more."""
        self._ears.pop(prompt_id, None)

    async def _listen(self) -> None:
        clock, pause_s = asyncio.get_running_loop().time, FIRST_PAUSE_S
        while True:
            began = clock()
            try:
                async with self._connection() as socket:
                    log.debug("listening address=%s client_id=%s", self._address, self.client_id)
                    await self._drain(socket)
            except (OSError, EOFError, TimeoutError, WebSocketException) as exc:
                log.debug("not listening address=%s reason=%s", self._address, exc)
            self._go_deaf()
            if clock() - began >= STEADY_S:
                pause_s = FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _connection(self) -> connect:
        """With a heartbeat of ours. No compression: previews are JPEG already."""
        return connect(
            f"{self._address}?clientId={self.client_id}",
            additional_headers=self._headers,
            compression=None,
            open_timeout=OPEN_S,
            ping_interval=HEARTBEAT_S,
            ping_timeout=HEARTBEAT_S,
            close_timeout=1,
            max_size=LONGEST_MESSAGE,
        )

    def _go_deaf(self) -> None:
        self.client_id = uuid4().hex
        self._told(None)
        for ear in self._ears.values():
            ear.moved_at = None

    async def _drain(self, socket: ClientConnection) -> None:
        """Read all that comes: the server sends to one socket after the other, so a full one holds up everybody's."""
        async for message in socket:
            if isinstance(message, str):  # the others are previews
                self._hear(message)

    def _hear(self, message: str) -> None:
        try:
            event = json.loads(message)
            kind, data = event["type"], event["data"]
            if kind == "status":
                self._told(int(data["status"]["exec_info"]["queue_remaining"]))
            ear = self._ears.get(data.get("prompt_id", ""))
        except (ValueError, LookupError, TypeError, AttributeError):  # a custom node may send anything
            return
        if ear:
            ear.hear(kind, data, self._now())
