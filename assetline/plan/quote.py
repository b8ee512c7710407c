"""What a run would make and what it would take, before it starts: `assetline plan`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from assetline.plan.campaign import CampaignPlan
from assetline.records import PlannedRequest, Record

# A first guess for each kind of lane, not a measurement of this machine; whoever shows minutes says so.
# FPO: 101 comps were drawn, checked and stored in 12 s on two busy cores. ComfyUI: 25 steps at a megapixel on a
# mid-range card (about 2.5 steps a second), decoding and fetching.
SECONDS_PER_PICTURE = {"fpo": 0.12, "comfyui": 12.0}
DEAREST_ROWS = 5


class LaneQuote(Record):
    """One lane's share. `minutes` is a first guess."""

    lane: str
    requests: int
    minutes: float


class CostRange(Record):
    """What may be spent, in US dollars."""

    low: float
    high: float


class RowQuote(Record):
    """A row with many pictures to make."""

    row: str
    requests: int
    minutes: float


class Quote(Record):
    """`plan --json`. `requests` is `reused` + `to_make`; `minutes` of the whole is that of the slowest lane."""

    campaign: str
    rows: int
    requests: int
    reused: int
    to_make: int
    lanes: tuple[LaneQuote, ...]
    minutes: float
    cost_usd: CostRange
    dearest_rows: tuple[RowQuote, ...]


def quote(plan: CampaignPlan, existing_keys: Collection[str], lanes: Mapping[str, str]) -> Quote:
    """What `plan` would take. `existing_keys` are the requests whose pictures are stored already.

    `lanes` maps each lane's name to its kind (`fpo`, `comfyui`); the lanes of a kind share its work evenly. Two
    requests of the sheet with one key are made once, so that the second counts as reused. Nothing costs money yet.
    """
    to_make = _to_make(plan.requests, set(existing_keys))
    shares = [_share(name, lanes, to_make) for name in lanes]
    return Quote(
        campaign=plan.campaign,
        rows=len(plan.rows),
        requests=len(plan.requests),
        reused=len(plan.requests) - len(to_make),
        to_make=len(to_make),
        lanes=tuple(shares),
        minutes=max((share.minutes for share in shares), default=0.0),
        cost_usd=CostRange(low=0.0, high=0.0),
        dearest_rows=_dearest(to_make),
    )


def _to_make(requests: Iterable[PlannedRequest], known: set[str]) -> list[PlannedRequest]:
    """Requests that are neither stored nor the same as an earlier one. `known` is used up."""
    fresh = []
    for planned in requests:
        if planned.request.key not in known:
            known.add(planned.request.key)
            fresh.append(planned)
    return fresh


def _kind(planned: PlannedRequest) -> str:
    return "comfyui" if planned.request.workflow else "fpo"


def _share(lane: str, lanes: Mapping[str, str], to_make: Collection[PlannedRequest]) -> LaneQuote:
    kind = lanes[lane]
    peers = [name for name, other in lanes.items() if other == kind]
    all_of_kind = sum(_kind(planned) == kind for planned in to_make)
    own = all_of_kind // len(peers) + (peers.index(lane) < all_of_kind % len(peers))
    return LaneQuote(lane=lane, requests=own, minutes=_minutes(own * SECONDS_PER_PICTURE[kind]))


def _dearest(to_make: Iterable[PlannedRequest]) -> tuple[RowQuote, ...]:
    seconds: dict[str, list[float]] = {}
    for planned in to_make:
        seconds.setdefault(planned.row, []).append(SECONDS_PER_PICTURE[_kind(planned)])
    most = sorted(seconds.items(), key=lambda row: -len(row[1]))[:DEAREST_ROWS]
    return tuple(RowQuote(row=row, requests=len(each), minutes=_minutes(sum(each))) for row, each in most)


def _minutes(seconds: float) -> float:
    return round(seconds / 60, 1 if seconds >= 60 else 2)
