"""Pictures inside a page."""

from __future__ import annotations

import base64


def data_uri(data: bytes) -> str:
    """A JPEG, PNG or WebP picture as the address of itself."""
    return f"data:{_media_type(data)};base64,{base64.b64encode(data).decode()}"


def _media_type(data: bytes) -> str:
    if data.startswith(b"\x89PNG"):
        return "image/png"
    return "image/webp" if data[8:12] == b"WEBP" else "image/jpeg"
