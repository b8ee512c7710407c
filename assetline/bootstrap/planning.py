"""A sheet read and planned against what this machine has. Quick to import: `check` and `plan` stand on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from assetline.backends.replicate.catalog import ReplicateModel, load_models
from assetline.catalogue import Channel, load_catalogue
from assetline.errors import ObjectMissing, OptionError
from assetline.plan import CampaignPlan, Fleet, Workers, World, campaign_slug, plan_campaign
from assetline.run_records import RunOptions
from assetline.settings import Settings
from assetline.sheet import Limits, read_sheet
from assetline.store.check import ProbedStore
from assetline.store.existing import find_originals
from assetline.workflow import Workflow, load_workflows

FPO = "fpo"
REPLICATE = "replicate"
NOBODY_ASKED = Workers()


@dataclass(frozen=True)
class Source:
    """A sheet as it was read: its file name and bytes."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Planning:
    """A sheet with its plan. `plan.problems` says what is wrong with it; `references` are bytes by sha256.

    `fleet` knows which lane can make what, as far as the workers were asked; `models` are those at Replicate, by name;
    `channels` are those that a sheet may name, by slug.
    """

    source: Source
    plan: CampaignPlan
    lanes: tuple[str, ...]
    workflows: Mapping[str, Workflow]
    references: dict[str, bytes] = field(repr=False)
    fleet: Fleet = field(repr=False)
    models: Mapping[str, ReplicateModel] = field(default_factory=dict, repr=False)
    channels: Mapping[str, Channel] = field(default_factory=dict, repr=False)


def read_source(address: str, settings: Settings) -> Source:
    """The bytes at a path or `s3://bucket/key`. Raises OptionError (no such file), StoreError.

    Of a file over the limit one byte more than that is read: enough for the reader to say so.
    """
    if address.startswith("s3://"):
        return _read_s3(address, settings)
    path = Path(address)
    try:
        with path.open("rb") as file:
            return Source(path.name, file.read(settings.max_sheet_bytes + 1))
    except OSError as error:
        raise OptionError(f"{address} cannot be read: {(error.strerror or str(error)).lower()}.") from error


def _read_s3(address: str, settings: Settings) -> Source:
    bucket, _, key = address.removeprefix("s3://").partition("/")
    if not bucket or not key or key.endswith("/"):
        raise OptionError(f"{address} names no file in S3; one looks like s3://bucket/folder/sheet.csv.")
    try:
        return Source(PurePosixPath(key).name, open_store(f"s3://{bucket}", settings).get(key).data)
    except ObjectMissing as error:
        raise OptionError(f"{address} cannot be read: there is no such object.") from error


def open_store(uri: str, settings: Settings) -> ProbedStore:
    """A folder, or `s3://bucket/prefix`. Raises OptionError for any other scheme."""
    if uri.startswith("s3://"):
        from assetline.store.s3 import open_s3  # boto3 takes 0.3 s to import and `check` needs none
        from assetline.store.s3_client import S3Settings

        s3 = S3Settings(
            endpoint_url=settings.s3_endpoint,
            region=settings.aws_default_region,
            access_key_id=settings.aws_access_key_id,
            secret_access_key=settings.aws_secret_access_key,
            session_token=settings.aws_session_token,
        )
        return open_s3(uri, s3)
    if "://" in uri and not uri.startswith("file://"):
        raise OptionError(f"{uri} is no store that assetline knows. Give a folder, or s3://bucket/prefix.")
    from assetline.store.folder import FolderStore

    return FolderStore(Path(uri.removeprefix("file://")).expanduser())


def lane_names(options: RunOptions, settings: Settings) -> tuple[str, ...]:
    """The lanes of a run: those given, else the settings', else `fpo`. Raises OptionError that names all bad ones."""
    names = tuple(dict.fromkeys(name.strip().rstrip("/") for name in options.lanes or settings.comfyui or (FPO,)))
    faults = [fault for name in names if (fault := _lane_fault(name))]
    if faults:
        raise OptionError(" ".join(faults))
    return names


def lane_kinds(names: Sequence[str]) -> dict[str, str]:
    """Each lane's kind: `fpo`, `replicate` or `comfyui`."""
    return {name: name if name in {FPO, REPLICATE} else "comfyui" for name in names}


