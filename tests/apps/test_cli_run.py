"""`run --direct`, then `runs` and `status`: what they print, how they end, what is in the store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.command_line import BROKEN, COMPS, MODELS, Ended, write
from fakes.fake_comfyui import FakeComfyUI
from fakes.strict_worker import REASON, SOME_FAIL, strict_worker

Assetline = Callable[..., Ended]
COUNTS = ["stored", "reused", "duplicate", "rejected", "failed", "canceled"]
RECORD = {
    *("version", "campaign", "run_id", "sheet", "sheet_sha256", "started_at", "finished_at", "seconds", "counts"),
    *("cost_usd", "lanes", "store", "run", "contact_sheet", "interrupted", "flow_run", "generator", "finished"),
    *("rows", "left_out", "retired", "rows_sha256", "overflow", "results"),
}


def counted(**statuses: int) -> dict[str, int]:
    return dict.fromkeys(COUNTS, 0) | statuses


def manifest(found: Ended) -> list[dict]:
    folder = Path(found.json["run"].removeprefix("file://"))
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def pictures(store: str = "assets") -> list[str]:
    return sorted(path.parent.name for path in Path(store).glob("campaigns/*/assets/*/*.png"))


# --- run


def test_run_json_is_one_object_with_exactly_the_keys_that_are_promised(assetline: Assetline) -> None:
    found = assetline("run", write("comps.csv", COMPS), "--direct", "--json")
    assert 0 == found.code
    promised = ["campaign", "run_id", "run", "contact_sheet", "counts", "seconds", "cost_usd", "overflow", "results"]
    assert promised == list(found.json)
    assert ("comps", 0.0) == (found.json["campaign"], found.json["cost_usd"])
    assert COUNTS == list(found.json["counts"])
    assert counted(stored=3) == found.json["counts"]
    folder = Path("assets/campaigns/comps/runs", found.json["run_id"]).resolve()
    assert (folder.as_uri(), f"{folder.as_uri()}/contact-sheet.html") == (
        found.json["run"],
        found.json["contact_sheet"],
    )
    names = {"input", "manifest.jsonl", "manifest.csv", "contact-sheet.html", "run.json"}
    assert names <= {path.name for path in folder.iterdir()}


def test_without_json_stdout_is_empty_and_stderr_says_where_the_contact_sheet_is(assetline: Assetline) -> None:
    found = assetline("run", write("comps.csv", COMPS), "--direct")
    assert (0, "") == (found.code, found.out)
    lines = found.err.splitlines()
    assert lines[0].startswith("No lane is set, so the FPO lane draws placeholders.")
    assert "looking at what is already made: 0 of 3" == lines[1]
    assert lines[-3].startswith("comps: 3 made (")
    places = dict(line.strip().split(": ", 1) for line in lines[-2:])
    assert ["Contact sheet", "Your sheet with the results"] == list(places)
    assert all(Path(place).is_file() for place in places.values())


def test_a_second_run_makes_0_pictures_and_says_so(assetline: Assetline) -> None:
    first = assetline("run", write("comps.csv", COMPS), "--direct", "--json").json
    found = assetline("run", "comps.csv", "--direct", "--json")
    assert (0, counted(reused=3)) == (found.code, found.json["counts"])
    assert "comps: 0 pictures made, 3 made before (" in found.err
    assert f"Since run {first['run_id']}: 2 rows unchanged." in found.err


def test_the_same_file_again_names_the_run_that_says_it_all_and_writes_nothing(assetline: Assetline) -> None:
    first = assetline("run", write("comps.csv", COMPS), "--direct", "--json").json
    before = stamps()
    again = assetline("run", "comps.csv", "--direct", "--json")
    assert {name: first[name] for name in ("run_id", "run", "contact_sheet")}.items() <= again.json.items()
    assert f"nothing has changed since run {first['run_id']}: 3 of 3" in again.err
    assert before == stamps()
    assert [first["run_id"]] == [run["run_id"] for run in assetline("runs", "--json").json]


def stamps() -> dict[Path, tuple[int, int]]:
    """Every file of the store: which it is, and when it was written."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in Path("assets").rglob("*")}


