"""S3, and what speaks like it, as a store. Imports boto3 (with `s3_client`), so import it where a store is S3."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import random
import re
import time
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from assetline.errors import ObjectChanged, ObjectExists, ObjectMissing, OptionError, StoreError
from assetline.store import PutOptions, StoredObject
from assetline.store.layout import is_immutable
from assetline.store.rules import INTERNAL, PROBE_PREFIX, check_key, check_metadata, content_type_of, nfc, spellings
from assetline.store.s3_client import S3Settings, shared_client
from assetline.store.s3_errors import Place, error_code, in_our_words, status_of, was_retried

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["S3Settings", "S3Store", "open_s3"]

MULTIPART_BYTES = 64 << 20  # one PUT up to here; above, parts
CONFLICT_PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)  # between tries when S3 answers 409: another write is under way
BODY_READS = 3  # botocore tries again to get an answer, but not to read its body

IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"

_CONFLICTS = {"ConditionalRequestConflict", "OperationAborted"}
_PARTS = TransferConfig(use_threads=False, preferred_transfer_client="classic")  # CRT refuses a port in the endpoint

_BROKEN_OFF = (ReadTimeoutError, ResponseStreamingError, IncompleteReadError, FlexibleChecksumError)

Body = bytes | Path


def open_s3(uri: str, settings: S3Settings = S3Settings()) -> S3Store:  # noqa: B008 - frozen
    """The store at `s3://bucket/prefix`, on the process's one client for these settings. Asks nothing of S3 yet.

    Raises OptionError (not such a URI, not a usable endpoint), StoreUnreachable (a profile that does not exist).
    """
    match = re.fullmatch(r"s3://([^/]+)(?:/(.*))?", uri)
    if not match:
        raise OptionError(f"{uri!r} is no place in S3; it looks like s3://my-bucket/assets.")
    return S3Store(match[1], match[2] or "", client=shared_client(settings))


@dataclass(frozen=True)
class _Upload:
    """One put: the key in the store, the bytes, and all headers but the conditions."""

    key: str
    body: Body
    sha256: str
    headers: dict[str, Any] = field(repr=False)
    options: PutOptions


class S3Store:
    """A bucket, or a prefix in one. Safe in threads; one `client` serves any number of stores.

    A conditional put whose answer was lost may meet its own object when it is sent again: it has then succeeded,
    which is told by the `sha256` in the object's metadata.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        client: Any,
        multipart_bytes: int = MULTIPART_BYTES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.uri = f"s3://{bucket}/{self._prefix}".rstrip("/")
        self._client = client
        self._multipart_bytes = multipart_bytes
        self._sleep = sleep
        self._checksums = client.meta.config.request_checksum_calculation == "when_supported"

    def put(self, key: str, data: bytes | Path, options: PutOptions = PutOptions()) -> str:  # noqa: B008 - frozen
        """Write whole or not at all; return the etag as S3 gives it.

        Above 64 MB the object goes up in parts, and its conditions are asked just before instead of with it: of
        two such writers at once, both may succeed (boto3's upload takes no conditions, boto3 issue 4366).

        Raises ObjectExists, ObjectChanged, StoreUnreachable (no answer, no access), StoreError (a bad key, metadata
        that S3 cannot hold, no such bucket, another region, a wrong clock).
        """
        key = nfc(check_key(key))
        upload = self._upload(key, data, options)
        with self._in_our_words(key):
            if _size(upload.body) > self._multipart_bytes:
                return self._put_in_parts(upload)
            return self._put_whole(upload)

    def get(self, key: str) -> StoredObject:
        """Read an object. Raises ObjectMissing, StoreUnreachable, StoreError (a bad key, no such bucket)."""
        check_key(key)
        for spelling in spellings(key):
            with contextlib.suppress(ObjectMissing), self._in_our_words(key):
                return self._read(spelling)
        raise ObjectMissing(f"There is no {self.uri_of(key)}.")

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that begin with `prefix`, in S3's order (by UTF-8 bytes); no folder markers, nothing internal.

        Raises StoreUnreachable and StoreError while it is read.
        """
        start = len(self._prefix)
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self._prefix + nfc(prefix)
        )
        with self._in_our_words(prefix):
            for page in pages:
                keys = (str(entry["Key"])[start:] for entry in page.get("Contents", ()))
                yield from (key for key in keys if not key.endswith("/") and not key.startswith(f"{INTERNAL}/"))

    def uri_of(self, key: str) -> str:
        """`s3://bucket/prefix/key`, as the AWS command line takes it."""
        return f"s3://{self.bucket}/{self._prefix}{nfc(check_key(key))}"

    def discard_probe(self, key: str) -> None:
        """Remove a throwaway object of the capability probe; any other key is refused with ValueError."""
        if not check_key(key).startswith(PROBE_PREFIX):
            raise ValueError(key)
        with self._in_our_words(key):
            self._client.delete_object(**self._at(key))

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self._prefix + key}

    # --- reading

    def _read(self, key: str) -> StoredObject:
        for _ in range(BODY_READS - 1):
            with contextlib.suppress(*_BROKEN_OFF):
                return self._read_once(key)
        return self._read_once(key)

    def _read_once(self, key: str) -> StoredObject:
        answer = self._client.get_object(**self._at(key))
        with contextlib.closing(answer["Body"]) as body:
            return StoredObject(body.read(), answer["ETag"], _metadata(answer))

    # --- writing

    def _upload(self, key: str, data: Body, options: PutOptions) -> _Upload:
        body, sha256 = self._loaded(data, options.sha256)
        headers: dict[str, Any] = {
            "Metadata": check_metadata(options.metadata, sha256.hex()),
            "ContentType": options.content_type or content_type_of(key),
            "CacheControl": IMMUTABLE if is_immutable(key) else REVALIDATE,
            "ContentDisposition": _disposition(key),
        }
        return _Upload(key, body, sha256.hex(), headers, options)

    def _loaded(self, data: Body, known: str = "") -> tuple[Body, bytes]:
        """The bytes to send, or the file where they are many; and their sha256."""
        if isinstance(data, bytes):
            return data, bytes.fromhex(known) or hashlib.sha256(data).digest()
        try:
            if data.stat().st_size <= self._multipart_bytes:
                return self._loaded(data.read_bytes())
            with data.open("rb") as file:
                return data, hashlib.file_digest(file, "sha256").digest()
        except OSError as exc:
            raise StoreError(f"The file {data} cannot be read: {exc.strerror}.") from exc

    def _put_whole(self, upload: _Upload) -> str:
        for pause_s in CONFLICT_PAUSES_S:
            try:
                return self._put_once(upload)
            except ClientError as exc:
                if error_code(exc) not in _CONFLICTS:
                    raise
                self._sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - spreads writers, hides nothing
        return self._put_once(upload)

    def _put_once(self, upload: _Upload) -> str:
        headers = {**upload.headers, **_conditions(upload.options)}
        if self._checksums:  # elsewhere the signature covers the payload
            headers["ChecksumSHA256"] = base64.b64encode(bytes.fromhex(upload.sha256)).decode()
        try:
            return str(self._client.put_object(**self._at(upload.key), Body=upload.body, **headers)["ETag"])
        except ClientError as exc:
            refused = _refused(exc, upload.options, self.uri_of(upload.key))
            if refused is None:
                raise
            own = self._stored_etag(upload) if was_retried(exc) else None
            if own is None:
                raise refused from exc
            return own

    def _stored_etag(self, upload: _Upload) -> str | None:
        """The etag of the stored object if its bytes are the upload's."""
        head = self._head(upload.key)
        return str(head["ETag"]) if head and _metadata(head).get("sha256") == upload.sha256 else None

    def _head(self, key: str) -> dict[str, Any] | None:
        try:
            head: dict[str, Any] = self._client.head_object(**self._at(key))
        except ClientError as exc:
            if status_of(exc) == 404:
                return None
            raise
        return head

    def _put_in_parts(self, upload: _Upload) -> str:
        self._ask_conditions(upload)
        arguments = dict(upload.headers)
        if self._checksums:
            arguments["ChecksumAlgorithm"] = "SHA256"
        with _opened(upload.body) as source:
            self._client.upload_fileobj(source, **self._at(upload.key), ExtraArgs=arguments, Config=_PARTS)
        return str(self._client.head_object(**self._at(upload.key))["ETag"])

    def _ask_conditions(self, upload: _Upload) -> None:
        options = upload.options
        if not options.if_absent and options.if_match is None:
            return
        head = self._head(upload.key)
        if options.if_absent and head:
            raise _exists(self.uri_of(upload.key))
        if options.if_match is not None and (head is None or head["ETag"] != options.if_match):
            raise _changed(self.uri_of(upload.key))

    # --- the words

    @contextlib.contextmanager
    def _in_our_words(self, key: str) -> Iterator[None]:
        try:
            yield
        except (ClientError, BotoCoreError, Boto3Error) as exc:
            place = Place(str(self._client.meta.endpoint_url), self.bucket, self._prefix + key)
            raise in_our_words(exc, place) from exc


