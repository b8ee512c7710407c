"""Brings the bytes of an output here: never with the token, never more than allowed, and only if they are a picture."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

import httpx

from assetline.backends.replicate.failures import no_answer
from assetline.backends.replicate.guard import origin
from assetline.backends.replicate.options import LANE, Clock, ReplicateSettings
from assetline.errors import JobLost

TRIES = 3
FIRST_PAUSE_S = 1.0
MOST_REDIRECTS = 3
PICTURE = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|RIFF....WEBP", re.DOTALL)  # how PNG, JPEG, WebP begin
_DATA = re.compile(r"data:[^,;]*((?:;[^,;]*)*),", re.IGNORECASE)


class _NotYet(Exception):
    """Nothing usable came this time."""


class Downloader:
    """Downloads outputs, a few at a time, over the lane's connections but with a client that knows no token."""

    def __init__(
        self, settings: ReplicateSettings, address: httpx.URL, connections: httpx.AsyncBaseTransport, clock: Clock
    ) -> None:
        self._settings = settings
        self._api = origin(address)
        self._clock = clock
        self._few = asyncio.Semaphore(settings.downloads)
        timeout = httpx.Timeout(settings.read_s, connect=settings.connect_s, pool=settings.patience_s or None)
        self._http = httpx.AsyncClient(transport=connections, timeout=timeout, follow_redirects=False)

    async def fetch(self, url: str, prediction_id: str) -> bytes:
        """The picture at an output URL (https, `data:`, or on the API's own host). Raises JobLost after three tries."""
        pause_s = FIRST_PAUSE_S
        for left in reversed(range(TRIES)):
            try:
                async with self._few, asyncio.timeout(self._settings.download_s):
                    return _picture(_inline(url) if url.startswith("data:") else await self._get(url))
            except (_NotYet, TimeoutError) as exc:
                reason = str(exc) or "it took too long"
            except httpx.HTTPError as exc:
                reason = no_answer(exc)
            if left:
                await self._clock.sleep(pause_s)
                pause_s *= 2
        raise JobLost(
            f"The picture was made and paid for, but cannot be downloaded: {reason}. Run again within the hour: it is "
            "fetched then, and not paid again.",
            lane=LANE,
            job_id=prediction_id,
        )

    async def _get(self, url: str) -> bytes:
        for _ in range(MOST_REDIRECTS + 1):
            place = self._allowed(url)
            async with self._http.stream("GET", place) as response:
                if response.is_redirect:
                    url = _target(place, response)
                    continue
                if not response.is_success:
                    raise _NotYet(f"its address answers HTTP {response.status_code}")
                return await self._read(response)
        raise _NotYet(f"more than {MOST_REDIRECTS} redirects")

    def _allowed(self, url: str) -> httpx.URL:
        try:
            place = httpx.URL(url)
        except httpx.InvalidURL as exc:
            raise _NotYet(f"its address is no URL ({exc})") from exc
        if place.scheme != "https" and origin(place) != self._api:
            raise _NotYet(f"its address is not https ({place.scheme}://{place.host})")
        return place

    async def _read(self, response: httpx.Response) -> bytes:
        data = bytearray()
        async for chunk in response.aiter_bytes():
            data += chunk
            if len(data) > self._settings.most_download_bytes:
                raise _NotYet(f"it is over the limit of {self._settings.most_download_bytes:,} bytes")
        return bytes(data)


def _inline(url: str) -> bytes:
    """The bytes of a `data:` URL."""
    head = _DATA.match(url)
    if head is None:
        raise _NotYet("its data: address cannot be read")
    text = url[head.end() :]
    if ";base64" not in head[1].lower():
        return unquote_to_bytes(text)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise _NotYet("its data: address is damaged") from exc


def _target(place: httpx.URL, response: httpx.Response) -> str:
    try:
        return str(place.join(response.headers.get("Location", "")))
    except httpx.InvalidURL as exc:
        raise _NotYet(f"it is redirected to what is no URL ({exc})") from exc


def _is_whole(data: bytes) -> bool:
    """Whether the end of the file is there; the decode of the asset step looks at the rest."""
    if data.startswith(b"\x89PNG"):
        return b"IEND\xaeB`\x82" in data
    if data.startswith(b"RIFF"):
        return int.from_bytes(data[4:8], "little") + 8 <= len(data)
    return b"\xff\xd9" in data


def _picture(data: bytes) -> bytes:
    if not PICTURE.match(data):
        words = data[:40].decode("ascii", errors="replace")
        raise _NotYet(f"what came is no PNG, JPEG or WebP picture; it begins with {words!r}" if data else "it is empty")
    if not _is_whole(data):
        raise _NotYet(f"it is cut short ({len(data):,} bytes)")
    return data
