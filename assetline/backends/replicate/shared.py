"""What the parts of the lane share: the ledger, the API, the limits, the settings, the clock."""

from __future__ import annotations

from dataclasses import dataclass

from assetline.backends.replicate.gateway import Gateway
from assetline.backends.replicate.limits import Limits
from assetline.backends.replicate.options import Clock, ReplicateSettings
from assetline.ledger import Ledger


@dataclass(frozen=True)
class Shared:
    """One of each, for one lane."""

    ledger: Ledger
    gateway: Gateway
    limits: Limits
    settings: ReplicateSettings
    clock: Clock
