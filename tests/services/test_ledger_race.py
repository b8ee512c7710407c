"""Many processes and one SQLite ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.register_assert_rewrite("fakes.ledger_behaviour")

from fakes.ledger_behaviour import race  # noqa: E402 - after the registration


@pytest.mark.parametrize(("fit", "tries"), [(1, 2), (75, 4), (200, 4)])
def test_of_fifty_processes_that_race_for_a_cap_as_many_win_as_fit(tmp_path: Path, fit: int, tries: int) -> None:
    """They also open the ledger at the same moment, when it is not there yet."""
    found = race(f"sqlite:///{tmp_path}/assetline.db", "50", str(tries), "0.04", str(fit * 0.04))
    assert (fit, 50 * tries - fit, 0) == (found["won"], found["refused"], found["died"])
