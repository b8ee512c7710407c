"""One campaign run to a folder, to moto and to ministack leaves the same in each, but for places and times."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from fakes.campaigns import WORKFLOWS, PictureBackend, encoded, png, statuses
from fakes.s3_servers import ministack_store_settings, moto_store_settings
from PIL import Image

from assetline.catalogue import load_catalogue
from assetline.dispatch import Lane
from assetline.errors import AssetlineError, JobFailed, JobRejected
from assetline.pipeline import RunJob, RunResult, run_campaign
from assetline.plan import World, plan_campaign
from assetline.records import PlannedRequest
from assetline.sheet import read_sheet
from assetline.store import Store
from assetline.store.folder import FolderStore
from assetline.workflow import load_workflows

pytestmark = pytest.mark.server

PLACES = ("folder", "moto", "ministack")
SHEET = """id,prompt,style,size,channels,variants,tags
TENT,a {red|green} tent in the snow,,"96x64, 64x96",,2,"tents, hero"
BOOT,a boot,Minimalist,,web_banner,1,
TWIN,two of a kind,,256x256,,2,
Gießkanne 5 l,"Gießkanne, salbeigrün",Product Photography,64x64,,1,Garten
NIGHT,a tent at night,,64x64,,1,
LOST,a row that the lane refuses,,64x64,,1,
FLAKY,a lamp that takes two tries,,64x64,,1,
"""
EXPECTED = {"stored": 12, "duplicate": 1, "rejected": 1, "failed": 1}

# What may differ between two runs of one campaign: these fields, run ids, and where the store is. Nothing else.
IN_ASSET = ("created_at", "run_id")
IN_METADATA = ("run-id",)
IN_RUN = ("started_at", "finished_at", "seconds")
RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
TIMES = re.compile('<header class="masthead">.*?</header>|<details class="lanes">.*?</details>', re.DOTALL)
ON_A_DAY = re.compile(r"on \d{4}-\d\d-\d\d")


def draw(planned: PlannedRequest, attempt: int) -> bytes | AssetlineError:
    size = (planned.request.width, planned.request.height)
    if planned.row == "LOST":
        return JobRejected("cfg 90.0 is above the maximum of 30", job_id="p-lost")
    if planned.row == "FLAKY" and attempt == 1:
        return JobFailed("out of memory", job_id="p-flaky")
    if planned.row == "NIGHT":
        return encoded(Image.new("RGB", size))
    if planned.row == "TWIN":
        return encoded(Image.open(io.BytesIO(png(7, size))).point(lambda level: level + planned.variant))
    return png(int(planned.request.key[:8], 16), size, text={"prompt": '{"3": {"class_type": "KSampler"}}'})


@dataclass(frozen=True)
class Ran:
    """A store after two runs of the campaign, and what the second run asked of its lane."""

    store: Store
    first: RunResult
    second: RunResult
    drawn_again: list[str]

    @cached_property
    def names(self) -> dict[str, str]:
        """Every key, by its name without run ids."""
        names = {self.first.record.run_id: "FIRST", self.second.record.run_id: "SECOND"}
        return {RUN_ID.sub(lambda found: names[found[0]], key): key for key in self.store.list("")}

    def data(self, name: str) -> bytes:
        return self.store.get(self.names[name]).data

    def manifest(self, run: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.data(f"campaigns/spring/runs/{run}/manifest.jsonl").splitlines()]


def run_twice(store: Store) -> Ran:
    first, second = PictureBackend("gpu1", draw), PictureBackend("gpu1", draw)
    return Ran(store, run(store, first), run(store, second), second.drawn)


def run(store: Store, backend: PictureBackend) -> RunResult:
    data = SHEET.encode()
    campaigns = Path(__file__).parents[2] / "campaigns"
    world = World(load_catalogue(campaigns), load_workflows(WORKFLOWS), frozenset({"fpo"}))
    plan = plan_campaign("spring", read_sheet("spring.csv", data, world.catalogue), world)
    assert plan.ok, [str(problem) for problem in plan.problems]
    job = RunJob(plan, data, store, [Lane(backend, slots=1)])  # one slot: so its job ids count up in the same order
    return asyncio.run(run_campaign(job, lambda step: step, lambda _: None))


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Ran]]:
    with ExitStack() as servers:
        moto = servers.enter_context(moto_store_settings())
        ministack = servers.enter_context(ministack_store_settings(tmp_path_factory.mktemp("ministack")))
        folder = FolderStore(tmp_path_factory.mktemp("assets"))
        stores = (folder, moto.store(), ministack.store())
        yield {place: run_twice(store) for place, store in zip(PLACES, stores, strict=True)}


@pytest.fixture
def folder(everywhere: dict[str, Ran]) -> Ran:
    return everywhere["folder"]


@pytest.fixture(params=PLACES[1:])
def s3(everywhere: dict[str, Ran], request: pytest.FixtureRequest) -> Ran:
    return everywhere[request.param]


def without(facts: dict[str, Any], *names: str) -> dict[str, Any]:
    """`facts` without fields that must have been there."""
    assert set(names) <= facts.keys()
    return {name: value for name, value in facts.items() if name not in names}


def timeless(line: dict[str, Any]) -> dict[str, Any]:
    """A line of the manifest without times and run ids."""
    asset = line["asset"] and without(line["asset"], *IN_ASSET)
    return {**line, "asset": asset, "reason": ON_A_DAY.sub("on DAY", line["reason"])}


def test_the_campaign_has_something_of_everything(folder: Ran) -> None:
    found = statuses(folder.first)
    assert {status: found.count(status) for status in EXPECTED} == EXPECTED
    assert [line["row"] for line in folder.manifest("FIRST") if line["status"] == "duplicate"] == ["TWIN"]


@pytest.mark.parametrize("run_name", ["FIRST", "SECOND"])
def test_the_manifests_are_equal_line_by_line(folder: Ran, s3: Ran, run_name: str) -> None:
    here, there = folder.manifest(run_name), s3.manifest(run_name)
    assert len(here) == len(there) == sum(EXPECTED.values())
    for line, other in zip(here, there, strict=True):
        assert timeless(line) == timeless(other)


def test_the_stores_hold_the_same_keys(folder: Ran, s3: Ran) -> None:
    assert sorted(folder.names) == sorted(s3.names)


def test_sheets_originals_and_thumbnails_are_the_same_bytes(folder: Ran, s3: Ran) -> None:
    pictures = [name for name in folder.names if name.endswith((".png", "256.jpg", "512.jpg", "spring.csv"))]
    assert len(pictures) == 14 * 3 + 2
    assert {name: sha256(folder.data(name)) for name in pictures} == {name: sha256(s3.data(name)) for name in pictures}


def test_sidecars_are_equal_but_for_times_and_run_ids(folder: Ran, s3: Ran) -> None:
    sidecars = [name for name in folder.names if "/assets/" in name and name.endswith(".json")]
    assert len(sidecars) == 14
    for name in sidecars:
        here, there = (json.loads(ran.data(name)) for ran in (folder, s3))
        for sidecar in (here, there):
            sidecar["asset"] = without(sidecar["asset"], *IN_ASSET)
        assert without(here, "run_id") == without(there, "run_id")


def test_originals_carry_the_same_metadata(folder: Ran, s3: Ran) -> None:
    for name in (name for name in folder.names if name.endswith(".png")):
        here, there = (ran.store.get(ran.names[name]).metadata for ran in (folder, s3))
        assert without(here, *IN_METADATA) == without(there, *IN_METADATA)
        assert here["sha256"] == sha256(folder.data(name))


def placeless(ran: Ran, name: str) -> str:
    """A text file of a run without the store's address, run ids and days."""
    text = unquote(ran.data(name).decode())
    for place in (f"file://{ran.store.uri}", ran.store.uri):
        text = text.replace(place, "STORE")
    return RUN_ID.sub("RUN", ON_A_DAY.sub("on DAY", text))


