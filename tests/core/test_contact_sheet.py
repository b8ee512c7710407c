from __future__ import annotations

import base64
import hashlib
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fakes.outcomes import a_campaign, a_rendition, a_run, a_thumbnail, an_asset, an_outcome
from PIL import Image

from assetline.catalogue import Channel
from assetline.contact_sheet import paged, shown_of, write_contact_sheet
from assetline.contact_sheet.montage import MOST_BYTES, montage
from assetline.contact_sheet.page import MARKS
from assetline.records import FPO_MODEL, STATUSES, Attempt
from assetline.store.history import RetiredRow
from assetline.store.layout import assets_prefix
from assetline.timeline import Happening, Recorder, Timeline
from assetline.timeline.palette import STYLE

HOSTILE = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "<!-- & &lt; ' \" `",
    "\u202eright to left\u202c שלום 🎉",
    "</style></title></textarea>",
)


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text; enough to ask what a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [a for name, a in self.tags if name == tag and all(a.get(k.strip("_")) == v for k, v in wanted.items())]


def html_of(outcomes, tmp_path: Path, **run) -> str:
    (path,) = write_contact_sheet(a_run(outcomes, **run), outcomes, a_thumbnail, tmp_path)
    return path.read_text("utf-8")


def tiles(page: Page) -> list[dict[str, str | None]]:
    return [attributes for attributes in page.all("figure") if "tile" in (attributes.get("class") or "")]


def test_every_outcome_has_a_tile_and_every_row_a_section(tmp_path):
    outcomes = a_campaign(6)
    page = Page(html_of(outcomes, tmp_path))
    assert [tile["data-label"] for tile in tiles(page)] == [outcome.label for outcome in outcomes]
    assert len(page.all("section", class_="row")) == 6
    assert {tile["data-status"] for tile in tiles(page)} == {outcome.status for outcome in outcomes}


def test_a_row_says_what_was_wanted(tmp_path):
    outcome = an_outcome(prompt="a tote bag", negative_prompt="blurry", row_number=7, tags=("spring", "hero"))
    page = Page(html_of([outcome], tmp_path))
    for words in ("SKU0001", "line 7", "sdxl-txt2img", "a tote bag", "not blurry", "spring", "hero"):
        assert words in page.text


def test_a_tile_says_what_became_of_the_request(tmp_path):
    asset = an_asset(width=1080, height=1350, seconds=4.25, cost_usd=0.0031, seed=42)
    page = Page(html_of([an_outcome(asset=asset, size="instagram_feed")], tmp_path))
    for words in ("✓ stored", "1080×1350 · instagram_feed", "42", "gpu1:8188 · 4.2 s · $0.0031", "job-1", asset.sha256):
        assert words in page.text


@pytest.mark.parametrize("status", STATUSES)
def test_each_status_is_a_word_and_a_mark_with_its_reason(status, tmp_path):
    page = Page(html_of([an_outcome(status=status, reason="Because of this.")], tmp_path))
    (chip,) = [button for button in page.all("button") if button.get("data-status")]
    assert chip["data-status"] == status
    assert f"{MARKS[status]} {status}" in page.text
    assert "Because of this." in page.text


def test_marks_differ_between_all_statuses():
    assert set(MARKS) == set(STATUSES)
    assert len(set(MARKS.values())) == len(STATUSES)


def test_a_failed_request_has_a_tile_without_picture_and_its_tries(tmp_path):
    tries = (Attempt(lane="http://gpu1:8188", error="Out of memory."), Attempt(lane="http://gpu2:8188", error="Gone."))
    page = Page(html_of([an_outcome(status="failed", reason="Gone.", attempts=tries)], tmp_path))
    assert len(page.all("button", class_="shot empty")) == 1
    assert "gpu1:8188: Out of memory." in page.text
    assert "gpu2:8188: Gone." in page.text


def test_comps_are_marked_fpo_and_everything_else_ai(tmp_path):
    page = Page(
        html_of([an_outcome(1), an_outcome(2, workflow=None, model=FPO_MODEL), an_outcome(3, "failed")], tmp_path)
    )
    assert len(page.all("abbr", class_="badge")) == 1
    assert len(page.all("abbr", class_="badge fpo")) == 1


