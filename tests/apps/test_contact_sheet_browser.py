"""The contact sheet in a real Chromium, from disk: what a producer sees and does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from fakes.outcomes import a_campaign, a_rendition, a_run, a_thumbnail, an_asset, an_outcome

from assetline.catalogue import Channel
from assetline.contact_sheet import write_contact_sheet
from assetline.records import Outcome
from assetline.timeline import Happening, Recorder, Timeline

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (it is in the dev extra)")

pytestmark = pytest.mark.browser

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]  # root in a container; a small /dev/shm


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("needs a Chromium on the path (Debian: apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Watched:
    """A page, and everything it did that it should not have to do."""

    page: sync_api.Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def fetched(self) -> list[str]:
        """The addresses asked for, pictures inside the page left out."""
        return [url for url in self.requests if not url.startswith("data:")]


@pytest.fixture
def watched(browser: sync_api.Browser) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(10_000)
    yield Watched(context.new_page())
    context.close()


STORY = Channel(name="story", width=1080, height=1920, render=(792, 1408), source="test", cover=(269, 0, 384, 0))


def on_disk(outcomes: list[Outcome], store: Path, timeline: Timeline | None = None) -> str:
    """Write the sheet where a run writes it, with the originals of the first row beside it; its file:// address."""
    folder = store / "campaigns/spring/runs/20261122T014500Z-ab12cd"
    folder.mkdir(parents=True)
    for outcome in outcomes:
        if outcome.asset is not None and outcome.row == outcomes[0].row:
            original = store / outcome.asset.original
            original.parent.mkdir(parents=True, exist_ok=True)
            original.write_bytes(a_thumbnail(outcome) or b"")
    (path,) = write_contact_sheet(a_run(outcomes), outcomes, a_thumbnail, folder, timeline, channels={"story": STORY})
    return path.as_uri()


def labels(page: sync_api.Page) -> list[str]:
    return page.locator(".tile:visible").evaluate_all("tiles => tiles.map(tile => tile.dataset.label)")


def expected(outcomes: list[Outcome], *statuses: str) -> list[str]:
    return [outcome.label for outcome in outcomes if outcome.status in statuses]


def test_it_opens_from_disk_quietly_and_asks_for_nothing_else(watched: Watched, tmp_path: Path) -> None:
    outcomes = a_campaign(6)
    address = on_disk(outcomes, tmp_path)
    watched.page.goto(address)
    sync_api.expect(watched.page.get_by_role("heading", name="spring", exact=True)).to_be_visible()
    drawn = watched.page.locator(".tile img").evaluate_all(
        "images => Promise.all(images.map(image => { image.loading = 'eager';"
        " return image.decode().then(() => image.naturalWidth > 0); }))"
    )
    assert drawn == [True] * sum(outcome.asset is not None for outcome in outcomes)
    assert watched.fetched() == [address]
    assert watched.complaints == []


def test_the_style_is_applied_under_the_pages_own_policy(watched: Watched, tmp_path: Path) -> None:
    watched.page.goto(on_disk(a_campaign(2), tmp_path))
    assert watched.page.locator(".shots").first.evaluate("shots => getComputedStyle(shots).display") == "grid"


def test_chips_show_only_their_status_and_add_up(watched: Watched, tmp_path: Path) -> None:
    outcomes = a_campaign(6)
    page = watched.page
    page.goto(on_disk(outcomes, tmp_path))
    page.get_by_role("button", name="failed").first.click()
    assert labels(page) == expected(outcomes, "failed")
    page.get_by_role("button", name="rejected").first.click()
    assert labels(page) == expected(outcomes, "failed", "rejected")
    assert page.locator("#shown").inner_text() == f"{len(expected(outcomes, 'failed', 'rejected'))} of 24"
    page.locator(".chip.failed").click()
    page.locator(".chip.rejected").click()
    assert labels(page) == [outcome.label for outcome in outcomes]


