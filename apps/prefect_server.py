"""Prefect's server with the settings that it needs: embedded for one run, or in the background (`make server`).

Embedded, it ends when the pipe to its parent closes, so that even a parent that was killed leaves nothing running.
Prefect itself is imported only in the server's own process.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from assetline.errors import AssetlineError, OptionError

if TYPE_CHECKING:
    import uvicorn

STATE_FOLDER = Path(".assetline")
STATE_FILE = STATE_FOLDER / "prefect-server.json"
LOG_FILE = STATE_FOLDER / "prefect-server.log"
DEFAULT_PORT = 4200
START_LIMIT_S = 180  # 28 s were measured on an empty database on a loaded machine, 61 s for the embedded form
STOP_LIMIT_S = 15

# Recorder in batches: 56 -> 10.6 ms of server CPU per task run, no task run lost at 5,000 (measured, Prefect 3.8.8).
SERVER_SETTINGS = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}
# A server that lives for one run has no event feed to keep and no automations to trigger: 7.8 -> 3.2 ms of its CPU per
# task run (500 task runs, Prefect 3.8.8). Flow runs, task runs, logs and artifacts are kept all the same.
EMBEDDED_SETTINGS = {
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
}
# In the process of a flow. What stands in its Logs tab is set by the flow itself (tasks/run_log.py).
CLIENT_SETTINGS = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": str(START_LIMIT_S),
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}


class ServerNotStarted(AssetlineError):
    """Prefect's server did not come up; the message names the log."""

    exit_code = 6


@dataclass(frozen=True)
class RunningServer:
    """A server that `make server` started."""

    pid: int
    url: str

    @property
    def api_url(self) -> str:
        """What `PREFECT_API_URL` must be."""
        return f"{self.url}/api"


def is_healthy(api_url: str) -> bool:
    """Whether a Prefect server answers at that API address."""
    try:
        return httpx.get(f"{api_url}/health", timeout=2).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def running_server(state_file: Path = STATE_FILE) -> RunningServer | None:
    """The server that `make server` started in this folder, if it still answers."""
    try:
        state = json.loads(state_file.read_text())
        server = RunningServer(int(state["pid"]), str(state["url"]))
    except (OSError, ValueError, KeyError):
        return None
    return server if is_healthy(server.api_url) else None


@contextlib.contextmanager
def embedded_server() -> Iterator[str]:
    """Start Prefect's server for the length of one run. Gives its API address at once: `wait_until_healthy` next."""
    port = _free_port()
    process = _spawn(port, "--embedded", stdin=subprocess.PIPE, settings=SERVER_SETTINGS | EMBEDDED_SETTINGS)
    try:
        yield f"http://127.0.0.1:{port}/api"
    finally:
        _end(process)


def wait_until_healthy(api_url: str, limit_s: float = START_LIMIT_S) -> None:
    """Wait for a server that is coming up. Raises ServerNotStarted."""
    deadline = time.monotonic() + limit_s
    while not is_healthy(api_url):
        if time.monotonic() > deadline:
            raise ServerNotStarted(
                f"Prefect's server did not answer at {api_url} within {limit_s:.0f} s; "
                f"its log is {LOG_FILE.resolve()}. --direct runs without Prefect."
            )
        time.sleep(0.1)


def start_in_background(port: int) -> RunningServer:
    """Start a server that outlives this process; `stop` ends it. Raises OptionError, ServerNotStarted."""
    if server := running_server():
        return server
    if not _is_free(port):
        raise OptionError(f"Port {port} is taken. Choose another: make server PORT={port + 1}")
    process = _spawn(port, stdin=subprocess.DEVNULL, settings=SERVER_SETTINGS)
    server = RunningServer(process.pid, f"http://127.0.0.1:{port}")
    STATE_FILE.write_text(json.dumps({"pid": server.pid, "url": server.url}))
    wait_until_healthy(server.api_url)
    return server


def stop(state_file: Path = STATE_FILE) -> bool:
    """End the server that `make server` started. False when there was none."""
    server = running_server(state_file)
    if server is not None:
        os.kill(server.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_LIMIT_S
        while is_healthy(server.api_url) and time.monotonic() < deadline:
            time.sleep(0.1)
    state_file.unlink(missing_ok=True)
    return server is not None


def serve(port: int, *, embedded: bool) -> None:
    """Be the server, in this process, until a signal or (embedded) until the parent is gone."""
    import uvicorn
    from prefect.server.api.server import create_app

    listening = uvicorn.Config(
        create_app(final=True),
        host="127.0.0.1",
        port=port,
        log_level="warning",
        lifespan="on",
        ws_per_message_deflate=False,  # its events come over loopback
    )
    server = uvicorn.Server(listening)
    if embedded:
        threading.Thread(target=_exit_with_parent, args=(server,), daemon=True).start()
    server.run()


def _exit_with_parent(server: uvicorn.Server) -> None:
    sys.stdin.buffer.read()  # returns when the parent closes the pipe or dies
    server.should_exit = True


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _spawn(port: int, *flags: str, stdin: int, settings: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start the server's process. The settings lie beneath the caller's environment: what a person has set counts."""
    api_url = f"http://127.0.0.1:{port}/api"
    STATE_FOLDER.mkdir(exist_ok=True)
    with LOG_FILE.open("ab") as log:
        return subprocess.Popen(  # noqa: S603  (our own module, our own arguments)
            [sys.executable, "-m", "apps.prefect_server", "serve", "--port", str(port), *flags],
            stdin=stdin,
            stdout=log,
            stderr=log,
            env={**settings, "PREFECT_SERVER_UI_API_URL": api_url, **os.environ},
            cwd=Path(__file__).parents[1],
            start_new_session=True,  # Ctrl-C in the terminal is for the run, which then ends the server
        )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """`python -m apps.prefect_server start|stop|serve`: what the Makefile calls."""
    parser = argparse.ArgumentParser(description="Prefect's server with the settings that assetline needs.")
    parser.add_argument("command", choices=["start", "stop", "serve"])
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--embedded", action="store_true", help="end when standard input closes")
    options = parser.parse_args()
    if options.command == "serve":
        serve(options.port, embedded=options.embedded)
    elif options.command == "stop":
        print("Prefect's server is stopped." if stop() else "No server was running.")
    else:
        _start(options.port)


def _start(port: int) -> None:
    try:
        server = start_in_background(port)
    except AssetlineError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    print(f"Prefect runs at {server.url} (pid {server.pid}); make stop ends it.")


if __name__ == "__main__":
    main()
