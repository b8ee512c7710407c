"""What happened on the lanes of a run over time: recorded as it happens, kept small, drawn as one picture.

`recorder` turns happenings into bars and totals, `records` is what is kept (`timeline.json`), `drawing` the SVG, `text`
the form for a terminal, `figures` the table beside both.
"""

from assetline.timeline.drawing import draw
from assetline.timeline.figures import HEADER, LaneFigures, fleet_figures, table
from assetline.timeline.recorder import Happening, Recorder
from assetline.timeline.records import LaneTimeline, Timeline, read_timeline, timeline_json
from assetline.timeline.text import timeline_text

__all__ = [
    "HEADER",
    "Happening",
    "LaneFigures",
    "LaneTimeline",
    "Recorder",
    "Timeline",
    "draw",
    "fleet_figures",
    "read_timeline",
    "table",
    "timeline_json",
    "timeline_text",
]