def test_the_link_to_the_original_is_relative_and_percent_encoded(tmp_path):
    key = "campaigns/spring/assets/Größe #1/50% off?_1024x1024_00000001.png"
    page = Page(html_of([an_outcome(asset=an_asset(original=key))], tmp_path))
    (shot,) = page.all("a", class_="shot")
    assert shot["href"] == "../../assets/Gr%C3%B6%C3%9Fe%20%231/50%25%20off%3F_1024x1024_00000001.png"
    assert shot["data-place"] == "file:///srv/assets/" + key


def test_the_link_is_right_for_a_campaign_whose_name_had_to_be_made_safe(tmp_path):
    key = assets_prefix("a/b") + "SKU1/x_1024x1024_00000001.png"
    page = Page(html_of([an_outcome(asset=an_asset(original=key))], tmp_path, campaign="a/b"))
    assert [shot["href"] for shot in page.all("a", class_="shot")] == ["../../assets/SKU1/x_1024x1024_00000001.png"]


def test_pictures_are_inside_the_page(tmp_path):
    outcome = an_outcome()
    page = Page(html_of([outcome], tmp_path))
    (image,) = [image for image in page.all("img") if image.get("src")]
    head, _, data = (image["src"] or "").partition(",")
    assert head == "data:image/jpeg;base64"
    assert base64.b64decode(data) == a_thumbnail(outcome)
    assert (image["width"], image["height"], image["loading"]) == ("1024", "1024", "lazy")


def test_a_thumbnail_that_is_lost_leaves_a_tile_that_says_so(tmp_path):
    outcomes = [an_outcome()]
    (path,) = write_contact_sheet(a_run(outcomes), outcomes, lambda _outcome: None, tmp_path)
    page = Page(path.read_text("utf-8"))
    assert len(page.all("a", class_="shot")) == 1
    assert "no preview" in page.text


def test_thumbnails_are_asked_for_one_at_a_time_in_order_and_only_where_there_is_an_asset(tmp_path):
    outcomes = [an_outcome(1), an_outcome(2, "failed"), an_outcome(3)]
    asked = []
    sizes = []

    def thumbnail(outcome):
        asked.append(outcome.label)
        sizes.append((tmp_path / "contact-sheet.html").stat().st_size)
        return b"\xff\xd8" + b"x" * 2_000_000

    write_contact_sheet(a_run(outcomes), outcomes, thumbnail, tmp_path)
    assert asked == [outcomes[0].label, outcomes[2].label]
    assert sizes[1] > 2_000_000, "the first picture was not written before the second was read"


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text, tmp_path):
    outcome = an_outcome(
        status="failed", row=text, label=text, prompt=text, negative_prompt=text, reason=text, size=text + "!",
        tags=(text,), workflow=text, parameters={"note": text}, attempts=(Attempt(lane=text, error=text),),
    )  # fmt: skip
    harmless = Page(html_of([an_outcome(status="failed", size="square", tags=("t",), parameters={"note": "n"},
                                        attempts=(Attempt(lane="l", error="e"),), reason="r")], tmp_path))  # fmt: skip
    page = Page(html_of([outcome], tmp_path, campaign=text, sheet=text, lanes=(text,)))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in harmless.tags]
    assert [sorted(a) for _, a in page.tags] == [sorted(a) for _, a in harmless.tags]
    assert page.text.count(" ".join(text.split())) >= 8


def test_the_policy_allows_this_style_and_this_script_and_nothing_else(tmp_path):
    html = html_of([an_outcome()], tmp_path)
    (policy,) = [meta["content"] for meta in Page(html).all("meta") if meta.get("http-equiv")]
    for tag in ("style", "script"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        assert f"{tag}-src 'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in (
            policy or ""
        )
    assert (policy or "").startswith("default-src 'none';")
    assert "unsafe" not in (policy or "")


def test_the_page_names_no_other_place(tmp_path):
    html = html_of(a_campaign(3), tmp_path)
    addresses = [a.get(k) or "" for _, a in Page(html).tags for k in ("src", "href", "action") if a.get(k)]
    assert {address.partition(":")[0] for address in addresses if ":" in address} == {"data"}
    assert "url(" not in html
    assert "@import" not in html


def test_a_duplicate_leads_to_the_picture_that_was_kept(tmp_path):
    kept, other = an_outcome(1), an_outcome(2, "duplicate", duplicate_of=f"{1:064x}", reason="Looks the same.")
    page = Page(html_of([kept, other], tmp_path))
    (link,) = page.all("a", class_="keeper")
    assert link["href"] == "#" + str(tiles(page)[0]["id"])


