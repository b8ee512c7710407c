"""Chance that stays the same: seeds and wildcard lines from campaign, row and number of the picture, nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from assetline.records import MAX_SEED


def seed_of(campaign: str, row: str, n: int) -> int:
    """The seed of picture `n` (from 1) of a prompt choice: 0 .. 2^64-1, the first 8 bytes of a sha256.

    Other rows, another order, more variants and more choices change no seed that is already used.
    """
    digest = hashlib.sha256(f"{campaign}\0{row}\0{n}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def counted_seed(seed: int, n: int) -> int:
    """The seed of picture `n` (from 1) where the sheet gives one: it counts up, and round at 2^64."""
    return (seed + n - 1) % (MAX_SEED + 1)


def line_of(lines: Sequence[str], campaign: str, row: str, n: int) -> str:
    """The wildcard line of picture `n` (from 1): each row has its own order of the lines, and `n` goes through it.

    So the variants of a row get different lines while there are some left, and a line that is added later changes
    the few pictures that it comes before, not all of them.
    """
    order = sorted(lines, key=lambda line: hashlib.sha256(f"{campaign}\0{row}\0{line}".encode()).digest())
    return order[(n - 1) % len(order)]
