"""Which pictures of one row and size are the same picture again: star groups round a keeper, in any order of arrival.

Nothing is deleted here or later: a duplicate is set aside, and the keeper says by how little it differs.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    import numpy.typing as npt

    from assetline.records import Fingerprint, ImageFormat

    Hashes = npt.NDArray[np.uint64]  # (n, 4): 256 bits a row
    Rows = npt.NDArray[np.int64]  # (n,) row numbers, or one number for each row

# Both must hold. Measured on 480 re-encodes, resizes and small changes of light, and 330 wanted variants: together they
# find all 480 and take no colour variant, 1 of 30 other headlines and 1 of 30 other seeds with the same layout for
# a duplicate. The usual 10 of 64 bits takes 7 of 10 colour variants and every headline.
PHASH_RADIUS = 10  # of 256 bits; a phash has exactly half of its bits set, so distances are even
CHROMA_P95_LIMIT = 16.0  # levels of 255: 95th percentile over 16x16 cells of the distance in Cb, Cr

CHUNKS = PHASH_RADIUS + 1  # of 16 bits each
COMPARED_AT_ONCE = 2_000_000  # pairs; bounds the memory where many hashes are alike (about 200 MB)
LOOKED_UP_AT_ONCE = 256  # rows; what is set aside meanwhile is not looked up

FORMAT_ORDER: tuple[ImageFormat, ...] = ("PNG", "WEBP", "JPEG")  # the one that lost least is kept


@dataclass(frozen=True)
class Candidate:
    """A picture that passed its checks. Only candidates of one `group` (row and size) are compared.

    `key` is the request's key, `pixels` width x height. `decided_in` is the id of the finished run that made it,
    which sorts by time; empty for a picture on which no run has decided yet. What an earlier run kept wins over all
    that came later; pictures of one run are compared by their content alone, so that a run that only reuses, or
    goes on after a crash, sets the same ones aside.
    """

    key: str
    group: Hashable
    fingerprint: Fingerprint
    pixels: int
    format: ImageFormat
    decided_in: str = ""


@dataclass(frozen=True)
class Duplicate:
    """`key` is the same picture as `keeper`, `distance` bits of 256 away and `chroma` levels of 255 (p95)."""

    key: str
    keeper: str
    distance: int
    chroma: float
    group: Hashable


def find_duplicates(candidates: Iterable[Candidate]) -> list[Duplicate]:
    """The candidates to set aside, sorted by key: the same for the same candidates in any order.

    In each group the best candidate is a keeper: of the earliest run, more pixels, PNG before WebP before JPEG,
    sharper, smaller key. What is like it is its duplicate, the best of the rest the next keeper, and so on:
    every duplicate is like its own keeper, never only like another duplicate (images: with connected
    components, ends 36 of 64 bits apart fell into one group). Pictures with an unusable hash are duplicates
    only of equal pixels.
    """
    groups: dict[Hashable, dict[str, Candidate]] = defaultdict(dict)
    for candidate in sorted(candidates, key=_rank):
        groups[candidate.group, candidate.fingerprint.algorithm].setdefault(candidate.key, candidate)
    found: list[Duplicate] = []
    for group in groups.values():
        found += _equal_pixels([one for one in group.values() if not one.fingerprint.usable])
        found += _alike([one for one in group.values() if one.fingerprint.usable])
    return sorted(found, key=lambda duplicate: (duplicate.key, duplicate.keeper, str(duplicate.group)))


def _rank(candidate: Candidate) -> tuple[bool, str, int, int, float, str]:
    return (
        not candidate.decided_in,
        candidate.decided_in,
        -candidate.pixels,
        FORMAT_ORDER.index(candidate.format),
        -candidate.fingerprint.sharpness,
        candidate.key,
    )


def _equal_pixels(ranked: Sequence[Candidate]) -> Iterator[Duplicate]:
    keepers: dict[str, str] = {}
    for candidate in ranked:
        pixels = candidate.fingerprint.pixels_sha256
        keeper = keepers.setdefault(pixels, candidate.key) if pixels else candidate.key
        if keeper != candidate.key:
            yield Duplicate(candidate.key, keeper, 0, 0.0, candidate.group)


def _alike(ranked: Sequence[Candidate]) -> Iterator[Duplicate]:
    """Star groups among candidates in keeper order."""
    if len(ranked) < 2:
        return
    kept = np.ones(len(ranked), dtype=bool)
    for keeper, near, distances in _keepers([one.fingerprint.phash for one in ranked], kept):
        free = kept[near] & (near > keeper)
        for row, distance, chroma in _same_colours(ranked, keeper, near[free], distances[free]):
            kept[row] = False
            yield Duplicate(ranked[row].key, ranked[keeper].key, distance, chroma, ranked[row].group)


def _keepers(phashes: Sequence[str], kept: npt.NDArray[np.bool_]) -> Iterator[tuple[int, Rows, Rows]]:
    """Each row that is still kept when its turn comes, the rows near it and their distances.

    The caller clears `kept` as it goes, so that what was set aside is neither looked up nor a keeper.
    """
    hashes = pack(phashes)
    index = HashIndex(hashes)
    for start in range(0, len(hashes), LOOKED_UP_AT_ONCE):
        rows = start + np.flatnonzero(kept[start : start + LOOKED_UP_AT_ONCE])
        pairs = index.search(hashes[rows])
        for place, row in enumerate(rows.tolist()):
            if kept[row]:
                yield row, *pairs.of(place)


def _same_colours(
    ranked: Sequence[Candidate], keeper: int, near: Rows, distances: Rows
) -> Iterator[tuple[int, int, float]]:
    """Of the rows `near` the keeper by hash, those with its colours: row, distance, chroma."""
    if not len(near):
        return
    chroma = _chroma_p95(_chroma(ranked[keeper]), np.array([_chroma(ranked[row]) for row in near]))
    for row, distance, levels in zip(near.tolist(), distances.tolist(), chroma.tolist(), strict=True):
        if levels <= CHROMA_P95_LIMIT:
            yield row, distance, round(levels, 2)


def _chroma(candidate: Candidate) -> npt.NDArray[np.float32]:
    """Cb and Cr of the 16x16 cells: (2, 256)."""
    levels = np.frombuffer(bytes.fromhex(candidate.fingerprint.chroma), dtype=np.uint8)
    return levels.reshape(2, -1).astype(np.float32)


def _chroma_p95(one: npt.NDArray[np.float32], others: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """95th percentile over the cells of the distance in Cb, Cr; others (n, 2, 256) -> (n,)."""
    apart = others - one
    levels: npt.NDArray[np.float32] = np.percentile(np.hypot(apart[:, 0], apart[:, 1]), 95, axis=1)
    return levels


def pack(phashes: Sequence[str]) -> Hashes:
    """Hashes of 64 hex digits each as (n, 4) uint64."""
    return np.frombuffer(bytes.fromhex("".join(phashes)), dtype=np.uint64).reshape(-1, 4)


@dataclass(frozen=True)
class Pairs:
    """Rows of the queries and of the stored hashes that are near each other, sorted by query, then stored."""

    queries: Rows
    stored: Rows
    distances: Rows

    def of(self, query: int) -> tuple[Rows, Rows]:
        """The stored rows near that query, and their distances."""
        low, high = np.searchsorted(self.queries, [query, query + 1])
        return self.stored[low:high], self.distances[low:high]


class HashIndex:
    """Exact search among 256-bit hashes by pigeonhole: of 11 chunks of 16 bits, 10 changed bits leave one as it was.

    Holds each chunk's column sorted, with the rows in that order: about 120 bytes a hash with the hash itself.
    """

    def __init__(self, hashes: Hashes) -> None:
        self._hashes = hashes
        chunks = np.ascontiguousarray(hashes.view(np.uint16)[:, :CHUNKS].T)
        order = np.argsort(chunks, axis=1, kind="stable")  # a radix sort for 16 bits
        self._rows = order.astype(np.int32).ravel()
        self._sorted = _numbered(np.take_along_axis(chunks, order, axis=1)).ravel()

    def search(self, hashes: Hashes, radius: int = PHASH_RADIUS) -> Pairs:
        """Every pair of a query (row of `hashes`) and a stored hash at most `radius` (0 to 10) bits apart."""
        if not 0 <= radius < CHUNKS:
            raise ValueError(f"radius {radius}: this index finds what is 0 to {CHUNKS - 1} bits apart")
        wanted = _numbered(np.ascontiguousarray(hashes.view(np.uint16)[:, :CHUNKS].T))
        low = np.searchsorted(self._sorted, wanted, side="left")
        counts = np.searchsorted(self._sorted, wanted, side="right") - low
        ends = np.cumsum(counts.sum(axis=0))
        total = int(ends[-1]) if len(ends) else 0
        cuts = np.unique(np.searchsorted(ends, range(COMPARED_AT_ONCE, total, COMPARED_AT_ONCE)))
        found = [
            self._compare(hashes, block, low[:, block], counts[:, block], radius)
            for block in np.split(np.arange(len(hashes)), cuts)
        ]
        return Pairs(*(np.concatenate(column) for column in zip(*found, strict=True)))

    def _compare(self, hashes: Hashes, queries: Rows, low: Rows, counts: Rows, radius: int) -> tuple[Rows, Rows, Rows]:
        """Compare those queries with the rows that share a chunk; low and counts are (11, len(queries))."""
        flat = counts.ravel()
        asked = np.repeat(np.tile(queries, CHUNKS), flat)
        places = np.arange(len(asked)) + np.repeat(low.ravel() - np.cumsum(flat) + flat, flat)
        stored = self._rows[places].astype(np.int64)
        distances = np.bitwise_count(hashes[asked] ^ self._hashes[stored]).sum(axis=1, dtype=np.int64)
        near = distances <= radius
        pairs, first = np.unique(asked[near] * len(self._hashes) + stored[near], return_index=True)
        return pairs // len(self._hashes), pairs % len(self._hashes), distances[near][first]


def _numbered(chunks: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint32]:
    """Chunk values with the chunk's number in front, so that one sorted array holds all columns; (11, n)."""
    return chunks + (np.arange(CHUNKS, dtype=np.uint32) << 16)[:, None]
