"""A row in another language: its own texts, the same seeds, and the tag behind the size (`instagram_feed@de`)."""

from __future__ import annotations

from dataclasses import replace

from assetline.plan.recipe import RowPlan
from assetline.records import Row
from assetline.sheet.columns import header_key

TEXTS = ("prompt", "negative_prompt")


def localised(row: Row, tag: str) -> Row:
    """The row as it is in that language; what the language does not say stays. Problems are told at its own cells."""
    texts = row.locales[tag]
    own = {header_key(name): cell for name, cell in row.cells.items()}
    cells = {column: own[key] for column in TEXTS if (key := header_key(f"{column}@{tag}")) in own}
    return row.model_copy(
        update={
            **{column: texts[column] for column in TEXTS if column in texts},
            "extra": {**row.extra, **{name: text for name, text in texts.items() if name not in TEXTS}},
            "cells": {**row.cells, **cells},
        }
    )


def in_language(plan: RowPlan, tag: str) -> RowPlan:
    """The plan with its sizes told apart from those of the other languages."""
    requests = tuple(one.model_copy(update={"size": f"{one.size}@{tag}"}) for one in plan.requests)
    return replace(plan, requests=requests)
