"""What became of a campaign, written down: `manifest.jsonl` for machines, `manifest.csv` for producers, `run.json`, and
the tables that the flow shows. All from outcomes alone; nothing here reads or writes the store.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from assetline.errors import StoreError
from assetline.records import STATUSES, Asset, Outcome
from assetline.run_records import Counts
from assetline.timeline import HEADER, draw, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from assetline.run_records import RunRecord
    from assetline.store.history import RetiredRow
    from assetline.timeline import LaneTimeline, Timeline

# The fields that the contract names, in its order; the other fields of an outcome follow.
CONTRACT_FIELDS = ("row", "variant", "request_key", "status", "reason", "duplicate_of", "asset", "attempts")

CSV_COLUMNS = (
    "row",
    "line",
    "label",
    "variant",
    "status",
    "reason",
    "original",
    "thumbnail",
    "width",
    "height",
    "size",
    "seed",
    "lane",
    "seconds",
    "cost_usd",
    "prompt",
    "negative_prompt",
    "workflow",
    "model",
    "parameters",
    "tags",
    "duplicate_of",
    "tries",
    "job_id",
    "format",
    "sha256",
    "sidecar",
    "request_key",
    "channel_files",
)

FORMULA = re.compile(
    "[=+\\-@\t\r\0\uff1d\uff0b\uff0d\uff20]"
)  # OWASP's list of what begins a formula, with full-width forms
LOSSY_NUMBER = re.compile(r"0\d+|\d{16,}|\d+[eE]\d+")  # Excel keeps 15 digits, drops leading zeros, reads 1E5 as 100000

COSTS = "Lane | Pictures | Seconds each | Cost USD"
REASON_SHOWN = 400  # characters in the summary: what to do about it comes last
LANES_WIDTH_PX = 800  # what a Markdown artifact gets in Prefect's UI on a usual screen

PLAIN_WORDS = {
    "stored": "made and stored",
    "reused": "made by an earlier run",
    "duplicate": "set aside as a duplicate",
    "rejected": "rejected by a check",
    "failed": "no picture could be made",
    "canceled": "stopped before its turn",
}


def manifest_lines(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """One line of JSON per outcome, each with its newline: the contract's fields first, then the others."""
    for outcome in outcomes:
        facts = outcome.model_dump(mode="json")
        ordered = {name: facts.pop(name) for name in CONTRACT_FIELDS} | facts
        yield json.dumps(ordered, ensure_ascii=False, separators=(",", ":")) + "\n"


def retired_jsonl(rows: Iterable[RetiredRow]) -> bytes:
    """`retired.jsonl`: a line for each row that the sheet no longer has, with the outcomes that it had last."""
    return "".join(f"{row.model_dump_json()}\n" for row in rows).encode()


def read_manifest(data: bytes) -> list[Outcome]:
    """The outcomes of a `manifest.jsonl`, in its order. Raises StoreError that names every line it cannot read."""
    outcomes: list[Outcome] = []
    bad: list[str] = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            outcomes.append(Outcome.model_validate_json(line))
        except ValidationError as error:
            bad.append(f"line {number} ({_first_fault(error)})")
    if bad:
        listed = "; ".join(bad[:5]) + (f"; and {len(bad) - 5} more" if len(bad) > 5 else "")
        raise StoreError(f"manifest.jsonl cannot be read: {listed}. Was it cut short, or written by another version?")
    return outcomes


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in fault["loc"])
    return f"{place}: {fault['msg']}" if place else str(fault["msg"])


def manifest_csv(outcomes: Iterable[Outcome], link: Callable[[str], str] = str) -> bytes:
    """The manifest as a table for Excel: UTF-8 with BOM, every field quoted, one line per request.

    `link` turns a store key into where the file is (`store.uri_of`). Cells that a spreadsheet would take for a
    formula, or would change (`00123`, seeds of 16 digits and more), begin with an apostrophe. `channel_files` has a
    line for each file that was cut for a channel: `instagram_feed: <link>`.
    """
    table = io.StringIO()
    writer = csv.writer(table, quoting=csv.QUOTE_ALL)
    writer.writerow(CSV_COLUMNS)
    for outcome in outcomes:
        facts = _csv_facts(outcome, link)
        writer.writerow([_cell(facts.get(column)) for column in CSV_COLUMNS])
    return table.getvalue().encode("utf-8-sig")


