"""A renamed sheet: which campaign it goes on as, said on stderr."""

from __future__ import annotations

import sys

from assetline.bootstrap.recognition import Kin, recognise, remember
from assetline.run_records import RunOptions
from assetline.settings import load_settings


def of_its_campaign(sheet: str, options: RunOptions, *, keep: bool = False) -> RunOptions:
    """The options with the campaign whose rows the sheet has, where its file was renamed.

    `keep`: later runs of files of this name go on as that campaign too.
    """
    settings = load_settings()
    kin = recognise(sheet, options, settings)
    if kin is None:
        return options
    print(in_words(kin, sheet), file=sys.stderr)
    if not kin.is_same:
        return options
    if keep:
        remember(kin, options, settings)
    return options.model_copy(update={"campaign": kin.campaign})


def in_words(kin: Kin, sheet: str) -> str:
    """What has become of the name, and how to have it otherwise."""
    run = f" (run {kin.run_id})" if kin.run_id else ""
    if not kin.is_same:
        rows = "The rows" if kin.share == 1 else f"About {kin.share:.0%} of the rows"
        return (
            f"{rows} of {sheet} are those of campaign {kin.campaign}{run}. If it is that campaign, --campaign "
            f"{kin.campaign} makes only what has changed; without it, {kin.own} is a campaign of its own."
        )
    why = "has the rows" if kin.share == 1 else "was known before by its rows as a sheet"
    return (
        f"{sheet} {why} of campaign {kin.campaign}{run}, so it goes on as that campaign. "
        f"--campaign {kin.own} makes it one of its own."
    )
