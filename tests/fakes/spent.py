"""What the ledger in the working folder says was spent."""

from __future__ import annotations

from assetline.ledger import open_ledger


def spent_micros() -> int:
    """Micro-dollars; nothing may be reserved any more."""
    ledger = open_ledger("sqlite:///./assetline.db")
    spent = ledger.spent()
    ledger.close()
    assert 0 == spent.reserved_usd
    return round(spent.settled_usd * 1e6)
