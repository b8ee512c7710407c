"""What is already made is not made again: one listing of the store, then the sidecars of what the plan wants."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence

from assetline.errors import StoreError, StoreUnreachable
from assetline.pipeline.asset import Bench, keep_stored
from assetline.records import Made, PlannedRequest
from assetline.store.existing import Found, find_originals

log = logging.getLogger(__name__)


async def find_existing(bench: Bench, planned: Sequence[PlannedRequest]) -> AsyncIterator[Made]:
    """The assets that are already there, one by one. Originals without a sidecar are completed on the way.

    Raises StoreUnreachable.
    """
    found = await bench.pool.run(find_originals, bench.store, bench.campaign, planned)
    async for made in bench.pool.map(lambda item: _read(item, bench), found):
        if made:
            yield made


def _read(found: Found, bench: Bench) -> Made | None:
    """The asset, or None where what lies there cannot serve: then the request is made."""
    try:
        return keep_stored(found.original, found.planned, bench)
    except StoreUnreachable:
        raise
    except StoreError as error:
        log.warning("not reused: key=%s reason=%s", found.original, error)
        return None
