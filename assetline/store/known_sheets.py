"""Which campaigns ran which rows, so that a sheet is known again under another file name. Small objects, never listed
with the pictures: a store of a million of these is asked in a moment.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import PurePosixPath
from typing import Literal

from pydantic import ValidationError

from assetline.errors import ObjectExists, ObjectMissing
from assetline.records import Record
from assetline.store import PutOptions, Store
from assetline.store.layout import known_sheet_key, known_sheets_prefix, other_name_key


class KnownSheet(Record):
    """A sheet that a campaign ran: `file` was its name, `sketch` a sample of digests of its rows."""

    version: Literal[1] = 1
    campaign: str
    file: str
    sketch: tuple[str, ...]


class OtherName(Record):
    """That files called `name` (a slug) belong to `campaign`, because they had the very same rows once."""

    version: Literal[1] = 1
    name: str
    campaign: str


def remember_sheet(store: Store, rows_sha256: str, sheet: KnownSheet) -> None:
    """Keep that the campaign runs these rows. Raises StoreError."""
    with suppress(ObjectExists):
        key = known_sheet_key(rows_sha256, sheet.campaign)
        store.put(key, sheet.model_dump_json().encode(), PutOptions(if_absent=True))


def remember_name(store: Store, name: OtherName) -> None:
    """Keep the other name, in place of the campaign that files of it belonged to before. Raises StoreError."""
    store.put(other_name_key(name.name), name.model_dump_json().encode())


def knows_sheets(store: Store) -> bool:
    """Whether any campaign has run a sheet. Raises StoreUnreachable."""
    return next(iter(store.list(known_sheets_prefix())), "") != ""


def campaigns_with(store: Store, rows_sha256: str = "") -> list[str]:
    """The campaigns that ran these rows, or any. Raises StoreUnreachable."""
    return sorted({PurePosixPath(key).stem for key in store.list(known_sheets_prefix(rows_sha256))})


def known_sheet(store: Store, rows_sha256: str, campaign: str) -> KnownSheet | None:
    """What is kept of these rows; None where they are not known. Raises StoreUnreachable."""
    try:
        return KnownSheet.model_validate_json(store.get(known_sheet_key(rows_sha256, campaign)).data)
    except (ObjectMissing, ValidationError):
        return None


def campaign_named(store: Store, name: str) -> str:
    """The campaign that files of this name belong to; empty where none is known. Raises StoreUnreachable."""
    try:
        return OtherName.model_validate_json(store.get(other_name_key(name)).data).campaign
    except (ObjectMissing, ValidationError):
        return ""
