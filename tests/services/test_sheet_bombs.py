"""Whatever a file holds, `assetline check` ends with 3 and a message, within bounds of time and memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.command_line import ROOT
from fakes.sheets_bombs import BOMBS

MOST_CPU_S = 10  # 5 s on a machine that does nothing else; the kernel ends the process
MOST_MEMORY_KIB = 500_000

# A process of its own, since a child's peak begins with that of whoever started it: of a whole test run, here.
MEASURED = """
import resource, subprocess, sys
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[1]), int(sys.argv[1])))
ended = subprocess.run([sys.executable, "-m", "apps.cli", "check", sys.argv[2]], capture_output=True)
open("out", "wb").write(ended.stdout), open("err", "wb").write(ended.stderr)
print(ended.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_in_3_with_a_message_within_bounds(name: str) -> None:
    Path(name).write_bytes(BOMBS[name]())
    command = [sys.executable, "-c", MEASURED, str(MOST_CPU_S), name]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    measured = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    code, peak_kib = map(int, measured.stdout.split())
    assert (code, Path("err").read_text().count("Traceback")) == (3, 0)
    assert Path("out").read_text(encoding="utf-8").startswith("error: ")
    assert peak_kib < MOST_MEMORY_KIB
