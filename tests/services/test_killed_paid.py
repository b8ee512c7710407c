"""A run that pays, killed with `kill -9` where it hurts most, again and again: one point of `benchmarks/killed_paid.py`,
which has a hundred. The API and the runs are processes of their own, on a fast clock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.killed_paid import Conditions, ReplicateProcess, Scene, replicates, try_point
from benchmarks.killing import Kill

pytestmark = pytest.mark.server

CONDITIONS = Conditions(requests=12, speed=60)
KILLS = [
    Kill("accepted", 4),  # creates that the API has taken, and nobody has heard so
    Kill("list", 1),  # while the next run looks for them
    Kill("id", 2),  # found or answered, and not written down
    Kill("settled", 2),  # paid, and not fetched
]


@pytest.fixture(scope="module")
def api() -> Iterator[ReplicateProcess]:
    with replicates(1) as [found]:
        yield found


def test_the_same_command_pays_for_each_picture_once_and_the_books_agree(tmp_path: Path, api: ReplicateProcess) -> None:
    result = try_point(Scene(tmp_path / "killed", api, CONDITIONS), KILLS, CONDITIONS.requests)
    assert [] == result.faults
    assert len(KILLS) == len(result.stored_at_kill), "each run was killed before it ended"
    assert 1 == result.runs, "the first run after the last kill goes to the end"
    assert (CONDITIONS.requests, 0) == (result.predictions, result.failed)
    assert result.billed == result.ledger
