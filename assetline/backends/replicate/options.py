"""What the lane is told: whose money, how fast, how long. And the clock, which tests bring themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address

import httpx
from pydantic import Field, SecretStr

from assetline.errors import OptionError
from assetline.ledger import Caps
from assetline.records import Record

LANE = "replicate"


class ReplicateSettings(Record):
    """Where the API is, the token, and the limits. Times in seconds.

    The API allows 600 creates and 3,000 other requests a minute, for the whole account; `creates_per_s` and
    `requests_per_s` stay under that for this process, and answers of 429 slow it down further.
    """

    token: SecretStr = Field(repr=False)
    base_url: str = "https://api.replicate.com"
    creates_per_s: float = Field(default=9.0, gt=0, le=10)
    requests_per_s: float = Field(default=45.0, gt=0, le=50)
    connections: int = Field(default=24, ge=1)
    downloads: int = Field(default=8, ge=1)
    connect_s: float = Field(default=10.0, gt=0)
    read_s: float = Field(default=30.0, gt=0)
    create_s: float = Field(default=60.0, gt=0)
    download_s: float = Field(default=120.0, gt=0)
    most_download_bytes: int = Field(default=64 * 2**20, ge=1)
    poll_first_s: float = Field(default=1.5, gt=0)
    poll_longest_s: float = Field(default=5.0, gt=0)
    patience_s: float = Field(default=120.0, ge=0)
    reconcile_s: float = Field(default=60.0, ge=0)
    cancel_s: float = Field(default=15.0, gt=0)
    strict_sizes: bool = True

    @property
    def posting_s(self) -> float:
        """How long one create may take in all; the limits of its parts begin anew with each byte."""
        return self.connect_s + self.create_s

    @property
    def stale_s(self) -> float:
        """The age at which a POST of another process has certainly ended, one way or the other."""
        return self.posting_s + 30.0

    @property
    def creates_at_once(self) -> int:
        """How many creates may be under way. They have so many of the connections to themselves: one that has been
        written down as being sent must not wait for a connection, or `stale_s` would say nothing.
        """
        return max(1, self.connections // 3)

    def address(self) -> httpx.URL:
        """The API's address. Raises OptionError for one to which a token must not be sent."""
        try:
            url = httpx.URL(self.base_url.rstrip("/"))
        except httpx.InvalidURL as exc:
            raise OptionError(f"REPLICATE_BASE_URL is no URL: {exc}.") from exc
        if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.host)):
            raise OptionError("REPLICATE_BASE_URL must begin with https://: the token is sent there.")
        return url


@dataclass(frozen=True)
class PaidScope:
    """On whose account: the campaign, the run, and the most that may be spent."""

    campaign: str
    run_id: str
    caps: Caps


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Clock:
    """Seconds that only go forward, the way to let some pass, and the date."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    wall: Callable[[], datetime] = utc_now


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
