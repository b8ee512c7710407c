"""How counts and places are said, alike in every command."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit


def many(count: int, noun: str) -> str:
    """`1 picture`, `1,200 pictures`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def readable(uri: str) -> str:
    """A file's path where the URI is one; it can be typed, and terminals open it."""
    return unquote(urlsplit(uri).path) if uri.startswith("file://") else uri