def test_search_finds_rows_by_prompt_and_pictures_by_seed_and_slash_goes_there(
    watched: Watched, tmp_path: Path
) -> None:
    outcomes = a_campaign(8)
    page = watched.page
    page.goto(on_disk(outcomes, tmp_path))
    page.keyboard.press("/")
    page.keyboard.type("größe leinen")
    sync_api.expect(page.locator("#shown")).to_have_text("8 of 32")
    assert labels(page) == [outcome.label for outcome in outcomes if "Größe" in outcome.prompt]
    page.get_by_label("Search this page").fill(str(outcomes[5].seed))
    sync_api.expect(page.locator("#shown")).to_have_text("1 of 32")
    assert labels(page) == [outcomes[5].label]
    page.keyboard.press("Escape")
    assert len(labels(page)) == 32


def test_a_search_that_finds_nothing_says_so_and_offers_the_way_back(watched: Watched, tmp_path: Path) -> None:
    page = watched.page
    page.goto(on_disk(a_campaign(2), tmp_path))
    page.get_by_label("Search this page").fill("no such thing")
    page.get_by_role("button", name="Show all").click()
    assert len(labels(page)) == 8


def test_a_click_opens_the_original_in_full_size_with_its_facts(watched: Watched, tmp_path: Path) -> None:
    outcomes = [an_outcome(1, asset=an_asset(original="campaigns/spring/assets/SKU0001/Größe #1 50%.png"))]
    page = watched.page
    page.goto(on_disk(outcomes, tmp_path))
    page.locator(".shot").first.click()
    picture = page.locator("#view-picture")
    sync_api.expect(picture).to_have_attribute("src", (tmp_path / outcomes[0].asset.original).as_uri())
    view = page.get_by_role("dialog")
    for words in (outcomes[0].label, outcomes[0].prompt, "gpu1:8188", "12345678901234567890", outcomes[0].asset.sha256):
        sync_api.expect(view).to_contain_text(words)
    assert page.locator("#view-note").inner_text() == ""
    assert watched.complaints == []


def test_without_the_original_the_preview_stays_and_a_line_says_where_it_is(watched: Watched, tmp_path: Path) -> None:
    outcomes = [an_outcome(1), an_outcome(2, row="ELSEWHERE")]
    page = watched.page
    page.goto(on_disk(outcomes, tmp_path))
    page.locator(".shot").nth(1).click()
    note = page.locator("#view-note")
    sync_api.expect(note).to_contain_text(f"It is at file:///srv/assets/{outcomes[1].asset.original}")
    assert (page.locator("#view-picture").get_attribute("src") or "").startswith("data:image/jpeg")
    sync_api.expect(page.get_by_role("link", name="Open the original")).to_be_hidden()


def test_the_keyboard_alone_is_enough(watched: Watched, tmp_path: Path) -> None:
    outcomes = a_campaign(2)
    page = watched.page
    page.goto(on_disk(outcomes, tmp_path))
    page.locator(".shot").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    title = page.locator("#view-title")
    sync_api.expect(title).to_have_text(outcomes[1].label)
    page.keyboard.press("ArrowRight")
    sync_api.expect(title).to_have_text(outcomes[2].label)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    sync_api.expect(title).to_have_text(outcomes[-1].label)
    page.keyboard.press("Escape")
    sync_api.expect(page.get_by_role("dialog")).to_be_hidden()
    assert page.evaluate("document.activeElement.closest('.tile').dataset.label") == outcomes[-1].label


def test_the_big_view_goes_through_what_the_filter_shows(watched: Watched, tmp_path: Path) -> None:
    outcomes = a_campaign(8)
    page = watched.page
    page.goto(on_disk(outcomes, tmp_path))
    page.locator(".chip.failed").click()
    page.locator(".shot:visible").first.click()
    wanted = expected(outcomes, "failed")
    sync_api.expect(page.locator("#view-count")).to_have_text(f"1 of {len(wanted)}")
    sync_api.expect(page.get_by_role("dialog")).to_contain_text("ran out of memory")
    page.get_by_role("button", name="Next picture").click()
    sync_api.expect(page.locator("#view-title")).to_have_text(wanted[1])


