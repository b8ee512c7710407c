"""How S3 is reached: the settings, and the process's one boto3 client for them. Used by `s3.py`."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import threading
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from pydantic import SecretStr

from assetline.errors import OptionError
from assetline.store.s3_errors import Place, in_our_words

Checksums = Literal["auto", "when_supported", "when_required"]


@dataclass(frozen=True)
class S3Settings:
    """How S3 is reached. What is empty, boto3 finds itself: environment, profile, the machine's role.

    `checksums` "auto": CRC32 and SHA256 headers on AWS alone, since R2, B2, GCS and Ceph have answered them with
    errors that look like wrong credentials (boto3 sends them by default since 1.36).
    """

    endpoint_url: str = ""
    region: str = ""
    access_key_id: str = ""
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None
    checksums: Checksums = "auto"
    connections: int = 16
    attempts: int = 6


_clients: dict[tuple[int, S3Settings], Any] = {}
_clients_lock = threading.Lock()


def shared_client(settings: S3Settings) -> Any:
    """One client per process and settings, safe in threads: another for each call costs 0.25 s of CPU.

    Made under a lock, since making clients in parallel races (botocore issue 2991); not shared across a fork.
    """
    with _clients_lock:
        name = (os.getpid(), settings)
        if name not in _clients:
            _clients[name] = _new_client(settings)
        return _clients[name]


def _new_client(settings: S3Settings) -> Any:
    try:
        client = boto3.Session().client("s3", config=client_config(settings), **_identity(settings))
    except BotoCoreError as exc:
        raise in_our_words(exc, Place(settings.endpoint_url, "", "")) from exc
    except ValueError:  # its words repeat the URL, and people put passwords there
        raise OptionError(
            "The S3 endpoint is no URL; ASSETLINE_S3_ENDPOINT looks like http://127.0.0.1:9000."
        ) from None
    found = str(client.meta.endpoint_url)
    if settings.endpoint_url or _is_aws(found):
        return client
    return _new_client(replace(settings, endpoint_url=found))  # AWS_ENDPOINT_URL_S3, or the profile, names a server


def _identity(settings: S3Settings) -> dict[str, str]:
    secret, token = settings.secret_access_key, settings.session_token
    given = {
        "endpoint_url": settings.endpoint_url,
        "region_name": settings.region,
        "aws_access_key_id": settings.access_key_id,
        "aws_secret_access_key": secret.get_secret_value() if secret else "",
        "aws_session_token": token.get_secret_value() if token else "",
    }
    return {name: value for name, value in given.items() if value}


def client_config(settings: S3Settings) -> Config:
    """How the client signs, waits, tries again and checks, for AWS or for the server at `endpoint_url`."""
    checksums = settings.checksums
    if checksums == "auto":
        checksums = (
            "when_required" if settings.endpoint_url and not _is_aws(settings.endpoint_url) else "when_supported"
        )
    return Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"} if _needs_path_style(settings.endpoint_url) else None,
        max_pool_connections=settings.connections,
        retries={"mode": "standard", "total_max_attempts": settings.attempts},
        connect_timeout=5,
        read_timeout=60,
        tcp_keepalive=True,
        request_checksum_calculation=checksums,
        response_checksum_validation=checksums,
    )


def _is_aws(endpoint_url: str) -> bool:
    return ".amazonaws.com" in f".{urlsplit(endpoint_url).hostname}"


def _needs_path_style(endpoint_url: str) -> bool:
    """`bucket.127.0.0.1`, `bucket.localhost` and `bucket.minio` are no hosts; for others AWS's own settings decide."""
    host = urlsplit(endpoint_url).hostname or ""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return True
    return bool(host) and (host.endswith("localhost") or "." not in host)
