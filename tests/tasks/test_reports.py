"""What is reported while a run goes on: how often, and in which words."""

from __future__ import annotations

import asyncio
from typing import Any

from fakes.virtual_time import run_virtual

from assetline.pipeline import Progress
from assetline.records import Problem
from assetline.timeline import Happening, LaneTimeline, Recorder
from tasks.live import Paced, lanes_said, lanes_shown
from tasks.reports import problem_rows
from tasks.run_log import ProgressLines


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def making(done: int, total: int = 400, **facts: Any) -> Progress:
    return Progress(total=total, done=done, step="making pictures", **facts)


class Shown:
    """Keeps what is passed on, with the time; each takes `seconds`, as a busy server does."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.at: list[tuple[float, int]] = []

    async def __call__(self, progress: Progress) -> None:
        await asyncio.sleep(self.seconds)
        self.at.append((asyncio.get_running_loop().time(), progress.done))


def report_for(seconds: int, shown: Shown, *, per_second: int = 10) -> None:
    """Report `per_second` ends a second, for so long."""

    async def work() -> None:
        async with Paced(400, shown, 1.0) as report:
            for done in range(1, seconds * per_second + 1):
                await asyncio.sleep(1 / per_second)
                report(making(done))

    run_virtual(work())


def test_progress_is_passed_on_once_a_second_and_the_last_one_always() -> None:
    shown = Shown()
    report_for(4, shown)
    assert 5 >= len(shown.at)
    assert 40 == shown.at[-1][1]
    pauses = [later - earlier for (earlier, _), (later, _) in zip(shown.at, shown.at[1:-1], strict=False)]
    assert all(pause >= 1.0 - 1e-9 for pause in pauses)


def test_a_busy_server_delays_what_is_shown_and_not_the_work() -> None:
    shown = Shown(seconds=5.0)
    report_for(20, shown)
    assert 5 >= len(shown.at)
    assert 200 == shown.at[-1][1]


def test_what_does_not_change_is_not_sent_again() -> None:
    shown = Shown()

    async def work() -> None:
        async with Paced(400, shown, 1.0) as report:
            report(making(1))
            await asyncio.sleep(60)

    run_virtual(work())
    assert [1] == [done for _, done in shown.at]


def test_the_newest_is_shown_though_the_run_is_cancelled() -> None:
    shown = Shown()

    async def work() -> None:
        async with Paced(400, shown, 1.0) as report:
            report(making(7))
            raise asyncio.CancelledError

    async def outer() -> None:
        await asyncio.gather(work(), return_exceptions=True)

    run_virtual(outer())
    assert [7] == [done for _, done in shown.at]


def lanes(at: float, *, pictures: int = 0, down: bool = False) -> tuple[LaneTimeline, ...]:
    recorder = Recorder(["gpu1", "gpu2"])
    for number in range(pictures):
        recorder.hear(Happening(0, "gpu1", "began", f"R{number}", "g"))
        recorder.hear(Happening(0, "gpu1", "made", f"R{number}", "g"))
    recorder.hear(Happening(0, "gpu1", "began", "TENT", "g"))
    if down:
        recorder.hear(Happening(0, "gpu2", "down", why="no answer"))
    return recorder.lanes(at)


def test_lanes_are_shown_again_when_something_has_happened_and_not_because_time_passed() -> None:
    before = lanes_shown(making(1, lanes=lanes(10)))
    assert before == lanes_shown(making(1, lanes=lanes(400)))
    assert before != lanes_shown(making(1, lanes=lanes(400, pictures=1)))
    assert before != lanes_shown(making(1, lanes=lanes(400, down=True)))


def test_a_run_of_seconds_has_no_news_of_lanes() -> None:
    shown = Shown()

    async def work() -> None:
        async with Paced(400, shown, 15.0, lanes_shown) as report:
            report(making(1))

    run_virtual(work())
    assert [] == shown.at


def test_the_lanes_are_counted_in_a_line() -> None:
    assert "2 lanes: 1 working, 1 idle" == lanes_said(making(1, lanes=lanes(1)))
    assert "2 lanes: 1 working, 1 down" == lanes_said(making(1, lanes=lanes(1, down=True)))
    assert "1 lane: 1 idle" == lanes_said(making(1, lanes=lanes(1)[1:]))


def test_lanes_that_have_ended_are_said_to_have() -> None:
    ended = making(1, lanes=lanes(9, pictures=3), timeline=Recorder(["gpu1"]).timeline(9, ended=True))
    assert "2 lanes made 3 pictures" == lanes_said(ended)
    assert lanes_shown(ended) != lanes_shown(making(1, lanes=lanes(9, pictures=3)))


def test_a_quick_run_has_few_lines_and_each_step_has_one() -> None:
    lines: list[str] = []
    clock = Clock()
    say = ProgressLines(lines.append, clock)
    say(Progress(total=24, step="looking at what is already made"))
    for done in range(1, 25):
        clock.now += 0.05
        say(making(done, total=24))
    say(Progress(total=24, done=24, step="writing the contact sheet"))
    assert ["looking at what is already made: 0 of 24", "making pictures: 1 of 24"] == lines[:2]
    assert "writing the contact sheet: 24 of 24" == lines[-1]
    assert 5 >= len(lines)


def test_a_run_of_minutes_has_a_line_at_each_twentieth() -> None:
    lines: list[str] = []
    clock = Clock()
    say = ProgressLines(lines.append, clock)
    for done in range(401):
        clock.now += 0.5
        say(making(done))
    assert [f"making pictures: {done} of 400" for done in range(0, 401, 20)] == lines


def test_a_slow_run_has_a_line_every_half_minute() -> None:
    lines: list[str] = []
    clock = Clock()
    say = ProgressLines(lines.append, clock)
    for done in range(1, 13):
        clock.now += 10
        say(making(done, total=10_000))
    assert [f"making pictures: {done} of 10,000" for done in (1, 4, 7, 10)] == lines


def test_a_line_reads_as_people_say_it() -> None:
    lines: list[str] = []
    ProgressLines(lines.append, Clock())(making(312, failed=2, made=312, seconds=100.6))
    assert ["making pictures: 312 of 400, 2 failed, 3.1/s, 28 s left"] == lines


def test_a_problem_is_a_row_that_names_its_cell_first() -> None:
    problem = Problem(
        severity="error",
        code="size",
        sheet="spring",
        row=4,
        column="Size",
        cell="C4",
        value="huge",
        message='"huge" is no size.',
        fix="Write 1024x1024.",
    )
    [row] = problem_rows([problem])
    assert ["C4", "Size", "error", '"huge" is no size.', "Write 1024x1024.", "huge"] == list(row.values())
    assert "row 4" == problem_rows([problem.model_copy(update={"cell": ""})])[0]["cell"]
