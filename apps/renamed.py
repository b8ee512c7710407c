"""A renamed sheet: which campaign it goes on as, said on stderr."""

from __future__ import annotations

import sys

from assetline.bootstrap import recognition
from assetline.run_records import RunOptions
from assetline.settings import load_settings


def of_its_campaign(sheet: str, options: RunOptions, *, keep: bool = False) -> RunOptions:
    """The options with the campaign whose rows the sheet has, where its file was renamed.

    `keep`: later runs of files of this name go on as that campaign too.
    """
    options, said = recognition.of_its_campaign(sheet, options, load_settings(), keep=keep)
    if said:
        print(said, file=sys.stderr)
    return options
