"""The small language of prompt cells: `{product}`, `{red|blue}`, `__light__`.

That is a cell of the row, a choice that makes variants, a line of a wildcard file. `{{` and `}}` outside of braces
are literal braces. What is put in is never read again as a template.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

from assetline.catalogue import Style, name_key, slug
from assetline.errors import SheetError
from assetline.records import Problem

MAX_CHOICES = 64  # of one prompt; as many as a row may have variants
MOST_FAULTS = 20  # of one cell; who writes thousands of braces need not read about each
MOST_NAMES = 12  # of columns, in a message
COMPARED_CHARACTERS = 80  # of a name that is looked for; longer ones are no typing mistakes and take long to compare

_TOKEN = re.compile(r"[{}|]|__(?P<wildcard>[^\W_]+(?:[_-][^\W_]+)*)__")
_BLANKS = re.compile(r"[ \t\u00a0]{2,}")
_LITERAL = "For a literal brace write it twice."
# Counts and weights of the dynamic prompts of other tools: {2$$a|b}, {1-2$$ and $$a|b}, {3::a|b}.
_FOREIGN = re.compile(r"(?P<start>[{|])\s*(?P<sign>[\d-]{1,9}\$\$(?:[^{}|$]{0,20}\$\$)?|\d{1,6}(?:\.\d{1,6})?::)")
_NAME_AFTER = re.compile(r"\{\s*(\w{1,40})")
_NAME_BEFORE = re.compile(r"(\w{1,40})\s*$")
_SEPARATED = re.compile(r"\s*(?:[/,;]|\bor\b)\s*")
SHOWN_AROUND = 16  # characters of the text round a brace


_key = lru_cache(maxsize=4_096)(name_key)  # every row asks for the names of the same columns


@dataclass(frozen=True)
class _Column:
    key: str


@dataclass(frozen=True)
class _Wildcard:
    name: str


@dataclass(frozen=True)
class _Choice:
    alternatives: tuple[tuple[_Part, ...], ...]


_Part: TypeAlias = "str | _Column | _Wildcard | _Choice"


@dataclass(frozen=True)
class Template:
    """A prompt cell that was read. `columns` maps the key of each column that it uses to the name as written there.

    `wildcards` are slugs. `choices` counts the prompts that it makes. `faults` are its own (braces, too many choices)
    and have no place in a sheet yet; a template with faults cannot be expanded.
    """

    parts: tuple[_Part, ...]
    choices: int
    columns: Mapping[str, str]
    wildcards: tuple[str, ...]
    faults: tuple[Problem, ...]


def expand(
    template: str, values: Mapping[str, str], pick: Callable[[str], str | None], max_characters: int | None = None
) -> list[str]:
    """The prompts that `template` makes: one for each combination of its choices, in the order written.

    `values` holds the row's cells by column name (case, blanks and underscores make no difference). `pick` is asked
    once for each wildcard that is used, by slug, and answers with one line of it, or None where there is no such
    wildcard; so a name that is used twice gets the same line twice. Runs of blanks become one.
    `max_characters` bounds each prompt, before it is made: a short cell can hold a long one a thousand times.

    Raises SheetError with the faults of the template, all at once; they have no place, the caller knows it.
    """
    read = parse(template)
    cells = {_key(name): value for name, value in values.items()}
    picked = {name: pick(name) for name in read.wildcards}
    lines = {name: line for name, line in picked.items() if line is not None}
    faults = [
        *read.faults,
        *(_unknown_column(written, values) for key, written in read.columns.items() if key not in cells),
        *(_unknown_wildcard(name) for name in picked if name not in lines),
    ]
    if faults:
        raise SheetError(faults[:MOST_FAULTS])
    longest = _longest(read.parts, cells, lines)
    if max_characters is not None and longest > max_characters:
        message = f"Filled in, the text has up to {longest:,} characters; {max_characters:,} are allowed."
        raise SheetError([_fault("text-too-long", message, "Shorten it, or the cells that it uses.")])
    return [_BLANKS.sub(" ", text).strip() for text in _texts(read.parts, cells, lines)]


def styled(prompt: str, styles: Sequence[Style]) -> str:
    """`prompt` with the presets' words after it: `a mug` becomes `a mug, professional product photography, ...`."""
    return _joined([prompt, *(style.prompt for style in styles)])


