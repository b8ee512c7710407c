"""What cells say: each value by its own narrow rule, every fault with its place and the nearest that would be right."""

from __future__ import annotations

import pytest
from fakes.sheets import CATALOGUE, read_text, told

from assetline.records import MAX_SEED, Exact, Row, Size
from assetline.sheet import Limits, Sheet, read_sheet

FEED = Exact(channels=("instagram_feed",), width=1080, height=1350)


def read_cell(column: str, value: str) -> Sheet:
    """A sheet of one row, whose cell C2 is under test."""
    return read_text(f'id;prompt;{column}\n1;a shoe;"{value}"\n')


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("variants", "3", {"variants": 3}),
        ("variants", " 64 ", {"variants": 64}),
        ("variants", "", {"variants": 1}),
        ("variants", "2.0", {"variants": 2}),
        ("seed", "0", {"seed": 0}),
        ("seed", str(MAX_SEED), {"seed": MAX_SEED}),
        ("seed", "", {"seed": None}),
        ("steps", "25", {"parameters": {"steps": 25}}),
        ("cfg", "7.5", {"parameters": {"cfg": 7.5}}),
        ("cfg", "7,5", {"parameters": {"cfg": 7.5}}),
        ("lora_strength", "-0.8", {"parameters": {"lora_strength": -0.8}}),
        ("denoise", "1", {"parameters": {"denoise": 1.0}}),
        ("sampler", " dpmpp_2m ", {"parameters": {"sampler": "dpmpp_2m"}}),
        ("model", "sd_xl_base_1.0", {"model": "sd_xl_base_1.0"}),
        ("workflow", "sd15-txt2img:draft", {"workflow": "sd15-txt2img:draft"}),
        ("pose", "poses/run.png", {"reference_image": "poses/run.png"}),
        ("backend", "ComfyUI", {"backend": "comfyui"}),
        ("backend", "", {"backend": "auto"}),
        ("priority", "-2", {"priority": -2}),
        ("tags", "spring, shoes,, spring", {"tags": ("spring", "shoes")}),
        ("style", "product PHOTOGRAPHY; minimalist", {"styles": ("product_photography", "minimalist")}),
        ("negative", "", {"negative_prompt": None}),
        ("negative", "blur", {"negative_prompt": "blur"}),
    ],
)
def test_a_value_is_read(column: str, value: str, expected: dict[str, object]) -> None:
    sheet = read_cell(column, value)
    assert sheet.problems == ()
    assert {name: getattr(sheet.rows[0], name) for name in expected} == expected


@pytest.mark.parametrize(
    ("column", "value", "code", "fix"),
    [
        ("variants", "65", "number-range", "Write 64."),
        ("variants", "0", "number-range", "Write 1."),
        ("variants", "-3", "number-range", "Write 1."),
        ("variants", "TRUE", "not-whole", "Write a whole number from 1 to 64."),
        ("variants", "a few", "not-whole", "Write a whole number from 1 to 64."),
        ("variants", "2.5", "not-whole", "Did you mean 2?"),
        ("variants", "3 pictures", "not-whole", "Did you mean 3?"),
        ("steps", "1E2", "not-whole", "Did you mean 100?"),
        ("steps", "1,000", "not-whole", "Did you mean 1000?"),
        ("steps", "1.000", "not-whole", "Did you mean 1000?"),
        ("steps", "1001", "number-range", "Write 1000."),
        ("seed", str(MAX_SEED + 1), "number-range", f"Write {MAX_SEED}."),
        ("seed", "-1", "number-range", "Write 0."),
        ("seed", "1.84467E+19", "number-shortened", "Format the column as text and enter it again."),
        ("seed", "9" * 5000, "not-whole", f"Did you mean {MAX_SEED}?"),
        ("cfg", "101", "number-range", "Write 100."),
        ("cfg", "1,024", "not-number", "Did you mean 1.024?"),
        ("cfg", "seven", "not-number", "Write it with a point: 7.5."),
        ("denoise", "half", "not-number", "Write it with a point: 0.5."),
        ("denoise", "50%", "not-number", "Did you mean 0.5?"),
        ("lora_strength", "-11", "number-range", "Write -10."),
        ("backend", "comfy", "backend-unknown", 'Did you mean "comfyui"?'),
        ("backend", "cloud", "backend-unknown", "Known backends: auto, comfyui, replicate, fpo."),
        ("style", "minimalst", "style-unknown", 'Did you mean "Minimalist"?'),
        ("style", "watercolour", "style-unknown", "Known styles: Minimalist, Product Photography."),
        ("channels", "tv", "channel-unknown", "Known channels: instagram_feed, instagram_story, facebook_feed."),
        ("channels", "story", "channel-unknown", 'Did you mean "instagram_story"?'),
        ("channels", "feed", "channel-unknown", 'Did you mean "instagram_feed" or "facebook_feed"?'),
        ("size", "Square", "size-unreadable", "Write a ratio, such as 1:1, or a channel's name."),
        ("size", "1024", "size-unreadable", 'Did you mean "1024x1024"?'),
        ("size", "1024 by 768", "size-unreadable", 'Did you mean "1024x768"?'),
        ("size", "huge", "size-unreadable", "Write pixels (1024x1024), a ratio (4:5) or a channel's name."),
        ("size", "63x5000", "size-range", "The nearest is 64x4096."),
        ("size", "0:5", "size-range", "Write one such as 4:5."),
        ("size", "100:1", "size-range", "Write one such as 4:5."),
        ("width", "1024", "size-half", "Give both, or neither."),
        ("height", "1024", "size-half", "Give both, or neither."),
        ("negative", "x" * 5001, "text-too-long", "Shorten it."),
        ("notes", "#N/A", "error-cell", "Mend the formula."),
    ],
)
def test_a_fault_names_its_cell_and_the_nearest_that_would_be_right(
    column: str, value: str, code: str, fix: str
) -> None:
    sheet = read_cell(column, value)
    assert [(problem.code, problem.cell, problem.column, problem.fix) for problem in sheet.problems] == [
        (code, "C2", column, fix)
    ]
    assert sheet.bad_rows == {2}
    assert [row.prompt for row in sheet.rows] == ["a shoe"]


