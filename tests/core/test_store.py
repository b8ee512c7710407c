"""The folder store: what every store must do, and what is a folder's own."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.register_assert_rewrite("fakes.store_behaviour")

from fakes.ordinary_user import as_ordinary_user  # noqa: E402
from fakes.store_behaviour import KEY, StoreBehaviour  # noqa: E402 - after the registration

from assetline.errors import ObjectExists, StoreError, StoreUnreachable  # noqa: E402
from assetline.store import PutOptions, StoredObject  # noqa: E402
from assetline.store.check import StoreCapabilities, probe_store  # noqa: E402
from assetline.store.folder import LEFTOVER_S, FolderStore  # noqa: E402


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


class TestFolder(StoreBehaviour):
    """The common suite over a folder."""


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_objects_are_plain_files_at_their_keys(store: FolderStore) -> None:
    store.put(KEY, b"picture")
    assert (store.root / KEY).read_bytes() == b"picture"
    assert files_below(store.root) == [".assetline/lock", KEY]


def test_metadata_lies_in_the_hidden_folder(store: FolderStore) -> None:
    store.put(KEY, b"picture", PutOptions(metadata={"seed": "7"}))
    assert [".assetline/lock", f".assetline/meta/{KEY}.json", KEY] == files_below(store.root)


def test_the_etag_is_the_sha256(store: FolderStore) -> None:
    assert hashlib.sha256(b"picture").hexdigest() == store.put(KEY, b"picture")


def test_looking_makes_no_folder(store: FolderStore) -> None:
    assert list(store.list("")) == []
    assert not store.root.exists()


def test_the_uri_is_the_folder_and_objects_open_in_a_browser(tmp_path: Path) -> None:
    store = FolderStore(Path("assets"))
    assert str(tmp_path / "assets") == store.uri
    assert f"{(tmp_path / 'assets').as_uri()}/c/50%25%20%C3%B6.png" == store.uri_of("c/50% ö.png")


def test_a_file_that_a_person_put_there_is_an_object(store: FolderStore) -> None:
    store.root.mkdir()
    (store.root / "by hand.csv").write_bytes(b"id,prompt\n")
    expected = hashlib.sha256(b"id,prompt\n").hexdigest()
    assert StoredObject(b"id,prompt\n", expected, {"sha256": expected}) == store.get("by hand.csv")


def test_a_decomposed_file_name_can_be_read_as_it_is_listed(store: FolderStore) -> None:
    store.root.mkdir()
    (store.root / "u\u0308.csv").write_bytes(b"x")
    assert [store.get(key).data for key in store.list("")] == [b"x"]


def test_a_linked_folder_is_listed_and_a_link_that_leads_back_up_is_not(store: FolderStore, tmp_path: Path) -> None:
    elsewhere = tmp_path / "big disk"
    elsewhere.mkdir()
    (elsewhere / "a.png").write_bytes(b"x")
    store.put("c/b.png", b"x")
    (store.root / "linked").symlink_to(elsewhere)
    (store.root / "c/up").symlink_to(store.root)
    (store.root / "c/itself").symlink_to("itself")
    (store.root / "c/dangling").symlink_to("nowhere")
    assert list(store.list("")) == ["c/b.png", "linked/a.png"]


def test_a_name_that_is_not_utf8_is_no_key(store: FolderStore) -> None:
    store.put("a", b"x")
    try:
        Path(os.fsdecode(os.fsencode(store.root) + b"/\xff.png")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    assert list(store.list("")) == ["a"]


def test_a_clash_of_an_object_and_a_folder_is_said_plainly(store: FolderStore) -> None:
    store.put("a/b", b"x")
    with pytest.raises(StoreError, match="is a folder"):
        store.put("a", b"x")
    with pytest.raises(StoreError, match="a file is where a folder must be"):
        store.put("a/b/c", b"x")
    assert list(store.list("")) == ["a/b"]


def test_a_store_that_is_a_file_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "assets").write_text("")
    with pytest.raises(StoreError, match=r"ASSETLINE_STORE"):
        FolderStore(tmp_path / "assets").put("a", b"x")


def test_no_permission_is_said_with_the_remedy(store: FolderStore) -> None:
    store.put("a/b", b"x")
    (store.root / "a").chmod(0o000)
    try:
        for use in (lambda: store.put("a/c", b"x"), lambda: store.get("a/b"), lambda: list(store.list(""))):
            with as_ordinary_user(), pytest.raises(StoreUnreachable, match="Give this user the right"):
                use()
    finally:
        (store.root / "a").chmod(0o700)


class TroubledStore(FolderStore):
    """A folder on a disk with a trouble of its own, where drafts are placed."""

    trouble = 0

    def _place(self, draft, key, options):
        raise OSError(self.trouble, os.strerror(self.trouble), str(draft.path))


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (errno.ENOSPC, "is full"),
        (errno.EDQUOT, "is full"),
        (errno.EROFS, "read-only"),
        (errno.ENOLCK, "without locks"),
        (errno.ENAMETOOLONG, "too long"),
        (errno.EIO, "cannot be used"),
        (errno.EACCES, "No permission"),
    ],
)
def test_what_the_disk_says_is_told_in_plain_words_and_leaves_nothing(tmp_path: Path, trouble: int, words: str) -> None:
    store = TroubledStore(tmp_path / "store")
    store.trouble = trouble
    with pytest.raises(StoreError, match=words):
        store.put("a", b"x")
    assert files_below(store.root) == [".assetline/lock"]


class LinklessStore(FolderStore):
    """A folder on a file system without hard links (exFAT, some network shares)."""

    def _linked(self, draft, path, key):
        return False


class TestLinkless(StoreBehaviour):
    """Without hard links the lock alone lets one creator win."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> FolderStore:
        return LinklessStore(tmp_path / "store")


