"""The way of a campaign, without Prefect: real sheet, plan, dispatcher, images and folder store; scripted pictures."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from threading import Thread

import pytest
from fakes.campaigns import PictureBackend, black, by_seed, encoded, files, job, manifest, png, run, statuses
from PIL import Image

from assetline.errors import AssetlineError, BackendUnavailable, JobFailed, JobRejected, StoreUnreachable
from assetline.pipeline import Progress, RunJob, RunResult, run_campaign, watcher
from assetline.records import PlannedRequest, Render
from assetline.store import PutOptions
from assetline.store.folder import FolderStore

SHEET = "id,prompt,size,variants\nTENT,a tent,64x64,2\nBOOT,a boot,64x64 80x64,1\nMUG,a mug,64x64,1\n".replace(
    "64x64 80x64", '"64x64, 80x64"'
)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "assets")


def test_every_request_is_stored_and_the_manifest_has_the_order_of_the_sheet(store: FolderStore) -> None:
    result = run(SHEET, store, PictureBackend())
    assert statuses(result) == ["stored"] * 5
    lines = manifest(store, result)
    assert [("TENT", 1), ("TENT", 2), ("BOOT", 1), ("BOOT", 1), ("MUG", 1)] == [
        (line["row"], line["variant"]) for line in lines
    ]


def test_the_manifest_says_the_sha256_of_the_stored_file(store: FolderStore) -> None:
    for line in manifest(store, run(SHEET, store, PictureBackend())):
        assert line["asset"]["sha256"] == hashlib.sha256(store.get(line["asset"]["original"]).data).hexdigest()


def test_a_second_run_asks_no_lane_and_has_every_picture(store: FolderStore) -> None:
    first = run(SHEET, store, PictureBackend())
    again = PictureBackend()
    second = run(SHEET, store, again)
    assert [] == again.drawn
    assert statuses(second) == ["reused"] * 5
    assert [o.asset for o in first.outcomes] == [o.asset for o in second.outcomes]


def test_only_new_rows_are_made(store: FolderStore) -> None:
    run(SHEET, store, PictureBackend())
    backend = PictureBackend()
    run("id,prompt,size,variants\nNEW,a lamp,64x64,1\n" + SHEET.partition("\n")[2], store, backend)
    assert backend.drawn == ["NEW-1-64x64"]


def test_an_original_whose_maker_was_killed_is_completed_and_not_made_again(store: FolderStore, tmp_path: Path) -> None:
    first = run(SHEET, store, PictureBackend("gpu1"))
    asset = first.outcomes[0].asset
    assert asset
    (tmp_path / "assets" / asset.sidecar).unlink()
    for thumbnail in asset.thumbnails.values():
        (tmp_path / "assets" / thumbnail).unlink()
    backend = PictureBackend("gpu2")
    second = run(SHEET, store, backend)
    assert [] == backend.drawn
    kept = second.outcomes[0]
    assert kept.status == "reused"
    assert kept.asset
    assert (kept.asset.lane, kept.asset.job_id, kept.asset.sha256) == ("gpu1", asset.job_id, asset.sha256)
    assert store.get(asset.sidecar).data
    assert all(store.get(thumbnail).data for thumbnail in asset.thumbnails.values())


def test_of_two_makers_the_first_original_is_kept(store: FolderStore) -> None:
    """Another run stores the same request while ours is on the lane: ours is dropped, never overwritten."""

    def rival(planned: PlannedRequest, attempt: int) -> bytes:
        if planned.row == "MUG" and not files(store, "/MUG/"):
            other = PictureBackend("rival", lambda p, _: png(999, (p.request.width, p.request.height)))
            thread = Thread(target=run, args=("id,prompt,size\nMUG,a mug,64x64\n", store, other))
            thread.start()
            thread.join()
        return by_seed(planned, attempt)

    result = run("id,prompt,size\nMUG,a mug,64x64\n", store, PictureBackend("ours", rival))
    outcome = result.outcomes[0]
    assert outcome.asset
    assert (outcome.status, outcome.asset.lane) == ("reused", "rival")


def test_a_black_picture_is_rejected_kept_and_not_made_again(store: FolderStore) -> None:
    result = run("id,prompt,size\nMUG,a mug,64x64\n", store, PictureBackend(draw=black))
    assert statuses(result) == ["rejected"]
    assert "black" in result.outcomes[0].reason
    backend = PictureBackend(draw=black)
    assert statuses(run("id,prompt,size\nMUG,a mug,64x64\n", store, backend)) == ["rejected"]
    assert [] == backend.drawn


def test_a_picture_of_another_size_is_rejected(store: FolderStore) -> None:
    result = run("id,prompt,size\nMUG,a mug,64x64\n", store, PictureBackend(draw=lambda p, _: png(1, (72, 64))))
    assert statuses(result) == ["rejected"]
    assert "72" in result.outcomes[0].reason


def test_a_truncated_picture_is_tried_on_another_lane(store: FolderStore) -> None:
    bad, good = PictureBackend("bad", lambda p, _: png(1)[:-200]), PictureBackend("good")
    result = run("id,prompt,size\nMUG,a mug,64x64\n", store, bad, good)
    assert statuses(result) == ["stored"]
    assert result.outcomes[0].attempts[-1].lane == "good"
    assert [attempt.fault for attempt in result.outcomes[0].attempts[:-1]] == ["worker"] * len(bad.drawn)


def test_a_failed_request_has_its_reason_and_is_made_by_the_next_run(store: FolderStore) -> None:
    def refuses_boots(planned: PlannedRequest, attempt: int) -> bytes | AssetlineError:
        return JobRejected("cfg is 0", job_id="p1") if planned.row == "BOOT" else by_seed(planned, attempt)

    result = run(SHEET, store, PictureBackend(draw=refuses_boots))
    assert statuses(result) == ["stored", "stored", "failed", "failed", "stored"]
    assert result.outcomes[2].reason == "cfg is 0"
    assert [("lane", "p1", "workflow")] == [(a.lane, a.job_id, a.fault) for a in result.outcomes[2].attempts]
    backend = PictureBackend()
    assert statuses(run(SHEET, store, backend)) == ["reused", "reused", "stored", "stored", "reused"]
    assert sorted(backend.drawn) == ["BOOT-1-64x64", "BOOT-1-80x64"]


def test_near_identical_variants_are_set_aside_with_their_keeper(store: FolderStore) -> None:
    def nearly_the_same(planned: PlannedRequest, _attempt: int) -> bytes:
        picture = Image.open(BytesIO(png(7, (256, 256))))
        return encoded(picture.point(lambda level: level + planned.variant))

    sheet = "id,prompt,size,variants\nMUG,a mug,256x256,2\nCUP,a cup,256x256,1\n"
    result = run(sheet, store, PictureBackend(draw=nearly_the_same))
    assert sorted(statuses(result)[:2]) == ["duplicate", "stored"]
    assert statuses(result)[2] == "stored", "another row is another wish, however alike the pictures are"
    [duplicate] = [o for o in result.outcomes if o.status == "duplicate"]
    [keeper] = [o for o in result.outcomes if o.status == "stored" and o.row == "MUG"]
    assert duplicate.duplicate_of == keeper.request_key
    assert keeper.label in duplicate.reason
    assert duplicate.asset
    assert store.get(duplicate.asset.original).data, "set aside, never deleted"
    assert statuses(run(sheet, store, PictureBackend())) == [
        "duplicate" if o is duplicate else "reused" for o in result.outcomes
    ]


def test_two_rows_that_ask_for_the_same_picture_get_one(store: FolderStore) -> None:
    sheet = "id,prompt,size,seed\nA,a mug,64x64,5\n"
    first = job(sheet, store, PictureBackend())
    twin = first.plan.requests[0].model_copy(update={"row": "B", "row_number": 3})
    plan = replace(first.plan, requests=(*first.plan.requests, twin))
    result = asyncio.run(run_campaign(replace(first, plan=plan), lambda step: step, lambda _: None))
    assert statuses(result) == ["stored", "reused"]
    assert [o.row for o in result.outcomes] == ["A", "B"]
    assert result.outcomes[0].asset == result.outcomes[1].asset


def test_the_graph_leaves_the_published_file_and_is_in_the_sidecar(store: FolderStore) -> None:
    drawn = PictureBackend(draw=lambda p, _: png(3, text={"prompt": '{"secret": 1}', "workflow": "{}"}))
    result = run("id,prompt,size\nMUG,a mug,64x64\n", store, drawn)
    asset = result.outcomes[0].asset
    assert asset
    published = store.get(asset.original).data
    assert b"secret" not in published
    sidecar = json.loads(store.get(asset.sidecar).data)
    assert sidecar["embedded"]["prompt"] == '{"secret": 1}'
    assert (sidecar["row"], sidecar["request"]["prompt"], sidecar["graph"]) == ("MUG", "a mug", {"1": {}})
    assert sidecar["request_key"] == result.outcomes[0].request_key


def test_when_no_lane_answers_nothing_is_tried_and_each_lane_says_why(store: FolderStore) -> None:
    dead = PictureBackend("gpu1")
    dead.fault = BackendUnavailable("gpu1 cannot be reached")
    with pytest.raises(BackendUnavailable, match="gpu1 cannot be reached"):
        run(SHEET, store, dead)
    assert [] == dead.drawn
    assert [] == files(store, "run.json")


def test_a_lane_that_is_down_at_the_start_is_left_out(store: FolderStore) -> None:
    dead, alive = PictureBackend("gpu1"), PictureBackend("gpu2")
    dead.fault = BackendUnavailable("gpu1 cannot be reached")
    assert statuses(run(SHEET, store, dead, alive)) == ["stored"] * 5
    assert [] == dead.drawn


def test_the_input_is_kept_and_run_json_is_written_last(store: FolderStore) -> None:
    order: list[str] = []

    class Watched(FolderStore):
        def put(self, key: str, data: bytes | Path, options: PutOptions = PutOptions()) -> str:  # noqa: B008
            order.append(key.rpartition("/")[2])
            return super().put(key, data, options)

    watched = Watched(Path(store.uri))
    result = run(SHEET, watched, PictureBackend())
    assert (order[0], order[-1]) == ("spring.csv", "run.json")
    kept = watched.get(f"campaigns/spring/runs/{result.record.run_id}/input/spring.csv").data
    assert kept.decode() == SHEET


def test_canceling_writes_down_what_was_done_and_the_next_run_makes_the_rest(store: FolderStore) -> None:
    class StuckAtMugs(PictureBackend):
        async def generate(self, planned: PlannedRequest, attempt: int) -> Render:
            if planned.row == "MUG":
                await asyncio.Event().wait()
            return await super().generate(planned, attempt)

    follower = Follower(stop_at=4)
    result = follower.follow(job(SHEET, store, StuckAtMugs(), slots=1))
    assert (result.record.interrupted, statuses(result)) == (True, ["stored"] * 4 + ["canceled"])
    assert manifest(store, result)[-1]["status"] == "canceled"
    backend = PictureBackend()
    assert statuses(run(SHEET, store, backend)) == ["reused"] * 4 + ["stored"]
    assert backend.drawn == ["MUG-1-64x64"]


def test_a_picture_that_is_there_when_the_run_is_canceled_is_kept(store: FolderStore) -> None:
    follower = Follower(stop_at=0)

    class CancelsAfterDrawing(PictureBackend):
        async def generate(self, planned: PlannedRequest, attempt: int) -> Render:
            render = await super().generate(planned, attempt)
            follower.stop()
            return render

    result = follower.follow(job("id,prompt,size\nMUG,a mug,64x64\n", store, CancelsAfterDrawing()))
    assert (result.record.interrupted, statuses(result)) == (True, ["stored"])


class Follower:
    """Follows a run as the command line does, and cancels it when so many requests have ended."""

    def __init__(self, stop_at: int) -> None:
        self.stop_at = stop_at
        self.result: RunResult | None = None
        self.task: asyncio.Task[RunResult] | None = None

    def follow(self, planned: RunJob) -> RunResult:
        """Run until it is canceled; what it came to."""
        token = watcher.set(self)
        try:
            asyncio.run(self._main(planned))
        finally:
            watcher.reset(token)
        assert self.result
        return self.result

    async def _main(self, planned: RunJob) -> None:
        self.task = asyncio.create_task(run_campaign(planned, lambda step: step, lambda _: None))
        with pytest.raises(asyncio.CancelledError):
            await self.task

    def stop(self) -> None:
        assert self.task
        asyncio.get_running_loop().call_soon(self.task.cancel)

    def report(self, progress: Progress) -> None:
        if self.stop_at and progress.done == self.stop_at and progress.step == "making pictures":
            self.stop()

    def finished(self, result: RunResult) -> None:
        self.result = result


def test_a_store_that_is_gone_in_the_middle_fails_requests_not_the_row(store: FolderStore) -> None:
    class Flaky(FolderStore):
        def put(self, key: str, data: bytes | Path, options: PutOptions = PutOptions()) -> str:  # noqa: B008
            if "/assets/BOOT/" in key:
                raise StoreUnreachable("the bucket does not answer")
            return super().put(key, data, options)

    result = run(SHEET, Flaky(Path(store.uri)), PictureBackend())
    assert statuses(result) == ["stored", "stored", "failed", "failed", "stored"]
    assert result.outcomes[2].reason == "the bucket does not answer"


def test_retries_stop_at_the_policys_bound(store: FolderStore) -> None:
    backend = PictureBackend(draw=lambda _p, attempt: JobFailed(f"fault {attempt}"))
    result = run("id,prompt,size\nMUG,a mug,64x64\n", store, backend)
    assert statuses(result) == ["failed"]
    assert len(backend.drawn) == len(result.outcomes[0].attempts) == 3


def test_progress_counts_each_request_once_and_ends_at_the_total(store: FolderStore) -> None:
    said: list[Progress] = []
    run(SHEET, store, PictureBackend(), said=said)
    assert [0, 1, 2, 3, 4, 5] == sorted({progress.done for progress in said})
    assert (said[-1].total, said[-1].percent) == (5, 100.0)


@pytest.mark.parametrize(
    ("progress", "sentence"),
    [
        (Progress(total=400, done=312, failed=2, made=312, seconds=100.0), "312 of 400, 2 failed, 3.1/s, 28 s left"),
        (Progress(total=2000), "0 of 2,000"),
        (Progress(total=5, done=5, made=5, seconds=2.0), "5 of 5, 2.5/s"),
        (Progress(total=5, done=5), "5 of 5"),
        (Progress(total=40, done=12, made=12, seconds=300.0), "12 of 40, 2.4/min, 12 min left"),
        (
            Progress(total=9000, done=1000, rejected=3, made=1000, seconds=1000.0),
            "1,000 of 9,000, 3 rejected, 1.0/s, 2 h 13 min left",
        ),
    ],
)
def test_the_progress_sentence(progress: Progress, sentence: str) -> None:
    assert str(progress) == sentence
