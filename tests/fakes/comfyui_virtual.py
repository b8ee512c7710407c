"""A ComfyUI without a network: the same engine behind httpx's own seam, each picture taking its time on the event
loop's clock. With a virtual loop, hours of a shared worker pass in milliseconds, the same way each time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from fakes.comfyui_engine import Engine
from fakes.comfyui_lane import lane

from assetline.backends.comfyui import Clock, ComfyUIBackend


def now() -> float:
    return asyncio.get_running_loop().time()


class VirtualWorker:
    """One worker whose pictures take `seconds_per_image`. `asked` lists the routes. With `hangs` no picture ends;
    one that `is_silent` answers nothing.
    """

    def __init__(self, folder: Path, seconds_per_image: float = 4) -> None:
        for name in ("input", "output", "temp"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.engine = Engine(folder)
        self.asked: list[str] = []
        self.slow_downloads_s = 0.0
        self.hangs = False
        self.is_silent = False
        self._seconds = seconds_per_image
        self._routes: dict[str, Callable[[httpx.Request], Any]] = {
            "POST /prompt": self._submit,
            "GET /queue": lambda _: {
                "queue_running": [self.engine.running] if self.engine.running else [],
                "queue_pending": self.engine.pending,
            },
            "POST /queue": lambda request: self.engine.delete_pending(json.loads(request.content)["delete"]),
            "POST /interrupt": self._interrupt,
            "GET /history": self._history,
            "POST /history": self._forget,
            "GET /view": self._view,
        }

    def lane(self, url: str = "http://gpu1:8188", **options: Any) -> ComfyUIBackend:
        """A lane for this worker, on the loop's clock. Two lanes of one worker are two clients of it."""
        http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        return lane(url, client=http, clock=Clock(now, asyncio.sleep), **options)

    def submit(self, prompt_id: str) -> None:
        """Somebody else's prompt."""
        graph = {
            "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 255}},
            "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": prompt_id}},
        }
        self._take({"prompt": graph, "prompt_id": prompt_id})

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        route = f"{request.method} /{request.url.path.split('/')[1]}"
        self.asked.append(route)
        if self.is_silent:
            await asyncio.Event().wait()
        if route == "GET /view":
            await asyncio.sleep(self.slow_downloads_s)
        answer = self._routes[route](request)
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)

    def _submit(self, request: httpx.Request) -> httpx.Response:
        status, answer = self._take(json.loads(request.content))
        return httpx.Response(status, json=answer)

    def _take(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        taken = self.engine.submit(body)
        self._run()
        return taken

    def _run(self) -> None:
        if self.engine.advance() and not self.hangs:
            asyncio.get_running_loop().call_later(self._seconds, self._end, self.engine.running)

    def _end(self, item: Any) -> None:
        if self.engine.running is item:
            self.engine.finish()
            self._run()

    def _interrupt(self, request: httpx.Request) -> None:
        self.engine.interrupt(json.loads(request.content)["prompt_id"])
        self._run()

    def _history(self, request: httpx.Request) -> dict[str, Any]:
        prompt_id = request.url.path.rpartition("/")[2]
        known = self.engine.history.get(prompt_id)
        return {prompt_id: known} if known else {}

    def _forget(self, request: httpx.Request) -> None:
        for prompt_id in json.loads(request.content)["delete"]:
            self.engine.history.pop(prompt_id, None)

    def _view(self, request: httpx.Request) -> httpx.Response:
        facts = request.url.params
        return httpx.Response(
            200, content=(self.engine.folder / facts["type"] / facts["subfolder"] / facts["filename"]).read_bytes()
        )
