"""The Replicate lane of a run, on its budget. Brings the client and SQLAlchemy (0.5 s): for runs that have it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from assetline.backends.replicate.backend import REAL_TIME, ReplicateBackend, not_stored
from assetline.backends.replicate.catalog import ReplicateModel
from assetline.backends.replicate.options import Clock, PaidScope, ReplicateSettings
from assetline.bootstrap.money import require_token, run_cap_usd
from assetline.bootstrap.planning import Planning, open_store
from assetline.dispatch import Lane
from assetline.errors import (
    BackendError,
    BackendUnavailable,
    BudgetRefused,
    JobFailed,
    JobRejected,
    LedgerUnreachable,
    PaidJobFailed,
    RequestUnsuited,
)
from assetline.ledger import Caps, Ledger
from assetline.plan.pace import AT_ONCE, LEAST_SECONDS
from assetline.records import ImageRequest, PlannedRequest, Render
from assetline.run_records import RunOptions
from assetline.settings import Settings
from assetline.store.existing import find_originals


def open_paid_lane(planning: Planning, options: RunOptions, settings: Settings, paying: Paying) -> Lane:
    """The lane; nothing is asked of it yet. Raises OptionError: no token, an address that must not get one."""
    token = require_token(settings)
    caps = Caps(run_cap_usd(planning, options, settings), settings.max_cost_campaign, settings.max_cost_day)
    backend = ThriftyBackend(
        planning.models,
        paying.ledger,
        PaidScope(planning.plan.campaign, paying.run_id, caps),
        ReplicateSettings(
            token=token, base_url=settings.replicate_base_url, strict_sizes=settings.replicate_strict_sizes
        ),
        references=planning.references.__getitem__,
        stored=partial(stored_meanwhile, planning, options, settings),
        overflow=paying.overflow,
        clock=paying.clock or REAL_TIME,
    )
    return Lane(backend, slots=AT_ONCE[backend.name], every_s=LEAST_SECONDS[backend.name], loads=False)


def stored_meanwhile(
    planning: Planning, options: RunOptions, settings: Settings, planned: PlannedRequest
) -> bytes | None:
    """The picture of a request that another run has stored since this one looked, or None. Raises StoreError.

    What lies under the same 8 digits may be another request's, and says so.
    """
    store, key = open_store(options.store or settings.store, settings), planned.request.key
    for found in find_originals(store, planning.plan.campaign, [planned]):
        stored = store.get(found.original)
        return stored.data if stored.metadata.get("request-key", key) == key else None
    return None


@dataclass(frozen=True)
class Paying:
    """Where it is written down, for which run, what may overflow (by request key, the request to make instead), and the
    clock that its waiting goes by, if not the real one.
    """

    ledger: Ledger
    run_id: str
    overflow: Mapping[str, ImageRequest]
    clock: Clock | None = None


class ThriftyBackend(ReplicateBackend):
    """For what is paid by the second, much more is reserved than it will cost. So a cap's refusal stands only when
    nothing of this run is open any more that may give some of that back; until then it is asked again.

    Everything else is as `ReplicateBackend` has it.
    """

    def __init__(
        self,
        models: Mapping[str, ReplicateModel],
        ledger: Ledger,
        scope: PaidScope,
        settings: ReplicateSettings,
        *,
        references: Callable[[str], bytes],
        stored: Callable[[PlannedRequest], bytes | None] = not_stored,
        overflow: Mapping[str, ImageRequest],
        clock: Clock = REAL_TIME,
    ) -> None:
        super().__init__(
            models,
            ledger,
            scope,
            settings,
            references=references,
            stored=stored,
            equivalent=lambda request: overflow.get(request.key),
            clock=clock,
        )
        self._overflow = overflow
        self._open_attempts = partial(ledger.open_attempts, run_id=scope.run_id)
        self._by_second = {model.model for model in models.values() if model.price.per == "second"}
        self._asking = 0
        self._refused: deque[asyncio.Future[None]] = deque()

    async def generate(self, planned: PlannedRequest, attempt: int) -> Render:
        """As `ReplicateBackend.generate`; what overflowed in vain is for the workers again (RequestUnsuited), and is
        tried again where the ledger does not answer (BackendUnavailable): the workers need none.
        """
        instead = self._overflow.get(planned.request.key)
        try:
            render = await self._ask_until_it_stands(planned, attempt)
        except (BudgetRefused, PaidJobFailed, JobFailed, JobRejected) as error:
            if instead is None:
                raise
            job_id = error.job_id if isinstance(error, BackendError) else ""
            raise RequestUnsuited(str(error), lane=self.name, job_id=job_id) from error
        except LedgerUnreachable as error:
            if instead is None:
                raise
            raise BackendUnavailable(str(error), lane=self.name) from error
        return replace(render, made_as=instead.model or "") if instead else render

    async def _ask_until_it_stands(self, planned: PlannedRequest, attempt: int) -> Render:
        clock = asyncio.get_running_loop().time
        came = clock()
        while True:
            asked = clock()
            try:
                render = await self._ask(planned, attempt)
                return replace(render, waited_s=render.waited_s + asked - came)
            except BudgetRefused:
                if not await self._is_asked_again():
                    self._wake_one()
                    raise

    async def _ask(self, planned: PlannedRequest, attempt: int) -> Render:
        self._asking += 1
        is_refused = False
        try:
            return await super().generate(planned, attempt)
        except BudgetRefused:
            is_refused = True
            raise
        finally:
            self._asking -= 1
            if not is_refused:  # else those that are refused would wake each other for ever
                self._wake_one()

    async def _is_asked_again(self) -> bool:
        """Wait until one of the others has ended; False where none of them can give anything back."""
        turn = asyncio.get_running_loop().create_future()
        self._refused.append(turn)  # before looking, so that no end is missed
        try:
            if not (self._asking and await asyncio.to_thread(self._may_come_back)):
                return False
            await turn
        finally:
            if turn in self._refused:
                self._refused.remove(turn)
        return True

    def _may_come_back(self) -> bool:
        return any(paid.state != "held" and paid.model in self._by_second for paid in self._open_attempts())

    def _wake_one(self) -> None:
        while self._refused:
            turn = self._refused.popleft()
            if not turn.done():  # else it was canceled in this very turn of the loop
                turn.set_result(None)
                return
