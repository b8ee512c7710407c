"""What both stores take, so that a campaign can move from a folder to S3 and back: keys, metadata, content types."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from unicodedata import category, normalize

from assetline.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

INTERNAL = ".assetline"  # the stores' own files; never listed
PROBE_PREFIX = f"{INTERNAL}/probe-"  # throwaway keys of the capability probe; the only ones that can be removed

MAX_KEY_BYTES = 900  # S3 allows 1024 with the store's prefix
MAX_PART_BYTES = 240  # file systems allow 255; the metadata file's name is five longer
MAX_METADATA_BYTES = 2048  # S3: keys and values together

CONTENT_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".csv": "text/csv; charset=utf-8",
    ".tsv": "text/tab-separated-values; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

_METADATA_KEY = re.compile(r"[a-z0-9][a-z0-9-]*")


def nfc(key: str) -> str:
    """The one spelling in which keys are written: `ö` as one character, not as `o` and a mark."""
    return normalize("NFC", key)


def spellings(key: str) -> tuple[str, ...]:
    """Where to look for `key`: as assetline writes it, then as given (a Mac's file names may be decomposed)."""
    return tuple(dict.fromkeys((nfc(key), key)))


def check_key(key: str) -> str:
    """Give `key` back if a folder and S3 can both hold it.

    Raises StoreError with all that is wrong: absolute, an empty, `.` or `..` part, a backslash, a control character,
    too long, or internal.
    """
    problems = [problem for problem, found in _key_problems(key).items() if found]
    if problems:
        raise StoreError(f"The key {key!r} cannot be used: {', and '.join(problems)}.")
    return key


def _key_problems(key: str) -> dict[str, bool]:
    parts = key.split("/")
    sizes = [len(part.encode(errors="surrogatepass")) for part in parts]
    return {
        "it is absolute, and keys are relative to the store": key.startswith("/"),
        "it is empty, or a part between two slashes or at the end is": "" in parts[key.startswith("/") :],
        "a part is `.` or `..`": not {".", ".."}.isdisjoint(parts),
        "it has a backslash; parts are separated by `/`": "\\" in key,
        "it has a control character or half a character": any(category(char) in {"Cc", "Cs"} for char in key),
        f"it is longer than {MAX_KEY_BYTES} bytes": sum(sizes) + len(parts) - 1 > MAX_KEY_BYTES,
        f"a part is longer than {MAX_PART_BYTES} bytes": max(sizes) > MAX_PART_BYTES,
        f"`{INTERNAL}` is the store's own": parts[0] == INTERNAL and not key.startswith(PROBE_PREFIX),
    }


def content_type_of(key: str) -> str:
    """What the key's extension says; the machine's own tables of types are not asked, so all machines agree."""
    return CONTENT_TYPES.get(PurePosixPath(key).suffix.lower(), "application/octet-stream")


def check_metadata(metadata: Mapping[str, str], sha256: str) -> dict[str, str]:
    """The metadata to write: what was given and the `sha256` of the bytes, as S3 can hold it.

    Raises StoreError naming every key that S3 would refuse or change: user metadata travels as HTTP headers,
    in ASCII, and ends at 2 KB. Longer or other texts belong in the sidecar.
    """
    whole = {**metadata, "sha256": sha256}
    problems = [f"{key}: {problem}" for key, value in whole.items() if (problem := _metadata_problem(key, value))]
    size = sum(len(key) + len(value) for key, value in whole.items())
    if size > MAX_METADATA_BYTES:
        problems.append(f"{size} characters in all, and S3 holds {MAX_METADATA_BYTES}")
    if problems:
        raise StoreError(f"The metadata cannot be stored; put it in the sidecar. {'; '.join(problems)}.")
    return whole


def _metadata_problem(key: str, value: str) -> str:
    if not _METADATA_KEY.fullmatch(key):
        return "a key has only a-z, 0-9 and `-`"
    if not value.isascii() or not value.isprintable():
        return f"{value[:40]!r} is not plain ASCII"
    if value != value.strip():
        return f"{value[:40]!r} begins or ends with a blank"
    return ""
