"""The Replicate of our own without a network: behind httpx's own seam, so that it can live on a virtual clock."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import format_datetime

import httpx
from fakes.fake_replicate import FakeReplicate


class VirtualReplicate(FakeReplicate):
    """Answers at once, in the caller's own thread."""

    @property
    def url(self) -> str:
        return "http://127.0.0.1:9"

    def transport(self) -> httpx.AsyncBaseTransport:
        """What a lane's connections are to be made of."""
        return httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        answer = self.handle(request.method, request.url.raw_path.decode(), headers, request.content)
        if answer.how:
            raise httpx.ReadError(answer.how, request=request)
        data = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        date = format_datetime(datetime.fromtimestamp(self.now(), UTC), usegmt=True)
        return httpx.Response(
            answer.status, content=data, headers={"Date": date, "Content-Type": answer.kind, **answer.headers}
        )
