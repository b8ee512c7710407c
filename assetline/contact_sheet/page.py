"""The HTML of one page of the contact sheet, made in small pieces so that a page is never whole in memory."""

from __future__ import annotations

import base64
import hashlib
import posixpath
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import quote

from assetline.contact_sheet.channels import channel_files, count_files
from assetline.contact_sheet.inline import data_uri
from assetline.contact_sheet.lanes import lanes_section, lanes_style
from assetline.contact_sheet.retired import retired_section
from assetline.records import FPO_MODEL, STATUSES, Outcome, Status
from assetline.run_records import RunRecord
from assetline.store.layout import run_prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from assetline.catalogue import Channel
    from assetline.store.history import RetiredRow
    from assetline.timeline import Timeline

# A mark and a word for each status, so that nothing is told by colour alone.
MARKS: dict[Status, str] = {
    "stored": "\u2713",
    "reused": "\u21ba",
    "duplicate": "\u2261",
    "rejected": "\u2715",
    "failed": "!",
    "canceled": "\u2013",
}
TIMES = "\u00d7"
LONG_PROMPT = 320  # characters shown at once; more are behind a disclosure
FOOTER = (
    "<footer><p>Keys: / searches, arrows move, Enter opens, Esc closes. "
    "The previews are inside this file; it can be forwarded as it is.</p></footer>\n"
)


@dataclass(frozen=True)
class RowGroup:
    """The pictures of one row of the sheet that are on one page. `number` counts the rows of the run from 1."""

    number: int
    row: str
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True)
class Leaf:
    """One page: its number, counted from 1, and its rows."""

    number: int
    rows: tuple[RowGroup, ...]

    @property
    def name(self) -> str:
        """The page's file name."""
        return "contact-sheet.html" if self.number == 1 else f"contact-sheet-{self.number}.html"


@dataclass(frozen=True)
class Anchor:
    """Where a picture is in the contact sheet, and what people call it."""

    page: str
    id: str
    label: str


@dataclass(frozen=True)
class Sheet:
    """All that the pages of one contact sheet share. `anchors` is keyed by request key and by the original's key.

    The first page shows the `timeline`, where there is one, the last one the rows that are `retired`. `channels`, by
    slug, say which parts of their files are safe.
    """

    run: RunRecord
    leaves: list[Leaf]
    thumbnail: Callable[[Outcome], bytes | None]
    anchors: dict[str, Anchor]
    timeline: Timeline | None = None
    retired: tuple[RetiredRow, ...] = ()
    channels: Mapping[str, Channel] = field(default_factory=dict)

    def link(self, key: str) -> str:
        """The relative, percent-encoded address of a store key, seen from the run's folder."""
        return quote(posixpath.relpath(key, run_prefix(self.run.campaign, self.run.run_id)))

    def place(self, key: str) -> str:
        """Where a store key is, for a person who has only this page."""
        return f"{self.run.store.rstrip('/')}/{key}"


def anchors(leaves: Iterable[Leaf]) -> dict[str, Anchor]:
    """Where each picture is, by its request key and by its original's key; the first of equal keys wins."""
    found: dict[str, Anchor] = {}
    for leaf in leaves:
        for group in leaf.rows:
            for number, outcome in enumerate(group.outcomes, start=1):
                anchor = Anchor(leaf.name, _tile_id(group, number), outcome.label)
                found.setdefault(outcome.request_key, anchor)
                if outcome.asset is not None:
                    found.setdefault(outcome.asset.original, anchor)
    return found


def render(sheet: Sheet, leaf: Leaf) -> Iterator[str]:
    """One page, piece by piece; each thumbnail is read when its turn comes."""
    yield from _head(sheet, leaf)
    yield _masthead(sheet)
    if sheet.timeline and leaf.number == 1:
        yield lanes_section(sheet.timeline)
    yield _toolbar(leaf)
    yield "<main>\n"
    for group in leaf.rows:
        yield from _section(sheet, leaf, group)
    if not leaf.rows:
        yield '<p class="nothing">This run has no pictures.</p>\n'
    yield '<p class="nothing" id="nothing" hidden>No picture matches. <button type="button">Show all</button></p>\n'
    yield "</main>\n"
    if sheet.retired and leaf is sheet.leaves[-1]:
        yield from retired_section(sheet.retired, sheet)
    yield _pager(sheet.leaves, leaf)
    yield FOOTER
    yield from (_asset("view.html"), "<script>", _asset("page.js"), "</script>\n</body>\n</html>\n")


