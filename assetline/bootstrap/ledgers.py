"""The ledger that the settings name, and the prices. Brings SQLAlchemy (0.3 s): for where money or speeds are."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from assetline.backends.replicate.catalog import load_models
from assetline.errors import AssetlineError
from assetline.ledger import Ledger, ledger_exists, open_ledger
from assetline.ledger.database import WAIT_S, parse
from assetline.ledger.ledger import utc_now
from assetline.settings import Settings

SPEEDS_WAIT_S = 5.0  # for a ledger that is locked, where all that it gives is speeds

logger = logging.getLogger(__name__)


def open_for_run(settings: Settings, *, paid: bool, clock: Callable[[], datetime] | None = None) -> Ledger | None:
    """The ledger of a run. One that spends needs it: raises LedgerUnreachable, OptionError; else that is a warning."""
    wait_s = WAIT_S if paid else SPEEDS_WAIT_S
    try:
        return open_ledger(settings.ledger, clock=clock or utc_now, wait_s=wait_s)
    except AssetlineError as error:
        if paid:
            raise
        logger.warning("Speeds are neither known nor kept for the next run: %s", error)
        return None


def open_existing(settings: Settings) -> Ledger | None:
    """The ledger, if there is one yet: who only looks makes no file. Raises LedgerUnreachable, OptionError."""
    return open_ledger(settings.ledger) if ledger_exists(settings.ledger) else None


def ledger_folder(settings: Settings) -> Path:
    """Where the first run makes the SQLite file. Raises OptionError."""
    return Path(str(parse(settings.ledger).database)).absolute().parent


@dataclass(frozen=True)
class PriceTable:
    """Where the prices are from: how many models each source has, the oldest day, the models whose price is old."""

    sources: dict[str, int]
    oldest: date
    old: tuple[str, ...]


def price_table(settings: Settings, today: date) -> PriceTable:
    """The catalogue's prices as of `today`. Raises OptionError for a file of own models that cannot be used."""
    own = settings.replicate_models
    models = load_models(Path(own) if own else None)
    prices = {name: model.price for name, model in models.items()}
    return PriceTable(
        sources=dict(Counter(price.source for price in prices.values()).most_common()),
        oldest=min(price.date for price in prices.values()),
        old=tuple(sorted(name for name, price in prices.items() if price.is_old(today))),
    )
