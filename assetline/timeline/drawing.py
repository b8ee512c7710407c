"""The picture of a run's lanes: a self-contained SVG, a row a lane, light or dark as its surroundings are."""

from __future__ import annotations

from collections.abc import Iterator

from assetline.timeline.axis import duration, moment, tick_label, ticks
from assetline.timeline.figures import many, percent, short_lane, working_share
from assetline.timeline.layout import LEGEND_LINE, LONGEST_NAME, MARGIN, WIDTH, Layout, lay_out, shortened, text, words
from assetline.timeline.palette import LETTERS, PATTERNS, STYLE
from assetline.timeline.records import Timeline
from assetline.timeline.rows import FAULTS, colour_of, cross, diamond, draw_row, letter_of

TOLD_BARS = 1_500  # up to so many bars each says what it is when pointed at: about 200 bytes each
LONGEST_GROUP = 56
LANES_WITH_TWO_AXES = 12
KINDS_NAMED = 3
TICK_PX = 85  # apart at least

Key = tuple[str, str]  # a swatch and its words


def draw(timeline: Timeline, *, width: int = WIDTH, told: bool = True) -> str:
    """The picture as SVG text, `width` px wide; its height depends on the number of lanes.

    `told=False` leaves out what is said when bars are pointed at, which is most of the bytes.
    """
    lines = _flow(_keys(timeline), width)
    layout = lay_out(timeline, len(lines), width)
    height = layout.bottom + 40
    told = told and sum(len(lane.bars) for lane in timeline.lanes) <= TOLD_BARS
    parts = (
        _opening(timeline, width, height),
        f"<style>{STYLE}</style>",
        PATTERNS,
        f'<rect class="p" width="{width}" height="{height:.0f}"/>',
        text(MARGIN, 26, shortened(title(timeline), int(width / 8.4)), "h i"),
        text(MARGIN, 44, subtitle(timeline), "s"),
        *_legend(lines),
        *_axis(layout),
        *(shape for row in layout.rows for shape in draw_row(row, layout, told=told, lettered=_lettered(timeline))),
        *_pauses(timeline, layout),
        *_names_and_counts(layout),
        "</svg>",
    )
    return "".join(parts)


def _opening(timeline: Timeline, width: float, height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="timeline" viewBox="0 0 {width} {height:.0f}" '
        f'width="{width}" height="{height:.0f}" role="img" aria-label="{words(title(timeline))}">'
    )


def title(timeline: Timeline) -> str:
    """`spring-launch: 100 pictures on 4 lanes in 2 min 5 s`."""
    made = f"{many(timeline.pictures, 'picture')} on {many(len(timeline.lanes), 'lane')}"
    name = f"{timeline.campaign}: " if timeline.campaign else ""
    return f"{name}{made} in {duration(timeline.seconds)}" + ("" if timeline.ended else " so far")


def subtitle(timeline: Timeline) -> str:
    """When it began, how much of their time the lanes worked, what they loaded, what failed."""
    loads = sum(lane.loads for lane in timeline.lanes)
    loading = sum(lane.loads_s for lane in timeline.lanes)
    failures = sum(lane.failures for lane in timeline.lanes)
    facts = (
        f"from {moment(timeline.started_at)}" if timeline.started_at else "",
        f"lanes worked {percent(working_share(timeline.lanes))} of the time",
        f"{many(loads, 'load')}{f', about {duration(loading)}' if loading else ''}" if loads else "",
        many(failures, "failure") if failures else "",
    )
    return "  ·  ".join(fact for fact in facts if fact)


def _lettered(timeline: Timeline) -> bool:
    return len(timeline.groups) > 1


