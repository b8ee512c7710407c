"""Where everything of the picture stands, in pixels of its own paper."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape

from assetline.timeline.figures import short_lane
from assetline.timeline.records import LaneTimeline, Timeline

WIDTH = 1120
MARGIN = 16
TEXT_PX = 7.1  # of a letter at 12 px, on the safe side
LONGEST_NAME = 26
COUNTS = 116  # the columns on the right: pictures, idle
LEGEND_LINE = 20
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Row:
    """A lane's row: its top and height."""

    lane: LaneTimeline
    top: float
    height: float


@dataclass(frozen=True)
class Layout:
    """The plot lies between `left` and `right`, `top` and `bottom`; `seconds` of time fill its width."""

    left: float
    right: float
    top: float
    bottom: float
    seconds: float
    rows: tuple[Row, ...]

    def x(self, at: float) -> float:
        """Where a moment is."""
        return self.left + (self.right - self.left) * min(max(at / self.seconds, 0.0), 1.0)

    @property
    def width(self) -> float:
        """Of the paper."""
        return self.right + COUNTS + MARGIN

    @property
    def seconds_per_px(self) -> float:
        """What a pixel stands for."""
        return self.seconds / (self.right - self.left)


def lay_out(timeline: Timeline, legend_lines: int, width: float = WIDTH) -> Layout:
    """The layout under a title, a subtitle and a legend, on paper of that width."""
    names = [short_lane(lane.name) for lane in timeline.lanes]
    longest = min(max((len(name) for name in names), default=4), LONGEST_NAME)
    top = 58 + legend_lines * LEGEND_LINE + 20
    rows, bottom = [], float(top)
    height, gap = _sizes(len(names))
    for lane in timeline.lanes:
        own = max(height, min(lane.slots * 8, 64))
        rows.append(Row(lane, bottom, own))
        bottom += own + gap
    left = MARGIN + longest * TEXT_PX + 12
    return Layout(left, width - MARGIN - COUNTS, top, bottom - gap, timeline.seconds or 1.0, tuple(rows))


def _sizes(lanes: int) -> tuple[float, float]:
    """Height of a row and the gap below it: few lanes are drawn large, many so that they fit on a screen."""
    if lanes <= 4:
        return 28, 10
    return (22, 6) if lanes <= 12 else (16, 4)


def words(text: str) -> str:
    """Text for the picture: escaped, without what XML cannot hold."""
    return escape(_NOT_XML.sub("", text))


def shortened(text: str, most: int) -> str:
    """At most `most` characters; its middle goes, since hosts differ at both ends."""
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def text(x: float, y: float, said: str, names: str = "i") -> str:
    """A text element."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{names}">{words(said)}</text>'
