from __future__ import annotations

import base64
import csv
import io
import json

import pytest
from fakes.outcomes import a_campaign, a_rendition, a_run, an_asset, an_outcome
from hypothesis import given, settings
from hypothesis import strategies as st

from assetline import manifest
from assetline.errors import StoreError
from assetline.records import STATUSES, Attempt, Outcome
from assetline.run_records import Counts
from assetline.timeline import Happening, Recorder, Timeline

CONTRACT = ["row", "variant", "request_key", "status", "reason", "duplicate_of", "asset", "attempts"]
CONTRACT_ASSET = [
    "original",
    "sidecar",
    "thumbnails",
    "sha256",
    "width",
    "height",
    "format",
    "seed",
    "lane",
    "job_id",
    "seconds",
    "cost_usd",
]


def table(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def test_a_line_has_the_fields_of_the_contract_first_and_by_name():
    (line,) = manifest.manifest_lines([an_outcome()])
    facts = json.loads(line)
    assert list(facts)[:8] == CONTRACT
    assert list(facts["asset"])[:12] == CONTRACT_ASSET
    assert set(facts["asset"]["thumbnails"]) == {"256", "512"}
    assert facts["asset"]["seed"] == 12345678901234567890


def test_there_is_one_line_per_outcome_in_the_order_given():
    outcomes = a_campaign(5)
    lines = list(manifest.manifest_lines(outcomes))
    assert [json.loads(line)["request_key"] for line in lines] == [outcome.request_key for outcome in outcomes]
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in lines)


def test_lines_are_made_one_at_a_time():
    def endless():
        while True:
            yield an_outcome()

    assert next(manifest.manifest_lines(endless())).startswith('{"row":"SKU0001"')


@given(prompt=st.text(), reason=st.text())
@settings(max_examples=50, deadline=None)
def test_what_is_written_is_read_back_the_same_whatever_the_text(prompt, reason):
    outcome = an_outcome(prompt=prompt, reason=reason)
    data = "".join(manifest.manifest_lines([outcome])).encode()
    assert manifest.read_manifest(data) == [outcome]


def test_line_separators_and_other_scripts_survive():
    outcomes = [an_outcome(prompt="a\u2028b\nc\r\nd"), an_outcome(2, prompt="日本語 🎉 שלום")]
    data = "".join(manifest.manifest_lines(outcomes)).encode()
    assert manifest.read_manifest(data) == outcomes
    assert "日本語" in data.decode()


def test_every_line_that_cannot_be_read_is_named():
    good = "".join(manifest.manifest_lines([an_outcome()]))
    with pytest.raises(StoreError, match=r"line 2 \(.*line 3 \(status") as caught:
        manifest.read_manifest((good + '{"row": "x"\n' + good.replace('"stored"', '"lost"')).encode())
    assert "line 1 (" not in str(caught.value)


def test_an_empty_manifest_has_no_outcomes():
    assert manifest.read_manifest(b"") == []


def test_the_table_is_utf8_with_bom_and_has_one_line_per_outcome():
    outcomes = a_campaign(3)
    data = manifest.manifest_csv(outcomes)
    assert data.startswith(b"\xef\xbb\xbf")
    assert [line["label"] for line in table(data)] == [outcome.label for outcome in outcomes]


def test_the_table_gives_links_where_a_producer_can_open_them():
    (line,) = table(manifest.manifest_csv([an_outcome()], lambda key: "https://cdn.test/" + key))
    assert line["original"] == "https://cdn.test/campaigns/spring/assets/SKU0001/tote-bag_1024x1024_00000001.png"
    assert line["thumbnail"] == "https://cdn.test/campaigns/spring/thumbs/" + f"{1:064x}" + "/512.jpg"
    assert line["line"] == "2"


