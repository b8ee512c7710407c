"""Which Prefect server a run uses: the one that is configured, the one of `make server`, or one of its own.

Prefect is not imported here: it takes seconds, and the server can start meanwhile.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from apps.prefect_server import (
    CLIENT_SETTINGS,
    ServerNotStarted,
    embedded_server,
    is_healthy,
    running_server,
    wait_until_healthy,
)
from apps.terminal import Terminal


@contextmanager
def prefect_api(terminal: Terminal) -> Iterator[Callable[[], None]]:
    """Set `PREFECT_API_URL` for this process. Yields what waits until the server answers.

    Raises ServerNotStarted when a configured server does not answer.
    """
    for name, value in CLIENT_SETTINGS.items():
        os.environ.setdefault(name, value)
    if api_url := configured_api_url():
        if not is_healthy(api_url):
            raise ServerNotStarted(
                f"Prefect's API at {api_url} does not answer. Start it, or unset PREFECT_API_URL to use an embedded "
                "server, or run with --direct."
            )
        yield lambda: None
    elif server := running_server():
        os.environ["PREFECT_API_URL"] = server.api_url
        yield lambda: terminal.console.print(f"Watch the run at {server.url}", highlight=False)
    else:
        yield from _embedded(terminal)


def _embedded(terminal: Terminal) -> Iterator[Callable[[], None]]:
    with embedded_server() as api_url:
        os.environ["PREFECT_API_URL"] = api_url
        terminal.waiting_for("Starting Prefect's embedded server (about 10 s; make server keeps one running)")
        try:
            yield lambda: wait_until_healthy(api_url)
        finally:
            del os.environ["PREFECT_API_URL"]


def configured_api_url() -> str:
    """`PREFECT_API_URL` from the environment, or from Prefect's active profile; empty where there is none."""
    if url := os.environ.get("PREFECT_API_URL", ""):
        return url.rstrip("/")
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    try:
        profiles = tomllib.loads((home / "profiles.toml").read_text())
    except (OSError, tomllib.TOMLDecodeError):
        return ""
    active = os.environ.get("PREFECT_PROFILE") or profiles.get("active", "")
    return str(profiles.get("profiles", {}).get(active, {}).get("PREFECT_API_URL", "")).rstrip("/")