def test_hostile_text_is_inert(watched: Watched, tmp_path: Path) -> None:
    text = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'><b onclick=alert(3)>\u202e🎉 שלום"
    outcomes = [an_outcome(1, prompt=text * 4, reason=text, label=text, tags=(text,), parameters={text: text})]
    outcomes.append(an_outcome(2, "failed", row=text, prompt=text, reason=text))
    page = watched.page
    page.goto(on_disk(outcomes, tmp_path))
    for number in (0, 1):
        page.locator(".shot").nth(number).click()
        sync_api.expect(page.locator("#view-prompt")).to_contain_text(text)
        page.keyboard.press("Escape")
    assert page.locator("b[onclick], img[onerror], script").count() == 1
    assert watched.complaints == []


def test_a_phone_shows_two_columns_and_never_scrolls_sideways(watched: Watched, tmp_path: Path) -> None:
    page = watched.page
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(on_disk([*a_campaign(3), an_outcome(900, row="X" * 90, prompt="y" * 400)], tmp_path))
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.locator(".shots").first.evaluate("e => getComputedStyle(e).gridTemplateColumns.split(' ').length") == 2


def test_a_duplicates_link_leads_to_the_kept_picture(watched: Watched, tmp_path: Path) -> None:
    outcomes = [an_outcome(1), an_outcome(2, "duplicate", duplicate_of=f"{1:064x}", reason="Looks the same.")]
    page = watched.page
    page.goto(on_disk(outcomes, tmp_path))
    page.get_by_role("link", name="Show that one").click()
    assert page.locator(".tile:target").get_attribute("data-label") == outcomes[0].label


def lanes() -> Timeline:
    recorder = Recorder(["http://gpu1:8188", "http://gpu2:8188"])
    for lane in ("http://gpu1:8188", "http://gpu2:8188"):
        recorder.hear(Happening(0, lane, "began", "SKU1-1-64x64", "sdxl"))
        recorder.hear(Happening(2, lane, "made", "SKU1-1-64x64", "sdxl"))
    return recorder.timeline(4, ended=True, campaign="spring")


@pytest.mark.parametrize(("scheme", "fill"), [("light", "rgb(68, 119, 170)"), ("dark", "rgb(91, 147, 204)")])
def test_the_lanes_open_and_are_drawn_in_the_pages_colours(
    watched: Watched, tmp_path: Path, scheme: Literal["light", "dark"], fill: str
) -> None:
    page = watched.page
    page.emulate_media(color_scheme=scheme)
    page.goto(on_disk([an_outcome()], tmp_path, lanes()))
    picture = page.locator("svg.timeline")
    sync_api.expect(picture).to_be_hidden()
    page.get_by_text("2 lanes worked 50 % of 4.0 s").click()
    sync_api.expect(picture).to_be_visible()
    assert page.locator("svg.timeline .g0").first.evaluate("bar => getComputedStyle(bar).fill") == fill
    assert page.locator(".lanes td").first.inner_text() == "1"
    assert watched.complaints == []


def test_the_lanes_scroll_inside_a_phone(watched: Watched, tmp_path: Path) -> None:
    page = watched.page
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(on_disk([an_outcome()], tmp_path, lanes()))
    page.locator(".lanes summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") == 360


# --- files for channels


def stories(*rows: str) -> list[Outcome]:
    """A picture of 800x1408 for each row, with a story's file from its middle, and a square without a file."""
    asset = {
        "width": 800,
        "height": 1408,
        "renditions": (a_rendition("story"), a_rendition("ad", box=(0, 0, 800, 1408))),
    }
    made = [an_outcome(n, row=row, asset=an_asset(row, n, **asset)) for n, row in enumerate(rows, start=1)]
    return [*made, an_outcome(90, row=rows[0])]