def test_prompts_that_differ_within_a_row_are_all_shown_and_numbered(tmp_path):
    outcomes = [
        an_outcome(n, row="SKU1", prompt=f"a {colour} mug") for n, colour in ((1, "red"), (2, "blue"), (3, "red"))
    ]
    page = Page(html_of(outcomes, tmp_path))
    assert "Prompt 1 a red mug" in page.text
    assert "Prompt 2 a blue mug" in page.text
    assert [tile["data-prompt"] for tile in tiles(page)] == ["1", "2", "1"]


def test_a_long_prompt_is_there_in_full_behind_its_beginning(tmp_path):
    prompt = "a very long prompt " * 40
    page = Page(html_of([an_outcome(prompt=prompt)], tmp_path))
    assert len(page.all("details")) == 1
    assert prompt.strip() in page.text


def test_an_interrupted_run_says_so(tmp_path):
    assert "interrupted" in Page(html_of([an_outcome()], tmp_path, interrupted=True)).text
    assert "interrupted" not in Page(html_of([an_outcome()], tmp_path)).text


def test_a_run_without_pictures_is_a_page_all_the_same(tmp_path):
    assert "no pictures" in Page(html_of([], tmp_path)).text


def on_pages(outcomes, most: int) -> list[list[str]]:
    return [[f"{group.row} {len(group.outcomes)}" for group in leaf.rows] for leaf in paged(outcomes, most)]


def test_a_page_splits_no_row():
    assert on_pages(a_campaign(5, pictures_per_row=4), 10) == [
        ["SKU0000-hero 4", "SKU0001-tote 4"],
        ["SKU0002-mug 4", "SKU0003-boots 4"],
        ["SKU0004-hero 4"],
    ]


def test_a_row_larger_than_a_page_is_split_and_nothing_is_lost():
    outcomes = [an_outcome(1), *(an_outcome(n, row="BIG") for n in range(2, 25)), an_outcome(25)]
    assert on_pages(outcomes, 10) == [["SKU0001 1"], ["BIG 10"], ["BIG 10"], ["BIG 3", "SKU0025 1"]]


def test_outcomes_of_a_row_stand_together_in_whatever_order_they_come():
    outcomes = [an_outcome(1, row="A"), an_outcome(2, row="B"), an_outcome(3, row="A")]
    assert on_pages(outcomes, 10) == [["A 2", "B 1"]]


def test_more_than_a_thousand_pictures_go_on_pages_that_are_linked_to_each_other(tmp_path):
    outcomes = [an_outcome(n, row=f"R{n // 500}", status="failed") for n in range(1, 1003)]
    outcomes.append(an_outcome(2000, "duplicate", row="R2", duplicate_of=f"{1:064x}"))
    paths = write_contact_sheet(a_run(outcomes), outcomes, lambda _outcome: None, tmp_path)
    pages = [path.read_text("utf-8") for path in paths]
    assert [path.name for path in paths] == ["contact-sheet.html", "contact-sheet-2.html"]
    assert [page.count("<figure ") for page in pages] == [999, 4]
    for page in pages:
        pager = page[page.index('<nav class="pager"') :]
        assert re.findall(r'href="([^"]+)"', pager)[:2] == [path.name for path in paths]
    (first,) = re.findall(r'id="(p1-1-[^"]+)"', pages[0])
    assert f'class="keeper" href="contact-sheet.html#{first}"' in pages[1]


def test_ids_are_unique_even_where_two_rows_share_a_request(tmp_path):
    outcomes = [an_outcome(1, row="A"), an_outcome(1, row="B"), an_outcome(1, row="B")]
    page = Page(html_of(outcomes, tmp_path))
    ids = [attributes["id"] for _, attributes in page.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))


def jpegs(count: int, size: tuple[int, int] = (256, 192)):
    for number in range(count):
        file = io.BytesIO()
        Image.effect_noise(size, 60 + number).convert("RGB").save(file, "JPEG", quality=90)
        yield file.getvalue()


def test_a_montage_is_one_small_jpeg_even_of_noise():
    data = montage(jpegs(48), columns=8, cell_px=96)
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.size) == ("JPEG", (8 * 102 + 6, 6 * 102 + 6))
    assert len(data) <= MOST_BYTES


def test_a_montage_of_few_pictures_is_no_wider_than_they_are():
    assert Image.open(io.BytesIO(montage(jpegs(3), columns=8, cell_px=64))).size == (3 * 70 + 6, 76)


