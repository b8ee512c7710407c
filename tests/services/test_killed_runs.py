"""Runs on two workers in processes of their own, killed with `kill -9` at moments chosen to hurt: a few points of
`benchmarks/killed.py`, which has fifty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.killed import REQUESTS, WORKERS, Kill, Scene, Undisturbed, run_undisturbed, try_point
from benchmarks.worker_processes import Workers, started

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with started(WORKERS) as found:
        yield found


@pytest.fixture(scope="module")
def undisturbed(workers: Workers, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return run_undisturbed(tmp_path_factory.mktemp("undisturbed") / "run", workers)


@pytest.mark.parametrize(
    "kills",
    [
        [Kill("post", 5)],
        [Kill("download", 3), Kill("download", 9)],
        [Kill("original", 7)],
        [Kill("manifest", 1)],
    ],
    ids=["a prompt just accepted", "downloads under way, twice", "an original without its sidecar", "the manifest"],
)
def test_the_same_command_ends_where_an_undisturbed_run_ends(
    kills: list[Kill], tmp_path: Path, workers: Workers, undisturbed: Undisturbed
) -> None:
    result = try_point(Scene(tmp_path / "killed", workers), kills, undisturbed)
    assert [] == result.faults
    assert len(kills) == len(result.stored_at_kill), "each run was killed before it ended"
    assert 1 == result.runs, "the first run after the last kill goes to the end"
    assert REQUESTS == result.executions, "what was in flight is adopted, not made again"
