"""The S3 store against a server that says what a test wants: lost answers, conflicts, refusals, settings."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from fakes.s3_servers import ACCESS_KEY, SECRET_KEY, Answer, S3Server, Script, error, free_port, scripted_s3
from pydantic import SecretStr

from assetline.errors import (
    ObjectChanged,
    ObjectExists,
    ObjectMissing,
    OptionError,
    StoreError,
    StoreUnreachable,
)
from assetline.store import PutOptions
from assetline.store.s3 import CONFLICT_PAUSES_S, S3Settings, S3Store, open_s3
from assetline.store.s3_client import client_config, shared_client

DATA = b"picture"
SHA256 = hashlib.sha256(DATA).hexdigest()
STORED = Answer(headers={"ETag": '"new"'})
CREATE = PutOptions(if_absent=True)
QUICK_SEED = 139


@pytest.fixture(scope="module")
def played() -> Iterator[tuple[Script, S3Server]]:
    """One server for the file: a client for each would cost more than all the tests."""
    script = Script()
    with scripted_s3(script) as server:
        yield script, server


@pytest.fixture
def script(played: tuple[Script, S3Server]) -> Script:
    return played[0]


@pytest.fixture
def server(played: tuple[Script, S3Server]) -> S3Server:
    return played[1]


@pytest.fixture
def quick_retries() -> None:
    """botocore waits a random share of a second before it tries again: with this seed 1.5 ms."""
    random.seed(QUICK_SEED)


def never_sleep(_seconds: float) -> None:
    """Retries are the subject, their pauses are not."""


def store_at(server: S3Server, attempts: int = 1, sleep: Callable[[float], None] = never_sleep) -> S3Store:
    settings = replace(server.settings, attempts=attempts)
    return S3Store("assets", "p", client=shared_client(settings), sleep=sleep)


def test_a_put_says_all_in_one_request(script: Script, server: S3Server) -> None:
    script.play(STORED)
    etag = store_at(server).put("c/ö.png", DATA, PutOptions(if_absent=True, metadata={"seed": "7"}))
    [asked] = script.asked
    expected = {
        "if-none-match": "*",
        "content-type": "image/png",
        "cache-control": "no-cache",
        "x-amz-meta-seed": "7",
        "x-amz-meta-sha256": SHA256,
        "x-amz-content-sha256": SHA256,
    }
    assert etag == '"new"'
    assert (asked.method, asked.path, asked.body) == ("PUT", "/assets/p/c/%C3%B6.png", DATA)
    assert expected == {name: value for name, value in asked.headers.items() if name in expected}
    assert not [name for name in asked.headers if name.startswith(("x-amz-checksum", "x-amz-sdk"))]


def test_checksums_are_sent_where_the_server_is_known_to_take_them(script: Script, server: S3Server) -> None:
    script.play(STORED)
    open_s3("s3://assets", replace(server.settings, checksums="when_supported")).put("a.png", DATA)
    expected = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
    assert expected == script.asked[0].headers["x-amz-checksum-sha256"]


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("options", [CREATE, PutOptions(if_match='"old"')], ids=["create", "swap"])
def test_a_lost_answer_to_a_put_that_had_worked_is_a_success(
    script: Script, server: S3Server, options: PutOptions
) -> None:
    """The object that the second try meets has our bytes: it is ours."""
    own = Answer(headers={"ETag": '"own"', "x-amz-meta-Sha256": SHA256})
    script.play(Answer(hang_up=True), error(412, "PreconditionFailed"), own)
    etag = store_at(server, attempts=2).put("a.png", DATA, options)
    assert (etag, script.methods) == ('"own"', ["PUT", "PUT", "HEAD"])


@pytest.mark.usefixtures("quick_retries")
def test_a_lost_answer_to_a_create_that_another_won_is_no_success(script: Script, server: S3Server) -> None:
    theirs = Answer(headers={"ETag": '"theirs"', "x-amz-meta-sha256": "0" * 64})
    script.play(Answer(hang_up=True), error(412, "PreconditionFailed"), theirs)
    with pytest.raises(ObjectExists, match=r"s3://assets/p/a\.png"):
        store_at(server, attempts=2).put("a.png", DATA, CREATE)


def test_a_refusal_at_the_first_try_is_believed_even_for_the_same_bytes(script: Script, server: S3Server) -> None:
    script.play(error(412, "PreconditionFailed"))
    with pytest.raises(ObjectExists):
        store_at(server).put("a.png", DATA, CREATE)
    with pytest.raises(ObjectChanged):
        store_at(server).put("a.png", DATA, PutOptions(if_match='"old"'))
    assert script.methods == ["PUT", "PUT"]


def test_a_swap_of_an_object_that_is_gone_is_refused(script: Script, server: S3Server) -> None:
    script.play(error(404, "NoSuchKey"))
    with pytest.raises(ObjectChanged):
        store_at(server).put("a.png", DATA, PutOptions(if_match='"old"'))


def test_a_conflict_with_a_write_under_way_is_tried_again_after_growing_pauses(
    script: Script, server: S3Server
) -> None:
    pauses: list[float] = []
    script.play(error(409, "ConditionalRequestConflict"), error(409, "OperationAborted"), STORED)
    assert store_at(server, sleep=pauses.append).put("a.png", DATA, CREATE) == '"new"'
    assert [0.025 <= pauses[0] <= 0.05, 0.05 <= pauses[1] <= 0.1] == [True, True]


def test_conflicts_without_end_end(script: Script, server: S3Server) -> None:
    script.play(error(409, "ConditionalRequestConflict"))
    with pytest.raises(StoreUnreachable, match=r"busy.*ConditionalRequestConflict.*a\.png"):
        store_at(server).put("a.png", DATA, CREATE)
    assert len(CONFLICT_PAUSES_S) + 1 == len(script.asked)


def test_all_pages_of_a_listing_are_taken(script: Script, server: S3Server) -> None:
    page = "<ListBucketResult>{}<Contents><Key>p/{}.png</Key></Contents></ListBucketResult>"
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>go-on</NextContinuationToken>"
    script.play(Answer(body=page.format(more, "a").encode()), Answer(body=page.format("", "b").encode()))
    assert list(store_at(server).list("")) == ["a.png", "b.png"]
    assert ["continuation-token=go-on" in asked.path for asked in script.asked] == [False, True]


def test_an_answer_that_breaks_off_is_read_again(script: Script, server: S3Server) -> None:
    headers = {"ETag": '"new"', "x-amz-meta-Run-Id": "r"}
    script.play(Answer(headers=headers, body=b"pic", promised=7), Answer(headers=headers, body=DATA))
    found = store_at(server).get("a.png")
    assert (found.data, found.metadata) == (DATA, {"run-id": "r"})


def test_an_answer_that_always_breaks_off_is_no_object(script: Script, server: S3Server) -> None:
    script.play(Answer(headers={"ETag": '"new"'}, body=b"pic", promised=7))
    with pytest.raises(StoreUnreachable, match="gives no answer"):
        store_at(server).get("a.png")
    assert len(script.asked) == 3


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (error(404, "NoSuchKey"), ObjectMissing, r"There is no s3://assets/p/a\.png"),
        (
            error(404, "NoSuchBucket"),
            StoreError,
            "There is no bucket assets at http://127.0.0.1:.*aws s3 mb s3://assets",
        ),
        (error(403, "AccessDenied"), StoreUnreachable, "refuses access to .*s3:PutObject"),
        (error(403, ""), StoreUnreachable, "refuses access to "),
        (error(403, "InvalidAccessKeyId"), StoreUnreachable, "does not accept these AWS credentials.*AWS_PROFILE"),
        (error(403, "SignatureDoesNotMatch"), StoreUnreachable, "does not accept these AWS credentials"),
        (error(400, "ExpiredToken"), StoreUnreachable, r"\(ExpiredToken\).*AWS_SESSION_TOKEN"),
        (error(403, "RequestTimeTooSkewed"), StoreError, "clock"),
        (error(301, "PermanentRedirect", x_amz_bucket_region="eu-west-1"), StoreError, "AWS_DEFAULT_REGION=eu-west-1"),
        (error(400, "AuthorizationHeaderMalformed"), StoreError, "another region.*Set AWS_DEFAULT_REGION"),
        (error(501, "NotImplemented"), StoreError, "assetline doctor"),
        (error(503, "SlowDown"), StoreUnreachable, "busy or broken: SlowDown"),
        (error(400, "InvalidBucketName", "The bucket is odd."), StoreError, "InvalidBucketName.*The bucket is odd"),
    ],
    ids=lambda value: "",
)
def test_what_s3_says_is_told_with_the_remedy(
    script: Script, server: S3Server, answer: Answer, kind: type[StoreError], words: str
) -> None:
    script.play(answer)
    store = store_at(server)
    for use in (lambda: store.get("a.png"), lambda: store.put("a.png", DATA), lambda: list(store.list("a.png"))):
        with pytest.raises(StoreError, match=words) as raised:
            use()
        assert type(raised.value) is kind
        assert SECRET_KEY not in str(raised.value)


def test_an_endpoint_that_is_down_is_named_without_the_secret_in_it() -> None:
    endpoint = f"http://user:hidden@127.0.0.1:{free_port()}"
    settings = S3Settings(endpoint, "us-east-1", ACCESS_KEY, SecretStr(SECRET_KEY), attempts=1)
    with pytest.raises(
        StoreUnreachable, match=r"http://127\.0\.0\.1:\d+ gives no answer.*ASSETLINE_S3_ENDPOINT"
    ) as raised:
        open_s3("s3://assets", settings).put("a", b"x")
    assert "hidden" not in str(raised.value)


def test_missing_credentials_are_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(StoreUnreachable, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        open_s3("s3://assets", S3Settings(f"http://127.0.0.1:{free_port()}", "us-east-1")).get("a")


def test_a_profile_that_does_not_exist_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(StoreUnreachable, match=r"nobody.*AWS_PROFILE"):
        open_s3("s3://assets", S3Settings(region="us-east-1"))


@pytest.mark.parametrize("uri", ["s3://", "s3:///a", "assets", "https://s3.amazonaws.com/assets"])
def test_what_is_no_place_in_s3_is_refused_with_an_example(uri: str) -> None:
    with pytest.raises(OptionError, match="s3://my-bucket/assets"):
        open_s3(uri)


def test_an_endpoint_that_is_no_url_is_refused() -> None:
    with pytest.raises(OptionError, match="ASSETLINE_S3_ENDPOINT") as raised:
        open_s3("s3://assets", S3Settings(endpoint_url="user:hidden@localhost:9000", region="us-east-1"))
    assert "hidden" not in str(raised.value)


def test_aws_gets_checksums_and_its_own_addressing() -> None:
    config = client_config(S3Settings(region="eu-central-1"))
    assert (config.request_checksum_calculation, config.response_checksum_validation) == ("when_supported",) * 2
    assert (config.s3 or {}).get("addressing_style") != "path"


@pytest.mark.parametrize(
    ("host", "style"),
    [
        ("127.0.0.1:9000", "path"),
        ("[::1]:9000", "path"),
        ("localhost:9000", "path"),
        ("minio:9000", "path"),
        ("s3.shop.example", None),
    ],
)
def test_other_servers_get_no_checksums_and_the_addressing_that_their_host_allows(host: str, style: str | None) -> None:
    config = client_config(S3Settings(endpoint_url=f"http://{host}", region="us-east-1"))
    assert (config.request_checksum_calculation, config.response_checksum_validation) == ("when_required",) * 2
    assert style == (config.s3 or {}).get("addressing_style")


def test_a_server_that_the_aws_settings_name_is_treated_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    config = shared_client(S3Settings(region="eu-north-1")).meta.config
    assert (config.request_checksum_calculation, config.s3["addressing_style"]) == ("when_required", "path")


def test_all_stores_of_a_process_share_one_client() -> None:
    settings = S3Settings(region="eu-central-1")
    assert shared_client(settings) is shared_client(S3Settings(region="eu-central-1"))
    assert shared_client(settings) is not shared_client(replace(settings, region="eu-west-1"))


def test_settings_never_show_their_secrets() -> None:
    settings = S3Settings("", "", ACCESS_KEY, SecretStr(SECRET_KEY), SecretStr("token-1"))
    assert not [secret for secret in (SECRET_KEY, "token-1") if secret in repr(settings)]
