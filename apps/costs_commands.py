"""The commands of `assetline costs`: parse, call, print; the work is in `costs`, which imports the ledger."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter

costs = App(
    name="costs",
    help="What pictures have cost, and what open ones may still cost; nothing here spends money.\n\n"
    "Example: assetline costs --by day",
)


@costs.default
def show_costs(
    *,
    by: Literal["campaign", "model", "day", "run"] = "campaign",
    campaign: str = "",
    held: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Say what has been spent and what is reserved, a line and a bar each.

    Example: assetline costs --by model

    Parameters
    ----------
    by
        What a line stands for.
    campaign
        Only this campaign. Default: all.
    held
        List the attempts of which nobody knows whether they were charged, and how to decide them.
    json
        Print one JSON value on stdout, for programs.

    """
    from apps.costs import show_costs as show
    from apps.costs import show_held

    return show_held(as_json=json) if held else show(by, campaign, as_json=json)


@costs.command(name="release")
def release_attempt(attempt: int, /, *, reason: str = "") -> int:
    """Decide that a held attempt was not charged: its reservation ends.

    Example: assetline costs release 12

    Parameters
    ----------
    attempt
        Its number, from assetline costs --held.
    reason
        For the journal.

    """
    from apps.costs import release

    return release(attempt, reason)


@costs.command(name="settle")
def settle_attempt(attempt: int, usd: float, /, *, reason: str = "") -> int:
    """Decide that a held attempt was charged, though its picture is lost.

    Example: assetline costs settle 12 0.04

    Parameters
    ----------
    attempt
        Its number, from assetline costs --held.
    usd
        What it cost.
    reason
        For the journal.

    """
    from apps.costs import settle

    return settle(attempt, usd, reason)
