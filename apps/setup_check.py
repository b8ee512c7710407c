"""The end of set-up: one real Prefect task through a real server; a clean install has hidden one that cannot start."""

from __future__ import annotations

import os
import sys
import time

from apps.prefect_server import CLIENT_SETTINGS, LOG_FILE, embedded_server, wait_until_healthy
from assetline.errors import AssetlineError


def main() -> None:
    """Run it; exit 6 with the remedy where Prefect does not work."""
    started = time.monotonic()
    os.environ.update(CLIENT_SETTINGS | {"PREFECT_LOGGING_LEVEL": "ERROR"})
    with embedded_server() as api_url:
        os.environ["PREFECT_API_URL"] = api_url
        try:
            answer = _run(api_url)
        except AssetlineError as error:
            print(error, file=sys.stderr)
            sys.exit(error.exit_code)
    if answer != 42:
        print(f"Prefect ran the set-up's task, but its sum is {answer}. The server's log: {LOG_FILE}", file=sys.stderr)
        sys.exit(1)
    print(f"Prefect works ({time.monotonic() - started:.0f} s).", file=sys.stderr)


def _run(api_url: str) -> int:
    from prefect.events.worker import EventsWorker

    from flows.setup_check import setup_check

    wait_until_healthy(api_url)
    try:
        return setup_check()
    finally:
        EventsWorker.drain_all(timeout=30, at_exit=False)


if __name__ == "__main__":
    main()
