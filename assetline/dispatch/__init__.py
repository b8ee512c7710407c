"""Lanes pull: a lane with a free slot takes the request that it should make next. Nobody pushes.

`lane` (slots and health), `request_queue` (who takes what; no waiting), `ticket` (one request on its way),
`dispatcher` (the waiting). Time is the event loop's, so that tests run on a virtual clock.
"""

from assetline.dispatch.dispatcher import Dispatcher, DispatchOptions, Make
from assetline.dispatch.lane import Lane
from assetline.dispatch.ticket import Ticket

__all__ = ["DispatchOptions", "Dispatcher", "Lane", "Make", "Ticket"]
