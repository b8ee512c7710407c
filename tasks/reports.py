"""What people see in Prefect's UI of a run that has ended: the summary, tables of failures and problems, its state."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from textwrap import shorten

import httpx
from prefect import get_run_logger
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.client.schemas import State
from prefect.exceptions import PrefectException
from prefect.states import Cancelled, Completed, Failed

from assetline.errors import AssetlineError
from assetline.manifest import failures, summary_markdown
from assetline.pipeline import RunResult, RunStopped
from assetline.records import Problem

ROWS_SHOWN = 200
LINES_SHOWN = 20
REASON_SHOWN = 500
SUMMARY_KEY = "campaign-summary"
FAILURES_KEY = "campaign-failures"
PROBLEMS_KEY = "campaign-problems"


async def publish_summary(result: RunResult) -> None:
    """`campaign-summary` (counts, picture, links) and, where requests failed, the table `campaign-failures`."""
    record = result.record
    picture = f"data:image/jpeg;base64,{base64.b64encode(result.montage).decode()}" if result.montage else None
    await acreate_markdown_artifact(
        summary_markdown(record, result.outcomes, picture, record.contact_sheet, result.timeline),
        key=SUMMARY_KEY,
        description=describe(result),
    )
    if table := failures(result.outcomes):
        await acreate_table_artifact(
            table[:ROWS_SHOWN],
            key=FAILURES_KEY,
            description=f"{len(table):,} without a usable picture",
        )


async def publish_problems(problems: Sequence[Problem]) -> None:
    """The table `campaign-problems`: what is wrong with the sheet, warnings too; none where nothing is."""
    for problem in problems[:LINES_SHOWN]:
        get_run_logger().info("%s: %s", problem.severity, problem)
    if problems:
        errors = sum(problem.severity == "error" for problem in problems)
        await acreate_table_artifact(
            problem_rows(problems[:ROWS_SHOWN]),
            key=PROBLEMS_KEY,
            description=f"errors in the sheet: {errors:,}, warnings: {len(problems) - errors:,}",
        )


def problem_rows(problems: Sequence[Problem]) -> list[dict[str, str]]:
    """The problems as rows of a table: where, what, how to mend it."""
    return [
        {
            "cell": problem.cell or (f"row {problem.row}" if problem.row else ""),
            "column": problem.column,
            "severity": problem.severity,
            "problem": problem.message,
            "fix": problem.fix,
            "value": problem.value,
        }
        for problem in problems
    ]


def final_state(result: RunResult) -> State[None]:
    """The flow run's last state: never a plain green Completed when something failed."""
    counts, message = result.record.counts, f"{describe(result)}{_why(result)}"
    usable = counts.stored + counts.reused + counts.duplicate
    if counts.failed and not usable:
        return Failed(message=message)
    if counts.failed or counts.rejected:
        return Completed(name="CompletedWithFailures", message=message)
    return Completed(message=message)


def _why(result: RunResult) -> str:
    """Why most of those failed that failed, and what to do about it, in the run's own words; the table has the rest."""
    reasons = Counter(one.reason for one in result.outcomes if one.status == "failed" and not one.refused)
    if not reasons:
        return ""
    reason, count = reasons.most_common(1)[0]
    of_them = f"{count:,} of them: " if len(reasons) > 1 else ""
    return f". {of_them}{shorten(reason, REASON_SHOWN, placeholder=' …')}"


def refused(error: AssetlineError) -> State[None]:
    """The state of a run that could not be done: the error's own words, without a trace of ours in the log."""
    return Failed(message=str(error), data=error)


async def publish_stopped(stop: RunStopped) -> State[None]:
    """The summary of a run that was canceled, as of one that ended by itself; its state."""
    try:
        await publish_summary(stop.result)
    except (httpx.HTTPError, PrefectException) as error:  # it is stopped all the same, and its manifest is written
        get_run_logger().warning("summary not shown: reason=%s", error)
    return stopped(describe(stop.result))


def stopped(what: str = "") -> State[None]:
    """The state of a run that was canceled; Prefect would call it crashed."""
    facts = f" {what}." if what else ""
    return Cancelled(message=f"Stopped.{facts} What was made is kept; the same run again makes the rest.")


def describe(result: RunResult) -> str:
    """The run in one line: `100 requests: 90 stored, 6 reused, 4 failed`."""
    counts = result.record.counts
    found = [f"{count:,} {status}" for status, count in counts.model_dump().items() if count]
    refused = sum(outcome.refused for outcome in result.outcomes)
    budget = f". A cap on money refused {refused:,} of them" if refused else ""
    return f"{counts.total:,} requests: {', '.join(found) or 'nothing to do'}{budget}"
