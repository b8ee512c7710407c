"""A client of the test run's Prefect server, as a fixture: a conftest imports it."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings


@pytest.fixture
def prefect(prefect_api: str, prefect_home: Path) -> Iterator[SyncPrefectClient]:
    """Flows that are called go to the test run's server; yields a client of it."""
    with (
        temporary_settings({PREFECT_API_URL: prefect_api, PREFECT_HOME: prefect_home}),
        get_client(sync_client=True) as client,
    ):
        yield client
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # Prefect's cached clients are closed by the collector
        gc.collect()
