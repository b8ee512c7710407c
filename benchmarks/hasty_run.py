"""`assetline run SHEET --lane replicate --direct --yes --json` on a fast clock, dying at a step of the ledger if told.

    python -m benchmarks.hasty_run SHEET STORE --began SECONDS --speed 20 [--die-at STATE N before|after]

`--die-at submitting 5 after`: SIGKILL by its own hand once the fifth attempt that comes into that state is committed;
`before`: when all is written and nothing committed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.pool import Pool

from apps.run import run_sheet
from assetline.run_records import RunOptions
from benchmarks.hasty import Hasty

MOST_USD = 1_000.0


def die() -> None:
    """As if somebody had sent `kill -9`."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(state: str, nth: int, side: str) -> None:
    """Die as the ledger enters into its journal for the `nth` time that an attempt has come into a state."""
    times = itertools.count(1)
    due: list[object] = []

    def written(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if statement.startswith("INSERT INTO ledger_journal") and state in parameters and next(times) == nth:
            due.append(state)
            if side == "before":
                die()

    def given_back(*_more: Any) -> None:
        if due:
            die()

    event.listen(Engine, "before_cursor_execute", written)
    event.listen(Pool, "checkin", given_back)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sheet")
    parser.add_argument("store")
    parser.add_argument("--began", type=float, required=True)
    parser.add_argument("--speed", type=float, required=True)
    parser.add_argument("--die-at", nargs=3, metavar=("STATE", "N", "SIDE"))
    told = parser.parse_args()
    if told.die_at:
        die_at(told.die_at[0], int(told.die_at[1]), told.die_at[2])
    options = RunOptions(lanes=("replicate",), store=told.store, max_cost=MOST_USD)
    clock = Hasty(told.began, told.speed).clock
    return run_sheet(told.sheet, options, direct=True, as_json=True, agreed=True, clock=clock)


if __name__ == "__main__":
    sys.exit(main())
