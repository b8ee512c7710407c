"""What S3 and its client say, in our words: what happened, where, and what to do. Used by `s3.py` alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore import exceptions as aws

from assetline.errors import ObjectMissing, StoreError, StoreUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable

_CREDENTIALS = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), or AWS_PROFILE."
_NO_CREDENTIALS = (
    aws.NoCredentialsError,
    aws.PartialCredentialsError,
    aws.CredentialRetrievalError,
    aws.TokenRetrievalError,
    aws.NoAuthTokenError,
    aws.SSOError,
    aws.LoginError,
    aws.ProfileNotFound,
)
_NO_ANSWER = (aws.ConnectionError, aws.HTTPClientError, aws.IncompleteReadError, aws.FlexibleChecksumError)


@dataclass(frozen=True)
class Place:
    """What an answer was about: for the message."""

    endpoint: str
    bucket: str
    key: str

    @property
    def uri(self) -> str:
        """`s3://bucket/key`; `S3` before a bucket is known."""
        return f"s3://{self.bucket}/{self.key}" if self.bucket else "S3"

    @property
    def host(self) -> str:
        """The endpoint without whatever secret a person may have put into it."""
        parts = urlsplit(self.endpoint)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def error_code(exc: aws.ClientError) -> str:
    """S3's own word for the error (`NoSuchKey`); the status (`404`) where the answer had no body."""
    return str(exc.response.get("Error", {}).get("Code", ""))


def status_of(exc: aws.ClientError) -> int:
    """The HTTP status of the answer; 0 where there is none."""
    return int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def was_retried(exc: aws.ClientError) -> bool:
    """Whether an earlier try of the same call got no proper answer, and so may have succeeded."""
    return int(exc.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)) > 0


def in_our_words(exc: Exception, place: Place) -> StoreError:
    """The StoreError to raise for what boto3 or botocore raised. Never holds a secret or a signature."""
    if isinstance(exc, aws.ClientError):
        return _answer(exc, place)
    if isinstance(exc, _NO_CREDENTIALS):
        return StoreUnreachable(f"There are no usable AWS credentials for {place.uri}: {exc}. {_CREDENTIALS}")
    if isinstance(exc, _NO_ANSWER):
        return StoreUnreachable(
            f"{place.host} gives no answer for {place.uri} ({type(exc).__name__}). Check the network, and that the "
            "endpoint is right: ASSETLINE_S3_ENDPOINT for a server of your own, empty for AWS."
        )
    return StoreError(f"{place.uri} cannot be used: {exc}")


def _answer(exc: aws.ClientError, place: Place) -> StoreError:
    code, status = error_code(exc), status_of(exc)
    explain = _BY_CODE.get(code) or _BY_STATUS.get(status)
    if explain:
        return explain(exc, place)
    if status >= 500 or status in {409, 429}:
        return StoreUnreachable(f"{place.host} is busy or broken: {code} ({status}) for {place.uri}. Try again later.")
    return StoreError(f"{place.host} refused {place.uri}: {code} ({status}). {_message(exc)}".rstrip())


def _message(exc: aws.ClientError) -> str:
    return str(exc.response.get("Error", {}).get("Message", ""))


def _missing(_exc: aws.ClientError, place: Place) -> StoreError:
    return ObjectMissing(f"There is no {place.uri}.")


def _no_bucket(_exc: aws.ClientError, place: Place) -> StoreError:
    return StoreError(
        f"There is no bucket {place.bucket} at {place.host}. Create it (aws s3 mb s3://{place.bucket}), or correct "
        "ASSETLINE_STORE; for a server other than AWS set ASSETLINE_S3_ENDPOINT."
    )


def _no_access(exc: aws.ClientError, place: Place) -> StoreError:
    return StoreUnreachable(
        f"{place.host} refuses access to {place.uri} ({error_code(exc)}). These credentials need s3:GetObject, "
        f"s3:PutObject and s3:ListBucket on the bucket {place.bucket}: correct its policy, or set other AWS_* ones."
    )


def _bad_credentials(exc: aws.ClientError, place: Place) -> StoreError:
    return StoreUnreachable(f"{place.host} does not accept these AWS credentials ({error_code(exc)}). {_CREDENTIALS}")


def _clock(_exc: aws.ClientError, place: Place) -> StoreError:
    return StoreError(
        f"{place.host} refuses this machine's clock: it is more than 15 minutes off. Set it (timedatectl set-ntp true)."
    )


def _other_region(exc: aws.ClientError, place: Place) -> StoreError:
    headers = exc.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = headers.get("x-amz-bucket-region") or exc.response.get("Error", {}).get("Region")
    remedy = f"Set AWS_DEFAULT_REGION={region}." if region else "Set AWS_DEFAULT_REGION to the bucket's region."
    return StoreError(f"The bucket {place.bucket} is in another region than was asked. {remedy}")


def _unknown_to_server(exc: aws.ClientError, place: Place) -> StoreError:
    return StoreError(
        f"{place.host} does not know what assetline needs for {place.uri} ({error_code(exc)}): conditional writes. "
        "`assetline doctor` says what it can do; use another server, or a folder."
    )


_BY_CODE: dict[str, Callable[[Any, Place], StoreError]] = {
    "NoSuchKey": _missing,
    "NoSuchBucket": _no_bucket,
    "AccessDenied": _no_access,
    "AllAccessDisabled": _no_access,
    "InvalidAccessKeyId": _bad_credentials,
    "SignatureDoesNotMatch": _bad_credentials,
    "InvalidToken": _bad_credentials,
    "ExpiredToken": _bad_credentials,
    "TokenRefreshRequired": _bad_credentials,
    "RequestTimeTooSkewed": _clock,
    "PermanentRedirect": _other_region,
    "TemporaryRedirect": _other_region,
    "AuthorizationHeaderMalformed": _other_region,
    "IllegalLocationConstraintException": _other_region,
    "NotImplemented": _unknown_to_server,
}

_BY_STATUS: dict[int, Callable[[Any, Place], StoreError]] = {  # an answer to HEAD has no body, and so no code
    301: _other_region,
    307: _other_region,
    403: _no_access,
    404: _missing,
    501: _unknown_to_server,
}
