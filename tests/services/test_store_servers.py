"""The S3 store over two independent servers, moto and ministack: the common suite, and what is S3's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.register_assert_rewrite("fakes.store_behaviour")

from fakes.s3_servers import BUCKET, S3Server, free_port, ministack_store_settings, moto_store_settings  # noqa: E402
from fakes.store_behaviour import KEY, StoreBehaviour, sha256  # noqa: E402 - after the registration

from assetline.errors import ObjectChanged, ObjectExists, StoreError  # noqa: E402
from assetline.store import PutOptions  # noqa: E402
from assetline.store.s3 import S3Store, open_s3  # noqa: E402
from assetline.store.s3_client import shared_client  # noqa: E402

MIB = 1 << 20


@pytest.fixture(scope="module")
def moto() -> Iterator[S3Server]:
    with moto_store_settings() as server:
        yield server


@pytest.fixture(scope="module")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with ministack_store_settings(tmp_path_factory.mktemp("ministack")) as server:
        yield server


class S3Behaviour(StoreBehaviour):
    """What is S3's own, over both servers. Subclasses give the fixture `server`."""

    @pytest.fixture
    def store(self, server: S3Server) -> S3Store:
        return server.store()

    def head(self, server: S3Server, store: S3Store, key: str) -> dict:
        full = store.uri_of(key).removeprefix(f"s3://{BUCKET}/")
        return shared_client(server.settings).head_object(Bucket=BUCKET, Key=full)

    def test_pictures_are_cached_for_ever_and_pages_are_asked_for_again(self, server: S3Server, store: S3Store) -> None:
        sheet = "campaigns/spring/runs/20261122T014500Z-0a1b2c/contact-sheet.html"
        for key in (KEY, sheet):
            store.put(key, b"x")
        picture, page = (self.head(server, store, key) for key in (KEY, sheet))
        assert (picture["ContentType"], picture["CacheControl"]) == ("image/png", "public, max-age=31536000, immutable")
        assert (page["ContentType"], page["CacheControl"]) == ("text/html; charset=utf-8", "no-cache")

    def test_the_content_type_can_be_given(self, server: S3Server, store: S3Store) -> None:
        store.put(KEY, b"x", PutOptions(content_type="image/webp"))
        assert self.head(server, store, KEY)["ContentType"] == "image/webp"

    def test_a_saved_file_has_its_own_name(self, server: S3Server, store: S3Store) -> None:
        store.put('c/Größe "42".png', b"x")
        expected = "inline; filename=\"Groe_42_.png\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe%20%2242%22.png"
        assert expected == self.head(server, store, 'c/Größe "42".png')["ContentDisposition"]

    def test_large_objects_go_up_in_parts_from_a_file_or_from_memory(self, server: S3Server, tmp_path: Path) -> None:
        store = S3Store(BUCKET, "in-parts", client=shared_client(server.settings), multipart_bytes=5 * MIB)
        data = os.urandom(9 * MIB)
        (tmp_path / "large.bin").write_bytes(data)
        for key, source in {"file": tmp_path / "large.bin", "memory": data}.items():
            etag = store.put(f"{key}.png", source, PutOptions(metadata={"seed": "7"}))
            found = store.get(f"{key}.png")
            assert (etag, {"seed": "7", "sha256": sha256(data)}) == (found.etag, found.metadata)
            assert data == found.data

    def test_conditions_hold_for_large_objects(self, server: S3Server) -> None:
        store = S3Store(BUCKET, "conditions-in-parts", client=shared_client(server.settings), multipart_bytes=5 * MIB)
        data = bytes(6 * MIB)
        etag = store.put("a.bin", data, PutOptions(if_absent=True))
        with pytest.raises(ObjectExists):
            store.put("a.bin", data, PutOptions(if_absent=True))
        store.put("a.bin", data + b"2", PutOptions(if_match=etag))
        with pytest.raises(ObjectChanged):
            store.put("a.bin", data, PutOptions(if_match=etag))
        with pytest.raises(ObjectChanged):
            store.put("missing.bin", data, PutOptions(if_match=etag))

    def test_two_prefixes_and_the_bucket_itself_are_three_stores(self, server: S3Server) -> None:
        inner, outer = server.store("nested/inner/"), server.store("nested")
        inner.put("a", b"x")
        assert ["a"] == list(inner.list("")) == [key.removeprefix("inner/") for key in outer.list("inner")]
        assert f"s3://{BUCKET}/nested/inner" == inner.uri
        assert f"s3://{BUCKET}/nested/inner/a" == outer.uri_of("inner/a")
        assert "nested/inner/a" in list(server.store("").list("nested/"))

    def test_folder_markers_of_web_consoles_are_no_objects(self, server: S3Server, store: S3Store) -> None:
        prefix = store.uri.removeprefix(f"s3://{BUCKET}/")
        shared_client(server.settings).put_object(Bucket=BUCKET, Key=f"{prefix}/inbox/", Body=b"")
        store.put("inbox/a.csv", b"x")
        assert list(store.list("")) == ["inbox/a.csv"]

    def test_a_decomposed_key_of_another_program_can_be_read_as_listed(self, server: S3Server, store: S3Store) -> None:
        prefix = store.uri.removeprefix(f"s3://{BUCKET}/")
        shared_client(server.settings).put_object(Bucket=BUCKET, Key=f"{prefix}/u\u0308.csv", Body=b"x")
        assert [store.get(key).data for key in store.list("")] == [b"x"]

    def test_a_bucket_that_is_not_there_is_said_with_the_remedy(self, server: S3Server) -> None:
        store = open_s3("s3://no-such-bucket/x", server.settings)
        for use in (lambda: store.put("a", b"x"), lambda: store.get("a"), lambda: list(store.list(""))):
            with pytest.raises(StoreError, match=r"There is no bucket no-such-bucket at .*aws s3 mb"):
                use()


