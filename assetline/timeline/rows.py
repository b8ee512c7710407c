"""One lane's row of the picture: its bars by group, loads hatched, absences and failures over them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from assetline.timeline.axis import duration
from assetline.timeline.layout import Layout, Row, text, words
from assetline.timeline.palette import LETTERS
from assetline.timeline.records import Band, Bar, Mark
from assetline.timeline.thinning import merged

FINEST_PX = 2.0  # neighbours that are narrower together become one bar
GAP_PX = 0.7  # between two pictures, from GAPPED_PX on: narrower ones would only flicker
GAPPED_PX = 5.0
LETTER_PX = 15.0  # from so wide on a stretch of one group has its letter
MARK_PX = 7.0  # marks nearer than that are one
WORD_PX = 6.2
FAULTS = ("failed", "lost", "error")


def colour_of(group: int) -> int:
    """The number of the group's colour; those past the letters share the last one."""
    return min(group, len(LETTERS))


def letter_of(group: int) -> str:
    """The group's letter, or a plus for those that share a colour."""
    return LETTERS[group] if group < len(LETTERS) else "+"


def draw_row(row: Row, layout: Layout, *, told: bool, lettered: bool) -> Iterator[str]:
    """The row's shapes. `told`: each bar says what it is when pointed at; `lettered`: stretches have letters."""
    width = layout.right - layout.left
    yield f'<rect class="t" x="{layout.left:.1f}" y="{row.top:.1f}" width="{width:.1f}" height="{row.height:.1f}"/>'
    bars = merged(row.lane.bars, FINEST_PX * layout.seconds_per_px)
    yield from (_told_bars(bars, row, layout) if told else _plain_bars(bars, row, layout))
    if lettered:
        yield from _letters(bars, row, layout)
    for band in row.lane.bands:
        yield from _band(band, row, layout)
    yield from _marks(row.lane.marks, row, layout)


def _box(bar: Bar, row: Row, layout: Layout) -> tuple[float, float, float, float]:
    """x, y, width, height of a bar."""
    left, right = layout.x(bar.start), layout.x(bar.end)
    height = row.height / row.lane.slots
    width = right - left
    width = width - GAP_PX if width >= GAPPED_PX else max(width, 0.8)
    return left, row.top + bar.slot * height, width, height - (1 if row.lane.slots > 1 and height > 4 else 0)


def _parts(bar: Bar, row: Row, layout: Layout) -> Iterator[tuple[str, tuple[float, float, float, float]]]:
    """The bar's paint and place; first what it loaded, where it did."""
    x, y, width, height = _box(bar, row, layout)
    colour = colour_of(bar.group)
    load = bar.end - bar.start if bar.load < 0 else bar.load
    loading = min(width, load / layout.seconds_per_px)
    if loading > 0:
        yield f'fill="url(#tl-load{colour})"', (x, y, loading, height)
    if width > loading:
        paint = f'class="w{colour}"' if bar.failed else f'class="g{colour}"'
        yield paint, (x + loading, y, width - loading, height)


def _told_bars(bars: Sequence[Bar], row: Row, layout: Layout) -> Iterator[str]:
    for bar in bars:
        shapes = "".join(
            f'<rect {paint} x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
            for paint, (x, y, width, height) in _parts(bar, row, layout)
        )
        yield f"<g><title>{words(_told(bar))}</title>{shapes}</g>"


def _told(bar: Bar) -> str:
    pictures = f" ({bar.pictures:,} pictures)" if bar.pictures > 1 else ""
    load = f", of it about {duration(bar.load)} loading" if bar.load > 0 else ", a load among it" if bar.load else ""
    ended = ", failed" if bar.failed else ""
    return f"{bar.label}{pictures}: {duration(bar.end - bar.start)}{load}{ended}, from {duration(bar.start)} on"


def _plain_bars(bars: Sequence[Bar], row: Row, layout: Layout) -> Iterator[str]:
    """All bars of one paint as one path: a tenth of the bytes."""
    paths: dict[str, list[str]] = {}
    for bar in bars:
        for paint, (x, y, width, height) in _parts(bar, row, layout):
            paths.setdefault(paint, []).append(f"M{x:.1f} {y:.1f}h{width:.1f}v{height:.1f}h-{width:.1f}z")
    for paint, path in paths.items():
        yield f'<path {paint} d="{"".join(path)}"/>'


