"""What a command did: in this process, or in one of its own with a clean environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MODELS = {"checkpoints": ["AWPainting_v1.3.safetensors"]}
COMPS = "id,prompt,size,variants\nTENT,a red tent,128x128,2\nMUG,a blue mug,128x96,1\n"
BROKEN = "id,prompt,size\nMUG,a blue mug,huge\nTENT,a red tent,128x128\n"


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code and both streams as text."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON value on one line and nothing else."""
        [line] = self.out.splitlines()
        return json.loads(line)


def write(name: str, text: str) -> str:
    """A sheet in the working folder; gives its name back."""
    Path(name).write_text(text)
    return name


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start `assetline` in a process of its own, in the working folder."""
    return python("-m", "apps.cli", *arguments, **environment)


def python(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start this Python in the working folder; the checkout is on its path."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


def ended(process: subprocess.Popen[str], limit_s: float = 120) -> Ended:
    """Wait for its end."""
    try:
        out, err = process.communicate(timeout=limit_s)
    finally:
        process.kill()
    return Ended(process.returncode, out, err)


def wait_until(holds: Callable[[], Any], what: str, limit_s: float = 60) -> None:
    """Look until it holds; for what other processes do."""
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, f"waited {limit_s:.0f} s for {what}"
        time.sleep(0.02)  # until it holds, not for a result


def serving() -> list[int]:
    """The process ids of Prefect servers that were started with this test run's home."""
    home = f"PREFECT_HOME={os.environ['PREFECT_HOME']}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            ours = home in (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if ours and b"apps.prefect_server\0serve" in command:
            found.append(int(process.name))
    return found
