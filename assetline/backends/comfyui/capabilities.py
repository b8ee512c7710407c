"""What a worker has, asked once before anything is sent to it. Facts measured on ComfyUI 0.3.64."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

import httpx

from assetline.backends.comfyui.client import ComfyUIClient
from assetline.errors import BackendUnavailable
from assetline.plan.capability import Capability
from assetline.records import Record

LIMIT_S = 5.0  # of all of an answer: /object_info is 323 kB in 0.1 s as installed, several MB with many custom nodes

T = TypeVar("T")


class Machine(Record):
    """A worker's machine and what it has to do. Memory is the first device's, in bytes; 0 where it does not say."""

    version: str
    device: str
    memory: int = 0
    free: int = 0
    running: int = 0
    waiting: int = 0


async def ask(url: str, *, limit_s: float = LIMIT_S, http: httpx.AsyncClient | None = None) -> Capability:
    """What the worker at `url` has, by one GET /object_info.

    Raises BackendUnavailable where there is no whole answer within `limit_s`, OptionError for what is no URL.
    """
    client = ComfyUIClient(url, httpx.Timeout(limit_s), http)
    try:
        return await _within(limit_s, client.url, _capability(client))
    finally:
        await client.close()


async def examine(url: str, *, limit_s: float = LIMIT_S) -> tuple[Machine, Capability]:
    """The worker's machine, its queue and what it has. Raises as `ask` does."""
    client = ComfyUIClient(url, httpx.Timeout(limit_s))
    try:
        machine = await _within(limit_s, client.url, _machine(client))
        return machine, await _within(limit_s, client.url, _capability(client))
    finally:
        await client.close()


async def _within(limit_s: float, url: str, answer: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(limit_s):
            return await answer
    except TimeoutError as error:
        raise BackendUnavailable(
            f"{url} did not answer within {limit_s:g} s. Look at its log; it may be overloaded or hang.", lane=url
        ) from error


async def _capability(client: ComfyUIClient) -> Capability:
    classes = await client.object_info()
    if not classes or not all(isinstance(known, dict) and "input" in known for known in classes.values()):
        raise _strange(client.url, "/object_info")
    return Capability(client.url, classes)


async def _machine(client: ComfyUIClient) -> Machine:
    stats, queue = await client.system_stats(), await client.queue()
    try:
        device: dict[str, Any] = next(iter(stats.get("devices", [])), {})
        return Machine(
            version=str(stats["system"]["comfyui_version"]),
            device=_device_name(str(device.get("name", ""))),
            memory=int(device.get("vram_total") or 0),
            free=int(device.get("vram_free") or 0),
            running=len(queue.running),
            waiting=len(queue.pending),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _strange(client.url, "/system_stats") from error


def _device_name(name: str) -> str:
    """`NVIDIA H200` from `cuda:0 NVIDIA H200 : cudaMallocAsync`."""
    return name.partition(" : ")[0].removeprefix("cuda:0 ").strip() or "an unknown device"


def _strange(url: str, path: str) -> BackendUnavailable:
    return BackendUnavailable(
        f"{url}{path} does not answer like a ComfyUI. Is the address right, with its port (8188)?", lane=url
    )