def drawn(page: sync_api.Page) -> list[float] | None:
    """The safe area that is on the screen, in px of the picture it lies on; None where none is drawn."""
    return page.evaluate(
        """() => {
          const frame = document.getElementById("frame");
          if (frame.hasAttribute("hidden")) return null;
          const safe = frame.querySelector(".safe");
          const [matrix, box, image] = [safe.getScreenCTM(), safe.getBBox(), frame.parentElement.querySelector("img")];
          const [place, width, height] = [image.getBoundingClientRect(), image.naturalWidth, image.naturalHeight];
          const scale = Math.min(place.width / width, place.height / height);
          const shown = [place.x + (place.width - width * scale) / 2, place.y + (place.height - height * scale) / 2];
          const whole = 800 / width / scale;
          return [[box.x, box.y], [box.x + box.width, box.y + box.height]].flatMap(([x, y]) => {
            const point = new DOMPoint(x, y).matrixTransform(matrix);
            return [(point.x - shown[0]) * whole, (point.y - shown[1]) * whole];
          });
        }"""
    )


SAFE = [pytest.approx(side, abs=4) for side in (4, 197.3, 796, 1126.4)]  # the preview is 5 px of the picture a pixel


def test_the_safe_area_lies_where_the_channel_leaves_it_for_pointer_and_keyboard(
    watched: Watched, tmp_path: Path
) -> None:
    page = watched.page
    page.goto(on_disk(stories("A"), tmp_path))
    assert drawn(page) is None
    page.locator(".shot").first.hover()
    assert drawn(page) == SAFE
    page.get_by_label("Search this page").hover()
    assert drawn(page) is None
    page.locator(".shot").first.focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "story"
    assert drawn(page) == SAFE
    page.locator(".shot").nth(1).focus()
    assert drawn(page) is None
    assert watched.complaints == []


def test_in_the_big_view_a_safe_area_stays_from_picture_to_picture_until_it_is_taken_away(
    watched: Watched, tmp_path: Path
) -> None:
    page = watched.page
    page.goto(on_disk(stories("A", "A"), tmp_path))
    page.locator(".shot").first.click()
    button = page.get_by_role("button", name="Safe area of story")
    button.click()
    assert drawn(page) == SAFE
    sync_api.expect(page.locator("#view-facts .files")).to_contain_text("story 1080×1920 JPEG · 262 kB")
    page.locator("#view-picture").click()
    assert drawn(page) == SAFE, "actual size"
    page.keyboard.press("ArrowRight")
    sync_api.expect(button).to_have_attribute("aria-pressed", "true")
    assert drawn(page) == SAFE
    page.keyboard.press("ArrowRight")
    assert drawn(page) is None, "the square has no such file"
    page.keyboard.press("ArrowRight")
    button.click()
    assert drawn(page) is None
    assert watched.complaints == []


# Before the first of two missing originals is known to be missing; ends when a third one is.
THERE_AND_BACK = """async () => {
  const there = document.querySelectorAll(".shot")[2].href;
  for (const key of ["ArrowLeft", "ArrowRight", "ArrowLeft", "ArrowRight"])
    document.dispatchEvent(new KeyboardEvent("keydown", { key }));
  await new Promise((ended) => Object.assign(new Image(), { onerror: ended, src: there }));
}"""


def test_a_channels_file_is_linked_beside_the_sheet_and_named_where_it_cannot_be_reached(
    watched: Watched, tmp_path: Path
) -> None:
    page = watched.page
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(on_disk(stories("A", "ELSEWHERE"), tmp_path))
    key = a_rendition("story").key
    assert page.locator(".files a").first.evaluate("link => link.href") == (tmp_path / key).as_uri()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.locator(".shot").nth(2).click()
    sync_api.expect(page.locator("#view-facts .files code").first).to_have_text(f"file:///srv/assets/{key}")
    assert page.locator("#view-facts .files a[href]").count() == 0
    page.evaluate(THERE_AND_BACK)
    assert page.locator("#view-facts .files code").count() == 2, "named once, also for who looks twice"
