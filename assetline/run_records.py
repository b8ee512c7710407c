"""The records of a run as a whole: what a person chose for it, what it came to (`run.json`), the recipes it leaves."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from assetline.records import Asset, Attempt, Check, Fingerprint, ImageRequest, Record


class RunOptions(Record):
    """What a person chooses for one run; also the flow's parameter, so Prefect draws a form from it."""

    lanes: tuple[str, ...] = Field(
        default=(),
        description="fpo, replicate, or ComfyUI URLs such as http://gpu1:8188. Empty: ASSETLINE_COMFYUI, else fpo.",
    )
    store: str = Field(default="", description="A folder, or s3://bucket/prefix. Empty: ASSETLINE_STORE.")
    rows: tuple[str, ...] = Field(default=(), description="Ids of the rows to make. Empty: all.")
    only_valid: bool = Field(default=False, description="Make the rows without errors, though others have some.")
    max_cost: float | None = Field(
        default=None, ge=0, le=1_000_000, description="USD that the run may spend. Empty: ASSETLINE_MAX_COST."
    )
    overflow: str = Field(
        default="",
        pattern=r"^(off|\d{1,4}[smh])?$",
        description="How long the GPUs may take before rows go to Replicate: 30m, 2h, off. Empty: ASSETLINE_OVERFLOW.",
    )
    assets_per_task: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="How many pictures share a task run in Prefect. Empty: 1; 20 where over 20 a second are made.",
    )
    campaign: str = Field(default="", max_length=80, description="The campaign's name. Empty: the sheet's file name.")


class Counts(Record):
    """How many requests ended in each status."""

    stored: int = 0
    reused: int = 0
    duplicate: int = 0
    rejected: int = 0
    failed: int = 0
    canceled: int = 0

    @property
    def total(self) -> int:
        """All requests of the run."""
        return sum(self.model_dump().values())


class OverflowRecord(Record):
    """What a run made at Replicate in place of the workers: how many pictures, what they cost, why they went.

    `expected`: so many had been thought to go when it began.
    """

    pictures: int
    expected: int
    cost_usd: float
    why: tuple[str, ...] = ()

    def __str__(self) -> str:
        """`Overflow: 12 pictures at Replicate (9 expected), 0.0541 USD. gpu2 is not there (it does not answer).`"""
        pictures = f"{self.pictures:,} picture{'' if self.pictures == 1 else 's'} at Replicate"
        cost = f"{pictures} ({self.expected:,} expected), {self.cost_usd:.4f} USD."
        return " ".join([f"Overflow: {cost}", *self.why])


class RunRecord(Record):
    """`run.json`: written last; readers trust only runs that have it.

    `rows` are the ids that were selected, empty where the whole sheet was run; `left_out` those of rows with errors,
    and of rows that may be among those whose ids cannot be read.
    `retired` are the ids of rows that the campaign had and its sheet no longer has. `rows_sha256` is of what the rows
    of the sheet say, whatever its name, its kind and their order. `results` is where the producer's own file is,
    with what became of each row.
    """

    version: Literal[1] = 1
    campaign: str
    run_id: str
    sheet: str
    sheet_sha256: str
    started_at: str
    finished_at: str
    seconds: float
    counts: Counts
    cost_usd: float
    lanes: tuple[str, ...]
    store: str
    run: str
    contact_sheet: str
    results: str = ""
    interrupted: bool = False
    flow_run: str = ""
    generator: str = ""
    rows: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()
    rows_sha256: str = ""
    overflow: OverflowRecord | None = None


class Sidecar(Record):
    """The recipe beside each original: how it was made, from which row, and how to make it again.

    `graph` is ComfyUI's graph as submitted, `embedded` what was moved out of the published file,
    `marks` the provenance marks found or written.
    """

    version: Literal[1] = 1
    request_key: str
    request: ImageRequest
    campaign: str
    row: str
    row_number: int
    variant: int
    size: str
    tags: tuple[str, ...] = ()
    run_id: str
    asset: Asset
    fingerprint: Fingerprint
    rejected: Check | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    graph: dict[str, Any] | None = None
    embedded: dict[str, str] = Field(default_factory=dict)
    marks: tuple[str, ...] = ()
    ai_generated: bool = True
    generator: str
