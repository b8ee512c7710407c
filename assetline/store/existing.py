"""What a campaign has in the store already: one listing, compared by the request's key and size in the name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assetline.records import PlannedRequest
from assetline.store import Store
from assetline.store.layout import AssetPlace, assets_prefix, parse_asset_key, place_of


@dataclass(frozen=True)
class Found:
    """An original in the store that may be the one that a planned request wants; its sidecar has the whole key."""

    planned: PlannedRequest
    original: str


def find_originals(store: Store, campaign: str, planned: Sequence[PlannedRequest]) -> list[Found]:
    """The originals whose names carry the key and size of a planned request, whatever their row is called now.

    Of several the one in the row's own folder: among 100,000 pictures two have the same 8 digits as likely as not.
    Raises StoreUnreachable.
    """
    own: dict[AssetPlace, str] = {}
    originals: dict[tuple[str, int, int], str] = {}
    for key in store.list(assets_prefix(campaign)):
        parsed = parse_asset_key(key)
        if parsed and not parsed.is_sidecar:
            own.setdefault(parsed.place, key)
            originals.setdefault((parsed.key8, parsed.width, parsed.height), key)
    places = [(item, place_of(item)) for item in planned]
    found = [(item, own.get(place) or originals.get((place.key8, place.width, place.height))) for item, place in places]
    return [Found(item, original) for item, original in found if original]
