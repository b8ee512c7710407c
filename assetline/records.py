"""The records that travel between the steps; one of them holds all that makes a picture: `ImageRequest`.

Frozen pydantic models cross a border (sheet, JSON, task result); frozen dataclasses live inside a run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["stored", "reused", "duplicate", "rejected", "failed", "canceled"]
STATUSES: tuple[Status, ...] = ("stored", "reused", "duplicate", "rejected", "failed", "canceled")
BackendChoice = Literal["auto", "comfyui", "replicate", "fpo"]
Combine = Literal["product", "zip"]
ImageFormat = Literal["PNG", "JPEG", "WEBP"]
Value = int | float | str

MAX_SEED = 2**64 - 1  # ComfyUI's KSampler takes 0 .. 2**64-1 (nodes.py, seen in transcript 02)
THUMBNAIL_SIZES_PX = (256, 512)
FPO_MODEL = "fpo/1"  # raised with every change to what an FPO comp looks like, so that old comps are made again


class Record(BaseModel):
    """A frozen value that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell as the person sees it: `cell` like `C14` (for CSV too), `value` as it stood in the file."""

    column: str
    cell: str
    value: str


class Problem(Record):
    """One thing that is wrong with a sheet. `row` is the line number in the file (the header is usually 1)."""

    severity: Literal["error", "warning"]
    code: str
    sheet: str = ""
    row: int | None = None
    column: str = ""
    cell: str = ""
    value: str = ""
    message: str
    fix: str = ""

    def __str__(self) -> str:
        place = "!".join(part for part in (self.sheet, self.cell or (f"row {self.row}" if self.row else "")) if part)
        head = " ".join(part for part in (place, self.column) if part)
        return ": ".join(part for part in (head, " ".join(p for p in (self.message, self.fix) if p)) if part)


class Exact(Record):
    """A file that channels take: exactly `width` x `height` px. `most_bytes` 0: of any length."""

    channels: tuple[str, ...]
    width: int = Field(ge=1, le=16384)
    height: int = Field(ge=1, le=16384)
    format: ImageFormat = "JPEG"
    most_bytes: int = Field(default=0, ge=0)

    def also(self, other: Exact) -> Exact | None:
        """The one file that serves both, within the tighter limit of the two; None where they differ."""
        if (self.width, self.height, self.format) != (other.width, other.height, other.format):
            return None
        limits = [most for most in (self.most_bytes, other.most_bytes) if most]
        channels = tuple(dict.fromkeys((*self.channels, *other.channels)))
        return self.model_copy(update={"channels": channels, "most_bytes": min(limits, default=0)})


def together(wanted: Iterable[Exact]) -> tuple[Exact, ...]:
    """The files without those that another one serves too."""
    kept: list[Exact] = []
    for exact in wanted:
        for place, other in enumerate(kept):
            if both := other.also(exact):
                kept[place] = both
                break
        else:
            kept.append(exact)
    return tuple(kept)


class Size(Record):
    """A picture's size in pixels, with what the sheet called it (`instagram_feed`, `4:5`, `1024x1024`).

    `ratio` is set for a size given as a ratio alone; width and height are then 0 and the plan fills them from
    the workflow's native area. `exact` are the files that are cut and scaled from the picture, for its channels.
    """

    width: int
    height: int
    label: str
    ratio: tuple[int, int] | None = None
    exact: tuple[Exact, ...] = ()


class Row(Record):
    """One line of the sheet, typed: what the producer wants. `cells` keeps the place of every value.

    `cells` is keyed by the canonical column name (`prompt`) and, for other columns, by the header as written.
    `locales` holds what columns such as `prompt@de` say: by language tag, then by column (an own one by its slug).
    """

    sheet: str
    number: int
    id: str
    prompt: str
    negative_prompt: str | None = None
    styles: tuple[str, ...] = ()
    sizes: tuple[Size, ...] = ()
    variants: int = 1
    seed: int | None = None
    workflow: str | None = None
    model: str | None = None
    backend: BackendChoice = "auto"
    parameters: dict[str, Value] = Field(default_factory=dict)
    reference_image: str | None = None
    priority: int = 0
    tags: tuple[str, ...] = ()
    combine: Combine = "product"
    locales: dict[str, dict[str, str]] = Field(default_factory=dict)
    extra: dict[str, str] = Field(default_factory=dict)
    cells: dict[str, Cell] = Field(default_factory=dict)

    def problem(
        self, column: str, code: str, message: str, fix: str = "", *, severity: Literal["error", "warning"] = "error"
    ) -> Problem:
        """A problem at this row's cell of `column` (a canonical name), or at the row where that cell is absent."""
        place = self.cells.get(column) or Cell(column=column, cell="", value="")
        return Problem(
            severity=severity,
            code=code,
            sheet=self.sheet,
            row=self.number,
            column=place.column,
            cell=place.cell,
            value=place.value,
            message=message,
            fix=fix,
        )


