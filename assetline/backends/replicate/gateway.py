"""Replicate's API. Creates go through the `replicate` package, guarded; all else is plain JSON over our own client.

The package is never asked to wait or to run: it loses the id of what it paid for (1.0.7: a timeout after the create, an
answer that it cannot parse, the status `aborted`).
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
from replicate.client import Client
from replicate.exceptions import ReplicateException

from assetline.backends.replicate.catalog import ReplicateModel
from assetline.backends.replicate.failures import (
    THROTTLED,
    Refused,
    Throttled,
    Unanswered,
    closing,
    no_answer,
)
from assetline.backends.replicate.guard import EXCHANGE, Exchange, GuardTransport
from assetline.backends.replicate.limits import Limits, delay_of
from assetline.backends.replicate.options import Clock, ReplicateSettings
from assetline.backends.replicate.predictions import Prediction, read_prediction

TRIES = 4  # of a question that must be answered; polls are asked again anyway
FIRST_PAUSE_S = 1.0
_NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_UNDECIDED = {408}  # a gateway's word, which says nothing of what is behind it


class NotSent(Exception):
    """The create did not leave this machine. It never leaves this package."""


class AnswerLost(Exception):
    """The create may have been accepted; nobody knows. It never leaves this package."""


class Gateway:
    """One account at one address. To be made inside the running loop, since its connections belong to that.

    `transport` is what all connections of the lane share; without one, connections are made, a part of them for creates
    alone. Raises OptionError for a `base_url` that a token must not be sent to.
    """

    def __init__(
        self,
        settings: ReplicateSettings,
        limits: Limits,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.address = settings.address()
        few = settings.creates_at_once
        trust = httpx.create_ssl_context() if self.address.scheme == "https" else None  # loading the CAs takes 30 ms
        self.connections = transport or _connections(max(1, settings.connections - few), trust)
        self._for_creates = transport or _connections(few, trust)
        self._posting_s = settings.posting_s
        self._limits = limits
        self._clock = clock
        self._skew: timedelta | None = None
        timeout = httpx.Timeout(settings.read_s, connect=settings.connect_s, pool=settings.patience_s or None)
        creating = httpx.Timeout(settings.create_s, connect=settings.connect_s, pool=settings.connect_s)
        self._http = httpx.AsyncClient(
            base_url=self.address,
            timeout=timeout,
            transport=GuardTransport(self.connections, self.address, settings.token, timeout),
        )
        self._replicate = Client(
            api_token=settings.token.get_secret_value(),
            base_url=str(self.address),
            transport=GuardTransport(self._for_creates, self.address, settings.token, creating),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()
        await self._for_creates.aclose()
        await self.connections.aclose()

    async def create(self, model: ReplicateModel, sent: dict[str, Any]) -> Prediction:
        """POST a prediction, once. Raises Refused, Throttled (not accepted), NotSent, AnswerLost (nobody knows)."""
        exchange = Exchange(model.deadline_s)
        reset = EXCHANGE.set(exchange)
        try:
            async with asyncio.timeout(self._posting_s):
                if model.call == "official":
                    await self._replicate.models.predictions.async_create(model=model.model, input=sent)
                else:
                    await self._replicate.predictions.async_create(version=model.version, input=sent)
        except TimeoutError as exc:
            raise AnswerLost("no whole answer within the time allowed") from exc
        except _NEVER_LEFT as exc:
            raise NotSent(f"Replicate cannot be reached: {no_answer(exc)}") from exc
        except httpx.HTTPError as exc:
            raise AnswerLost(no_answer(exc)) from exc
        except (ReplicateException, ValueError, AttributeError, TypeError, KeyError):
            pass  # an error status, or an answer that the package cannot read: what was on the wire decides
        finally:
            EXCHANGE.reset(reset)
        return self._created(exchange)

    def _created(self, exchange: Exchange) -> Prediction:
        self._note_date(exchange.headers)
        body = _json(exchange.body)
        if 400 <= exchange.status < 500 and exchange.status not in _UNDECIDED:
            self._refuse(Refused(exchange.status, exchange.headers, body))
        if not 200 <= exchange.status < 300:
            raise AnswerLost(f"HTTP {exchange.status}")
        try:
            prediction = read_prediction(body)
        except ValueError as exc:
            raise AnswerLost(f"HTTP {exchange.status}, but {exc}") from exc
        self._limits.creates.went_well()
        return prediction

    async def get(self, prediction_id: str) -> Prediction:
        """The prediction. Raises Refused (404: there is none), Unanswered, Throttled."""
        return self._prediction(await self._ask("GET", f"/v1/predictions/{quote(prediction_id, safe='')}"))

    async def cancel(self, prediction_id: str) -> Prediction:
        """Ask for its end; one that has ended stays as it is. Raises Refused, Unanswered, Throttled."""
        return self._prediction(await self._ask("POST", f"/v1/predictions/{quote(prediction_id, safe='')}/cancel"))

    async def created_since(self, moment: datetime) -> AsyncIterator[Prediction]:
        """All predictions of the account since `moment` by our clock, newest first. Raises Refused, Unanswered."""
        if self._skew is None:
            await self.account()
        since = (moment + (self._skew or timedelta())).astimezone(UTC).isoformat().replace("+00:00", "Z")
        place: str | None = f"/v1/predictions?created_after={quote(since, safe='')}"
        seen = set[str]()
        while place and place not in seen:
            seen.add(place)
            page = await self._ask_until_answered("GET", place)
            for entry in page.get("results") or ():
                yield self._prediction(entry)
            following = page.get("next")
            place = httpx.URL(following).raw_path.decode() if isinstance(following, str) and following else None

    async def account(self) -> None:
        """Whether the API answers and takes the token. Raises Refused, Unanswered."""
        await self._ask_until_answered("GET", "/v1/account")

    async def openapi(self, model: ReplicateModel) -> tuple[str, dict[str, Any]]:
        """The id of the model's version and its OpenAPI document. Raises Refused, Unanswered."""
        if model.call == "version":
            version = await self._ask_until_answered("GET", f"/v1/models/{model.model}/versions/{model.version}")
        else:
            version = (await self._ask_until_answered("GET", f"/v1/models/{model.model}")).get("latest_version") or {}
        document = version.get("openapi_schema")
        return str(version.get("id") or ""), document if isinstance(document, dict) else {}

    async def upload(self, name: str, data: bytes) -> str:
        """Hand in a reference image; its URL for an input. Raises Refused, Unanswered."""
        answer = await self._ask_until_answered("POST", "/v1/files", files={"content": (name, data)})
        url = (answer.get("urls") or {}).get("get")
        if not isinstance(url, str):
            raise Unanswered("the answer to the upload has no URL")
        return url

    async def _ask_until_answered(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        pause_s = FIRST_PAUSE_S
        for _ in range(TRIES - 1):
            try:
                return await self._ask(method, path, **more)
            except Throttled:
                continue
            except Unanswered:
                await self._clock.sleep(pause_s)
                pause_s *= 2
        return await self._ask(method, path, **more)

    async def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        """One request, in its turn. Raises Refused, Throttled, Unanswered."""
        await self._limits.requests.take()
        try:
            response = await self._http.request(method, path, **more)
        except httpx.HTTPError as exc:
            raise Unanswered(f"Replicate does not answer: {no_answer(exc)}") from exc
        self._note_date(response.headers)
        body = _json(response.content)
        if 400 <= response.status_code < 500 and response.status_code not in _UNDECIDED:
            self._refuse(Refused(response.status_code, response.headers, body))
        if not response.is_success or not isinstance(body, dict):
            raise Unanswered(f"Replicate answers HTTP {response.status_code} to {method} {path}")
        self._limits.requests.went_well()
        return body

    def _refuse(self, refused: Refused) -> None:
        """Raise it, after what it means for everybody."""
        if refused.status == THROTTLED:
            self._limits.throttled(delay_of(refused.headers, refused.body))
            raise Throttled(str(refused)) from refused
        self._limits.closed = self._limits.closed or closing(refused)
        raise refused

    def _note_date(self, headers: httpx.Headers) -> None:
        """How far the API's clock is ahead of ours: listings are asked for by its time."""
        try:
            told = email.utils.parsedate_to_datetime(headers.get("Date", ""))
        except ValueError:
            return
        self._skew = told - self._clock.wall()

    @staticmethod
    def _prediction(answer: Any) -> Prediction:
        try:
            return read_prediction(answer)
        except ValueError as exc:
            raise Unanswered(str(exc)) from exc


def _connections(most: int, trust: ssl.SSLContext | None) -> httpx.AsyncHTTPTransport:
    limits = httpx.Limits(max_connections=most, max_keepalive_connections=most)
    return httpx.AsyncHTTPTransport(verify=trust or False, limits=limits)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
