"""What the ledger keeps: tries that may cost money, and how fast lanes were."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

PaidState = Literal[
    "intent", "submitting", "unknown", "submitted", "held", "refused", "released",
    "succeeded", "failed", "canceled", "aborted", "lost",
]  # fmt: skip


@dataclass(frozen=True)
class PaidAttempt:
    """One try that may cost money, as the ledger has it. It is open, and its reservation counts, until `settled_at`.

    `number` counts the tries of a request with a provider from 1; `input` is exactly what is sent; `cost_usd` is 0
    while it is open; `state_at` is when it came into its state. All times are UTC.
    """

    id: int
    request_key: str
    campaign: str
    run_id: str
    row: str
    provider: str
    model: str
    version: str
    number: int
    state: PaidState
    prediction_id: str
    input: dict[str, Any]
    reserved_usd: float
    cost_usd: float
    intent_at: datetime
    state_at: datetime
    settled_at: datetime | None
    reason: str

    @property
    def is_open(self) -> bool:
        """Whether it may still cost what is reserved for it."""
        return self.settled_at is None


@dataclass(frozen=True)
class Speed:
    """What is known of a lane with an affinity: seconds a picture, seconds to load (None: not seen), pictures seen.

    `slow_seconds`: what one picture in 32 takes longer than (None: not seen).
    """

    lane: str
    affinity: str
    seconds: float
    load_seconds: float | None
    samples: int
    slow_seconds: float | None = None
