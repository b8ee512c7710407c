"""`doctor` at the ledger: whether it can be used, what it says was spent. It holds the speeds of workers too."""

from __future__ import annotations

import os
from contextlib import closing

from apps.finding import Finding
from assetline.errors import AssetlineError
from assetline.plan import amount
from assetline.settings import Settings

NAME = "ledger"


def examine_ledger(settings: Settings, *, paying: bool) -> Finding:
    """`paying`: a run may spend money, which it does not without a ledger. A free one goes on and learns no speeds."""
    from assetline.bootstrap.ledgers import ledger_folder, open_existing

    verdict = "fail" if paying else "warn"
    try:
        ledger = open_existing(settings)
        if ledger is None:
            folder = ledger_folder(settings)
            if os.access(folder, os.W_OK | os.X_OK):
                return Finding(name=NAME, verdict="ok", found="nothing has been spent yet; the first run makes it")
            said = f"it cannot be made in {folder}: there is no such folder, or it may not be written"
            return Finding(name=NAME, verdict=verdict, found=said, mend="Set ASSETLINE_LEDGER.")
        with closing(ledger):
            spent, held = ledger.spent(), len(ledger.held())
    except AssetlineError as error:
        return Finding(name=NAME, verdict=verdict, found=str(error), mend="Set ASSETLINE_LEDGER.")
    found = f"{ledger.place}: {amount(spent.settled_usd)} USD spent, {amount(spent.reserved_usd)} USD reserved"
    if not held:
        return Finding(name=NAME, verdict="ok", found=found)
    mend = "assetline costs --held says how to decide."
    return Finding(name=NAME, verdict="warn", found=f"{found}; {held} wait for a person", mend=mend)
