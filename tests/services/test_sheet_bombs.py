"""Whatever a file holds, `assetline check` ends with 3 and a message, within bounds of time and memory."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from fakes.command_line import ROOT
from fakes.sheets_bombs import BOMBS

MOST_CPU_S = 10  # 5 s on a machine that does nothing else; the kernel ends the process
MOST_MEMORY_KIB = 500_000


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_in_3_with_a_message_within_bounds(name: str) -> None:
    Path(name).write_bytes(BOMBS[name]())
    command = f'ulimit -t {MOST_CPU_S}; exec "{sys.executable}" -m apps.cli check {name} >out 2>err'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = os.posix_spawn("/bin/sh", ["sh", "-c", command], environment)
    _, status, used = os.wait4(process, 0)
    assert (os.waitstatus_to_exitcode(status), Path("err").read_text().count("Traceback")) == (3, 0)
    assert Path("out").read_text(encoding="utf-8").startswith("error: ")
    assert used.ru_maxrss < MOST_MEMORY_KIB
