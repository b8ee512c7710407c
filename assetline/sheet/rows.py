"""From lines to rows: every cell converted, every problem of a line kept, the row made all the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, get_args

from assetline.catalogue import Catalogue, slug
from assetline.records import MAX_SEED, BackendChoice, Cell, Combine, Problem, Row, Size, Value
from assetline.sheet import conversions as to
from assetline.sheet.columns import TEXT_COLUMNS
from assetline.sheet.grid import BLANK, MOST_CELL_CHARACTERS, Grid, Limits, Line, Raw, clean, letters
from assetline.sheet.header import Header
from assetline.sheet.problems import CODES
from assetline.sheet.suggest import shown, suggestion

ERROR_TEXTS = frozenset({"#REF!", "#N/A", "#VALUE!", "#NAME?", "#DIV/0!", "#NUM!", "#NULL!", "#SPILL!", "#CALC!"})
MOST_PRIORITY = 1_000_000
STEPS = (1, 1_000)
DECIMALS: dict[str, tuple[float, float]] = {"cfg": (0, 100), "lora_strength": (-10, 10), "denoise": (0, 1)}
CHOICES = {"backend": ("backend-unknown", "backend"), "combine": ("combine-unknown", "combination")}
_NUMBER_SIGNS = "0123456789.,'+-%$\u00a3\u20ac "  # a sum below the rows, or a column that has shifted
SHOWN_VALUE = 200  # characters of a cell that a problem carries
PLAIN = Row(sheet="", number=0, id="", prompt="")  # a row that says nothing


@dataclass(frozen=True)
class Reading:
    """What reading every line needs: the grid, its header, the names that are known, the limits.

    `defaults` is what a row has whose own cells are blank.
    """

    grid: Grid
    header: Header
    catalogue: Catalogue
    limits: Limits
    defaults: Row = PLAIN


@dataclass
class LineReader:
    """Reads one line; `problems` fills as its columns are asked for."""

    reading: Reading
    line: Line
    problems: list[Problem] = field(default_factory=list)
    faulty: set[int] = field(default_factory=set)

    def raw(self, index: int | None) -> Raw:
        """A cell by its index; blank where the line is short or the cell is already reported."""
        if index is None or index >= len(self.line.cells) or index in self.faulty:
            return BLANK
        return self.line.cells[index]

    def cell(self, name: str) -> Raw:
        """A cell by its column's canonical name."""
        return self.raw(self.reading.header.canonical.get(name))

    def report(self, index: int | None, code: str, message: str, fix: str = "") -> None:
        """Keep a problem of the cell, or of the whole line where there is no index."""
        place = "" if index is None else f"{letters(index)}{self.line.number}"
        texts = self.reading.header.texts
        known = CODES[code]
        value = "" if index is None or index >= len(self.line.cells) else self.line.cells[index].text
        self.problems.append(
            Problem(
                severity=known.severity,
                code=code,
                sheet=self.reading.grid.name,
                row=self.line.number,
                column=texts[index] if index is not None and index < len(texts) else "",
                cell=place,
                value=value[:SHOWN_VALUE],
                message=message,
                fix=fix or known.fix,
            )
        )

    def reporter(self, name: str) -> to.Report:
        """What a conversion reports to, for a column by its canonical name."""
        index = self.reading.header.canonical.get(name)
        return lambda code, message, fix: self.report(index, code, message, fix)


def read_line(reading: Reading, line: Line) -> tuple[Row | None, list[Problem]]:
    """The row of a line (`id` empty where it has to be made) and its problems; no row where columns have shifted."""
    reader = LineReader(reading, line)
    if line.broken:
        message = f"A quotation mark opens a cell here and is not closed as it must be: {shown(line.broken)}."
        reader.report(None, "quote-open", message)
        return None, reader.problems
    if reading.grid.ragged and _too_long(reader):
        return None, reader.problems
    _look_at_cells(reader)
    return _row(reader), reader.problems


