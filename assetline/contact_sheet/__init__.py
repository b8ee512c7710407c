"""The contact sheet of a run: self-contained HTML pages, written from outcomes and thumbnails alone.

They work from disk, from a bucket and as a mail attachment: everything is inside, nothing is fetched but, on a click,
the original beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetline.contact_sheet import page
from assetline.contact_sheet.page import Leaf, RowGroup, Sheet
from assetline.contact_sheet.retired import shown_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from assetline.catalogue import Channel
    from assetline.records import Outcome
    from assetline.run_records import RunRecord
    from assetline.store.history import RetiredRow
    from assetline.timeline import Timeline

__all__ = ["paged", "shown_of", "write_contact_sheet"]

PICTURES_PER_PAGE = 1000  # about 15 MB of thumbnails; a page of 5,000 still worked, but no mail server takes it


def write_contact_sheet(
    run: RunRecord,
    outcomes: Sequence[Outcome],
    thumbnail: Callable[[Outcome], bytes | None],
    folder: Path,
    timeline: Timeline | None = None,
    *,
    retired: Sequence[RetiredRow] = (),
    channels: Mapping[str, Channel] | None = None,
) -> list[Path]:
    """Write `contact-sheet.html`, and `contact-sheet-2.html` and so on past 1,000 pictures, into `folder`.

    `thumbnail` gives the 256 px picture of an outcome, or None; it is asked for one picture at a time, in order, and
    only where the outcome has an asset. The first page shows the `timeline` of the lanes, if there is one; the last one
    has a folded part on the rows that are `retired`, with the pictures of `shown_of`. `channels`, by slug, give the
    safe areas that are drawn. Returns the pages' paths, the first one first. A row is not split between pages unless it
    alone fills more than one.
    """
    leaves = paged(outcomes)
    sheet = Sheet(run, leaves, thumbnail, page.anchors(leaves), timeline, tuple(retired), channels or {})
    paths = [folder / leaf.name for leaf in leaves]
    for leaf, path in zip(leaves, paths, strict=True):
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(page.render(sheet, leaf))
    return paths


def paged(outcomes: Sequence[Outcome], most: int = PICTURES_PER_PAGE) -> list[Leaf]:
    """The outcomes by row, on pages of at most `most` pictures; at least one page, even an empty one."""
    pages: list[list[RowGroup]] = [[]]
    room = most
    for group in _in_pieces(_rows(outcomes), most):
        if len(group.outcomes) > room:
            pages.append([])
            room = most
        pages[-1].append(group)
        room -= len(group.outcomes)
    return [Leaf(number=number, rows=tuple(rows)) for number, rows in enumerate(pages, start=1)]


def _rows(outcomes: Sequence[Outcome]) -> Iterable[RowGroup]:
    rows: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        rows.setdefault(outcome.row, []).append(outcome)
    return [RowGroup(number, row, tuple(found)) for number, (row, found) in enumerate(rows.items(), start=1)]


def _in_pieces(groups: Iterable[RowGroup], most: int) -> Iterable[RowGroup]:
    for group in groups:
        for start in range(0, len(group.outcomes), most):
            yield RowGroup(group.number, group.row, group.outcomes[start : start + most])
