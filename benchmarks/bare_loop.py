"""ComfyUI driven by the loop that anybody would write: POST, look into history, download. To compare ours with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

import httpx

from assetline.records import PlannedRequest
from assetline.workflow import Workflow, bind

Graph = dict[str, Any]
LIMIT_S = 300.0
PAUSE_S = 0.02  # between two looks


def graphs(requests: Sequence[PlannedRequest], workflows: dict[str, Workflow]) -> list[Graph]:
    """The graphs of planned requests, as they would be submitted."""
    return [
        bind(workflows[planned.request.workflow or ""], planned.request, f"bare/{uuid4().hex[:12]}", {})
        for planned in requests
    ]


async def drive(urls: Sequence[str], wanted: Sequence[Graph], deep: int) -> float:
    """Make all graphs, each worker having so many at once, all from one list. Seconds from the first to the last."""
    left = iter(wanted)
    began = time.perf_counter()
    async with httpx.AsyncClient(timeout=LIMIT_S) as client, asyncio.TaskGroup() as group:
        for url in [url for _ in range(deep) for url in urls]:
            group.create_task(_one_after_the_other(client, url, left))
    return time.perf_counter() - began


async def _one_after_the_other(client: httpx.AsyncClient, url: str, left: Iterator[Graph]) -> None:
    for graph in left:
        answer = await client.post(f"{url}/prompt", json={"prompt": graph})
        prompt_id = answer.raise_for_status().json()["prompt_id"]
        found: dict[str, Any] = {}
        while prompt_id not in found:
            await asyncio.sleep(PAUSE_S)
            found = (await client.get(f"{url}/history/{prompt_id}")).json()
        for output in found[prompt_id]["outputs"].values():
            for image in output["images"]:
                (await client.get(f"{url}/view", params=image)).raise_for_status()
