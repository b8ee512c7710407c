"""setup-check: one real task through a real Prefect server.

A clean dependency check has been seen to hide a Prefect that cannot start; `make setup` ends with this.
"""

from __future__ import annotations

from prefect import flow, task


@task
def add(a: int, b: int) -> int:
    """One task run."""
    return a + b


@flow(name="setup-check")
def setup_check() -> int:
    """Run one task; the sum is 42."""
    return add(40, 2)
