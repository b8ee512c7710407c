"""What is already made is not made again: one listing of the store, then the sidecars of what the plan wants."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from assetline.errors import StoreError, StoreUnreachable
from assetline.pipeline.asset import Bench, keep_stored
from assetline.records import Made, PlannedRequest
from assetline.store.existing import Found, find_originals
from assetline.store.layout import channels_prefix

log = logging.getLogger(__name__)


async def find_existing(bench: Bench, planned: Sequence[PlannedRequest]) -> AsyncIterator[Made]:
    """The assets that are already there, one by one. Originals without a sidecar are completed on the way.

    Raises StoreUnreachable.
    """
    found = await bench.pool.run(find_originals, bench.store, bench.campaign, planned)
    if any(item.planned.exact for item in found):
        bench = replace(bench, delivered=await bench.pool.run(_delivered, bench))
    async for made in bench.pool.map(lambda item: _read(item, bench), found):
        if made:
            yield made


def _delivered(bench: Bench) -> frozenset[str]:
    """The files for channels that are there: one that was removed is cut again."""
    return frozenset(bench.store.list(channels_prefix(bench.campaign)))


def _read(found: Found, bench: Bench) -> Made | None:
    """The asset, or None where what lies there cannot serve: then the request is made."""
    try:
        return keep_stored(found.original, found.planned, bench)
    except StoreUnreachable:
        raise
    except StoreError as error:
        log.warning("not reused: key=%s reason=%s", found.original, error)
        return None
