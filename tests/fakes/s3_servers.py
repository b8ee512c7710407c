"""Servers that speak S3, on loopback, each with an empty bucket: moto in this process, ministack in its own.

with moto_store_settings() as server:
    store = server.store("some/prefix")            # a core test
    environment = {**os.environ, **server.environment}   # a command in a process of its own
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from pydantic import SecretStr

from assetline.store.s3 import S3Settings, S3Store, open_s3
from assetline.store.s3_client import shared_client

BUCKET = "assets"
ACCESS_KEY = "testkey-1"
SECRET_KEY = "testsecret-1"
START_S = 60

_prefixes = itertools.count(1)


@dataclass(frozen=True)
class S3Server:
    """A server with the bucket `assets`. `environment` is what a command needs to find it."""

    endpoint: str

    @property
    def settings(self) -> S3Settings:
        return S3Settings(
            endpoint_url=self.endpoint,
            region="us-east-1",
            access_key_id=ACCESS_KEY,
            secret_access_key=SecretStr(SECRET_KEY),
        )

    @property
    def environment(self) -> dict[str, str]:
        return {
            "ASSETLINE_S3_ENDPOINT": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def uri(self, prefix: str = "") -> str:
        """`s3://assets/<prefix>`, for `--store`."""
        return f"s3://{BUCKET}/{prefix}".rstrip("/")

    def store(self, prefix: str | None = None) -> S3Store:
        """A store at a prefix; without one, at a prefix that nobody else has."""
        return open_s3(self.uri(f"test-{next(_prefixes)}" if prefix is None else prefix), self.settings)

    def make_bucket(self) -> None:
        shared_client(self.settings).create_bucket(Bucket=BUCKET)


@contextlib.contextmanager
def moto_store_settings() -> Iterator[S3Server]:
    """moto in this process, in memory; about 2 s to import and start, so once for a whole file of tests."""
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    try:
        host, port = moto.get_host_and_port()
        server = S3Server(f"http://{host}:{port}")
        server.make_bucket()
        yield server
    finally:
        moto.stop()


@contextlib.contextmanager
def ministack_store_settings(folder: Path, port: int = 0) -> Iterator[S3Server]:
    """ministack in its own process, its data kept on disk in `folder`: started there again, it still has them."""
    port = port or free_port()
    server = S3Server(f"http://127.0.0.1:{port}")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(folder / "s3"),
        "PERSIST_STATE": "1",
        "STATE_DIR": str(folder / "state"),
        "IOT_MTLS_ENABLED": "0",  # else it listens for MQTT on 8883, everywhere
    }
    with (folder / "ministack.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "ministack"], env=environment, stdout=log, stderr=log)
    try:
        _wait_until_up(server, process, folder / "ministack.log")
        server.make_bucket()
        yield server
    finally:
        process.terminate()
        process.wait(timeout=20)


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_up(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(f"{server.endpoint}/_ministack/health", timeout=5).close()
            return
        time.sleep(0.05)  # until the server answers, not for a result
    pytest.fail(f"ministack did not start:\n{log.read_text()[-2000:]}")


# --- a server that says what a test wants


@dataclass(frozen=True)
class Asked:
    """One request as it came in; header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Answer:
    """What to answer. `hang_up` closes the connection instead, as a broken network does; `promised` is the length
    that the header gives, where it is not the body's."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    hang_up: bool = False
    promised: int | None = None


def error(status: int, code: str, message: str = "said the server", **headers: str) -> Answer:
    """S3's way to say no; without a code, as it answers HEAD."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode() if code else b""
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


class Script:
    """What a scripted server answers, in order, the last for ever; it keeps what was asked."""

    def __init__(self) -> None:
        self.play(Answer())

    def play(self, *answers: Answer) -> None:
        """Begin anew with these answers."""
        self.asked: list[Asked] = []
        self._answers = itertools.chain(answers, itertools.repeat(answers[-1]))

    def next_answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        return next(self._answers)

    @property
    def methods(self) -> list[str]:
        return [asked.method for asked in self.asked]


@contextlib.contextmanager
def scripted_s3(script: Script) -> Iterator[S3Server]:
    """A server whose every answer the script gives. It has no bucket and knows nothing."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_request(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.reply(script.next_answer(Asked(self.command, self.path, headers, body)))

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_request  # noqa: N815 - http.server's names

        def reply(self, said: Answer) -> None:
            self.close_connection = True
            if said.hang_up:
                return
            self.send_response(said.status)
            for name, value in {"Connection": "close", **said.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(said.body) if said.promised is None else said.promised))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else said.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield S3Server(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