class ImageRequest(Record):
    """Everything that makes one picture, and nothing else: no campaign, no labels.

    `workflow` + `workflow_sha256` for ComfyUI, `model` for Replicate or FPO. `references` maps a role
    (`reference_image`, `pose_image`) to the sha256 of the file. `key` is the sha256 of the canonical JSON.
    """

    prompt: str
    negative_prompt: str = ""
    width: int = Field(ge=16, le=16384)
    height: int = Field(ge=16, le=16384)
    seed: int = Field(ge=0, le=MAX_SEED)
    workflow: str | None = None
    workflow_sha256: str | None = None
    model: str | None = None
    parameters: dict[str, Value] = Field(default_factory=dict)
    references: dict[str, str] = Field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """sha256 (64 hex digits) of the request's canonical JSON: sorted keys, no blanks, UTF-8."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


class PlannedRequest(Record):
    """A request with its place in the campaign. `variant` counts from 1 within the row and size."""

    row: str
    row_number: int
    variant: int
    size: str
    request: ImageRequest
    priority: int = 0
    tags: tuple[str, ...] = ()
    exact: tuple[Exact, ...] = ()

    @property
    def label(self) -> str:
        """How people find it: `SKU0007-2-1024x1024`."""
        return f"{self.row}-{self.variant}-{self.request.width}x{self.request.height}"


@dataclass(frozen=True)
class Render:
    """What a lane gave back: bytes and facts. Lives only inside the asset step.

    `seconds` is the time on the lane, `graph` the ComfyUI graph exactly as submitted (from Replicate: `{"replicate":
    ...}`, what was asked for and what was sent; None elsewhere). `size`, in px, is what the lane's model makes for the
    size that was asked for, where it cannot make that one: the picture is then right as it is. `waited_s`: how long the
    lane had the request before its service let it begin; `inf` where it only fetched what was paid for before.
    `made_as`: the model that made it in place of the request's workflow (an overflow); empty where the request itself
    was made.
    """

    data: bytes
    seed: int
    lane: str
    job_id: str
    seconds: float
    cost_usd: float = 0.0
    graph: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    waited_s: float = 0.0
    made_as: str = ""


class Fingerprint(Record):
    """What dedupe compares. `phash` is 64 hex digits (256 bits), `chroma` 512 bytes of 16x16 Cb then Cr as hex.

    `usable` is False for pictures with too little texture to hash (reference: images.md section 4); for
    those only `pixels_sha256` decides. `sharpness` is the variance of the Laplacian at 256 px.
    """

    algorithm: Literal["phash16/256/v1"] = "phash16/256/v1"
    phash: str
    chroma: str
    usable: bool = True
    pixels_sha256: str = ""
    sharpness: float = 0.0


class Check(Record):
    """A quality check that a picture did not pass: a code (`black`, `blank`, `wrong_size`, ...) and plain words."""

    code: str
    reason: str


@dataclass(frozen=True)
class Inspection:
    """All that one decode of a picture gives. `thumbnails` maps the longer side in px to JPEG bytes.

    `rejected` is set when a check failed; `colour` is the mean colour as `#rrggbb`.
    """

    sha256: str
    width: int
    height: int
    format: ImageFormat
    fingerprint: Fingerprint
    thumbnails: dict[int, bytes] = field(repr=False)
    colour: str = "#808080"
    rejected: Check | None = None
    warnings: tuple[str, ...] = ()


class Rendition(Record):
    """A file that was cut and scaled from an asset's original to exactly what channels take.

    `box` is what was cut out: left, top, right, bottom in px of the upright original; `scale` what it was enlarged by.
    `quality` is that of JPEG and WebP, 0 for PNG. `sha256` and `size_bytes` are of the stored file.
    """

    key: str
    channels: tuple[str, ...]
    width: int
    height: int
    format: ImageFormat
    sha256: str
    size_bytes: int
    box: tuple[float, float, float, float]
    scale: float
    quality: int
    note: str = ""

    def serves(self, exact: Exact) -> bool:
        """Whether it is what these channels take and names them; what could not be made short enough serves too."""
        same = (self.width, self.height, self.format) == (exact.width, exact.height, exact.format)
        fits = not exact.most_bytes or self.size_bytes <= exact.most_bytes or bool(self.note)
        return same and fits and set(exact.channels) <= set(self.channels)


class Asset(Record):
    """A stored picture. Keys of files are relative to the store's root; `sha256` is of the stored bytes.

    `made_as`: the model that made it in place of the request's workflow (an overflow); empty where that made it.
    """

    original: str
    sidecar: str
    thumbnails: dict[str, str]
    sha256: str
    width: int
    height: int
    format: ImageFormat
    seed: int
    lane: str
    job_id: str
    seconds: float
    cost_usd: float
    sharpness: float = 0.0
    created_at: str = ""
    run_id: str = ""
    made_as: str = ""
    renditions: tuple[Rendition, ...] = ()


class Attempt(Record):
    """One try on one lane. `error` is empty for the try that succeeded; `fault` says whose it was."""

    lane: str
    job_id: str = ""
    seconds: float = 0.0
    error: str = ""
    fault: str = ""


class Outcome(Record):
    """What became of one request: one line of `manifest.jsonl`, enough to draw the contact sheet from.

    `refused`: it failed because a cap on money would have been passed.
    """

    row: str
    variant: int
    request_key: str
    status: Status
    reason: str = ""
    duplicate_of: str | None = None
    distance: int | None = None
    asset: Asset | None = None
    attempts: tuple[Attempt, ...] = ()
    refused: bool = False
    label: str = ""
    row_number: int = 0
    size: str = ""
    prompt: str = ""
    negative_prompt: str = ""
    seed: int = 0
    workflow: str | None = None
    model: str | None = None
    parameters: dict[str, Value] = Field(default_factory=dict)
    tags: tuple[str, ...] = ()

    @classmethod
    def of(cls, planned: PlannedRequest, status: Status, reason: str = "", **facts: Any) -> Outcome:
        """The outcome of `planned`, with what the contact sheet needs copied from it."""
        request = planned.request
        return cls(
            row=planned.row,
            variant=planned.variant,
            request_key=request.key,
            status=status,
            reason=reason,
            label=planned.label,
            row_number=planned.row_number,
            size=planned.size,
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            seed=request.seed,
            workflow=request.workflow,
            model=request.model,
            parameters=request.parameters,
            tags=planned.tags,
            **facts,
        )


@dataclass(frozen=True)
class Made:
    """What the asset step returns: the outcome and, where there is a picture, what dedupe needs of it."""

    outcome: Outcome
    fingerprint: Fingerprint | None = None
