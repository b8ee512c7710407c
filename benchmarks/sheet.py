"""What checking and planning a sheet costs beside reading it with pandas alone: each in a process of its own.

    python -m benchmarks.sheet [--json] [--rows N] [--rounds N]

The floor is `pandas.read_csv` and `pandas.read_excel` with text kept as it is, which find no fault, know no place and
plan nothing. Seconds are CPU of the whole process, imports included, the least of all rounds; memory is its peak.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

HEADER = ["SKU", "prompt", "product", "colour", "size", "channels", "variants", "tags"]
ROOT = Path(__file__).parents[1]

READ = {
    "csv": "import pandas; print(len(pandas.read_csv({path!r}, dtype=str, keep_default_na=False)))",
    "xlsx": "import pandas; print(len(pandas.read_excel({path!r}, dtype=str, keep_default_na=False)))",
}
PLAN = """
from assetline.bootstrap.planning import plan_sheet
from assetline.run_records import RunOptions
from assetline.settings import Settings

settings = Settings(max_rows=max({rows}, 10_000), max_sheet_bytes=10**9)
plan = plan_sheet({path!r}, RunOptions(lanes=("fpo",)), settings).plan
assert plan.ok, plan.problems
print(len(plan.requests))
"""


@dataclass(frozen=True)
class Used:
    """What a process took: CPU seconds, and peak memory in MB."""

    seconds: float
    mb: int


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    file: str
    rows: int
    pandas: Used
    ours: Used

    @property
    def ratio(self) -> float:
        """Ours beside the floor."""
        return round(self.ours.seconds / self.pandas.seconds, 2)


def table(rows: int) -> list[list[str]]:
    return [
        HEADER,
        *(
            [f"LV-{n:06}", f"a {{product}} in {{colour}} on a white table, number {n}", f"mug {n}", "sage green",
             "1024x1024", "instagram_feed", "1", "spring, mug"]
            for n in range(rows)
        ),
    ]  # fmt: skip


def write(folder: Path, kind: str, rows: int) -> Path:
    path = folder / f"campaign-{rows}.{kind}"
    if kind == "csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(table(rows))
        return path
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    sheet = book.create_sheet("Campaign")
    for line in table(rows):
        sheet.append(line)
    book.save(path)
    return path


def used(code: str) -> Used:
    """Run code in a process of its own. Raises RuntimeError where it fails."""
    silent = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = os.posix_spawn(sys.executable, [sys.executable, "-c", code], environment, file_actions=[silent])
    _, status, taken = os.wait4(process, 0)
    if status:
        raise RuntimeError(f"a process of the benchmark ended with {status}")
    return Used(round(taken.ru_utime + taken.ru_stime, 2), taken.ru_maxrss // 1024)


def least(code: str, rounds: int) -> Used:
    return min((used(code) for _ in range(rounds)), key=lambda taken: taken.seconds)


def measure(path: Path, kind: str, rows: int, rounds: int) -> Line:
    ours = least(PLAN.format(path=str(path), rows=rows), rounds)
    return Line(kind, rows, least(READ[kind].format(path=str(path)), rounds), ours)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument("--rows", type=int, default=10_000, help="rows of the sheet (10,000); more raise the limit")
    parser.add_argument("--rounds", type=int, default=3, help="the least time of so many is taken (3)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lines = []
        for kind in ("csv", "xlsx"):
            path = write(Path(folder), kind, options.rows)
            lines.append(measure(path, kind, options.rows, options.rounds))
    if options.json:
        print(json.dumps([{**asdict(line), "ratio": line.ratio} for line in lines]))
        return 0
    print(f"{'file':<6}{'rows':>8}{'pandas s':>10}{'MB':>6}{'check+plan s':>14}{'MB':>6}{'ratio':>8}")
    for line in lines:
        ours, pandas = line.ours, line.pandas
        print(
            f"{line.file:<6}{line.rows:>8}{pandas.seconds:>10}{pandas.mb:>6}{ours.seconds:>14}{ours.mb:>6}{line.ratio:>8}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