class TestMoto(S3Behaviour):
    @pytest.fixture
    def server(self, moto: S3Server) -> S3Server:
        return moto


@pytest.mark.server
class TestMinistack(S3Behaviour):
    @pytest.fixture
    def server(self, ministack: S3Server) -> S3Server:
        return ministack

    def test_more_keys_than_one_page_are_all_listed(self, store: S3Store) -> None:
        keys = [f"pages/{number:04}" for number in range(1005)]
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda key: store.put(key, b""), keys))
        assert keys == list(store.list("pages/"))


@pytest.mark.server
def test_ministack_keeps_everything_over_a_restart(tmp_path: Path) -> None:
    """Also when the second process is on the same port: the promise of the laptop set-up in the README."""
    port = free_port()
    with ministack_store_settings(tmp_path, port) as server:
        server.store("kept").put(KEY, b"picture", PutOptions(metadata={"seed": "7"}))
    with ministack_store_settings(tmp_path, port) as server:
        found = server.store("kept").get(KEY)
    assert (found.data, found.metadata["seed"]) == (b"picture", "7")


CREATOR = """
import os, sys
from pydantic import SecretStr
from assetline.errors import ObjectExists
from assetline.store import PutOptions
from assetline.store.s3 import S3Settings, open_s3

store = open_s3(sys.argv[1], S3Settings(endpoint_url=os.environ["ASSETLINE_S3_ENDPOINT"]))
print("ready", flush=True)
sys.stdin.readline()
won = []
for number in range(20):
    try:
        store.put(f"race/{number}", sys.argv[2].encode(), PutOptions(if_absent=True))
        won.append(number)
    except ObjectExists:
        pass
print(*won)
"""


def test_of_two_processes_one_creates_each_object(moto: S3Server, project_root: Path) -> None:
    """The credentials come from the environment here, as they do for people."""
    store = moto.store("two-processes")
    environment = {**os.environ, **moto.environment}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CREATOR, store.uri, name],
            cwd=project_root,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("a", "b")
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    said = [process.communicate("go\n")[0] for process in processes]
    won = [{int(number) for number in line.split()} for line in said]
    assert won[0] | won[1] == set(range(20))
    assert won[0] & won[1] == set()
    assert [won[name == b"b"] >= {number} for number in range(20) for name in [store.get(f"race/{number}").data]]
