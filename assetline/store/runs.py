"""The runs that a store holds. A run without `run.json` is still going, or was killed: nobody trusts its files."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import ValidationError

from assetline.errors import ObjectMissing
from assetline.run_records import RunRecord
from assetline.store import Store
from assetline.store.layout import run_prefix, runs_prefix

RUN_RECORD = "run.json"


@dataclass(frozen=True)
class StoredRun:
    """A run's place in the store: `prefix` ends with a slash. `record` is None while it has no `run.json`.

    `fault` says what is wrong with a `run.json` that cannot be read.
    """

    campaign: str
    run_id: str
    prefix: str
    record: RunRecord | None
    fault: str = ""


def finished_run_ids(store: Store, campaign: str) -> frozenset[str]:
    """The ids of the campaign's runs that have their `run.json`. Raises StoreUnreachable."""
    keys = store.list(runs_prefix(campaign))
    return frozenset(key.split("/")[-2] for key in keys if key.endswith(f"/{RUN_RECORD}"))


def find_runs(store: Store, campaign: str = "") -> list[StoredRun]:
    """The runs of a campaign, or of all, newest first; a damaged one is among them. Raises StoreError."""
    names: dict[tuple[str, str], bool] = {}
    for key in store.list(runs_prefix(campaign) if campaign else "campaigns/"):
        parts = key.split("/")
        if len(parts) > 4 and parts[2] == "runs":
            place = (parts[1], parts[3])
            names[place] = names.get(place, False) or parts[4] == RUN_RECORD
    found = [_stored(store, *place, whole=whole) for place, whole in names.items()]
    return sorted(found, key=lambda run: run.run_id, reverse=True)


def _stored(store: Store, campaign: str, run_id: str, *, whole: bool) -> StoredRun:
    prefix = run_prefix(campaign, run_id)
    run = StoredRun(campaign, run_id, prefix, None)
    if not whole:
        return run
    try:
        return replace(run, record=RunRecord.model_validate_json(store.get(prefix + RUN_RECORD).data))
    except ObjectMissing:
        return run
    except ValidationError:
        fault = f"{store.uri_of(prefix + RUN_RECORD)} is no run record that this version can read."
        return replace(run, fault=f"{fault} The pictures are safe: running the same sheet again writes a new record.")
