"""Every test starts in a clean environment: no settings, no credentials, no working folder of the person who runs it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOREIGN = ("ASSETLINE_", "AWS_", "REPLICATE_", "PREFECT_")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take every setting that could leak in out of the environment, and work in an empty folder."""
    for name in os.environ:
        if name.startswith(FOREIGN):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio, as the product does."""
    return "asyncio"


@pytest.fixture
def project_root() -> Path:
    """The checkout, for tests that look at its files."""
    return Path(__file__).parents[1]
