"""Happenings on lanes become bars, bands and exact totals, however long a run is."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assetline.errors import StoreError
from assetline.timeline import Happening, Recorder, Timeline, fleet_figures, read_timeline, table, timeline_json
from assetline.timeline.records import Band, Bar
from assetline.timeline.thinning import thinned


def recorded(*what: tuple, until: float, lanes: tuple[str, ...] = ("gpu1",), ended: bool = True) -> Timeline:
    """A timeline of `(at, kind, label, group, why)` on gpu1, or of whole happenings."""
    recorder = Recorder(lanes)
    for one in what:
        recorder.hear(one if isinstance(one, Happening) else Happening(one[0], "gpu1", *one[1:]))
    return recorder.timeline(until, ended=ended)


def made(at: float, seconds: float, label: str, group: str = "sdxl", *, load: bool = False) -> list[tuple]:
    return [(at, "began", label, group, "load" if load else ""), (at + seconds, "made", label, group)]


def test_a_picture_is_a_bar_with_its_request_and_its_group():
    [lane] = recorded(*made(1, 2, "TENT-1-64x64"), until=4).lanes
    assert (Bar(1, 3, 0, label="TENT-1-64x64"),) == lane.bars
    assert (1, 2.0) == (lane.pictures, lane.median_s)
    assert (2.0, 2.0) == (lane.working_s, lane.idle_s)


def test_what_a_lane_has_in_its_queue_is_not_work_yet():
    [lane] = recorded((0, "taken", "A"), *made(1, 1, "B"), until=2).lanes
    assert ["B"] == [bar.label for bar in lane.bars]


def test_a_load_is_what_a_picture_took_longer_than_those_without():
    [lane] = recorded(*made(0, 12, "A", load=True), *made(12, 2, "B"), *made(14, 2, "C"), until=16).lanes
    assert [10.0, 0.0, 0.0] == [bar.load for bar in lane.bars]
    assert (1, 10.0, 2.0) == (lane.loads, lane.loads_s, lane.median_s)


def test_a_load_is_told_from_other_lanes_where_this_one_made_no_other_picture():
    there = [Happening(at, "gpu2", kind, "B", "sdxl") for at, kind in ((0, "began"), (3, "made"))]
    timeline = recorded(*made(0, 12, "A", load=True), *there, until=12, lanes=("gpu1", "gpu2"))
    assert [9.0] == [bar.load for bar in timeline.lanes[0].bars]


def test_a_load_of_unknown_length_is_said_to_be_so():
    [lane] = recorded(*made(0, 12, "A", load=True), until=12).lanes
    assert [-1.0] == [bar.load for bar in lane.bars]
    assert (1, 0.0) == (lane.loads, lane.loads_s)


def test_a_failed_try_is_a_bar_and_a_mark_with_its_reason():
    [lane] = recorded((0, "began", "A", "g"), (3, "failed", "A", "g", "out of memory"), until=4).lanes
    assert [True] == [bar.failed for bar in lane.bars]
    assert ["A: out of memory"] == [mark.why for mark in lane.marks]
    assert (0, 1) == (lane.pictures, lane.failures)


def test_what_was_taken_back_is_nobodys_failure():
    [lane] = recorded((0, "began", "A", "g"), (3, "failed", "A", "g", ""), until=4).lanes
    assert (0, ()) == (lane.failures, lane.marks)
    assert [False] == [bar.failed for bar in lane.bars]


def test_a_lane_that_is_down_is_away_until_it_answers():
    [lane] = recorded((2, "down", "", "", "no answer"), (5, "waiting", "", "", "3 wait"), (7, "up"), until=10).lanes
    assert (Band(2, 7, "down", "3 wait"),) == lane.bands
    assert (5.0, 5.0) == (lane.away_s, lane.idle_s)


def test_a_lane_that_stays_away_is_gone_from_when_it_went():
    [lane] = recorded((2, "down", "", "", "x"), (8, "gone", "", "", "x"), until=10).lanes
    assert (Band(2, 10, "gone", "x"),) == lane.bands


def test_a_quarantine_ends_when_the_lane_is_released():
    [lane] = recorded(
        (1, "quarantined", "", "", "black pictures"), (3, "canary", "C", "g"), (4, "released"), until=5
    ).lanes
    assert (Band(1, 4, "quarantined", "black pictures"),) == lane.bands
    assert ["canary"] == [mark.kind for mark in lane.marks]


@pytest.mark.parametrize("first", ["down", "quarantined"])
def test_a_lane_that_cannot_be_reached_is_down_and_quarantined_only_when_it_answers(first):
    faults = [(2, "down", "", "", "no answer"), (2, "quarantined", "", "", "it was away")]
    happened = (*sorted(faults, key=lambda fault: fault[1] != first), (5, "waiting", "", "", "3 wait"), (7, "up"))
    [now] = recorded(*happened[:3], until=6, ended=False).lanes
    assert ("down for 4.0 s: 3 wait", "down") == (now.doing, now.state)
    [then] = recorded(*happened, until=8, ended=False).lanes
    assert ("quarantined for 1.0 s: it was away", "quarantined") == (then.doing, then.state)
    [after] = recorded(*happened, (9, "canary", "A", "g"), (10, "released"), until=12).lanes
    assert (Band(2, 7, "down", "3 wait"), Band(7, 10, "quarantined", "it was away")) == after.bands
    assert (8.0, 4.0) == (after.away_s, after.idle_s)


def test_a_quarantined_lane_that_goes_down_is_down_and_one_that_stays_away_is_gone():
    [lane] = recorded(
        (1, "quarantined", "", "", "black pictures"), (3, "down", "", "", "x"), (6, "gone", "", "", "x"), until=9
    ).lanes
    assert (Band(1, 3, "quarantined", "black pictures"), Band(3, 9, "gone", "x")) == lane.bands


def test_a_lane_that_is_trusted_again_while_it_is_away_stays_down_until_it_answers():
    """The canary's picture came before it went."""
    [lane] = recorded(
        (1, "quarantined", "", "", "black"), (3, "down", "", "", "x"), (4, "released"), (6, "up"), until=9
    ).lanes
    assert (Band(1, 3, "quarantined", "black"), Band(3, 6, "down", "x")) == lane.bands


