"""The nearest thing that would have been right, in the words of a message."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache

from assetline.catalogue import slug

SHOWN_NAMES = 12
LIKELY_NAMES = 3  # of more that share a word with what was written, all are shown: none is likelier
SHORTEST_WORD = 3  # characters that two names must share
LONGEST_WORD = 80  # characters; longer ones are no typing mistakes, and comparing costs their square


def nearest(word: str, known: Iterable[str], closeness: float = 0.6) -> str | None:
    """The known name that looks most like `word`, regardless of case and blanks; None where nothing is near."""
    return _nearest(word, tuple(known), closeness)


@lru_cache(maxsize=4_096)  # who writes `instgram` writes it in every row
def _nearest(word: str, known: tuple[str, ...], closeness: float) -> str | None:
    names = {slug(name): name for name in known}
    found = get_close_matches(slug(word)[:LONGEST_WORD], names, n=1, cutoff=closeness)
    return names[found[0]] if found else None


def suggestion(word: str, known: Iterable[str], what: str) -> str:
    """`Did you mean "x"?`, or what there is: `Known channels: a, b, c.`"""
    names = list(known)
    near = nearest(word, names)
    likely = [near] if near else _sharing_a_word(word, names)
    if likely:
        return f"Did you mean {_either(likely)}?"
    if not names:
        return f"There are no {what} to choose from."
    rest = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return f"Known {what}: {', '.join(names[:SHOWN_NAMES])}{rest}."


def _sharing_a_word(word: str, known: list[str]) -> list[str]:
    """The known names with a word of `word` in them (`story` in `instagram_story`), where they are few."""
    words = {part for part in slug(word[:LONGEST_WORD]).split("_") if len(part) >= SHORTEST_WORD}
    found = [name for name in known if words & set(slug(name).split("_"))]
    return found if len(found) <= LIKELY_NAMES else []


def _either(names: list[str]) -> str:
    quoted = [f'"{name}"' for name in names]
    return " or ".join([", ".join(quoted[:-1]), quoted[-1]] if quoted[1:] else quoted)


def shown(text: str, longest: int = 60) -> str:
    """A cell's text in quotes, cut where it would fill the screen; characters that nobody sees by their number."""
    flat = " ".join(text.split())
    if not flat.isprintable():
        flat = "".join(
            f"[U+{ord(sign):04X}]" if unicodedata.category(sign) == "Cf" else sign for sign in flat[: longest + 1]
        )
    return f'"{flat}"' if len(flat) <= longest else f'"{flat[: longest - 1]}…"'
