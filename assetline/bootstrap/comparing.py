"""A plan against the campaign's earlier runs in the store. Quick to import: `plan` stands on it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from assetline.bootstrap.planning import Planning, limits_of, open_store
from assetline.catalogue import Catalogue, load_catalogue
from assetline.errors import ObjectMissing
from assetline.plan.difference import Difference, compare
from assetline.records import Row
from assetline.run_records import RunOptions
from assetline.settings import Settings
from assetline.sheet import Limits, read_sheet
from assetline.store import Store
from assetline.store.history import History, kind_of, read_history
from assetline.store.layout import input_key


def compare_with_runs(
    planning: Planning, options: RunOptions, settings: Settings, *, explained: bool = True
) -> Difference | None:
    """What the plan changes against the campaign's newest runs; None where there are none.

    Where it shall be `explained` by the columns of changed rows, the earlier copies of the sheet are read too.

    Raises StoreUnreachable.
    """
    plan = planning.plan
    store = open_store(options.store or settings.store, settings)
    kinds = {kind_of(planned.request.workflow, planned.request.model) for planned in plan.requests}
    history = read_history(store, plan.campaign, kinds)
    if not explained:
        return compare(plan, history)
    copies = _Copies(store, plan.campaign, history, load_catalogue(settings.campaigns_folder), limits_of(settings))
    return compare(plan, history, cache(copies.rows))


class _Copies:
    """The copies of the sheet that runs have kept; each is read when a changed row is explained by it."""

    def __init__(self, store: Store, campaign: str, history: History, catalogue: Catalogue, limits: Limits) -> None:
        self._store, self._campaign, self._history = store, campaign, history
        self._catalogue, self._limits = catalogue, limits

    def rows(self, run_id: str) -> Mapping[str, Row]:
        """The rows of a run's sheet by their ids; none where its copy is gone."""
        name = self._history.sheets[run_id]
        try:
            data = self._store.get(input_key(self._campaign, run_id, name)).data
        except ObjectMissing:
            return {}
        return {row.id: row for row in read_sheet(name, data, self._catalogue, self._limits).rows}
