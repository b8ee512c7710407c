"""What waits, and who takes what: requests in groups that the same lanes can make with the same files loaded.

Nothing waits here; the choice is the scheduler's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial

from assetline.dispatch.lane import Lane
from assetline.dispatch.scheduler import Group, Key, Scheduler, Situation
from assetline.dispatch.speeds import Speeds
from assetline.dispatch.ticket import Ticket

Kind = tuple[frozenset[Lane], str, int]  # the lanes that suit, what is to be loaded, the priority


class RequestQueue:
    """Fresh tickets by kind, and tickets that came back after a failed try; of a group those go first."""

    def __init__(self, lanes: Sequence[Lane], speeds: Speeds) -> None:
        self._lanes = lanes
        self._speeds = speeds
        self._scheduler = Scheduler(speeds)
        self._fresh: dict[Kind, deque[Ticket]] = {}
        self._returned: list[Ticket] = []
        self._lines: dict[Key, list[deque[Ticket]]] = {}
        self._last_taken: dict[tuple[str, int], float] = {}

    def __bool__(self) -> bool:
        return bool(self._returned) or any(self._fresh.values())

    def fill(self, tickets: Iterable[Ticket]) -> list[Ticket]:
        """Queue fresh tickets; give back those that no lane can make."""
        homeless = []
        for ticket in tickets:
            lanes = frozenset(lane for lane in self._lanes if ticket.suits(lane))
            if lanes:
                self._fresh.setdefault((lanes, ticket.affinity, ticket.planned.priority), deque()).append(ticket)
            else:
                homeless.append(ticket)
        self.changed()
        return homeless

    def put_back(self, ticket: Ticket) -> None:
        """Queue a ticket whose try failed."""
        self._returned.append(ticket)
        self.changed()

    def withdraw(self, ticket: Ticket) -> None:
        """Take a returned ticket out, if it still waits."""
        if ticket in self._returned:
            self._returned.remove(ticket)
            self.changed()

    def changed(self) -> None:
        """A lane went down, came back, or was found to lack something."""
        self._scheduler.forget()

    def take(self, lane: Lane, now: float) -> Ticket | None:
        """The ticket that `lane` should make next, if any: what it has found itself unable to make is for others."""
        while group := self._scheduler.choose(lane.state(now, self._speeds), now, partial(self._situation, now)):
            if ticket := self._pop(group.key):
                self._last_taken[group.affinity, group.priority] = now
                return ticket
            self.changed()  # it was taken past the plan
        return None

    def take_returned(self, lane: Lane) -> Ticket | None:
        """The oldest returned ticket that `lane` may try, without regard to what is loaded."""
        waiting = [ticket for ticket in self._returned if lane in self._takers(ticket)]
        ticket = min(waiting, key=lambda ticket: ticket.order, default=None)
        if ticket:
            self.withdraw(ticket)
        return ticket

    def take_homeless(self) -> list[Ticket]:
        """Take out every ticket that no lane can make any more, since lanes have gone."""
        homeless = [ticket for ticket in self._returned if not self._suited(ticket)]
        for ticket in homeless:
            self._returned.remove(ticket)
        for (lanes, _, _), tickets in self._fresh.items():
            if all(lane.gone for lane in lanes):
                homeless.extend(tickets)
                tickets.clear()
        self.changed()
        return homeless

    def _situation(self, now: float) -> Situation:
        """All that waits, in groups as things stand; `_lines` keeps the tickets of each until the next look."""
        self._lines = {}
        for ticket in self._returned:
            key = _names(self._takers(ticket)), ticket.affinity, ticket.planned.priority
            self._lines.setdefault(key, []).append(deque([ticket]))
        for (lanes, affinity, priority), tickets in self._fresh.items():
            if tickets:
                self._lines.setdefault((_names(_able(lanes, affinity)), affinity, priority), []).append(tickets)
        groups = [self._group(key, lines) for key, lines in self._lines.items()]
        return Situation(groups, [lane.state(now, self._speeds) for lane in self._lanes if lane.is_up])

    def _group(self, key: Key, lines: Sequence[deque[Ticket]]) -> Group:
        lanes, affinity, priority = key
        first = min((tickets[0] for tickets in lines), key=lambda ticket: ticket.number)
        since = max(first.since, self._last_taken.get((affinity, priority), first.since))
        return Group(lanes, affinity, priority, sum(map(len, lines)), first.number, since)

    def _pop(self, key: Key) -> Ticket | None:
        """The first of a group, if there is one: one that came back, or the next in the order of the sheet."""
        lines = [tickets for tickets in self._lines[key] if tickets]
        line = min(lines, key=lambda tickets: (tickets[0].entered is None, tickets[0].order), default=None)
        if line is None:
            return None
        ticket = line.popleft()
        if ticket.entered:
            self._returned.remove(ticket)
        return ticket

    def _suited(self, ticket: Ticket) -> list[Lane]:
        return [lane for lane in self._lanes if ticket.suits(lane)]

    def _takers(self, ticket: Ticket) -> list[Lane]:
        """The lanes on which it has not failed yet, as long as one of those answers; else any that suits."""
        suited = self._suited(ticket)
        return [lane for lane in suited if lane not in ticket.avoided and lane.is_up] or suited


def _able(lanes: Iterable[Lane], affinity: str) -> list[Lane]:
    """Of the lanes that suit, those that have not refused the affinity; all of them when no lane is left that may."""
    here = [lane for lane in lanes if not lane.gone]
    return [lane for lane in here if affinity not in lane.lacks] or here


def _names(lanes: Iterable[Lane]) -> frozenset[str]:
    return frozenset(lane.name for lane in lanes)
