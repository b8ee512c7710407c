"""The lanes over time as a part of the contact sheet: closed until it is asked for."""

from __future__ import annotations

from html import escape

from assetline.timeline import HEADER, Timeline, draw, table
from assetline.timeline.axis import duration
from assetline.timeline.drawing import subtitle
from assetline.timeline.figures import many, percent, working_share
from assetline.timeline.palette import STYLE

HEADINGS = {"s each": "seconds each", "share": "share of the work", "loading": "loading (about)"}


def lanes_section(timeline: Timeline) -> str:
    """The picture and its table, as HTML; nothing where no lane did anything."""
    if not timeline.lanes:
        return ""
    head = "".join(f'<th scope="col">{escape(HEADINGS.get(name, name))}</th>' for name in HEADER)
    rows = "".join(_row(*row) for row in table(timeline.lanes))
    return (
        f'<details class="lanes">\n<summary><b>Lanes</b> <span>{escape(_brief(timeline))}</span></summary>\n'
        f'<div class="scroll" tabindex="0" role="group" aria-label="The lanes over time">{draw(timeline)}</div>\n'
        f'<div class="scroll"><table><caption>{escape(subtitle(timeline))}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>\n</details>\n"
    )


def _brief(timeline: Timeline) -> str:
    """`4 lanes worked 75 % of 2 min 5 s, 2 failures`."""
    lanes, failures = len(timeline.lanes), sum(lane.failures for lane in timeline.lanes)
    worked = f"{many(lanes, 'lane')} worked {percent(working_share(timeline.lanes))} of {duration(timeline.seconds)}"
    return f"{worked}, {many(failures, 'failure')}" if failures else worked


def _row(name: str, *cells: str) -> str:
    figures = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr><th scope="row" dir="auto">{escape(name)}</th>{figures}</tr>'


def lanes_style(timeline: Timeline | None) -> str:
    """The style sheet inside the picture, which the page's policy has to allow; empty without a picture."""
    return STYLE if timeline and timeline.lanes else ""
