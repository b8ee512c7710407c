"""The picture of the lanes and its form for a terminal."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assetline.timeline import Happening, Recorder, Timeline, draw, timeline_text
from assetline.timeline.axis import duration, tick_label, ticks
from assetline.timeline.drawing import TOLD_BARS
from assetline.timeline.palette import LETTERS

SVG = "{http://www.w3.org/2000/svg}"


def fleet(lanes: int, pictures: int, seconds: float = 2.0, groups: int = 3) -> Timeline:
    """Each lane makes so many pictures, `seconds` each, its group changing half-way; with a failure and an absence."""
    recorder = Recorder([f"http://gpu{number}:8188" for number in range(lanes)])
    for number in range(lanes):
        lane = f"http://gpu{number}:8188"
        for picture in range(pictures):
            at, group = picture * seconds, f"model {(number + 2 * picture // pictures) % groups}"
            why = "load" if picture in (0, pictures // 2) else ""
            recorder.hear(Happening(at, lane, "began", f"R{picture}", group, why))
            recorder.hear(Happening(at + seconds, lane, "made", f"R{picture}", group))
    recorder.hear(Happening(pictures * seconds, "http://gpu0:8188", "down", why="no answer"))
    recorder.hear(Happening(pictures * seconds, "http://gpu0:8188", "failed", why="no answer"))
    facts = {"campaign": "spring", "started_at": "2026-11-22T01:45:00+00:00"}
    return recorder.timeline(pictures * seconds * 1.25, ended=True, **facts)


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def said(svg: str) -> list[str]:
    return ["".join(text.itertext()) for text in parsed(svg).iter(f"{SVG}text")]


def boxes(svg: str) -> list[tuple[float, ...]]:
    shapes = [box for box in parsed(svg).iter(f"{SVG}rect") if "x" in box.attrib]
    return [tuple(float(box.get(name, "0")) for name in ("x", "y", "width", "height")) for box in shapes]


@pytest.mark.parametrize(("lanes", "pictures"), [(1, 1), (2, 5), (4, 25), (32, 25)])
def test_every_lane_has_its_row_with_name_and_figures(lanes, pictures):
    words = said(draw(fleet(lanes, pictures)))
    assert [f"gpu{number}:8188" for number in range(lanes)] == [one for one in words if one.startswith("gpu")]
    assert lanes == words.count(str(pictures))


@pytest.mark.parametrize(
    ("lanes", "pictures", "seconds"), [(2, 5, 1.0), (32, 25, 4.0), (8, 1_250, 30.0), (3, 2, 0.004)]
)
@pytest.mark.parametrize("width", [760, 1120])
def test_everything_lies_on_the_paper(lanes, pictures, seconds, width):
    svg = draw(fleet(lanes, pictures, seconds), width=width)
    _, _, paper, height = map(float, (parsed(svg).get("viewBox") or "").split())
    assert width == paper
    assert all(x >= 0 and y >= 0 and x + w <= paper and y + h <= height for x, y, w, h in boxes(svg))


def test_bars_say_what_they_are_when_there_are_not_too_many():
    few, many = draw(fleet(4, 25)), draw(fleet(8, 2 * TOLD_BARS // 8))
    titles = [title.text for title in parsed(few).iter(f"{SVG}title")]
    assert "R3: 2.0 s, from 6.0 s on" in titles
    assert 8 > len([title.text for title in parsed(many).iter(f"{SVG}title")])
    assert few.count("<title>") > 100 > draw(fleet(4, 25), told=False).count("<title>")


def test_groups_have_letters_and_those_past_the_last_share_one_colour():
    timeline = fleet(12, 12, groups=len(LETTERS) + 3)
    words = said(draw(timeline))
    assert set(LETTERS) <= set(words)
    assert "3 more" in words


def test_one_group_needs_no_letter():
    assert "A" not in said(draw(fleet(2, 6, groups=1)))


def test_nothing_is_told_by_colour_alone():
    """Each form that occurs is in the legend, and what took a lane away is written on it."""
    words = said(draw(fleet(2, 6)))
    assert {"loading", "down", "failed try", "idle"} <= set(words)
    assert 2 == words.count("down")


def test_what_does_not_occur_is_not_in_the_legend():
    recorder = Recorder(["fpo"])
    words = said(draw(recorder.timeline(3, ended=True)))
    assert not {"loading", "down", "failed try", "paused", "quarantined"} & set(words)


def test_it_needs_nothing_from_elsewhere_and_runs_nothing():
    svg = draw(fleet(4, 25))
    assert [] == re.findall(r"<script|<image|@import|href=|https?://(?!www\.w3\.org/2000/svg)", svg)


HOSTILE = st.text(st.characters(exclude_categories=()), max_size=40)


@given(HOSTILE, HOSTILE, HOSTILE)
def test_whatever_things_are_called_it_is_a_picture(lane, label, why):
    recorder = Recorder([lane or "lane"])
    recorder.hear(Happening(0, lane or "lane", "began", label, label))
    recorder.hear(Happening(1, lane or "lane", "failed", label, label, why))
    recorder.hear(Happening(2, lane or "lane", why or "x", label, label, why))
    svg = draw(recorder.timeline(3, ended=False, campaign=why))
    assert f"{SVG}svg" == parsed(svg).tag


def test_a_run_of_no_time_and_no_lanes_is_drawn():
    assert parsed(draw(Timeline())) is not None
    assert parsed(draw(Recorder(["fpo"]).timeline(0, ended=True))) is not None


@pytest.mark.parametrize(
    ("seconds", "labels"),
    [
        (1.1, ["0", "0.2 s", "0.4 s", "0.6 s", "0.8 s", "1 s"]),
        (10, ["0", "1 s", "2 s", "3 s", "4 s", "5 s", "6 s", "7 s", "8 s", "9 s", "10 s"]),
        (118, ["0", "15 s", "30 s", "45 s", "60 s", "75 s", "90 s", "105 s"]),
        (160, ["0", "0:30", "1:00", "1:30", "2:00", "2:30"]),
        (3600 * 1.5, ["0", "10 min", "20 min", "30 min", "40 min", "50 min", "1 h", "1 h 10", "1 h 20", "1 h 30"]),
        (36_000, ["0", "1 h", "2 h", "3 h", "4 h", "5 h", "6 h", "7 h", "8 h", "9 h", "10 h"]),
    ],
)
def test_the_axis_has_sensible_ticks(seconds, labels):
    places = ticks(seconds)
    assert labels == [tick_label(at, places[-1]) for at in places]


@given(st.floats(0.001, 1e8), st.integers(1, 20))
def test_there_are_never_too_many_ticks(seconds, most):
    assert len(ticks(seconds, most)) <= most + 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.042, "0.04 s"),
        (0.4, "0.4 s"),
        (0.999, "1.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (125, "2 min 5 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds, words):
    assert words == duration(seconds)


def test_a_terminal_shows_a_line_of_blocks_for_each_lane_and_the_table():
    lines = timeline_text(fleet(2, 10), columns=60)
    assert "spring: 20 pictures on 2 lanes in 25 s" == lines[0]
    first, second = lines[3:5]
    assert re.fullmatch(r"gpu0:8188 │.{48}│", first)
    assert {"█", "x"} <= set(first)
    assert second.endswith(" │")
    assert lines[-3].split() == [
        "lane",
        "pictures",
        "share",
        "s",
        "each",
        "loads",
        "loading",
        "idle",
        "away",
        "failures",
    ]


@pytest.mark.parametrize("columns", [40, 60, 100, 160])
def test_a_terminals_lines_are_no_wider_than_it(columns):
    blocks = [line for line in timeline_text(fleet(32, 25), columns) if "│" in line]
    assert 32 == len(blocks)
    assert all(len(line) <= columns for line in blocks)


def test_loads_pauses_and_quarantine_have_their_signs():
    recorder = Recorder(["a", "b"])
    for at, lane, kind, why in (
        *((0, "a", "began", "load"), (50, "a", "made", ""), (50, "b", "quarantined", ""), (80, "b", "released", "")),
        *((80, "", "paused", ""), (100, "", "resumed", "")),
    ):
        recorder.hear(
            Happening(at, lane, kind, "R" if kind in ("began", "made") else "", "g" if lane == "a" else "", why)
        )
    text = timeline_text(recorder.timeline(100, ended=True), columns=24)
    assert "a │░░░░░░░░░░      ‖‖‖‖│" == text[3]
    assert "b │          ??????‖‖‖‖│" == text[4]
