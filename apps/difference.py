"""What a plan changes against earlier runs, in words: a line of counts, then which rows, folded to a few."""

from __future__ import annotations

from collections.abc import Sequence

from apps.words import many
from assetline.plan.difference import Difference

ROWS_NAMED = 5


def difference_in_words(difference: Difference) -> str:
    """`Since run 20261122T...: 2 rows added, 3 changed, 1 removed, 494 unchanged.`."""
    counts = (
        (len(difference.added), "added"),
        (len(difference.changed), "changed"),
        (len(difference.removed), "removed"),
        (difference.unchanged, "unchanged"),
    )
    (first, word), *rest = [counted for counted in counts if counted[0]] or [(0, "to compare")]
    found = [f"{many(first, 'row')} {word}", *(f"{count:,} {word}" for count, word in rest)]
    return f"Since run {difference.since}: {', '.join(found)}."


def print_difference(difference: Difference | None) -> None:
    """The counts, then the rows that are added, changed and removed; nothing where there is no earlier run."""
    if difference is None:
        return
    print(difference_in_words(difference))
    if difference.added:
        print(f"  added: {named(difference.added)}{_of_added(difference)}")
    for reasons, rows in _by_reason(difference).items():
        print(f"  changed: {named(rows)} ({reasons})")
    if difference.removed:
        print(f"  removed: {named(difference.removed)}; what was made of them is kept, marked as retired")


def named(rows: Sequence[str]) -> str:
    """`A, B, C, D, E and 495 more`."""
    more = len(rows) - ROWS_NAMED
    return ", ".join(rows[:ROWS_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _of_added(difference: Difference) -> str:
    """What is to be said of the rows that are new: that some are not, and that some may only look so."""
    said = ""
    if difference.back:
        which = "" if difference.back == difference.added else f"{named(difference.back)}: "
        said = f" ({which}asked for before, so nothing new is made of them)"
    if difference.without_id and difference.removed:
        said += (
            f"\n    {many(len(difference.without_id), 'row')} of them without an id, so named from the prompt: "
            "one whose prompt was edited counts as removed and added. Ids keep such rows together."
        )
    return said


def _by_reason(difference: Difference) -> dict[str, list[str]]:
    """The changed rows, those with the same reasons together."""
    found: dict[str, list[str]] = {}
    for row, reasons in difference.changed_by.items():
        found.setdefault(", ".join(reasons), []).append(row)
    return found
