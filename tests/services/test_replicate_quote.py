"""The quote against the bill: twenty campaigns of mixed models, at a Replicate of our own on a clock that passes no time."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from fakes.fake_replicate import FakeReplicate, Fate
from fakes.replicate_lane import MODELS, Time, lane, ledger_at, planned

from assetline.errors import BackendError
from assetline.ledger import Caps
from assetline.plan import CapQuote, Money, quote_paid
from assetline.plan.paid_models import by_ref
from assetline.records import PlannedRequest

CAMPAIGNS, PICTURES = 20, 10
WITHIN = 0.10


def campaign(chance: random.Random, number: int) -> list[PlannedRequest]:
    """A campaign of one to three models."""
    models = chance.sample(["flux-schnell", "sdxl", "imagen-4"], chance.randint(1, 3))
    return [planned(chance.choice(models), seed=1000 * number + n, prompt=f"{number}-{n}") for n in range(PICTURES)]


@pytest.mark.parametrize("failing", [0.0, 0.05])
def test_the_money_is_within_a_tenth_of_the_quote(tmp_path: Path, failing: float) -> None:
    """Seconds of work as the price table has them; transient failures are charged and tried again."""
    chance, time = random.Random(7), Time()
    ledger = ledger_at(tmp_path, time)
    misses = []
    with FakeReplicate(clock=time.seconds_since_1970) as api:
        for number in range(CAMPAIGNS):
            requests = campaign(chance, number)
            money = Money(by_ref(MODELS), (CapQuote(cap="run", usd=100, left_usd=100),), today=time.wall().date())
            told = quote_paid(requests, money)
            assert told
            before = api.billed_micros()
            for _ in range(3 * PICTURES):
                error = "Prediction interrupted; please retry (code: PA)" if chance.random() < failing else None
                ending = "failed" if error else "succeeded"
                api.fates.append(Fate(ending=ending, error=error, run_s=chance.uniform(4.0, 6.2)))
            asyncio.run(_make(api, ledger, time, requests, f"run-{number}"))
            spent = (api.billed_micros() - before) / 1e6
            middle = (told.cost_usd.low + told.cost_usd.high) / 2
            misses.append(abs(spent - middle) / middle)
            assert spent == pytest.approx(ledger.spent(run_id=f"run-{number}").settled_usd, abs=1e-4)
            api.fates.clear()
    ledger.close()
    assert [] == [round(miss, 2) for miss in misses if miss > (WITHIN if not failing else 0.35)]
    assert sum(misses) / CAMPAIGNS <= WITHIN


async def _make(api: FakeReplicate, ledger, time: Time, requests: list[PlannedRequest], run: str) -> None:
    backend = lane(api.url, ledger, time, caps=Caps(run=100.0), run=run)
    for request in requests:
        for attempt in (1, 2, 3):
            try:
                await backend.generate(request, attempt)
            except BackendError:
                continue
            break
    await backend.close()
