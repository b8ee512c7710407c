"""A run delivers every channel its file; a channel that a row gets later is cut from what is there."""

from __future__ import annotations

import asyncio
import csv
import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.campaigns import WORKFLOWS, PictureBackend, black, files, job, manifest
from PIL import Image

from assetline.catalogue import Catalogue, Channel
from assetline.pipeline import RunResult, run_campaign
from assetline.pipeline.renditions import _fit
from assetline.plan import CampaignPlan, World, plan_campaign
from assetline.plan.difference import compare
from assetline.provenance import read_sidecar
from assetline.records import Exact
from assetline.sheet import read_sheet
from assetline.store.folder import FolderStore
from assetline.store.history import read_history
from assetline.workflow import load_workflows


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "assets")


def channel(name: str, width: int, height: int) -> Channel:
    return Channel(name=name, width=width, height=height, render=(64, 64), source="test")


CHANNELS = {one.name: one for one in (channel("post", 100, 100), channel("ad", 50, 50), channel("mail", 50, 50))}
CHANNELS["square"] = channel("square", 90, 90).model_copy(update={"render": (1024, 1024)})
CATALOGUE = Catalogue(channels=CHANNELS)


def planned(sheet: str) -> CampaignPlan:
    world = World(CATALOGUE, load_workflows(WORKFLOWS), frozenset({"fpo"}), min_side_px=16)
    return plan_campaign("spring", read_sheet("spring.csv", sheet.encode(), CATALOGUE), world)


def run(sheet: str, store: FolderStore, backend: PictureBackend) -> RunResult:
    wanted = replace(job("prompt\nx\n", store, backend), plan=planned(sheet), sheet_data=sheet.encode())
    return asyncio.run(run_campaign(wanted, lambda step: step, lambda _: None))


def renditions(store: FolderStore, sheet: str, backend: PictureBackend) -> list[list[tuple[int, int]]]:
    """The sizes that the manifest of a run names, by request; each of those files is in the store, and the sidecar says
    so too.
    """
    assets = [line["asset"] for line in manifest(store, run(sheet, store, backend))]
    for asset in assets:
        assert [one["key"] for one in asset["renditions"] if one["key"] not in files(store)] == []
        kept = read_sidecar(store.get(asset["sidecar"]).data).asset
        assert kept.model_dump(mode="json")["renditions"] == asset["renditions"]
    return [[(one["width"], one["height"]) for one in asset["renditions"]] for asset in assets]


def test_a_run_stores_and_records_a_file_for_every_channel(store: FolderStore) -> None:
    sheet = 'id,prompt,channels\n1,a mug,"post, ad"\n2,a hat,64x64\n'
    assert renditions(store, sheet, PictureBackend()) == [[(100, 100), (50, 50)], []]


def test_what_a_run_writes_for_people_links_the_files_and_knows_the_safe_areas(store: FolderStore) -> None:
    sheet = "id,prompt,channels\n1,a mug,post\n2,a hat,\n"
    post = CHANNELS["post"].model_copy(update={"cover": (10, 0, 0, 0)})
    wanted = replace(job("prompt\nx\n", store, PictureBackend()), plan=planned(sheet), sheet_data=sheet.encode())
    result = asyncio.run(run_campaign(replace(wanted, channels={"post": post}), lambda step: step, lambda _: None))
    folder = store.root / "campaigns/spring/runs" / result.record.run_id
    [key] = [file for file in files(store) if "/channels/" in file]
    assert 'data-safe="0 6.4 64 64"' in (folder / "contact-sheet.html").read_text("utf-8")
    for name in ("manifest.csv", "spring.results.csv"):
        lines = list(csv.DictReader(io.StringIO((folder / name).read_text("utf-8-sig"))))
        assert [line["channel_files"].endswith(f"post: {store.uri_of(key)}") for line in lines] == [True, False]


def test_a_channel_that_is_added_makes_no_picture_again(store: FolderStore) -> None:
    backend = PictureBackend()
    assert renditions(store, "id,prompt,channels\n1,a mug,post\n", backend) == [[(100, 100)]]
    assert renditions(store, 'id,prompt,channels\n1,a mug,"post, ad"\n', backend) == [[(100, 100), (50, 50)]]
    assert len(backend.drawn) == 1


def test_of_a_picture_that_a_check_rejects_nothing_is_delivered(store: FolderStore) -> None:
    sheet = "id,prompt,channels\n1,a mug,post\n"
    assert renditions(store, sheet, PictureBackend(draw=black)) == [[]]
    assert renditions(store, sheet, PictureBackend()) == [[]]