def test_a_writer_without_our_lock_is_not_overwritten(store: FolderStore) -> None:
    """What another program put there between our look and our link stays."""

    class Raced(FolderStore):
        def _keep_metadata(self, key, metadata, options):
            (self.root / key).write_bytes(b"theirs")

    with pytest.raises(ObjectExists):
        Raced(store.root).put("a", b"ours", PutOptions(if_absent=True))
    assert store.get("a").data == b"theirs"


def test_fsync_changes_nothing_that_is_seen(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store", fsync=True)
    store.put(KEY, b"one", PutOptions(metadata={"seed": "1"}))
    assert store.get(KEY).data == b"one"


def test_leftovers_are_swept_after_a_day_and_not_before(store: FolderStore) -> None:
    store.put("a", b"x")
    drafts = store.root / ".assetline/tmp"
    (drafts / "old").write_bytes(b"half")
    (drafts / "young").write_bytes(b"half")
    then = (drafts / "young").stat().st_mtime - LEFTOVER_S - 60
    os.utime(drafts / "old", (then, then))
    FolderStore(store.root).put("b", b"x")
    assert [path.name for path in drafts.iterdir()] == ["young"]


def test_a_kill_between_metadata_and_object_leaves_the_old_pair(store: FolderStore) -> None:
    class Killed(Exception):
        pass

    class Dying(FolderStore):
        def _place(self, draft, key, options):
            raise Killed

    store.put(KEY, b"old", PutOptions(metadata={"seed": "1"}))
    with pytest.raises(Killed):
        Dying(store.root).put(KEY, b"new", PutOptions(metadata={"seed": "2"}))
    assert (store.get(KEY).data, store.get(KEY).metadata["seed"]) == (b"old", "1")


WRITER = """
import hashlib, itertools, random, sys
from pathlib import Path
from assetline.store import PutOptions
from assetline.store.folder import FolderStore

store = FolderStore(Path(sys.argv[1]))
for number in itertools.count():
    data = random.Random(number).randbytes(3_000_000)
    store.put(f"{sys.argv[2]}/{number}", data, PutOptions(if_absent=True, metadata={"number": str(number)}))
    print(number, flush=True)
"""


def kill_in_mid_write(store: FolderStore, folder: str, root: Path, objects: int) -> None:
    """Start a writer, let it finish some objects, and kill it while a draft lies there."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(store.root), folder], cwd=root, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    with writer, writer.stdout:
        for _ in range(objects):
            writer.stdout.readline()
        while writer.poll() is None and not any((store.root / ".assetline/tmp").iterdir()):
            pass
        writer.send_signal(signal.SIGKILL)
    assert writer.returncode == -signal.SIGKILL


def test_a_killed_writer_leaves_whole_objects_only(store: FolderStore, project_root: Path) -> None:
    """Killed in mid-write, three times over; what can be seen is whole, and the same keys can be written again."""
    for turn in range(3):
        kill_in_mid_write(store, f"turn-{turn}", project_root, objects=random.randint(1, 4))
        keys = list(store.list(f"turn-{turn}/"))
        assert keys
        for key in keys:
            number = int(key.rpartition("/")[2])
            found = store.get(key)
            assert random.Random(number).randbytes(3_000_000) == found.data
            assert str(number) == found.metadata["number"]
        store.put(f"turn-{turn}/{len(keys)}", b"again", PutOptions(if_absent=True))
        assert store.get(f"turn-{turn}/{len(keys)}").data == b"again"


NO_OPTIONS = PutOptions()


class LyingStore(FolderStore):
    """Answers well and ignores what it does not know, as rclone's and other small servers do."""

    def put(self, key, data, options=None):
        return super().put(key, data)


class RacyStore(FolderStore):
    """Looks first and writes then, without a lock between, as OpenStack Swift does."""

    def put(self, key, data, options=NO_OPTIONS):
        if options.if_absent and "race" not in key and (self.root / key).exists():
            raise ObjectExists(key)
        return super().put(key, data, PutOptions(metadata=options.metadata, if_match=options.if_match))


class StubbornStore(FolderStore):
    """Refuses every compare-and-swap, also the right one."""

    def put(self, key, data, options=NO_OPTIONS):
        if options.if_match is not None:
            raise ObjectExists(key)
        return super().put(key, data, options)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (LyingStore, StoreCapabilities(False, False, False, False)),
        (RacyStore, StoreCapabilities(True, False, True, True)),
        (StubbornStore, StoreCapabilities(True, True, False, True)),
    ],
)
def test_the_probe_finds_a_lying_store_out(
    tmp_path: Path, kind: type[FolderStore], expected: StoreCapabilities
) -> None:
    store = kind(tmp_path / "store")
    found = probe_store(store)
    assert expected == found
    assert [expected.create_if_absent, expected.one_winner, expected.compare_and_swap, expected.metadata].count(
        False
    ) == len(found.problems)
    assert files_below(store.root) == [".assetline/lock"]


def test_a_store_that_cannot_be_written_is_told_from_one_that_lies(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="a file is where a folder must be"):
        probe_store(FolderStore(tmp_path / "file"))