@pytest.mark.parametrize("run_name", ["FIRST", "SECOND"])
def test_run_records_are_equal_but_for_places_and_times(folder: Ran, s3: Ran, run_name: str) -> None:
    name = f"campaigns/spring/runs/{run_name}/run.json"
    here, there = (without(json.loads(placeless(ran, name)), *IN_RUN) for ran in (folder, s3))
    assert here == there


@pytest.mark.parametrize("run_name", ["FIRST", "SECOND"])
def test_tables_and_contact_sheets_are_equal_but_for_places_and_times(folder: Ran, s3: Ran, run_name: str) -> None:
    for name in ("manifest.csv", "contact-sheet.html"):
        here, there = (placeless(ran, f"campaigns/spring/runs/{run_name}/{name}") for ran in (folder, s3))
        assert TIMES.sub("", here) == TIMES.sub("", there)
    picture = f"campaigns/spring/runs/{run_name}/contact-sheet.jpg"
    assert folder.data(picture) == s3.data(picture)


@pytest.mark.parametrize("place", PLACES)
def test_a_second_run_asks_only_for_what_failed(everywhere: dict[str, Ran], place: str) -> None:
    ran = everywhere[place]
    assert ran.drawn_again == ["LOST-1-64x64"]
    again = {"stored": "reused"}
    assert statuses(ran.second) == [again.get(status, status) for status in statuses(ran.first)]
    assert [o.asset for o in ran.first.outcomes] == [o.asset for o in ran.second.outcomes]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
