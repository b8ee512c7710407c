"""`status`, `pause` and `resume` of a run that goes on elsewhere: everything is said and asked through the store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fakes.command_line import COMPS, Ended, write

from assetline.pipeline import Bench, Progress, WorkPool
from assetline.pipeline.live import RunNews, news_of, put_news, put_timeline, read_control
from assetline.store.folder import FolderStore
from assetline.timeline import Happening, Recorder

Assetline = Callable[..., Ended]
RUN = "20261122T014500Z-9f3a1c"
OTHER = "20261122T015500Z-0a0a0a"


@pytest.fixture
def store() -> FolderStore:
    store = FolderStore(Path("assets"))
    store.put(f"campaigns/spring/runs/{RUN}/input/spring.csv", b"id\n")
    return store


@pytest.fixture
def bench(store: FolderStore) -> Iterator[Bench]:
    with WorkPool(1) as pool:
        yield Bench(store, pool, "spring", RUN)


def recorder() -> Recorder:
    heard = Recorder(["http://gpu1:8188", "http://gpu2:8188"])
    heard.hear(Happening(0, "http://gpu1:8188", "began", "TENT-1-64x64", "sdxl"))
    heard.hear(Happening(4, "http://gpu1:8188", "made", "TENT-1-64x64", "sdxl"))
    heard.hear(Happening(4, "http://gpu1:8188", "began", "MUG-1-64x64", "sdxl"))
    heard.hear(Happening(5, "http://gpu2:8188", "down", why="no answer"))
    return heard


def news(*, paused: bool = False, ago_s: float = 0.0, done: int = 312) -> RunNews:
    progress = Progress(
        total=400, done=done, failed=2, made=done, seconds=100.0, paused=paused,
        step="paused" if paused else "making pictures", lanes=recorder().lanes(6),
    )  # fmt: skip
    return news_of(progress, (datetime.now(UTC) - timedelta(seconds=ago_s)).isoformat(timespec="seconds"))


def test_a_run_that_goes_on_says_how_far_it_is_and_what_each_lane_does(assetline: Assetline, bench: Bench) -> None:
    put_news(bench, news())
    found = assetline("status", RUN)
    assert 0 == found.code
    first, header, gpu1, gpu2 = found.out.splitlines()
    assert first.startswith(f"spring {RUN}: running; making pictures: 312 of 400, 2 failed, 3.1/s, 28 s left (")
    assert ["lane", "now"] == [header.split()[0], header.split()[-1]]
    assert gpu1.endswith("MUG-1-64x64 for 2.0 s")
    assert gpu2.endswith("down for 1.0 s: no answer")


def test_a_paused_run_is_said_to_be_paused(assetline: Assetline, bench: Bench) -> None:
    put_news(bench, news(paused=True))
    [first, *_] = assetline("status", RUN).out.splitlines()
    assert first.startswith(f"spring {RUN}: paused: 312 of 400, 2 failed (")


def test_a_run_that_says_nothing_any_more_was_probably_killed(assetline: Assetline, bench: Bench) -> None:
    put_news(bench, news(ago_s=840))
    found = assetline("status", RUN)
    assert (
        f"spring {RUN}: not finished; not heard of for 14 min, so it was probably killed; making pictures: "
        in found.out
    )
    assert found.out.endswith("Running the same sheet again makes the rest.\n")


def test_runs_tells_how_far_each_is(assetline: Assetline, bench: Bench) -> None:
    put_news(bench, news(paused=True))
    [_, line] = assetline("runs").out.splitlines()
    assert "312 of 400" in line
    assert line.endswith("paused")


def test_a_damaged_record_is_named_and_the_other_runs_are_listed(assetline: Assetline, store: FolderStore) -> None:
    store.put(f"campaigns/spring/runs/{OTHER}/run.json", b'{"campaign": "spr')
    found = assetline("runs")
    assert [OTHER, RUN] == [line.split()[0] for line in found.out.splitlines()[1:]]
    assert (0, "damaged") == (found.code, found.out.splitlines()[1].split()[-1])
    assert f"{OTHER}: file://" in found.err
    assert "run.json is no run record that this version can read." in found.err
    assert [True, False] == ["fault" in run for run in assetline("runs", "--json").json]
    assert [6, 0] == [assetline("status", run).code for run in (OTHER, RUN)]


def test_damaged_news_of_one_run_do_not_hide_the_others(assetline: Assetline, store: FolderStore) -> None:
    store.put(f"campaigns/spring/runs/{RUN}/progress.json", b"{")
    found = assetline("runs")
    assert (0, [RUN]) == (found.code, [line.split()[0] for line in found.out.splitlines()[1:]])


def test_status_json_has_the_progress(assetline: Assetline, bench: Bench) -> None:
    put_news(bench, news())
    facts = assetline("status", RUN, "--json").json
    assert (False, 312, 400) == (facts["finished"], facts["progress"]["done"], facts["progress"]["total"])


def test_the_lanes_over_time_are_shown_while_a_run_goes_on(assetline: Assetline, bench: Bench) -> None:
    put_timeline(bench, recorder().timeline(10, ended=False, campaign="spring"))
    lines = assetline("status", RUN, "--timeline").out.splitlines()
    assert "spring: 1 picture on 2 lanes in 10 s so far" == lines[0]
    assert lines[3].startswith("gpu1:8188 │█")
    assert lines[4].endswith("x│")
    assert f"Picture: {Path('assets').resolve()}/campaigns/spring/runs/{RUN}/timeline.svg" == lines[-1]
    assert Path(lines[-1].removeprefix("Picture: ")).read_text().startswith("<svg")


def test_the_lanes_over_time_are_there_after_a_run(assetline: Assetline) -> None:
    assetline("run", write("comps.csv", COMPS), "--direct", "--lane", "fpo")
    found = assetline("status", "--timeline")
    assert "comps: 3 pictures on 1 lane in " in found.out
    facts = assetline("status", "--timeline", "--json").json
    [lane] = facts["timeline"]["lanes"]
    assert ("fpo", 3, 1.0) == (lane["name"], lane["pictures"], lane["share"])
    assert True is facts["finished"]


def test_a_run_of_which_nothing_is_known_yet_has_no_picture(assetline: Assetline, store: FolderStore) -> None:
    found = assetline("status", RUN, "--timeline")
    assert (0, True) == (found.code, "nothing is written of its lanes" in found.out)
    assert None is assetline("status", RUN, "--timeline", "--json").json["timeline"]


@contextmanager
def a_run_that_obeys(bench: Bench) -> Iterator[None]:
    """Another process's run, which does within a moment what is asked of it."""
    over = threading.Event()

    def obey() -> None:
        while not over.wait(0.01):
            control = read_control(bench.store, "spring", RUN)
            if control:
                put_news(bench, news(paused=control.paused))

    thread = threading.Thread(target=obey)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_pause_and_resume_wait_for_the_runs_answer(assetline: Assetline, bench: Bench) -> None:
    put_news(bench, news())
    with a_run_that_obeys(bench):
        paused, resumed = assetline("pause", RUN), assetline("resume", RUN)
    assert (
        f"{RUN} is paused: 312 of 400, 2 failed. What runs is finished. Go on: assetline resume {RUN}\n" == paused.out
    )
    assert resumed.out.startswith(f"{RUN} goes on: 312 of 400, 2 failed")
    control = read_control(bench.store, "spring", RUN)
    assert control
    assert not control.paused


def test_pause_json_says_whether_the_run_answered(assetline: Assetline, bench: Bench) -> None:
    put_news(bench, news())
    with a_run_that_obeys(bench):
        facts = assetline("pause", "--json").json
    assert {"campaign": "spring", "run_id": RUN, "paused": True, "answered": True} == facts


def test_a_run_that_was_killed_is_asked_and_not_waited_for(assetline: Assetline, bench: Bench) -> None:
    put_news(bench, news(ago_s=840))
    found = assetline("pause", RUN)
    assert 0 == found.code
    assert f"{RUN} is asked, but was last heard of 14 min ago: it was probably killed. " in found.err


def test_a_run_that_has_ended_cannot_be_paused(assetline: Assetline) -> None:
    ended = assetline("run", write("comps.csv", COMPS), "--direct", "--lane", "fpo", "--json").json["run_id"]
    found = assetline("pause")
    assert (2, f"{ended} has ended; there is nothing to pause.\n") == (found.code, found.err)
