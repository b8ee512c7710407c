"""Which of the originals in a store a planned request finds."""

from __future__ import annotations

from fakes.campaigns import WORKFLOWS
from fakes.memory_store import MemoryStore

from assetline.catalogue import Catalogue
from assetline.plan import World, plan_campaign
from assetline.sheet import read_sheet
from assetline.store.existing import find_originals
from assetline.store.layout import asset_key
from assetline.workflow import load_workflows


def test_of_two_originals_with_the_same_digits_it_is_that_of_the_row() -> None:
    """The keys of two requests may begin alike; the other one's picture would be taken for a foreign one each time."""
    world = World(Catalogue(), load_workflows(WORKFLOWS), frozenset({"fpo"}), min_side_px=16)
    plan = plan_campaign("spring", read_sheet("spring.csv", b"id,prompt,size\nMUG,a mug,64x64\n", Catalogue()), world)
    [planned] = plan.requests
    own = asset_key("spring", planned, "png")
    other = asset_key("spring", planned.model_copy(update={"row": "BOOT"}), "png")
    store = MemoryStore()
    store.put(other, b"")
    assert [found.original for found in find_originals(store, "spring", [planned])] == [other]
    store.put(own, b"")
    assert [found.original for found in find_originals(store, "spring", [planned])] == [own]