def test_the_last_column_of_the_table_has_a_line_for_each_channels_file_and_the_lines_have_them_whole():
    files = (a_rendition("story", "reel", key="channels/a.jpg"), a_rendition("feed", key="channels/b.jpg"))
    outcomes = [an_outcome(asset=an_asset(renditions=files)), an_outcome(2), an_outcome(3, "failed")]
    lines = table(manifest.manifest_csv(outcomes, lambda key: "https://cdn.test/" + key))
    assert list(lines[0])[-1] == "channel_files"
    assert [line["channel_files"] for line in lines] == [
        "story, reel: https://cdn.test/channels/a.jpg\nfeed: https://cdn.test/channels/b.jpg",
        "",
        "",
    ]
    facts = json.loads(next(manifest.manifest_lines(outcomes)))
    assert [file["channels"] for file in facts["asset"]["renditions"]] == [["story", "reel"], ["feed"]]


@pytest.mark.parametrize(
    "text", ['=HYPERLINK("http://evil")', "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", "\0=1", "\uff1d1"]
)
def test_no_cell_begins_a_formula(text):
    (line,) = table(manifest.manifest_csv([an_outcome(prompt=text, tags=(text,), row=text)]))
    for column in ("prompt", "tags", "row"):
        assert line[column] == "'" + text.replace("\0", "")


@pytest.mark.parametrize(("row", "cell"), [("00123", "'00123"), ("1E5", "'1E5"), ("123", "123"), ("SKU-1", "SKU-1")])
def test_row_ids_that_excel_would_change_stay_text(row, cell):
    (line,) = table(manifest.manifest_csv([an_outcome(row=row)]))
    assert line["row"] == cell


def test_a_long_seed_keeps_all_its_digits_in_excel_and_a_short_one_is_a_number():
    long, short = table(manifest.manifest_csv([an_outcome(), an_outcome(asset=an_asset(seed=42))]))
    assert (long["seed"], short["seed"]) == ("'12345678901234567890", "42")


def test_a_negative_number_is_no_formula():
    (line,) = table(manifest.manifest_csv([an_outcome(asset=an_asset(cost_usd=-0.5))]))
    assert line["cost_usd"] == "-0.5"


def test_an_outcome_without_a_picture_has_its_reason_and_empty_links():
    failed = an_outcome(status="failed", reason="Out of memory.", attempts=(Attempt(lane="a"), Attempt(lane="b")))
    (line,) = table(manifest.manifest_csv([failed]))
    assert (line["status"], line["reason"], line["original"], line["tries"]) == ("failed", "Out of memory.", "", "2")


def test_counts_add_up():
    outcomes = [an_outcome(n, status) for n, status in enumerate(("stored", "stored", "failed", "canceled"), 1)]
    assert manifest.counts(outcomes) == Counts(stored=2, failed=1, canceled=1)
    assert manifest.counts([]) == Counts()


def test_the_run_record_is_json_that_reads_back():
    run = a_run([an_outcome()])
    assert type(run).model_validate_json(manifest.run_json(run)) == run


def test_failures_tell_what_a_person_needs_and_leave_out_what_went_well():
    tries = (
        Attempt(lane="gpu1", error="memory"),
        Attempt(lane="gpu2", error="memory"),
        Attempt(lane="gpu1", error="x"),
    )
    outcomes = [an_outcome(), an_outcome(2, "failed", attempts=tries), an_outcome(3, "duplicate")]
    outcomes.append(an_outcome(4, "rejected", reason="The picture is black."))
    found = manifest.failures(outcomes)
    assert [(line["row"], line["why"], line["tried on"]) for line in found] == [
        ("SKU0002", "x", "gpu1, gpu2"),
        ("SKU0004", "The picture is black.", ""),
    ]


def test_the_summary_tells_counts_lanes_sizes_and_the_commonest_trouble():
    outcomes = [an_outcome(1), an_outcome(2), an_outcome(3, "reused")]
    outcomes += [an_outcome(n, "failed", reason="Out of memory | at KSampler") for n in (4, 5)]
    text = manifest.summary_markdown(a_run(outcomes), outcomes, None, "https://cdn.test/sheet.html")
    assert text.startswith("# spring: 3 of 5 usable, 2 failed\n")
    assert "| http://gpu1:8188 | 2 | 4.25 | 0.0000 |" in text
    assert "| 1024x1024 | 5 | 3 |" in text
    assert "| Out of memory \\| at KSampler | failed | 2 |" in text
    assert "(<https://cdn.test/sheet.html>)" in text
    assert "2 min 5 s" in text