@cache
def _asset(name: str) -> str:
    # The browser hashes the text with LF, whatever a checkout on Windows made of it.
    return files("assetline.contact_sheet").joinpath(name).read_bytes().decode().replace("\r\n", "\n")


def _source(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def _head(sheet: Sheet, leaf: Leaf) -> Iterator[str]:
    styles = [_asset("style.css"), lanes_style(sheet.timeline) if leaf.number == 1 else ""]
    policy = "; ".join(
        (
            "default-src 'none'",
            "img-src data: file: 'self' https: http:",
            f"style-src {' '.join(_source(style) for style in styles if style)}",
            f"script-src {_source(_asset('page.js'))}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    page = f" ({leaf.number} of {len(sheet.leaves)})" if len(sheet.leaves) > 1 else ""
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield '<meta name="referrer" content="no-referrer">\n<meta name="color-scheme" content="light dark">\n'
    yield '<link rel="icon" href="data:,">\n'
    yield f"<title>{escape(sheet.run.campaign)}: contact sheet{page}</title>\n"
    yield f"<style>{_asset('style.css')}</style>\n</head>\n<body>\n"


def _masthead(sheet: Sheet) -> str:
    run, found = sheet.run, sheet.run.counts
    files = count_files(outcome for leaf in sheet.leaves for group in leaf.rows for outcome in group.outcomes)
    facts = (
        f"{found.stored + found.reused} of {_many(found.total, 'picture')} usable",
        f"{_many(files, 'file')} for channels" if files else "",
        f'<time datetime="{escape(run.started_at)}">{escape(_when(run.started_at))}</time>',
        f"<bdi>{escape(run.sheet)}</bdi>",
        "on " + ", ".join(escape(_short_lane(lane)) for lane in run.lanes) if run.lanes else "",
        f"{_seconds(run.seconds)}, {_money(run.cost_usd)}",
        f"run <code>{escape(run.run_id)}</code>",
    )
    note = (
        '<p class="warning">This run was interrupted. Run the same sheet again: what is made is not made twice.</p>'
        if run.interrupted
        else ""
    )
    items = "".join(f"<li>{fact}</li>" for fact in facts if fact)
    return f'<header class="masthead">\n<h1 dir="auto">{escape(run.campaign)}</h1>\n<ul>{items}</ul>\n{note}</header>\n'


def _toolbar(leaf: Leaf) -> str:
    found = [outcome.status for group in leaf.rows for outcome in group.outcomes]
    chips = "".join(
        f'<button type="button" class="chip {status}" data-status="{status}" aria-pressed="false">'
        f'<span class="mark" aria-hidden="true">{MARKS[status]}</span>{status} <b>{found.count(status)}</b></button>'
        for status in STATUSES
        if status in found
    )
    return (
        f'<div class="toolbar" role="search">\n<div class="chips" role="group" aria-label="Show only">{chips}</div>\n'
        '<input id="search" type="search" placeholder="Search prompts, rows, seeds, reasons" '
        'aria-label="Search this page" autocomplete="off" spellcheck="false" hidden>\n'
        f'<output id="shown" aria-live="polite">{_many(len(found), "picture")}</output>\n</div>\n'
    )


def _section(sheet: Sheet, leaf: Leaf, group: RowGroup) -> Iterator[str]:
    prompts = list(dict.fromkeys((outcome.prompt, outcome.negative_prompt) for outcome in group.outcomes))
    yield f'<section class="row" aria-labelledby="r{group.number}">\n<div class="wanted">\n'
    yield _row_facts(group)
    for number, (prompt, negative) in enumerate(prompts, start=1):
        yield _prompt(number if len(prompts) > 1 else 0, prompt, negative)
    yield '</div>\n<div class="shots">\n'
    for number, outcome in enumerate(group.outcomes, start=1):
        prompt_number = prompts.index((outcome.prompt, outcome.negative_prompt)) + 1
        yield _tile(sheet, leaf, _Shot(_tile_id(group, number), outcome, prompt_number if len(prompts) > 1 else 0))
    yield "</div>\n</section>\n"


def _row_facts(group: RowGroup) -> str:
    first = group.outcomes[0]
    recipes = dict.fromkeys(recipe for outcome in group.outcomes if (recipe := outcome.workflow or outcome.model))
    tags = dict.fromkeys(tag for outcome in group.outcomes for tag in outcome.tags)
    facts = [f"line {first.row_number}"] if first.row_number else []
    facts += [f"<bdi>{escape(recipe)}</bdi>" for recipe in recipes]
    facts += [_many(len(group.outcomes), "picture")]
    listed = "".join(f"<li><bdi>{escape(tag)}</bdi></li>" for tag in tags)
    return (
        f'<h2 id="r{group.number}" dir="auto">{escape(group.row)}</h2>\n'
        f'<p class="meta">{" &middot; ".join(facts)}</p>\n' + (f'<ul class="tags">{listed}</ul>\n' if listed else "")
    )


def _prompt(number: int, prompt: str, negative: str) -> str:
    letter = f'<b class="letter">Prompt {number}</b> ' if number else ""
    text = escape(prompt)
    if len(prompt) > LONG_PROMPT:
        start = escape(prompt[: LONG_PROMPT - 80].rsplit(" ", 1)[0])
        text = f'<details><summary><span class="start">{start}&hellip;</span></summary>{text}</details>'
    avoid = f'<p class="negative" dir="auto"><i>not</i> {escape(negative)}</p>' if negative else ""
    return (
        f'<div class="prompt" data-prompt="{number}"><div class="text" dir="auto">{letter}{text}</div>{avoid}</div>\n'
    )


@dataclass(frozen=True)
class _Shot:
    id: str
    outcome: Outcome
    prompt: int


def _tile_id(group: RowGroup, number: int) -> str:
    start = group.outcomes[0]
    return f"p{group.number}-{number}-{start.request_key[:4]}"


def _tile(sheet: Sheet, leaf: Leaf, shot: _Shot) -> str:
    outcome = shot.outcome
    prompt = f'<p class="which">Prompt {shot.prompt}</p>' if shot.prompt else ""
    return (
        f'<figure class="tile {outcome.status}" id="{shot.id}" data-status="{outcome.status}" '
        f'data-prompt="{shot.prompt}" data-label="{escape(outcome.label)}">\n{_picture(sheet, outcome)}\n'
        f'<figcaption><p class="status"><span class="mark" aria-hidden="true">{MARKS[outcome.status]}</span>'
        f"{outcome.status}{_badge(outcome)}</p>{prompt}{_reason(sheet, leaf, outcome)}{_facts(outcome)}"
        f"{channel_files(sheet, outcome.asset)}</figcaption>\n</figure>\n"
    )


def _picture(sheet: Sheet, outcome: Outcome) -> str:
    asset = outcome.asset
    if asset is None:
        return (
            f'<button type="button" class="shot empty" aria-label="{escape(outcome.label)}: {outcome.status}">'
            f'<span aria-hidden="true">{MARKS[outcome.status]}</span></button>'
        )
    data = sheet.thumbnail(outcome)
    image = (
        f'<img src="{data_uri(data)}" width="{asset.width}" '
        f'height="{asset.height}" alt="{escape(outcome.label)}: {outcome.status}" loading="lazy" decoding="async">'
        if data
        else f'<span class="lost">no preview<br>of {escape(outcome.label)}</span>'
    )
    return (
        f'<a class="shot" href="{escape(sheet.link(asset.original))}" '
        f'data-place="{escape(sheet.place(asset.original))}">{image}</a>'
    )


def _badge(outcome: Outcome) -> str:
    if outcome.asset is None:
        return ""
    if outcome.model == FPO_MODEL:
        return '<abbr class="badge fpo" title="For position only: a placeholder">FPO</abbr>'
    return '<abbr class="badge" title="Made by a generative model">AI</abbr>'


def _reason(sheet: Sheet, leaf: Leaf, outcome: Outcome) -> str:
    keeper = sheet.anchors.get(outcome.duplicate_of or "")
    link = ""
    if keeper is not None:
        page = "" if keeper.page == leaf.name else keeper.page
        link = f' <a class="keeper" href="{page}#{keeper.id}" title="{escape(keeper.label)}">Show that one</a>'
    if not outcome.reason and not link:
        return ""
    return f'<p class="reason" dir="auto">{escape(outcome.reason)}{link}</p>'


def _facts(outcome: Outcome) -> str:
    shown = "".join(
        f'<div class="{name.lower()}"><dt>{name}</dt><dd>{value}</dd></div>' for name, value in _brief(outcome)
    )
    hidden = "".join(
        f'<div class="more"><dt>{escape(name)}</dt><dd dir="auto">{escape(value)}</dd></div>'
        for name, value in _details(outcome)
        if value
    )
    return f"<dl>{shown}{hidden}</dl>"


def _brief(outcome: Outcome) -> Iterator[tuple[str, str]]:
    """What every tile shows, as names and HTML."""
    asset = outcome.asset
    if asset is None:
        asked = escape(outcome.label.rpartition("-")[2].replace("x", TIMES))
        yield "Size", _size(asked, outcome.size)
        yield "Seed", f"<code>{outcome.seed}</code>"
        return
    yield "Size", _size(f"{asset.width}{TIMES}{asset.height}", outcome.size)
    yield "Seed", f"<code>{asset.seed}</code>"
    lane = escape(_short_lane(asset.lane))
    yield "Made", f"{lane} &middot; {_seconds(asset.seconds)} &middot; {_money(asset.cost_usd)}"


def _details(outcome: Outcome) -> Iterator[tuple[str, str]]:
    """What only the big view shows, as names and plain text."""
    yield "Recipe", outcome.workflow or outcome.model or ""
    yield from ((name, str(value)) for name, value in sorted(outcome.parameters.items()))
    for number, attempt in enumerate(outcome.attempts, start=1):
        yield f"Try {number}", f"{_short_lane(attempt.lane)}: {attempt.error or 'made'}"
    if outcome.asset is not None:
        yield from (("Job", outcome.asset.job_id), ("Format", outcome.asset.format), ("File", outcome.asset.original))
        yield "SHA-256", outcome.asset.sha256
    yield "Request", outcome.request_key


def _size(pixels: str, name: str) -> str:
    same = name.replace("x", TIMES) == pixels
    return pixels if same or not name else f"{pixels} &middot; <bdi>{escape(name)}</bdi>"


def _pager(leaves: list[Leaf], current: Leaf) -> str:
    if len(leaves) == 1:
        return ""
    links = "".join(
        f'<li><a href="{leaf.name}"{" aria-current=page" if leaf is current else ""}><b>{leaf.number}</b> '
        f"<bdi>{escape(leaf.rows[0].row)}</bdi> to <bdi>{escape(leaf.rows[-1].row)}</bdi></a></li>"
        for leaf in leaves
    )
    return f'<nav class="pager" aria-label="Pages"><ol>{links}</ol></nav>\n'


def _many(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _when(stamp: str) -> str:
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return stamp
    return f"{moment.astimezone(UTC):%d %b %Y, %H:%M} UTC"


def _seconds(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _money(usd: float) -> str:
    return f"${usd:.4f}".rstrip("0").rstrip(".") if usd < 1 else f"${usd:,.2f}"


def _short_lane(lane: str) -> str:
    return lane.removeprefix("http://").removeprefix("https://").rstrip("/")
