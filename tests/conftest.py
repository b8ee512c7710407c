"""Every test starts in a clean environment: no settings, no credentials, no working folder of the person who runs it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

FOREIGN = ("ASSETLINE_", "AWS_", "REPLICATE_", "PREFECT_")


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Prefect keeps its database and profiles for the whole test run, instead of the person's own."""
    return tmp_path_factory.mktemp("prefect-home")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, prefect_home: Path) -> None:
    """Take every setting that could leak in out of the environment, and work in an empty folder."""
    for name in os.environ:
        if name.startswith(FOREIGN):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("PREFECT_HOME", str(prefect_home))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio, as the product does."""
    return "asyncio"


@pytest.fixture
def project_root() -> Path:
    """The checkout, for tests that look at its files."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def prefect_api(prefect_home: Path) -> Iterator[str]:
    """The API address of one real Prefect server, in its own process, for the whole test run."""
    from apps.prefect_server import embedded_server, wait_until_healthy

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(prefect_home))
        patch.chdir(prefect_home)
        with embedded_server() as api_url:
            wait_until_healthy(api_url)
            yield api_url
