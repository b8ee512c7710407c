"""What a choice is made from: what waits, in groups, and every lane that is up. Numbers and names only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

URGENT = inf  # the priority of an interactive request: before every row's

Key = tuple[frozenset[str], str, float, str]  # the lanes that may take it, what is to be loaded, priority, campaign


@dataclass(frozen=True, slots=True)
class Group:
    """Requests of one campaign and priority that the same lanes can make with the same files loaded.

    `oldest` is the number of the one that is first in line; `since` when it, or the last one taken before it, was
    its turn: how long nothing of the group has been taken.
    """

    lanes: frozenset[str]
    affinity: str
    priority: float
    count: int
    oldest: int
    since: float
    campaign: str = ""

    @property
    def key(self) -> Key:
        """What makes it this group, whatever has been taken from it."""
        return self.lanes, self.affinity, self.priority, self.campaign


@dataclass(frozen=True, slots=True)
class LaneState:
    """A lane that is up. `free_at`: when it will have done what it holds; `loaded`: what it has loaded then.

    `holds`: requests that it has; `at_once`: how many it works on at the same time. `yields`: it has made so many
    urgent ones in a row that something else has its turn. `every_s`, `loads`: as a `Lane` has them.
    """

    name: str
    free_at: float
    loaded: str
    holds: int = 0
    at_once: int = 1
    yields: bool = False
    every_s: float = 0.0
    loads: bool = True


@dataclass(frozen=True, slots=True)
class Situation:
    """All that waits, and every lane that is up. No two groups have the same key."""

    groups: Sequence[Group]
    lanes: Sequence[LaneState]