def test_a_montage_reads_no_more_pictures_than_it_shows():
    source = jpegs(9, (8, 8))
    montage(source, limit=4)
    assert len(list(source)) == 5


def test_a_montage_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        montage([])


def lanes_of(*names: str) -> Timeline:
    """Each lane makes one picture of two seconds; the first one fails once."""
    recorder = Recorder(names)
    for name in names:
        recorder.hear(Happening(0, name, "began", "SKU1-1-64x64", "sdxl"))
        recorder.hear(Happening(2, name, "made", "SKU1-1-64x64", "sdxl"))
    recorder.hear(Happening(3, names[0], "failed", why="<out of memory>"))
    return recorder.timeline(4, ended=True, campaign="spring")


def with_lanes(outcomes, tmp_path: Path, timeline: Timeline) -> list[str]:
    return [
        path.read_text("utf-8")
        for path in write_contact_sheet(a_run(outcomes), outcomes, a_thumbnail, tmp_path, timeline)
    ]


def test_the_lanes_over_time_are_a_closed_part_with_picture_and_table(tmp_path):
    [html] = with_lanes([an_outcome()], tmp_path, lanes_of("http://gpu1:8188", "http://gpu2:8188"))
    page = Page(html)
    [details] = page.all("details", class_="lanes")
    assert "open" not in details
    assert 1 == len(page.all("svg", class_="timeline"))
    assert "Lanes 2 lanes worked 50 % of 4.0 s, 1 failure" in page.text
    assert "lane pictures share of the work seconds each loads loading (about) idle away failures" in page.text
    assert "gpu2:8188 1 50 % 2.0 - - 50 % - -" in page.text


def test_the_pages_policy_allows_the_style_inside_the_picture_and_no_other(tmp_path):
    def hashes(html: str) -> set[str]:
        policy = re.search(r'Policy" content="([^"]+)"', html)
        assert policy
        return set(re.findall(r"'sha256-[^']+'", policy[1].partition("style-src")[2].partition(";")[0]))

    [plain], [drawn] = (
        [html_of([an_outcome()], tmp_path)],
        with_lanes([an_outcome()], tmp_path, lanes_of("fpo")),
    )
    [added] = hashes(drawn) - hashes(plain)
    assert f"'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'" == added
    assert 1 == drawn.count(f"<style>{STYLE}</style>")


def test_only_the_first_page_shows_the_lanes(tmp_path):
    outcomes = a_campaign(300)
    pages = write_contact_sheet(a_run(outcomes), outcomes, lambda _outcome: None, tmp_path, lanes_of("fpo"))
    assert [1, 0] == [page.read_text("utf-8").count('class="timeline"') for page in pages]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_lanes_name_stays_text(text, tmp_path):
    [html] = with_lanes([an_outcome()], tmp_path, lanes_of(text))
    assert 1 == len(Page(html).all("script"))
    assert not Page(html).all("img", src="x")


# --- rows that the sheet no longer has


def test_retired_rows_stand_apart_on_the_last_page_and_are_counted_nowhere(tmp_path: Path) -> None:
    outcomes = a_campaign(rows=3, pictures_per_row=500)
    gone = an_outcome(9, row="GONE <1>", prompt="a <b>lost</b> mug")
    retired = [RetiredRow(row=gone.row, retired_in="20261122T014500Z-9f3a1c", outcomes=(gone,))]
    paths = write_contact_sheet(a_run(outcomes), outcomes, a_thumbnail, tmp_path, retired=retired)
    first, last = (path.read_text() for path in paths)
    assert "GONE" not in first
    section = last[last.index('<details class="retired">') : last.index('<nav class="pager"')]
    assert "1 row that the sheet no longer has" in section
    assert "GONE &lt;1&gt;" in section
    assert "a &lt;b&gt;lost&lt;/b&gt; mug" in section
    assert section.count("<img") == 1
    assert 'class="tile' not in section
    assert ">500 pictures<" in last[: last.index("<main>")]


def test_of_many_retired_rows_the_first_ones_have_a_picture() -> None:
    rows = [RetiredRow(row=f"R{n}", retired_in="r", outcomes=(an_outcome(n),)) for n in range(1, 100)]
    assert [outcome.row for outcome in shown_of(rows)] == [f"SKU{n:04d}" for n in range(1, 61)]
    assert shown_of([RetiredRow(row="R", retired_in="r", outcomes=(an_outcome(1, "failed"),))]) == []


