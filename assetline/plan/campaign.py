"""A sheet becomes the requests of a campaign, in the order of the sheet, with every problem there is."""

from __future__ import annotations

import hashlib
import re
import sys
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from assetline.errors import OptionError
from assetline.plan.rows import RowPlanner
from assetline.plan.texts import TextWriter
from assetline.plan.world import References, World
from assetline.records import PlannedRequest, Problem, Row
from assetline.sheet import Sheet
from assetline.sheet.checked import own_stem
from assetline.sheet.grid import column_index
from assetline.sheet.suggest import suggestion

MAX_CAMPAIGN_NAME = 64  # a part of every key in the store
ACROSS_ROWS = {"id-twice", "same-request"}
SHEET_ENDINGS = {".csv", ".tsv", ".txt", ".xlsx", ".xlsm"}


@dataclass(frozen=True)
class CampaignPlan:
    """What a sheet asks for. `requests` are in the order of the sheet; rows with errors have none.

    `problems` are the sheet's and the plan's: of the file, its header, each row from left to right, then across rows.
    `references` maps the sha256 of each reference image to its path or URI as written. `rows` are those selected.
    """

    campaign: str
    sheet: Sheet
    rows: tuple[Row, ...]
    requests: tuple[PlannedRequest, ...]
    problems: tuple[Problem, ...]
    references: dict[str, str]
    only_valid: bool = False

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that keep their rows from being made."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def ok(self) -> bool:
        """Whether it can be run: no errors, or only in rows that `only_valid` leaves out while others are left."""
        return not self.errors or (self.only_valid and bool(self.requests))


def campaign_slug(name: str) -> str:
    """The campaign's name for a sheet's file name: `Spring Launch 2027.xlsx` is `spring-launch-2027`.

    Lower case ASCII letters, digits and hyphens, at most 64, since it is a part of keys, paths and URLs. A name in
    another script is told apart by a hash.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    # The checked copy, mended and run, is the same campaign, and so is the one that came back with results.
    stem = own_stem(path.name if path.suffix.lower() in SHEET_ENDINGS else f"{path.name}.csv")
    plain = unicodedata.normalize("NFKD", stem.casefold()).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:MAX_CAMPAIGN_NAME].strip("-")
    return words or f"campaign-{hashlib.sha256(stem.encode()).hexdigest()[:8]}"


def plan_campaign(
    campaign: str, sheet: Sheet, world: World, *, rows: Collection[str] = (), only_valid: bool = False
) -> CampaignPlan:
    """Plan the rows of `sheet`, or those whose ids are in `rows`. Never raises for what a sheet holds.

    Raises OptionError for an id in `rows` that the sheet does not have. With `only_valid` a plan whose errors are all
    in rows can be run without them.
    """
    selected = _selected(sheet, rows)
    own = _own_problems(sheet, selected, everything=not rows)
    references = References(world.read_reference)
    planner = RowPlanner(TextWriter(campaign, world, _columns(sheet)), references, sheet.bad_rows)
    planned = [planner.plan(row) for row in selected]
    requests = tuple(request for row_plan in planned for request in row_plan.requests)
    further = [problem for row_plan in planned for problem in row_plan.problems]
    used = dict.fromkeys(planned.request.workflow for planned in requests if planned.request.workflow)
    further += world.fleet.run_problems(used)
    return CampaignPlan(
        campaign=campaign,
        sheet=sheet,
        rows=selected,
        requests=requests,
        problems=_ordered([*own, *_new(further, own), *_same_requests(requests, selected)], sheet),
        references=references.paths,
        only_valid=only_valid,
    )


def _selected(sheet: Sheet, ids: Collection[str]) -> tuple[Row, ...]:
    known = [row.id for row in sheet.rows]
    unknown = [name for name in ids if name not in known]
    if unknown:
        remedies = " ".join(f'There is no row "{name}". {suggestion(name, known, "rows")}' for name in unknown)
        raise OptionError(remedies)
    return tuple(row for row in sheet.rows if not ids or row.id in ids)


def _columns(sheet: Sheet) -> tuple[str, ...]:
    """Every column that any row has, by its canonical name and by its header."""
    names = {name: None for row in sheet.rows for key, cell in row.cells.items() for name in (key, cell.column)}
    return tuple(names)


def _own_problems(sheet: Sheet, selected: Sequence[Row], *, everything: bool) -> list[Problem]:
    """The sheet's problems; of a selection those of its rows, of the file and of the header."""
    numbers, first = {row.number for row in selected}, _first_row(sheet)
    return [p for p in sheet.problems if everything or p.row in numbers or _is_of_file(p, first)]


def _first_row(sheet: Sheet) -> int:
    return min((row.number for row in sheet.rows), default=sys.maxsize)


def _is_of_file(problem: Problem, first_row: int) -> bool:
    """Whether it is a problem of the file or its header, not of a row."""
    return problem.row is None or problem.row < first_row


def _new(problems: Iterable[Problem], own: Iterable[Problem]) -> list[Problem]:
    """Those that the sheet has not told already, each once."""
    told = {(problem.row, problem.column, problem.code) for problem in own}
    return [p for p in dict.fromkeys(problems) if (p.row, p.column, p.code) not in told]


def _ordered(problems: Iterable[Problem], sheet: Sheet) -> tuple[Problem, ...]:
    """Of the file, of the header, of each row from left to right, across rows."""
    first = _first_row(sheet)

    def place(problem: Problem) -> tuple[bool, bool, int, int]:
        across = problem.code in ACROSS_ROWS
        return across, not _is_of_file(problem, first), problem.row or 0, column_index(problem.cell)

    return tuple(sorted(problems, key=place))


def _same_requests(requests: Iterable[PlannedRequest], rows: Iterable[Row]) -> list[Problem]:
    """A warning for each row that asks for a picture which it or a row above has asked for already."""
    by_number = {row.number: row for row in rows}
    first: dict[str, PlannedRequest] = {}
    repeated: dict[int, list[PlannedRequest]] = {}
    for planned in requests:
        if first.setdefault(planned.request.key, planned) is not planned:
            repeated.setdefault(planned.row_number, []).append(planned)
    return [_same_request(by_number[number], again, first) for number, again in repeated.items()]


def _same_request(row: Row, again: Sequence[PlannedRequest], first: Mapping[str, PlannedRequest]) -> Problem:
    earlier = first[again[0].request.key]
    rest = f", and {len(again) - 1} more like it" if len(again) > 1 else ""
    message = f"{again[0].label} ({again[0].size}) is the same picture as {earlier.label} ({earlier.size}){rest}"
    fix = "Change prompt, seed or size if another picture is wanted."
    return row.problem("prompt", "same-request", f"{message}; it is made once.", fix, severity="warning")
