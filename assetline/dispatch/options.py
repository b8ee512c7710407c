"""How a run treats its lanes: what whoever starts a dispatcher may choose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from assetline.dispatch.events import Listen
from assetline.dispatch.outlook import OverflowRule
from assetline.dispatch.speeds import Speeds
from assetline.policy import DEFAULT_POLICY, RetryPolicy
from assetline.records import PlannedRequest


@dataclass(frozen=True)
class DispatchOptions:
    """How a run treats its lanes.

    `patience_s`: how long a lane may stay away, or fail whatever it is given, before requests that only it can make
    fail. `unstored`: pictures that may be checked and stored while the slots are busy again (about 6 MB each at
    1024 px), which bounds memory; two more if they are interactive. `affinity` names what a request wants loaded
    (checkpoint, LoRA, ControlNet). `speeds`: what is known of the lanes, and is learned here. `listen` hears of
    everything that happens on them. `overflow` decides what may go to a lane that costs money; None: nothing may that
    is meant for others.
    """

    policy: RetryPolicy = DEFAULT_POLICY
    patience_s: float = 120.0
    unstored: int = 8
    affinity: Callable[[PlannedRequest], str] = lambda _planned: ""
    speeds: Speeds = field(default_factory=Speeds)
    listen: Listen = lambda _event: None
    overflow: OverflowRule | None = None