def test_a_sheet_with_errors_ends_3_before_anything_comes_into_being(assetline: Assetline) -> None:
    found = assetline("run", write("broken.csv", BROKEN), "--direct", "--json")
    assert (3, "") == (found.code, found.out)
    problem, verdict = found.err.splitlines()
    assert problem.startswith('broken!C2 size: "huge" is not a size.')
    assert "The sheet has 1 error; nothing was generated." == verdict
    assert [Path("broken.csv")] == list(Path().iterdir())


def test_only_valid_runs_the_rest_and_says_what_is_left_out(assetline: Assetline) -> None:
    found = assetline("run", write("broken.csv", BROKEN), "--direct", "--only-valid", "--json")
    assert (0, counted(stored=1)) == (found.code, found.json["counts"])
    assert found.err.startswith('left out: broken!C2 size: "huge" is not a size.')


def test_rows_campaign_and_store_are_taken(assetline: Assetline) -> None:
    write("comps.csv", COMPS)
    arguments = ("--direct", "--json", "--rows", " TENT ,MUG,", "--campaign", "Summer Sale", "--store", "elsewhere")
    found = assetline("run", "comps.csv", *arguments)
    assert ("summer-sale", counted(stored=3)) == (found.json["campaign"], found.json["counts"])
    assert ["MUG", "TENT", "TENT"] == pictures("elsewhere")
    assert not Path("assets").exists()
    one = assetline("run", "comps.csv", "--direct", "--json", "--rows", "MUG")
    assert (counted(stored=1), ["MUG"]) == (one.json["counts"], pictures())


def test_a_run_in_which_a_request_failed_ends_4_and_says_why(assetline: Assetline) -> None:
    with strict_worker() as worker:
        found = assetline("run", write("some.csv", SOME_FAIL), "--direct", "--lane", worker.url, "--json")
    assert (4, counted(stored=1, failed=1)) == (found.code, found.json["counts"])
    assert "some: 1 made, 1 failed (" in found.err
    assert "failed: MUG-1-64x64: " in found.err
    assert REASON in found.err


def test_the_manifest_names_lane_and_job_of_each_picture(assetline: Assetline) -> None:
    with strict_worker() as worker:
        found = assetline("run", write("some.csv", SOME_FAIL), "--direct", "--lane", worker.url, "--json")
        ids = worker.engine.started
    tent, mug = manifest(found)
    assert ("TENT", "stored", worker.url) == (tent["row"], tent["status"], tent["asset"]["lane"])
    assert [tent["asset"]["job_id"]] == ids
    assert ("MUG", "failed", None) == (mug["row"], mug["status"], mug["asset"])


def test_manifest_lines_have_the_keys_that_are_promised(assetline: Assetline) -> None:
    line = manifest(assetline("run", write("comps.csv", COMPS), "--direct", "--json"))[0]
    assert {"row", "variant", "request_key", "status", "reason", "duplicate_of", "asset", "attempts"} <= set(line)
    places = {"original", "sidecar", "thumbnails", "sha256", "width", "height", "format", "seed", "lane", "job_id"}
    assert places | {"seconds", "cost_usd"} <= set(line["asset"])
    assert {"256", "512"} == set(line["asset"]["thumbnails"])
    assert Path("assets", line["asset"]["original"]).is_file()


def test_several_lanes_share_the_work(assetline: Assetline) -> None:
    sheet = write("real.csv", "id,prompt,workflow,size,variants\nA,a tent,sd15-txt2img,64x64,8\n")
    with FakeComfyUI(MODELS) as one, FakeComfyUI(MODELS) as two:
        found = assetline("run", sheet, "--direct", "--json", "--lane", one.url, "--lane", two.url)
    assert (0, counted(stored=8)) == (found.code, found.json["counts"])
    assert {one.url, two.url} == {line["asset"]["lane"] for line in manifest(found)}


