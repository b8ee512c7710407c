"""A sheet whose file was renamed is known again by its rows, before it becomes a campaign of its own.

Only where nobody has said the campaign's name and none of that name has run. The very same rows are the same work. Rows
that are nearly the same may be a template that was copied, so they are only told; but a file that has gone on as a
campaign once, by its rows, stays with it for as long as half of them are still there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from assetline.bootstrap.planning import campaign_of, limits_of, open_store, read_source
from assetline.catalogue import load_catalogue
from assetline.plan import campaign_slug
from assetline.run_records import RunOptions, RunRecord
from assetline.settings import Settings
from assetline.sheet import Sheet, read_sheet
from assetline.sheet.sameness import rows_sha256, share_of
from assetline.store import Store
from assetline.store.history import newest_records
from assetline.store.known_sheets import (
    OtherName,
    campaign_named,
    campaigns_with,
    known_sheet,
    knows_sheets,
    remember_name,
)
from assetline.store.layout import runs_prefix

ALIKE = 0.5  # of the rows: below it a sheet is another one
LOOKED_AT = 10  # campaigns whose names are most like the file's


@dataclass(frozen=True)
class Kin:
    """The campaign whose rows a sheet has. `share` (0 to 1) of them are the same, by its newest run `run_id`.

    `is_same`: the sheet is that campaign's, under another name (`own`).
    """

    own: str
    campaign: str
    run_id: str
    share: float
    is_same: bool


@dataclass(frozen=True)
class Recognised:
    """The options with the campaign whose rows the sheet has, and what a person should know of that, if anything."""

    options: RunOptions
    said: str = ""
    kin: Kin | None = None


def of_its_campaign(address: str, options: RunOptions, settings: Settings) -> Recognised:
    """Look whose rows the sheet has. Writes nothing. Raises OptionError, StoreError."""
    kin = recognise(address, options, settings)
    if kin is None:
        return Recognised(options)
    named = options.model_copy(update={"campaign": kin.campaign}) if kin.is_same else options
    return Recognised(named, in_words(kin, address), kin)


def in_words(kin: Kin, sheet: str) -> str:
    """What has become of the name, and how to have it otherwise."""
    run = f" (run {kin.run_id})" if kin.run_id else ""
    if not kin.is_same:
        rows = "The rows" if kin.share == 1 else f"About {kin.share:.0%} of the rows"
        return (
            f"{rows} of {sheet} are those of campaign {kin.campaign}{run}. If it is that campaign, --campaign "
            f"{kin.campaign} makes only what has changed; without it, {kin.own} is a campaign of its own."
        )
    why = "has the rows" if kin.share == 1 else "was known before by its rows as a sheet"
    return (
        f"{sheet} {why} of campaign {kin.campaign}{run}, so it goes on as that campaign. "
        f"--campaign {kin.own} makes it one of its own."
    )


def recognise(address: str, options: RunOptions, settings: Settings) -> Kin | None:
    """The campaign that has the rows of this sheet, where the name says another one that has never run.

    Raises OptionError (the sheet cannot be read), StoreError.
    """
    if options.campaign:
        return None
    store, own = open_store(options.store or settings.store, settings), campaign_of(address, options)
    if not knows_sheets(store) or _has_runs(store, own):
        return None
    source = read_source(address, settings)
    sheet = read_sheet(source.name, source.data, load_catalogue(settings.campaigns_folder), limits_of(settings))
    if sheet.options.campaign or not sheet.rows:
        return None
    return _known_by_name(store, own, sheet) or _known_by_rows(store, own, sheet) or _alike(store, own, sheet)


def remember(found: Recognised, settings: Settings) -> None:
    """Keep that files of this name belong to that campaign, once a run of it begins. Raises StoreError."""
    kin = found.kin
    if kin is None or not kin.is_same:
        return
    store = open_store(found.options.store or settings.store, settings)
    if campaign_named(store, kin.own) != kin.campaign:
        remember_name(store, OtherName(name=kin.own, campaign=kin.campaign))


def _has_runs(store: Store, campaign: str) -> bool:
    return next(iter(store.list(runs_prefix(campaign))), None) is not None


def _known_by_name(store: Store, own: str, sheet: Sheet) -> Kin | None:
    """The campaign that files of this name went on as before, if the sheet is still alike."""
    campaign = campaign_named(store, own)
    kin = _compared(store, own, campaign, sheet) if campaign else None
    return Kin(own, kin.campaign, kin.run_id, kin.share, is_same=True) if kin and kin.share >= ALIKE else None


def _known_by_rows(store: Store, own: str, sheet: Sheet) -> Kin | None:
    """The campaign that ran these very rows last, and is called after its file; of several the newest."""
    found = [
        Kin(own, campaign, run_id, 1.0, is_same=True)
        for campaign in campaigns_with(store, rows_sha256(sheet.rows))
        for run_id in _last_run_of(store, campaign, rows_sha256(sheet.rows))
    ]
    return max(found, key=lambda kin: kin.run_id, default=None)


def _last_run_of(store: Store, campaign: str, rows: str) -> Iterator[str]:
    """The newest run of the campaign's whole sheet, if it had these rows; an empty id where all runs were killed.

    Of a campaign that somebody has named, none: its name says nothing of its file.
    """
    records = _whole_runs(store, campaign)
    known = known_sheet(store, rows, campaign)
    files = [record.sheet for record in records] or ([known.file] if known else [])
    if campaign in map(campaign_slug, files) and (not records or records[0].rows_sha256 == rows):
        yield records[0].run_id if records else ""


def _whole_runs(store: Store, campaign: str) -> list[RunRecord]:
    """The campaign's newest runs that were not of a few rows alone, newest first."""
    return [record for record in newest_records(store, campaign) if not record.rows]


def _alike(store: Store, own: str, sheet: Sheet) -> Kin | None:
    """The campaign with the most of the sheet's rows, at least half, among those with the most similar names."""
    names = sorted(campaigns_with(store), key=lambda name: SequenceMatcher(None, own, name).ratio(), reverse=True)
    found = [kin for name in names[:LOOKED_AT] if (kin := _compared(store, own, name, sheet))]
    best = max(found, key=lambda kin: kin.share, default=None)
    return best if best and best.share >= ALIKE else None


def _compared(store: Store, own: str, campaign: str, sheet: Sheet) -> Kin | None:
    """How much of the sheet the campaign's newest run had; None where that is not known."""
    newest = next(iter(_whole_runs(store, campaign)), None)
    known = known_sheet(store, newest.rows_sha256, campaign) if newest and newest.rows_sha256 else None
    if newest is None or known is None:
        return None
    return Kin(own, campaign, newest.run_id, share_of(sheet.rows, known.sketch), is_same=False)