def styled_negative(negative_prompt: str, styles: Sequence[Style]) -> str:
    """`negative_prompt` with what the presets want kept out of the picture."""
    return _joined([negative_prompt, *(style.negative_prompt for style in styles)])


@lru_cache(maxsize=1_024)  # a row's cells are read again for each of its pictures, and many rows share a template
def parse(template: str) -> Template:
    """Read a prompt cell. Never raises: what is wrong with it is in `faults`."""
    reader = _Reader(template)
    reader.read()
    whole = reader.stack[0]
    return Template(
        parts=tuple(whole.parts),
        choices=whole.choices,
        columns=reader.columns,
        wildcards=tuple(reader.wildcards),
        faults=(*reader.faults, *_choices_fault(whole.choices)),
    )


@dataclass
class _Brace:
    """An open brace: its finished alternatives, the one being read, and how many prompts each of them makes."""

    position: int
    alternatives: list[tuple[_Part, ...]] = field(default_factory=list)
    finished_choices: int = 0
    parts: list[_Part] = field(default_factory=list)
    choices: int = 1

    def bar(self) -> None:
        self.alternatives.append(tuple(self.parts))
        self.finished_choices += self.choices
        self.parts, self.choices = [], 1


class _Reader:
    """One pass over a cell, open braces on a stack: no recursion, since a cell can nest thousands deep."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.stack = [_Brace(position=-1)]
        self.columns: dict[str, str] = {}
        self.wildcards: dict[str, None] = {}
        self.faults: list[Problem] = []

    def read(self) -> None:
        end = 0
        while match := _TOKEN.search(self.text, end):
            self.stack[-1].parts.append(self.text[end : match.start()])
            end = self.take(match)
        self.stack[-1].parts.append(self.text[end:])
        self.faults.extend(self._never_closed(brace.position) for brace in self.stack[1:])

    def _never_closed(self, position: int) -> Problem:
        around = _short(self.text[position : position + SHOWN_AROUND].replace("\n", " "))
        message = f'The "{{" at character {position + 1} ("{around}") is never closed.'
        return _fault("brace-unbalanced", message, _meant(_NAME_AFTER.match(self.text, position)))

    def _closes_nothing(self, position: int) -> Problem:
        before = self.text[max(position - SHOWN_AROUND, 0) : position]
        message = f'The "}}" at character {position + 1} ("{before.replace(chr(10), " ")}}}") closes nothing.'
        return _fault("brace-unbalanced", message, _meant(_NAME_BEFORE.search(before)))

    def take(self, match: re.Match[str]) -> int:
        """Handle one match; return where reading goes on."""
        sign, start, nested = match[0], match.start(), len(self.stack) > 1
        if match["wildcard"]:
            name = slug(match["wildcard"])
            self.wildcards.setdefault(name)
            self.stack[-1].parts.append(_Wildcard(name))
        elif sign in "{}" and not nested and self.text.startswith(sign, start + 1):
            self.stack[-1].parts.append(sign)
            return start + 2
        elif sign == "{":
            self.stack.append(_Brace(position=start))
        elif sign == "}" and nested:
            self.close(start)
        elif sign == "}":
            self.faults.append(self._closes_nothing(start))
        elif nested:
            self.stack[-1].bar()
        else:
            self.stack[-1].parts.append("|")
        return match.end()

    def close(self, end: int) -> None:
        """Turn the innermost open brace into a choice or a placeholder."""
        brace = self.stack.pop()
        outer = self.stack[-1]
        if brace.alternatives:
            if found := _FOREIGN.search(self.text, brace.position, end):
                self.faults.append(_foreign(self.text[brace.position : end + 1], brace.position, found["sign"]))
            brace.bar()
            outer.parts.append(_Choice(tuple(brace.alternatives)))
            outer.choices *= brace.finished_choices
            return
        content = self.text[brace.position + 1 : end]
        key = name_key(content)
        if key and all(isinstance(part, str) for part in brace.parts):
            self.columns.setdefault(key, content.strip())
            outer.parts.append(_Column(key))
            return
        message = f'"{{{_short(content)}}}" at character {brace.position + 1} is neither a column nor a choice.'
        self.faults.append(_fault("brace-unclear", message, f"Write {{column}} or {{red|blue}}. {_LITERAL}"))


def _texts(parts: Sequence[_Part], cells: Mapping[str, str], lines: Mapping[str, str]) -> list[str]:
    """All texts of a sequence. Recursion is safe: each level adds a choice, and choices were counted before."""
    options = [list(_options(part, cells, lines)) for part in parts]
    return ["".join(texts) for texts in itertools.product(*options)]


def _longest(parts: Sequence[_Part], cells: Mapping[str, str], lines: Mapping[str, str]) -> int:
    """How many characters the longest text of a sequence has."""
    total = 0
    for part in parts:
        if isinstance(part, _Choice):
            total += max(_longest(alternative, cells, lines) for alternative in part.alternatives)
        else:
            total += max(map(len, _options(part, cells, lines)))
    return total


def _options(part: _Part, cells: Mapping[str, str], lines: Mapping[str, str]) -> Iterable[str]:
    match part:
        case str():
            return [part]
        case _Column(key):
            return [cells[key]]
        case _Wildcard(name):
            return [lines[name]]
        case _Choice(alternatives):
            return itertools.chain.from_iterable(_texts(parts, cells, lines) for parts in alternatives)


def _joined(texts: Sequence[str]) -> str:
    """Texts with commas between, whatever those before another end with; one alone stays as it is."""
    filled = [text for text in texts if text.strip(" ,.")]
    return ", ".join([*(text.rstrip(" ,.") for text in filled[:-1]), *filled[-1:]])


def _choices_fault(choices: int) -> list[Problem]:
    if choices <= MAX_CHOICES:
        return []
    # 2,500 choices of two make a number of 750 digits
    count = f"{choices:,}" if choices < 10**9 else "over a thousand million"
    message = f"The choices make {count} prompts; at most {MAX_CHOICES} are allowed."
    return [_fault("choices-too-many", message, "Take some out, or split the row.")]


def _foreign(choice: str, position: int, sign: str) -> Problem:
    """Counts and weights of other tools' prompts would be drawn as text."""
    message = f'"{_short(choice)}" at character {position + 1}: {sign} is not read here; every choice makes a prompt.'
    plain = _FOREIGN.sub(r"\g<start>", choice)
    return _fault("brace-unclear", message, f"Write {_short(plain)}.")


