"""The fake ComfyUI's websockets: who gets what, in which order, and how they go wrong. As read and measured on 0.3.64."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from aiohttp import ClientError, WSMsgType, web

PREVIEW = struct.pack(">II", 1, 1) + b"\xff\xd8\xff" + bytes(1000)  # event 1, JPEG; a real one has about 38 kB
FEATURES = {"supports_preview_metadata": True, "max_upload_size": 104857600}

Send = Callable[[str, Any, str | None], None]


class Sockets:
    """The sockets by clientId, and the one loop that sends to them one after the other.

    `mute` keeps everything back from now on, as a server does whose loop another client holds up.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, status: Callable[[], Any], now: Callable[[], Any]) -> None:
        self.open: dict[str, web.WebSocketResponse] = {}
        self.mute = False
        self._loop = loop
        self._status = status
        self._now = now  # the client_id that is served now, and the node that runs
        self._messages: asyncio.Queue[tuple[str, Any, str | None]] = asyncio.Queue()
        self._all: set[web.WebSocketResponse] = set()

    def send(self, event: str, data: Any, sid: str | None = None) -> None:
        """Put a message into the loop: to one clientId, or to all. From any thread."""
        if self.open:
            self._loop.call_soon_threadsafe(self._messages.put_nowait, (event, data, sid))

    def drop(self) -> None:
        """Cut every connection, as a killed server or a proxy does."""
        for socket in list(self._all):
            if socket._req and socket._req.transport:
                self._loop.call_soon_threadsafe(socket._req.transport.abort)

    def take_over(self) -> None:
        """What is left when a second socket took a clientId and then closed: the open ones get nothing any more."""
        self._loop.call_soon_threadsafe(self.open.clear)

    async def publish(self) -> None:
        """The server's loop. A socket that does not read holds up all others."""
        while True:
            event, data, sid = await self._messages.get()
            for socket in [*self.open.values()] if sid is None else [self.open.get(sid)]:
                await self._one(socket, event, data)

    async def _one(self, socket: web.WebSocketResponse | None, event: str, data: Any) -> None:
        if socket is None or self.mute:
            return
        try:
            if isinstance(data, bytes):
                await socket.send_bytes(data)
            else:
                await socket.send_str(json.dumps({"type": event, "data": data}))
        except (ClientError, ConnectionError):
            return

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """GET /ws. The end of any socket takes its clientId out, though a newer one may have it by then."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        sid = request.query.get("clientId", "") or uuid4().hex
        self.open[sid] = socket
        self._all.add(socket)
        try:
            await self._one(socket, "status", {"status": self._status(), "sid": sid})
            client_id, node = self._now()
            if client_id == sid and node is not None:
                await self._one(socket, "executing", {"node": node})
            await self._read(socket)
        finally:
            self.open.pop(sid, None)
            self._all.discard(socket)
        return socket

    async def _read(self, socket: web.WebSocketResponse) -> None:
        first = True
        async for message in socket:
            if message.type == WSMsgType.TEXT and first and json.loads(message.data).get("type") == "feature_flags":
                await self._one(socket, "feature_flags", FEATURES)
            first = False


class Teller:
    """What is told of one prompt while it runs: `say` sends to its client_id, or where it has none, in part to all."""

    def __init__(self, send: Send, prompt_id: str, client_id: str | None) -> None:
        self.client_id = client_id
        self.node: str | None = None
        self._send = send
        self._prompt_id = prompt_id
        self._nodes: dict[str, dict[str, Any]] = {}

    def message(self, event: str, facts: dict[str, Any], *, to_all: bool = False) -> None:
        """A message that also stands in history."""
        if self.client_id is not None or to_all:
            self._send(event, facts, self.client_id)

    def start(self, node: str) -> None:
        """A node begins."""
        self._progress(node, 0.0, 1.0, "running")
        self._to_owner("executing", {"node": node, "display_node": node})
        self.node = node

    def step(self, node: str, value: int, most: int) -> None:
        """A sampler has made a step; with a preview, as under --preview-method."""
        self._progress(node, value, most, "running")
        self._send(
            "progress", {"value": value, "max": most, "prompt_id": self._prompt_id, "node": node}, self.client_id
        )
        self._send("", PREVIEW, self.client_id)

    def end(self, node: str, files: list[dict[str, str]] | None = None) -> None:
        """A node has ended; those that save tell what."""
        if files is not None:
            self.saved(node, files)
        self._progress(node, 1.0, 1.0, "finished")

    def saved(self, node: str, files: list[dict[str, str]]) -> None:
        """The files of an output node, told again where it was cached."""
        self._to_owner("executed", {"node": node, "display_node": node, "output": {"images": files}})

    def over(self) -> None:
        """After history has it."""
        self.node = None
        self._to_owner("executing", {"node": None})

    def _to_owner(self, event: str, facts: dict[str, Any]) -> None:
        if self.client_id is not None:
            self._send(event, {**facts, "prompt_id": self._prompt_id}, self.client_id)

    def _progress(self, node: str, value: float, most: float, state: str) -> None:
        names = {"node_id": node, "display_node_id": node, "parent_node_id": None, "real_node_id": node}
        self._nodes[node] = {"value": value, "max": most, "state": state, "prompt_id": self._prompt_id, **names}
        facts = {"prompt_id": self._prompt_id, "nodes": {name: dict(item) for name, item in self._nodes.items()}}
        self._send("progress_state", facts, self.client_id)
