"""A ComfyUI that answers like the real 0.3.64, on a loopback port, in a thread; with faults that a test asks for.

`with FakeComfyUI() as worker:` gives `worker.url`. As a process: `python -m fakes.fake_comfyui --port 8188
--seconds-per-image 2` (with `tests` on the path).
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import shutil
import tempfile
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from aiohttp import web
from fakes.comfyui_engine import Engine
from fakes.comfyui_sockets import Sockets
from PIL import Image

TROUBLE = "500 Internal Server Error\n\nServer got itself in trouble"
MOST_UPLOAD_BYTES = 100 * 2**20
FOLDERS = (
    "checkpoints",
    "configs",
    "loras",
    "vae",
    "text_encoders",
    "diffusion_models",
    "clip_vision",
    "style_models",
    "embeddings",
    "diffusers",
    "vae_approx",
    "controlnet",
)


class FakeComfyUI:
    """One worker. Prompts run at once, unless `hold()` was called: then each waits for `step()` or `release()`.

    `engine` is its inside (history, executions by request key, models, broken files); `asked` lists every
    request as `(method, path)`, `bodies` every JSON body by path, `headers` every request's headers.
    """

    def __init__(
        self,
        models: dict[str, list[str]] | None = None,
        *,
        port: int = 0,
        seconds_per_image: float = 0,
        folder: Path | None = None,
        most_upload_bytes: int = MOST_UPLOAD_BYTES,
    ) -> None:
        self._own = tempfile.TemporaryDirectory(prefix="fake-comfyui-") if folder is None else None
        self.folder = folder or Path(self._own.name if self._own else "")
        for name in ("input", "output", "temp"):
            (self.folder / name).mkdir(exist_ok=True)
        self.engine = Engine(self.folder, models)
        self.version = "0.3.64"
        self.asked: list[tuple[str, str]] = []
        self.bodies: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.headers: list[dict[str, str]] = []
        self.latency_s = 0.0
        self.late: list[dict[str, Any]] = []
        self._faults: dict[str, deque[str]] = defaultdict(deque)
        self._held = False
        self._seconds = seconds_per_image
        self._most = most_upload_bytes
        self._lock = threading.RLock()
        self._loop = asyncio.new_event_loop()
        self._runner: web.AppRunner | None = None
        self._ended = asyncio.Event()
        self.port = port
        self.sockets = Sockets(self._loop, lambda: self.engine.status, self._served)
        self.engine.send = self.sockets.send
        self._publishing: asyncio.Task[None] | None = None
        self._awake = asyncio.Event()
        self._awake.set()

    # ------------------------------------------------------------------ what a test may do

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-comfyui", daemon=True)
        self._thread.start()
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self._own:
            self._own.cleanup()

    def start(self) -> None:
        """Listen: on the same port as before, if it did."""
        self._call(self._listen())

    def stop(self) -> None:
        """Die: connections end, new ones are refused. What the server knew is still there; see `restart`."""
        self._call(self._close())

    def restart(self) -> None:
        """Lose queue, history and cache, as a killed and started server does."""
        with self._lock:
            self.engine.restart()

    def hold(self) -> None:
        """From now on one prompt runs and does not end, the others wait."""
        self._held = True

    def step(self) -> None:
        """Let the running prompt end and the next one start."""
        with self._lock:
            self.engine.advance()
            if self.engine.running:
                self.engine.finish()
            self.engine.advance()

    def progress(self, value: int = 1, most: int = 20) -> None:
        """Let sockets hear of a step of the running prompt's sampler."""
        with self._lock:
            self.engine.step(value, most)

    def release(self) -> None:
        """Let all prompts end, and further ones run at once."""
        with self._lock:
            self._held = False
            if self.engine.running:
                self.engine.finish()
            self._run()

    def interrupt(self, prompt_id: str | None = None) -> None:
        """What POST /interrupt does; without an id it is whatever runs."""
        with self._lock:
            self.engine.interrupt(prompt_id)
            self._run()

    def hang(self) -> None:
        """Accept connections and answer nothing, until `wake`; what runs goes on."""
        self._loop.call_soon_threadsafe(self._awake.clear)

    def wake(self) -> None:
        """Answer again, also what was asked meanwhile."""
        self._loop.call_soon_threadsafe(self._awake.set)

    def kill_thread(self) -> None:
        """Accept and never run, as after the death of the real server's thread."""
        self.engine.thread_alive = False

    def fault(self, route: str, *kinds: str) -> None:
        """The next answers of `route` (`POST /prompt`, `GET /view`) go wrong, one kind each.

        drop_before, drop_after (the handler had run), drop_late (it runs when `deliver_late` is called), hang,
        truncate, nonsense (200, no JSON), garbled (the same, but
        the handler had run), in_part (accepted, with node_errors), or a status (`500`, `502`, `404`).
        """
        self._faults[route].extend(kinds)

    def faults_left(self, route: str) -> int:
        """How many of the faults of a route have not happened yet."""
        return len(self._faults[route])

    def deliver_late(self) -> None:
        """Let POSTs arrive whose connection was dropped by `drop_late`."""
        with self._lock:
            for body in self.late:
                self.engine.submit(body)
            self.late.clear()
            self._run()

    def submit_foreign(self, prompt_id: str, prefix: str = "somebody/else") -> None:
        """Another client's prompt."""
        graph = {
            "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 255}},
            "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": prefix}},
        }
        self.submit({"prompt": graph, "prompt_id": prompt_id})

    def submit(self, body: dict[str, Any]) -> None:
        """What somebody POSTs to /prompt, without the POST."""
        with self._lock:
            self.engine.submit(body)
            self._run()

    def delete_outputs(self) -> None:
        """Wipe the output folder, as somebody does who needs the disk."""
        shutil.rmtree(self.folder / "output")
        (self.folder / "output").mkdir()

    def paths(self) -> list[str]:
        """The routes asked for, with the ids cut off: `POST /prompt`, `GET /history`."""
        return [f"{method} /{path.partition('?')[0].split('/')[1]}" for method, path in self.asked]

    # ------------------------------------------------------------------ the server

    def _call(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _listen(self) -> None:
        self._ended = asyncio.Event()
        app = web.Application(middlewares=[self._middleware], client_max_size=self._most)
        for prefix in ("", "/api"):
            for method, path, handler in self._routes():
                app.router.add_route(method, prefix + path, handler)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

        self._publishing = asyncio.create_task(self.sockets.publish())

    async def _close(self) -> None:
        self._ended.set()
        self._awake.set()
        self.sockets.drop()
        if self._publishing:
            self._publishing.cancel()
        if self._runner:
            server, runner, self._runner = self._runner.server, self._runner, None
            await runner.cleanup()
            for _ in range(5):  # for connections that were accepted in this very moment
                await asyncio.sleep(0)
            if server:
                await server.shutdown(0)

    def _routes(self) -> list[tuple[str, str, Callable[[web.Request], Any]]]:
        return [
            ("POST", "/prompt", self._post_prompt),
            ("GET", "/prompt", self._get_prompt),
            ("GET", "/queue", self._get_queue),
            ("POST", "/queue", self._post_queue),
            ("POST", "/interrupt", self._post_interrupt),
            ("GET", "/history", self._get_history),
            ("GET", "/history/{id}", self._get_history_item),
            ("POST", "/history", self._post_history),
            ("*", "/view", self._get_view),
            ("POST", "/upload/image", self._post_upload),
            ("GET", "/system_stats", self._get_system_stats),
            ("GET", "/features", self._get_features),
            ("GET", "/object_info", self._get_object_info),
            ("GET", "/object_info/{name}", self._get_object_info),
            ("GET", "/models", self._get_models),
            ("GET", "/models/{folder}", self._get_models),
            ("GET", "/embeddings", self._get_embeddings),
            ("POST", "/free", self._post_free),
            ("GET", "/ws", self.sockets.handle),
        ]

    def _served(self) -> tuple[str | None, str | None]:
        return self.engine.teller.client_id, self.engine.teller.node

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append((request.method, request.path_qs))
        self.headers.append(dict(request.headers))
        origin = request.headers.get("Origin")
        if origin and origin.partition("://")[2] != request.host:
            return web.Response(status=403)
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        await self._awake.wait()
        if self._ended.is_set() and request.transport:
            request.transport.abort()
            return web.Response()
        faults = self._faults[f"{request.method} /{request.path.removeprefix('/api').split('/')[1]}"]
        try:
            if faults:
                return await self._wrong(faults.popleft(), request, handler)
            return await handler(request)
        except (TypeError, ValueError, KeyError):
            return web.Response(status=500, text=TROUBLE)

    async def _wrong(self, kind: str, request: web.Request, handler: Any) -> web.StreamResponse:
        if kind.isdigit():
            return web.Response(status=int(kind), text="no such luck")
        if kind == "nonsense":
            return web.Response(text="<html>hello</html>", content_type="text/html")
        if kind == "truncate":
            return await self._truncated(request, handler)
        if kind == "garbled":
            await handler(request)
            return web.Response(text="<html>hello</html>", content_type="text/html")
        if kind == "in_part":
            return _in_part(await handler(request))
        if kind == "drop_late":
            self.late.append(await request.json())
        if kind == "drop_after":
            await handler(request)
        if kind == "hang":
            await self._ended.wait()
        if request.transport:
            request.transport.abort()
        return web.Response()

    async def _truncated(self, request: web.Request, handler: Any) -> web.StreamResponse:
        whole = await handler(request)
        data = whole._path.read_bytes()
        response = web.StreamResponse()
        response.content_length = len(data)
        await response.prepare(request)
        await response.write(data[: len(data) // 2])
        assert request.transport
        request.transport.close()
        return response

    def _run(self) -> None:
        """Run what can run: all at once, or one that is then held, or one that takes its time."""
        while self.engine.advance():
            if self._held:
                return
            if self._seconds:
                self._loop.call_soon_threadsafe(self._loop.call_later, self._seconds, self._end, self.engine.running)
                return
            self.engine.finish()

    def _end(self, item: Any) -> None:
        with self._lock:
            if self.engine.running is item:
                self.engine.finish()
            self._run()

    # ------------------------------------------------------------------ the routes

    async def _post_prompt(self, request: web.Request) -> web.Response:
        body = await request.json()
        with self._lock:
            self.bodies["/prompt"].append(body)
            status, answer = self.engine.submit(body)
            self._run()
        return web.json_response(answer, status=status)

    async def _get_prompt(self, _request: web.Request) -> web.Response:
        return web.json_response(self.engine.status)

    async def _get_queue(self, _request: web.Request) -> web.Response:
        running = [self.engine.running] if self.engine.running else []
        return web.json_response({"queue_running": running, "queue_pending": self.engine.pending})

    async def _post_queue(self, request: web.Request) -> web.Response:
        body = await request.json()
        with self._lock:
            self.bodies["/queue"].append(body)
            if body.get("clear"):
                self.engine.pending.clear()
            self.engine.delete_pending(body.get("delete", []))
        return web.Response()

    async def _post_interrupt(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else {}
        self.bodies["/interrupt"].append(body)
        self.interrupt(body.get("prompt_id"))
        return web.Response()

    async def _get_history(self, request: web.Request) -> web.Response:
        items = list(self.engine.history.items())
        if "max_items" in request.query:
            most, offset = int(request.query["max_items"]), int(request.query.get("offset", -1))
            start = offset if offset >= 0 else max(len(items) - most, 0)
            items = items[start : start + most] if most > 0 else []
        return web.json_response(dict(items))

    async def _get_history_item(self, request: web.Request) -> web.Response:
        prompt_id = request.match_info["id"]
        known = self.engine.history.get(prompt_id)
        return web.json_response({prompt_id: known} if known else {})

    async def _post_history(self, request: web.Request) -> web.Response:
        body = await request.json()
        with self._lock:
            self.bodies["/history"].append(body)
            if body.get("clear"):
                self.engine.history.clear()
            for prompt_id in body.get("delete", []):
                self.engine.history.pop(prompt_id, None)
        return web.Response()

    async def _get_view(self, request: web.Request) -> web.StreamResponse:
        name, kind = request.query.get("filename", ""), request.query.get("type", "output")
        name = name.removesuffix(" [output]")
        if not name:
            return web.Response(status=404)
        if name.startswith("/") or ".." in name or kind not in {"output", "input", "temp"}:
            return web.Response(status=400)
        root = (self.folder / kind).resolve()
        path = (root / request.query.get("subfolder", "") / name).resolve()
        if not path.is_relative_to(root):
            return web.Response(status=403)
        if not path.is_file():
            return web.Response(status=404)
        headers = {"Content-Disposition": f'filename="{name}"'}
        if "preview" in request.query or "channel" in request.query:
            return _encoded(path, request.query, headers)
        return web.FileResponse(path, headers=headers)

    async def _post_upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        image, kind = form.get("image"), str(form.get("type") or "input")
        if not isinstance(image, web.FileField) or not image.filename:
            return web.Response(status=400)
        if kind not in {"output", "input", "temp"}:
            raise ValueError(kind)
        root, subfolder = (self.folder / kind).resolve(), str(form.get("subfolder") or "")
        folder = (root / subfolder).resolve()
        if not folder.is_relative_to(root):
            return web.Response(status=400)
        folder.mkdir(parents=True, exist_ok=True)
        data, name = image.file.read(), image.filename
        name = name if form.get("overwrite") in {"true", "1"} else _free_name(folder, name, data)
        (folder / name).write_bytes(data)
        return web.json_response({"name": name, "subfolder": subfolder, "type": kind})

    async def _get_system_stats(self, _request: web.Request) -> web.Response:
        system = {"os": "posix", "comfyui_version": self.version, "ram_total": 2**34, "ram_free": 2**33}
        facts = {
            "python_version": "3.11.7",
            "pytorch_version": "2.13.0+cpu",
            "embedded_python": False,
            "argv": ["main.py"],
        }
        memory = dict.fromkeys(("vram_total", "vram_free", "torch_vram_total", "torch_vram_free"), 2**34)
        device = {"name": "cpu", "type": "cpu", "index": None, **memory}
        frontend = {"required_frontend_version": "1.27.10", "installed_templates_version": None}
        templates = {"required_templates_version": "0.1.95"}
        return web.json_response({"system": {**system, **frontend, **templates, **facts}, "devices": [device]})

    async def _get_features(self, _request: web.Request) -> web.Response:
        return web.json_response({"supports_preview_metadata": True, "max_upload_size": self._most})

    async def _get_object_info(self, request: web.Request) -> web.Response:
        info, name = self.engine.info(), request.match_info.get("name")
        return web.json_response(info if name is None else {key: info[key] for key in info if key == name})

    async def _get_models(self, request: web.Request) -> web.Response:
        folder = request.match_info.get("folder")
        if folder is None:
            return web.json_response(list(FOLDERS))
        return web.json_response(self.engine.models.get(folder, [])) if folder in FOLDERS else web.Response(status=404)

    async def _get_embeddings(self, _request: web.Request) -> web.Response:
        return web.json_response([])

    async def _post_free(self, request: web.Request) -> web.Response:
        if (await request.json()).get("free_memory"):
            with self._lock:
                self.engine.cache.clear()
        return web.Response()


def _in_part(response: web.Response) -> web.Response:
    """One output node of several was refused; the others run all the same."""
    facts = {"input_name": "width", "received_value": 0, "input_config": ["INT", {"min": 1}]}
    error = {"type": "value_smaller_than_min", "message": "", "details": "width", "extra_info": facts}
    node = {"errors": [error], "dependent_outputs": ["21"], "class_type": "EmptyImage"}
    return web.json_response({**json.loads(response.body), "node_errors": {"20": node}})


def _free_name(folder: Path, name: str, data: bytes) -> str:
    """The same bytes keep the name, others get `name (1).png`."""
    stem, suffix, number = Path(name).stem, Path(name).suffix, 1
    while (folder / name).exists() and (folder / name).read_bytes() != data:
        name = f"{stem} ({number}){suffix}"
        number += 1
    return name


def _encoded(path: Path, query: Any, headers: dict[str, str]) -> web.Response:
    buffer = io.BytesIO()
    with Image.open(path) as picture:
        if "preview" in query:
            kind = "jpeg" if query["preview"].startswith("jpeg") else "webp"
            picture.convert("RGB").save(buffer, kind, quality=90)
        else:
            kind = "png"
            mode = "RGB" if query["channel"] == "rgb" else "RGBA"
            picture.convert(mode).save(buffer, kind)
    return web.Response(body=buffer.getvalue(), content_type=f"image/{kind}", headers=headers)


def main() -> None:
    """Serve until interrupted; prints the address as the first line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seconds-per-image", type=float, default=0)
    options = parser.parse_args()
    with FakeComfyUI(port=options.port, seconds_per_image=options.seconds_per_image) as worker:
        print(worker.url, flush=True)  # noqa: T201 - for whoever started the process
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
