"""Lanes pull: a lane with a free slot takes the request that it should make next. Nobody pushes.

`lane` (slots and health), `request_queue` (what waits), `scheduler` (who takes what, by a plan that `assignment`
makes from what `speeds` has learned), `ticket` (one request on its way), `dispatcher` (the waiting), `events` (what
happens on lanes). Time is the event loop's, so that tests run on a virtual clock.
"""

from assetline.dispatch.dispatcher import Dispatcher, DispatchOptions, Make
from assetline.dispatch.events import LaneEvent
from assetline.dispatch.lane import Lane
from assetline.dispatch.speeds import Speed, Speeds
from assetline.dispatch.ticket import Ticket

__all__ = ["DispatchOptions", "Dispatcher", "Lane", "LaneEvent", "Make", "Speed", "Speeds", "Ticket"]