def test_a_message_reads_as_a_producer_would_say_it() -> None:
    sheet = read_text("id,prompt,channels\n1,a shoe,instgram_feed\n")
    assert [str(problem) for problem in sheet.problems] == [
        'Campaign!C2 channels: "instgram_feed" is not a known channel. Did you mean "instagram_feed"?'
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1024x768", [Size(width=1024, height=768, label="1024x768")]),
        ("1024 X 768 px", [Size(width=1024, height=768, label="1024x768")]),
        ("1024\u00d7768", [Size(width=1024, height=768, label="1024x768")]),
        ("1024*768", [Size(width=1024, height=768, label="1024x768")]),
        ("4:5", [Size(width=0, height=0, label="4:5", ratio=(4, 5))]),
        ("16:09", [Size(width=0, height=0, label="16:9", ratio=(16, 9))]),
        ("16:09:00", [Size(width=0, height=0, label="16:9", ratio=(16, 9))]),
        ("1.91:1", [Size(width=0, height=0, label="1.91:1", ratio=(191, 100))]),
        ("Instagram Feed", [Size(width=896, height=1120, label="instagram_feed", exact=(FEED,))]),
        (
            "512x512, 4:5, 512X512",
            [Size(width=512, height=512, label="512x512"), Size(width=0, height=0, label="4:5", ratio=(4, 5))],
        ),
    ],
)
def test_a_size_is_pixels_a_ratio_a_channel_or_several(value: str, expected: list[Size]) -> None:
    sheet = read_cell("size", value)
    assert (list(sheet.rows[0].sizes), sheet.problems) == (expected, ())


def test_size_width_with_height_and_channels_together_are_all_of_them() -> None:
    sheet = read_text(
        "prompt;size;width;height;channels\na;512x512;768;512;instagram_story\nb;4:5;512;512;\nc;;512;;\n"
    )
    assert [[size.label for size in row.sizes] for row in sheet.rows] == [
        ["512x512", "768x512", "instagram_story"],
        ["4:5", "512x512"],
        [],
    ]
    assert told(sheet) == [("size-half", "C4")]


def test_two_names_for_one_picture_are_made_once_with_a_warning() -> None:
    sheet = read_cell("channels", "instagram_feed, facebook_feed")
    assert [size.label for size in sheet.rows[0].sizes] == ["instagram_feed"]
    assert [problem.message for problem in sheet.problems] == [
        '"facebook_feed" gives the same picture as "instagram_feed" (896x1120).'
    ]


