"""Which line is the header, and which column says what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from assetline.catalogue import slug
from assetline.records import Problem
from assetline.sheet.columns import (
    CANONICAL,
    CHECKED_COLUMNS,
    COLUMNS,
    FILES_COLUMN,
    PICTURE_COLUMN,
    RESULT_COLUMNS,
    TEXT_COLUMNS,
    header_key,
    language_of,
)
from assetline.sheet.csv_cells import known_columns
from assetline.sheet.grid import HEADER_SEARCH_LINES, MOST_COLUMNS, Grid, Line, clean, letters
from assetline.sheet.problems import CODES
from assetline.sheet.suggest import nearest, shown

LONGEST_HEADER = 200  # characters; every problem of the column carries its header
NEARLY = 0.84  # `negatve_prompt` and `sampller` are mistakes; `side` and `model year` are the producer's own


@dataclass(frozen=True)
class Header:
    """The header line. `canonical` and `free` give the index of each column, known ones by name, own ones by slug.

    `languages` gives tag and column of each column in a language (`prompt@de`), which are own columns too.
    `texts` are the headers as written, `checked` the first index of the three columns that a checked file adds,
    `results` are the indexes of those that a finished run adds.
    """

    line: int
    texts: tuple[str, ...]
    canonical: dict[str, int]
    free: dict[str, int]
    languages: dict[int, tuple[str, str]] = field(default_factory=dict)
    checked: int | None = None
    results: range = range(0)

    def remark(self, index: int) -> bool:
        """Whether the column is one of the three that a checked file adds."""
        return self.checked is not None and self.checked <= index < self.checked + len(CHECKED_COLUMNS)

    def own(self, index: int) -> bool:
        """Whether the column is the producer's, not one that a checked file or a finished run adds."""
        return not self.remark(index) and index not in self.results


def find_header(grid: Grid) -> tuple[Header, list[Problem]]:
    """The header among the first lines (the one with most known columns) and everything that is wrong with it.

    The grid has at least one line.
    """
    line = header_line(grid)
    texts = tuple(" ".join(clean(raw.text).split())[:LONGEST_HEADER] for raw in line.cells)
    header = _place(line.number, texts)
    return header, list(_problems(grid, header))


def header_line(grid: Grid) -> Line:
    """The first of the lines with most known columns; the first of all where none is known."""
    head = [line for line in grid.lines if line.number <= grid.lines[0].number + HEADER_SEARCH_LINES - 1]
    return max(head, key=lambda line: known_columns(tuple(clean(raw.text) for raw in line.cells)))


def _start_of(columns: tuple[str, ...], texts: tuple[str, ...]) -> int | None:
    """Where such columns stand side by side, as a checked file or a finished run has them."""
    keys, wanted = [header_key(text) for text in texts], [header_key(name) for name in columns]
    starts = (index for index in range(len(keys)) if keys[index : index + len(wanted)] == wanted)
    return max(starts, default=None)


def _results(texts: tuple[str, ...]) -> range:
    start = _start_of(RESULT_COLUMNS, texts)
    if start is None:
        return range(0)
    end = start + len(RESULT_COLUMNS)
    while end < len(texts) and PICTURE_COLUMN.fullmatch(header_key(texts[end])):
        end += 1
    if end < len(texts) and texts[end] == FILES_COLUMN:  # as we write it: `Channel files` is the producer's own
        end += 1
    return range(start, end)


def _place(number: int, texts: tuple[str, ...]) -> Header:
    header = Header(number, texts, {}, {}, checked=_start_of(CHECKED_COLUMNS, texts), results=_results(texts))
    named = [(index, text) for index, text in enumerate(texts) if text and header.own(index)]
    exact = {header_key(text) for _, text in named}
    for index, text in named:
        key = header_key(text)
        name = CANONICAL.get(key)
        if name and (key == header_key(name) or header_key(name) not in exact):
            header.canonical.setdefault(name, index)
        else:
            header.free.setdefault(slug(text) or text.casefold(), index)
            _note_language(header, index)
    return header


def _note_language(header: Header, index: int) -> None:
    name, tag = language_of(header.texts[index])
    column = CANONICAL.get(header_key(name), slug(name))
    if tag and (column in TEXT_COLUMNS or header_key(name) not in CANONICAL):
        header.languages[index] = (tag, column)


