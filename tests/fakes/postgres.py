"""A throwaway Postgres on a loopback port, for one test session: real, but it does not wait for the disk.

Debian: apt-get install postgresql. Root may not run it, so as root it runs as user `postgres`, else `nobody`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psycopg
import pytest

GET_IT = "no Postgres here; Debian: apt-get install postgresql"
DEBIAN = "/usr/lib/postgresql"
START_S = 60
SETTINGS = ("fsync=off", "max_connections=200", "unix_socket_directories=")


@cache
def binaries() -> Path | None:
    """The folder of initdb and postgres: the newest of Debian's, else that of the path."""
    found = sorted(Path(DEBIAN).glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    named = shutil.which("initdb")
    return Path(named).resolve().parent if named else None


def as_user() -> list[str]:
    """What stands before a command so that it does not run as root."""
    if os.geteuid() != 0:
        return []
    names = {user.pw_name for user in pwd.getpwall()}
    return ["runuser", "-u", "postgres" if "postgres" in names else "nobody", "--"]


@contextmanager
def postgres() -> Iterator[str]:
    """The address of an empty database; skips the test, with how to get it, where there is no Postgres."""
    folder = binaries()
    if folder is None:
        pytest.skip(GET_IT)
    with tempfile.TemporaryDirectory(prefix="assetline-postgres-", dir="/tmp") as place:
        data = Path(place) / "data"
        if os.geteuid() == 0:
            shutil.chown(place, as_user()[2])
        subprocess.run(
            [*as_user(), folder / "initdb", "-D", data, "-U", "ledger", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            capture_output=True,
            cwd="/",
        )
        with _server(folder, data) as port:
            yield f"postgresql://ledger@127.0.0.1:{port}/postgres"


@contextmanager
def _server(folder: Path, data: Path) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = [word for setting in (*SETTINGS, "listen_addresses=127.0.0.1") for word in ("-c", setting)]
    with (data.parent / "log").open("wb") as log:
        command = [*as_user(), folder / "pg_ctl", "-D", data, "-w", "-t", str(START_S), "-l", data / "log"]
        options = ["-o", " ".join(["-p", str(port), *settings])]
        subprocess.run([*command, *options, "start"], check=True, stdout=log, stderr=log, cwd="/")
        try:
            yield port
        finally:
            subprocess.run([*command, "-m", "immediate", "stop"], check=True, stdout=log, stderr=log, cwd="/")


def new_database(server: str, name: str) -> str:
    """An empty database beside the first one."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return server.rpartition("/")[0] + f"/{name}"
