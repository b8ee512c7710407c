"""What a store can really do, asked of throwaway objects: servers that ignore a condition still answer 200."""

from __future__ import annotations

import contextlib
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from assetline.errors import ObjectChanged, ObjectExists, StoreError
from assetline.store import PutOptions, Store
from assetline.store.rules import PROBE_PREFIX

RACERS = 8
ROUNDS = 5  # a server that is not atomic let two win in 16 of 20 rounds (OpenStack Swift 2.37): five are enough


class ProbedStore(Store, Protocol):
    """A store that can be probed: it lets throwaway objects be removed, and no others."""

    def discard_probe(self, key: str) -> None:
        """Remove a throwaway object."""


@dataclass(frozen=True)
class StoreCapabilities:
    """What the probe saw. Everything must be true before two machines may work on one campaign."""

    create_if_absent: bool
    one_winner: bool
    compare_and_swap: bool
    metadata: bool

    @property
    def problems(self) -> tuple[str, ...]:
        """What it cannot do and what that means, one sentence each; empty where all is well."""
        sentences = {
            "It overwrites where it was told to create only: never run one campaign twice at once on it.": (
                self.create_if_absent
            ),
            "Of several writers who create one object at once, not exactly one wins: run on one machine only.": (
                self.one_winner
            ),
            "It overwrites a version that was not named: two reviewers would lose each other's decisions.": (
                self.compare_and_swap
            ),
            "Metadata does not come back: an original whose sidecar is lost cannot be traced.": self.metadata,
        }
        return tuple(sentence for sentence, well in sentences.items() if not well)


def probe_store(store: ProbedStore) -> StoreCapabilities:
    """Try every promise of the protocol on objects under `.assetline/probe-<random>/`, and remove them.

    About 60 small requests. Raises StoreUnreachable, StoreError where the store cannot be written or read at all.
    """
    folder = f"{PROBE_PREFIX}{secrets.token_hex(8)}"
    keys = (f"{folder}/object", *(f"{folder}/race-{number}" for number in range(ROUNDS)))
    try:
        first = store.put(keys[0], b"first", PutOptions(metadata={"asset-id": "probe"}))
        metadata = store.get(keys[0]).metadata.get("asset-id") == "probe"
        create_if_absent = _is_refused(store, keys[0], PutOptions(if_absent=True))
        return StoreCapabilities(
            create_if_absent=create_if_absent,
            one_winner=all(_has_one_winner(store, key) for key in keys[1:]),
            compare_and_swap=_swaps(store, keys[0], first),
            metadata=metadata,
        )
    finally:
        for key in keys:
            with contextlib.suppress(
                StoreError
            ):  # without the right to delete, six tiny objects stay; nobody lists them
                store.discard_probe(key)


def _is_refused(store: Store, key: str, options: PutOptions) -> bool:
    try:
        store.put(key, b"second", options)
    except (ObjectExists, ObjectChanged):
        return True
    return False


def _swaps(store: Store, key: str, stale: str) -> bool:
    """Whether a write is refused that names an old version, and taken that names the present one."""
    store.put(key, b"changed meanwhile")
    if not _is_refused(store, key, PutOptions(if_match=stale)):
        return False
    return not _is_refused(store, key, PutOptions(if_match=store.get(key).etag))


def _has_one_winner(store: Store, key: str) -> bool:
    """Whether, of several who create one object at the same moment, one succeeds, and the object is its."""
    start = threading.Barrier(RACERS)

    def race(data: bytes) -> bool:
        start.wait()
        try:
            store.put(key, data, PutOptions(if_absent=True))
        except ObjectExists:
            return False
        return True

    entries = [f"racer {number}".encode() for number in range(RACERS)]
    with ThreadPoolExecutor(RACERS) as pool:
        winners = [data for data, won in zip(entries, pool.map(race, entries), strict=True) if won]
    return winners == [store.get(key).data]
