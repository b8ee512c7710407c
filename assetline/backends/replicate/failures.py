"""Why there is no picture, in plain words: the API's refusals, and the errors of predictions that failed.

The texts are Replicate's, as seen in public code and its documentation; what is not known here is taken as lasting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import httpx

from assetline.backends.replicate.catalog import ReplicateModel
from assetline.backends.replicate.options import LANE
from assetline.backends.replicate.predictions import Prediction
from assetline.errors import BackendError, JobFailed, JobRejected, LaneClosed, LaneUnsuited

NO_TOKEN, NO_CREDIT, FORBIDDEN, NOT_FOUND, THROTTLED = 401, 402, 403, 404, 429

# Faults within Replicate that a second try often does not meet. E1001 (out of memory) comes again.
TRANSIENT = re.compile(r"\(code: PA\)|\bE9828\b|\bE8765\b|\bE6716\b|\bE9243\b|\bE1000\b")
MODERATION = re.compile(
    r"\bE005\b|NSFW|flagged as sensitive|safety (?:filter|checker|system)|content policy", re.IGNORECASE
)
_SHOWN = 300


class Refused(Exception):
    """The API said no (4xx): nothing was accepted. It never leaves this package."""

    def __init__(self, status: int, headers: Mapping[str, str], body: Any) -> None:
        self.status = status
        self.headers = headers
        self.body: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
        self.words = " ".join(str(self.body.get(part) or "") for part in ("title", "detail")).strip()
        super().__init__(f"HTTP {status}: {self.words[:_SHOWN]}".rstrip(": "))


class Unanswered(Exception):
    """There was no answer that says anything (5xx, no connection, no JSON). It never leaves this package."""


class Throttled(Unanswered):
    """429: everybody holds back already; ask again."""


def no_answer(error: httpx.HTTPError) -> str:
    """A failed exchange in a few words: `no answer within the time allowed`, else httpx's own."""
    if isinstance(error, httpx.TimeoutException):
        return f"no answer within the time allowed ({type(error).__name__})"
    return str(error) or type(error).__name__


def closing(refused: Refused) -> str:
    """Why nothing may be paid any more, for refusals that are about the account; empty for others."""
    if refused.status == NO_CREDIT:
        return (
            f"Replicate takes nothing more: the account has no credit left ({refused.words[:_SHOWN] or 402}). "
            "Add credit at replicate.com/account/billing, wait some minutes, then run again; what was made is kept."
        )
    if refused.status == NO_TOKEN:
        return (
            f"Replicate does not accept the token ({refused.words[:_SHOWN] or refused.status}). "
            "Set REPLICATE_API_TOKEN to a valid one, then run again; what was made is kept."
        )
    return ""


def refusal(refused: Refused, model: ReplicateModel) -> BackendError:
    """What a refused create means for the request."""
    if reason := closing(refused):
        return LaneClosed(reason, lane=LANE)
    if refused.status in {FORBIDDEN, NOT_FOUND}:
        return LaneUnsuited(
            f"Replicate has no {model.call} model {model.ref} for this account. "
            f"Correct `model`, `call` or `version` of {model.name} in the catalogue.",
            lane=LANE,
            detail=str(refused),
        )
    return JobRejected(
        f"{model.name} at Replicate refused the input: {_fields(refused) or refused.words[:_SHOWN] or refused}. "
        "Nothing was charged.",
        lane=LANE,
        detail=str(refused),
    )


def failure(prediction: Prediction, model: ReplicateModel) -> BackendError:
    """What a prediction that failed means: only faults that are known to pass are tried again."""
    text = " ".join(prediction.error.split())[:_SHOWN] or "no reason was given"
    facts = {"lane": LANE, "job_id": prediction.id, "detail": prediction.error}
    if TRANSIENT.search(prediction.error):
        return JobFailed(f"{model.name} failed inside Replicate: {text}", **facts)
    if MODERATION.search(prediction.error):
        return flagged(prediction, model)
    return JobRejected(f"{model.name} at Replicate failed: {text}", **facts)


def flagged(prediction: Prediction, model: ReplicateModel) -> BackendError:
    """Its safety filter kept the picture back."""
    return JobRejected(
        f"{model.name}'s safety filter at Replicate gave no picture ({prediction.error or 'all were held back'}). "
        "It may be wrong: change the prompt or the seed.",
        lane=LANE,
        job_id=prediction.id,
    )


def _fields(refused: Refused) -> str:
    """`steps: must be at most 4; ...` of a 422."""
    faults = refused.body.get("invalid_fields")
    if not isinstance(faults, list):
        return ""
    named = [fault for fault in faults if isinstance(fault, Mapping)]
    return "; ".join(f"{fault.get('field', '?')}: {fault.get('description', fault.get('type', ''))}" for fault in named)
