"""From rows to requests: seeds, sizes, parameters against contracts, and the quote. No picture is made here."""

from __future__ import annotations

from assetline.plan.campaign import CampaignPlan, campaign_slug, plan_campaign
from assetline.plan.problems import CODES
from assetline.plan.quote import Quote, quote
from assetline.plan.world import World

__all__ = ["CODES", "CampaignPlan", "Quote", "World", "campaign_slug", "plan_campaign", "quote"]
