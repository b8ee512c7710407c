"""How close the Replicate lane comes to what the account's limit allows, and what a prediction costs in CPU here.

A fake Replicate in its own process on loopback: predictions of 3 s, 600 creates a minute with a burst of 10, then 429.
Wall time is real. The share is the least time that the limit allows (rate, plus the last prediction) over the time
taken. `python -m benchmarks.replicate [--predictions 500] [--creates-per-s 9]`
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pydantic import SecretStr

from assetline.backends.replicate.backend import ReplicateBackend
from assetline.backends.replicate.catalog import load_models
from assetline.backends.replicate.options import PaidScope, ReplicateSettings
from assetline.ledger import Caps, open_ledger
from assetline.records import ImageRequest, PlannedRequest

ROOT = Path(__file__).parents[1]
TOKEN = "r8_a-token-for-tests"
RUN_S, QUEUE_S = 3.0, 0.5
PER_MINUTE, BURST = 600.0, 10


def planned(seed: int) -> PlannedRequest:
    model = load_models()["flux-schnell"]
    request = ImageRequest(
        prompt="a red fox",
        width=1024,
        height=1024,
        seed=seed,
        model=model.ref,
        parameters=model.complete({}),
    )
    return PlannedRequest(row=f"SKU{seed:04d}", row_number=seed, variant=1, size="1:1", request=request)


async def run(url: str, folder: Path, predictions: int, creates_per_s: float) -> dict[str, float]:
    ledger = open_ledger(f"sqlite:///{folder / 'ledger.db'}")
    settings = ReplicateSettings(token=SecretStr(TOKEN), base_url=url, creates_per_s=creates_per_s)
    backend = ReplicateBackend(load_models(), ledger, PaidScope("bench", "run", Caps(run=100.0)), settings)
    await backend.probe()
    requests = [planned(seed) for seed in range(predictions)]
    began, cpu = time.monotonic(), os.times()
    renders = await asyncio.gather(*(backend.generate(request, 1) for request in requests))
    seconds, used = time.monotonic() - began, os.times()
    await backend.close()
    spent = ledger.spent()
    ledger.close()
    cpu_s = used.user + used.system - cpu.user - cpu.system
    return {
        "seconds": seconds,
        "cpu_s": cpu_s,
        "usd": spent.settled_usd,
        "pictures": len({one.job_id for one in renders}),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--predictions", type=int, default=500)
    parser.add_argument("--creates-per-s", type=float, default=ReplicateSettings.model_fields["creates_per_s"].default)
    options = parser.parse_args()
    command = [sys.executable, "-m", "fakes.fake_replicate", "--run-seconds", str(RUN_S)]
    command += ["--creates-per-minute", str(PER_MINUTE), "--burst", str(BURST)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    fake = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert fake.stdin is not None
    assert fake.stdout is not None
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(
            run(fake.stdout.readline().strip(), Path(folder), options.predictions, options.creates_per_s)
        )
    books = json.loads(fake.communicate()[0])
    allowed_s = (options.predictions - BURST) * 60 / PER_MINUTE + QUEUE_S + RUN_S
    each = 1000 * figures["cpu_s"] / options.predictions
    print(f"predictions            {options.predictions} of {RUN_S:g} s, limit {PER_MINUTE:g} creates a minute")
    print(f"time taken             {figures['seconds']:.1f} s; the limit allows {allowed_s:.1f} s")
    print(f"share of the limit     {allowed_s / figures['seconds']:.1%}")
    print(f"CPU of the client      {each:.1f} ms per prediction")
    print(f"calls                  {books['calls'] / options.predictions:.1f} per prediction")
    print(f"throttled, paid twice  {books['throttled']}, {books['twice']}")
    print(f"ledger, bill           {figures['usd']:.3f} USD, {books['micros'] / 1e6:.3f} USD")
    faults = books["twice"] + len(books["complaints"]) + len(books["leaks"])
    assert (options.predictions, 0) == (figures["pictures"], faults)


if __name__ == "__main__":
    main()
