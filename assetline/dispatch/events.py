"""What happens on lanes, told to one listener as it happens: the timeline, health and progress read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "taken",
    "began",
    "made",
    "failed",
    "down",
    "waiting",
    "up",
    "gone",
    "quarantined",
    "canary",
    "released",
    "paused",
    "resumed",
]


@dataclass(frozen=True, slots=True)
class LaneEvent:
    """`at`: seconds on the event loop's clock. `label` and `affinity` of the request, where it is about one.

    `taken`: a request has a slot; `began`: the lane works on it (`detail`: `load` if its files must be loaded first);
    `made`: its picture is here (`detail`: seconds since it began); `failed`, `down`, `gone`: `detail` says why.
    `waiting`: a lane that is down still does not answer, and requests wait for it alone (`detail`: how many, how long
    still, why). `quarantined`: nothing but a canary is given to it (with `affinity`: only of that one), `detail` says
    why and for how long; again each time that a canary fails. `canary`: the request that tries it was taken.
    `released`: its picture is here, and the lane has its full part again; `detail` says what it was shut for.
    `paused`, `resumed`: all lanes (`lane` is empty); `detail` names the campaign if it is one alone.
    """

    at: float
    lane: str
    kind: Kind
    label: str = ""
    affinity: str = ""
    detail: str = ""


Listen = Callable[[LaneEvent], None]
