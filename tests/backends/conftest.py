"""What the tests of the client have in common: a fake worker over HTTP, and time that takes none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes.comfyui_lane import Ticker
from fakes.fake_comfyui import FakeComfyUI


@pytest.fixture
def worker() -> Iterator[FakeComfyUI]:
    with FakeComfyUI() as fake:
        yield fake


@pytest.fixture
def ticker() -> Ticker:
    return Ticker()
