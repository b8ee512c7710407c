"""What a machine has: settings from the environment or `.env`. Secrets come from here alone and are never printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from assetline.errors import OptionError

PROJECT_ROOT = Path(__file__).parents[1]
MOST_USD = 1_000_000  # a cap above it is a slip of the hand


class Settings(BaseSettings):
    """Every setting, with its default. Names and meanings are promises of the README and the contract.

    `comfyui` is a list of URLs written with commas. `workflows_folder` and `campaigns_folder` say where graphs and
    presets lie; their default is the checkout. The `aws_...` are here since boto3 reads no `.env`. `max_cost` is a cap
    in US dollars on a run; the two others on all runs of a campaign and on a UTC day, None: no cap of that kind.
    `picture_timeout_s` is a ComfyUI worker's from a picture's turn to its end, `request_timeout_s` that of a whole try
    there: reference images, the wait in its queue, the picture, the download.
    """

    model_config = SettingsConfigDict(
        env_file=".env", env_prefix="ASSETLINE_", extra="ignore", frozen=True, populate_by_name=True
    )

    store: str = "./assets"
    comfyui: Annotated[tuple[str, ...], NoDecode] = ()
    s3_endpoint: str = ""
    ledger: str = Field(default="sqlite:///./assetline.db", repr=False)  # may hold a password
    max_cost: float = Field(default=0.0, ge=0, le=MOST_USD)
    max_cost_campaign: float | None = Field(default=None, ge=0, le=MOST_USD)
    max_cost_day: float | None = Field(default=None, ge=0, le=MOST_USD)
    overflow: str = "off"
    default_workflow: str = "sdxl-txt2img"
    workflows_folder: Path = PROJECT_ROOT / "workflows"
    campaigns_folder: Path = PROJECT_ROOT / "campaigns"
    max_rows: int = Field(default=10_000, ge=1)
    max_sheet_bytes: int = Field(default=20_000_000, ge=1_000)
    max_prompt_characters: int = Field(default=5_000, ge=1)
    max_variants: int = Field(default=64, ge=1)
    min_side_px: int = Field(default=64, ge=16)
    max_side_px: int = Field(default=4_096, le=16_384)
    picture_timeout_s: float = Field(default=900.0, gt=0)
    request_timeout_s: float = Field(default=7200.0, gt=0)
    lane_patience_s: float = Field(default=120.0, ge=0)
    replicate_api_token: SecretStr | None = Field(default=None, validation_alias="REPLICATE_API_TOKEN")
    replicate_base_url: str = Field(default="https://api.replicate.com", validation_alias="REPLICATE_BASE_URL")
    replicate_models: str = ""
    replicate_strict_sizes: bool = True
    aws_access_key_id: str = Field(default="", validation_alias="AWS_ACCESS_KEY_ID")
    aws_secret_access_key: SecretStr | None = Field(default=None, validation_alias="AWS_SECRET_ACCESS_KEY")
    aws_session_token: SecretStr | None = Field(default=None, validation_alias="AWS_SESSION_TOKEN")
    aws_default_region: str = Field(default="", validation_alias="AWS_DEFAULT_REGION")

    @field_validator("overflow")
    @classmethod
    def _is_overflow(cls, value: str) -> str:
        if not re.fullmatch(r"off|\d{1,4}[smh]", value.strip().lower()):
            raise ValueError("write off, or how long the GPUs may take: 30m, 2h")
        return value.strip().lower()

    @model_validator(mode="after")
    def _tries_hold_pictures(self) -> Self:
        if "picture_timeout_s" in self.model_fields_set and self.picture_timeout_s > self.request_timeout_s:
            raise ValueError(
                "ASSETLINE_PICTURE_TIMEOUT_S is longer than ASSETLINE_REQUEST_TIMEOUT_S, which holds the whole try; "
                "raise that too"
            )
        return self

    @field_validator("comfyui", mode="before")
    @classmethod
    def _split_urls(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(url.strip() for url in value.split(",") if url.strip())
        return value


def load_settings() -> Settings:
    """Read the settings. Raises OptionError that names every setting that cannot be used, never its value."""
    try:
        return Settings()
    except ValidationError as error:
        faults = "; ".join(f"{_name(fault['loc'])}{fault['msg']}" for fault in error.errors(include_input=False))
        raise OptionError(f"Settings that cannot be used: {faults}. They are environment variables or .env.") from error
    except UnicodeDecodeError as error:
        raise OptionError(f"The file .env is not UTF-8 (byte {error.start + 1}). Save it as UTF-8.") from error


def _name(place: tuple[int | str, ...]) -> str:
    if not place:
        return ""  # of several settings, which the message names
    name = str(place[0])
    name = name if name.isupper() else f"ASSETLINE_{name.upper()}"  # those with names of their own are told by these
    return f"{name}: "
