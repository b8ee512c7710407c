"""A plan against what earlier runs say of its rows: added, changed, removed, unchanged; and what they do say."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from fakes.campaigns import WORKFLOWS
from fakes.memory_store import MemoryStore

from assetline.catalogue import Catalogue
from assetline.manifest import manifest_lines, run_json
from assetline.plan import CampaignPlan, World, plan_campaign
from assetline.plan.difference import Difference, compare, retire, unsure_rows
from assetline.records import Outcome, Row
from assetline.run_records import Counts, RunRecord
from assetline.sheet import read_sheet
from assetline.store.history import History, PastRow, RetiredRow, kind_of, read_history
from assetline.workflow import load_workflows

HEADER = "id,prompt,size,variants,negative_prompt,product,note,tags\n"
TENT, MUG, BOOT = "TENT,a tent,64x64,2,,,,\n", "MUG,a {product},64x64,1,,mug,,\n", "BOOT,a boot,64x64,1,,,,\n"
SHEET = HEADER + TENT + MUG + BOOT
RUN = "20261122T014500Z-9f3a1c"


def plan(text: str, *, rows: tuple[str, ...] = (), lanes: tuple[str, ...] = ("fpo",), **world: object) -> CampaignPlan:
    known = World(Catalogue(), load_workflows(WORKFLOWS), frozenset(lanes), min_side_px=16, **world)
    return plan_campaign("spring", read_sheet("spring.csv", text.encode(), known.catalogue), known, rows=rows)


def history(*plans: CampaignPlan, retired: tuple[RetiredRow, ...] = ()) -> History:
    """What runs of these plans said, the newest first."""
    found = History(since=RUN, active=dict.fromkeys(row.id for row in plans[0].rows))
    for number, one in enumerate(plans):
        run_id = RUN if not number else f"2026112{number}T000000Z-000000"
        found.sheets[run_id] = one.sheet.file_name
        for row in one.rows:
            outcomes = tuple(Outcome.of(planned, "stored") for planned in one.requests if planned.row == row.id)
            if outcomes:
                kind = kind_of(outcomes[0].workflow, outcomes[0].model)
                found.rows.setdefault(row.id, {}).setdefault(kind, PastRow(run_id, outcomes))
    found.retired = {row.row: row for row in retired}
    return found


def difference(before: str, now: str, **options: object) -> Difference:
    earlier = plan(before)

    def rows(run_id: str) -> Mapping[str, Row]:
        return {row.id: row for row in earlier.sheet.rows} if run_id == RUN else {}

    found = compare(plan(now, **options), history(earlier), rows)
    assert found
    return found


def test_before_the_first_run_there_is_nothing_to_compare_with() -> None:
    assert compare(plan(SHEET), History()) is None


def test_the_same_rows_in_another_order_are_unchanged() -> None:
    found = difference(SHEET, HEADER + BOOT + TENT + MUG)
    assert found == Difference(since=RUN, unchanged=3)


def test_rows_are_added_changed_removed_and_unchanged_in_the_order_of_the_sheet() -> None:
    found = difference(SHEET, HEADER + "KITE,a kite,64x64,1,,,,\n" + TENT.replace("64x64", "80x64") + MUG)
    assert (found.added, found.changed, found.removed, found.unchanged) == (("KITE",), ("TENT",), ("BOOT",), 1)
    assert (found.back, found.without_id) == ((), ())


def test_a_changed_row_names_the_columns_whose_cells_differ() -> None:
    changed = "MUG,a {product},80x64,1,blurry,cup,a note,\n"
    assert difference(SHEET, HEADER + TENT + changed + BOOT).changed_by == {
        "MUG": ("size", "negative_prompt", "product")  # not the note: no text of the row has it
    }


def test_what_makes_no_other_picture_changes_no_row() -> None:
    found = difference(SHEET, SHEET.replace("BOOT,a boot,64x64,1,,,,", "BOOT,a boot,64x64,1,,,a note,winter"))
    assert (found.changed, found.unchanged) == ((), 3)


def test_more_variants_change_a_row() -> None:
    assert difference(SHEET, SHEET.replace("64x64,2", "64x64,3")).changed_by == {"TENT": ("variants",)}


def test_another_name_for_the_same_size_changes_a_row_though_its_pictures_are_the_same() -> None:
    """A channel that is cut from the picture which is there is a file more."""
    found = difference(SHEET, SHEET.replace("a boot,64x64,", "a boot,1:1,"))
    assert found.changed_by == {"BOOT": ("size",)}


def test_where_no_cell_of_the_row_differs_it_says_what_of_the_request_does() -> None:
    """The default negative prompt is in `styles.yaml`."""
    style = Catalogue(default_negative_prompt="text")
    earlier = plan(SHEET)
    world = World(style, load_workflows(WORKFLOWS), frozenset({"fpo"}), min_side_px=16)
    now = plan_campaign("spring", read_sheet("spring.csv", SHEET.encode(), style), world)
    found = compare(now, history(earlier), lambda _run: {row.id: row for row in earlier.sheet.rows})
    assert found
    assert found.changed_by["BOOT"] == ("outside the row: negative prompt",)


def test_without_the_earlier_copy_of_the_sheet_it_says_what_of_the_request_differs() -> None:
    found = compare(plan(SHEET.replace("a boot", "a red boot")), history(plan(SHEET)))
    assert found
    assert found.changed_by == {"BOOT": ("outside the row: prompt",)}


def test_a_first_real_run_after_comps_says_that_they_were_comps() -> None:
    row = "id,prompt,workflow,size\nA,a tent,sd15-txt2img,512x512\n"
    found = compare(plan(row, lanes=("comfyui",)), history(plan(row)))
    assert found
    assert found.changed_by == {"A": ("lane: a comp (FPO) until now, on ComfyUI this time",)}


def test_a_row_is_compared_with_the_newest_run_on_its_kind_of_lane() -> None:
    """Real renders, then somebody drew comps of them; now it is for real again."""
    row = "id,prompt,workflow,size\nA,a tent,sd15-txt2img,512x512\n"
    real = plan(row, lanes=("comfyui",))
    assert compare(real, history(plan(row), real)) == Difference(since=RUN, unchanged=1)


def test_a_row_with_an_error_is_neither_unchanged_nor_removed() -> None:
    found = difference(SHEET, HEADER + TENT.replace("64x64", "huge") + MUG + BOOT)
    assert (found.added, found.changed, found.removed, found.unchanged) == ((), (), (), 2)


@pytest.mark.parametrize(
    "broken", ["BOOT,a boot,64x64,1,,,,,beyond\n", "BOOT*,a boot,64x64,1,,,,\n", "mug,a boot,64x64,1,,,,\n"]
)
def test_a_row_whose_id_cannot_be_read_is_not_removed(broken: str) -> None:
    found = difference(SHEET, HEADER + TENT + MUG + broken)
    assert (found.added, found.changed, found.removed, found.unchanged) == ((), (), (), 2)
    now = plan(HEADER + TENT + MUG + broken)
    assert (retire(now, history(plan(SHEET)), RUN), unsure_rows(now, history(plan(SHEET)))) == ((), ("BOOT",))


def test_of_a_selection_only_its_rows_are_compared_and_nothing_is_removed() -> None:
    found = difference(SHEET, HEADER + TENT.replace("64x64,2", "64x64,1") + MUG, rows=("TENT",))
    assert (found.added, found.changed, found.removed, found.unchanged) == ((), ("TENT",), (), 0)


def test_an_edited_prompt_of_a_row_without_id_is_removed_and_added_and_says_why() -> None:
    found = difference("prompt,size\na tent in the snow,64x64\n", "prompt,size\nsome tent in the snow,64x64\n")
    assert (found.added, found.removed) == (("some-tent-in-the",), ("a-tent-in-the",))
    assert found.without_id == found.added


def test_a_retired_row_that_comes_back_is_added_and_asks_for_nothing_new() -> None:
    whole, without = plan(SHEET), plan(HEADER + TENT + MUG)
    [boot] = retire(without, history(whole), RUN)
    found = compare(whole, history(without, retired=(boot,)))
    assert found
    assert (found.added, found.back, found.unchanged) == (("BOOT",), ("BOOT",), 2)
    assert retire(whole, history(without, retired=(boot,)), "later") == ()


def test_what_is_retired_stays_so_with_the_run_that_first_went_without_it() -> None:
    [boot] = retire(plan(HEADER + TENT + MUG), history(plan(SHEET)), RUN)
    assert (boot.row, boot.retired_in, [outcome.label for outcome in boot.outcomes]) == ("BOOT", RUN, ["BOOT-1-64x64"])
    both = retire(plan(HEADER + TENT), history(plan(HEADER + TENT + MUG), retired=(boot,)), "later")
    assert [(row.row, row.retired_in) for row in both] == [("BOOT", RUN), ("MUG", "later")]


def test_comps_and_real_renders_of_a_row_are_retired_together() -> None:
    row = "id,prompt,workflow,size\nA,a tent,sd15-txt2img,512x512\n"
    other = plan(row.replace("A,a tent", "B,a boot"))
    [retired] = retire(other, history(plan(row), plan(row, lanes=("comfyui",))), RUN)
    assert [outcome.model for outcome in retired.outcomes] == ["fpo/1", None]


def test_a_selection_retires_nothing() -> None:
    assert retire(plan(HEADER + TENT + MUG, rows=("TENT",)), history(plan(SHEET)), RUN) == ()


def test_what_a_renamed_row_still_asks_for_is_not_retired() -> None:
    """With a seed of its own and no lane that draws its id, a row is the same work under another id."""
    row = "id,prompt,workflow,size,seed\nA,a tent,sd15-txt2img,512x512,7\n"
    before, now = plan(row, lanes=("comfyui",)), plan(row.replace("A,", "B,"), lanes=("comfyui",))
    found = compare(now, history(before))
    assert found
    assert (found.added, found.back, found.removed) == (("B",), ("B",), ("A",))
    assert retire(now, history(before), RUN) == ()


# --- what runs in a store say


def a_run_of(store: MemoryStore, sheet: str, day: int, *, lane: str = "fpo", rows: tuple[str, ...] = ()) -> str:
    """A run on that day, as far as later ones read it; gives its id."""
    run_id = f"202611{day:02}T000000Z-000000"
    one = plan(sheet, rows=rows, lanes=("fpo" if lane == "fpo" else "comfyui",))
    left_out = {row.id for row in one.rows} - {planned.row for planned in one.requests}
    record = a_record(run_id, lanes=(lane,), rows=rows, left_out=tuple(sorted(left_out)))
    outcomes = [Outcome.of(planned, "stored") for planned in one.requests]
    store.put(f"campaigns/spring/runs/{run_id}/manifest.jsonl", "".join(manifest_lines(outcomes)).encode())
    store.put(f"campaigns/spring/runs/{run_id}/run.json", run_json(record))
    return run_id


def a_record(run_id: str, **facts: object) -> RunRecord:
    texts = dict.fromkeys(("sheet_sha256", "started_at", "finished_at", "store", "run", "contact_sheet"), "")
    known = {"campaign": "spring", "run_id": run_id, "sheet": "spring.csv", "counts": Counts(), **texts}
    return RunRecord(**known, seconds=1, cost_usd=0, **facts)


def test_a_run_of_a_few_rows_says_nothing_of_the_others() -> None:
    store = MemoryStore()
    a_run_of(store, SHEET, 1)
    newest = a_run_of(store, SHEET.replace("a tent", "a red tent"), 2, rows=("TENT",))
    found = read_history(store, "spring")
    assert (found.since, set(found.active)) == (newest, {"TENT", "MUG", "BOOT"})
    assert compare(plan(SHEET.replace("a tent", "a red tent")), found) == Difference(since=newest, unchanged=3)


def test_a_row_that_was_left_out_for_an_error_is_compared_with_the_run_before() -> None:
    store = MemoryStore()
    a_run_of(store, SHEET, 1)
    newest = a_run_of(store, SHEET.replace("a boot,64x64", "a boot,huge"), 2)
    assert compare(plan(SHEET), read_history(store, "spring")) == Difference(since=newest, unchanged=3)


def test_the_newest_run_on_the_kind_of_lane_is_looked_for_behind_others() -> None:
    store, row = MemoryStore(), "id,prompt,workflow,size\nA,a tent,sd15-txt2img,512x512\n"
    a_run_of(store, row, 1, lane="http://gpu1:8188")
    newest = a_run_of(store, row, 2)
    real = plan(row, lanes=("comfyui",))
    assert compare(real, read_history(store, "spring", {"comfyui"})) == Difference(since=newest, unchanged=1)


def test_a_run_that_cannot_be_read_is_passed_over() -> None:
    store = MemoryStore()
    whole = a_run_of(store, SHEET, 1)
    for day, name in ((2, "run.json"), (3, "manifest.jsonl")):
        store.put(f"campaigns/spring/runs/{a_run_of(store, SHEET, day)}/{name}", b"{}\n")
    del store.objects[f"campaigns/spring/runs/{a_run_of(store, SHEET, 4)}/manifest.jsonl"]
    assert read_history(store, "spring").since == whole


def test_a_campaign_without_runs_has_no_history() -> None:
    assert read_history(MemoryStore(), "spring") == History()


def test_a_row_that_was_left_out_from_the_first_is_not_removed_when_it_goes() -> None:
    """It never asked for a picture."""
    earlier = history(plan(SHEET + "KITE,a kite,huge,1,,,,\n"))
    assert "KITE" in earlier.active
    found = compare(plan(SHEET), earlier)
    assert found
    assert (found.removed, found.unchanged) == ((), 3)


def test_more_variants_by_the_worksheet_options_are_no_other_seeds() -> None:
    before = history(plan(SHEET))
    found = compare(plan(SHEET.replace("MUG,a {product},64x64,1", "MUG,a {product},64x64,3")), before)
    assert found
    assert found.changed_by == {"MUG": ("outside the row: variants",)}
