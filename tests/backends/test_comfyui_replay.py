"""The fake ComfyUI answers as the real one did: each transcript of the real server is replayed against it.

A step is a request with the status and answer of the real 0.3.64, or something done to the worker (`do`). Of an
answer, `response` is all of it, `contains` a part, `ids` and `keys` the prompt_ids in it, `shape` its keys alone.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.fake_comfyui import FakeComfyUI
from PIL import Image

TRANSCRIPTS = sorted((Path(__file__).parents[1] / "fixtures/comfyui/transcripts").glob("*.json"))
VARIES = {"timestamp", "traceback", "Etag", "Last-Modified", "Content-Length", "Content-Range"}
ANY_ORDER = {"nodes", "executed", "current_outputs", "outputs_to_execute"}
BYTES = "bytes)"


class Replay:
    """One transcript against one fake; `ids` maps the real server's prompt_ids to the fake's."""

    def __init__(self, worker: FakeComfyUI, http: httpx.Client) -> None:
        self.worker = worker
        self.http = http
        self.ids: dict[str, str] = {}
        self.last = httpx.Response(200)
        self.counts = False

    def play(self, step: dict[str, Any]) -> None:
        if "do" in step:
            self.do(*step["do"])
        elif "png" in step:
            self.check_png(step["png"])
        elif "request" in step:
            self.ask(step)

    def do(self, what: str, *values: Any) -> None:
        if what == "models":
            self.worker.engine.models[values[0]] = values[1]
        elif what == "break":
            self.worker.engine.broken.add(values[0])
        else:
            getattr(self.worker, what)()

    def ask(self, step: dict[str, Any]) -> None:
        request, label = step["request"], step.get("label") or step["request"]["path"]
        self.last = self.send(request)
        assert step["status"] == self.last.status_code, (label, self.last.text)
        self.learn(step.get("response"))
        for name, value in step.get("response_headers", {}).items():
            assert name in self.last.headers, label
            if name not in VARIES:
                assert value == self.last.headers[name], label
        answer = self.answer()
        if "response" in step and not str(step["response"]).endswith(BYTES):
            self.equal(step["response"], answer, label, whole=True)
        self.equal(step.get("contains"), answer, label, whole=False)
        self.listed(step, answer)

    def listed(self, step: dict[str, Any], answer: Any) -> None:
        for name, ids in step.get("ids", {}).items():
            assert sorted(self.ids.get(one, one) for one in ids) == sorted(item[1] for item in answer[name])
        if "keys" in step:
            assert step["keys"] == list(answer)
        if "shape" in step:
            assert {name: sorted(value) for name, value in step["shape"].items() if isinstance(value, dict)} == {
                name: sorted(value) for name, value in answer.items() if isinstance(value, dict)
            }

    def send(self, request: dict[str, Any]) -> httpx.Response:
        path, content = self.ours(request["path"]), {}
        if "body" in request:
            content = {"json": json.loads(self.ours(json.dumps(request["body"])))}
        if "raw" in request:
            content = {"content": request["raw"]}
        if "form" in request:
            content = _form(dict(request["form"]))
        return self.http.request(request["method"], path, headers=request.get("headers"), **content)

    def ours(self, text: str) -> str:
        for theirs, ours in self.ids.items():
            text = text.replace(theirs, ours)
        return text

    def learn(self, response: Any) -> None:
        if isinstance(response, dict) and "prompt_id" in response:
            self.ids[response["prompt_id"]] = self.last.json()["prompt_id"]

    def answer(self) -> Any:
        if "json" in self.last.headers.get("Content-Type", ""):
            return self.last.json()
        return self.last.content.decode(errors="replace")

    def equal(self, expected: Any, actual: Any, place: str, *, whole: bool) -> None:
        """Equal but for ids and times; where `whole` is False, `actual` may have more keys."""
        if isinstance(expected, dict):
            self.equal_dicts(expected, actual, place, whole=whole)
        elif isinstance(expected, list):
            assert len(expected) == len(actual) or not whole, place
            for number, (one, other) in enumerate(zip(expected, actual, strict=False)):
                self.equal(one, other, f"{place}[{number}]", whole=whole)
        elif isinstance(expected, str):
            assert self.ids.get(expected, expected) == actual, place
        elif place.endswith((" number", " prompt[0]")):
            assert type(expected) is type(actual), place
        elif expected is not None or whole:
            assert expected == actual, place

    def equal_dicts(self, expected: dict[str, Any], actual: dict[str, Any], place: str, *, whole: bool) -> None:
        expected = {self.ids.get(key, key): value for key, value in expected.items() if key not in VARIES}
        assert not expected.keys() - actual.keys(), place
        assert not whole or not actual.keys() - expected.keys() - VARIES, place
        for key, value in expected.items():
            if key in ANY_ORDER:
                assert sorted(value) == sorted(actual[key]), f"{place} {key}"
            else:
                self.equal(value, actual[key], f"{place} {key}", whole=whole)

    def check_png(self, expected: dict[str, Any]) -> None:
        self.worker.folder.joinpath("seen.png").write_bytes(self.last.content)
        with Image.open(self.worker.folder / "seen.png") as picture:
            picture.load()
            if "pixel" in expected:
                assert tuple(expected["pixel"]) == picture.getpixel((0, 0))
            if "text_chunks" in expected:
                assert expected["text_chunks"] == picture.info
                assert (tuple(expected["size"]), expected["mode"]) == (picture.size, picture.mode)


def _form(form: dict[str, str]) -> dict[str, Any]:
    """A transcript names a file as `ref.png (97 bytes)`; 0 bytes stand for no file at all."""
    name, _, size = form.pop("image").partition(" (")
    count = int(size.split()[0])
    if not count:
        return {"data": form}
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    return {"files": {"image": (name, buffer.getvalue().ljust(count, b"+"))}, "data": form}


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_the_fake_answers_as_the_real_server_did(path: Path) -> None:
    transcript = json.loads(path.read_text())
    with FakeComfyUI() as worker, httpx.Client(base_url=worker.url, verify=False) as http:
        replay = Replay(worker, http)
        for step in transcript["steps"]:
            replay.play(step)


def test_every_transcript_is_there() -> None:
    assert len(TRANSCRIPTS) == 16
