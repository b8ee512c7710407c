"""From the bytes of a spreadsheet to rows with their places, or to all of its problems at once."""

from __future__ import annotations

from assetline.sheet.checked import write_checked
from assetline.sheet.columns import COLUMNS
from assetline.sheet.grid import Limits
from assetline.sheet.options import Options
from assetline.sheet.problems import CODES
from assetline.sheet.reading import Sheet, read_sheet
from assetline.sheet.results import Results, results_of, write_results

__all__ = [
    "CODES",
    "COLUMNS",
    "Limits",
    "Options",
    "Results",
    "Sheet",
    "read_sheet",
    "results_of",
    "write_checked",
    "write_results",
]