def lane_label(name: str) -> str:
    """A lane's name as it is shown and written down: the URL without credentials."""
    address = urlsplit(name)
    return name if "@" not in address.netloc else address._replace(netloc=address.netloc.rpartition("@")[2]).geturl()


def _lane_fault(name: str) -> str:
    if name in {FPO, REPLICATE} or name.startswith(("http://", "https://")):
        return ""
    return f'"{name}" is no lane. A lane is fpo, replicate, or a ComfyUI URL such as http://gpu1:8188.'


def plan_sheet(address: str, options: RunOptions, settings: Settings, workers: Workers = NOBODY_ASKED) -> Planning:
    """Read a sheet and plan it against what the workers have told (`bootstrap.workers`); without, nothing is asked.

    Every problem is in the plan; raises OptionError, WorkflowError, StoreError.
    """
    source = read_source(address, settings)
    lanes = lane_names(options, settings)
    workflows = load_workflows(settings.workflows_folder)
    reader = _reference_reader(settings, _folder_of(address))
    models = load_replicate_models(settings)
    world = replace(_world(settings, lanes, workflows, reader), workers=workers, models=models)
    sheet = read_sheet(source.name, source.data, world.catalogue, limits_of(settings))
    campaign = campaign_slug(options.campaign or sheet.options.campaign or PurePosixPath(address).name)
    plan = plan_campaign(campaign, sheet, world, rows=options.rows, only_valid=options.only_valid)
    references = {sha256: reader(written) for sha256, written in plan.references.items()}
    return Planning(source, plan, lanes, workflows, references, world.fleet, models, world.catalogue.channels)


def stored_keys(planning: Planning, options: RunOptions, settings: Settings) -> set[str]:
    """The keys of those requests whose pictures the store has. Raises StoreUnreachable."""
    store = open_store(options.store or settings.store, settings)
    found = find_originals(store, planning.plan.campaign, planning.plan.requests)
    return {original.planned.request.key for original in found}


def load_replicate_models(settings: Settings) -> dict[str, ReplicateModel]:
    """The shipped models at Replicate and those of a person's own file. Raises OptionError."""
    return load_models(Path(settings.replicate_models).expanduser() if settings.replicate_models else None)


def campaign_of(address: str, options: RunOptions) -> str:
    """The campaign's name, a slug: as given, else from the sheet's file name. Its runs and assets lie under it."""
    return campaign_slug(options.campaign or PurePosixPath(address).name)


def limits_of(settings: Settings) -> Limits:
    """The sheet's limits, each a setting."""
    return Limits(
        rows=settings.max_rows,
        file_bytes=settings.max_sheet_bytes,
        prompt_characters=settings.max_prompt_characters,
        variants=settings.max_variants,
        min_side_px=settings.min_side_px,
        max_side_px=settings.max_side_px,
    )


def _world(
    settings: Settings, lanes: Sequence[str], workflows: Mapping[str, Workflow], reader: Callable[[str], bytes]
) -> World:
    return World(
        catalogue=load_catalogue(settings.campaigns_folder),
        workflows=workflows,
        lanes=frozenset(lane_kinds(lanes).values()),
        default_workflow=settings.default_workflow,
        read_reference=reader,
        max_variants=settings.max_variants,
        max_prompt_characters=settings.max_prompt_characters,
        min_side_px=settings.min_side_px,
        max_side_px=settings.max_side_px,
        strict_sizes=settings.replicate_strict_sizes,
    )


def _folder_of(address: str) -> Path | None:
    return None if address.startswith("s3://") else Path(address).parent


def _reference_reader(settings: Settings, beside: Path | None) -> Callable[[str], bytes]:
    """Reference images as a sheet writes them: `s3://...`, or a path beside the sheet or from the working folder."""

    def read(address: str) -> bytes:
        beside_sheet = beside / address if beside and not address.startswith("s3://") else None
        data = read_source(str(beside_sheet) if beside_sheet and beside_sheet.exists() else address, settings).data
        if len(data) > settings.max_sheet_bytes:
            limit = f"{settings.max_sheet_bytes:,}"
            raise OptionError(f"{address} has more than {limit} bytes (ASSETLINE_MAX_SHEET_BYTES).")
        return data

    return read
