"""What waits, and who takes what: requests in groups that the same lanes can make with the same files loaded.

Nothing waits here; the choice is the scheduler's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from assetline.dispatch.health import Health
from assetline.dispatch.lane import Lane
from assetline.dispatch.scheduler import Scheduler
from assetline.dispatch.situation import Group, Key, LaneState, Situation
from assetline.dispatch.speeds import Speeds
from assetline.dispatch.ticket import Ticket

URGENT_IN_A_ROW = 4  # interactive requests on a lane, after which it takes one of a campaign: that is not starved

Kind = tuple[frozenset[Lane], str, float, str]  # the lanes that suit, what is to be loaded, priority, campaign


class RequestQueue:
    """Fresh tickets by kind, and tickets that came back after a failed try; of a group those go first.

    `paused` names campaigns of which nothing is handed out.
    """

    def __init__(self, lanes: Sequence[Lane], speeds: Speeds, health: Health) -> None:
        self.paused: set[str] = set()
        self._lanes = lanes
        self._speeds = speeds
        self._health = health
        self._scheduler = Scheduler(speeds)
        self._fresh: dict[Kind, deque[Ticket]] = {}
        self._returned: list[Ticket] = []
        self._lines: dict[Key, list[deque[Ticket]]] = {}
        self._last_taken: dict[tuple[str, float, str], float] = {}
        self._urgent_in_a_row: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._returned) or any(self._fresh.values())

    def fill(self, tickets: Iterable[Ticket], now: float) -> list[Ticket]:
        """Queue fresh tickets; give back those that no lane can make."""
        homeless = []
        for ticket in tickets:
            kind = self._kind_of(ticket)
            if all(lane.gone or self._health.is_closed(lane.name, now) for lane in kind[0]):
                homeless.append(ticket)
            else:
                self._fresh.setdefault(kind, deque()).append(ticket)
        self.changed()
        return homeless

    def put_back(self, ticket: Ticket) -> None:
        """Queue a ticket whose try failed."""
        self._returned.append(ticket)
        self.changed()

    def lines(self) -> Iterator[tuple[frozenset[Lane], str, Sequence[Ticket]]]:
        """All that waits, with the lanes that suit; nothing of paused campaigns."""
        for (lanes, affinity, _, campaign), tickets in self._fresh.items():
            if tickets and campaign not in self.paused:
                yield lanes, affinity, list(tickets)
        for ticket in self._returned:
            if not self._is_paused(ticket):
                yield frozenset(self._suited(ticket)), ticket.affinity, [ticket]

    def let_go(self, numbers: Collection[int]) -> None:
        """Of what is kept from a lane these may go there, and those that nobody else is left for; all others stay."""
        for ticket in self._returned:
            ticket.goes = ticket.may_go and (ticket.number in numbers or _has_no_other(ticket, self._lanes))
        moved: list[Ticket] = []
        for (lanes, *_), tickets in self._fresh.items():
            new = [ticket for ticket in tickets if ticket.may_go and ticket.goes != (ticket.number in numbers)]
            new = [ticket for ticket in new if not (ticket.goes and _has_no_other(ticket, lanes))]
            if new:
                here = set(new)
                kept = [ticket for ticket in tickets if ticket not in here]
                tickets.clear()
                tickets.extend(kept)
                moved += new
        for ticket in moved:
            ticket.goes = not ticket.goes
        self._put_in_order(moved)
        self.changed()

    def withdraw(self, ticket: Ticket) -> None:
        """Take a returned ticket out, if it still waits."""
        if ticket in self._returned:
            self._returned.remove(ticket)
            self.changed()

    def drop(self, numbers: Collection[int]) -> None:
        """Take out all tickets with these numbers: nobody wants them any more."""
        self._returned = [ticket for ticket in self._returned if ticket.number not in numbers]
        for tickets in self._fresh.values():
            kept = [ticket for ticket in tickets if ticket.number not in numbers]
            if len(kept) < len(tickets):
                tickets.clear()
                tickets.extend(kept)
        self.changed()

    def changed(self) -> None:
        """A lane went down, came back, was shut or opened, or was found to lack something."""
        self._scheduler.forget()

    def take(self, lane: Lane, now: float) -> Ticket | None:
        """The ticket that `lane` should make next, if any: what it has found itself unable to make is for others."""
        while group := self._scheduler.choose(self._state(lane, now), now, partial(self._situation, now)):
            if ticket := self._pop(group.key, lane):
                self._last_taken[group.affinity, group.priority, group.campaign] = now
                return self._taken(ticket, lane)
            self.changed()  # it was taken past the plan
        return None

    def _put_in_order(self, tickets: Iterable[Ticket]) -> None:
        """Queue fresh tickets that were in the queue before, each where it would have been."""
        kinds = set()
        for ticket in tickets:
            kind = self._kind_of(ticket)
            self._fresh.setdefault(kind, deque()).append(ticket)
            kinds.add(kind)
        for kind in kinds:
            ordered = sorted(self._fresh[kind], key=lambda ticket: ticket.number)
            self._fresh[kind].clear()
            self._fresh[kind].extend(ordered)

    def _kind_of(self, ticket: Ticket) -> Kind:
        lanes = frozenset(lane for lane in self._lanes if ticket.suits(lane))
        return lanes, ticket.affinity, ticket.priority, ticket.campaign

    def take_past_limit(self, lane: Lane, now: float, *, urgent: bool) -> Ticket | None:
        """The first that came back, or is `urgent`, and that `lane` may try, without regard to what is loaded."""
        waiting: list[Ticket] = [ticket for ticket in self._returned if not self._is_paused(ticket)]
        if urgent:
            waiting += [tickets[0] for tickets in self._fresh.values() if tickets and tickets[0].is_urgent]
        waiting = [ticket for ticket in waiting if lane in self._takers(ticket, now)]
        ticket = min(waiting, key=lambda ticket: ticket.order, default=None)
        if ticket is None:
            return None
        if ticket.entered:
            self._returned.remove(ticket)
        else:
            self._fresh[self._kind(ticket)].popleft()
        self.changed()
        return self._taken(ticket, lane)

    def take_homeless(self, now: float) -> list[Ticket]:
        """Take out every ticket that no lane can make any more, since lanes have gone or fail whatever they are given.

        Tickets of a paused campaign stay: much can be mended until it goes on.
        """
        homeless = [ticket for ticket in self._returned if self.is_homeless(ticket, now)]
        for ticket in homeless:
            self._returned.remove(ticket)
        for (lanes, affinity, _, campaign), tickets in self._fresh.items():
            if tickets and campaign not in self.paused and not self._has_hope(lanes, affinity, now):
                homeless.extend(tickets)
                tickets.clear()
        if homeless:
            self.changed()
        return homeless

    def is_homeless(self, ticket: Ticket, now: float) -> bool:
        """Whether no lane is left that can make it; never while its campaign is paused."""
        return not self._is_paused(ticket) and not self._has_hope(self._suited(ticket), ticket.affinity, now)

    def waiting_for(self, lane: Lane) -> int:
        """How many requests wait for this lane alone."""
        fresh = (
            len(tickets) for (lanes, affinity, *_), tickets in self._fresh.items() if _able(lanes, affinity) == [lane]
        )
        return sum(fresh) + sum(_able(self._suited(ticket), ticket.affinity) == [lane] for ticket in self._returned)

    def _has_hope(self, lanes: Iterable[Lane], affinity: str, now: float) -> bool:
        return not all(self._health.is_hopeless(lane.name, affinity, now) for lane in _able(lanes, affinity))

    def _taken(self, ticket: Ticket, lane: Lane) -> Ticket:
        row = self._urgent_in_a_row.get(lane.name, 0)
        self._urgent_in_a_row[lane.name] = row + 1 if ticket.is_urgent else 0
        return ticket

    def _state(self, lane: Lane, now: float) -> LaneState:
        state = lane.state(now, self._speeds)
        if self._urgent_in_a_row.get(lane.name, 0) >= URGENT_IN_A_ROW:
            return replace(state, yields=True)
        return state

    def _situation(self, now: float) -> Situation:
        """All that waits, in groups as things stand; `_lines` keeps the tickets of each until the next look."""
        self._lines = {}
        for ticket in self._returned:
            if not self._is_paused(ticket):
                key = _names(self._takers(ticket, now)), ticket.affinity, ticket.priority, ticket.campaign
                self._lines.setdefault(key, []).append(deque([ticket]))
        self._fresh = {kind: tickets for kind, tickets in self._fresh.items() if tickets}
        for (lanes, affinity, priority, campaign), tickets in self._fresh.items():
            if campaign not in self.paused:
                key = _names(self._open(_able(lanes, affinity), affinity, now)), affinity, priority, campaign
                self._lines.setdefault(key, []).append(tickets)
        self._forget_groups_that_ended()
        groups = [self._group(key, lines) for key, lines in self._lines.items()]
        return Situation(groups, [lane.state(now, self._speeds) for lane in self._open(self._lanes, "", now)])

    def _forget_groups_that_ended(self) -> None:
        here = {key[1:] for key in self._lines}
        self._last_taken = {which: at for which, at in self._last_taken.items() if which in here}

    def _group(self, key: Key, lines: Sequence[deque[Ticket]]) -> Group:
        lanes, affinity, priority, campaign = key
        first = min((tickets[0] for tickets in lines), key=lambda ticket: ticket.number)
        since = max(first.since, self._last_taken.get((affinity, priority, campaign), first.since))
        return Group(lanes, affinity, priority, sum(map(len, lines)), first.number, since, campaign)

    def _pop(self, key: Key, lane: Lane) -> Ticket | None:
        """The first of a group, if there is one: one that came back, or the next in the order of the sheet.

        Where something has gone wrong lately, those that have failed go last: a fresh one tells who is to blame.
        """
        lines = [tickets for tickets in self._lines[key] if tickets]
        is_clean = self._health.is_clean(lane.name, key[1])

        def turn(tickets: deque[Ticket]) -> tuple[bool, bool, tuple[float, int]]:
            first = tickets[0]
            return not is_clean and bool(first.avoided), first.entered is None, first.order

        line = min(lines, key=turn, default=None)
        if line is None:
            return None
        ticket = line.popleft()
        if ticket.entered:
            self._returned.remove(ticket)
        return ticket

    def _is_paused(self, ticket: Ticket) -> bool:
        return ticket.campaign in self.paused

    def _kind(self, ticket: Ticket) -> Kind:
        return next(kind for kind, tickets in self._fresh.items() if tickets and tickets[0] is ticket)

    def _suited(self, ticket: Ticket) -> list[Lane]:
        return [lane for lane in self._lanes if not lane.gone and ticket.suits(lane)]

    def _open(self, lanes: Iterable[Lane], affinity: str, now: float) -> list[Lane]:
        """Those that are up, and are not shut for this affinity (without one: for everything)."""
        return [lane for lane in lanes if lane.is_up and self._health.is_counted_on(lane.name, affinity, now)]

    def _takers(self, ticket: Ticket, now: float) -> list[Lane]:
        """The lanes on which it has not failed yet, of those the ones where nothing has gone wrong; else any."""
        able = self._open(self._suited(ticket), ticket.affinity, now)
        others = [lane for lane in able if lane not in ticket.avoided]
        clean = [lane for lane in others if self._health.is_clean(lane.name, ticket.affinity)]
        return clean or others or able


def _has_no_other(ticket: Ticket, lanes: Iterable[Lane]) -> bool:
    """Whether nobody of these is left but the lane that it was kept from."""
    return all(lane.gone for lane in lanes if lane is not ticket.reserve and ticket.suits(lane))


def _able(lanes: Iterable[Lane], affinity: str) -> list[Lane]:
    """Of the lanes that suit, those that have not refused the affinity; all of them when no lane is left that may."""
    here = [lane for lane in lanes if not lane.gone]
    return [lane for lane in here if affinity not in lane.lacks] or here


def _names(lanes: Iterable[Lane]) -> frozenset[str]:
    return frozenset(lane.name for lane in lanes)
