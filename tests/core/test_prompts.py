"""The language of prompt cells: what it makes, and that all of its faults are told at once."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assetline.catalogue import Style
from assetline.errors import SheetError
from assetline.prompts import MAX_CHOICES, expand, parse, styled, styled_negative

VALUES = {"product": "mug", "Main Colour": "dune {beige}", "id": "007"}
LINES = {"light": "soft __morning__ light", "time_of_day": "dusk"}


def expanded(template: str) -> list[str]:
    return expand(template, VALUES, LINES.get)


def faults_of(template: str) -> list[tuple[str, str]]:
    with pytest.raises(SheetError) as caught:
        expanded(template)
    return [(problem.code, str(problem)) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("a plain prompt", ["a plain prompt"]),
        ("", [""]),
        ("a {product} on oak", ["a mug on oak"]),
        ("{ PRODUCT }, {main_colour}, {MainColour}", ["mug, dune {beige}, dune {beige}"]),
        ("{red|blue}", ["red", "blue"]),
        (
            "{red|blue} {product}, {matte|gloss}",
            ["red mug, matte", "red mug, gloss", "blue mug, matte", "blue mug, gloss"],
        ),
        ("{red {product}|blue}", ["red mug", "blue"]),
        ("{a|{b|c} {d|e}}", ["a", "b d", "b e", "c d", "c e"]),
        ("{x|{y|{product}}}", ["x", "y", "mug"]),
        ("a {very |}red {product}", ["a very red mug", "a red mug"]),
        ("a {|matte} mug", ["a mug", "a matte mug"]),
        ("in __light__ at __Time_Of_Day__", ["in soft __morning__ light at dusk"]),
        ("{__light__|night}", ["soft __morning__ light", "night"]),
        ("{{literal}} and {{product}}", ["{literal} and {product}"]),
        ("{a|b}}}", ["a}", "b}"]),
        ("a|b ____ _x_", ["a|b ____ _x_"]),
        ("two\nlines,  spaced", ["two\nlines, spaced"]),
    ],
)
def test_templates_make_their_prompts_in_the_order_written(template: str, expected: list[str]) -> None:
    assert expanded(template) == expected


def test_what_is_put_in_is_never_read_as_a_template() -> None:
    assert expand("{a} __b__", {"a": "{x|y} {z} __q__"}, lambda _: "{1|2}") == ["{x|y} {z} __q__ {1|2}"]


def test_a_wildcard_that_is_used_twice_is_picked_once() -> None:
    asked: list[str] = []

    def pick(name: str) -> str:
        asked.append(name)
        return str(len(asked))

    assert (expand("__a__ __b__ {__a__|c}", {}, pick), asked) == (["1 2 1", "1 2 c"], ["a", "b"])


@pytest.mark.parametrize(
    ("template", "code", "words"),
    [
        ("a {prodct}", "placeholder-unknown", "Did you mean {product}?"),
        ("a {zzz}", "placeholder-unknown", "Columns: product, Main Colour, id."),
        (
            "a {product",
            "brace-unbalanced",
            'The "{" at character 3 ("{product") is never closed. Did you mean {product}?',
        ),
        (
            "a product}",
            "brace-unbalanced",
            'The "}" at character 10 ("a product}") closes nothing. Did you mean {product}?',
        ),
        ("a {} b", "brace-unclear", '"{}" at character 3'),
        ("a { {red|blue} } b", "brace-unclear", '"{ {red|blue} }" at character 3'),
        (
            "a {2$$red|blue}",
            "brace-unclear",
            "character 3: 2$$ is not read here; every choice makes a prompt. Write {red|blue}.",
        ),
        ("a {1-2$$ and $$red|blue}", "brace-unclear", "Write {red|blue}."),
        (
            "a {red|3::blue|0.5::sage}",
            "brace-unclear",
            "3:: is not read here; every choice makes a prompt. Write {red|blue|sage}.",
        ),
        ("__sky__", "wildcard-unknown", 'There is no wildcard "sky". Put its lines into wildcards/sky.txt'),
        ("{1|2|3|4|5}" * 3, "choices-too-many", "make 125 prompts; at most 64"),
    ],
)
def test_a_fault_names_the_place_and_the_remedy(template: str, code: str, words: str) -> None:
    [(found, message)] = faults_of(template)
    assert found == code
    assert words in message


def test_all_faults_of_a_template_are_told_at_once_in_its_order() -> None:
    codes = [code for code, _ in faults_of("{} {nope} {also nope} __sky__ }" + "{1|2}" * 7 + "{")]
    expected = ["brace-unclear", "brace-unbalanced", "brace-unbalanced", "choices-too-many"]
    assert codes == [*expected, "placeholder-unknown", "placeholder-unknown", "wildcard-unknown"]


def test_as_many_choices_as_allowed_are_made() -> None:
    assert len(expanded("{1|2}" * 6)) == MAX_CHOICES


@pytest.mark.parametrize(
    "template", ["{a|" * 1600, "{a|" * 1600 + "b" + "}" * 1600, "{a|b}" * 1000, "{a" * 2500, "}" * 4999]
)
def test_a_hostile_cell_is_refused_without_recursion_or_explosion(template: str) -> None:
    assert {code for code, _ in faults_of(template)} <= {"brace-unbalanced", "choices-too-many"}


@given(st.text(alphabet="{}|_ab \n", max_size=60))
def test_a_cell_raises_exactly_when_it_has_faults_and_never_anything_else(template: str) -> None:
    read = parse(template)
    wrong = bool(read.faults) or bool(read.columns.keys() - {"a"}) or bool(set(read.wildcards) - {"b"})
    with pytest.raises(SheetError) if wrong else nullcontext():
        assert len(expand(template, {"a": "A"}, {"b": "B"}.get)) == read.choices


@given(st.text(max_size=200))
def test_doubled_braces_carry_any_text_through(text: str) -> None:
    plain = text.replace("_", "-").replace("{", "{{").replace("}", "}}")
    blanks = " ".join(text.replace("_", "-").split())
    assert " ".join(expand(plain, {}, {}.get)[0].split()) == blanks


def test_a_prompt_is_measured_before_it_is_made() -> None:
    assert expand("{a}{a|bb} c", {"a": "x" * 10}, {}.get, 14) == ["xxxxxxxxxxa c", "xxxxxxxxxxbb c"]
    with pytest.raises(SheetError) as caught:
        expand("{a}" * 1000 + "{1|2}" * 6, {"a": "x" * 1_000_000}, {}.get, 5_000)
    [problem] = caught.value.problems
    assert (problem.code, "1,000,000,006 characters; 5,000 are allowed" in problem.message) == ("text-too-long", True)


STUDIO = Style(name="Studio", prompt="studio lighting, 8k", negative_prompt="shadow")
BARE = Style(name="Bare", prompt="minimalist")


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a mug", "a mug, studio lighting, 8k, minimalist"),
        ("A mug.", "A mug, studio lighting, 8k, minimalist"),
        ("a mug, ", "a mug, studio lighting, 8k, minimalist"),
        ("", "studio lighting, 8k, minimalist"),
    ],
)
def test_styles_are_appended_after_a_comma(prompt: str, expected: str) -> None:
    assert styled(prompt, [STUDIO, BARE]) == expected


def test_a_prompt_without_styles_stays_as_it_is() -> None:
    assert styled("A mug.", []) == "A mug."


def test_only_styles_that_have_one_add_to_the_negative_prompt() -> None:
    assert styled_negative("blurry", [STUDIO, BARE]) == "blurry, shadow"
