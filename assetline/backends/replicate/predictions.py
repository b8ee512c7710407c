"""A prediction as the API tells of it, read from plain JSON: of any status, with outputs of any shape."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assetline.backends.replicate.prices import Ending

log = logging.getLogger(__name__)

ENDINGS: frozenset[Ending] = frozenset({"succeeded", "failed", "canceled", "aborted"})
OPEN_STATUSES = frozenset({"starting", "processing"})


@dataclass(frozen=True)
class Prediction:
    """What matters of one. `ending` is None while it goes on; `outputs` are URLs, also `data:` ones.

    `removed`: input and outputs are gone (an hour after its end). `worked_s` is predict_time. `times` as told.
    """

    id: str
    model: str
    version: str
    status: str
    ending: Ending | None
    input: dict[str, Any] | None
    outputs: tuple[str, ...]
    removed: bool
    error: str
    worked_s: float | None
    began: bool
    times: dict[str, str]


def read_prediction(answer: Any) -> Prediction:
    """Read one. Raises ValueError for what is no prediction. A status that is not known is one that goes on."""
    if not isinstance(answer, Mapping) or not isinstance(answer.get("id"), str) or not answer["id"]:
        raise ValueError("the answer is no prediction: it has no id")
    status = str(answer.get("status"))
    if status not in ENDINGS and status not in OPEN_STATUSES:
        log.warning("unknown status, taken as not ended: prediction=%s status=%s", answer["id"], status)
    metrics = answer.get("metrics")
    worked = metrics.get("predict_time") if isinstance(metrics, Mapping) else None
    sent = answer.get("input")
    times = {name: str(answer[name]) for name in ("created_at", "started_at", "completed_at") if answer.get(name)}
    return Prediction(
        id=answer["id"],
        model=str(answer.get("model") or ""),
        version=str(answer.get("version") or ""),
        status=status,
        ending=next((ending for ending in ENDINGS if ending == status), None),
        input=sent if isinstance(sent, dict) else None,
        outputs=_outputs(answer.get("output")),
        removed=bool(answer.get("data_removed")),
        error=_error(answer.get("error")),
        worked_s=float(worked) if isinstance(worked, int | float) else None,
        began=bool(answer.get("started_at")),
        times=times,
    )


def _outputs(output: Any) -> tuple[str, ...]:
    """The URLs of a string, a list, or an object that holds either."""
    if isinstance(output, str):
        return (output,)
    if isinstance(output, Mapping):
        return tuple(url for value in output.values() for url in _outputs(value))
    if isinstance(output, list):
        return tuple(url for value in output for url in _outputs(value))
    return ()


def _error(error: Any) -> str:
    return error if isinstance(error, str) else "" if error is None else json.dumps(error)
