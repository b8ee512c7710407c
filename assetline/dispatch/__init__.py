"""Lanes pull: a lane with a free slot takes the request that it should make next. Nobody pushes.

`lane` (slots), `health` (who is trusted with what), `request_queue` (what waits, in groups: `situation`), `scheduler`
(who takes what, by a plan that `plan.assignment` makes from what `speeds` has learned; `fair_share` between campaigns),
`ticket` (one request on its way), `batch` (requests that came together), `dispatcher` (the waiting), `reasons` (why
nobody is left), `reviewer` (what may go to a lane that costs money, decided again and again by an `outlook`), `events`
(what happens on lanes). Time is the event loop's, so that tests run on a virtual clock.
"""

from assetline.dispatch.batch import Batch, Make
from assetline.dispatch.dispatcher import Dispatcher
from assetline.dispatch.events import LaneEvent
from assetline.dispatch.lane import Lane
from assetline.dispatch.options import DispatchOptions
from assetline.dispatch.outlook import Outlook, OverflowRule, Waiting
from assetline.dispatch.speeds import Speeds
from assetline.dispatch.ticket import Ticket
from assetline.ledger_records import Speed

__all__ = [
    "Batch",
    "DispatchOptions",
    "Dispatcher",
    "Lane",
    "LaneEvent",
    "Make",
    "Outlook",
    "OverflowRule",
    "Speed",
    "Speeds",
    "Ticket",
    "Waiting",
]
