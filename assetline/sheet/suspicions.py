"""What can be read but was hardly meant: warnings that look at more than one cell. Values stay as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from assetline.catalogue import name_key, slug
from assetline.records import Problem
from assetline.sheet.columns import CANONICAL, header_key
from assetline.sheet.conversions import listed
from assetline.sheet.grid import Line, Raw, clean
from assetline.sheet.rows import LineReader, Reading
from assetline.sheet.suggest import shown

MOST_HEADER_WORDS = 4  # of a cell in a header
LOOKED_AT = 100  # lines in which a column tells what it holds

_PLACEHOLDER = re.compile(r"\{([^{}|]+)\}")
# What Excel shows, and saves as CSV, where somebody typed 3.10, 3-10 or 10/3: English and German.
_MONTH = "jan|feb|mar|mrz|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez"
_MADE_DATE = re.compile(rf"\d{{1,2}}(\. ?|-)({_MONTH})|({_MONTH})[- ]\d{{2}}", re.IGNORECASE)


@dataclass(frozen=True)
class Suspicions:
    """Looks at the lines below a header, those that are rows."""

    reading: Reading
    lines: Sequence[Line]

    def find(self) -> Iterator[Problem]:
        """A warning for each thing that was hardly meant."""
        yield from self._channel_columns()
        yield from self._made_dates()
        yield from self._other_tables()

    def _reported(self, line: Line, index: int, *words: str) -> Iterator[Problem]:
        reader = LineReader(self.reading, line)
        reader.report(index, *words)
        yield from reader.problems

    def _channel_columns(self) -> Iterator[Problem]:
        """A column of the producer's own that lists channels (`Kanäle`), where no size comes from another column."""
        header = self.reading.header
        if {"channels", "size"} & set(header.canonical):
            return
        for index in header.free.values():
            cells = (cell(line, index) for line in self.lines[:LOOKED_AT])
            named = (name for raw in cells for name in listed(raw) if slug(name) in self.reading.catalogue.channels)
            if name := next(named, ""):
                text = header.texts[index]
                message = f'"{text}" holds names of channels ({shown(name)}), but is an own column: no size is taken.'
                place = Line(header.line, tuple(Raw(head) for head in header.texts))
                yield from self._reported(place, index, "header-channels", message, 'Head it "channels" to use them.')

    def _made_dates(self) -> Iterator[Problem]:
        """Dates in a column that mostly holds none, where the row's prompt takes the cell: `3.10` was a price."""
        for index in self.reading.header.free.values():
            dated = [line for line in self.lines if _is_date(cell(line, index))]
            if dated and self._filled(index) > 2 * len(dated):
                for line in dated:
                    if name_key(self.reading.header.texts[index]) in self._used(line):
                        message = f"The spreadsheet has probably made the date {shown(cell(line, index).text)} of what "
                        message += "was typed; the column's other cells are no dates, and the prompt takes this one."
                        yield from self._reported(line, index, "date-unlikely", message)

    def _filled(self, index: int) -> int:
        return sum(not cell(line, index).blank for line in self.lines)

    def _used(self, line: Line) -> set[str]:
        """The keys of the columns that a line's prompt takes."""
        index = self.reading.header.canonical.get("prompt")
        text = "" if index is None else cell(line, index).text
        return {name_key(name) for name in _PLACEHOLDER.findall(text)}

    def _other_tables(self) -> Iterator[Problem]:
        """Lines that look like the header of a table below the first."""
        before = self.reading.header.line
        for line in self.lines:
            if not line.broken and self._heads_a_table(line, after_gap=line.number > before + 1):
                first = next(index for index, raw in enumerate(line.cells) if not raw.blank)
                message = "This row looks like the header of another table; it is read as a row, like those below it."
                yield from self._reported(line, first, "other-table", message)
            before = line.number

    def _heads_a_table(self, line: Line, *, after_gap: bool) -> bool:
        """A name of a column where id or prompt would stand, with a second one beside it or a blank row above."""
        named = [index for index, raw in enumerate(line.cells) if raw.text and header_key(raw.text) in CANONICAL]
        if not self._leading & set(named) or not (len(named) > 1 or after_gap):
            return False
        texts = [clean(raw.text) for index, raw in enumerate(line.cells) if self._is_own(index) and not raw.blank]
        return len(texts) > 1 and all(_may_head(text) for text in texts)

    @cached_property
    def _leading(self) -> set[int | None]:
        return {self.reading.header.canonical.get(name) for name in ("id", "prompt")}

    def _is_own(self, index: int) -> bool:
        return self.reading.header.own(index)


def cell(line: Line, index: int) -> Raw:
    """A line's cell; blank where the line is short."""
    return line.cells[index] if index < len(line.cells) else Raw()


def _is_date(raw: Raw) -> bool:
    return raw.kind == "date" or (raw.kind == "text" and len(raw.text) < 10 and bool(_MADE_DATE.fullmatch(raw.text)))


def _may_head(text: str) -> bool:
    return len(text.split()) <= MOST_HEADER_WORDS and not text[0].isdigit()
