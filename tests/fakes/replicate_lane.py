"""What the tests of the Replicate lane share: a clock that passes no time, a ledger file, requests, a lane."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fakes.fake_replicate import TOKEN
from fakes.stepping_time import SteppingTime
from pydantic import SecretStr

from assetline.backends.replicate.backend import ReplicateBackend
from assetline.backends.replicate.catalog import load_models
from assetline.backends.replicate.options import Clock, PaidScope, ReplicateSettings
from assetline.ledger import Caps, Ledger, open_ledger
from assetline.records import ImageRequest, PlannedRequest

BEGINNING = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
MODELS = load_models()


class Time(SteppingTime):
    """The lane's clock; `wall` and `seconds_since_1970` are the same moment."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock(now=lambda: self.seconds, sleep=self.sleep, wall=self.wall)

    def wall(self) -> datetime:
        return BEGINNING + timedelta(seconds=self.seconds)

    def seconds_since_1970(self) -> float:
        return self.wall().timestamp()


def ledger_at(folder: Path, time: Time) -> Ledger:
    """A real ledger on disk, on the tests' time."""
    return open_ledger(f"sqlite:///{folder / 'ledger.db'}", clock=time.wall)


def settings(url: str, **options: Any) -> ReplicateSettings:
    return ReplicateSettings(**{"token": SecretStr(TOKEN), "base_url": url, "read_s": 5, "create_s": 5, **options})


def lane(
    url: str, ledger: Ledger, time: Time, *, caps: Caps | None = None, run: str = "run-1", **options: Any
) -> ReplicateBackend:
    """A lane for the fake at `url`. `options` are those of the backend, and of its settings as `settings`."""
    told = settings(url, **options.pop("settings", {}))
    scope = PaidScope("spring", run, caps or Caps(run=10.0))
    return ReplicateBackend(options.pop("models", MODELS), ledger, scope, told, clock=time.clock, **options)


def planned(model: str = "flux-schnell", seed: int = 7, row: str = "SKU0007", **fields: Any) -> PlannedRequest:
    """A request of a square picture by a model of the catalogue."""
    known = MODELS[model]
    facts = {
        "prompt": "a red fox",
        "width": 1024,
        "height": 1024,
        "seed": seed,
        "model": known.ref,
        "parameters": known.complete({}),
    }
    return PlannedRequest(row=row, row_number=2, variant=1, size="1:1", request=ImageRequest(**{**facts, **fields}))