def test_a_quarantine_of_one_group_leaves_the_lane_at_work():
    [lane] = recorded((1, "quarantined", "", "flux", "lacks it"), (4, "released", "", "flux"), until=5).lanes
    assert ((), 5.0) == (lane.bands, lane.idle_s)
    assert ["quarantined", "released"] == [mark.kind for mark in lane.marks]


def test_a_kind_that_is_not_known_is_a_mark():
    [lane] = recorded((1, "throttled", "", "", "429"), until=2).lanes
    assert [("throttled", "429")] == [(mark.kind, mark.why) for mark in lane.marks]


def test_a_pause_is_the_runs_and_no_lane_is_idle_in_it():
    pause = [Happening(2, "", "paused"), Happening(6, "", "resumed")]
    timeline = recorded((0, "began", "A", "g"), pause[0], (3, "made", "A", "g"), pause[1], until=8)
    assert (Band(2, 6, "paused"),) == timeline.pauses
    [lane] = timeline.lanes
    assert (3.0, 3.0, 2.0) == (lane.working_s, lane.paused_s, lane.idle_s)


def test_a_run_that_goes_on_shows_what_runs_and_that_it_is_paused():
    timeline = recorded((0, "began", "A", "g"), Happening(5, "", "paused"), until=9, ended=False)
    [lane] = timeline.lanes
    assert ("A for 9.0 s", "working") == (lane.doing, lane.state)
    assert [(0.0, 9.0)] == [(bar.start, bar.end) for bar in lane.bars]
    assert (Band(5, 9, "paused"),) == timeline.pauses


@pytest.mark.parametrize(
    ("what", "doing", "state"),
    [
        ((), "", "idle"),
        (((1, "down", "", "", "no answer"),), "down for 8.0 s: no answer", "down"),
        ((Happening(1, "", "paused"),), "paused", "paused"),
        (((1, "began", "A", "g"), (2, "began", "B", "g")), "A for 8.0 s and 1 more", "working"),
    ],
)
def test_what_a_lane_does_now_is_said(what, doing, state):
    [lane] = recorded(*what, until=9, ended=False).lanes
    assert (doing, state) == (lane.doing, lane.state)


