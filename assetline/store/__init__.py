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
    """An object with its bytes. `etag` is opaque: only good for `if_match`.

    Metadata keys are lower case; `sha256` is among them for every object that assetline wrote.
    """

    data: bytes = field(repr=False)
    etag: str
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PutOptions:
    """How to write. `if_absent` creates and never overwrites; `if_match` overwrites only that version. Not both.

    `metadata` is short printable ASCII under lower-case keys (2 KB in all, S3's limit); `sha256` of the bytes is
    added by every put. `content_type` is sniffed from the key where empty. A caller that has the bytes' sha256 (64 hex
    digits) already gives it, so that 1.6 MB are not hashed again.
    """

    content_type: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    if_absent: bool = False
    if_match: str | None = None
    sha256: str = ""

    def __post_init__(self) -> None:
        if self.if_absent and self.if_match is not None:
            raise ValueError("if_absent and if_match exclude each other")


class Store(Protocol):
    """An object store: put, get, list, and where an object is for a person."""

    uri: str

    def put(self, key: str, data: bytes | Path, options: PutOptions = PutOptions()) -> str:
        """Write whole or not at all; return the etag.

        Raises ObjectExists (`if_absent`), ObjectChanged (`if_match`, also where the object is gone),
        StoreUnreachable, StoreError (a bad key, metadata that cannot be stored).
        """

    def get(self, key: str) -> StoredObject:
        """Read an object. Raises ObjectMissing, StoreUnreachable."""

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that begin with `prefix`, sorted; temporary and internal files are never among them.

        Raises StoreUnreachable, also while the keys are taken.
        """

    def uri_of(self, key: str) -> str:
        """Where the object is, for a person: `file:///...` or `s3://bucket/...`."""
