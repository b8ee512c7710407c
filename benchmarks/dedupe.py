"""The duplicate search: 1,000 new hashes against 1,000,000 stored, and beside imagehash's own `a - b` loop.

    python -m benchmarks.dedupe [--json] [--stored N] [--new N]

CPU time. Half of the new hashes are planted: a stored one with 0 to 14 of 256 bits changed. Recall is counted
against brute force on a sample of the new ones. Exit code 1 if the search misses anything or is over the promise.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass

import imagehash
import numpy as np
import numpy.typing as npt

from assetline.dedupe import PHASH_RADIUS, HashIndex

PROMISE_S = 1.0  # for 1,000 new against 1,000,000 stored
SAMPLE = 150  # new hashes that brute force looks at
LOOP = 300  # hashes on each side of imagehash's loop

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Figures:
    """Seconds are CPU. `times_faster` compares the cost of one pair, imagehash's loop over the search."""

    stored: int
    new: int
    index_s: float
    search_s: float
    found: int
    recall: float
    sampled_pairs: int
    imagehash_ns_per_pair: float
    times_faster: float


def some_hashes(rng: np.random.Generator, count: int) -> Hashes:
    return rng.integers(0, 2**64, (count, 4), dtype=np.uint64)


def nearly(rng: np.random.Generator, hashes: Hashes) -> Hashes:
    """The same hashes with 0 to 14 bits changed: some inside the radius, some just outside."""
    bits = np.unpackbits(hashes.view(np.uint8), axis=1)
    for row in bits:
        row[rng.choice(256, rng.integers(0, 15), replace=False)] ^= 1
    return np.packbits(bits, axis=1).view(np.uint64)


def brute_force(stored: Hashes, new: Hashes) -> set[tuple[int, int]]:
    return {
        (query, int(row))
        for query, one in enumerate(new)
        for row in np.flatnonzero(np.bitwise_count(stored ^ one).sum(axis=1) <= PHASH_RADIUS)
    }


def loop_ns_per_pair(rng: np.random.Generator) -> float:
    """The usual way: every ImageHash minus every other."""
    some = [imagehash.ImageHash(row.reshape(16, 16)) for row in rng.integers(0, 2, (2 * LOOP, 256)).astype(bool)]
    started = time.process_time()
    close = sum(one - other <= PHASH_RADIUS for one in some[:LOOP] for other in some[LOOP:])
    spent = time.process_time() - started
    if close:
        raise SystemExit("random hashes are alike: the generator is broken")
    return spent / LOOP**2 * 1e9


def measure(count_stored: int, count_new: int) -> Figures:
    rng = np.random.default_rng(1)
    stored = some_hashes(rng, count_stored)
    planted = nearly(rng, stored[rng.integers(0, count_stored, count_new // 2)])
    new = rng.permutation(np.concatenate([planted, some_hashes(rng, count_new - len(planted))]))
    started = time.process_time()
    index = HashIndex(stored)
    built = time.process_time()
    pairs = index.search(new)
    searched = time.process_time()
    expected = brute_force(stored, new[:SAMPLE])
    found = set(zip(pairs.queries.tolist(), pairs.stored.tolist(), strict=True))
    loop_ns = loop_ns_per_pair(rng)
    return Figures(
        stored=count_stored,
        new=count_new,
        index_s=round(built - started, 3),
        search_s=round(searched - built, 3),
        found=len(found),
        recall=len(expected & found) / len(expected),
        sampled_pairs=len(expected),
        imagehash_ns_per_pair=round(loop_ns),
        times_faster=round(loop_ns * count_stored * count_new / 1e9 / (searched - started)),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument("--stored", type=int, default=1_000_000)
    parser.add_argument("--new", type=int, default=1_000)
    options = parser.parse_args()
    figures = measure(options.stored, options.new)
    kept = figures.recall == 1.0 and figures.index_s + figures.search_s <= PROMISE_S
    if options.json:
        print(json.dumps({"promise_s": PROMISE_S, "kept": kept, **asdict(figures)}))
        return 0 if kept else 1
    print(f"{figures.new:,} new against {figures.stored:,} stored, 256 bits, radius {PHASH_RADIUS}; CPU seconds")
    print(f"{'build the index':<38}{figures.index_s:>9} s")
    print(f"{'search':<38}{figures.search_s:>9} s    {figures.found} pairs")
    print(f"{'recall against brute force':<38}{figures.recall:>9}      {figures.sampled_pairs} pairs sampled")
    print(f"{'imagehash `a - b`, one pair':<38}{figures.imagehash_ns_per_pair:>9} ns")
    print(f"{'imagehash loop / (index + search)':<38}{figures.times_faster:>9,} x")
    print(f"promise: all found, index and search within {PROMISE_S} s: {'kept' if kept else 'BROKEN'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
