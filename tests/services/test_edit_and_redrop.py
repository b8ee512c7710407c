"""A campaign of 500 rows is edited and dropped again: what is asked of a lane, what is written, what is kept."""

from __future__ import annotations

import random

from fakes.campaigns import PictureBackend, png, run
from fakes.memory_store import MemoryStore

from assetline.pipeline import RunResult
from assetline.records import PlannedRequest
from assetline.store.history import RetiredRow, read_retired

ROWS, VARIANTS, SIZES = 500, 2, 2
EACH = VARIANTS * SIZES
PICTURES = {(width, n): png(n, (width, 64)) for width in (64, 72) for n in range(1, VARIANTS + 1)}
Rows = dict[str, str]


class Instant(PictureBackend):
    """Gives ready pictures: what it costs to draw them is not what is tested."""

    def __init__(self) -> None:
        super().__init__(draw=lambda planned, _attempt: PICTURES[planned.request.width, planned.variant])
        self.keys: list[str] = []

    async def generate(self, planned: PlannedRequest, attempt: int):
        self.keys.append(planned.request.key)
        return await super().generate(planned, attempt)


def sheet(rows: Rows) -> str:
    lines = (f'{row},{prompt},"64x64, 72x64",{VARIANTS}\n' for row, prompt in rows.items())
    return "id,prompt,size,variants\n" + "".join(lines)


class Redrops:
    """One store that sheets are dropped on, one after the other."""

    def __init__(self) -> None:
        self.store = MemoryStore()

    def drop(self, rows: Rows) -> tuple[RunResult, list[str], list[str]]:
        """Run the rows: the result, the keys of the requests that a lane got, the keys of what was written."""
        lane, before = Instant(), len(self.store.written)
        result = run(sheet(rows), self.store, lane)
        return result, lane.keys, self.store.written[before:]

    def retired(self, result: RunResult) -> tuple[RetiredRow, ...]:
        return read_retired(self.store, result.record.campaign, result.record.run_id)


def test_only_what_is_changed_is_made_and_the_same_file_again_asks_and_writes_nothing() -> None:
    drops, chance = Redrops(), random.Random(20261122)
    rows = {f"SKU{n:03}": f"a thing number {n}" for n in range(ROWS)}
    first, asked, _ = drops.drop(rows)
    assert len(asked) == ROWS * EACH
    assert first.record.counts.stored == ROWS * EACH

    again, asked, written = drops.drop(rows)
    assert (asked, written, again.same_again, again.record.run_id) == ([], [], True, first.record.run_id)

    picked = chance.sample(sorted(rows), 12)
    changed, removed = picked[:7], sorted(picked[7:])
    edited = {row: f"{prompt} in red" if row in changed else prompt for row, prompt in rows.items()}
    second, asked, _ = drops.drop({row: prompt for row, prompt in edited.items() if row not in removed})
    assert len(asked) == len(set(asked)) == len(changed) * EACH
    assert set(asked) == {outcome.request_key for outcome in second.outcomes if outcome.row in changed}
    pictures = {outcome.request_key: outcome.asset for outcome in first.outcomes if outcome.row not in changed}
    found = {outcome.request_key: outcome.asset for outcome in second.outcomes if outcome.row not in changed}
    assert found == {o.request_key: o.asset for o in first.outcomes if o.row not in {*changed, *removed}}

    retired = drops.retired(second)
    assert [row.row for row in retired] == list(second.record.retired) == removed
    assert {o.request_key: o.asset for row in retired for o in row.outcomes}.items() <= pictures.items()
    assert {len(row.outcomes) for row in retired} == {EACH}

    back, asked, _ = drops.drop(edited)
    assert (asked, back.record.retired, back.record.counts.total) == ([], (), ROWS * EACH)
    assert {o.request_key: o.asset for o in back.outcomes if o.row not in changed} == pictures
