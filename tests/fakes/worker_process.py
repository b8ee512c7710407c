"""A fake ComfyUI in a process of its own: `python -m fakes.worker_process --seconds 1 --pictures FOLDER`.

It tells on stdout what happens, one JSON object a line (the first has its url), obeys words on stdin, and ends when
stdin does, so also when whoever started it was killed. With `--pictures` it draws nothing: each prompt gets a ready
PNG with its graph in it, so that a picture costs the machine next to nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import struct
import sys
import threading
import time
import zlib
from itertools import count
from pathlib import Path
from typing import Any

from aiohttp import web
from fakes.comfyui_engine import Engine, _messages, _status
from fakes.fake_comfyui import FakeComfyUI

HEADER_END = 33  # of a PNG: signature and IHDR
_telling = threading.Lock()


def tell(event: str, **facts: Any) -> None:
    """One line for whoever started this. `at` is the machine's monotonic clock, the same in every process."""
    with _telling:
        print(json.dumps({"event": event, "at": time.monotonic(), **facts}), flush=True)  # noqa: T201 - the pipe


class ToldEngine(Engine):
    """Tells when a prompt is accepted, begins and ends."""

    def submit(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        status, answer = super().submit(body)
        if status == 200:
            owner = body.get("extra_data", {}).get("assetline", {})
            tell("accepted", prompt_id=answer["prompt_id"], request_key=owner.get("request_key", ""))
        return status, answer

    def advance(self) -> bool:
        begins = super().advance()
        if begins and self.running:
            tell("began", prompt_id=self.running[1])
        return begins

    def _end(self, prompt: list[Any], entry: dict[str, Any]) -> None:
        super()._end(prompt, entry)
        tell("ended", prompt_id=prompt[1], ok=entry["status"]["completed"])


class ReadyEngine(ToldEngine):
    """Gives one ready picture after the other, under the name and with the text that a SaveImage gives it."""

    def __init__(self, folder: Path, ready: list[bytes]) -> None:
        super().__init__(folder)
        self._ready = ready
        self._numbers = count(1)

    def finish(self) -> None:
        assert self.running
        number, prompt_id, graph, extra, outputs = self.running
        [output] = outputs
        path = Path(self.folder, "output", f"{graph[output]['inputs']['filename_prefix']}_00001_.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        ready = self._ready[next(self._numbers) % len(self._ready)]
        path.write_bytes(ready[:HEADER_END] + text_chunk("prompt", json.dumps(graph)) + ready[HEADER_END:])
        subfolder = str(path.parent.relative_to(self.folder / "output"))
        files = [{"filename": path.name, "subfolder": "" if subfolder == "." else subfolder, "type": "output"}]
        self.teller.end(output, files)
        messages = _messages(prompt_id, [], ("execution_success", {}))
        entry = {"outputs": {output: {"images": files}}, "status": _status(messages, ok=True), "meta": {}}
        self._end([number, prompt_id, graph, extra, outputs], entry)


def text_chunk(name: str, text: str) -> bytes:
    """A PNG's tEXt chunk."""
    body = b"tEXt" + name.encode() + b"\0" + text.encode("latin-1")
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


class ToldWorker(FakeComfyUI):
    """The fake that tells what happens to it. `view_s`: how long it keeps back a picture that is asked for."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(port=options.port, seconds_per_image=options.seconds)
        ready = [path.read_bytes() for path in sorted(options.pictures.glob("*.png"))] if options.pictures else []
        self.engine = ReadyEngine(self.folder, ready) if ready else ToldEngine(self.folder)
        self.engine.send = self.sockets.send
        self._view_s = options.view_seconds

    async def _get_view(self, request: web.Request) -> web.StreamResponse:
        tell("view", filename=request.query.get("filename", ""))
        await asyncio.sleep(self._view_s)
        return await super()._get_view(request)

    def report(self) -> None:
        """Executions by request key (by prompt_id for others' prompts), what still waits, CPU used so far."""
        with self._lock:
            waiting = len(self.engine.pending) + bool(self.engine.running)
            executions = dict(self.engine.executions)
        tell("report", executions=executions, waiting=waiting, cpu_s=time.process_time())

    def forget(self) -> None:
        """Begin anew: what a fresh worker knows."""
        with self._lock:
            self.engine.restart()
            self.engine.executions.clear()
            self.engine.started.clear()
        self.asked.clear()
        self.bodies.clear()
        self.headers.clear()
        tell("forgotten")


def main() -> None:
    """Serve until stdin ends."""
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # a client that was killed is no news
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0, help="for one picture")
    parser.add_argument("--view-seconds", type=float, default=0, help="before the answer to GET /view begins")
    parser.add_argument("--pictures", type=Path, help="a folder of ready PNGs")
    with ToldWorker(parser.parse_args()) as worker:
        tell("up", url=worker.url)
        words = {"report": worker.report, "forget": worker.forget}
        for line in sys.stdin:
            words[line.strip()]()


if __name__ == "__main__":
    main()
