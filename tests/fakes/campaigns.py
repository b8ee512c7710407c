"""Small campaigns for tests: a sheet as text, planned for real, and backends that draw whatever the test says."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from assetline.catalogue import Catalogue
from assetline.dispatch import DispatchOptions, Lane
from assetline.errors import AssetlineError
from assetline.pipeline import Progress, RunJob, RunResult, run_campaign
from assetline.plan import World, plan_campaign
from assetline.records import Outcome, PlannedRequest, Render
from assetline.sheet import read_sheet
from assetline.store import Store
from assetline.store.folder import FolderStore
from assetline.workflow import load_workflows

WORKFLOWS = Path(__file__).parents[2] / "workflows"


def png(seed: int, size: tuple[int, int] = (64, 64), *, text: dict[str, str] | None = None) -> bytes:
    """A picture with structure and grain of its own for each seed."""
    noise = np.random.default_rng(seed)
    coarse = Image.fromarray(noise.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    grain = noise.integers(-6, 7, (size[1], size[0], 3))
    pixels = np.clip(np.asarray(coarse, dtype=np.int16) + grain, 0, 255).astype(np.uint8)
    return encoded(Image.fromarray(pixels), text)


def encoded(image: Image.Image, text: dict[str, str] | None = None) -> bytes:
    facts = PngImagePlugin.PngInfo()
    for name, value in (text or {}).items():
        facts.add_text(name, value)
    file = io.BytesIO()
    image.save(file, "PNG", pnginfo=facts)
    return file.getvalue()


def black(planned: PlannedRequest, _attempt: int) -> bytes:
    return encoded(Image.new("RGB", (planned.request.width, planned.request.height)))


def by_seed(planned: PlannedRequest, _attempt: int) -> bytes:
    return png(planned.request.seed % 2**32, (planned.request.width, planned.request.height))


class PictureBackend:
    """Draws what `draw` gives; an AssetlineError that it returns is raised. `drawn` lists what was asked for."""

    def __init__(
        self, name: str = "lane", draw: Callable[[PlannedRequest, int], bytes | AssetlineError] = by_seed
    ) -> None:
        self.name = name
        self.draw = draw
        self.drawn: list[str] = []
        self.closed = False
        self.fault: AssetlineError | None = None

    def suits(self, planned: PlannedRequest) -> bool:
        return True

    async def probe(self) -> None:
        if self.fault:
            raise self.fault

    async def generate(self, planned: PlannedRequest, attempt: int) -> Render:
        self.drawn.append(planned.label)
        data = self.draw(planned, attempt)
        await asyncio.sleep(0)
        if isinstance(data, AssetlineError):
            raise data
        return Render(
            data=data,
            seed=planned.request.seed,
            lane=self.name,
            job_id=f"job-{len(self.drawn)}",
            seconds=0.5,
            graph={"1": {}},
        )

    async def close(self) -> None:
        self.closed = True


def job(sheet: str, store: Store, *backends: PictureBackend, campaign: str = "spring", slots: int = 2) -> RunJob:
    """A planned campaign, ready to run. Its requests are FPO's, which every backend here takes."""
    data = sheet.encode()
    world = World(Catalogue(), load_workflows(WORKFLOWS), frozenset({"fpo"}), min_side_px=16)
    plan = plan_campaign(campaign, read_sheet("spring.csv", data, world.catalogue), world)
    assert plan.ok, [str(problem) for problem in plan.problems]
    return RunJob(plan, data, store, [Lane(backend, slots) for backend in backends], DispatchOptions(patience_s=0))


def run(sheet: str, store: Store, *backends: PictureBackend, said: list[Progress] | None = None) -> RunResult:
    """Run a campaign without Prefect."""
    report = said.append if said is not None else lambda _: None
    return asyncio.run(run_campaign(job(sheet, store, *backends), lambda step: step, report))


def statuses(result: RunResult) -> list[str]:
    return [outcome.status for outcome in result.outcomes]


def manifest(store: Store, result: RunResult) -> list[dict]:
    record = result.record
    lines = store.get(f"campaigns/{record.campaign}/runs/{record.run_id}/manifest.jsonl").data.splitlines()
    return [json.loads(line) for line in lines]


def files(store: FolderStore, under: str = "") -> list[str]:
    return [key for key in store.list("") if under in key]


def reasons(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.reason for outcome in outcomes]