def _conditions(options: PutOptions) -> dict[str, str]:
    if options.if_absent:
        return {"IfNoneMatch": "*"}
    return {} if options.if_match is None else {"IfMatch": options.if_match}


def _refused(exc: ClientError, options: PutOptions, uri: str) -> StoreError | None:
    """What it means that the condition did not hold; None where the answer says something else."""
    if options.if_absent and status_of(exc) == 412:
        return _exists(uri)
    gone = status_of(exc) == 404 and error_code(exc) != "NoSuchBucket"
    if options.if_match is not None and (status_of(exc) == 412 or gone):
        return _changed(uri)
    return None


def _exists(uri: str) -> ObjectExists:
    return ObjectExists(f"{uri} is already there; it was not overwritten.")


def _changed(uri: str) -> ObjectChanged:
    return ObjectChanged(f"{uri} has changed since it was read; read it again.")


def _metadata(answer: dict[str, Any]) -> dict[str, str]:
    """The user metadata with lower-case keys: some servers give them back as `Run-Id`."""
    return {str(key).lower(): str(value) for key, value in answer.get("Metadata", {}).items()}


def _disposition(key: str) -> str:
    """Show it in the browser; saved, it has its own name (RFC 6266), or the nearest in ASCII."""
    name = key.rpartition("/")[2]
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", plain)
    return f"inline; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _size(body: Body) -> int:
    return len(body) if isinstance(body, bytes) else body.stat().st_size


def _opened(body: Body) -> IO[bytes]:
    return io.BytesIO(body) if isinstance(body, bytes) else body.open("rb")
