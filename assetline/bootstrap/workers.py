"""What the ComfyUI workers of a run have, asked once, all at the same time, before its sheet is planned."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from assetline.bootstrap.planning import lane_kinds, lane_label, lane_names
from assetline.errors import BackendError
from assetline.plan import Capability, Workers
from assetline.run_records import RunOptions
from assetline.settings import Settings

_asked: ContextVar[Workers | None] = ContextVar("assetline_workers", default=None)


def worker_urls(options: RunOptions, settings: Settings) -> tuple[str, ...]:
    """The lanes that are ComfyUI workers. Raises OptionError for a name that is no lane."""
    kinds = lane_kinds(lane_names(options, settings))
    return tuple(name for name, kind in kinds.items() if kind == "comfyui")


async def ask_workers(options: RunOptions, settings: Settings) -> Workers:
    """What each worker of a run has; those that do not answer within 5 s are `silent`, with the reason.

    Asks nobody where the run has no ComfyUI lane, or where the command that started the run has asked already. Raises
    OptionError for a lane that is no address.
    """
    if known := _asked.get():
        return known
    urls = worker_urls(options, settings)
    answers = await asyncio.gather(*map(_ask, urls))
    told = {lane_label(url): answer for url, answer in zip(urls, answers, strict=True)}
    return Workers(
        known={url: answer for url, answer in told.items() if isinstance(answer, Capability)},
        silent={url: answer for url, answer in told.items() if isinstance(answer, str)},
    )


@contextmanager
def already_asked(workers: Workers) -> Iterator[None]:
    """Within it `ask_workers` gives `workers`: one command asks once, though its flow plans the sheet again."""
    token = _asked.set(workers)
    try:
        yield
    finally:
        _asked.reset(token)


async def _ask(url: str) -> Capability | str:
    from assetline.backends.comfyui.capabilities import ask  # noqa: PLC0415 - httpx takes 0.1 s

    try:
        return await ask(url)
    except BackendError as error:
        return str(error)
