"""What a person sees of a run: bar or lines, log lines meanwhile, the closing summary."""

from __future__ import annotations

import io
import logging
import re
from dataclasses import replace

import pytest
from rich.console import Console

from apps.terminal import Terminal, summary
from assetline.pipeline import Progress, RunResult
from assetline.records import Asset, Outcome, Status
from assetline.run_records import Counts, RunRecord

RUN = "20261122T014500Z-9f3a1c"
HALF = Progress(total=400, done=312, failed=2, made=312, seconds=100.0, step="making pictures")
SENTENCE = "312 of 400, 2 failed, 3.1/s, 28 s left"
LONG = "a lane is down: " + "reason " * 40 + "end"


@pytest.fixture(autouse=True)
def no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def on_a_terminal(width: int = 100) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width)


def in_a_pipe() -> Console:
    return Console(file=io.StringIO(), width=40)


def written(terminal: Terminal) -> str:
    """All that was written, with the escape codes taken out."""
    file = terminal.console.file
    assert isinstance(file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue())


# --- while it runs


def test_on_a_terminal_the_bar_shows_the_progress_sentence() -> None:
    with Terminal(on_a_terminal()) as terminal:
        terminal.report(HALF)
        terminal._bar.refresh()
    assert re.search(f"making pictures .* {SENTENCE} 0:00:", written(terminal))


def test_on_a_terminal_the_bar_is_gone_at_the_end() -> None:
    terminal = Terminal(on_a_terminal())
    with terminal:
        terminal.report(HALF)
    assert isinstance(terminal.console.file, io.StringIO)
    assert terminal.console.file.getvalue().endswith("\x1b[1A\x1b[2K")  # up to the bar's line, and the line erased


@pytest.mark.parametrize("console", [on_a_terminal(40), in_a_pipe()])
def test_a_log_line_meanwhile_is_one_whole_line(console: Console) -> None:
    logger = logging.getLogger("assetline.test")
    with Terminal(console) as terminal:
        terminal.log_through(logger)
        terminal.report(HALF)
        logger.warning(LONG)
        logger.info("not for people")
        terminal.report(replace(HALF, done=313))
    logger.warning("after the run")
    lines = [line.strip() for line in written(terminal).splitlines() if "a lane is down" in line]
    assert [f"WARNING: {LONG}"] == lines
    assert "not for people" not in written(terminal)
    assert "after the run" not in written(terminal)


def test_in_a_pipe_a_line_is_printed_for_each_step_and_not_for_each_picture() -> None:
    with Terminal(in_a_pipe()) as terminal:
        terminal.waiting_for("Starting Prefect's embedded server (about 10 s; make server keeps one running)")
        terminal.report(Progress(total=2, step="making pictures"))
        for done in (1, 2):
            terminal.report(Progress(total=2, done=done, made=done, seconds=1.0, step="making pictures"))
        terminal.report(Progress(total=2, done=2, made=2, seconds=1.0, step="writing the contact sheet"))
    assert [
        "Starting Prefect's embedded server (about 10 s; make server keeps one running)",
        "making pictures: 0 of 2",
        "writing the contact sheet: 2 of 2, 2.0/s",
    ] == written(terminal).splitlines()


@pytest.mark.parametrize(("name", "value"), [("CI", "true"), ("NO_COLOR", "1"), ("TERM", "dumb")])
def test_the_environment_can_say_that_nobody_watches_a_bar(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with Terminal(on_a_terminal()) as terminal:
        terminal.report(HALF)
    assert f"making pictures: {SENTENCE}\n" == written(terminal)


def test_square_brackets_are_text() -> None:
    with Terminal(in_a_pipe()) as terminal:
        terminal.waiting_for("a [bold] name")
    assert "a [bold] name\n" == written(terminal)


# --- the closing summary


def outcome(number: int, status: Status, reason: str = "", *, run: str = RUN) -> Outcome:
    asset = Asset(
        original=f"{number}.png", sidecar=f"{number}.json", thumbnails={}, sha256="0" * 64, width=64, height=64,
        format="PNG", seed=number, lane="fpo", job_id="", seconds=1.0, cost_usd=0.0, run_id=run,
    )  # fmt: skip
    has_picture = status not in ("failed", "canceled")
    return Outcome(
        row=f"R{number}",
        variant=1,
        request_key=str(number),
        status=status,
        reason=reason,
        label=f"R{number}-1-64x64",
        asset=asset if has_picture else None,
    )


def said(*outcomes: Outcome, **facts: object) -> list[str]:
    counts = Counts(**{status: sum(one.status == status for one in outcomes) for status in Counts.model_fields})
    record = RunRecord(
        campaign="spring",
        run_id=RUN,
        sheet="spring.csv",
        sheet_sha256="0" * 64,
        started_at="2026-11-22T01:45:00+00:00",
        finished_at="2026-11-22T01:45:12+00:00",
        seconds=12.34,
        counts=counts,
        cost_usd=0.0,
        lanes=("fpo",),
        store="/assets",
        run="file:///assets/run",
        contact_sheet="file:///my%20assets/contact-sheet.html",
    ).model_copy(update=facts)
    return summary(RunResult(record, outcomes)).splitlines()


def test_all_made() -> None:
    sheet = "  Contact sheet: /my assets/contact-sheet.html"
    assert ["spring: 2 made (12.3 s)", sheet] == said(outcome(1, "stored"), outcome(2, "stored"))


def test_nothing_to_make() -> None:
    assert "spring: nothing to make (12.3 s)" == said()[0]


def test_a_second_run_made_0_pictures_also_where_some_are_set_aside() -> None:
    before = [outcome(1, "reused", run="earlier"), outcome(2, "duplicate", run="earlier")]
    assert "spring: 0 pictures made, 1 made before, 1 set aside as duplicates (12.3 s)" == said(*before)[0]


def test_a_picture_that_is_set_aside_was_made_all_the_same() -> None:
    assert (
        "spring: 1 made before, 1 set aside as duplicates (12.3 s)"
        == said(outcome(1, "reused", run="earlier"), outcome(2, "duplicate"))[0]
    )


def test_failures_are_listed_with_label_and_reason_and_the_rest_counted() -> None:
    lines = said(
        outcome(0, "stored"),
        outcome(1, "rejected", "It is black."),
        *[outcome(n, "failed", "No memory.") for n in range(2, 14)],
    )
    assert "spring: 1 made, 1 rejected, 12 failed (12.3 s)" == lines[0]
    assert ["  rejected: R1-1-64x64: It is black.", "  failed: R2-1-64x64: No memory."] == lines[1:3]
    assert [10, f"  and 3 more: assetline status {RUN} --by row"] == [
        sum("-1-64x64" in line for line in lines),
        lines[11],
    ]


def test_all_failed() -> None:
    assert "spring: 0 pictures made, 1 failed (12.3 s)" == said(outcome(1, "failed", "No memory."))[0]


def test_interrupted() -> None:
    lines = said(outcome(1, "stored"), outcome(2, "canceled"), interrupted=True)
    assert "spring: 1 made, 1 not made (12.3 s)" == lines[0]
    assert "  Stopped before 1 picture; the same command makes the rest." in lines


def test_the_cost_is_said_where_there_is_one() -> None:
    assert "  Cost: 1.50 USD" in said(outcome(1, "stored"), cost_usd=1.5)
    assert not [line for line in said(outcome(1, "stored")) if "Cost" in line]


def test_a_contact_sheet_in_a_bucket_keeps_its_uri() -> None:
    assert "  Contact sheet: s3://b/sheet%20.html" == said(contact_sheet="s3://b/sheet%20.html")[-1]