def test_ids_are_unique_whatever_their_case_and_punctuation() -> None:
    sheet = read_text("id,prompt\nSKU-1,a shoe\nsku 1,a hat\nSKU-1,a coat\n")
    assert [(problem.cell, problem.message, problem.fix) for problem in sheet.problems] == [
        (
            "A3",
            '"sku 1" is the id of row 2 too (there "SKU-1"; case, blanks and punctuation do not count).',
            'Write "sku 1-2", or leave the cell empty.',
        ),
        ("A4", '"SKU-1" is the id of row 2 too.', 'Write "SKU-1-2", or leave the cell empty.'),
    ]
    assert sheet.bad_rows == {3, 4}


def test_a_missing_id_is_made_of_the_prompt_and_does_not_depend_on_the_row() -> None:
    sheet = read_text(
        'id,prompt,product\n,"A {product}, on white, studio light",Red Mug\n,A red mug on white paper,\n'
        "a-red-mug-on-3,x,\n,A red mug on white,\n,{!},\n,赤い マグカップ,\n"
    )
    assert [row.id for row in sheet.rows] == [
        "a-red-mug-on",
        "a-red-mug-on-2",
        "a-red-mug-on-3",
        "a-red-mug-on-4",
        "row",
        "赤い-マグカップ",
    ]
    assert sheet.problems == ()


@pytest.mark.parametrize("value", ["Größe 4_b.v2-x", "हिन्दी", "1E5", "x" * 80])
def test_an_id_is_kept_as_written(value: str) -> None:
    assert [row.id for row in read_text(f"id,prompt\n{value},a shoe\n").rows] == [value]


@pytest.mark.parametrize(
    ("value", "fix"),
    [
        ("a/b", 'Write "a-b".'),
        ("../../etc", 'Write "etc".'),
        ("what?*", 'Write "what".'),
        ("x" * 81, f'Write "{"x" * 80}".'),
        ("..", "Write letters and digits, or leave the cell empty."),
        ("4.01E+12", "Format the column as text and enter it again."),
    ],
)
def test_an_id_that_can_name_no_file_is_an_error_with_one_that_can(value: str, fix: str) -> None:
    sheet = read_text(f"id,prompt\n{value},a shoe\n")
    assert [(problem.cell, problem.fix) for problem in sheet.problems] == [("A2", fix)]
    assert [row.id for row in sheet.rows] == ["a-shoe"]


def test_every_problem_is_told_at_once_file_first_then_header_rows_and_across() -> None:
    text = "SKU,sku ,prompt,size,seed\nA,,é,big,x\nA,,,4:5,1\nB,,too,many,1,9\n"
    sheet = read_sheet("Campaign.csv", text.encode("cp1252"), CATALOGUE)
    assert told(sheet) == [
        ("encoding-guessed", ""),
        ("header-twice", "B1"),
        ("size-unreadable", "D2"),
        ("not-whole", "E2"),
        ("prompt-missing", "C3"),
        ("row-long", "row 4"),
        ("id-twice", "A3"),
    ]
    assert [type(row) for row in sheet.rows] == [Row, Row]


def test_limits_are_settings() -> None:
    limits = Limits(prompt_characters=3, variants=2, min_side_px=8, max_side_px=16)
    sheet = read_sheet("a.csv", b"prompt;variants;size\nabcd;3;17x8\n", CATALOGUE, limits)
    assert [code for code, _ in told(sheet)] == ["text-too-long", "number-range", "size-range"]


def test_the_neutralised_start_of_a_cell_is_undone() -> None:
    rows = read_text("prompt,notes\n'=a shoe,'@home\n'tis a hat,it's\n").rows
    assert [(row.prompt, row.extra["notes"]) for row in rows] == [("=a shoe", "@home"), ("'tis a hat", "it's")]


def test_a_character_that_nobody_sees_is_named_where_it_makes_two_ids_look_alike() -> None:
    problem = read_text("id,prompt\nSKU1,a shoe\nSKU\u200b1,a hat\n").problems[0]
    assert (problem.code, problem.row) == ("id-characters", 3)
    assert problem.message.startswith('"SKU[U+200B]1" cannot name a file')


def test_quotation_marks_within_a_prompt_stay_also_before_a_sign() -> None:
    rows = read_text("prompt\nwindow with '-50 %' in red\na mug 'sale' '@home'\n").rows
    assert [row.prompt for row in rows] == ["window with '-50 %' in red", "a mug 'sale' '@home'"]