def _letters(bars: Iterable[Bar], row: Row, layout: Layout) -> Iterator[str]:
    """A letter at the beginning of each stretch of one group, where there is room for it."""
    height = row.height / row.lane.slots
    if height < 11:
        return
    for stretch in _stretches(bars, layout):
        first = stretch[0]
        left, right = layout.x(first.start + max(first.load, 0.0)), layout.x(stretch[-1].end)
        if right - left >= LETTER_PX and first.load >= 0:
            middle = row.top + first.slot * height + height / 2 + 3.6
            paint = "s" if first.failed else f"o{colour_of(first.group)}"
            yield text(left + 4, middle, letter_of(first.group), f"k {paint}")


def _stretches(bars: Iterable[Bar], layout: Layout) -> Iterator[list[Bar]]:
    """Bars of one slot and group that follow one another; a load, a failure or a gap that is seen begins a new one."""
    stretch: list[Bar] = []
    for bar in sorted(bars, key=lambda bar: (bar.slot, bar.start)):
        last = stretch[-1] if stretch else None
        if last and (
            (bar.slot, bar.group, bar.failed) != (last.slot, last.group, last.failed)
            or bar.load
            or bar.start - last.end > LETTER_PX * layout.seconds_per_px
        ):
            yield stretch
            stretch = []
        stretch.append(bar)
    if stretch:
        yield stretch


def _band(band: Band, row: Row, layout: Layout) -> Iterator[str]:
    """Time in which the lane took nothing: hatched or dotted, with its word where there is room."""
    left, right = layout.x(band.start), layout.x(band.end)
    width = max(right - left, 2.0)
    fill, ink = ("quarantined", "c") if band.kind == "quarantined" else ("down", "f")
    fill = "paused" if band.kind == "paused" else fill
    why = f": {band.why}" if band.why else ""
    said = f"{band.kind} for {duration(band.end - band.start)}, from {duration(band.start)} on{why}"
    yield (
        f'<g><title>{words(said)}</title><rect fill="url(#tl-{fill})" x="{left:.1f}" y="{row.top:.1f}" '
        f'width="{width:.1f}" height="{row.height:.1f}"/></g>'
    )
    room = len(band.kind) * WORD_PX + 8
    if width >= room + 4:
        middle = row.top + row.height / 2
        yield f'<rect class="b" x="{left + 3:.1f}" y="{middle - 7:.1f}" width="{room:.1f}" height="14" rx="3"/>'
        yield text(left + 7, middle + 3.6, band.kind, f"w {ink}")


def _marks(marks: Sequence[Mark], row: Row, layout: Layout) -> Iterator[str]:
    """A cross for a failure, a diamond for anything else; crowded ones are one."""
    drawn: dict[bool, float] = {}
    for mark in marks:
        x, is_fault = layout.x(mark.at), mark.kind in FAULTS
        if x - drawn.get(is_fault, -MARK_PX) < MARK_PX:
            continue
        drawn[is_fault] = x
        yield f"<g><title>{words(f'{mark.kind}: {mark.why}' if mark.why else mark.kind)}</title>"
        yield cross(x, row.top) if is_fault else diamond(x, row.top)
        yield "</g>"


def cross(x: float, y: float) -> str:
    """A failure: a cross on a disc of paper, so that it is seen on any bar."""
    arms = f"M{x - 2.4:.1f} {y - 2.4:.1f}l4.8 4.8m0-4.8l-4.8 4.8"
    return f'<circle class="p" cx="{x:.1f}" cy="{y:.1f}" r="5"/><path class="x" d="{arms}"/>'


def diamond(x: float, y: float) -> str:
    """Something that happened."""
    shape = f"M{x:.1f} {y - 3.6:.1f}l3.6 3.6l-3.6 3.6l-3.6-3.6z"
    return f'<circle class="p" cx="{x:.1f}" cy="{y:.1f}" r="5"/><path class="i" d="{shape}"/>'
