"""What a run that was killed has left on a worker, and whether that run is really no more.

Every prompt carries its `maker` in `extra_data`: host, process and a token of the lane that handed it in.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from uuid import uuid4

from assetline.backends import STATES
from assetline.backends.comfyui.answers import Remnant

_SEPARATOR = "/"
_open_here: set[str] = set()


def new_maker() -> str:
    """A name for a lane of this process; it counts as alive until `retire`."""
    maker = _SEPARATOR.join([socket.gethostname(), str(os.getpid()), uuid4().hex[:12]])
    _open_here.add(maker)
    return maker


def retire(maker: str) -> None:
    """The lane is closed: what it left behind may be adopted."""
    _open_here.discard(maker)


def is_alive(maker: str) -> bool | None:
    """Whether the lane that handed a prompt in is still open; None where it was on another machine.

    A process id may have been given to another process meanwhile; then a dead maker passes for alive, and its
    prompts are made again instead of adopted.
    """
    host, _, rest = maker.partition(_SEPARATOR)
    pid = rest.partition(_SEPARATOR)[0]
    if host != socket.gethostname() or not pid.isdecimal() or os.name != "posix":
        return None
    if int(pid) == os.getpid():
        return maker in _open_here
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def best_by_request(remnants: Iterable[Remnant]) -> dict[str, Remnant]:
    """Of each request the remnant that is furthest, by request key; those of a maker that is alive are left out."""
    furthest_last = sorted(remnants, key=lambda remnant: STATES.index(remnant.state), reverse=True)
    return {remnant.request_key: remnant for remnant in furthest_last if not is_alive(remnant.maker)}


def orphans(remnants: Iterable[Remnant], campaign: str, adopted: Iterable[Remnant]) -> list[Remnant]:
    """Those of `campaign` that wait for their turn, though their maker is certainly dead and nobody wants them."""
    kept = {remnant.prompt_id for remnant in adopted}
    return [
        remnant
        for remnant in remnants
        if remnant.state == "pending"
        and remnant.campaign == campaign
        and remnant.prompt_id not in kept
        and is_alive(remnant.maker) is False
    ]