def _too_long(reader: LineReader) -> bool:
    """Whether there are values beyond the header; a line that is too short gets a warning."""
    header, cells = reader.reading.header, reader.line.cells
    own_indexes = [index for index in range(len(header.texts)) if header.own(index)]
    own = len(own_indexes)
    width, beyond = len(header.texts), [raw for raw in cells[len(header.texts) :] if not raw.blank]
    if beyond:
        count = len(cells) - width + own
        message = f"The row has {count} cells, the header {own}: a {_delimiter(reader)} that is not in quotation marks?"
        reader.report(None, "row-long", message)
    elif len(cells) < max(own_indexes, default=0) + 1:
        message = f"The row has {len(cells)} cells, the header {own}; the others are read as blank."
        reader.report(None, "row-short", message)
    return bool(beyond)


def _delimiter(reader: LineReader) -> str:
    return {";": "semicolon", "\t": "tab", "|": "bar"}.get(reader.reading.grid.delimiter, "comma")


def _look_at_cells(reader: LineReader) -> None:
    """Report cells whose value was lost before it came here, and take them for blank from then on."""
    header = reader.reading.header
    known = set(header.canonical.values())
    for index, raw in enumerate(reader.line.cells[: len(header.texts)]):
        if not header.texts[index] or not header.own(index):
            continue
        if raw.kind == "merged":
            reader.faulty.add(index)
        elif len(raw.text) > MOST_CELL_CHARACTERS:
            reader.report(index, "cell-too-long", f"The cell has more than {MOST_CELL_CHARACTERS:,} characters.")
            reader.faulty.add(index)
        elif raw.kind == "formula":
            reader.report(index, "formula-without-value", "The formula in this cell was never calculated.")
            reader.faulty.add(index)
        elif raw.kind == "error" or raw.text.strip() in ERROR_TEXTS:
            reader.report(index, "error-cell", f"The cell shows the spreadsheet error {shown(raw.text)}.")
            reader.faulty.add(index)
        elif index in known and _is_date(raw, index == header.canonical.get("size")):
            message = f"The spreadsheet has turned what was typed here into a date: {shown(raw.text)}."
            reader.report(index, "date-cell", message)
            reader.faulty.add(index)


def _is_date(raw: Raw, in_size: bool) -> bool:  # noqa: FBT001 - a fact about the one caller's cell
    """A ratio such as 16:9 becomes the time 16:09 in a workbook, from which it can be told again."""
    return raw.kind == "date" or (raw.kind == "time" and not (in_size and raw.text.count(":") == 1))


def _row(reader: LineReader) -> Row:
    header, defaults, styles = reader.reading.header, reader.reading.defaults, reader.reading.catalogue.styles
    priority = _whole(reader, "priority", (-MOST_PRIORITY, MOST_PRIORITY))
    return Row(
        sheet=reader.reading.grid.name,
        number=reader.line.number,
        id=to.row_id(reader.cell("id"), reader.reporter("id")),
        prompt=_prompt(reader),
        negative_prompt=_long_text(reader, "negative_prompt") or defaults.negative_prompt,
        styles=to.style_names(reader.cell("style"), styles, reader.reporter("style")) or defaults.styles,
        sizes=_sizes(reader) or defaults.sizes,
        variants=_whole(reader, "variants", (1, reader.reading.limits.variants)) or defaults.variants,
        seed=_first(_whole(reader, "seed", (0, MAX_SEED)), defaults.seed),
        workflow=to.words(reader.cell("workflow")) or defaults.workflow,
        model=to.words(reader.cell("model")) or defaults.model,
        backend=_choice(reader, "backend", BackendChoice) or defaults.backend,
        parameters=defaults.parameters | _parameters(reader),
        reference_image=to.words(reader.cell("reference_image")) or defaults.reference_image,
        priority=defaults.priority if priority is None else priority,
        tags=tuple(to.listed(reader.cell("tags"))) or defaults.tags,
        combine=_choice(reader, "combine", Combine) or defaults.combine,
        locales=_locales(reader),
        extra={name: clean(reader.raw(index).text) for name, index in header.free.items()},
        cells=dict(_cells(reader)),
    )


def _first(given: int | None, default: int | None) -> int | None:
    return default if given is None else given