def test_a_channel_gets_its_file_though_a_ratio_asks_for_the_same_picture(store: FolderStore) -> None:
    backend = PictureBackend()
    assert renditions(store, "id,prompt,size,channels\n1,a mug,1:1,\n", backend) == [[]]
    assert renditions(store, "id,prompt,size,channels\n1,a mug,1:1,square\n", backend) == [[(90, 90)], [(90, 90)]]
    assert len(backend.drawn) == 1


@pytest.mark.parametrize(("before", "now"), [("post", "post, ad"), ("ad", "ad, mail"), ("", "ad")])
def test_a_channel_that_shares_the_picture_changes_its_row_once_and_is_named(
    store: FolderStore, before: str, now: str
) -> None:
    sheet = 'id,prompt,size,channels\n1,a mug,64x64,"{}"\n'
    run(sheet.format(before), store, PictureBackend())
    found = compare(planned(sheet.format(now)), read_history(store, "spring"))
    assert found
    assert found.changed == ("1",)
    lines = manifest(store, run(sheet.format(now), store, PictureBackend()))
    named = [name for one in lines[0]["asset"]["renditions"] for name in one["channels"]]
    assert set(named) == set(now.split(", "))
    found = compare(planned(sheet.format(now)), read_history(store, "spring"))
    assert found
    assert found.unchanged == 1


def test_two_rows_that_share_a_picture_get_the_files_of_both(store: FolderStore) -> None:
    world = World(CATALOGUE, load_workflows(WORKFLOWS), frozenset({"comfyui"}), min_side_px=16)
    sheet = b"id,prompt,seed,channels\n1,a mug,7,post\n2,a mug,7,ad\n"
    plan = plan_campaign("spring", read_sheet("spring.csv", sheet, CATALOGUE), world)
    wanted = replace(job("prompt\nx\n", store, PictureBackend()), plan=plan, sheet_data=sheet)
    result = asyncio.run(run_campaign(wanted, lambda step: step, lambda _: None))
    both = [(100, 100), (50, 50)]
    delivered = [
        [(one.width, one.height) for one in outcome.asset.renditions] for outcome in result.outcomes if outcome.asset
    ]
    assert [both, both] == delivered


def test_a_channels_file_that_somebody_removed_is_cut_again(store: FolderStore) -> None:
    backend, sheet = PictureBackend(), 'id,prompt,channels\n1,a mug,"post, ad"\n'
    assert renditions(store, sheet, backend) == [[(100, 100), (50, 50)]]
    [removed] = (path for path in store.root.glob("campaigns/*/channels/*/*_ad_*"))
    removed.unlink()
    assert {(100, 100), (50, 50)} == set(renditions(store, sheet, backend)[0])
    assert len(backend.drawn) == 1


@pytest.mark.parametrize("name", ["contact-sheet.html", "manifest.csv", "spring.results.csv"])
def test_a_run_that_lacks_what_it_wrote_does_not_say_it_all(store: FolderStore, name: str) -> None:
    sheet = "id,prompt,channels\n1,a mug,post\n"
    first = run(sheet, store, PictureBackend())
    assert run(sheet, store, PictureBackend()).same_again
    (store.root / "campaigns/spring/runs" / first.record.run_id / name).unlink()
    again = run(sheet, store, PictureBackend())
    assert (False, True) == (again.same_again, again.record.contact_sheet != first.record.contact_sheet)


def test_sixteen_storing_threads_cut_no_more_pictures_at_once_than_there_are_cores() -> None:
    """Each holds a decoded picture: sixteen of 9 megapixels took 840 MB, two take 90."""
    picture = io.BytesIO()
    Image.new("RGB", (512, 512)).save(picture, "PNG")
    most, at_work, lock = 0, 0, threading.Lock()

    class Sizes(tuple[Exact, ...]):  # noqa: SLOT001
        """What is wanted: looked through by `fit` while it has the picture in memory."""

        def __iter__(self):
            nonlocal most, at_work
            with lock:
                at_work += 1
                most = max(most, at_work)
            gate.wait(0.05)
            yield from super().__iter__()
            with lock:
                at_work -= 1

    gate = threading.Event()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: _fit(picture.getvalue(), Sizes([CHANNELS["post"].exact])), range(16)))
    assert most <= (os.cpu_count() or 1)
