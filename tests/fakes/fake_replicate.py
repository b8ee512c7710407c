"""A Replicate of our own on loopback: predictions that begin, work and end by the clock, a bill, and faults on demand.

`with FakeReplicate() as api:` gives `api.url`. Every body is checked in both directions; what is wrong with one is in
`complaints`, and leaving the `with` fails for it. As a process: `python -m fakes.fake_replicate --run-seconds 3`.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import re
import secrets
import socket
import struct
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from fakes import replicate_api as wire
from PIL import Image

TOKEN = "r8_a-token-for-tests"
KEPT_S = 3600.0
PAGE = 100
SIZES = {"1:1": (1024, 1024), "16:9": (1344, 768), "4:5": (896, 1088), "9:16": (768, 1344), "2:3": (832, 1216)}


@dataclass
class FakeModel:
    """A model there: its inputs, its price in micro-dollars, the shape of its output."""

    inputs: dict[str, Any]
    micros: int
    per: str = "image"
    output: str = "list"
    version: str = "hidden"
    required: tuple[str, ...] = ("prompt",)


def shipped_models() -> dict[str, FakeModel]:
    return {
        "black-forest-labs/flux-schnell": FakeModel(wire.FLUX_SCHNELL, 3_000),
        "stability-ai/sdxl": FakeModel(wire.SDXL, 975, per="second", version=wire.SDXL_VERSION, required=()),
        "google/imagen-4": FakeModel(wire.IMAGEN, 40_000, output="string"),
        "black-forest-labs/flux-kontext-pro": FakeModel(wire.KONTEXT, 40_000, output="string"),
    }


@dataclass
class Fate:
    """What will become of a prediction. `shape`: what its output looks like; `output`: what its address answers."""

    ending: str = "succeeded"
    error: str | None = None
    outputs: int = 1
    shape: str = ""
    output: str = ""
    removed: bool = False
    queue_s: float | None = None
    run_s: float | None = None
    strange: str = ""


@dataclass
class Held:
    """A prediction as the server has it. Times in seconds by the server's clock."""

    id: str
    model: str
    input: dict[str, Any]
    fate: Fate
    created: float
    deadline: float | None
    starts: float
    ends: float
    stopped: float | None = None
    gets: int = 0
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Answer:
    """What goes back. `how`: normally, or in one of the ways in which networks fail."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    how: str = ""
    kind: str = "application/json"


class FakeReplicate:
    """The service. Rates are unlimited unless `creates_per_min` is given; `clock` gives seconds since 1970.

    `on_create`, `on_get`, `on_list`, `on_cancel`, `on_account` queue a fault each for the next call; `fates` what becomes
    of the next predictions. `asked` lists every call as `(method, path)`.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        queue_s: float = 0.5,
        run_s: float = 2.0,
        creates_per_min: float | None = None,
        burst: int = 10,
        page: int = PAGE,
        skew_s: float = 0.0,
        models: dict[str, FakeModel] | None = None,
    ) -> None:
        self.models = models or shipped_models()
        self.held: dict[str, Held] = {}
        self.fates: deque[Fate] = deque()
        self.asked: list[tuple[str, str]] = []
        self.complaints: list[str] = []
        self.leaks: list[str] = []
        self.throttled = 0
        self.uploads: dict[str, bytes] = {}
        self.posts: Counter[str] = Counter()
        self.page = page
        self.skew_s = skew_s
        self._clock = clock
        self._queue_s, self._run_s = queue_s, run_s
        self._per_min, self._burst = creates_per_min, burst
        self._next_create = 0.0
        self._faults: dict[str, deque[str]] = defaultdict(deque)
        self._lock = threading.RLock()
        self._ended = threading.Event()

    # ------------------------------------------------------------------ what a test may do

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self, port: int = 0) -> Self:
        fake = self

        class Handler(_Handler):
            service = fake

        self._server = _Server(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if kind is None:
            assert [] == self.complaints
            assert [] == self.leaks

    def on(self, what: str, *faults: str) -> None:
        """Queue faults for the next calls of a kind: create, get, list, cancel, account, model, output, file."""
        self._faults[what].extend(faults)

    def now(self) -> float:
        """The server's clock, which may differ from everybody else's."""
        return self._clock() + self.skew_s

    def creates(self, model: str = "", **wanted: Any) -> int:
        """How many predictions there are of this model with these inputs."""
        return sum(
            (not model or held.model == model) and all(held.input.get(name) == value for name, value in wanted.items())
            for held in self.held.values()
        )

    def creates_by_input(self) -> Counter[str]:
        """How many predictions there are of each exact input."""
        return Counter(json.dumps([held.model, held.input], sort_keys=True) for held in self.held.values())

    def paths(self) -> list[str]:
        """Every call, without ids and queries: `GET /v1/predictions/{id}`."""
        return [f"{method} {re.sub(r'/p[0-9a-f]{24}', '/{id}', path.split('?')[0])}" for method, path in self.asked]

    def billed_micros(self) -> int:
        """What all ended predictions have cost."""
        return sum(self.bill().values())

    def bill(self) -> dict[str, int]:
        """Micro-dollars of each prediction that has ended."""
        with self._lock:
            return {held.id: self._price(held) for held in self.held.values() if self._status(held) in _ENDED}

    def open(self) -> list[str]:
        """The predictions that have not ended."""
        with self._lock:
            return [held.id for held in self.held.values() if self._status(held) not in _ENDED]

    def hold_on(self) -> None:
        """Wait until the test is over: nobody gets an answer."""
        self._ended.wait(30)

    def picture(self, held: Held) -> bytes:
        """What its output is, as PNG."""
        return _png(*size_of(held.input))

    # ------------------------------------------------------------------ the service

    def handle(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """One call."""
        path = urlsplit(target).path
        with self._lock:
            self.asked.append((method, target))
            if path.startswith("/outputs/"):
                return self._output(path, headers)
            if headers.get("authorization") != f"Bearer {TOKEN}":
                return _error(401, "Unauthenticated", "You did not pass a valid authentication token")
            return self._route(method, path, target, headers, body)

    def _route(  # noqa: PLR0911  # one line for each call of the API
        self, method: str, path: str, target: str, headers: dict[str, str], body: bytes
    ) -> Answer:
        parts = path.strip("/").split("/")
        match method, parts:
            case "POST", ["v1", "predictions"]:
                return self._create(None, headers, body)
            case "POST", ["v1", "models", owner, name, "predictions"]:
                return self._create(f"{owner}/{name}", headers, body)
            case "GET", ["v1", "predictions"]:
                return self._faulty("list", lambda: self._list(parse_qs(urlsplit(target).query)))
            case "GET", ["v1", "predictions", known]:
                return self._faulty("get", lambda: self._get(known))
            case "POST", ["v1", "predictions", known, "cancel"]:
                return self._faulty("cancel", lambda: self._cancel(known))
            case "GET", ["v1", "account"]:
                return self._faulty("account", lambda: self._checked(wire.ACCOUNT, _ACCOUNT))
            case "GET", ["v1", "models", owner, name]:
                return self._faulty("model", lambda: self._model(f"{owner}/{name}"))
            case "GET", ["v1", "models", owner, name, "versions", version]:
                return self._faulty("model", lambda: self._version(f"{owner}/{name}", version))
            case "POST", ["v1", "files"]:
                return self._faulty("file", lambda: self._file(headers, body))
        self.complaints.append(f"no such call: {method} {path}")
        return _error(404, "Not found", f"There is no {path}")

    def _faulty(self, what: str, answer: Callable[[], Answer]) -> Answer:
        fault = self._faults[what].popleft() if self._faults[what] else ""
        if fault.startswith("html"):
            return Answer(502, b"<html>Bad gateway</html>", kind="text/html")
        if fault.startswith("429"):
            return _throttled(fault)
        if fault[:1].isdigit():
            return _error(int(fault[:3]), "Trouble", "Something went wrong")
        if fault in {"reset", "hang"}:
            return Answer(0, how=fault)
        if fault == "garbage":
            return Answer(200, b"[1, 2]")
        return answer()

    # ------------------------------------------------------------------ creating

    def _create(self, official: str | None, headers: dict[str, str], body: bytes) -> Answer:
        sent = json.loads(body)
        schema = wire.CREATE_OFFICIAL if official else wire.CREATE_VERSION
        if wrong := wire.faults(schema, sent):
            self.complaints += wrong
            return _error(422, "Input validation failed", "; ".join(wrong))
        if "cancel-after" not in headers:
            self.complaints.append("a create without Cancel-After")
        if "prefer" in headers:
            self.complaints.append("a create that waits")
        self.posts[json.dumps(sent["input"], sort_keys=True)] += 1
        fault = self._faults["create"].popleft() if self._faults["create"] else ""
        if refusal := self._refusal(official, sent, fault):
            return refusal
        held = self._accept(official or self._model_of(sent["version"]), sent["input"], headers)
        return _spoiled(fault, Answer(201, self._shown(held), {"Location": f"{self.url}/v1/predictions/{held.id}"}))

    def _refusal(  # noqa: PLR0911  # one line for each way to say no
        self, official: str | None, sent: dict[str, Any], fault: str
    ) -> Answer | None:
        """The answer where nothing is accepted."""
        if fault.startswith("429"):
            return _throttled(fault)
        if fault in _REFUSALS:
            return _REFUSALS[fault]
        if fault in {"reset_before", "hang_before"}:
            return Answer(0, how=fault.split("_", maxsplit=1)[0])
        if fault == "500_before":
            return _error(500, "Internal server error", "Try again later")
        if fault == "html_before":
            return Answer(502, b"<html>Bad gateway</html>", kind="text/html")
        model = official or self._model_of(sent["version"])
        if model not in self.models or (official and self.models[model].version != "hidden"):
            return _error(404, "Not found", "The requested resource could not be found.")
        if self._over_the_rate():
            self.throttled += 1
            return _throttled("429 1")
        return None

    def _over_the_rate(self) -> bool:
        if self._per_min is None:
            return False
        step, now = 60 / self._per_min, self._clock()
        if now < self._next_create - step * (self._burst - 1):
            return True
        self._next_create = max(self._next_create, now) + step
        return False

    def _model_of(self, version: str) -> str:
        return next((name for name, model in self.models.items() if model.version == version), "")

    def _accept(self, model: str, sent: dict[str, Any], headers: dict[str, str]) -> Held:
        fate = self.fates.popleft() if self.fates else Fate()
        now = self.now()
        starts = now + (self._queue_s if fate.queue_s is None else fate.queue_s)
        after = re.fullmatch(r"(\d+)s", headers.get("cancel-after", ""))
        held = Held(
            id="p" + secrets.token_hex(12),
            model=model,
            input=sent,
            fate=fate,
            created=now,
            deadline=now + int(after[1]) if after else None,
            starts=starts,
            ends=starts + (self._run_s if fate.run_s is None else fate.run_s),
            headers=headers,
        )
        self.held[held.id] = held
        return held

    # ------------------------------------------------------------------ what is there

    def _status(self, held: Held) -> str:
        now = self.now()
        stop = min(moment for moment in (held.stopped, held.deadline, float("inf")) if moment is not None)
        if now >= held.starts and held.starts < stop and held.ends <= min(now, stop):
            return held.fate.ending
        if now >= stop:
            return "canceled" if held.starts < stop or held.stopped == stop else "aborted"
        return "processing" if now >= held.starts else "starting"

    def _worked_s(self, held: Held) -> float:
        stop = min(moment for moment in (held.stopped, held.deadline, held.ends) if moment is not None)
        return max(0.0, round(stop - held.starts, 3))

    def _price(self, held: Held) -> int:
        """By the conservative rule: what failed is charged, what never began is not."""
        status, model = self._status(held), self.models[held.model]
        worked = self._worked_s(held)
        if status == "aborted" or (status == "canceled" and worked == 0):
            return 0
        if model.per == "second":
            return round(model.micros * worked)
        return model.micros * (held.fate.outputs if status == "succeeded" else 1)

    def _shown(self, held: Held) -> dict[str, Any]:
        status = self._status(held)
        ended = status in _ENDED
        removed = (held.fate.removed and ended) or (ended and self.now() > held.ends + KEPT_S)
        place = f"{self.url}/v1/predictions/{held.id}"
        began = (
            self.now() >= held.starts
            and status != "aborted"
            and not (status == "canceled" and not self._worked_s(held))
        )
        shown: dict[str, Any] = {
            "id": held.id,
            "model": held.model,
            "version": self.models[held.model].version,
            "input": {} if removed else held.input,
            "output": self._outputs(held) if status == "succeeded" and not removed else None,
            "data_removed": removed,
            "error": held.fate.error if status == "failed" else None,
            "status": status,
            "created_at": _iso(held.created),
            "urls": {"web": f"https://replicate.com/p/{held.id}", "get": place, "cancel": f"{place}/cancel"},
            "logs": "",
            "source": "api",
            "metrics": {"predict_time": self._worked_s(held)} if ended and began else {},
        }
        if began:
            shown["started_at"] = _iso(held.starts)
        if ended:
            shown["completed_at"] = _iso(min(held.ends, self.now()))
        self._check(wire.PREDICTION, shown)
        return shown

    def _outputs(self, held: Held) -> Any:
        shape = held.fate.shape or self.models[held.model].output
        if shape == "data":
            return ["data:image/png;base64," + _base64(self.picture(held))]
        places = [f"{self.url}/outputs/{held.id}/{n}.png" for n in range(held.fate.outputs)]
        if shape == "foreign":
            places = [place.replace("127.0.0.1", "127.0.0.2") for place in places]
        return (places[0] if places else None) if shape == "string" else places

    def _get(self, known: str) -> Answer:
        held = self.held.get(known)
        if held is None:
            return _error(404, "Not found", "Prediction not found")
        held.gets += 1
        shown = self._shown(held)
        if held.fate.strange and held.gets <= 2:
            shown["status"] = held.fate.strange
            shown["output"] = None
        return Answer(200, shown)

    def _cancel(self, known: str) -> Answer:
        held = self.held.get(known)
        if held is None:
            return _error(404, "Not found", "Prediction not found")
        if self._status(held) not in _ENDED:
            held.stopped = self.now()
        return Answer(200, self._shown(held))

    def _list(self, query: dict[str, list[str]]) -> Answer:
        if unknown := query.keys() - {"created_after", "created_before", "cursor", "source"}:
            self.complaints.append(f"a list does not take {unknown}")
        after = datetime.fromisoformat(query["created_after"][0]).timestamp() if "created_after" in query else 0.0
        found = [held for held in reversed(self.held.values()) if held.created > after]
        start = int(query.get("cursor", ["0"])[0])
        following = f"{self.url}/v1/predictions?cursor={start + self.page}"
        if "created_after" in query:
            following += f"&created_after={query['created_after'][0].replace('+', '%2B')}"
        more = len(found) > start + self.page
        page = [self._shown(held) for held in found[start : start + self.page]]
        return self._checked(wire.PAGE, {"next": following if more else None, "previous": None, "results": page})

    def _model(self, name: str) -> Answer:
        if name not in self.models:
            return _error(404, "Not found", "The requested resource could not be found.")
        model = self.models[name]
        owner, short = name.split("/")
        body = {
            "owner": owner,
            "name": short,
            "url": f"https://replicate.com/{name}",
            "is_official": model.version == "hidden",
            "latest_version": {
                "id": model.version if model.version != "hidden" else "0" * 64,
                "created_at": "2026-01-01T00:00:00Z",
                "cog_version": None,
                "openapi_schema": wire.document(model.inputs, model.required),
            },
        }
        return self._checked(wire.MODEL, body)

    def _version(self, name: str, version: str) -> Answer:
        answer = self._model(name)
        if answer.status != 200 or version != self.models[name].version:
            return _error(404, "Not found", "The requested resource could not be found.")
        return self._checked(wire.VERSION, answer.body["latest_version"])

    def _file(self, headers: dict[str, str], body: bytes) -> Answer:
        if not headers.get("content-type", "").startswith("multipart/form-data") or b'name="content"' not in body:
            self.complaints.append("an upload without its content")
        known = secrets.token_hex(8)
        self.uploads[f"{self.url}/v1/files/{known}"] = body
        place = {"get": f"{self.url}/v1/files/{known}"}
        return self._checked(
            wire.FILE, {"id": known, "urls": place, "content_type": "image/png", "size": len(body)}, status=201
        )

    # ------------------------------------------------------------------ the host of the outputs

    def _output(self, path: str, headers: dict[str, str]) -> Answer:  # noqa: PLR0911  # one line for each fault
        if "authorization" in headers:
            self.leaks.append(f"the token was sent to {path}")
        known = path.split("/")[2]
        held = self.held[known]
        fault = self._faults["output"].popleft() if self._faults["output"] else held.fate.output
        picture = self.picture(held)
        match fault.split():
            case [("403" | "404" | "500") as status]:
                return Answer(int(status), b"no", kind="text/plain")
            case ["cut"]:
                return Answer(200, picture[: len(picture) // 2], kind="image/png")
            case ["broken"]:
                return Answer(200, picture, how="broken", kind="image/png")
            case ["page"]:
                return Answer(200, b"<html>expired</html>", kind="image/png")
            case ["odd"]:
                return Answer(200, picture, kind="application/octet-stream")
            case ["slow"]:
                return Answer(200, picture, how="slow", kind="image/png")
            case ["redirect", times]:
                self._faults["output"].extendleft([f"redirect {int(times) - 1}"] if int(times) > 1 else [])
                return Answer(302, b"", {"Location": path})
            case ["away"]:
                return Answer(302, b"", {"Location": "http://127.0.0.2:9/x.png"})
        return Answer(200, picture, kind="image/png")

    # ------------------------------------------------------------------ checking oneself

    def _checked(self, schema: dict[str, Any], body: Any, status: int = 200) -> Answer:
        self._check(schema, body)
        return Answer(status, body)

    def _check(self, schema: dict[str, Any], body: Any) -> None:
        self.complaints += [f"the fake's own answer: {fault}" for fault in wire.faults(schema, body)]


_ENDED = {"succeeded", "failed", "canceled", "aborted"}
_ACCOUNT = {"type": "organization", "username": "house", "name": "House"}


def _error(status: int, title: str, detail: str, **more: Any) -> Answer:
    body = {"title": title, "detail": detail, "status": status, **more}
    assert [] == wire.faults(wire.ERROR, body)
    return Answer(status, body)


def _throttled(fault: str) -> Answer:
    """`429`, `429 7` (Retry-After), `429 body 7`, `429 words 7`, `429 date 7`."""
    match fault.split()[1:]:
        case ["body", seconds]:
            return _error(429, "Throttled", "Request was throttled.", retry_after=int(seconds))
        case ["words", seconds]:
            return _error(429, "Throttled", f"Request was throttled. Your rate limit resets in ~{seconds}s.")
        case [seconds]:
            answer = _error(429, "Throttled", "Request was throttled.")
            answer.headers["Retry-After"] = seconds
            return answer
    return _error(429, "Throttled", "Request was throttled.")


_REFUSALS = {
    "401": _error(401, "Unauthenticated", "You did not pass a valid authentication token"),
    "402": _error(402, "Insufficient credit", "You have insufficient credit to run this model."),
    "404": _error(404, "Not found", "The requested resource could not be found."),
    "422": _error(
        422,
        "Input validation failed",
        "- input.num_inference_steps: Must be less than or equal to 4",
        invalid_fields=[{"type": "max", "field": "input.num_inference_steps", "description": "Must be 4 or less"}],
    ),
}


def _spoiled(fault: str, answer: Answer) -> Answer:  # noqa: PLR0911  # one line for each fault
    """The answer to a create that was accepted, as it does or does not come through."""
    match fault:
        case "500_after":
            return _error(500, "Internal server error", "Try again later")
        case "html_after":
            return Answer(502, b"<html>Bad gateway</html>", kind="text/html")
        case "list_after":
            return Answer(500, b"[]")
        case "reset_after":
            return Answer(0, how="reset")
        case "hang_after":
            return Answer(0, how="hang")
        case "odd_after":  # no answer that replicate 1.0.7 can read
            return Answer(201, {**answer.body, "error": {"code": 1}, "status": "queued", "logs": None})
        case "202":
            return Answer(202, {**answer.body, "status": "processing"}, answer.headers)
    return answer


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def size_of(sent: dict[str, Any]) -> tuple[int, int]:
    if "width" in sent:
        return sent["width"], sent["height"]
    return SIZES.get(sent.get("aspect_ratio", ""), (1024, 1024))


@cache
def _png(width: int, height: int) -> bytes:
    picture = Image.effect_noise((64, 64), 60).resize((width, height), Image.Resampling.NEAREST)
    file = io.BytesIO()
    picture.convert("RGB").save(file, "PNG", compress_level=1)
    return file.getvalue()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def handle_error(self, *_address: Any) -> None:
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    service: FakeReplicate
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_words: Any) -> None:
        """Nothing is printed."""

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def _serve(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.service.handle(method, self.path, headers, body)
        if answer.how == "hang":
            self.service.hold_on()
        if answer.how in {"hang", "reset"}:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        data = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send_response_only(answer.status)
        moment = datetime.fromtimestamp(0, UTC) + timedelta(seconds=self.service.now())
        for name, value in {"Date": format_datetime(moment, usegmt=True), **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if answer.how == "broken":  # the connection ends in the middle
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
            return
        if answer.how == "slow":
            self.wfile.write(data[:10])
            self.wfile.flush()
            self.service.hold_on()
            self.close_connection = True
            return
        self.wfile.write(data)


def main() -> None:
    """Serve until stdin is closed; the address goes to stdout, what was asked for comes at the end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--run-seconds", type=float, default=3.0)
    parser.add_argument("--creates-per-minute", type=float, default=None)
    parser.add_argument("--burst", type=int, default=10)
    options = parser.parse_args()
    fake = FakeReplicate(run_s=options.run_seconds, creates_per_min=options.creates_per_minute, burst=options.burst)
    fake.__enter__(options.port)
    print(fake.url, flush=True)  # noqa: T201  # whoever started it reads it
    with contextlib.suppress(EOFError):
        input()
    facts: dict[str, Any] = {
        "predictions": len(fake.held),
        "throttled": fake.throttled,
        "calls": len(fake.asked),
        "micros": fake.billed_micros(),
    }
    facts["twice"] = sum(count > 1 for count in fake.creates_by_input().values())
    facts |= {"complaints": fake.complaints, "leaks": fake.leaks}
    print(json.dumps(facts), flush=True)  # noqa: T201  # so too
    fake.__exit__(None)


if __name__ == "__main__":
    main()
