"""Bars that nobody could tell apart become one, so that a run of any length keeps a bounded number of them."""

from __future__ import annotations

from collections.abc import Sequence

from assetline.timeline.records import Bar

MOST_BANDS = 200  # of one lane: one that flaps more often than that is seen to flap
MOST_MARKS = 200


def thinned(bars: Sequence[Bar], most: int) -> list[Bar]:
    """At most `most` bars, in the order of their ends. Neighbours of one group first; then whatever is shortest."""
    found = list(bars)
    step = (found[-1].end - found[0].start) / most if found else 0.0
    mixed = False
    while len(found) > most:
        before = len(found)
        found = merged(found, step, mixed=mixed)
        mixed = mixed or len(found) > before * 0.75  # what lanes alternate between cannot be kept apart
        step *= 1.5
    return found


def merged(bars: Sequence[Bar], step: float, *, mixed: bool = False) -> list[Bar]:
    """Bars with neighbours of the same slot joined while the whole stays within `step` seconds.

    Only whole pictures of one group without a load are joined, unless they may be `mixed`: the longer one then
    gives its name. A failure is always kept.
    """
    found: list[Bar] = []
    newest: dict[int, int] = {}
    for bar in bars:
        place = newest.get(bar.slot)
        if place is not None and _joins(found[place], bar, step, mixed=mixed):
            found[place] = _joined(found[place], bar)
        else:
            newest[bar.slot] = len(found)
            found.append(bar)
    return found


def _joins(first: Bar, second: Bar, step: float, *, mixed: bool) -> bool:
    if second.end - first.start > step:
        return False
    if mixed:
        return True
    return first.group == second.group and not (first.failed or second.failed or first.load or second.load)


def _joined(first: Bar, second: Bar) -> Bar:
    longer = first if first.end - first.start >= second.end - second.start else second
    return longer._replace(
        start=first.start,
        end=second.end,
        pictures=first.pictures + second.pictures,
        load=0.0,
        failed=first.failed or second.failed,
        label=f"{first.label.partition(' to ')[0]} to {second.label.rpartition(' to ')[2]}",
    )
