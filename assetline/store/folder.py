"""A folder as a store: the embedded default. Objects are plain files that any viewer opens.

Beside them, in `.assetline`: files in the making, metadata, and one lock file. An object appears whole or not
at all, also when its writer is killed; what a killed writer leaves in `.assetline/tmp` is swept after a day.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import secrets
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from assetline.errors import ObjectChanged, ObjectExists, ObjectMissing, StoreError, StoreUnreachable
from assetline.store import PutOptions, StoredObject
from assetline.store.rules import INTERNAL, PROBE_PREFIX, check_key, check_metadata, nfc, spellings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK_BYTES = 1 << 20
LEFTOVER_S = 24 * 3600  # a temporary file older than this has no living writer

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EXDEV, errno.EMLINK, errno.ENOSYS}
_GONE = (FileNotFoundError, NotADirectoryError)
_FULL = "The disk that holds {store} is full: {key} was not written. Make room and run again; what is stored is kept."
_A_FILE = (
    "{key} cannot be stored in {store}: a file is where a folder must be ({path}). "
    "Move that file away, or choose another folder with ASSETLINE_STORE."
)
_NO_LOCKS = "{store} is on a file system without locks: choose a local disk with ASSETLINE_STORE, or S3."
_TROUBLES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EEXIST: _A_FILE,
    errno.ENOTDIR: _A_FILE,
    errno.ENOLCK: _NO_LOCKS,
    errno.ENOTSUP: _NO_LOCKS,
    errno.ENOSYS: _NO_LOCKS,
    errno.EROFS: "{store} is on a read-only disk: choose another folder with ASSETLINE_STORE.",
    errno.ENAMETOOLONG: "The path of {key} in {store} is too long: choose a folder with a shorter path.",
}

Entries = dict[str, dict[str, str]]


@dataclass(frozen=True)
class _Draft:
    """A file in the making: whole, but not yet at its key."""

    path: Path
    sha256: str


class FolderStore:
    """A folder, made when the first object comes. The etag of an object is the sha256 of its bytes.

    Several threads and processes may use one folder at once, also over a network file system with locks.
    `fsync` makes each object survive a power cut as well, at 0.3 to 0.6 of the speed (measured with files of
    1.5 MB); without it a power cut may lose, or empty, what was written in the seconds before.
    """

    def __init__(self, root: Path, *, fsync: bool = False) -> None:
        self.root = root.expanduser().resolve()
        self.uri = str(self.root)
        self._internal = self.root / INTERNAL
        self._drafts = self._internal / "tmp"
        self._fsync = fsync
        self._swept = False

    def put(self, key: str, data: bytes | Path, options: PutOptions = PutOptions()) -> str:  # noqa: B008 - frozen
        """Write whole or not at all; return the etag (sha256, 64 hex digits).

        Raises ObjectExists, ObjectChanged, StoreUnreachable (no permission, no answer), StoreError (a bad key,
        metadata that S3 could not hold, a full disk, a key below an object).
        """
        key = nfc(check_key(key))
        with self._in_plain_words(key):
            if options.if_absent:
                self._check_conditions(key, options)  # spares the writing; the answer that counts comes below
            with self._draft(data, options.sha256) as draft:
                metadata = check_metadata(options.metadata, draft.sha256)
                with self._lock():
                    self._check_conditions(key, options)
                    self._keep_metadata(key, metadata, options)
                    self._place(draft, key, options)
        return draft.sha256

    def get(self, key: str) -> StoredObject:
        """Read an object. Raises ObjectMissing, StoreUnreachable, StoreError (a bad key)."""
        check_key(key)
        with self._in_plain_words(key):
            for spelling in spellings(key):
                with contextlib.suppress(*_GONE, IsADirectoryError):
                    return self._read(spelling)
        raise ObjectMissing(f"There is no {key} in {self.uri}.")

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that begin with `prefix`, in the order of S3 (by UTF-8 bytes); nothing internal.

        Raises StoreUnreachable while it is read, StoreError for a prefix that no key can have.
        """
        folder, slash, start = nfc(prefix).rpartition("/")
        if folder or slash:
            check_key(folder)
        return self._walk(folder + slash, start)

    def uri_of(self, key: str) -> str:
        """`file:///...`, percent-encoded: for a person, a browser, a mail."""
        return self._path(nfc(check_key(key))).as_uri()

    def discard_probe(self, key: str) -> None:
        """Remove a throwaway object of the capability probe; any other key is refused with ValueError."""
        if not check_key(key).startswith(PROBE_PREFIX):
            raise ValueError(key)
        with self._in_plain_words(key):
            for path in (self._path(key), self._metadata_path(key)):
                path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # not empty yet: the last one takes the folder along
                    path.parent.rmdir()

    # --- reading

    def _path(self, key: str) -> Path:
        return self.root / key

    def _read(self, key: str) -> StoredObject:
        """The bytes and the metadata of one version: metadata is kept by sha256, so neither needs a lock."""
        data = self._path(key).read_bytes()
        etag = hashlib.sha256(data).hexdigest()
        return StoredObject(data, etag, self._entries(key).get(etag, {"sha256": etag}))

    def _walk(self, folder: str, start: str) -> Iterator[str]:
        for name in self._names(folder):
            if not name.startswith(start) or folder + name == f"{INTERNAL}/":
                continue
            if name.endswith("/"):
                yield from self._walk(folder + name, "")
            else:
                yield folder + name

    def _names(self, folder: str) -> tuple[str, ...]:
        """The names in a folder, folders with `/` at the end: so they sort as whole keys do."""
        with self._in_plain_words(folder), contextlib.suppress(*_GONE), os.scandir(self._path(folder)) as entries:
            return tuple(sorted(name for entry in entries if _is_text(name := _name_in_key(entry))))
        return ()

    # --- writing

    @contextlib.contextmanager
    def _draft(self, data: bytes | Path, sha256: str = "") -> Iterator[_Draft]:
        """Write `data` to a file of its own on the store's file system; removed unless it was placed."""
        self._prepare()
        path = self._drafts / f"{os.getpid()}-{secrets.token_hex(8)}"
        try:
            with _new_file(path) as target:
                sha256 = _write(target, data, sha256)
                self._sync(target)
            yield _Draft(path, sha256)
        finally:
            path.unlink(missing_ok=True)

    def _check_conditions(self, key: str, options: PutOptions) -> None:
        path = self._path(key)
        if path.is_dir():
            raise StoreError(f"{key} is a folder in {self.uri}: a folder store cannot hold an object of that name.")
        if options.if_absent and path.exists():
            raise self._exists(key)
        if options.if_match is not None and options.if_match != _sha256_at(path):
            raise ObjectChanged(f"{key} in {self.uri} has changed since it was read; read it again.")

    def _place(self, draft: _Draft, key: str, options: PutOptions) -> None:
        """Give the draft its name, in one step. A link never overwrites, whoever else writes without our lock."""
        path = self._path(key)
        if not options.if_absent or not self._linked(draft, path, key):
            _named(draft.path.replace, path)
        if self._fsync:
            _sync_folder(path.parent)

    def _linked(self, draft: _Draft, path: Path, key: str) -> bool:
        """Whether the link could be made; where the file system has none, the lock alone must do."""
        try:
            _named(partial(os.link, draft.path), path)
        except FileExistsError:
            raise self._exists(key) from None
        except OSError as exc:
            if exc.errno in _NO_LINKS:
                return False
            raise
        return True

    def _exists(self, key: str) -> ObjectExists:
        return ObjectExists(f"{key} is already in {self.uri}; it was not overwritten.")

    def _prepare(self) -> None:
        if not self._swept:
            self._swept = True
            self._drafts.mkdir(parents=True, exist_ok=True)
            self._sweep(time.time() - LEFTOVER_S)

    def _sweep(self, before: float) -> None:
        with os.scandir(self._drafts) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # another process sweeps too, or it is another user's: no matter
                    if entry.stat().st_mtime < before:
                        Path(entry.path).unlink()

    def _sync(self, target: IO[bytes]) -> None:
        if self._fsync:
            target.flush()
            os.fsync(target.fileno())

    # --- metadata: by sha256 of the bytes, so that a reader never pairs one version with another's

    def _metadata_path(self, key: str) -> Path:
        return self._internal / "meta" / f"{key}.json"

    def _entries(self, key: str) -> Entries:
        try:
            found: Entries = json.loads(self._metadata_path(key).read_bytes())
        except _GONE:
            return {}
        except ValueError as exc:
            raise StoreError(f"{self._metadata_path(key)} is damaged: {exc}. Remove it to read {key} without.") from exc
        return found

    def _keep_metadata(self, key: str, metadata: dict[str, str], options: PutOptions) -> None:
        """Written before the object, with the entry of the version that it replaces: a kill between harms neither."""
        known = self._entries(key)
        if not options.metadata and not known:
            return
        current = _sha256_at(self._path(key)) if known else None
        kept = {current: known[current]} if current in known else {}
        with self._draft(json.dumps({**kept, metadata["sha256"]: metadata}).encode()) as draft:
            _named(draft.path.replace, self._metadata_path(key))

    # --- the lock and the words

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """One writer at a time gives names, over all threads and processes; the bytes are written before."""
        descriptor = os.open(self._internal / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _in_plain_words(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise self._trouble(exc, key or "the folder") from exc

    def _trouble(self, exc: OSError, key: str) -> StoreError:
        words = _TROUBLES.get(exc.errno or 0)
        if words:
            return StoreError(words.format(store=self.uri, key=key, path=exc.filename))
        if isinstance(exc, PermissionError):
            return StoreUnreachable(
                f"No permission for {key} in {self.uri} ({exc.strerror}: {exc.filename}). "
                "Give this user the right to read and write there, or choose another folder with ASSETLINE_STORE."
            )
        return StoreUnreachable(f"{self.uri} cannot be used for {key}: {exc.strerror} ({exc.filename}).")


def _name_in_key(entry: os.DirEntry[str]) -> str:
    """The entry's name, a folder's with `/`; empty for what holds no bytes, and for a link that leads back up."""
    if entry.is_dir(follow_symlinks=False):
        return entry.name + "/"
    if entry.is_file(follow_symlinks=False):
        return entry.name
    path = Path(entry.path)
    if path.is_dir():
        return "" if path.parent.resolve().is_relative_to(path.resolve()) else entry.name + "/"
    return entry.name if path.is_file() else ""


def _is_text(name: str) -> bool:
    """Whether a file name is valid UTF-8; others cannot be keys, and nothing of ours writes them."""
    return bool(name) and not any("\ud800" <= char <= "\udfff" for char in name)


def _new_file(path: Path) -> IO[bytes]:
    """A file to write. Its folder is nearly always there: it is made only where it is missing."""
    try:
        return path.open("xb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")


def _named(give_name: Callable[[Path], object], path: Path) -> None:
    """Give a draft its name; the folder is made where it is missing."""
    try:
        give_name(path)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        give_name(path)


def _write(target: IO[bytes], data: bytes | Path, sha256: str) -> str:
    """Write it and give its sha256, which the caller may know already."""
    if isinstance(data, bytes):
        target.write(data)
        return sha256 or hashlib.sha256(data).hexdigest()
    digest = hashlib.sha256()
    with _opened(data) as source:
        while chunk := source.read(CHUNK_BYTES):
            digest.update(chunk)
            target.write(chunk)
    return digest.hexdigest()


def _opened(data: Path) -> IO[bytes]:
    """The file to read from. Raises StoreError where it cannot be read."""
    try:
        return data.open("rb")
    except OSError as exc:
        raise StoreError(f"The file {data} cannot be read: {exc.strerror}.") from exc


def _sha256_at(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except _GONE:
        return None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