def test_one_lane_that_is_down_does_not_stop_the_others(assetline: Assetline) -> None:
    sheet = write("real.csv", "id,prompt,workflow,size\nA,a tent,sd15-txt2img,64x64\n")
    with FakeComfyUI(MODELS) as worker:
        found = assetline("run", sheet, "--direct", "--json", "--lane", "http://127.0.0.1:1", "--lane", worker.url)
    assert (0, counted(stored=1)) == (found.code, found.json["counts"])
    [warning] = [line for line in found.err.splitlines() if line.startswith("WARNING: ")]
    assert "lane=http://127.0.0.1:1" in warning
    assert warning.endswith("take http://127.0.0.1:1 out of --lane.")


def test_no_lane_that_answers_ends_6_with_the_remedy(assetline: Assetline) -> None:
    sheet = write("real.csv", "id,prompt,workflow,size\nA,a tent,sd15-txt2img,64x64\n")
    found = assetline("run", sheet, "--direct", "--json", "--lane", "http://127.0.0.1:1")
    assert (6, "") == (found.code, found.out)
    assert "No lane answers. http://127.0.0.1:1 cannot be reached" in found.err
    assert "Start ComfyUI there with --listen" in found.err


def test_a_store_that_cannot_be_written_ends_6_with_the_remedy(assetline: Assetline) -> None:
    write("a-file", "")
    found = assetline("run", write("comps.csv", COMPS), "--direct", "--json", "--store", "a-file")
    assert (6, "") == (found.code, found.out)
    assert "choose another folder with ASSETLINE_STORE" in found.err


def test_the_log_of_one_run_does_not_go_on_in_the_next(assetline: Assetline) -> None:
    sheet = write("real.csv", "id,prompt,workflow,size\nA,a tent,sd15-txt2img,64x64\n")
    for _ in range(2):
        found = assetline("run", sheet, "--direct", "--lane", "http://127.0.0.1:1")
    assert 1 == found.err.count("WARNING: lane down")


# --- runs and status


@pytest.fixture
def ran(assetline: Assetline) -> list[str]:
    """The ids of three runs: a campaign twice, then another one with a failure; oldest first."""
    ids = []
    for blank_lines in ("", "\n"):  # other bytes: the very same file again is no run of its own
        write("comps.csv", COMPS + blank_lines)
        ids.append(assetline("run", "comps.csv", "--direct", "--json").json["run_id"])
    with strict_worker() as worker:
        some = assetline("run", write("some.csv", SOME_FAIL), "--direct", "--json", "--lane", worker.url)
    ids.append(some.json["run_id"])
    # Ids of one second are not in order: each run gets a second of its own, as if time had passed.
    for second, run_id in enumerate(ids):
        [folder] = Path("assets/campaigns").glob(f"*/runs/{run_id}")
        later = f"20261122T01450{second}Z-{run_id[-6:]}"
        record = json.loads((folder / "run.json").read_text()) | {"run_id": later}
        (folder / "run.json").write_text(json.dumps(record))
        folder.rename(folder.with_name(later))
        ids[second] = later
    return ids


def test_runs_are_listed_newest_first(assetline: Assetline, ran: list[str]) -> None:
    found = assetline("runs")
    header, *lines = found.out.splitlines()
    assert (0, "", ["run", "campaign", "started", "pictures", "state"]) == (found.code, found.err, header.split())
    assert list(reversed(ran)) == [line.split()[0] for line in lines]
    assert lines[0].endswith("2         finished with failures")
    assert [line.rstrip() for line in lines] == lines


def test_runs_json_has_each_run_record(assetline: Assetline, ran: list[str]) -> None:
    facts = assetline("runs", "--json").json
    assert list(reversed(ran)) == [run["run_id"] for run in facts]
    assert {frozenset(RECORD)} == {frozenset(run) for run in facts}
    assert {True} == {run["finished"] for run in facts}