def _keys(timeline: Timeline) -> Iterator[Key]:
    """The legend: the groups with their letters, then the forms that occur."""
    lettered = _lettered(timeline)
    for group, name in enumerate(timeline.groups[: len(LETTERS)]):
        letter = text(4, 9.6, letter_of(group), f"k o{colour_of(group)}") if lettered else ""
        yield f'<rect class="g{colour_of(group)}" width="15" height="12"/>{letter}', shortened(name, LONGEST_GROUP)
    if rest := timeline.groups[len(LETTERS) :]:
        said = f"{len(rest)} more" if len(rest) > 1 else shortened(rest[0], LONGEST_GROUP)
        yield f'<rect class="g{len(LETTERS)}" width="15" height="12"/>', said
    kinds = {band.kind for lane in timeline.lanes for band in lane.bands}
    marks = sorted({mark.kind for lane in timeline.lanes for mark in lane.marks})
    others = [kind for kind in marks if kind not in FAULTS]
    if any(lane.loads for lane in timeline.lanes):
        yield '<rect fill="url(#tl-load0)" width="15" height="12"/>', "loading"
    if kinds & {"down", "gone"}:
        yield '<rect fill="url(#tl-down)" width="15" height="12"/>', "down"
    if "quarantined" in kinds:
        yield '<rect fill="url(#tl-quarantined)" width="15" height="12"/>', "quarantined"
    if timeline.pauses or "paused" in kinds:
        yield '<rect fill="url(#tl-paused)" width="15" height="12"/>', "paused"
    if len(marks) > len(others):
        yield cross(7.5, 6), "failed try"
    if others:
        yield diamond(7.5, 6), ", ".join(others[:KINDS_NAMED])
    yield '<rect class="t" width="15" height="12"/>', "idle"


def _flow(keys: Iterator[Key], paper: float) -> list[list[tuple[float, Key]]]:
    """The legend in lines, each key with its place."""
    lines: list[list[tuple[float, Key]]] = [[]]
    x = float(MARGIN)
    for key in keys:
        width = 21 + len(key[1]) * 6.6 + 18
        if lines[-1] and x + width - 18 > paper - MARGIN:
            lines.append([])
            x = float(MARGIN)
        lines[-1].append((x, key))
        x += width
    return lines


def _legend(lines: list[list[tuple[float, Key]]]) -> Iterator[str]:
    for number, line in enumerate(lines):
        y = 58 + number * LEGEND_LINE
        for x, (swatch, said) in line:
            yield f'<g transform="translate({x:.0f} {y})">{swatch}{text(21, 10, said)}</g>'


def _axis(layout: Layout) -> Iterator[str]:
    """Lines at sensible times, with their words below, and above too where there are many lanes."""
    places = ticks(layout.seconds, most=int((layout.right - layout.left) / TICK_PX))
    for at in places:
        x = layout.x(at)
        yield f'<path class="g" d="M{x:.1f} {layout.top - 5:.1f}V{layout.bottom + 5:.1f}"/>'
        said = tick_label(at, places[-1])
        yield text(x, layout.bottom + 19, said, "s n m")
        if len(layout.rows) > LANES_WITH_TWO_AXES:
            yield text(x, layout.top - 9, said, "s n m")


def _pauses(timeline: Timeline, layout: Layout) -> Iterator[str]:
    """Pauses of the whole run, over all lanes."""
    for pause in timeline.pauses:
        left, right = layout.x(pause.start), layout.x(pause.end)
        box = f'x="{left:.1f}" y="{layout.top - 4:.1f}" width="{max(right - left, 1.5):.1f}"'
        said = f"paused for {duration(pause.end - pause.start)}, from {duration(pause.start)} on"
        yield (
            f'<g><title>{said}</title><rect fill="url(#tl-paused)" {box} '
            f'height="{layout.bottom - layout.top + 8:.1f}"/></g>'
        )
        if right - left >= 44:
            yield text((left + right) / 2, layout.bottom + 32, "paused", "w s m")


def _names_and_counts(layout: Layout) -> Iterator[str]:
    idle_at = layout.width - MARGIN
    pictures_at = idle_at - 52
    yield text(pictures_at, layout.top - 9, "pictures", "w s e")
    yield text(idle_at, layout.top - 9, "idle", "w s e")
    for row in layout.rows:
        lane, middle = row.lane, row.top + row.height / 2 + 4
        watched = lane.working_s + lane.away_s + lane.paused_s + lane.idle_s
        yield text(layout.left - 10, middle, shortened(short_lane(lane.name), LONGEST_NAME), "i e")
        yield text(pictures_at, middle, f"{lane.pictures:,}", "n i e")
        yield text(idle_at, middle, percent(lane.idle_s / watched if watched else 0.0), "n s e")
