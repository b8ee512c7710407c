"""A starter workbook: examples, lists of the allowed values, a comment on each column, options, help.

Imported only by the command that writes it: openpyxl takes 0.4 s.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from openpyxl import Workbook
from openpyxl.comments import Comment
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.datavalidation import DataValidation

from assetline.records import BackendChoice
from assetline.sheet.columns import COLUMNS
from assetline.sheet.grid import Limits, letters
from assetline.sheet.problems import Code

AUTHOR = "assetline template"
LAST_ROW = 1_048_576  # lists of allowed values reach down to the last row of a spreadsheet
SHAPES = ("1:1", "4:5", "2:3", "9:16", "3:2", "16:9", "1.91:1", "1024x1024")
HEAD_FONT, HEAD_FILL = Font(bold=True, color="FFFFFFFF"), PatternFill("solid", fgColor="FF1F3A4D")
WRAPPED = Alignment(wrap_text=True, vertical="top")

# Column and its width in characters. `product` and `colour` are own columns, which the examples' prompts use.
WIDTHS = {
    "id": 14,
    "prompt": 60,
    "product": 18,
    "colour": 18,
    "negative_prompt": 26,
    "style": 24,
    "size": 14,
    "channels": 26,
    "variants": 10,
    "seed": 22,
    "workflow": 22,
    "backend": 12,
    "priority": 10,
    "tags": 22,
}
OWN = "A column of your own: {%s} in a prompt takes its cell. Rename it, remove it, add others."
MULTIPLE = "style", "channels", "size", "workflow"  # more than one value, or more than the list: nothing is refused
OF_THE_CAMPAIGN = {
    "campaign": "The campaign's name. Empty: that of this file.",
    "max_cost": "US dollars that a run of this sheet may spend at most, such as 12.50.",
}
DEFAULTS = "negative_prompt", "style", "size", "variants", "workflow", "backend"


@dataclass(frozen=True)
class Allowed:
    """The names that a sheet may use on this machine, as they are offered, and every code that `check` may give."""

    styles: Sequence[str]
    channels: Mapping[str, tuple[int, int]]  # what each takes, in px
    workflows: Sequence[str]
    wildcards: Sequence[str]
    codes: Mapping[str, Code]
    limits: Limits


def make_template(allowed: Allowed) -> bytes:
    """The workbook: worksheets `Campaign`, `Options`, `Lists` and `Help`. `check` finds nothing wrong with it."""
    book = Workbook()
    sheet = book.active
    sheet.title = "Campaign"
    _write_campaign(sheet, allowed)
    options = book.create_sheet("Options")
    _write_options(options)
    lists = _write_lists(book.create_sheet("Lists"), allowed)
    for name, place in lists.items():
        _offer(sheet, _below(list(WIDTHS).index(name)), place, strict=name not in MULTIPLE)
        if name in DEFAULTS:
            _offer(options, f"B{_option_row(name)}", place, strict=name not in MULTIPLE)
    _count(sheet, _below(list(WIDTHS).index("variants")), allowed.limits.variants)
    _count(options, f"B{_option_row('variants')}", allowed.limits.variants)
    _write_help(book.create_sheet("Help"), allowed.codes)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _examples(allowed: Allowed) -> Iterable[dict[str, object]]:
    style = allowed.styles[0] if allowed.styles else ""
    places = ", ".join(list(allowed.channels)[:2])
    yield {
        "id": "MUG-01",
        "prompt": "a {product} in {colour} on a white table",
        "product": "mug",
        "colour": "sage green",
    }
    yield {
        "id": "MUG-02",
        "prompt": "a {product} in {colour}, seen from above",
        "product": "mug",
        "colour": "terracotta",
    }
    yield {"id": "TENT-01", "prompt": "a {sage green|terracotta} tent at a lake, morning light", "size": "4:5"}
    yield {"id": "SHOE-01", "prompt": "a running shoe in mid air, hard light", "style": style, "variants": 3}
    yield {"id": "LAMP-01", "prompt": "a brass desk lamp on a walnut desk", "channels": places, "tags": "home, autumn"}


def _write_campaign(sheet: Any, allowed: Allowed) -> None:
    meanings = {column.name: column.meaning for column in COLUMNS}
    for index, (name, width) in enumerate(WIDTHS.items()):
        head = sheet.cell(1, index + 1, name)
        head.font, head.fill = HEAD_FONT, HEAD_FILL
        head.comment = Comment(meanings.get(name, OWN % name).replace("`", ""), AUTHOR, height=110, width=320)
        column = sheet.column_dimensions[letters(index)]
        column.width = width
        if name not in {"variants", "priority"}:
            column.number_format = "@"  # else 4:5 becomes a time, 00123 the number 123, and a seed loses its digits
    for number, example in enumerate(_examples(allowed), start=2):
        for index, name in enumerate(WIDTHS):
            cell = sheet.cell(number, index + 1, example.get(name) or None)
            cell.alignment = WRAPPED
            cell.number_format = "General" if name in {"variants", "priority"} else "@"
    sheet.freeze_panes = "C2"


def _write_options(sheet: Any) -> None:
    meanings = {column.name: column.meaning.replace("`", "") for column in COLUMNS}
    rows = [(name, None, f"Where a row's cell is blank. {meanings[name]}") for name in DEFAULTS]
    rows += [(name, None, meaning) for name, meaning in OF_THE_CAMPAIGN.items()]
    _write_table(sheet, ("option", "value", "meaning"), rows, (22, 30, 90))
    for number in range(2, len(rows) + 2):
        sheet.cell(number, 2).number_format = "@"


def _option_row(name: str) -> int:
    return DEFAULTS.index(name) + 2


def _write_lists(sheet: Any, allowed: Allowed) -> dict[str, str]:
    """The allowed values in columns; the name of each list, for the columns that offer it.

    Beside the channels stands what each of them takes, then the wildcards: to be read, not to be chosen from.
    """
    lists = {
        "style": allowed.styles,
        "channels": allowed.channels,
        "size": (*SHAPES, *allowed.channels),
        "workflow": allowed.workflows,
        "backend": get_args(BackendChoice),
    }
    shown = {
        "what each channel takes": [f"{name}: {w} x {h} px" for name, (w, h) in allowed.channels.items()],
        "wildcards, for a prompt": [f"__{name}__" for name in allowed.wildcards],
    }
    _write_table(sheet, (*lists, *shown), [], (*(24 for _ in lists), 38, 28))
    for index, texts in enumerate(shown.values(), start=len(lists) + 1):
        for number, text in enumerate(texts, start=2):
            sheet.cell(number, index, text)
    places = {}
    for index, (name, values) in enumerate(lists.items()):
        for number, value in enumerate(values, start=2):
            sheet.cell(number, index + 1, value).number_format = "@"
        if values:  # by a name: Excel keeps lists on another worksheet where openpyxl does not see them
            places[name] = f"allowed_{name}"
            place = f"Lists!${letters(index)}$2:${letters(index)}${len(values) + 1}"
            sheet.parent.defined_names[places[name]] = DefinedName(places[name], attr_text=place)
    return places


def _offer(sheet: Any, cells: str, place: str, *, strict: bool) -> None:
    rule = DataValidation(type="list", formula1=place, allow_blank=True, showErrorMessage=strict)
    rule.errorTitle, rule.error = "Not in the list", "Take one of the list, or leave the cell blank."
    _apply(sheet, cells, rule)


def _count(sheet: Any, cells: str, most: int) -> None:
    rule = DataValidation(type="whole", operator="between", formula1="1", formula2=str(most), allow_blank=True)
    rule.showErrorMessage = True
    rule.errorTitle, rule.error = "Not a count", f"A whole number from 1 to {most}."
    _apply(sheet, cells, rule)


def _below(index: int) -> str:
    """The cells of a column below its header."""
    return f"{letters(index)}2:{letters(index)}{LAST_ROW}"


def _apply(sheet: Any, cells: str, rule: DataValidation) -> None:
    rule.add(cells)
    sheet.add_data_validation(rule)


def _write_help(sheet: Any, codes: Mapping[str, Code]) -> None:
    def plain(text: str) -> str:
        return text.replace("`", "")

    columns = [(column.name, ", ".join(column.synonyms), plain(column.meaning)) for column in COLUMNS]
    problems = [(code, plain(known.meaning), plain(known.cure)) for code, known in codes.items()]
    _write_table(sheet, ("column", "also taken", "its cells"), columns, (24, 60, 90))
    start = len(columns) + 3
    for offset, row in enumerate([("what check says", "meaning", "what to do"), *problems]):
        for index, text in enumerate(row, start=1):
            cell = sheet.cell(start + offset, index, text)
            cell.alignment = WRAPPED
            if not offset:
                cell.font, cell.fill = HEAD_FONT, HEAD_FILL


def _write_table(
    sheet: Any, header: Sequence[str], rows: Sequence[Sequence[str | None]], widths: Sequence[int]
) -> None:
    for index, (name, width) in enumerate(zip(header, widths, strict=True)):
        head = sheet.cell(1, index + 1, name)
        head.font, head.fill = HEAD_FONT, HEAD_FILL
        sheet.column_dimensions[letters(index)].width = width
    for number, row in enumerate(rows, start=2):
        for index, text in enumerate(row, start=1):
            sheet.cell(number, index, text).alignment = WRAPPED
    sheet.freeze_panes = "A2"
