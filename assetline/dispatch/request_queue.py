"""Who takes what: requests in groups that the same lanes can make with the same models. Nothing waits here."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from assetline.dispatch.lane import Lane
from assetline.dispatch.ticket import Ticket

AFFINITY_BOUND = 32  # so many requests a lane keeps to what it has loaded while an older one waits (InvokeAI's bound)

Group = tuple[frozenset[Lane], str]  # the lanes that suit, and what is to be loaded


class RequestQueue:
    """Fresh tickets by group, and tickets that came back after a failed try; those go first."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = lanes
        self._fresh: dict[Group, deque[Ticket]] = {}
        self._returned: list[Ticket] = []

    def fill(self, tickets: Iterable[Ticket]) -> list[Ticket]:
        """Queue fresh tickets; give back those that no lane can make."""
        homeless = []
        for ticket in sorted(tickets, key=lambda ticket: ticket.order):
            lanes = frozenset(lane for lane in self._lanes if ticket.suits(lane))
            if lanes:
                self._fresh.setdefault((lanes, ticket.affinity), deque()).append(ticket)
            else:
                homeless.append(ticket)
        return homeless

    def put_back(self, ticket: Ticket) -> None:
        """Queue a ticket whose try failed."""
        self._returned.append(ticket)

    def withdraw(self, ticket: Ticket) -> None:
        """Take a returned ticket out, if it still waits."""
        if ticket in self._returned:
            self._returned.remove(ticket)

    def take_returned(self, lane: Lane) -> Ticket | None:
        """The returned ticket that `lane` should try next."""
        waiting = [ticket for ticket in self._returned if self._may_return(ticket, lane)]
        if not waiting:
            return None
        ticket = min(waiting, key=lambda ticket: ticket.order)
        self._returned.remove(ticket)
        return ticket

    def take_fresh(self, lane: Lane) -> Ticket | None:
        """The fresh ticket that `lane` should make next: the oldest of what it has loaded, within a bound.

        What it has found itself unable to make is left to the others, and they take that first.
        """
        groups = [group for group, tickets in self._fresh.items() if tickets and _may_take(lane, group)]
        if not groups:
            return None
        oldest = min(groups, key=self._turn)
        chosen = next((group for group in groups if self._keeps(lane, group, oldest)), oldest)
        lane.streak = lane.streak + 1 if chosen is not oldest else 0
        ticket = self._fresh[chosen].popleft()
        lane.loaded = ticket.affinity
        return ticket

    def take_homeless(self) -> list[Ticket]:
        """Take out every ticket that no lane can make any more, since lanes have gone."""
        homeless = [ticket for ticket in self._returned if not self._suited(ticket)]
        for ticket in homeless:
            self._returned.remove(ticket)
        for (lanes, _), tickets in self._fresh.items():
            if all(lane.gone for lane in lanes):
                homeless.extend(tickets)
                tickets.clear()
        return homeless

    def _turn(self, group: Group) -> tuple[int, bool, int]:
        """Priority, then what not every lane can make, then the order of the sheet."""
        lanes, affinity = group
        priority, number = self._fresh[group][0].order
        return priority, not any(affinity in lane.lacks for lane in lanes), number

    def _keeps(self, lane: Lane, group: Group, oldest: Group) -> bool:
        as_urgent = self._turn(group)[:2] == self._turn(oldest)[:2]
        return as_urgent and group[1] == lane.loaded and lane.streak < AFFINITY_BOUND

    def _suited(self, ticket: Ticket) -> list[Lane]:
        return [lane for lane in self._lanes if ticket.suits(lane)]

    def _may_return(self, ticket: Ticket, lane: Lane) -> bool:
        """A lane on which it has not failed yet, as long as one of those answers; else any that suits."""
        suited = self._suited(ticket)
        untried = [other for other in suited if other not in ticket.avoided and other.is_up]
        return lane in (untried or suited)


def _may_take(lane: Lane, group: Group) -> bool:
    """Whether `lane` suits; what it lacks the models for, it takes only when no other lane may have them."""
    lanes, affinity = group
    if affinity in lane.lacks and any(not other.gone and affinity not in other.lacks for other in lanes):
        return False
    return lane in lanes
