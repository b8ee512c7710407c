"""`doctor` at Replicate: whether the token is taken, what may be spent, the prices. It shows no token."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

from apps.finding import Finding
from assetline.bootstrap.planning import load_replicate_models
from assetline.errors import AssetlineError
from assetline.plan import amount
from assetline.settings import Settings

NAME = "replicate"


def examine_replicate(settings: Settings, *, wanted: bool) -> Iterator[Finding]:
    """What the lane needs. `wanted`: a run is to have it. Without a token nothing is asked, and nothing is imported."""
    try:
        models = load_replicate_models(settings)
    except AssetlineError as error:
        yield Finding(name=NAME, verdict="fail", found=str(error), mend="Mend the file, or unset the setting.")
        return
    token = settings.replicate_api_token
    if token is None or not token.get_secret_value().strip():
        mend = "Set REPLICATE_API_TOKEN (replicate.com/account/api-tokens has yours)."
        verdict = "fail" if wanted else "ok"
        yield Finding(
            name=NAME, verdict=verdict, found="no token, so nothing is made there", mend=mend if wanted else ""
        )
        return
    yield _token(settings, len(models))
    yield _prices(settings)


def _token(settings: Settings, models: int) -> Finding:
    found = asyncio.run(_asked(settings))
    if found:
        return Finding(name=NAME, verdict="fail", found=found, mend="Correct REPLICATE_API_TOKEN or the network.")
    cap = f"a run may spend {amount(settings.max_cost)} USD"
    mend = "" if settings.max_cost else "Nothing is spent until ASSETLINE_MAX_COST or --max-cost says how much."
    where = f"the token is accepted by {settings.replicate_base_url}"
    return Finding(name=NAME, verdict="ok", found=f"{where}; {models} models; {cap}", mend=mend)


async def _asked(settings: Settings) -> str:
    """Why the account cannot be used; empty where it can. One question, which costs nothing."""
    from assetline.backends.replicate.failures import Refused, Unanswered, closing
    from assetline.backends.replicate.gateway import Gateway
    from assetline.backends.replicate.limits import Limits
    from assetline.backends.replicate.options import Clock, ReplicateSettings
    from assetline.bootstrap.money import require_token

    clock = Clock()
    lane = ReplicateSettings(token=require_token(settings), base_url=settings.replicate_base_url)
    try:
        gateway = Gateway(lane, Limits(lane, clock), clock)
    except AssetlineError as error:
        return str(error)
    try:
        await gateway.account()
    except Refused as refused:
        return closing(refused) or f"Replicate refuses: {refused}."
    except Unanswered as unanswered:
        return f"{unanswered}."
    finally:
        await gateway.close()
    return ""


def _prices(settings: Settings) -> Finding:
    from assetline.bootstrap.ledgers import price_table

    prices = price_table(settings, datetime.now(UTC).date())
    if not prices.old:
        return Finding(name="prices", verdict="ok", found=f"of {prices.oldest} or later")
    found = f"older than 90 days: {', '.join(prices.old)}"
    mend = "Compare them with replicate.com/pricing; ASSETLINE_REPLICATE_MODELS names a file with your own."
    return Finding(name="prices", verdict="warn", found=found, mend=mend)
