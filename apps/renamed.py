"""A renamed sheet: which campaign it goes on as, said on stderr."""

from __future__ import annotations

import sys

from assetline.bootstrap import recognition
from assetline.bootstrap.recognition import Recognised
from assetline.run_records import RunOptions
from assetline.settings import load_settings


def of_its_campaign(sheet: str, options: RunOptions) -> Recognised:
    """Look whose rows the sheet has, and say so on stderr. Raises OptionError, StoreError."""
    found = recognition.of_its_campaign(sheet, options, load_settings())
    if found.said:
        print(found.said, file=sys.stderr)
    return found
