"""Which workers of a run can make what, and what a producer is told where none can."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from assetline.plan.capability import Capability, Lack, find_lacks
from assetline.plan.parameters import column_of
from assetline.records import FPO_MODEL, PlannedRequest, Problem, Row, Value
from assetline.sheet.suggest import nearest, shown
from assetline.workflow import Workflow, affinity, complete
from assetline.workflow.models import MODEL_ENDINGS

NAMES_SHOWN = 6
WORKERS_SHOWN = 4

Lacks = Mapping[str, tuple[Lack, ...]]
_Texts = tuple[str, tuple[tuple[str, str], ...]]  # a workflow and those of its values that are files or choices


@dataclass(frozen=True)
class Workers:
    """What the ComfyUI workers of a run answered, by lane; `silent` has those that did not, each with the reason."""

    known: Mapping[str, Capability] = field(default_factory=dict)
    silent: Mapping[str, str] = field(default_factory=dict)


class Fleet:
    """The workers of a run. Of a worker that did not answer nothing is known, so it is taken to have everything.

    What it says of a request is worked out once for all with the same workflow and the same files and choices.
    """

    def __init__(self, workers: Workers, workflows: Mapping[str, Workflow]) -> None:
        self._workers = workers
        self._workflows = workflows
        self._lacks: dict[_Texts, Lacks] = {}
        self._affinities: dict[_Texts, str] = {}
        self._fixes: dict[Lack, str] = {}

    def suits(self, lane: str, planned: PlannedRequest) -> bool:
        """Whether a ComfyUI lane has all that a request needs, as far as is known."""
        return lane not in self.unfit(planned)

    def unfit(self, planned: PlannedRequest) -> frozenset[str]:
        """The lanes that lack something for a request."""
        workflow = self._workflows.get(planned.request.workflow or "")
        lacks = self.lacks(workflow, planned.request.parameters) if workflow else {}
        return frozenset(url for url, found in lacks.items() if found)

    def affinity(self, planned: PlannedRequest) -> str:
        """What a request wants loaded: the workflow's wiring and model files. At a service, which loads nothing, the
        model, by which its speed is known. Empty for a comp.
        """
        workflow = self._workflows.get(planned.request.workflow or "")
        if workflow is None:
            model = planned.request.model
            return "" if model is None or model == FPO_MODEL else model
        key = _texts(workflow, planned.request.parameters)
        if key not in self._affinities:
            self._affinities[key] = affinity(workflow, planned.request)
        return self._affinities[key]

    def lacks(self, workflow: Workflow, values: Mapping[str, Value]) -> Lacks:
        """What each worker that answered lacks for a workflow with these values."""
        key = _texts(workflow, values)
        if key not in self._lacks:
            self._lacks[key] = {url: find_lacks(has, workflow, values) for url, has in self._workers.known.items()}
        return self._lacks[key]

    def problems(
        self, row: Row, workflow: Workflow, values: Mapping[str, Value], given: Iterable[str]
    ) -> list[Problem]:
        """Why no worker can make a row. `given` names the parameters that the row itself says.

        A warning where a worker did not answer, since that one may have it.
        """
        lacks = self.lacks(workflow, values)
        if not lacks or not all(lacks.values()):
            return []
        found = [self._problem(row, workflow, lack, given) for lack in _everywhere(lacks)] or [_split(row, lacks)]
        return list(dict.fromkeys(map(self._as_far_as_known, found)))

    def run_problems(self, used: Iterable[str]) -> Iterator[Problem]:
        """Of the run, not of a row: workers that did not answer, and inputs that workers fill into `used` workflows."""
        for reason in self._workers.silent.values():
            yield _warning("worker-silent", reason, "What this worker has was not checked.")
        for name in used:
            yield from self._completions(self._workflows[name])

    def _completions(self, workflow: Workflow) -> Iterator[Problem]:
        by_notes: dict[tuple[str, ...], list[str]] = {}
        for url, has in self._workers.known.items():
            if notes := complete(workflow.graph, has.classes)[1]:
                by_notes.setdefault(notes, []).append(url)
        for notes, urls in by_notes.items():
            message = f"Workflow {workflow.name} is older than ComfyUI on {_listed(urls)}: {' '.join(notes)}"
            yield _warning("workflow-completed", message, "Import the workflow anew to choose these values yourself.")

    def _problem(self, row: Row, workflow: Workflow, lack: Lack, given: Iterable[str]) -> Problem:
        if lack.kind == "class":
            message = f'Workflow {workflow.name} needs the node class "{lack.value}", which is on no worker.'
            remedy = f"{lack.remedy.rstrip('.')}, or take another workflow."
            return row.problem("workflow", "worker-lacks-node", message, remedy)
        if lack.kind == "input":
            message = f'Workflow {workflow.name} does not have the input "{lack.value}" that every worker asks for.'
            return row.problem("workflow", "worker-lacks", message, "Import the workflow anew, from a newer export.")
        column = column_of(lack.parameter) if lack.parameter else "workflow"
        fix = self._nearest(lack)
        if lack.parameter in given:
            return row.problem(column, "worker-lacks", f"{lack.word_first} {shown(lack.value)} is on no worker.", fix)
        origin = "the default of" if lack.parameter else "fixed in"
        message = f"{lack.word_first} {shown(lack.value)}, {origin} workflow {workflow.name}, is on no worker."
        write = f"Write what a worker has into the column {column}, or " if lack.parameter else ""
        remedy = f"{write}{lack.remedy[0].lower() if write else lack.remedy[0]}{lack.remedy[1:]}"
        return row.problem(column, "worker-lacks", message, f"{fix} {remedy}")

    def _nearest(self, lack: Lack) -> str:
        """`Nearest: "brand_v2" on http://gpu2:8188.`, or what there is."""
        if lack not in self._fixes:
            self._fixes[lack] = _nearest(lack, self._workers.known)
        return self._fixes[lack]

    def _as_far_as_known(self, problem: Problem) -> Problem:
        silent = self._workers.silent
        if not silent:
            return problem
        fix = f"{problem.fix} {_listed(list(silent))} did not answer and may have it."
        message = problem.message.replace("is on no worker.", "is on no worker that answers.")
        return problem.model_copy(update={"severity": "warning", "message": message, "fix": fix})


def _texts(workflow: Workflow, values: Mapping[str, Value]) -> _Texts:
    return workflow.name, tuple(sorted((name, value) for name, value in values.items() if isinstance(value, str)))


def _everywhere(lacks: Lacks) -> list[Lack]:
    """What is on no worker. A worker without the node class says nothing of the files that the class could load."""
    without = {url: {lack.value for lack in found if lack.kind == "class"} for url, found in lacks.items()}
    return [
        lack
        for lack in dict.fromkeys(lack for found in lacks.values() for lack in found)
        if all(lack in found or lack.place[0] in without[url] for url, found in lacks.items())
        and (lack.kind != "class" or all(lack.value in kinds for kinds in without.values()))
    ]


def _nearest(lack: Lack, workers: Mapping[str, Capability]) -> str:
    holders: dict[str, list[str]] = {}
    for url, has in workers.items():
        for name in has.choices(lack.place) or ():
            holders.setdefault(name, []).append(url)
    if not holders:
        return f"No worker has any {lack.word}."
    if near := nearest_file(lack.value, holders):
        return f'Nearest: "{near}" on {_listed(holders[near])}.'
    names, rest = list(holders), len(holders) - NAMES_SHOWN
    return f"There {'is' if len(names) == 1 else 'are'}: {', '.join(names[:NAMES_SHOWN])}" + (
        f" and {rest} more." if rest > 0 else "."
    )


def nearest_file(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that looks most like `name`, without regard to folders and endings."""
    by_stem = {_stem(each): each for each in names}
    found = nearest(_stem(name), by_stem)
    return by_stem[found] if found else None


def _stem(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.stem if path.suffix.lower() in MODEL_ENDINGS else path.name


def _split(row: Row, lacks: Lacks) -> Problem:
    """Everything is somewhere, but not on one worker."""
    said = [f"{url} lacks {_counted(found)}" for url, found in lacks.items()]
    rest = f"; and so on for {len(said) - WORKERS_SHOWN} more" if len(said) > WORKERS_SHOWN else ""
    message = f"No worker has all that this row needs: {'; '.join(said[:WORKERS_SHOWN])}{rest}."
    return row.problem("workflow", "worker-split", message, "Copy what is missing to one of them.")


def _counted(lacks: Sequence[Lack]) -> str:
    more = f" and {len(lacks) - 1} more" if len(lacks) > 1 else ""
    return f"{lacks[0]}{more}"


def _listed(urls: Sequence[str]) -> str:
    rest = f" and {len(urls) - WORKERS_SHOWN} more" if len(urls) > WORKERS_SHOWN else ""
    return ", ".join(urls[:WORKERS_SHOWN]) + rest


def _warning(code: str, message: str, fix: str) -> Problem:
    return Problem(severity="warning", code=code, message=message, fix=fix)