def _csv_facts(outcome: Outcome, link: Callable[[str], str]) -> dict[str, Any]:
    facts: dict[str, Any] = outcome.model_dump(exclude={"asset", "attempts"})
    facts |= {
        "line": outcome.row_number or None,
        "tags": ", ".join(outcome.tags),
        "parameters": json.dumps(outcome.parameters, ensure_ascii=False, sort_keys=True) if outcome.parameters else "",
        "tries": len(outcome.attempts),
    }
    if outcome.asset is not None:
        asset = outcome.asset
        facts |= asset.model_dump(exclude={"thumbnails"})
        facts |= {"original": link(asset.original), "sidecar": link(asset.sidecar)}
        facts |= {"channel_files": "\n".join(_channel_files(asset, link))}
        facts |= {"thumbnail": link(asset.thumbnails["512"]) if "512" in asset.thumbnails else ""}
    return facts


def _channel_files(asset: Asset, link: Callable[[str], str]) -> Iterator[str]:
    for file in asset.renditions:
        yield f"{', '.join(file.channels)}: {link(file.key)}"


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = str(value).replace("\0", "")
    may_be_formula = not isinstance(value, int | float)  # a negative number is no formula
    if LOSSY_NUMBER.fullmatch(text) or (may_be_formula and FORMULA.match(text)):
        return "'" + text
    return text


def counts(outcomes: Iterable[Outcome]) -> Counts:
    """How many outcomes there are of each status."""
    return Counts(**Counter[str](outcome.status for outcome in outcomes))


def run_json(run: RunRecord) -> bytes:
    """`run.json`: indented for the person who opens it."""
    return (run.model_dump_json(indent=2) + "\n").encode()


def failures(outcomes: Iterable[Outcome]) -> list[dict[str, str]]:
    """What did not become a usable picture, one table row each, what is read first in front: cells are long."""
    return [
        {
            "picture": outcome.label,
            "why": outcome.reason or (outcome.attempts[-1].error if outcome.attempts else ""),
            "status": outcome.status,
            "tried on": ", ".join(dict.fromkeys(attempt.lane for attempt in outcome.attempts)),
            "row": outcome.row,
            "line": str(outcome.row_number or ""),
            "prompt": _short(outcome.prompt, 120),
        }
        for outcome in outcomes
        if outcome.status in ("rejected", "failed", "canceled")
    ]


def summary_markdown(
    run: RunRecord, outcomes: Sequence[Outcome], picture: str | None, link: str, timeline: Timeline | None = None
) -> str:
    """The run on one page, for Prefect's artifact: headline, picture, counts, lanes, sizes, rows with trouble.

    `picture` is an address of the montage (None: no picture), `link` is where the contact sheet is. The lanes are drawn
    over time where a `timeline` tells of them.
    """
    sections = (
        [f"# {_md(run.campaign)}: {_headline(run)}"],
        [_pictured(picture, link) if picture else ""],
        [_md(str(run.overflow)) if run.overflow else ""],
        [f"**Contact sheet:** {_linked(link)}  \n**Run:** `{run.run_id}` from `{run.sheet}`, {_duration(run.seconds)}"],
        [f"**The sheet with its results:** {_linked(run.results)}" if run.results else ""],
        _table("Status | Pictures | Meaning", "--- | ---: | ---", _status_rows(run.counts)),
        [_lanes_picture(timeline) if timeline else ""],
        lanes_table(timeline.lanes) if timeline else [],
        [] if timeline and not run.cost_usd else _table(COSTS, "--- | ---: | ---: | ---:", _lane_rows(outcomes)),
        _table("Size | Pictures | Usable", "--- | ---: | ---:", _size_rows(outcomes)),
        _trouble(outcomes),
    )
    return "\n\n".join("\n".join(lines) for lines in sections if any(lines)) + "\n"


