"""Runs that follow others: what a killed, an unlucky or a parallel run has left is kept, counted and said rightly."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.campaigns import PictureBackend, black, encoded, files, job, manifest, png, run, statuses
from fakes.memory_store import MemoryStore
from PIL import Image

from assetline.errors import JobRejected, ObjectMissing
from assetline.pipeline import Progress, RunResult, WorkPool, run_campaign
from assetline.pipeline.books import Decisions
from assetline.records import PlannedRequest, Render
from assetline.store import StoredObject
from assetline.store.folder import FolderStore
from assetline.store.history import read_retired

MUG = "id,prompt,size\nMUG,a mug,64x64\n"
TWO = "id,prompt,size,variants\nMUG,a mug,256x256,2\n"


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "assets")


class PaidBackend(PictureBackend):
    """Four cents a picture."""

    async def generate(self, planned: PlannedRequest, attempt: int) -> Render:
        return replace(await super().generate(planned, attempt), cost_usd=0.04)


def the_same_again(planned: PlannedRequest, _attempt: int) -> bytes:
    """Variant 2 is variant 1, a trace lighter: of the two, variant 1 is the sharper one and is kept."""
    return encoded(Image.open(io.BytesIO(png(7, (256, 256)))).point(lambda level: level + planned.variant - 1))


def by_variant(result: RunResult) -> dict[int, str]:
    return {outcome.variant: outcome.status for outcome in result.outcomes}


@pytest.mark.parametrize(("draw", "status"), [(black, "rejected"), (the_same_again, "duplicate")])
def test_what_an_earlier_run_paid_for_is_not_paid_again(store: FolderStore, draw, status: str) -> None:
    first, second = (run(TWO, store, PaidBackend(draw=draw)) for _ in range(2))
    assert statuses(first)[1] == statuses(second)[1] == status
    assert (first.record.cost_usd, second.record.cost_usd) == (0.08, 0.0)


def test_a_picture_for_two_rows_is_paid_once(store: FolderStore) -> None:
    planned = job(MUG, store, PaidBackend(draw=black))
    twin = planned.plan.requests[0].model_copy(update={"row": "CUP", "row_number": 3})
    planned = replace(planned, plan=replace(planned.plan, requests=(*planned.plan.requests, twin)))
    result = asyncio.run(run_campaign(planned, lambda step: step, lambda _: None))
    assert (statuses(result), result.record.cost_usd) == (["rejected", "rejected"], 0.04)


def test_the_rate_is_of_what_this_run_made(store: FolderStore) -> None:
    run(MUG, store, PictureBackend(draw=black))
    said: list[Progress] = []
    run(MUG, store, PictureBackend(), said=said)
    assert str(said[-1]) == "1 of 1, 1 rejected"


def test_what_was_kept_of_a_killed_run_stays_the_keeper(store: FolderStore, tmp_path: Path) -> None:
    """Variant 1 is of a run that was killed. The next run keeps it, and so do all that follow."""
    killed = run(TWO.replace(",2\n", ",1\n"), store, PictureBackend(draw=the_same_again))
    age(tmp_path / "assets", killed)
    second = run(TWO, store, PictureBackend(draw=the_same_again))
    assert by_variant(second) == {1: "reused", 2: "duplicate"}
    assert by_variant(run(TWO, store, PictureBackend())) == {1: "reused", 2: "duplicate"}


def age(folder: Path, result: RunResult) -> None:
    """Make a finished run one that was killed last year."""
    (folder / f"campaigns/spring/runs/{result.record.run_id}/run.json").unlink()
    [recipe] = folder.glob("campaigns/spring/assets/MUG/*.json")
    recipe.write_text(recipe.read_text().replace(result.record.run_id, "20250101T000000Z-0a1b2c"))


@pytest.mark.parametrize(
    ("maker", "expected"),
    [
        ("20260101T000000Z-aaaaaa", "20260101T000000Z-aaaaaa"),  # it finished
        ("20260102T000000Z-bbbbbb", "20260103T000000Z-cccccc"),  # killed: the next one decided
        ("20260104T000000Z-dddddd", ""),  # this run
        ("20260105T000000Z-eeeeee", ""),  # one beside this
    ],
)
def test_the_run_that_decided_on_a_picture(maker: str, expected: str) -> None:
    finished = {"20260103T000000Z-cccccc", "20260101T000000Z-aaaaaa"}
    assert Decisions("20260104T000000Z-dddddd", finished).on(maker) == expected


def test_a_maker_that_lives_keeps_its_own_sidecar(store: FolderStore) -> None:
    """Another run comes between its original and its sidecar: what that one pieces together is not put over it."""
    run(MUG, store, PictureBackend("gpu1"))

    class AMomentAgo(FolderStore):
        looked = False

        def get(self, key: str) -> StoredObject:
            if key.endswith(".json") and not self.looked:
                self.looked = True
                raise ObjectMissing(key)
            return super().get(key)

    backend = PictureBackend("gpu2")
    result = run(MUG, AMomentAgo(Path(store.uri)), backend)
    assert (statuses(result), backend.drawn) == (["reused"], [])
    [recipe] = files(store, "/MUG/")[:1]
    assert recipe.endswith(".json")
    assert json.loads(store.get(recipe).data)["graph"] == {"1": {}}


@pytest.mark.parametrize("damaged", [".png", ".json"])
def test_a_damaged_file_in_the_store_is_named_and_no_other_lane_is_tried(
    store: FolderStore, tmp_path: Path, damaged: str
) -> None:
    """A power cut may leave an empty file."""
    run(MUG, store, PictureBackend())
    for key in files(store, "/MUG/"):
        if key.endswith(damaged):
            (tmp_path / "assets" / key).write_bytes(b"")
            named = key
        elif damaged == ".png":
            (tmp_path / "assets" / key).unlink()
    backend = PictureBackend()
    result = run(MUG, store, backend)
    assert statuses(result) == ["failed"]
    assert named in result.outcomes[0].reason
    assert "emove it" in result.outcomes[0].reason
    assert len(backend.drawn) == 1


def test_reading_ahead_is_bounded_by_the_number_of_threads() -> None:
    started: list[int] = []

    def read(key: int) -> int:
        started.append(key)
        return key

    with WorkPool(threads=4) as pool:
        ask = pool.read_ahead(read, range(100))
        for key in range(50):
            assert ask(key) == key
            assert max(started) <= key + 3
    assert len(started) == len(set(started))


def test_reading_ahead_gives_each_key_its_own_whatever_the_order() -> None:
    keys = [3, 1, 4, 1, 5, 9, 2, 6]
    with WorkPool(threads=3) as pool:
        ask = pool.read_ahead(lambda key: key * 10, keys)
        assert [ask(key) for key in [9, *keys, 7, 3]] == [90, *(key * 10 for key in keys), 70, 30]


def test_reading_ahead_works_with_one_thread() -> None:
    with WorkPool(threads=1) as pool:
        ask = pool.read_ahead(str, range(5))
        assert [str(key) for key in range(5)] == [ask(key) for key in range(5)]


def test_the_contact_sheet_reads_many_thumbnails_at_once(store: FolderStore) -> None:
    """The store answers only when four ask: one after the other, this would never end."""
    sheet = "id,prompt,size\n" + "".join(f"R{n:02},thing {n},64x64\n" for n in range(12))
    run(sheet, store, PictureBackend())

    class Together(FolderStore):
        others = threading.Barrier(4)

        def get(self, key: str) -> StoredObject:
            if "/thumbs/" in key:
                self.others.wait(timeout=20)
            return super().get(key)

    assert statuses(run(sheet, Together(Path(store.uri)), PictureBackend())) == ["reused"] * 12


# --- the same again, and what is retired

THREE = "id,prompt,size\nA,a tent,64x64\nB,a mug,64x64\nC,a boot,64x64\n"
WITHOUT_C = "id,prompt,size\nA,a tent,64x64\nB,a mug,64x64\n"


def test_the_same_file_again_names_the_run_before_and_writes_nothing() -> None:
    memory = MemoryStore()
    first, written = run(THREE, memory, PictureBackend()), list(memory.written)
    again = run(THREE, memory, PictureBackend())
    assert (again.same_again, again.record.run_id, again.montage) == (True, first.record.run_id, first.montage)
    assert (again.record.counts.reused, again.record.cost_usd, again.record.run) == (3, 0.0, first.record.run)
    assert memory.written == written


def test_a_run_with_nothing_to_make_is_written_where_the_run_before_was_of_another_sheet() -> None:
    memory = MemoryStore()
    run(THREE, memory, PictureBackend())
    cut = run(WITHOUT_C, memory, PictureBackend())
    back = run(THREE, memory, PictureBackend())
    assert [result.same_again for result in (cut, back)] == [False, False]
    assert [result.record.retired for result in (cut, back)] == [("C",), ()]


def test_what_failed_before_makes_a_run_of_its_own() -> None:
    memory = MemoryStore()
    run(MUG, memory, PictureBackend(draw=lambda _planned, _attempt: JobRejected("cfg is 0")))
    assert not run(MUG, memory, PictureBackend()).same_again
    assert run(MUG, memory, PictureBackend()).same_again


def test_a_killed_run_is_no_result_for_the_next_one(store: FolderStore, tmp_path: Path) -> None:
    killed = run(MUG, store, PictureBackend())
    (tmp_path / f"assets/campaigns/spring/runs/{killed.record.run_id}/run.json").unlink()
    result = run(MUG, store, PictureBackend())
    assert not result.same_again
    assert result.record.run_id != killed.record.run_id


def test_a_retired_row_keeps_its_pictures_and_comes_back_unchanged() -> None:
    memory = MemoryStore()
    first = run(THREE, memory, PictureBackend())
    cut = run(WITHOUT_C, memory, PictureBackend())
    [retired] = read_retired(memory, "spring", cut.record.run_id)
    assert (retired.row, retired.retired_in) == ("C", cut.record.run_id)
    assert [outcome.asset for outcome in retired.outcomes] == [first.outcomes[2].asset]
    assert [line["row"] for line in manifest(memory, cut)] == ["A", "B"]
    later = run(WITHOUT_C.replace("a mug", "a cup"), memory, PictureBackend())
    [still] = read_retired(memory, "spring", later.record.run_id)
    assert still == retired
    backend = PictureBackend()
    back = run(THREE, memory, backend)
    assert (backend.drawn, back.record.retired) == ([], ())
    assert back.outcomes[2].asset == first.outcomes[2].asset


def test_a_manifest_that_cannot_be_read_stops_no_run() -> None:
    memory = MemoryStore()
    first = run(THREE, memory, PictureBackend())
    memory.put(f"campaigns/spring/runs/{first.record.run_id}/manifest.jsonl", b"{}\n")
    result = run(THREE, memory, PictureBackend())
    assert (result.same_again, statuses(result)) == (False, ["reused"] * 3)