def _locales(reader: LineReader) -> dict[str, dict[str, str]]:
    """What the row says in other languages: by tag, then by column."""
    found: dict[str, dict[str, str]] = {}
    for index, (tag, column) in reader.reading.header.languages.items():
        text = _checked_length(reader, index) if column in TEXT_COLUMNS else clean(reader.raw(index).text)
        if text:
            found.setdefault(tag, {})[column] = text
    return found


def _cells(reader: LineReader) -> Iterator[tuple[str, Cell]]:
    header, number = reader.reading.header, reader.line.number
    places = [*header.canonical.items(), *((header.texts[index], index) for index in header.free.values())]
    for name, index in places:
        value = reader.line.cells[index].text if index < len(reader.line.cells) else ""
        yield name, Cell(column=header.texts[index], cell=f"{letters(index)}{number}", value=value)


def _prompt(reader: LineReader) -> str:
    index = reader.reading.header.canonical.get("prompt")
    text = _long_text(reader, "prompt")
    if not text and index is not None and index not in reader.faulty:
        reader.report(index, "prompt-missing", "The row has no prompt.")
    if text and not text.strip(_NUMBER_SIGNS):
        reader.report(index, "prompt-number", f"The prompt is only the number {shown(text)}.")
    return text


def _long_text(reader: LineReader, name: str) -> str:
    return _checked_length(reader, reader.reading.header.canonical.get(name))


def _checked_length(reader: LineReader, index: int | None) -> str:
    text, most = clean(reader.raw(index).text), reader.reading.limits.prompt_characters
    if len(text) > most:
        reader.report(index, "text-too-long", f"The text has {len(text):,} characters; {most:,} are allowed.")
    return text[:most]


def _whole(reader: LineReader, name: str, bounds: tuple[int, int]) -> int | None:
    raw = reader.cell(name)
    return None if raw.blank else to.whole(raw, bounds, reader.reporter(name))


def _sizes(reader: LineReader) -> tuple[Size, ...]:
    sizes = to.SizeReader(reader.reading.catalogue.channels, reader.reading.limits)
    found = [
        *sizes.read(reader.cell("size"), "size", reader.reporter("size")),
        *_width_and_height(reader, sizes),
        *sizes.read(reader.cell("channels"), "channels", reader.reporter("channels")),
    ]
    place = "channels" if not reader.cell("channels").blank else "size"
    return to.distinct_sizes(found, reader.reporter(place))


def _width_and_height(reader: LineReader, sizes: to.SizeReader) -> list[Size]:
    given = [name for name in ("width", "height") if not reader.cell(name).blank]
    if len(given) == 1:
        other = "height" if given == ["width"] else "width"
        if reader.reading.header.canonical.get(other) not in reader.faulty:
            message = f"There is a {given[0]} ({shown(to.words(reader.cell(given[0])))}) but no {other}."
            reader.reporter(given[0])("size-half", message, "")
    if len(given) < 2:
        return []
    bounds = (sizes.limits.min_side_px, sizes.limits.max_side_px)
    width, height = (_whole(reader, name, bounds) for name in given)
    if width is None or height is None:
        return []
    return [Size(width=width, height=height, label=f"{width}x{height}")]


def _choice(reader: LineReader, name: str, choices: Any) -> Any:
    """One of the words of a Literal; None where the cell is blank or wrong."""
    text, known = to.words(reader.cell(name)), get_args(choices)
    if text and slug(text) not in known:
        code, what = CHOICES[name]
        reader.reporter(name)(code, f"{shown(text)} is not a known {what}.", suggestion(text, known, f"{what}s"))
    return slug(text) if slug(text) in known else None


def _parameters(reader: LineReader) -> dict[str, Value]:
    found: dict[str, Any] = {"steps": _whole(reader, "steps", STEPS)}
    for name, bounds in DECIMALS.items():
        raw = reader.cell(name)
        found[name] = None if raw.blank else to.decimal(raw, bounds, reader.reporter(name))
    for name in ("sampler", "scheduler", "lora"):
        found[name] = to.words(reader.cell(name)) or None
    return {name: value for name, value in found.items() if value is not None}
