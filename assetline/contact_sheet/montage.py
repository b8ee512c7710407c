"""One small picture of many: the montage that stands in Prefect's summary of a run."""

from __future__ import annotations

import io
import math
from itertools import islice
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_BYTES = 150_000  # the summary is an artifact in a database: the picture in it has to stay small
QUALITIES = (82, 74, 66, 58, 50, 40, 30, 20)
GAP_PX = 6
PAPER = (251, 251, 250)
MAT = (236, 235, 232)


def montage(thumbnails: Iterable[bytes], columns: int = 8, cell_px: int = 128, limit: int = 48) -> bytes:
    """At most `limit` thumbnails (PNG, JPEG or WebP) in square cells of `cell_px`, as one JPEG of at most 150 KB.

    Reads no more than `limit` thumbnails. Raises ValueError where there is none.
    """
    cells = [_cell(data, cell_px) for data in islice(thumbnails, limit)]
    if not cells:
        raise ValueError("A montage needs at least one picture.")
    columns = min(columns, len(cells))
    pitch = cell_px + GAP_PX
    size = (columns * pitch + GAP_PX, math.ceil(len(cells) / columns) * pitch + GAP_PX)
    sheet = Image.new("RGB", size, PAPER)
    for number, cell in enumerate(cells):
        line, column = divmod(number, columns)
        sheet.paste(cell, (GAP_PX + column * pitch, GAP_PX + line * pitch))
    return _small_jpeg(sheet)


def _cell(data: bytes, side: int) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as picture:
        return ImageOps.pad(picture.convert("RGB"), (side, side), Image.Resampling.BICUBIC, color=MAT)


def _small_jpeg(sheet: Image.Image) -> bytes:
    data = b""
    for quality in QUALITIES:
        file = io.BytesIO()
        sheet.save(file, "JPEG", quality=quality, optimize=True)
        data = file.getvalue()
        if len(data) <= MOST_BYTES:
            break
    return data
