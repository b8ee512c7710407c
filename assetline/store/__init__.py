"""Where assets live: one small protocol with two real sides, a folder and S3. Keys are relative, with `/`.

Every method is synchronous and safe to call from several threads at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class StoredObject:
    """An object with its bytes. `etag` is opaque: only good for `if_match`. Metadata keys are lower case."""

    data: bytes = field(repr=False)
    etag: str
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PutOptions:
    """How to write. `if_absent` creates and never overwrites; `if_match` overwrites only that version.

    `metadata` is short ASCII (2 KB in all, S3's limit); `content_type` is sniffed from the key where empty.
    """

    content_type: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    if_absent: bool = False
    if_match: str | None = None


class Store(Protocol):
    """An object store: put, get, list, and where an object is for a person."""

    uri: str

    def put(self, key: str, data: bytes | Path, options: PutOptions = PutOptions()) -> str:
        """Write whole or not at all; return the etag.

        Raises ObjectExists (`if_absent`), ObjectChanged (`if_match`), StoreUnreachable, StoreError (a bad key).
        """

    def get(self, key: str) -> StoredObject:
        """Read an object. Raises ObjectMissing, StoreUnreachable."""

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that begin with `prefix`, sorted; temporary and internal files are never among them."""

    def uri_of(self, key: str) -> str:
        """Where the object is, for a person: `file:///...` or `s3://bucket/...`."""
