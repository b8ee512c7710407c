"""The rows that the sheet no longer has, as a folded part of the contact sheet: kept, but not among the pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from assetline.contact_sheet.inline import data_uri

if TYPE_CHECKING:
    from assetline.contact_sheet.page import Sheet
    from assetline.records import Outcome
    from assetline.store.history import RetiredRow

PICTURES = 60  # rows with a preview, the first ones: a sheet that lost thousands must not make the page heavy
LINKS = 12  # originals of a row
PROMPT = 160  # characters


def shown_of(retired: Sequence[RetiredRow]) -> list[Outcome]:
    """The pictures that stand for retired rows, one of each of the first rows, in their order."""
    return [picture for row in retired[:PICTURES] if (picture := _picture(row))]


def retired_section(retired: Sequence[RetiredRow], sheet: Sheet) -> Iterator[str]:
    """The part, as HTML, row by row."""
    rows = f"{len(retired):,} row{'' if len(retired) == 1 else 's'}"
    yield '<details class="retired">\n<summary><b>Retired</b> '
    yield f"<span>{rows} that the sheet no longer has; what was made of them is kept</span></summary>\n<ul>\n"
    for number, row in enumerate(retired):
        yield from _row(row, sheet, with_picture=number < PICTURES)
    yield "</ul>\n</details>\n"


def _picture(row: RetiredRow) -> Outcome | None:
    return next((outcome for outcome in row.outcomes if outcome.asset and outcome.status != "duplicate"), None)


def _row(row: RetiredRow, sheet: Sheet, *, with_picture: bool) -> Iterator[str]:
    picture = _picture(row) if with_picture else None
    preview = sheet.thumbnail(picture) if picture else None
    yield "<li>"
    if preview:
        yield f'<img src="{data_uri(preview)}" width="72" height="72" alt="" loading="lazy" decoding="async">'
    prompt = row.outcomes[0].prompt if row.outcomes else ""
    text = prompt if len(prompt) <= PROMPT else prompt[: PROMPT - 1].rstrip() + "\u2026"
    yield f'<div><b dir="auto">{escape(row.row)}</b> <span dir="auto">{escape(text)}</span>'
    yield f"<p>retired in run <code>{escape(row.retired_in)}</code>{_links(row, sheet)}</p></div></li>\n"


def _links(row: RetiredRow, sheet: Sheet) -> str:
    originals = {outcome.asset.original: outcome.label for outcome in row.outcomes if outcome.asset}
    shown = list(originals.items())[:LINKS]
    links = (f'<a href="{escape(sheet.link(original))}">{escape(label)}</a>' for original, label in shown)
    more = f" and {len(originals) - LINKS} more" if len(originals) > LINKS else ""
    return f": {', '.join(links)}{more}" if originals else "; no picture was made of it"
