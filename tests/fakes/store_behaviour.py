"""What every store must do: one suite, run over the folder, moto and ministack by subclasses that give `store`."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from assetline.errors import ObjectChanged, ObjectExists, ObjectMissing, StoreError
from assetline.store import PutOptions
from assetline.store.check import ProbedStore, StoreCapabilities, probe_store

KEY = "campaigns/spring/assets/SKU0007/red-shoe_64x64_0a1b2c3d.png"
AWKWARD_KEYS = [
    "campaigns/frühling/assets/Größe 42/ö.png",
    "campaigns/春/assets/靴 赤/靴.png",
    "campaigns/c/assets/50% off + more/a&b=c;d,e@f#g?.png",
    'campaigns/c/assets/it\'s "quoted"/~$(x).png',
    "campaigns/c/assets/emoji 👟/👟.png",
    "campaigns/c/assets/%2F%20+/%.png",
]
BAD_KEYS = ["", "/a", "a//b", "a/", "../a", "a/../b", "a/./b", "a\\b", "a\nb", "a\x00b", "x" * 241, "ab/" * 301 + "c"]
RACERS = 8


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def race(count: int, put: Callable[[int], object], refused: type[StoreError]) -> list[int]:
    """Run `put(0)` .. `put(count - 1)` at the same moment; the numbers of those that were not refused."""
    start = threading.Barrier(count)

    def one(number: int) -> bool:
        start.wait()
        try:
            put(number)
        except refused:
            return False
        return True

    with ThreadPoolExecutor(count) as pool:
        return [number for number, won in enumerate(pool.map(one, range(count))) if won]


class StoreBehaviour:
    """Subclasses give the fixture `store`: empty, and safe in threads."""

    def test_what_was_put_comes_back(self, store: ProbedStore) -> None:
        etag = store.put(KEY, b"picture")
        found = store.get(KEY)
        assert (b"picture", etag) == (found.data, found.etag)

    def test_an_empty_object_comes_back(self, store: ProbedStore) -> None:
        store.put(KEY, b"")
        assert store.get(KEY).data == b""

    def test_a_file_is_stored_by_its_path(self, store: ProbedStore, tmp_path: Path) -> None:
        source = tmp_path / "source.bin"
        source.write_bytes(bytes(range(256)) * 8192)
        store.put("campaigns/c/runs/r/input/sheet.xlsx", source)
        found = store.get("campaigns/c/runs/r/input/sheet.xlsx")
        assert source.read_bytes() == found.data
        assert sha256(found.data) == found.metadata["sha256"]

    def test_a_file_that_is_not_there_is_named(self, store: ProbedStore, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match=r"nowhere\.bin cannot be read"):
            store.put(KEY, tmp_path / "nowhere.bin")
        assert list(store.list("")) == []

    def test_a_plain_put_overwrites(self, store: ProbedStore) -> None:
        store.put(KEY, b"old", PutOptions(metadata={"run-id": "1"}))
        store.put(KEY, b"new")
        assert store.get(KEY).data == b"new"
        assert {"sha256": sha256(b"new")} == store.get(KEY).metadata

    def test_a_missing_object_is_missing_and_named(self, store: ProbedStore) -> None:
        with pytest.raises(ObjectMissing, match="SKU0007"):
            store.get(KEY)

    def test_below_an_object_and_at_a_folder_nothing_is_found(self, store: ProbedStore) -> None:
        store.put("campaigns/c/file", b"x")
        for key in ("campaigns/c/file/below", "campaigns/c"):
            with pytest.raises(ObjectMissing):
                store.get(key)

    def test_metadata_comes_back_with_the_sha256(self, store: ProbedStore) -> None:
        store.put(KEY, b"picture", PutOptions(metadata={"run-id": "20261122T014500Z-0a1b2c", "seed": "7"}))
        expected = {"run-id": "20261122T014500Z-0a1b2c", "seed": "7", "sha256": sha256(b"picture")}
        assert expected == store.get(KEY).metadata

    def test_metadata_follows_its_bytes(self, store: ProbedStore) -> None:
        store.put(KEY, b"one", PutOptions(metadata={"seed": "1"}))
        store.put(KEY, b"two", PutOptions(metadata={"seed": "2"}))
        store.put(KEY, b"one", PutOptions(metadata={"seed": "3"}))
        assert store.get(KEY).metadata["seed"] == "3"

    def test_all_that_is_wrong_with_metadata_is_said_at_once(self, store: ProbedStore) -> None:
        options = PutOptions(metadata={"prompt": "süß", "Run-Id": "x", "note": " x", "long": "x" * 2000})
        with pytest.raises(StoreError) as raised:
            store.put(KEY, b"picture", options)
        assert all(part in str(raised.value) for part in ("prompt: 's", "Run-Id:", "note:", "2048", "sidecar"))
        assert list(store.list("")) == []

    def test_metadata_up_to_two_kilobytes_is_taken(self, store: ProbedStore) -> None:
        value = "x" * (2048 - len("sha256") - 64 - len("note"))
        store.put(KEY, b"picture", PutOptions(metadata={"note": value}))
        assert value == store.get(KEY).metadata["note"]

    @pytest.mark.parametrize("key", AWKWARD_KEYS)
    def test_keys_of_any_script_and_sign_come_back(self, store: ProbedStore, key: str) -> None:
        store.put(key, key.encode(), PutOptions(if_absent=True, metadata={"seed": "1"}))
        assert key.encode() == store.get(key).data
        assert [key] == list(store.list(key.rpartition("/")[0]))

    @pytest.mark.parametrize("key", BAD_KEYS, ids=repr)
    def test_bad_keys_are_refused_alike(self, store: ProbedStore, key: str) -> None:
        for use in (lambda: store.put(key, b"x"), lambda: store.get(key), lambda: store.uri_of(key)):
            with pytest.raises(StoreError, match="cannot be used"):
                use()

    def test_the_stores_own_files_are_out_of_reach(self, store: ProbedStore) -> None:
        with pytest.raises(StoreError, match="the store's own"):
            store.put(".assetline/lock", b"x")
        with pytest.raises(ValueError, match=r"a\.png"):
            store.discard_probe("a.png")

    def test_a_decomposed_key_is_written_composed(self, store: ProbedStore) -> None:
        store.put("campaigns/c/u\u0308.png", b"x")
        assert list(store.list("campaigns/c/u\u0308")) == ["campaigns/c/\u00fc.png"]
        assert store.get("campaigns/c/u\u0308.png").data == store.get("campaigns/c/\u00fc.png").data

    def test_list_gives_keys_in_utf8_order_and_by_any_prefix(self, store: ProbedStore) -> None:
        keys = ["a/b", "a-b", "a.b/c", "a/b.x/y", "aa", "a/B", "b", "ä", "a/b-c", "\uffee", "\U0001f45f"]
        for key in keys:
            store.put(key, b"x")
        assert sorted(keys, key=str.encode) == list(store.list(""))
        assert list(store.list("a/b")) == ["a/b", "a/b-c", "a/b.x/y"]
        assert list(store.list("a/b.x/")) == ["a/b.x/y"]
        assert list(store.list("nothing/here")) == []

    def test_create_if_absent_never_overwrites(self, store: ProbedStore) -> None:
        store.put(KEY, b"first", PutOptions(if_absent=True, metadata={"seed": "1"}))
        for data in (b"second", b"first"):
            with pytest.raises(ObjectExists, match="SKU0007"):
                store.put(KEY, data, PutOptions(if_absent=True, metadata={"seed": "2"}))
        assert (store.get(KEY).data, store.get(KEY).metadata["seed"]) == (b"first", "1")

    def test_of_many_creators_one_wins(self, store: ProbedStore) -> None:
        for round_number in range(4):
            key = f"race/{round_number}"

            def put(number: int, key: str = key) -> None:
                store.put(key, b"%d" % number, PutOptions(if_absent=True, metadata={"seed": str(number)}))

            winners = race(RACERS, put, ObjectExists)
            found = store.get(key)
            assert winners == [int(found.data)] == [int(found.metadata["seed"])]

    def test_compare_and_swap_takes_the_named_version_only(self, store: ProbedStore) -> None:
        first = store.put(KEY, b"one")
        second = store.put(KEY, b"two", PutOptions(if_match=first))
        with pytest.raises(ObjectChanged, match="SKU0007"):
            store.put(KEY, b"three", PutOptions(if_match=first))
        store.put(KEY, b"four", PutOptions(if_match=second))
        assert store.get(KEY).data == b"four"

    def test_compare_and_swap_of_a_missing_object_is_refused(self, store: ProbedStore) -> None:
        etag = store.put("other", b"x")
        with pytest.raises(ObjectChanged):
            store.put(KEY, b"x", PutOptions(if_match=etag))
        assert list(store.list("")) == ["other"]

    def test_no_increment_of_a_shared_counter_is_lost(self, store: ProbedStore) -> None:
        store.put("counter", b"0")

        def increment(_number: int) -> None:
            while True:
                found = store.get("counter")
                try:
                    store.put("counter", b"%d" % (int(found.data) + 1), PutOptions(if_match=found.etag))
                except ObjectChanged:
                    continue
                return

        race(4, lambda number: [increment(number) for _ in range(3)], StoreError)
        assert store.get("counter").data == b"12"

    def test_many_threads_write_and_read(self, store: ProbedStore) -> None:
        def there_and_back(number: int) -> bool:
            data = b"%d" % number * 10_000
            store.put(f"many/{number:03}", data, PutOptions(if_absent=True))
            return store.get(f"many/{number:03}").data == data

        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(there_and_back, range(48)))
        assert [f"many/{number:03}" for number in range(48)] == list(store.list("many/"))

    def test_the_probe_finds_all_well_and_leaves_nothing(self, store: ProbedStore) -> None:
        found = probe_store(store)
        assert StoreCapabilities(True, True, True, True) == found
        assert found.problems == ()
        assert list(store.list("")) == []
