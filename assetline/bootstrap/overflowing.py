"""Overflow while a run goes on: asked again and again what must go to Replicate now; at the end what went, and why."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from functools import partial

from assetline.bootstrap.planning import REPLICATE
from assetline.dispatch import Outlook, Waiting
from assetline.errors import LedgerUnreachable
from assetline.plan import Money, Overflow
from assetline.plan.overflow import (
    DOUBT_OF_GUESS,
    DOUBT_OF_LEARNED,
    Candidate,
    Standing,
    affordable,
    must_go,
    price_of,
)
from assetline.plan.pace import SECONDS_PER_PICTURE
from assetline.records import Outcome, PlannedRequest
from assetline.run_records import OverflowRecord

log = logging.getLogger(__name__)

Compute = Callable[[Callable[[], set[int]]], Awaitable[set[int]]]

SLOWER = 1.2  # times as long as was expected at the start is told as a reason of its own
LANES_TOLD = 2


class LiveOverflow:
    """The rule of one run (`assetline.dispatch.OverflowRule`).

    `money` gives prices, and what the caps leave now; it may raise LedgerUnreachable: then nothing new goes. `compute`
    does what takes long: a third of a second for 10,000 requests on 32 workers.
    """

    lane = REPLICATE
    guess_s = SECONDS_PER_PICTURE["comfyui"]

    def __init__(
        self, overflow: Overflow, money: Callable[[], Awaitable[Money]], compute: Compute = asyncio.to_thread
    ) -> None:
        self._overflow = overflow
        self._money = money
        self._compute = compute
        self._expected_s: float | None = None
        self._why: dict[str, str] = {}

    def holds(self, planned: PlannedRequest) -> bool:
        """Whether Replicate could make something in its place."""
        return planned.request.key in self._overflow.requests

    def is_paid(self, planned: PlannedRequest) -> bool:
        """Whether Replicate has been paid for it by an earlier run: it waits there, or is on its way."""
        return planned.request.key in self._overflow.paid and self.holds(planned)

    async def review(self, outlook: Outlook) -> Collection[int]:
        """What may go now: what has been paid for, and what must go so that the workers are done in time."""
        left_s = self._overflow.limit_s - outlook.worked_s
        candidates = self._candidates(outlook.waiting)
        paid = {one.number for one in candidates if one.is_free}
        needed_s = outlook.seconds(paid)
        if self._expected_s is None:
            self._expected_s = needed_s
        if needed_s <= left_s:
            return paid
        try:
            money = await self._money()
        except LedgerUnreachable as error:
            log.warning("nothing more goes to Replicate: the ledger does not answer: %s", error)
            return paid
        chosen = await self._compute(partial(self._choose, outlook, money, candidates))
        if chosen - paid:
            self._note(len(chosen - paid), needed_s, outlook)
        return paid | chosen

    def _choose(self, outlook: Outlook, money: Money, candidates: Sequence[Candidate]) -> set[int]:
        doubt = DOUBT_OF_GUESS if outlook.is_guess else DOUBT_OF_LEARNED
        standing = Standing(
            candidates=affordable(candidates, money, self._left_usd(outlook, money)),
            seconds=outlook.seconds,
            at_best=lambda gone: outlook.seconds_if_back(gone) / doubt,
            left_s=self._overflow.limit_s - outlook.worked_s,
            sent=len(outlook.at_work),
        )
        return {one.number for one in must_go(standing)}

    def record(self, run_id: str, outcomes: Iterable[Outcome]) -> OverflowRecord | None:
        """What went in this run, what it cost, why; None where nothing did, or was expected to."""
        made = {outcome.asset.original: outcome.asset for outcome in outcomes if outcome.asset}
        mine = [asset for asset in made.values() if asset.made_as and asset.run_id == run_id]
        expected = self._overflow.quote.pictures if self._overflow.quote else 0
        if not mine and not expected:
            return None
        cost = round(sum(asset.cost_usd for asset in mine), 6)
        return OverflowRecord(pictures=len(mine), expected=expected, cost_usd=cost, why=tuple(self._why.values()))

    def _candidates(self, waiting: Sequence[Waiting]) -> list[Candidate]:
        """What may go: first what no worker is left for, then what would be made last."""
        may_go = [one for one in reversed(waiting) if one.may_go]
        may_go.sort(key=lambda one: not one.is_stranded)  # stable
        requests, paid = self._overflow.requests, self._overflow.paid
        return [
            Candidate(one.number, requests[key], one.group, key in paid)
            for one in may_go
            if (key := one.planned.request.key) in requests
        ]

    def _left_usd(self, outlook: Outlook, money: Money) -> float:
        """What the caps leave when all that Replicate has now, and all that must be paid anyway, has been paid."""
        requests = self._overflow.requests
        due = [money.price_of(one.planned).high for one in outlook.waiting]
        for planned in outlook.at_work:
            key = planned.request.key
            instead = requests.get(key)
            paid = Candidate(0, instead, "", key in self._overflow.paid) if instead else None
            due.append((price_of(paid, money) if paid else money.price_of(planned)).high)
        return min((cap.left_usd for cap in money.caps), default=float("inf")) - sum(due)

    def _note(self, pictures: int, needed_s: float, outlook: Outlook) -> None:
        """Keep the reason, and tell it when it is a new one."""
        kind, words = self._reason(needed_s, outlook)
        if kind not in self._why:
            self._why[kind] = words
            log.warning("overflow: pictures=%d of=%d why=%s", pictures, len(outlook.waiting), words)

    def _reason(self, needed_s: float, outlook: Outlook) -> tuple[str, str]:
        if outlook.away:
            told = [f"{lane} is not there ({why.rstrip('.')})." for lane, why in outlook.away.items()]
            more = f" So are {len(told) - LANES_TOLD} more." if len(told) > LANES_TOLD else ""
            return "away " + " ".join(sorted(outlook.away)), " ".join(told[:LANES_TOLD]) + more
        in_all = needed_s + outlook.worked_s
        minutes, limit = round(in_all / 60, 1), round(self._overflow.limit_s / 60, 2)
        if in_all > SLOWER * (self._expected_s or 0.0) and outlook.worked_s:
            return "slow", f"The workers are slower than expected: about {minutes:g} min, {limit:g} are allowed."
        return "late", f"The workers alone would need about {minutes:g} min, {limit:g} are allowed."