def test_several_slots_have_bars_beside_one_another():
    what = sorted(made(0, 4, "A") + made(1, 1, "B") + made(2.5, 1, "C"))
    [lane] = recorded(*what, until=4).lanes
    assert {"A": 0, "B": 1, "C": 1} == {bar.label: bar.slot for bar in lane.bars}
    assert (2, 4.0) == (lane.slots, lane.working_s)


def test_groups_stand_in_the_order_of_their_work():
    timeline = recorded(*made(0, 1, "A", "small"), *made(1, 5, "B", "large"), until=6)
    assert ("large", "small") == timeline.groups
    assert [1, 0] == [bar.group for bar in timeline.lanes[0].bars]


def test_shares_and_idle_times_are_told_for_each_lane():
    there = [Happening(0, "gpu2", "began", "B", "g"), Happening(4, "gpu2", "made", "B", "g")]
    timeline = recorded(*made(0, 1, "A"), *made(1, 1, "C"), *made(2, 1, "D"), *there, until=4, lanes=("gpu1", "gpu2"))
    first, second = fleet_figures(timeline.lanes)
    assert (3, 0.75, 0.25, 1.0) == (first.pictures, first.share, first.idle, first.median_s)
    assert (1, 0.25, 0.0, 4.0) == (second.pictures, second.share, second.idle, second.median_s)
    assert ("gpu1", "3", "75 %", "1.0", "-", "-", "25 %", "-", "-") == table(timeline.lanes)[0]


def test_ten_thousand_pictures_keep_their_totals_and_few_bars():
    recorder = Recorder(["gpu1", "gpu2"])
    for number in range(10_000):
        lane, at, group = f"gpu{number % 2 + 1}", number * 1.0, f"model{number // 700}"
        recorder.hear(Happening(at, lane, "began", f"R{number}", group, "load" if number % 700 < 2 else ""))
        recorder.hear(Happening(at + 1.5, lane, "made", f"R{number}", group))
    timeline = recorder.timeline(10_001.0, ended=True)
    assert 10_000 == timeline.pictures
    assert 10_000 == sum(bar.pictures for lane in timeline.lanes for bar in lane.bars)
    assert all(len(lane.bars) <= 1_000 for lane in timeline.lanes)
    assert len(timeline_json(timeline)) < 200_000
    assert 15 == len(timeline.groups)


bars = st.lists(
    st.tuples(st.integers(1, 50), st.integers(0, 30), st.integers(0, 3), st.booleans()), min_size=1, max_size=60
)


@given(bars, st.integers(1, 20))
def test_thinning_keeps_every_picture_and_the_order_of_time(lengths, most):
    at, found = 0, []
    for seconds, gap, group, failed in lengths:
        found.append(Bar(at + gap, at + gap + seconds, group, failed=failed, label=f"R{len(found)}"))
        at += gap + seconds
    thin = thinned(found, most)
    assert len(thin) <= most
    assert len(found) == sum(bar.pictures for bar in thin)
    assert (found[0].start, found[-1].end) == (thin[0].start, thin[-1].end)
    assert all(first.end <= second.start for first, second in pairwise(thin))
    assert any(bar.failed for bar in found) == any(bar.failed for bar in thin)


def test_the_file_has_a_version_and_reads_back():
    timeline = recorded(*made(0, 2, "A", load=True), (3, "failed", "B", "g", "x"), (4, "down"), until=5)
    data = timeline_json(timeline)
    assert 1 == json.loads(data)["version"]
    assert timeline == read_timeline(data)


@pytest.mark.parametrize("data", [b"", b"{", b'{"version": 2}', b'{"version": 1, "lanes": [{}]}'])
def test_a_file_that_cannot_be_read_is_said_to_be_so(data):
    with pytest.raises(StoreError, match=r"timeline\.json cannot be read"):
        read_timeline(data)