def test_runs_of_one_campaign(assetline: Assetline, ran: list[str]) -> None:
    facts = assetline("runs", "--campaign", "Comps", "--json").json
    assert [ran[1], ran[0]] == [run["run_id"] for run in facts]
    assert ran[1] == assetline("status", "--campaign", "Comps", "--json").json["run_id"]


def test_no_runs_is_said_with_the_place(assetline: Assetline) -> None:
    said = f"There are no runs in {Path('assets').resolve()} yet. assetline run SHEET makes the first.\n"
    assert Ended(0, "", said) == assetline("runs")
    assert Ended(2, "", said) == assetline("status")
    assert Ended(0, "[]\n", "") == assetline("runs", "--json")
    assert 'no runs of campaign "other" in' in assetline("runs", "--campaign", "Other").err


def test_status_shows_the_newest_run_with_its_failures(assetline: Assetline, ran: list[str]) -> None:
    found = assetline("status")
    assert (0, "") == (found.code, found.err)
    lines = found.out.splitlines()
    assert f"some {ran[2]}: finished with failures; 1 stored, 1 failed" == lines[0]
    assert lines[-3].startswith("failed: MUG-1-64x64: ")
    assert lines[-2].startswith("Contact sheet: /")
    assert lines[-1].startswith("The sheet with its results: /")


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("lane", [{"lane": "fpo", "stored": 3}]),
        ("row", [{"row": "TENT", "stored": 2}, {"row": "MUG", "stored": 1}]),
        ("size", [{"size": "128x128", "stored": 2}, {"size": "128x96", "stored": 1}]),
        ("workflow", [{"workflow": "fpo/1", "stored": 3}]),
    ],
)
def test_status_counts_by_what_is_asked(
    assetline: Assetline, ran: list[str], by: str, expected: list[dict[str, object]]
) -> None:
    facts = assetline("status", ran[0], "--by", by, "--json").json
    assert RECORD | {"by", "table"} == set(facts)
    assert expected == [{name: line[name] for name in (by, "stored")} for line in facts["table"]]
    table = assetline("status", ran[0], "--by", by).out.splitlines()[1:-2]
    assert [by, "stored", "s", "each", "usd"] == table[0].split()
    assert [[str(value) for value in line.values()] for line in expected] == [line.split()[:2] for line in table[1:]]


def test_status_takes_the_beginning_of_an_id_when_it_fits_one_run(assetline: Assetline, ran: list[str]) -> None:
    assert ran[1] == assetline("status", ran[1][:16], "--json").json["run_id"]
    several = assetline("status", "2026")
    assert (2, "") == (several.code, several.out)
    assert f'3 runs begin with "2026"; say more of it. The newest: {ran[2]}, {ran[1]}, {ran[0]}.\n' == several.err


def test_status_of_an_unknown_run_ends_2_and_names_the_newest(assetline: Assetline, ran: list[str]) -> None:
    found = assetline("status", "1999")
    assert (2, "") == (found.code, found.out)
    assert f'No run begins with "1999". The newest: {ran[2]}, ' in found.err


def test_a_run_without_its_record_is_not_finished(assetline: Assetline, ran: list[str]) -> None:
    Path(f"assets/campaigns/some/runs/{ran[2]}/run.json").unlink()
    assert "not finished (still running, or it was killed)" in assetline("status").out
    facts = assetline("status", "--json").json
    assert {"campaign": "some", "run_id": ran[2], "finished": False} == facts
    assert assetline("runs").out.splitlines()[1].split()[:3] == [ran[2], "some", "-"]


def test_the_status_of_a_run_whose_record_cannot_be_read_ends_6_and_names_the_file(
    assetline: Assetline, ran: list[str]
) -> None:
    record = Path(f"assets/campaigns/some/runs/{ran[2]}/run.json")
    record.write_text("{}")
    found = assetline("status")
    assert (6, "") == (found.code, found.out)
    assert record.resolve().as_uri() in found.err
