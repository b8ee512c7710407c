"""The one place that decides about trying again. It asks the error; nothing else does."""

from __future__ import annotations

from dataclasses import dataclass

from assetline.errors import AssetlineError, BackendUnavailable, LaneUnsuited


@dataclass(frozen=True)
class RetryPolicy:
    """Quick retries inside one asset. `attempts` counts those that spent a lane's time on the request.

    A worker that is down, that fails others' requests as well, or that lacks a model, says nothing about the request:
    such tries have the wider limit `detours`, so that a bad worker cannot use up a request's chances: the growing
    pauses of `dispatch.health` leave room for eight within two minutes.
    """

    attempts: int = 3
    detours: int = 12

    def try_again(self, error: AssetlineError, spent: int, detoured: int) -> bool:
        """Whether another try may help, after `spent` real attempts and `detoured` detours (this one included)."""
        if not error.transient:
            return False
        return spent < self.attempts and detoured < self.detours


DEFAULT_POLICY = RetryPolicy()
NO_RETRIES = RetryPolicy(attempts=1, detours=1)


def is_detour(error: AssetlineError) -> bool:
    """Whether the try never reached the request itself: the lane was down, or was the wrong one."""
    return isinstance(error, BackendUnavailable | LaneUnsuited)
