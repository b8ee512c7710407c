"""`check` and `plan` as a producer and as a program use them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.command_line import BROKEN, COMPS, Ended, write

Assetline = Callable[..., Ended]
PROBLEM = {"severity", "code", "sheet", "row", "column", "cell", "value", "message", "fix"}
TWICE = "id,prompt,size,seed,workflow\nA,a tent,64x64,7,sd15-txt2img\nB,a tent,64x64,7,sd15-txt2img\n"
GPU = ("--lane", "http://gpu1:8188", "--offline")


def no_store_came_into_being() -> bool:
    return not Path("assets").exists()


def test_check_says_what_is_wrong_and_ends_3(assetline: Assetline) -> None:
    found = assetline("check", write("broken.csv", BROKEN))
    assert 3 == found.code
    assert found.out.splitlines() == [
        'error: broken!C2 size: "huge" is not a size. Write pixels (1024x1024), a ratio (4:5) or a channel\'s name.',
        "broken.csv: 2 rows, 1 picture, 1 error, 0 warnings.",
    ]
    assert "Checked copy: broken.checked.csv\n" == found.err
    assert no_store_came_into_being()


def test_check_of_a_good_sheet_ends_0(assetline: Assetline) -> None:
    found = assetline("check", write("comps.csv", COMPS))
    assert (0, "comps.csv: 2 rows, 3 pictures, 0 errors, 0 warnings.\n") == (found.code, found.out)


def test_a_warning_does_not_fail_the_check(assetline: Assetline) -> None:
    found = assetline("check", write("twice.csv", TWICE), *GPU, "--json")
    assert (0, True) == (found.code, found.json["ok"])
    assert [("warning", "same-request")] == [(one["severity"], one["code"]) for one in found.json["problems"]]


def test_check_json_has_exactly_the_keys_that_are_promised(assetline: Assetline) -> None:
    found = assetline("check", write("broken.csv", BROKEN), "--json")
    assert 3 == found.code
    assert {"ok", "rows", "requests", "problems"} == set(found.json)
    assert (False, 2, 1) == (found.json["ok"], found.json["rows"], found.json["requests"])
    [problem] = found.json["problems"]
    assert PROBLEM == set(problem)
    place = {"severity": "error", "sheet": "broken", "row": 2, "column": "size", "cell": "C2", "value": "huge"}
    assert place == {name: problem[name] for name in place}


def test_check_writes_the_sheet_with_status_problem_and_fix_beside_each_row(assetline: Assetline) -> None:
    assetline("check", write("broken.csv", BROKEN))
    with Path("broken.checked.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [("MUG", "error"), ("TENT", "ok")] == [(row["id"], row["status"]) for row in rows]
    assert ["huge" in rows[0]["problem"], rows[1]["problem"]] == [True, ""]
    assert "Write pixels (1024x1024)" in rows[0]["fix"]


@pytest.mark.parametrize("name", ["spring-launch.csv", "holiday.xlsx"])
def test_the_checked_copy_has_the_ending_of_the_sheet_and_no_write_leaves_it_out(
    assetline: Assetline, project_root: Path, name: str
) -> None:
    sheet = Path(name)
    sheet.write_bytes((project_root / "campaigns" / name).read_bytes())
    assert "" == assetline("check", name, "--no-write").err
    assert {sheet} == set(Path().iterdir())
    assert f"Checked copy: {sheet.stem}.checked{sheet.suffix}\n" == assetline("check", name).err
    assert {sheet, Path(f"{sheet.stem}.checked{sheet.suffix}")} == set(Path().iterdir())


def test_a_checked_copy_that_cannot_be_written_is_said_and_the_check_goes_on(assetline: Assetline) -> None:
    Path("comps.checked.csv").mkdir()
    found = assetline("check", write("comps.csv", COMPS))
    assert (0, "comps.csv: 2 rows, 3 pictures, 0 errors, 0 warnings.\n") == (found.code, found.out)
    said = "No checked copy: comps.checked.csv cannot be written (Is a directory). --no-write leaves it out.\n"
    assert said == found.err


# --- plan


def test_plan_json_has_exactly_the_keys_that_are_promised(assetline: Assetline) -> None:
    found = assetline("plan", write("comps.csv", COMPS), "--json")
    assert 0 == found.code
    assert {
        "campaign": "comps",
        "rows": 2,
        "requests": 3,
        "reused": 0,
        "to_make": 3,
        "lanes": [
            {
                "lane": "fpo",
                "requests": 3,
                "can_make": 3,
                "minutes": found.json["minutes"],
                "minutes_are": "guess",
            }
        ],
        "minutes": found.json["minutes"],
        "minutes_range": found.json["minutes_range"],
        "minutes_are": "guess",
        "cost_usd": {"low": 0.0, "high": 0.0},
        "dearest_rows": found.json["dearest_rows"],
        "paid": None,
        "overflow": None,
        "difference": None,
    } == found.json
    assert [("TENT", 2), ("MUG", 1)] == [(row["row"], row["requests"]) for row in found.json["dearest_rows"]]
    assert found.json["minutes"] > 0
    assert no_store_came_into_being()


def test_plan_says_that_placeholders_will_be_drawn_where_no_lane_is_set(assetline: Assetline) -> None:
    write("comps.csv", COMPS)
    found = assetline("plan", "comps.csv")
    assert found.out.startswith("Campaign comps: 2 rows, 3 pictures.\n  already in ./assets: 0; to make: 3\n")
    assert found.err.startswith("No lane is set, so the FPO lane draws placeholders. --lane http://gpu1:8188")
    assert "" == assetline("plan", "comps.csv", "--lane", "fpo").err


def test_plan_counts_what_the_store_has(assetline: Assetline) -> None:
    write("comps.csv", COMPS)
    assetline("run", "comps.csv", "--direct", "--rows", "TENT")
    facts = assetline("plan", "comps.csv", "--json").json
    assert (3, 2, 1) == (facts["requests"], facts["reused"], facts["to_make"])
    elsewhere = assetline("plan", "comps.csv", "--json", "--store", "elsewhere").json
    assert (0, 3) == (elsewhere["reused"], elsewhere["to_make"])
    other = assetline("plan", "comps.csv", "--json", "--campaign", "Summer Sale").json
    assert ("summer-sale", 0) == (other["campaign"], other["reused"])


def test_plan_takes_rows_and_several_lanes(assetline: Assetline) -> None:
    write("real.csv", "id,prompt,workflow,variants\nA,a tent,sdxl-txt2img,3\nB,a mug,sdxl-txt2img,8\n")
    urls = ("http://gpu1:8188", "http://gpu2:8188/")
    facts = assetline(
        "plan", "real.csv", "--rows", "A", "--lane", urls[0], "--lane", urls[1], "--offline", "--json"
    ).json
    assert (1, 3) == (facts["rows"], facts["to_make"])
    assert [("http://gpu1:8188", 2), ("http://gpu2:8188", 1)] == [
        (one["lane"], one["requests"]) for one in facts["lanes"]
    ]


def test_plan_of_a_sheet_with_errors_ends_3_with_every_problem_on_stderr(assetline: Assetline) -> None:
    found = assetline("plan", write("broken.csv", BROKEN), "--json")
    assert (3, "") == (found.code, found.out)
    assert "broken!C2 size:" in found.err
    assert found.err.endswith("The sheet has 1 error; nothing was generated.\n")


def test_plan_only_valid_quotes_the_rest_and_says_what_is_left_out(assetline: Assetline) -> None:
    found = assetline("plan", write("broken.csv", BROKEN), "--only-valid", "--lane", "fpo", "--json")
    assert (0, 1) == (found.code, found.json["to_make"])
    assert found.err.startswith('left out: broken!C2 size: "huge" is not a size.')


def test_plan_counts_the_warnings_and_says_where_they_are(assetline: Assetline) -> None:
    found = assetline("plan", write("twice.csv", TWICE), *GPU)
    assert "1 warning: assetline check twice.csv says them.\n" == found.err
    assert "already in ./assets: 1; to make: 1" in found.out
