"""What was learned and what was spent, kept between runs: SQLite by default, Postgres for a fleet.

`ledger` the steps of a paid attempt and what is asked of it; `caps` the refusal; `money` amounts and states; `database`
transactions and errors; `migrations` and `tables` the schema. Only bootstrap opens one.
"""

from assetline.ledger.ledger import IllegalStep, Ledger, ledger_exists, open_ledger
from assetline.ledger.money import By, Caps, Entry, Intent, Settlement, Spent, Total
from assetline.ledger_records import PaidAttempt, PaidState, Speed

__all__ = [
    "By",
    "Caps",
    "Entry",
    "IllegalStep",
    "Intent",
    "Ledger",
    "PaidAttempt",
    "PaidState",
    "Settlement",
    "Speed",
    "Spent",
    "Total",
    "ledger_exists",
    "open_ledger",
]
