"""The columns that a sheet may have, with their synonyms; `docs/sheet.md` shows this table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from assetline.catalogue import slug


@dataclass(frozen=True)
class Column:
    """A column by its canonical name, other names that are taken for it, and what its cells say."""

    name: str
    meaning: str
    synonyms: tuple[str, ...] = ()


COLUMNS: tuple[Column, ...] = (
    Column(
        "id",
        "The row's name, unique in the sheet. Empty: made from the prompt's first words.",
        ("sku", "item", "item id", "product id", "row id", "asset id"),
    ),
    Column(
        "prompt",
        "Required. `{product}` takes the cell of column `product`; `{red|blue}` is a choice; `__name__` a wildcard.",
        ("positive prompt", "prompt text", "image prompt"),
    ),
    Column("negative_prompt", "What must not be seen.", ("negative", "neg prompt")),
    Column("style", "One or more presets by name, separated by commas.", ("styles", "style preset", "preset")),
    Column(
        "size",
        "`1024x1024` (also `X`, `\u00d7`, `*`), a ratio `4:5` or `1.91:1`, a channel's name, or several by comma.",
        ("sizes", "aspect", "aspect ratio", "dimensions", "resolution", "image size"),
    ),
    Column("width", "Pixels; needs `height`.", ("width px",)),
    Column("height", "Pixels; needs `width`.", ("height px",)),
    Column("channels", "Where the picture is published: channels by name, separated by commas.", ("channel",)),
    Column(
        "variants",
        "How many pictures of each size. Empty: 1.",
        ("variations", "count", "quantity", "qty", "n", "number of images", "num images"),
    ),
    Column(
        "combine",
        "`product` (empty): every picture in every size; `zip`: the first in the first size, the second in the second.",
        ("combination",),
    ),
    Column(
        "seed",
        "Whole number from 0 to 18446744073709551615. Empty: derived, and the same in every run.",
        ("noise seed", "random seed"),
    ),
    Column(
        "workflow",
        "A workflow by name; `sd15-txt2img:draft` takes its profile `draft`, `sd15-txt2img@1f0c9a2b` that version.",
        ("workflow name",),
    ),
    Column("model", "The checkpoint or the model.", ("checkpoint", "ckpt", "model name", "checkpoint name")),
    Column("steps", "Whole number from 1 to 1000.", ("sampling steps", "num inference steps")),
    Column("cfg", "Number from 0 to 100.", ("cfg scale", "guidance", "guidance scale")),
    Column("sampler", "The sampler's name.", ("sampler name", "sampling method")),
    Column("scheduler", "The scheduler's name.", ("scheduler name",)),
    Column("lora", "The LoRA's file name.", ("lora name",)),
    Column("lora_strength", "Number from -10 to 10.", ("lora weight", "lora scale")),
    Column("denoise", "Number from 0 to 1.", ("denoise strength", "denoising strength")),
    Column(
        "reference_image",
        "A picture to go by, such as a pose: its path or address.",
        ("reference", "ref image", "pose", "pose image", "control image"),
    ),
    Column("backend", "`auto` (empty), `comfyui`, `replicate` or `fpo`.", ("engine", "provider")),
    Column("priority", "Whole number; higher rows are made first.", ("prio",)),
    Column("tags", "Words for the metadata, separated by commas.", ("tag",)),
)

CHECKED_COLUMNS = ("status", "problem", "fix")  # what `write_checked` adds, and reading passes over
RESULT_COLUMNS = ("status", "problem", "seeds", "lane", "cost_usd", "decision")  # what `write_results` adds, likewise
PICTURE_COLUMN = re.compile(r"picture\d+")  # ... and as many of these as a row has pictures
FILES_COLUMN = "channel_files"  # ... and this one where files were cut for channels
TEXT_COLUMNS = ("prompt", "negative_prompt")  # those that may have a language: `prompt@de`

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z]{4})?(-[A-Za-z]{2}|-\d{3})?")


def language_of(header: str) -> tuple[str, str]:
    """The column and the language tag (RFC 5646, as `de` or `pt-BR`) of a header such as `prompt@de`.

    Two empty texts where the header has none.
    """
    name, sign, tag = (part.strip() for part in header.rpartition("@"))
    if not sign or not name or not _LANGUAGE.fullmatch(tag):
        return "", ""
    first, *rest = tag.split("-")
    return name, "-".join([first.lower(), *(part.title() if len(part) == 4 else part.upper() for part in rest)])


@lru_cache(maxsize=4_096)
def header_key(text: str) -> str:
    """How header names are compared: without regard to case, blanks, underscores, hyphens and other punctuation."""
    return slug(text).replace("_", "")


CANONICAL: dict[str, str] = {
    header_key(name): column.name for column in COLUMNS for name in (column.name, *column.synonyms)
}
