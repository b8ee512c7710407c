"""Makers of example outcomes: one with every field set, and whole runs with every status."""

from __future__ import annotations

import io

from PIL import Image

from assetline import records
from assetline.records import Asset, Attempt, Outcome, Rendition, Status
from assetline.run_records import RunRecord

PROMPTS = (
    "linen tote bag on a sunlit terrace, olive branches, soft shadows, professional product photography",
    "Sommerkleid aus Leinen, Größe M, auf einem Steg am See, frühes Licht",
    "flat lay of ceramic mugs and fresh croissants, pastel background, instagram aesthetic, eye-catching",
    "hiking boots on wet granite, dramatic clouds, photorealistic, 8k, DSLR quality, natural lighting",
)
SIZES = ((1024, 1024, "1024x1024"), (1080, 1350, "instagram_feed"), (768, 1344, "instagram_story"), (1344, 768, "16:9"))


def an_asset(row: str = "SKU0001", number: int = 1, **changes: object) -> Asset:
    key = f"{number:064x}"
    facts = {
        "original": f"campaigns/spring/assets/{row}/tote-bag_1024x1024_{key[-8:]}.png",
        "sidecar": f"campaigns/spring/assets/{row}/tote-bag_1024x1024_{key[-8:]}.json",
        "thumbnails": {size: f"campaigns/spring/thumbs/{key}/{size}.jpg" for size in ("256", "512")},
        "sha256": key,
        "width": 1024,
        "height": 1024,
        "format": "PNG",
        "seed": 12345678901234567890,
        "lane": "http://gpu1:8188",
        "job_id": f"job-{number}",
        "seconds": 4.25,
        "cost_usd": 0.0,
    }
    return Asset.model_validate(facts | changes)


def a_rendition(*channels: str, **changes: object) -> Rendition:
    """A story's file, 1080x1920, from the middle of a picture of 800x1408."""
    facts = {
        "key": f"campaigns/spring/channels/SKU0001/tote-bag_{channels[0]}_1080x1920_00000001.jpg",
        "channels": channels,
        "width": 1080,
        "height": 1920,
        "format": "JPEG",
        "sha256": "0" * 64,
        "size_bytes": 262_500,
        "box": (4, 0, 796, 1408),
        "scale": 1.36,
        "quality": 95,
    }
    return Rendition.model_validate(facts | changes)


def an_outcome(number: int = 1, status: Status = "stored", **changes: object) -> Outcome:
    """An outcome of row SKU<number>; stored, reused, duplicate and rejected ones have an asset, the others none."""
    row = str(changes.pop("row", f"SKU{number:04d}"))
    asset = an_asset(row, number) if status in ("stored", "reused", "duplicate", "rejected") else None
    facts = {
        "row": row,
        "variant": 1,
        "request_key": f"{number:064x}",
        "status": status,
        "label": f"{row}-1-1024x1024",
        "row_number": number + 1,
        "size": "1024x1024",
        "prompt": PROMPTS[number % len(PROMPTS)],
        "negative_prompt": "blurry, low quality, distorted, text, watermark",
        "seed": 12345678901234567890,
        "workflow": "sdxl-txt2img",
        "asset": asset,
    }
    return Outcome.model_validate(facts | changes)


def a_campaign(rows: int, pictures_per_row: int = 4) -> list[Outcome]:
    """A run of `rows` rows: mostly stored and reused pictures, FPO comps among them, and some of every other status."""
    return [_one_of_campaign(row, place) for row in range(rows) for place in range(pictures_per_row)]


def _one_of_campaign(row: int, place: int) -> Outcome:
    number = row * 64 + place + 1
    name = f"SKU{row:04d}-{('hero', 'tote', 'mug', 'boots')[row % 4]}"
    width, height, size = SIZES[place % len(SIZES)]
    comp = row % 3 == 2
    outcome = an_outcome(
        number,
        **_fate(row, place, number),
        row=name,
        row_number=row + 2,
        variant=place // len(SIZES) + 1,
        label=f"{name}-{place // len(SIZES) + 1}-{width}x{height}",
        size=size,
        prompt=PROMPTS[row % len(PROMPTS)],
        seed=number * 987654321987 % records.MAX_SEED,
        tags=("spring", "hero") if row % 2 else (),
        workflow=None if comp else "sdxl-txt2img",
        model=records.FPO_MODEL if comp else None,
    )
    if outcome.asset is None:
        return outcome
    changes = {"width": width, "height": height, "seed": outcome.seed, "lane": "fpo" if comp else "http://gpu1:8188"}
    return outcome.model_copy(update={"asset": outcome.asset.model_copy(update=changes)})


def _fate(row: int, place: int, number: int) -> dict[str, object]:
    lane = "http://gpu2:8188"
    match (row * 5 + place * 3) % 17:
        case 3:
            return {
                "status": "duplicate",
                "reason": "The same picture as another one of this row (4 of 256 bits differ); kept, but set aside.",
                "duplicate_of": f"{row * 64 + 1:064x}",
                "distance": 4,
            }
        case 5:
            return {"status": "rejected", "reason": "The picture is black: a safety filter or a broken VAE. Reroll it."}
        case 8:
            error = "http://gpu2:8188 ran out of memory at KSampler; a smaller size or fewer steps may pass."
            tries = (Attempt(lane=lane, error=error, fault="worker"), Attempt(lane=lane, error=error, fault="worker"))
            return {"status": "failed", "reason": error, "attempts": tries}
        case 11:
            return {"status": "canceled", "reason": "The run was interrupted before this picture was begun."}
        case 1 | 6 | 14:
            return {"status": "reused", "reason": "Made by run 20261120T101500Z-1a2b3c."}
        case _:
            return {"status": "stored"}


def a_run(outcomes: list[Outcome], **changes: object) -> RunRecord:
    """The run record of `outcomes`; campaign `spring`, a folder store."""
    tally = {status: sum(outcome.status == status for outcome in outcomes) for status in records.STATUSES}
    facts = {
        "campaign": "spring",
        "run_id": "20261122T014500Z-ab12cd",
        "sheet": "spring-launch.csv",
        "sheet_sha256": "0" * 64,
        "started_at": "2026-11-22T01:45:00Z",
        "finished_at": "2026-11-22T01:47:05Z",
        "seconds": 125.0,
        "counts": tally,
        "cost_usd": sum(outcome.asset.cost_usd for outcome in outcomes if outcome.asset),
        "lanes": ("http://gpu1:8188", "http://gpu2:8188", "fpo"),
        "store": "file:///srv/assets",
        "run": "file:///srv/assets/campaigns/spring/runs/20261122T014500Z-ab12cd",
        "contact_sheet": "file:///srv/assets/campaigns/spring/runs/20261122T014500Z-ab12cd/contact-sheet.html",
    }
    return RunRecord.model_validate(facts | changes)


def a_thumbnail(outcome: Outcome) -> bytes | None:
    """A small JPEG whose colour comes from the request's key; None where the outcome has no asset."""
    if outcome.asset is None:
        return None
    number = int(outcome.request_key[-8:], 16)
    colour = (number * 37 % 200 + 40, number * 73 % 200 + 40, number * 151 % 200 + 40)
    side = 256 / max(outcome.asset.width, outcome.asset.height)
    size = (round(outcome.asset.width * side), round(outcome.asset.height * side))
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "JPEG", quality=85)
    return file.getvalue()
