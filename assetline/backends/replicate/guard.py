"""A transport between the `replicate` package and the network that makes up for three of its habits.

Measured on replicate 1.0.7: a create has no timeout, the token goes to whatever host a URL names, and headers and body
of an answer are lost when it is an error or does not parse.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field

import httpx
from pydantic import SecretStr


@dataclass
class Exchange:
    """One request and its answer, as it was on the wire. `status` is 0 while there is none."""

    cancel_after_s: int
    status: int = 0
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    body: bytes = b""


# Set for the time of one create; each asyncio task has its own, so that answers are never mixed up.
EXCHANGE: ContextVar[Exchange | None] = ContextVar("replicate_exchange", default=None)


class GuardTransport(httpx.AsyncBaseTransport):
    """Sets the timeouts that are missing, gives the token to the API's own host alone, keeps each answer."""

    def __init__(
        self, inner: httpx.AsyncBaseTransport, address: httpx.URL, token: SecretStr, timeout: httpx.Timeout
    ) -> None:
        self._inner = inner
        self._origin = origin(address)
        self._token = token
        self._timeout = timeout.as_dict()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        asked = request.extensions.get("timeout") or {}
        timeout = {name: asked.get(name) or limit for name, limit in self._timeout.items()}
        request.extensions = {**request.extensions, "timeout": timeout}
        if origin(request.url) == self._origin:
            request.headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        else:
            request.headers.pop("Authorization", None)
        exchange = EXCHANGE.get()
        if exchange is None:
            return await self._inner.handle_async_request(request)
        request.headers["Cancel-After"] = f"{exchange.cancel_after_s}s"
        response = await self._inner.handle_async_request(request)
        exchange.body = await response.aread()
        exchange.status, exchange.headers = response.status_code, response.headers
        return response

    async def aclose(self) -> None:
        """The connections belong to whoever made them."""


def origin(url: httpx.URL) -> tuple[str, str, int | None]:
    """What makes two URLs the same server: scheme, host, port."""
    default = {"http": 80, "https": 443}
    return url.scheme, url.host, url.port or default.get(url.scheme)
