"""Every code that reading a sheet can give, with its meaning and its cure; `docs/sheet.md` shows this table."""

from __future__ import annotations

from typing import Literal, NamedTuple

from assetline.records import Problem


class Code(NamedTuple):
    """What a code means and what a producer does about it."""

    severity: Literal["error", "warning"]
    meaning: str
    cure: str

    @property
    def fix(self) -> str:
        """The cure without the page's marks."""
        return self.cure.replace("`", "")


CODES: dict[str, Code] = {
    # the file
    "file-empty": Code("error", "There is nothing in the file.", "Save the sheet again and upload that file."),
    "file-too-large": Code(
        "error", "The file is larger than the limit; it was not opened.", "Split it, or remove pictures."
    ),
    "file-unsupported": Code(
        "error", "The file is of a kind that cannot be read.", "Save it as CSV UTF-8 or as Excel workbook (.xlsx)."
    ),
    "file-old-excel": Code(
        "error", "The file is an old Excel workbook (.xls).", "Open it in Excel and save it as .xlsx."
    ),
    "file-password": Code(
        "error", "The file is protected by a password.", "Remove the password in Excel (File, Info) and save it."
    ),
    "file-damaged": Code(
        "error", "The file is cut short or damaged.", "Open it in the program that made it and save it again."
    ),
    "file-bomb": Code(
        "error", "Unpacked, the workbook is larger than the limit.", "Copy the rows into a new workbook."
    ),
    "file-doctype": Code(
        "error",
        "The workbook holds a document type definition, which no spreadsheet needs.",
        "Copy the rows into a new workbook.",
    ),
    "file-extension": Code(
        "warning", "The file's name says one kind, its content another.", "Rename it. It was read by its content."
    ),
    "file-encoding": Code("error", "The text cannot be decoded without loss.", "Save it as CSV UTF-8."),
    "file-nul": Code("error", "There are NUL bytes in the text.", "Save it as CSV UTF-8."),
    "encoding-guessed": Code(
        "warning", "The text is not UTF-8 and was read as Windows-1252.", "Look at the accents; save it as CSV UTF-8."
    ),
    "too-many-cells": Code(
        "error",
        "There are more cells, blank ones too, than 50 for each row that is allowed.",
        "Remove columns and blank cells that are not needed, or split the sheet.",
    ),
    "no-visible-sheet": Code("error", "The workbook has no visible worksheet.", "Unhide the worksheet to be read."),
    "rows-hidden": Code(
        "warning", "Hidden or filtered rows are read too.", "Delete the rows that shall not be generated."
    ),
    "rows-after-gap": Code(
        "error",
        "There are values below more than 100 blank rows; they were not read.",
        "Delete the blank rows, or the values.",
    ),
    # the worksheet `Options`
    "option-unknown": Code("error", "The worksheet `Options` names no such option.", "Take the nearest, or remove it."),
    "option-twice": Code("error", "The worksheet `Options` names an option twice.", "Remove one of them."),
    # the header
    "no-prompt-column": Code(
        "error", "No column is headed `prompt`.", "Head the column that describes the pictures `prompt`."
    ),
    "header-twice": Code(
        "error", "Two columns have the same name, or names with the same meaning.", "Rename one of them."
    ),
    "header-synonym": Code(
        "warning",
        "A column would be another name for one that is there too; it is carried as an own column.",
        "Rename it if something else was meant.",
    ),
    "header-nearly": Code(
        "warning",
        "A column's name is nearly a known one; it is carried as an own column.",
        "Correct the name if the known column was meant.",
    ),
    "header-language": Code(
        "warning",
        "A column's name ends in `@` and something, but is no text in a language; it is carried as an own column.",
        "Write `prompt@de`, `negative_prompt@pt-BR`, or an own column such as `product@de`.",
    ),
    "too-many-columns": Code("error", "The header has more than 256 columns.", "Remove those that are not needed."),
    "header-channels": Code(
        "warning",
        "An own column holds names of channels, and no column gives a size; none is taken from it.",
        "Head it `channels`.",
    ),
    "header-blank": Code("warning", "A column has values but no name; it is ignored.", "Name it, or empty it."),
    # rows
    "too-many-problems": Code(
        "error", "There are more than 20,000 problems; the rows below were not read.", "Mend those that are told first."
    ),
    "no-rows": Code("error", "There is no row below the header.", "Add a row for each picture."),
    "too-many-rows": Code("error", "The sheet has more rows than the limit.", "Split it into several campaigns."),
    "quote-open": Code(
        "error",
        "A quotation mark opens a cell in this row and is not closed as it must be.",
        'Close it; write a quotation mark inside a quoted cell twice (`""`).',
    ),
    "row-long": Code(
        "error",
        "The row has more cells than the header, so its values may stand in wrong columns.",
        "Put quotation marks round the cell that contains the delimiter.",
    ),
    "row-short": Code(
        "warning", "The row has fewer cells than the header; the others are read as blank.", "Add the delimiters."
    ),
    "cell-too-long": Code("error", "A cell has more than 32,767 characters.", "Shorten it."),
    "combine-unknown": Code("error", "No such way to combine pictures and sizes.", "Write `product` or `zip`."),
    "merged-cells": Code(
        "error", "Cells are merged; only the first of them has the value.", "Unmerge them and fill each cell."
    ),
    "formula-without-value": Code(
        "error", "A formula was never calculated.", "Open the file in Excel and save it, or write the value itself."
    ),
    "error-cell": Code("error", "The cell shows a spreadsheet error such as `#REF!`.", "Mend the formula."),
    "date-cell": Code(
        "error", "The spreadsheet has turned what was typed into a date.", "Format the cell as text and type it again."
    ),
    "date-unlikely": Code(
        "warning",
        "An own column that mostly holds no dates has one here, and the prompt takes it: `3.10` became a date.",
        "Format the cell as text and type it again.",
    ),
    "number-shortened": Code(
        "error",
        "The spreadsheet has shortened a long number (`4.01E+12`), its digits are lost.",
        "Format the column as text and enter it again.",
    ),
    "number-inexact": Code(
        "error",
        "A number above 2^53 in a number cell; spreadsheets keep 15 digits.",
        "Format the cell as text and enter it again.",
    ),
    "not-whole": Code("error", "A whole number is needed here.", "Write digits alone: `1024`, not `1,024` or `1E3`."),
    "not-number": Code("error", "A number is needed here.", "Write it with a point: `7.5`."),
    "number-range": Code("error", "The number is outside what is allowed.", "Take the nearest number that is named."),
    "prompt-missing": Code("error", "The row has no prompt.", "Describe the picture, or delete the row."),
    "prompt-number": Code(
        "warning", "The prompt is a number and nothing else.", "Describe the picture, or delete the row."
    ),
    "other-table": Code(
        "warning",
        "A row looks like the header of another table below the first; it is read as a row.",
        "Move that table to a worksheet of its own, or delete it.",
    ),
    "text-too-long": Code("error", "The prompt is longer than the limit.", "Shorten it."),
    "id-characters": Code(
        "error",
        "The id cannot be a file's name: 1 to 80 letters, digits, `-`, `_`, `.` and blanks, no point at the ends.",
        "Take the id that is suggested.",
    ),
    "style-unknown": Code("error", "No such style.", "Take the nearest, or add it to `campaigns/styles.yaml`."),
    "channel-unknown": Code("error", "No such channel.", "Take the nearest, or add it to `campaigns/channels.yaml`."),
    "backend-unknown": Code("error", "No such backend.", "Write `auto`, `comfyui`, `replicate` or `fpo`."),
    "size-unreadable": Code("error", "This is no size.", "Write `1024x1024`, `4:5` or a channel's name."),
    "size-range": Code("error", "A side or a ratio is outside what is allowed.", "Take the nearest that is named."),
    "size-half": Code("error", "Only one of `width` and `height` is given.", "Give both, or neither."),
    "size-twice": Code(
        "warning", "Two sizes of the row give the same picture; it is made once.", "Nothing, if that is meant."
    ),
    # across rows
    "id-twice": Code(
        "error",
        "Two rows have the same id (case, blanks and punctuation do not count).",
        "Change one; an empty cell gets an id by itself.",
    ),
}


def file_problem(file_name: str, code: str, message: str, fix: str = "") -> Problem:
    """A problem with the file as a whole; its own name stands where the worksheet's would."""
    known = CODES[code]
    return Problem(severity=known.severity, code=code, sheet=file_name, message=message, fix=fix or known.fix)
