"""Processes that race for one ledger: one that has imported it forks the others, so that fifty start at once.

`python -m fakes.ledger_race race URL PROCESSES TRIES USD CAP` prints how many reservations were won and refused;
`python -m fakes.ledger_race hold URL` begins a transaction that is alone, says so, and never ends it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime

from assetline.errors import BudgetRefused
from assetline.ledger import Caps, Intent, Ledger, open_ledger
from assetline.ledger.database import open_database

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def intent(name: str, reserved_usd: float = 0.04, *, campaign: str = "spring", run_id: str = "run-1") -> Intent:
    """What somebody means to pay for."""
    return Intent(name, campaign, run_id, name.upper(), "replicate", "flux", "", {"prompt": name}, reserved_usd)


def contend(url: str, number: int, tries: int, reserved_usd: float, caps: Caps) -> dict[str, int]:
    """Open the ledger, reserve; every other one that is won is settled at once for what it was reserved."""
    found = {"won": 0, "refused": 0}
    ledger = open_ledger(url, clock=lambda: NOON)
    for attempt in range(tries):
        try:
            won = ledger.reserve(intent(f"p{number}-{attempt}", reserved_usd, run_id=f"run-{number}"), caps)
        except BudgetRefused:
            found["refused"] += 1
            continue
        found["won"] += 1
        if attempt % 2:
            finish(ledger, won.id, f"prediction-{won.id}", reserved_usd)
    ledger.close()
    return found


def finish(ledger: Ledger, attempt_id: int, prediction_id: str, cost_usd: float) -> None:
    """The whole way of an attempt that succeeds."""
    ledger.submitting(attempt_id)
    ledger.submitted(attempt_id, prediction_id)
    ledger.settle(attempt_id, "succeeded", cost_usd)


def race(url: str, processes: int, tries: int, reserved_usd: float, cap_usd: float) -> None:
    """Fork them, let them go at once when the pipe closes, and add up what they say."""
    open_database(url).close()  # connects to nothing; the driver is imported once, here
    gate, opener = os.pipe()
    answers, answer = os.pipe()
    children = []
    for number in range(processes):
        pid = os.fork()
        if pid:
            children.append(pid)
            continue
        os.close(opener)
        os.read(gate, 1)
        found = contend(url, number, tries, reserved_usd, Caps(day=cap_usd))
        os.write(answer, json.dumps(found).encode() + b"\n")
        os._exit(0)
    os.close(answer)
    started = time.monotonic()
    os.close(opener)
    with os.fdopen(answers) as lines:
        found = [json.loads(line) for line in lines]
    codes = [os.waitpid(pid, 0)[1] for pid in children]
    sums = {name: sum(one[name] for one in found) for name in ("won", "refused")}
    print(json.dumps({**sums, "died": sum(map(bool, codes)), "seconds": time.monotonic() - started}))  # noqa: T201 - its answer


def hold(url: str) -> None:
    """Sit in a transaction that is alone, until killed."""
    with open_database(url).writing(alone=True):
        print("holding", flush=True)  # noqa: T201 - its answer
        time.sleep(600)


if __name__ == "__main__":
    command, address, *numbers = sys.argv[1:]
    if command == "race":
        race(address, int(numbers[0]), int(numbers[1]), float(numbers[2]), float(numbers[3]))
    else:
        hold(address)
