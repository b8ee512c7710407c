"""How campaigns of equal priority share the lanes: by the seconds of work that each has been given. Nothing waits here.

Rounds, not turns: each round gives every campaign so much work that all are level at its end, and within it the plan
keeps models where they are loaded. A turn for each picture would load a model for each.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from math import ceil, inf

from assetline.dispatch.situation import Group

ROUNDS = 3  # the last of which is all that is left: it is far away
EPSILON = 1e-9  # of a picture


class FairShare:
    """Seconds of work that each campaign has been given, while there were others."""

    def __init__(self) -> None:
        self._given: dict[str, float] = {}
        self._active: set[str] = set()

    def see(self, campaigns: Collection[str], window_s: float = inf) -> None:
        """These have something waiting. One that comes anew starts level with the one that has been given least.

        None is behind by more than `window_s`: what it could not have for longer is lost to it.
        """
        here = [self._given[name] for name in campaigns if name in self._active]
        least, floor = min(here, default=0.0), max(here, default=0.0) - window_s
        for name in campaigns:
            self._given[name] = max(self._given.get(name, 0.0), floor if name in self._active else least)
        self._active = set(campaigns)

    def give(self, campaign: str, seconds: float) -> None:
        """The campaign has been given so much work."""
        self._given[campaign] = self._given.get(campaign, 0.0) + seconds

    def given(self, campaign: str) -> float:
        """Seconds of work, comparable between campaigns that have something waiting."""
        return self._given.get(campaign, 0.0)

    def rounds(
        self, groups: Sequence[Group], work: Callable[[Group], float], loaded: Collection[str], most_s: float = inf
    ) -> Iterator[list[Group]]:
        """The groups in rounds: one is over when a campaign has all that it asked for, or `most_s` more than before.

        `work`: seconds a picture. `loaded`: what lanes have loaded, which goes into a round first.
        """
        left: dict[str, list[Group]] = {}
        for group in sorted(groups, key=lambda one: (one.affinity not in loaded, one.oldest)):
            left.setdefault(group.campaign, []).append(group)
        level = {name: self.given(name) for name in left}
        for _ in range(ROUNDS - 1):
            if len(left) < 2:  # one alone shares with nobody
                break
            ends = {name: level[name] + sum(one.count * work(one) for one in mine) for name, mine in left.items()}
            goal = min(*ends.values(), min(level[name] for name in left) + most_s)
            parts: list[Group] = []
            for name, mine in list(left.items()):
                part, left[name] = (mine, []) if ends[name] <= goal else _cut(mine, goal - level[name], work)
                parts += part
                level[name] += sum(one.count * work(one) for one in part)
                if not left[name]:
                    del left[name]
            yield parts
        if left:
            yield [one for mine in left.values() for one in mine]


def _cut(groups: Sequence[Group], seconds: float, work: Callable[[Group], float]) -> tuple[list[Group], list[Group]]:
    """So much of the groups, in their order and in whole pictures, and the rest."""
    part: list[Group] = []
    rest: list[Group] = []
    for group in groups:
        count = min(group.count, max(0, ceil(seconds / work(group) - EPSILON)))
        seconds -= count * work(group)
        if count:
            part.append(replace(group, count=count))
        if count < group.count:
            rest.append(replace(group, count=group.count - count))
    return part, rest
