"""The Replicate lane against a Replicate of our own, spoken to by the real client: each fault, and one create for each."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.fake_replicate import FakeReplicate, Fate
from fakes.replicate_lane import MODELS, Time, lane, ledger_at, planned
from PIL import Image

from assetline.backends.replicate.backend import ReplicateBackend
from assetline.backends.replicate.limits import FAILURES_IN_A_ROW
from assetline.dispatch import Lane
from assetline.errors import (
    BackendUnavailable,
    BudgetRefused,
    JobFailed,
    JobLost,
    JobRejected,
    JobTimedOut,
    LaneClosed,
    LaneUnsuited,
    OptionError,
    PaidJobFailed,
)
from assetline.ledger import Caps, Intent, Ledger
from assetline.records import PlannedRequest, Render

pytestmark = pytest.mark.anyio


@dataclass
class Bench:
    """The service, the time, a ledger on disk."""

    api: FakeReplicate
    time: Time
    ledger: Ledger

    def lane(self, **options) -> ReplicateBackend:
        return lane(self.api.url, self.ledger, self.time, **options)

    async def make(self, *requests: PlannedRequest, **options) -> list[Render]:
        """Each on a lane of one process, one after the other."""
        backend = self.lane(**options)
        try:
            return [await backend.generate(request, 1) for request in requests or (planned(),)]
        finally:
            await backend.close()

    def books(self) -> tuple[int, int]:
        """Micro-dollars that the ledger and the service say were spent; nothing may be reserved any more."""
        spent = self.ledger.spent()
        assert 0 == spent.reserved_usd
        return round(spent.settled_usd * 1e6), self.api.billed_micros()

    def states(self, request: PlannedRequest | None = None) -> list[str]:
        newest = self.ledger.attempt((request or planned()).request.key, "replicate")
        return [entry.state for entry in self.ledger.history(newest.id)] if newest else []


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    time = Time()
    ledger = ledger_at(tmp_path, time)
    with FakeReplicate(clock=time.seconds_since_1970) as api:
        yield Bench(api, time, ledger)
    ledger.close()


def size_of(render: Render) -> tuple[int, int]:
    with Image.open(io.BytesIO(render.data)) as picture:
        return picture.size


# ---------------------------------------------------------------------- the good way


@pytest.mark.parametrize(("model", "usd"), [("flux-schnell", 0.003), ("sdxl", 0.00195), ("imagen-4", 0.04)])
async def test_a_request_becomes_a_picture_that_is_paid_once(bench: Bench, model: str, usd: float) -> None:
    (render,) = await bench.make(planned(model))
    assert (1024, 1024) == size_of(render)
    assert ("replicate", 2.0, usd) == (render.lane, render.seconds, render.cost_usd)
    assert ["intent", "submitting", "submitted", "succeeded"] == bench.states(planned(model))
    assert 1 == bench.api.creates()
    ledger, bill = bench.books()
    assert ledger == bill == round(usd * 1e6)


async def test_what_was_asked_for_and_what_was_sent_are_both_kept(bench: Bench) -> None:
    (render,) = await bench.make(planned("imagen-4", negative_prompt="blurry"))
    assert render.graph is not None
    facts = render.graph["replicate"]
    assert "blurry" == facts["requested"]["negative_prompt"]
    assert next(iter(bench.api.held.values())).input == facts["input"]
    assert "negative_prompt" not in facts["input"]
    assert ("google/imagen-4", render.job_id, "hidden") == (facts["model"], facts["prediction"], facts["version"])
    assert {"usd": 0.04, "date": "2026-10-07"}.items() <= facts["price"].items()
    assert any("no seed" in note for note in render.notes)


async def test_each_create_has_a_deadline_and_none_waits(bench: Bench) -> None:
    await bench.make(planned(), planned("sdxl"))
    headers = [held.headers for held in bench.api.held.values()]
    assert ["600s", "120s"] == [each["cancel-after"] for each in headers]
    assert [] == [each for each in headers if "prefer" in each]


async def test_polls_are_further_and_further_apart(bench: Bench) -> None:
    bench.api.fates.append(Fate(run_s=40))
    await bench.make()
    assert [1.5, 2.25, 3.375, 5.0, 5.0] == bench.time.pauses[:5]


async def test_the_schema_is_asked_for_once(bench: Bench) -> None:
    await bench.make(planned(seed=1), planned(seed=2))
    assert 1 == bench.api.paths().count("GET /v1/models/black-forest-labs/flux-schnell")


async def test_a_ratio_that_makes_other_pixels_is_told_and_right(bench: Bench) -> None:
    (render,) = await bench.make(planned(width=928, height=1160))
    assert (896, 1088) == size_of(render) == render.size
    assert "928x1160 was asked for; the model made 896x1088." in render.notes


async def test_a_reference_image_is_handed_in_once_and_named_by_its_url(bench: Bench) -> None:
    reference = {"reference_image": "ab" * 32}
    requests = [planned("flux-kontext-pro", seed, references=reference) for seed in (1, 2)]
    await bench.make(*requests, references=lambda sha256: sha256.encode())
    (url,) = bench.api.uploads
    assert [url, url] == [held.input["input_image"] for held in bench.api.held.values()]


async def test_a_request_for_another_lane_is_made_by_its_equivalent_and_paid_under_its_own_key(bench: Bench) -> None:
    local = planned(model="flux-schnell", workflow="sdxl-txt2img", parameters={})
    local = local.model_copy(update={"request": local.request.model_copy(update={"model": None})})
    backend = bench.lane(equivalent=lambda request: planned(seed=request.seed).request)
    assert backend.suits(local)
    await backend.generate(local, 1)
    await backend.close()
    assert ["intent", "submitting", "submitted", "succeeded"] == bench.states(local)
    assert not bench.lane().suits(local)


@pytest.mark.parametrize("url", ["http://example.com", "ftp://127.0.0.1", "nonsense"])
def test_the_token_is_sent_to_no_address_without_encryption(bench: Bench, url: str) -> None:
    with pytest.raises(OptionError, match="https"):
        lane(url, bench.ledger, bench.time)


# ---------------------------------------------------------------------- creates that are refused


@pytest.mark.parametrize(
    ("fault", "pause_s"), [("429 7", 7), ("429 body 7", 7), ("429 words 30", 30), ("429", 5), ("429 3600", 120)]
)
async def test_a_throttled_create_is_sent_again_after_the_pause_that_was_asked_for(
    bench: Bench, fault: str, pause_s: float
) -> None:
    bench.api.on("create", fault)
    await bench.make()
    assert [True] == [pause_s <= longest <= 1.2 * pause_s for longest in [max(bench.time.pauses)]]
    assert 1 == bench.api.creates()
    assert ["intent", "submitting", "submitted", "succeeded"] == bench.states()
    assert 2 == bench.ledger.totals("run")[0].attempts


@pytest.mark.parametrize("fault", ["429 7", "reset_before"])
async def test_a_create_that_comes_to_nothing_is_sent_again_also_as_the_one_that_tries_a_model_after_its_rest(
    bench: Bench, fault: str
) -> None:
    """Once it waited for itself for ever, and all others of the model with it."""
    backend = bench.lane()
    bench.api.fates.extend([Fate("failed", "Timed out (E6716)")] * FAILURES_IN_A_ROW)
    for seed in range(FAILURES_IN_A_ROW):
        with pytest.raises(JobFailed):
            await backend.generate(planned(seed=seed), 1)
    bench.api.on("create", fault)
    async with asyncio.timeout(10):
        await backend.generate(planned(seed=99), 1)
    await backend.close()
    assert FAILURES_IN_A_ROW + 1 == bench.api.creates()


@pytest.mark.parametrize("fault", ["401", "402"])
async def test_no_credit_or_a_bad_token_stops_all_paying_until_a_person_acts(bench: Bench, fault: str) -> None:
    backend = bench.lane()
    await backend.generate(planned(seed=1), 1)
    bench.api.on("create", fault)
    with pytest.raises(LaneClosed) as caught:
        await backend.generate(planned(seed=2), 1)
    for seed in (3, 4):
        with pytest.raises(LaneClosed, match="run again"):
            await backend.generate(planned(seed=seed), 1)
    with pytest.raises(LaneClosed):
        await backend.probe()
    await backend.close()
    assert ("credit" if fault == "402" else "REPLICATE_API_TOKEN") in str(caught.value)
    assert [1, 1] == [bench.api.creates(), sum(bench.api.posts.values()) - 1]
    assert (3_000, 3_000) == bench.books()


async def test_what_was_paid_is_still_brought_home_after_the_credit_has_run_out(bench: Bench) -> None:
    backend = bench.lane()
    first = asyncio.create_task(backend.generate(planned(seed=1), 1))
    while not bench.api.creates():  # noqa: ASYNC110  # the fake lives in another thread
        await asyncio.sleep(0)
    bench.api.on("create", "402")
    with pytest.raises(LaneClosed):
        await backend.generate(planned(seed=2), 1)
    assert (1024, 1024) == size_of(await first)
    await backend.close()


async def test_an_input_that_is_refused_is_never_sent_again_and_the_field_is_named(bench: Bench) -> None:
    bench.api.on("create", "422")
    with pytest.raises(JobRejected, match=r"num_inference_steps: Must be 4 or less.*Nothing was charged"):
        await bench.make()
    assert ["intent", "submitting", "refused"] == bench.states()
    assert (0, 0) == bench.books()


async def test_a_model_that_is_not_there_is_another_lane_s_business(bench: Bench) -> None:
    bench.api.on("create", "404")
    with pytest.raises(LaneUnsuited, match="has no official model black-forest-labs/flux-schnell"):
        await bench.make()
    assert (0, 0) == bench.books()


async def test_over_the_cap_nothing_is_sent(bench: Bench) -> None:
    with pytest.raises(BudgetRefused):
        await bench.make(planned(seed=1), planned(seed=2), caps=Caps(run=0.005))
    assert 1 == sum(bench.api.posts.values())
    assert (3_000, 3_000) == bench.books()


async def test_a_service_that_cannot_be_reached_costs_nothing(bench: Bench, tmp_path: Path) -> None:
    backend = bench.lane()
    await backend.generate(planned(seed=1), 1)
    bench.api._server.shutdown()
    bench.api._server.server_close()
    assert backend._parts is not None
    gateway = backend._parts.gateway
    for connections in (gateway.connections, gateway._for_creates):
        await connections._pool.aclose()
    with pytest.raises(BackendUnavailable, match="cannot be reached"):
        await backend.generate(planned(seed=2), 1)
    await backend.close()
    assert ["intent", "submitting", "released"] == bench.states(planned(seed=2))


# ---------------------------------------------------------------------- creates of which nobody knows


@pytest.mark.parametrize("fault", ["500_after", "html_after", "list_after", "reset_after", "hang_after"])
async def test_a_create_that_was_accepted_without_an_answer_is_found_and_not_sent_again(
    bench: Bench, fault: str
) -> None:
    bench.api.on("create", fault)
    (render,) = await bench.make(settings={"create_s": 0.2})
    assert [render.job_id] == list(bench.api.held)
    assert ["intent", "submitting", "unknown", "submitted", "succeeded"] == bench.states()
    assert (3_000, 3_000) == bench.books()


@pytest.mark.parametrize("fault", ["500_before", "html_before", "reset_before", "hang_before"])
async def test_a_create_that_never_arrived_is_sent_again_after_two_looks_over_a_minute(
    bench: Bench, fault: str
) -> None:
    bench.api.on("create", fault)
    await bench.make(settings={"create_s": 0.2})
    assert 1 == bench.api.creates()
    assert bench.api.paths().count("GET /v1/predictions") >= 2
    assert bench.time.seconds >= 60
    assert 2 == bench.ledger.totals("run")[0].attempts
    assert (3_000, 3_000) == bench.books()


@pytest.mark.parametrize("fault", ["202", "odd_after"])
async def test_an_answer_that_the_client_cannot_read_loses_nothing(bench: Bench, fault: str) -> None:
    bench.api.on("create", fault)
    await bench.make()
    assert ["intent", "submitting", "submitted", "succeeded"] == bench.states()


async def test_it_is_found_on_the_last_of_many_pages(bench: Bench) -> None:
    bench.api.page = 2
    await bench.make(planned(seed=1))
    bench.api.on("create", "reset_after")
    backend = bench.lane()
    first = asyncio.create_task(backend.generate(planned(seed=2), 1))
    while bench.api.creates() < 2:  # noqa: ASYNC110  # the fake lives in another thread
        await asyncio.sleep(0)
    for _ in range(7):  # others of the account, meanwhile
        bench.api._accept("google/imagen-4", {"prompt": "theirs"}, {})
    await first
    await backend.close()
    assert bench.api.creates(seed=2) == 1


@pytest.mark.parametrize("skew_s", [-7200.0, 7200.0])
async def test_a_clock_that_is_wrong_by_hours_hides_nothing(bench: Bench, skew_s: float) -> None:
    bench.api.skew_s = skew_s
    bench.api.on("create", "reset_after")
    await bench.make()
    assert 1 == bench.api.creates()


async def test_of_several_equal_inputs_each_attempt_finds_one(bench: Bench) -> None:
    """imagen-4 takes no seed, so variants of a row are sent as equal inputs."""
    bench.api.on("create", "reset_after", "reset_after", "reset_before")
    backend = bench.lane()
    requests = [planned("imagen-4", seed) for seed in (1, 2, 3)]
    renders = await asyncio.gather(*(backend.generate(request, 1) for request in requests))
    await backend.close()
    assert {render.job_id for render in renders} == set(bench.api.held)
    assert 3 == bench.api.creates()
    assert (120_000, 120_000) == bench.books()


async def test_what_nobody_can_look_up_any_more_is_held_for_a_person(bench: Bench) -> None:
    request = planned()
    intent = Intent(
        request.request.key, "spring", "run-0", "SKU0007", "replicate", "black-forest-labs/flux-schnell", "", {}, 0.003
    )
    paid = bench.ledger.reserve(intent, Caps())
    bench.ledger.submitting(paid.id)
    bench.time.seconds += timedelta(hours=2).total_seconds()
    with pytest.raises(PaidJobFailed, match=rf"assetline costs.*attempt {paid.id}"):
        await bench.make()
    assert [paid.id] == [held.id for held in bench.ledger.held()]
    assert 0 == bench.api.creates()


async def test_a_listing_that_fails_is_no_look(bench: Bench) -> None:
    bench.api.on("create", "reset_after")
    bench.api.on("list", "500", "reset", "garbage", "html", "429 3", "500")
    await bench.make()
    assert 1 == bench.api.creates()


async def test_a_listing_that_never_comes_leaves_the_reservation_for_the_next_run(bench: Bench) -> None:
    bench.api.on("create", "reset_after")
    bench.api.on("list", *["500"] * 400)
    with pytest.raises(BackendUnavailable):
        await bench.make()
    assert 0.003 == bench.ledger.spent().reserved_usd
    bench.api._faults["list"].clear()
    await bench.make()
    assert 1 == bench.api.creates()
    assert (3_000, 3_000) == bench.books()


# ---------------------------------------------------------------------- how predictions end


@pytest.mark.parametrize(
    "text",
    [
        "Prediction interrupted; please retry (code: PA)",
        "Director: unexpected error handling prediction (E9828)",
        "E8765 something",
        "Timed out (E6716)",
        "E9243",
        "unknown (E1000)",
    ],
)
async def test_a_passing_fault_is_worth_a_new_attempt_with_its_own_reservation(bench: Bench, text: str) -> None:
    bench.api.fates.append(Fate("failed", text))
    with pytest.raises(JobFailed) as caught:
        await bench.make()
    assert caught.value.transient
    await bench.make()
    assert 2 == bench.ledger.totals("run")[0].attempts
    assert (6_000, 6_000) == bench.books()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "The input or output was flagged as sensitive. Please try again with different inputs. (E005)",
            "safety filter",
        ),
        ("NSFW content detected in image", "safety filter"),
        ("All generated images contained NSFW content", "safety filter"),
        ("CUDA out of memory (E1001)", "E1001"),
        ("'NoneType' object is not subscriptable", "NoneType"),
    ],
)
async def test_a_lasting_fault_is_never_paid_twice(bench: Bench, text: str, words: str) -> None:
    bench.api.fates.append(Fate("failed", text))
    with pytest.raises(JobRejected, match=words) as caught:
        await bench.make()
    assert not caught.value.transient
    assert (3_000, 3_000) == bench.books()


async def test_a_prediction_that_never_began_is_free_and_may_be_tried_again(bench: Bench) -> None:
    bench.api.fates.append(Fate(queue_s=10_000))
    with pytest.raises(JobTimedOut, match="Nothing was charged") as caught:
        await bench.make()
    assert caught.value.transient
    assert "aborted" == bench.states()[-1]
    assert (0, 0) == bench.books()


async def test_a_prediction_that_a_person_cancels_at_replicate_is_not_made_again(bench: Bench) -> None:
    bench.api.fates.append(Fate(run_s=100))
    bench.time.at(5, lambda: [bench.api._cancel(known) for known in list(bench.api.held)])
    with pytest.raises(PaidJobFailed, match="canceled at Replicate"):
        await bench.make()
    assert (3_000, 3_000) == bench.books()


async def test_a_prediction_that_outlasts_its_deadline_is_cancelled(bench: Bench) -> None:
    bench.api.fates.append(Fate(run_s=100_000))
    bench.api.on("get", *["reset"] * 3)
    with pytest.raises(PaidJobFailed):
        await bench.make(planned("sdxl"))
    assert [] == bench.api.open()
    ledger, bill = bench.books()
    assert ledger == bill


async def test_pictures_that_the_filter_holds_back_are_told_and_not_paid_again(bench: Bench) -> None:
    bench.api.fates.append(Fate(outputs=0))
    with pytest.raises(JobRejected, match="safety filter"):
        await bench.make()
    assert (0, 0) == bench.books()


async def test_more_pictures_than_asked_for_are_counted_and_the_first_is_taken(bench: Bench) -> None:
    bench.api.fates.append(Fate(outputs=3))
    (render,) = await bench.make()
    assert "2 more came, and were paid for; the first was taken." in render.notes
    assert (9_000, 9_000) == bench.books()


async def test_outputs_inside_the_answer_are_read(bench: Bench) -> None:
    bench.api.fates.append(Fate(shape="data"))
    (render,) = await bench.make()
    assert (1024, 1024) == size_of(render)


async def test_outputs_that_are_gone_were_paid_and_are_not_paid_again_by_themselves(bench: Bench) -> None:
    bench.api.fates.append(Fate(removed=True))
    with pytest.raises(PaidJobFailed, match="removed"):
        await bench.make()
    assert "lost" == bench.states()[-1]
    assert (3_000, 3_000) == bench.books()


async def test_a_status_that_nobody_knows_is_one_that_goes_on(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.api.fates.append(Fate(strange="queued"))
    await bench.make()
    assert "unknown status" in caplog.text


async def test_polls_without_an_answer_are_asked_again(bench: Bench) -> None:
    bench.api.on("get", "500", "reset", "html", "garbage", "429 2", "hang")
    await bench.make(settings={"read_s": 0.2})
    assert 1 == bench.api.creates()


async def test_a_service_that_stays_silent_leaves_the_prediction_to_be_followed_later(bench: Bench) -> None:
    bench.api.on("get", *["500"] * 200)
    bench.api.on("cancel", *["500"] * 200)
    with pytest.raises(BackendUnavailable):
        await bench.make()
    assert ["submitted"] == [paid.state for paid in bench.ledger.open_attempts()]
    bench.api._faults.clear()
    await bench.make()
    assert 1 == bench.api.creates()
    assert (3_000, 3_000) == bench.books()


async def test_a_prediction_that_the_service_has_forgotten_counts_as_paid(bench: Bench) -> None:
    bench.api.on("get", "404")
    with pytest.raises(PaidJobFailed, match="does not know prediction"):
        await bench.make()
    assert "lost" == bench.states()[-1]
    assert 3_000 == bench.books()[0]


# ---------------------------------------------------------------------- bringing the picture here


@pytest.mark.parametrize("fault", ["403", "404", "500", "cut", "broken", "page", "slow", "away", "redirect 4"])
async def test_a_download_that_fails_once_is_tried_again(bench: Bench, fault: str) -> None:
    bench.api.on("output", fault)
    (render,) = await bench.make(settings={"read_s": 0.2})
    assert (1024, 1024) == size_of(render)


@pytest.mark.parametrize("fault", ["404", "cut", "page"])
async def test_a_picture_that_cannot_be_downloaded_is_fetched_by_the_next_try_and_not_paid_again(
    bench: Bench, fault: str
) -> None:
    bench.api.on("output", *[fault] * 3)
    backend = bench.lane()
    with pytest.raises(JobLost, match="not paid again") as caught:
        await backend.generate(planned(), 1)
    assert caught.value.transient
    assert (1024, 1024) == size_of(await backend.generate(planned(), 2))
    await backend.close()
    assert 1 == bench.api.creates()
    assert (3_000, 3_000) == bench.books()


@pytest.mark.parametrize("fault", ["redirect 3", "odd"])
async def test_redirects_and_odd_content_types_are_taken_as_they_are(bench: Bench, fault: str) -> None:
    bench.api.on("output", fault)
    await bench.make()
    assert [] == [pause for pause in bench.time.pauses if pause == 1.0]


async def test_a_picture_over_the_limit_is_not_taken(bench: Bench) -> None:
    with pytest.raises(JobLost, match="over the limit of 1,000 bytes"):
        await bench.make(settings={"most_download_bytes": 1000})


async def test_an_output_on_another_host_without_encryption_is_not_fetched(bench: Bench) -> None:
    bench.api.fates.append(Fate(shape="foreign"))
    with pytest.raises(JobLost, match="not https"):
        await bench.make()


# ---------------------------------------------------------------------- the live schema


async def test_an_input_that_the_model_has_no_more_is_a_clear_error_before_anything_is_paid(bench: Bench) -> None:
    inputs = bench.api.models["black-forest-labs/flux-schnell"].inputs.copy()
    del inputs["megapixels"]
    inputs["num_inference_steps"] = {"type": "integer", "maximum": 2}
    bench.api.models["black-forest-labs/flux-schnell"].inputs = inputs
    with pytest.raises(LaneUnsuited) as caught:
        await bench.make()
    words = str(caught.value)
    assert all(part in words for part in ("flux-schnell", "`megapixels`", "`num_inference_steps`", "Nothing was sent"))
    assert 0 == sum(bench.api.posts.values())
    assert [] == bench.states()


async def test_an_optional_input_that_the_model_lacks_is_left_out(bench: Bench) -> None:
    models = dict(MODELS)
    optional = models["imagen-4"].parameters["output_format"].model_copy(update={"optional": True})
    models["imagen-4"] = models["imagen-4"].model_copy(update={"parameters": {"output_format": optional}})
    bench.api.models["google/imagen-4"].inputs = {
        name: one for name, one in bench.api.models["google/imagen-4"].inputs.items() if name != "output_format"
    }
    await bench.make(planned("imagen-4", parameters={}), models=models)
    assert {"prompt", "aspect_ratio"} == next(iter(bench.api.held.values())).input.keys()


async def test_a_new_input_that_must_be_given_is_an_error_before_anything_is_paid(bench: Bench) -> None:
    bench.api.models["google/imagen-4"].required = ("prompt", "style")
    with pytest.raises(LaneUnsuited, match="`style`"):
        await bench.make(planned("imagen-4"))
    assert 0 == sum(bench.api.posts.values())


async def test_without_an_answer_about_the_schema_nothing_is_paid(bench: Bench) -> None:
    bench.api.on("model", *["500"] * 10)
    with pytest.raises(BackendUnavailable):
        await bench.make()
    assert 0 == sum(bench.api.posts.values())


async def test_what_was_paid_for_before_says_nothing_of_the_models_speed(bench: Bench) -> None:
    [made] = await bench.make()
    bench.time.seconds += 60
    [fetched] = await bench.make(run="run-2")
    assert (made.job_id, True) == (fetched.job_id, made.waited_s < 1)
    lane = Lane(bench.lane(), 1, loads=False)
    work = lane.take("SKU0007", "flux", 100.0)
    work.waited_s = fetched.waited_s
    assert None is lane.drop(work, 100.4, None)
