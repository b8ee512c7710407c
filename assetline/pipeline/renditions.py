"""The files that channels take: cut and scaled from an asset's original, stored beside it, recorded in the asset."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from threading import BoundedSemaphore

from assetline.errors import ImageError, StoreError
from assetline.images import Fitted, fit
from assetline.provenance import PublishFacts, publish
from assetline.records import Asset, Exact, ImageFormat, PlannedRequest, Rendition
from assetline.store import PutOptions, Store
from assetline.store.layout import rendition_key

EXTENSIONS: dict[ImageFormat, str] = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}

_CORES = BoundedSemaphore(os.cpu_count() or 1)


@dataclass(frozen=True)
class RenditionMaker:
    """Makes the renditions of one asset. `facts` is what each file says of itself, as the original does.

    `delivered`: the keys that the store has; None: those that the asset names.
    """

    store: Store
    campaign: str
    planned: PlannedRequest
    facts: PublishFacts
    delivered: frozenset[str] | None = None

    def lacking(self, asset: Asset) -> tuple[Exact, ...]:
        """The files that the row asks for and the asset does not have: all of a new one, of a reused one those of
        channels that were added since, and those that somebody removed.
        """
        there = [made for made in asset.renditions if self.delivered is None or made.key in self.delivered]
        return tuple(exact for exact in self.planned.exact if not any(made.serves(exact) for made in there))

    def complete(self, asset: Asset, original: bytes | None = None) -> Asset:
        """The asset with every file that the row asks for, made from `original`; None: from the one in the store.

        The asset itself where it lacks nothing: then nothing is read or written. Raises StoreError.
        """
        wanted = self.lacking(asset)
        if not wanted:
            return asset
        data = self.store.get(asset.original).data if original is None else original
        try:
            fitted = _fit(data, wanted)
        except ImageError as error:  # it could be decoded when it was made
            raise StoreError(
                f"{asset.original} cannot be used: {error} Remove it: the next run makes it again."
            ) from error
        made = [self._put(exact, one) for exact, one in zip(wanted, fitted, strict=True)]
        keys = {rendition.key for rendition in made}
        kept = [rendition for rendition in asset.renditions if rendition.key not in keys]
        return asset.model_copy(update={"renditions": (*kept, *made)})

    def _put(self, exact: Exact, fitted: Fitted) -> Rendition:
        data = publish(fitted.data, exact.format, self.facts).data
        key = rendition_key(self.campaign, self.planned, exact, EXTENSIONS[exact.format])
        sha256 = hashlib.sha256(data).hexdigest()
        self.store.put(key, data, PutOptions(metadata={"request-key": self.planned.request.key}, sha256=sha256))
        return Rendition(
            key=key,
            channels=exact.channels,
            width=exact.width,
            height=exact.height,
            format=exact.format,
            sha256=sha256,
            size_bytes=len(data),
            box=fitted.box,
            scale=fitted.scale,
            quality=fitted.quality,
            note=fitted.note,
        )


def _fit(data: bytes, wanted: Sequence[Exact]) -> list[Fitted]:
    """As many at once as cores, though far more threads store: each has a whole picture in memory."""
    with _CORES:
        return fit(data, wanted)