def test_the_summary_shows_the_picture_where_there_is_one():
    outcomes = [an_outcome()]
    assert "](<https://cdn.test/m.jpg>)](<https://cdn.test/s.html>)" in manifest.summary_markdown(
        a_run(outcomes), outcomes, "https://cdn.test/m.jpg", "https://cdn.test/s.html"
    )
    assert "](<data:image/jpeg;base64,AA==>)\n" in manifest.summary_markdown(
        a_run(outcomes), outcomes, "data:image/jpeg;base64,AA==", "s3://bucket/s.html"
    )
    assert "![" not in manifest.summary_markdown(a_run(outcomes), outcomes, None, "https://cdn.test/s.html")


def test_the_summary_shows_a_file_address_as_text_to_copy():
    outcomes = [an_outcome()]
    assert "`file:///srv/sheet.html`" in manifest.summary_markdown(
        a_run(outcomes), outcomes, None, "file:///srv/sheet.html"
    )


def test_nothing_in_the_summary_becomes_html_or_breaks_a_table():
    outcomes = [an_outcome(status="failed", reason="<script>alert(1)</script>\n| x |")]
    text = manifest.summary_markdown(a_run(outcomes, campaign="<b>*x*"), outcomes, None, "s")
    assert "<script" not in text
    assert "<b>" not in text
    assert "| &lt;script&gt;alert(1)&lt;/script&gt; \\| x \\| | failed | 1 |" in text


def lanes_of(name: str = "http://gpu1:8188", *, ended: bool = True) -> Timeline:
    recorder = Recorder([name])
    recorder.hear(Happening(0, name, "began", "A", "sdxl"))
    recorder.hear(Happening(2, name, "made", "A", "sdxl"))
    recorder.hear(Happening(2, name, "began", "B|<b>", "sdxl"))
    return recorder.timeline(4, ended=ended)


def test_the_summary_draws_the_lanes_and_has_their_table():
    outcomes = [an_outcome()]
    text = manifest.summary_markdown(a_run(outcomes), outcomes, None, "s", lanes_of())
    _, _, drawn = text.partition("![The lanes over time](<data:image/svg+xml;base64,")
    assert base64.b64decode(drawn.partition(">")[0]).startswith(b"<svg")
    assert "| gpu1:8188 | 1 | 100 % | 2.0 | - | - | 0 % | - | - |" in text
    assert "Cost USD" not in text


def test_the_summary_tells_what_each_lane_cost_where_anything_did():
    outcomes = [an_outcome(asset=an_asset(cost_usd=0.003))]
    text = manifest.summary_markdown(a_run(outcomes), outcomes, None, "s", lanes_of())
    assert "| http://gpu1:8188 | 1 | 4.25 | 0.0030 |" in text


def test_the_lanes_of_a_run_that_goes_on_say_what_they_do_now():
    timeline = lanes_of("a|<b>", ended=False)
    text = manifest.lanes_markdown(timeline.lanes, timeline)
    assert text.startswith("![The lanes over time](<data:image/svg+xml;base64,")
    assert (
        "| a\\|&lt;b&gt; | 1 | 100 % | 2.0 | - | - | 0 % | - | - | B\\|&lt;b&gt; for 2.0 s |"
        in manifest.lanes_table(timeline.lanes)
    )
    assert manifest.lanes_markdown((), None).strip() == ""


def test_every_status_has_plain_words():
    assert set(manifest.PLAIN_WORDS) == set(STATUSES)


def test_the_contract_names_fields_that_exist():
    assert set(manifest.CONTRACT_FIELDS) <= set(Outcome.model_fields)
