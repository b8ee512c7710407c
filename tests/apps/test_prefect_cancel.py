"""Whether somebody pressed Cancel in Prefect's UI, asked of servers that answer anything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from uuid import uuid4

import pytest
from prefect.client.orchestration import PrefectClient

from apps.prefect_run import _is_canceled


def flow_run(state: str) -> str:
    facts = {"id": str(uuid4()), "name": "spring", "flow_id": str(uuid4())}
    return json.dumps(facts | {"state": {"type": state.upper(), "name": state}})


@contextmanager
def serving(answer: str) -> Iterator[str]:
    """A server that gives one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (flow_run("Cancelling"), True),
        (flow_run("Cancelled"), True),
        (flow_run("Running"), False),
        ("<html>back in a minute</html>", False),
        ("{}", False),
    ],
)
def test_only_a_flow_run_that_says_so_is_canceled_and_any_other_answer_ends_no_watch(
    answer: str, expected: bool
) -> None:
    async def ask(url: str) -> bool:
        async with PrefectClient(url) as client:
            return await _is_canceled(client, uuid4())

    with serving(answer) as url:
        assert expected == asyncio.run(ask(url))
