"""What a run leaves for people and programs: manifest, contact sheet, montage; `run.json` last, as the commit mark."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path

from assetline.catalogue import Channel
from assetline.contact_sheet import shown_of, write_contact_sheet
from assetline.contact_sheet.montage import montage
from assetline.errors import ObjectMissing
from assetline.manifest import manifest_csv, manifest_lines, retired_jsonl, run_json
from assetline.pipeline.asset import Bench
from assetline.pipeline.live import put_timeline
from assetline.records import Outcome, Problem
from assetline.run_records import RunRecord
from assetline.sheet import Limits, results_of, write_results
from assetline.store import Store
from assetline.store.history import MANIFEST, RETIRED, RetiredRow
from assetline.store.layout import run_key
from assetline.timeline import Timeline

CONTACT_SHEET = "contact-sheet.html"
MANIFEST_CSV = "manifest.csv"
MONTAGE = "contact-sheet.jpg"
MONTAGE_PICTURES = 48
THUMBNAIL_PX = "256"


@dataclass(frozen=True)
class RunResult:
    """What a run came to: its record, the outcomes in the order of the sheet, the montage (a small JPEG), its lanes.

    `timeline` is None where no lane had anything to do; `retired` are the rows that the sheet no longer has.
    `same_again`: an earlier run says all of this already. Nothing was written, and the record names that run.
    """

    record: RunRecord
    outcomes: tuple[Outcome, ...]
    montage: bytes = field(default=b"", repr=False)
    timeline: Timeline | None = field(default=None, repr=False)
    retired: tuple[RetiredRow, ...] = ()
    same_again: bool = False


@dataclass(frozen=True)
class ReadSheet:
    """The producer's file as it was read, with its problems, to be given back with its results.

    `channels` are those it could name.
    """

    name: str
    data: bytes = field(repr=False)
    limits: Limits
    channels: Mapping[str, Channel] = field(default_factory=dict)
    problems: Sequence[Problem] = ()


async def write_run(bench: Bench, result: RunResult, sheet: ReadSheet | None = None) -> RunResult:
    """Write everything about a run that has ended. Raises StoreError; without `run.json` nobody trusts the rest."""
    return await bench.pool.run(_write, bench, result, sheet)


def _write(bench: Bench, result: RunResult, sheet: ReadSheet | None) -> RunResult:
    store, record, outcomes = bench.store, result.record, result.outcomes

    def key(name: str) -> str:
        return run_key(bench.campaign, bench.run_id, name)

    with tempfile.TemporaryDirectory(prefix="assetline-") as folder:
        lines = Path(folder, MANIFEST)
        with lines.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(manifest_lines(outcomes))
        store.put(key(MANIFEST), lines)
        store.put(key(MANIFEST_CSV), manifest_csv(outcomes, store.uri_of))
        if result.retired:
            store.put(key(RETIRED), retired_jsonl(result.retired))
        thumbnails = _thumbnails(bench, [*outcomes, *shown_of(result.retired)])
        pages = write_contact_sheet(
            record,
            outcomes,
            thumbnails,
            Path(folder),
            result.timeline,
            retired=result.retired,
            channels=sheet.channels if sheet else None,
        )
        for page in pages:
            store.put(key(page.name), page)
    if sheet:
        results = results_of(outcomes, store.uri_of, problems=sheet.problems)
        name, data = write_results(sheet.name, sheet.data, results, sheet.limits)
        store.put(key(name), data)
        record = record.model_copy(update={"results": store.uri_of(key(name))})
    if result.timeline:
        put_timeline(bench, result.timeline)
    picture = _montage(bench, outcomes)
    if picture:
        store.put(key(MONTAGE), picture)
    store.put(key("run.json"), run_json(record))
    return replace(result, record=record, montage=picture)


def _montage(bench: Bench, outcomes: Sequence[Outcome]) -> bytes:
    """A few of the pictures, spread over the whole sheet; empty where there is none."""
    shown = [outcome for outcome in outcomes if outcome.asset and outcome.status != "duplicate"]
    step = max(len(shown) / MONTAGE_PICTURES, 1)
    chosen = [shown[int(place * step)] for place in range(min(len(shown), MONTAGE_PICTURES))]
    thumbnail = _thumbnails(bench, chosen)
    thumbnails: Iterator[bytes] = (data for outcome in chosen if (data := thumbnail(outcome)))
    first = next(thumbnails, None)
    return montage(chain([first], thumbnails)) if first else b""


def _thumbnails(bench: Bench, outcomes: Sequence[Outcome]) -> Callable[[Outcome], bytes | None]:
    """The 256 px thumbnail of an outcome, or None where there is none: the sheet then shows a tile without picture."""
    keys = (key for outcome in outcomes if (key := _thumbnail_key(outcome)))
    read = bench.pool.read_ahead(partial(_read, bench.store), keys)

    def thumbnail(outcome: Outcome) -> bytes | None:
        key = _thumbnail_key(outcome)
        return read(key) if key else None

    return thumbnail


def _thumbnail_key(outcome: Outcome) -> str:
    return outcome.asset.thumbnails.get(THUMBNAIL_PX, "") if outcome.asset else ""


def _read(store: Store, key: str) -> bytes | None:
    try:
        return store.get(key).data
    except ObjectMissing:
        return None
