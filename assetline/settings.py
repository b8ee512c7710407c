"""What a machine has: settings from the environment or `.env`. Secrets come from here alone and are never printed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from assetline.errors import OptionError

PROJECT_ROOT = Path(__file__).parents[1]


class Settings(BaseSettings):
    """Every setting, with its default. Names and meanings are promises of the README and the contract.

    `comfyui` is a list of URLs written with commas. `workflows_folder` and `campaigns_folder` say where graphs and
    presets lie; their default is the checkout. The `aws_...` are here since boto3 reads no `.env`.
    """

    model_config = SettingsConfigDict(
        env_file=".env", env_prefix="ASSETLINE_", extra="ignore", frozen=True, populate_by_name=True
    )

    store: str = "./assets"
    comfyui: Annotated[tuple[str, ...], NoDecode] = ()
    s3_endpoint: str = ""
    max_cost: float = Field(default=0.0, ge=0)
    default_workflow: str = "sdxl-txt2img"
    workflows_folder: Path = PROJECT_ROOT / "workflows"
    campaigns_folder: Path = PROJECT_ROOT / "campaigns"
    max_rows: int = Field(default=10_000, ge=1)
    max_sheet_bytes: int = Field(default=20_000_000, ge=1_000)
    max_prompt_characters: int = Field(default=5_000, ge=1)
    max_variants: int = Field(default=64, ge=1)
    min_side_px: int = Field(default=64, ge=16)
    max_side_px: int = Field(default=4_096, le=16_384)
    request_timeout_s: float = Field(default=900.0, gt=0)
    lane_patience_s: float = Field(default=120.0, ge=0)
    replicate_api_token: SecretStr | None = Field(default=None, validation_alias="REPLICATE_API_TOKEN")
    aws_access_key_id: str = Field(default="", validation_alias="AWS_ACCESS_KEY_ID")
    aws_secret_access_key: SecretStr | None = Field(default=None, validation_alias="AWS_SECRET_ACCESS_KEY")
    aws_session_token: SecretStr | None = Field(default=None, validation_alias="AWS_SESSION_TOKEN")
    aws_default_region: str = Field(default="", validation_alias="AWS_DEFAULT_REGION")

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
        faults = "; ".join(f"{_name(fault['loc'])}: {fault['msg']}" for fault in error.errors(include_input=False))
        raise OptionError(f"Settings that cannot be used: {faults}. They are environment variables or .env.") from error
    except UnicodeDecodeError as error:
        raise OptionError(f"The file .env is not UTF-8 (byte {error.start + 1}). Save it as UTF-8.") from error


def _name(place: tuple[int | str, ...]) -> str:
    name = str(place[0]).upper()
    return name if name.startswith(("REPLICATE_", "AWS_")) else f"ASSETLINE_{name}"
