"""From rows to requests: seeds, sizes, parameters against contracts, and the quote. No picture is made here."""

from __future__ import annotations

from assetline.plan.budget import (
    CapKind,
    CapQuote,
    CostRange,
    Money,
    PaidQuote,
    amount,
    in_words,
    left_in_words,
    quote_paid,
    range_in_words,
    refusal,
)
from assetline.plan.campaign import CampaignPlan, campaign_slug, plan_campaign
from assetline.plan.capability import Capability, Lack, find_lacks
from assetline.plan.fleet import Fleet, Workers
from assetline.plan.overflow import NO_OVERFLOW, Overflow, OverflowQuote, choose_overflow, equivalents_of, limit_of
from assetline.plan.pace import Pace
from assetline.plan.problems import CODES
from assetline.plan.quote import Known, MinuteRange, Quote, fresh_requests, local_seconds, quote
from assetline.plan.world import World

__all__ = [
    "CODES",
    "NO_OVERFLOW",
    "CampaignPlan",
    "CapKind",
    "CapQuote",
    "Capability",
    "CostRange",
    "Fleet",
    "Known",
    "Lack",
    "MinuteRange",
    "Money",
    "Overflow",
    "OverflowQuote",
    "Pace",
    "PaidQuote",
    "Quote",
    "Workers",
    "World",
    "amount",
    "campaign_slug",
    "choose_overflow",
    "equivalents_of",
    "find_lacks",
    "fresh_requests",
    "in_words",
    "left_in_words",
    "limit_of",
    "local_seconds",
    "plan_campaign",
    "quote",
    "quote_paid",
    "range_in_words",
    "refusal",
]
