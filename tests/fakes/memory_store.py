"""A store in memory that counts what is written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

from assetline.errors import ObjectExists, ObjectMissing
from assetline.store import PutOptions, StoredObject


class MemoryStore:
    """As `FolderStore`, but nothing lasts; `written` lists the keys of all puts, in their order."""

    uri = "memory://"

    def __init__(self) -> None:
        self.objects: dict[str, StoredObject] = {}
        self.written: list[str] = []
        self._lock = Lock()

    def put(self, key: str, data: bytes | Path, options: PutOptions = PutOptions()) -> str:  # noqa: B008 - frozen
        body = data.read_bytes() if isinstance(data, Path) else data
        sha256 = options.sha256 or hashlib.sha256(body).hexdigest()
        with self._lock:
            if options.if_absent and key in self.objects:
                raise ObjectExists(key)
            self.objects[key] = StoredObject(body, sha256, {**options.metadata, "sha256": sha256})
            self.written.append(key)
        return sha256

    def get(self, key: str) -> StoredObject:
        try:
            return self.objects[key]
        except KeyError:
            raise ObjectMissing(key) from None

    def list(self, prefix: str) -> Iterator[str]:
        with self._lock:
            return iter(sorted(key for key in self.objects if key.startswith(prefix)))

    def uri_of(self, key: str) -> str:
        return f"{self.uri}{key}"