def lanes_markdown(lanes: Sequence[LaneTimeline], timeline: Timeline | None) -> str:
    """The lanes of a run that goes on: the newest picture of them, and the table as it stands now."""
    picture = [_lanes_picture(timeline)] if timeline else []
    return "\n".join([*picture, "", *lanes_table(lanes)]) + "\n"


def lanes_table(lanes: Sequence[LaneTimeline]) -> list[str]:
    """What each lane did, as the lines of a Markdown table; for a run that goes on, what it does now too."""
    doing = [_md(_short(lane.doing, 80)) for lane in lanes]
    header = [*HEADER, "now"] if any(doing) else list(HEADER)
    rows = [
        " | ".join([*map(_md, row), *([now] if any(doing) else [])])
        for row, now in zip(table(lanes), doing, strict=True)
    ]
    return _table(" | ".join(header), " | ".join(["---", *["---:"] * (len(HEADER) - 1), "---"][: len(header)]), rows)


def _headline(run: RunRecord) -> str:
    found = run.counts
    usable = found.stored + found.reused
    parts = [f"{usable} of {found.total} usable"]
    parts += [f"{n} {name}" for name in STATUSES[2:] if (n := getattr(found, name))]
    if run.cost_usd:
        parts.append(f"${run.cost_usd:.2f}")
    return ", ".join(parts) + (" (interrupted)" if run.interrupted else "")


def _status_rows(found: Counts) -> list[str]:
    return [f"{name} | {n} | {PLAIN_WORDS[name]}" for name in STATUSES if (n := getattr(found, name))]


def _lanes_picture(timeline: Timeline) -> str:
    """The lanes over time, inside the text; in Prefect's narrow column its words are as large as those around it."""
    svg = base64.b64encode(draw(timeline, width=LANES_WIDTH_PX, told=False).encode()).decode()
    return f"![The lanes over time](<data:image/svg+xml;base64,{svg}>)"


def _lane_rows(outcomes: Sequence[Outcome]) -> list[str]:
    lanes: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.asset is not None and outcome.status != "reused":
            lanes.setdefault(outcome.asset.lane, []).append(outcome)
    rows = []
    for lane, made in sorted(lanes.items()):
        assets = [outcome.asset for outcome in made if outcome.asset is not None]
        each = sum(asset.seconds for asset in assets) / len(assets)
        rows.append(f"{_md(lane)} | {len(assets)} | {each:.2f} | {sum(asset.cost_usd for asset in assets):.4f}")
    return rows


def _size_rows(outcomes: Sequence[Outcome]) -> list[str]:
    sizes = Counter(outcome.size for outcome in outcomes)
    usable = Counter(outcome.size for outcome in outcomes if outcome.status in ("stored", "reused"))
    return [f"{_md(size or 'unnamed')} | {n} | {usable[size]}" for size, n in sorted(sizes.items())]


def _trouble(outcomes: Sequence[Outcome], most: int = 10) -> list[str]:
    reasons = Counter((row["status"], row["why"]) for row in failures(outcomes))
    rows = [f"{_md(_short(why, REASON_SHOWN))} | {status} | {n}" for (status, why), n in reasons.most_common(most)]
    return _table("What went wrong | Status | Pictures", "--- | --- | ---:", rows)


def _table(header: str, rule: str, rows: list[str]) -> list[str]:
    return [f"| {line} |" for line in (header, rule, *rows)] if rows else []


def _pictured(picture: str, link: str) -> str:
    image = f"![Some of the run's pictures](<{picture}>)"
    return f"[{image}](<{link}>)" if _can_follow(link) else image


def _linked(link: str) -> str:
    return f"[{_md(link)}](<{link}>)" if _can_follow(link) else f"`{link}`"


def _can_follow(link: str) -> bool:
    """A browser follows no file:// or s3:// link from a page served over HTTP: the address is then shown to copy."""
    return link.startswith(("https://", "http://"))


def _md(text: str) -> str:
    escaped = re.sub(r"([\\`*_{}\[\]|#])", r"\\\1", " ".join(text.split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _short(text: str, most: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
