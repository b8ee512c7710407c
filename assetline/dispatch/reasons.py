"""Why a request fails that nobody is left for, in a producer's words: the cause first."""

from __future__ import annotations

from collections.abc import Sequence

from assetline.dispatch.health import Health, sentence
from assetline.dispatch.lane import Lane
from assetline.dispatch.ticket import Ticket

CAUSES = 3  # that are told; the rest are counted


def why_nobody(ticket: Ticket, lanes: Sequence[Lane], health: Health) -> str:
    """What went wrong on the last try and on the lanes that could have made it, then what that comes to."""
    last = [ticket.attempts[-1].error] if ticket.attempts else []
    able = [lane for lane in lanes if ticket.suits(lane)]
    found = (lane.fault if lane.gone else health.reason(lane.name, ticket.affinity) for lane in able)
    causes = [sentence(cause) for cause in dict.fromkeys([*last, *found]) if cause]
    if not causes:
        return "No lane of this run can make it."
    more = f" And {len(causes) - CAUSES} more lanes." if len(causes) > CAUSES else ""
    return f"{' '.join(causes[:CAUSES])}{more} No lane is left that can make it."