def _problems(grid: Grid, header: Header) -> Iterator[Problem]:
    if "prompt" not in header.canonical:
        yield _no_prompt(grid, header)
    if any(header.texts[MOST_COLUMNS:]):
        message = f"The header has more than {MOST_COLUMNS} columns."
        yield _problem(grid, header, "too-many-columns", (MOST_COLUMNS, message))
    known_keys: dict[str, int] = {}
    for index, text in enumerate(header.texts):
        if not header.own(index):
            continue
        if not text:
            yield from _nameless(grid, header, index)
            continue
        key = _meaning(header, text)
        if key in known_keys:
            yield _twice(grid, header, known_keys[key], index)
        elif key not in header.canonical and index not in header.languages:
            yield from _nearly(grid, header, index)
        known_keys.setdefault(key, index)
    if not grid.ragged:
        yield from _beyond(grid, header)


def _meaning(header: Header, text: str) -> str:
    """What makes two headers the same: the canonical name, but for a synonym whose canonical name is there too."""
    key = header_key(text)
    name = CANONICAL.get(key, "")
    if name and (key == header_key(name) or (slug(text) or text) not in header.free):
        return name
    return key or text.casefold()


def _problem(grid: Grid, header: Header, code: str, place: tuple[int, str], fix: str = "") -> Problem:
    index, message = place
    text = header.texts[index] if index < len(header.texts) else ""
    return Problem(
        severity=CODES[code].severity,
        code=code,
        sheet=grid.name,
        row=header.line,
        column=text,
        cell=f"{letters(index)}{header.line}",
        value=text,
        message=message,
        fix=fix or CODES[code].fix,
    )


def _no_prompt(grid: Grid, header: Header) -> Problem:
    code = CODES["no-prompt-column"]
    found = [text for index, text in enumerate(header.texts) if text and header.own(index)]
    unknown = [text for text in found if header_key(text) not in CANONICAL]
    near = nearest("prompt", unknown)
    fix = f'Did you mean {shown(near)}? Rename it to "prompt".' if near else code.fix
    if grid.others:
        fix += f" Other worksheets, which are not read: {', '.join(grid.others)}."
    message = f'No column is headed "prompt"; the header was read as: {", ".join(found[:12]) or "nothing"}.'
    return Problem(
        severity=code.severity,
        code="no-prompt-column",
        sheet=grid.name,
        row=header.line,
        message=message,
        fix=fix,
    )


def _twice(grid: Grid, header: Header, first: int, second: int) -> Problem:
    one, other = header.texts[first], header.texts[second]
    message = f'Columns {letters(first)} ("{one}") and {letters(second)} ("{other}") mean the same.'
    return _problem(grid, header, "header-twice", (second, message), f"Rename or remove column {letters(second)}.")


def _nearly(grid: Grid, header: Header, index: int) -> Iterator[Problem]:
    text = header.texts[index]
    base, sign, tag = text.rpartition("@")
    if sign and header_key(base) in CANONICAL:
        message = f'"{tag.strip()}" makes no column in a language of "{base.strip()}"; it is carried as an own column.'
        yield _problem(grid, header, "header-language", (index, message))
        return
    name = CANONICAL.get(header_key(text))
    if name:
        message = f'"{text}" would mean "{name}", which is there too; it is carried as an own column.'
        yield _problem(grid, header, "header-synonym", (index, message))
        return
    missing = [column.name for column in COLUMNS if column.name not in header.canonical]
    near = nearest(text, missing, NEARLY) or _swapped(text, missing)
    if near and not ("prompt" not in header.canonical and near == "prompt"):
        message = f'"{text}" is not a known column; it is carried as an own column.'
        yield _problem(grid, header, "header-nearly", (index, message), f'Did you mean "{near}"?')


def _swapped(text: str, names: list[str]) -> str | None:
    """The name with the same letters in another order (`heigth`, `stlye`), which is less near than `weight` is."""
    key = header_key(text)
    return next((name for name in names if key[:1] == name[0] and sorted(key) == sorted(header_key(name))), None)


def _nameless(grid: Grid, header: Header, index: int) -> Iterator[Problem]:
    below = [line for line in grid.lines if line.number > header.line and len(line.cells) > index]
    values = sum(not line.cells[index].blank for line in below)
    if values:
        message = f"Column {letters(index)} has {values} value{'s' * (values > 1)} but no name; it is ignored."
        yield _problem(grid, header, "header-blank", (index, message))


def _beyond(grid: Grid, header: Header) -> Iterator[Problem]:
    """Values to the right of the header, in a workbook; in CSV they are a row with too many cells."""
    widest = max((len(line.cells) for line in grid.lines), default=0)
    for index in range(len(header.texts), widest):
        yield from _nameless(grid, header, index)
