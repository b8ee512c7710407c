"""Everything that can go wrong with a worker, each with many seeds: what was lost, stored twice, made once more.

    python -m benchmarks.faults [--json] [--seeds 20] [--only "killed and restarted"]

A run makes eight pictures on two to four fake workers (HTTP and websockets on loopback, the clock runs twenty times as
fast); the seed says on how many of them the fault strikes, and when. Promises: every request ends as a stored picture
(or, where the worker said that no other would make it, with that reason); nothing is stored twice or is another's
picture; what is executed once more is at most what was in flight where it struck. Exit code 1 if one does not hold.
About five minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the fakes live there

from fakes.comfyui_faults import FAULTS, Case, run_case

FOREIGN = ("ASSETLINE_", "AWS_")
COLUMNS = ("lost", "stored_twice", "wrong", "extra", "refused")


def one(name: str, seed: int) -> Case:
    """One run in a folder and an environment of its own."""
    logging.disable()
    for variable in [known for known in os.environ if known.startswith(FOREIGN)]:
        del os.environ[variable]
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        os.chdir(folder)
        try:
            return run_case(name, seed, Path(folder))
        finally:
            os.chdir("/")


def cases(names: Iterable[str], seeds: int) -> Iterator[Case]:
    """Every fault with every seed, on all cores, in order."""
    jobs = [(name, seed) for name in names for seed in range(seeds)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(one, *zip(*jobs, strict=True))


def line(name: str, found: list[Case]) -> dict[str, Any]:
    """The figures of one fault: sums over its runs, and the worst run beside what it was allowed."""
    sums = {column: sum(getattr(case, column) for case in found) for column in COLUMNS}
    return {
        "fault": name,
        "runs": len(found),
        **sums,
        "most_extra": max(case.extra for case in found),
        "extra_allowed": sum(case.extra_allowed for case in found),
        "broken": [asdict(case) for case in found if case.broken],
    }


def show(lines: list[dict[str, Any]]) -> None:
    head = ("fault", "runs", "lost", "stored twice", "wrong picture", "executed again", "at most", "refused")
    print("{:26} {:>5} {:>5} {:>13} {:>14} {:>15} {:>8} {:>8}".format(*head))
    for row in [*lines, total(lines)]:
        figures = (row["lost"], row["stored_twice"], row["wrong"], row["extra"], row["extra_allowed"], row["refused"])
        print("{:26} {:5} {:5} {:13} {:14} {:15} {:8} {:8}".format(row["fault"], row["runs"], *figures))


def total(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """The last line."""
    columns = ("runs", *COLUMNS, "extra_allowed")
    return {"fault": "all", **{column: sum(row[column] for row in lines) for column in columns}}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", choices=sorted(FAULTS), nargs="*", metavar="FAULT")
    options = parser.parse_args()
    found = cases(options.only or FAULTS, options.seeds)
    lines = [line(name, list(group)) for name, group in groupby(found, key=lambda case: case.fault)]
    if options.json:
        print(json.dumps({"faults": lines, "all": total(lines)}))
    else:
        show(lines)
    broken = [case for row in lines for case in row["broken"]]
    for case in broken:
        print(f"A promise does not hold: {case}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