# --- files for channels


def channel(name: str, cover: tuple[int, int, int, int] = (0, 0, 0, 0), width: int = 1080) -> Channel:
    return Channel(name=name, width=width, height=1920, render=(792, 1408), source="test", cover=cover)


CHANNELS = {
    one.name: one for one in (channel("story", (269, 0, 384, 0)), channel("reel", (100, 54, 0, 0)), channel("ad"))
}


def files_of(tmp_path: Path, *files, **channels: Channel) -> tuple[Page, list[dict[str, str | None]]]:
    """The page of one picture of 800x1408 with these files, and the links to them."""
    outcomes = [an_outcome(asset=an_asset(width=800, height=1408, renditions=files))]
    wanted = CHANNELS | channels
    (path,) = write_contact_sheet(a_run(outcomes), outcomes, a_thumbnail, tmp_path, channels=wanted)
    page = Page(path.read_text("utf-8"))
    return page, [link for link in page.all("a") if "/channels/" in (link.get("href") or "")]


def test_a_tile_names_its_files_for_channels_with_size_link_and_note(tmp_path):
    key = "campaigns/spring/channels/Größe #1/50% off_story_1080x1920_00000001.jpg"
    note = "Enlarged 2.4 times, so it looks soft."
    page, [link] = files_of(tmp_path, a_rendition("story", "tiktok_cover", key=key, note=note))
    assert link["href"] == "../../channels/Gr%C3%B6%C3%9Fe%20%231/50%25%20off_story_1080x1920_00000001.jpg"
    assert link["title"] == "file:///srv/assets/" + key
    assert f"story, tiktok_cover 1080×1920 JPEG · 262 kB {note}" in page.text
    assert "1 file for channels" in page.text


def test_a_picture_without_files_for_channels_has_no_list_of_them(tmp_path):
    page = Page(html_of([an_outcome()], tmp_path))
    assert page.all("ul", class_="files") == []
    assert "for channels" not in page.text


@pytest.mark.parametrize(
    ("names", "safe"),
    [
        (["story"], "4 197.3 796 1126.4"),  # 1408 / 1920 of 269 and of 1920 - 384, from the crop's own corner
        (["reel"], "4 73.3 756.4 1408"),
        (["story", "reel"], "4 197.3 756.4 1126.4"),  # one file: what is safe on both
    ],
)
def test_the_safe_area_is_given_in_pixels_of_the_picture_that_is_shown(tmp_path, names, safe):
    _, [link] = files_of(tmp_path, a_rendition(*names))
    assert (link.get("data-cut"), link.get("data-safe")) == ("4 0 796 1408", safe)


def test_where_a_channel_covers_nothing_only_the_cut_is_drawn_and_nothing_where_nothing_is_cut(tmp_path):
    whole = a_rendition("ad", width=800, height=1408, box=(0, 0.4, 800, 1407.6))
    _, [cut, uncut] = files_of(tmp_path, a_rendition("ad"), whole)
    assert (cut.get("data-cut"), cut.get("data-safe")) == ("4 0 796 1408", None)
    assert (uncut.get("data-cut"), uncut.get("data-safe")) == (None, None)


@pytest.mark.parametrize("now", [channel("story", (269, 0, 384, 0), width=1200), channel("story")])
def test_a_file_has_no_safe_area_of_a_channel_that_takes_another_size_by_now_or_covers_nothing(tmp_path, now):
    _, [link] = files_of(tmp_path, a_rendition("story"), story=now)
    assert (link.get("data-cut"), link.get("data-safe")) == ("4 0 796 1408", None)


def test_channels_that_leave_nothing_safe_together_give_no_safe_area(tmp_path):
    channels = {"story": channel("story", (1000, 0, 0, 0)), "reel": channel("reel", (0, 0, 1000, 0))}
    _, [link] = files_of(tmp_path, a_rendition("story", "reel"), **channels)
    assert link.get("data-safe") is None


@pytest.mark.parametrize("text", HOSTILE)
def test_a_channels_name_and_note_stay_text(text, tmp_path):
    harmless, _ = files_of(tmp_path, a_rendition("x", note="n"))
    page, _ = files_of(tmp_path, a_rendition(text, note=text, key=f"campaigns/spring/channels/{text}"))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in harmless.tags]
    assert page.text.count(" ".join(text.split())) == 2
