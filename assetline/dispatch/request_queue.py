"""Who takes what: requests in groups that the same lanes can make with the same models. Nothing waits here."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from assetline.dispatch.lane import Lane
from assetline.dispatch.ticket import Ticket

AFFINITY_BOUND = 32  # so many requests a lane keeps to what it has loaded while an older one waits (InvokeAI's bound)


class RequestQueue:
    """Fresh tickets by group, and tickets that came back after a failed try; those go first."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = lanes
        self._fresh: dict[tuple[frozenset[Lane], str], deque[Ticket]] = {}
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
        """The fresh ticket that `lane` should make next: the oldest of what it has loaded, within a bound."""
        groups = [tickets for (lanes, _), tickets in self._fresh.items() if lane in lanes and tickets]
        if not groups:
            return None
        oldest = min(groups, key=lambda tickets: tickets[0].order)
        chosen = next((tickets for tickets in groups if self._keeps(lane, tickets[0], oldest[0])), oldest)
        lane.streak = lane.streak + 1 if chosen is not oldest else 0
        ticket = chosen.popleft()
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

    def _keeps(self, lane: Lane, ticket: Ticket, oldest: Ticket) -> bool:
        same_priority = ticket.planned.priority == oldest.planned.priority
        return same_priority and ticket.affinity == lane.loaded and lane.streak < AFFINITY_BOUND

    def _suited(self, ticket: Ticket) -> list[Lane]:
        return [lane for lane in self._lanes if ticket.suits(lane)]

    def _may_return(self, ticket: Ticket, lane: Lane) -> bool:
        """A lane on which it has not failed yet, as long as one of those answers; else any that suits."""
        suited = self._suited(ticket)
        untried = [other for other in suited if other not in ticket.avoided and other.is_up]
        return lane in (untried or suited)