def _meant(name: re.Match[str] | None) -> str:
    return f"Did you mean {{{name[1]}}}? {_LITERAL}" if name else _LITERAL


def _unknown_column(written: str, values: Iterable[str]) -> Problem:
    by_key: dict[str, str] = {}
    for name in values:
        by_key.setdefault(name_key(name), name)
    near = difflib.get_close_matches(name_key(written)[:COMPARED_CHARACTERS], by_key, n=1)
    listed = ", ".join(list(by_key.values())[-MOST_NAMES:])  # a sheet's own columns are the last
    remedy = f"Did you mean {{{by_key[near[0]]}}}?" if near else f"Columns: {listed}."
    if _SEPARATED.search(written) and not near:
        remedy = f"A choice is written with bars: {{{_short(_SEPARATED.sub('|', written.strip()))}}}."
    return _fault("placeholder-unknown", f'There is no column "{_short(written)}".', f"{remedy} {_LITERAL}")


def _unknown_wildcard(name: str) -> Problem:
    message = f'There is no wildcard "{_short(name)}".'
    fix = f"Put its lines into wildcards/{_short(name)}.txt, or correct the name."
    return _fault("wildcard-unknown", message, fix).model_copy(update={"value": name})


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


def _fault(code: str, message: str, fix: str) -> Problem:
    return Problem(severity="error", code=code, message=message, fix=fix)
