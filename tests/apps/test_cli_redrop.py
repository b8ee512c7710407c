"""`plan` and `run` of a sheet that was edited, cut or renamed: what is said, which campaign it goes on as."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.command_line import Ended, write

Assetline = Callable[..., Ended]
SHEET = "id,prompt,size\n" + "".join(f"R{n},a thing {n},64x64\n" for n in range(8))
EDITED = SHEET.replace("a thing 0", "a red thing").replace("R1,a thing 1,64x64\n", "") + "R9,a kite,64x64\n"


@pytest.fixture
def ran(assetline: Assetline) -> str:
    """The id of a run of spring.csv."""
    return assetline("run", write("spring.csv", SHEET), "--direct", "--json").json["run_id"]


def campaigns() -> list[str]:
    return sorted(path.name for path in Path("assets/campaigns").iterdir())


def test_plan_says_what_an_edit_changes(assetline: Assetline, ran: str) -> None:
    found = assetline("plan", write("spring.csv", EDITED))
    assert found.out.splitlines()[-4:] == [
        f"Since run {ran}: 1 row added, 1 changed, 1 removed, 6 unchanged.",
        "  added: R9",
        "  changed: R0 (prompt)",
        "  removed: R1; what was made of them is kept, marked as retired",
    ]


def test_plan_json_has_the_difference(assetline: Assetline, ran: str) -> None:
    found = assetline("plan", write("spring.csv", EDITED), "--json").json["difference"]
    expected = {"added": ["R9"], "changed": ["R0"], "removed": ["R1"], "unchanged": 6, "since": ran}
    assert expected.items() <= found.items()
    assert found["changed_by"] == {"R0": ["prompt"]}


def test_many_rows_are_folded_to_a_few(assetline: Assetline, ran: str) -> None:
    found = assetline("plan", write("spring.csv", SHEET.replace("64x64", "80x64")))
    assert found.out.splitlines()[-1] == "  changed: R0, R1, R2, R3, R4 and 3 more (size)"


def test_run_says_the_difference_before_it_begins(assetline: Assetline, ran: str) -> None:
    said = assetline("run", write("spring.csv", EDITED), "--direct").err.splitlines()
    at = said.index(f"Since run {ran}: 1 row added, 1 changed, 1 removed, 6 unchanged.")
    assert at < next(place for place, line in enumerate(said) if line.startswith("looking at"))


def test_the_contact_sheet_shows_retired_rows_apart(assetline: Assetline, ran: str) -> None:
    found = assetline("run", write("spring.csv", EDITED), "--direct", "--json")
    page = Path(found.json["contact_sheet"].removeprefix("file://")).read_text()
    apart = page[page.index('<details class="retired">') : page.index("<footer>")]
    assert "1 row that the sheet no longer has" in apart
    assert ">R1</b>" in apart
    assert apart.count("<img") == 1
    assert ">R1</h2>" not in page
    folder = Path(found.json["run"].removeprefix("file://"))
    assert '"row":"R1"' in (folder / "retired.jsonl").read_text()
    assert '"row":"R1"' not in (folder / "manifest.jsonl").read_text()


def test_a_renamed_file_with_the_same_rows_is_the_same_work(assetline: Assetline, ran: str) -> None:
    rows = SHEET.splitlines(keepends=True)
    write("spring final.csv", "".join([rows[0], *reversed(rows[1:])]))
    planned = assetline("plan", "spring final.csv", "--json")
    assert ("spring", 0) == (planned.json["campaign"], planned.json["to_make"])
    assert planned.err.startswith(f"spring final.csv has the rows of campaign spring (run {ran})")
    assert "--campaign spring-final makes it one of its own." in planned.err
    found = assetline("run", "spring final.csv", "--direct", "--json").json
    assert (8, 0, "spring") == (found["counts"]["reused"], found["counts"]["stored"], found["campaign"])
    assert campaigns() == ["spring"]


def test_a_renamed_file_that_is_edited_later_stays_the_same_work(assetline: Assetline, ran: str) -> None:
    assetline("run", write("spring-2.csv", SHEET), "--direct")
    found = assetline("run", write("spring-2.csv", EDITED), "--direct", "--json")
    assert (6, 2, "spring") == (found.json["counts"]["reused"], found.json["counts"]["stored"], found.json["campaign"])
    assert "spring-2.csv was known before by its rows" in found.err


def test_a_run_that_is_refused_leaves_the_name_to_its_file(assetline: Assetline, ran: str) -> None:
    assert assetline("run", write("summer.csv", SHEET), "--direct", "--lane", "nowhere").code == 2
    found = assetline("run", write("summer.csv", EDITED), "--direct", "--json")
    assert (8, "summer") == (found.json["counts"]["stored"], found.json["campaign"])


def test_a_copy_that_was_filled_with_other_rows_is_a_campaign_of_its_own(assetline: Assetline, ran: str) -> None:
    """A template that was run once as it came, and then used."""
    assetline("run", write("summer.csv", SHEET), "--direct")
    found = assetline("run", write("summer.csv", SHEET.replace("a thing", "a boat")), "--direct", "--json")
    assert (8, "summer") == (found.json["counts"]["stored"], found.json["campaign"])


def test_rows_that_are_nearly_the_same_are_told_and_not_mixed(assetline: Assetline, ran: str) -> None:
    found = assetline("run", write("spring-2.csv", EDITED), "--direct", "--json")
    assert (8, "spring-2") == (found.json["counts"]["stored"], found.json["campaign"])
    assert f"About 75% of the rows of spring-2.csv are those of campaign spring (run {ran})." in found.err
    assert "--campaign spring makes only what has changed" in found.err


def test_a_name_that_somebody_gave_is_never_changed(assetline: Assetline, ran: str) -> None:
    given = assetline("run", write("other.csv", SHEET), "--direct", "--json", "--campaign", "Other")
    assert (8, "other") == (given.json["counts"]["stored"], given.json["campaign"])
    assert "are those of" not in given.err


def test_rows_of_a_campaign_that_was_named_by_hand_are_told_and_not_taken(assetline: Assetline) -> None:
    """Tried once under another name; now the file's own name counts."""
    assetline("run", write("spring.csv", SHEET), "--direct", "--campaign", "trial")
    found = assetline("run", "spring.csv", "--direct", "--json")
    assert (8, "spring") == (found.json["counts"]["stored"], found.json["campaign"])
    assert "The rows of spring.csv are those of campaign trial" in found.err
    assert campaigns() == ["spring", "trial"]


def test_a_campaign_that_has_moved_on_is_not_turned_back_by_an_old_copy(assetline: Assetline, ran: str) -> None:
    assetline("run", write("spring.csv", EDITED), "--direct")
    found = assetline("run", write("backup.csv", SHEET), "--direct", "--json")
    assert "backup" == found.json["campaign"]
    assert "About 75% of the rows of backup.csv are those of campaign spring" in found.err


def test_a_name_goes_with_the_sheet_that_it_was_given_last(assetline: Assetline, ran: str) -> None:
    """`final.csv` was spring's, and is autumn's now; its later edits are autumn's too."""
    autumn = SHEET.replace("a thing", "a leaf")
    assetline("run", write("autumn.csv", autumn), "--direct", "--campaign", "autumn")
    for rows in (SHEET, autumn):
        assetline("run", write("final.csv", rows), "--direct")
    found = assetline("run", write("final.csv", EDITED.replace("a thing", "a leaf")), "--direct", "--json").json
    assert (6, 2, "autumn") == (found["counts"]["reused"], found["counts"]["stored"], found["campaign"])
