"""What a model costs at Replicate: per picture, or per second of work. The API names no price; this is our table."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field, model_validator

from assetline.records import Record

OLD_AFTER_DAYS = 90

# How sure a price is: of Replicate's own price page; told by third parties; a guess.
Certainty = Literal["P", "p", "?"]
Ending = Literal["succeeded", "failed", "canceled", "aborted"]


class Price(Record):
    """US dollars per picture or per second of work, where the figure is from and of what day.

    `seconds` is how long a picture takes on that hardware, low and high; for prices per second only.
    """

    usd: float = Field(ge=0)
    per: Literal["image", "second"]
    seconds: tuple[float, float] | None = None
    certainty: Certainty
    source: str = Field(min_length=1)
    date: dt.date

    @model_validator(mode="after")
    def _seconds_where_they_count(self) -> Price:
        if (self.per == "second") != (self.seconds is not None):
            raise ValueError("a price per second needs `seconds: [low, high]`, a price per image has none")
        return self

    def range(self) -> tuple[float, float]:
        """What a picture will probably cost, low and high."""
        low, high = self.seconds or (1.0, 1.0)
        return self.usd * low, self.usd * high

    def most(self, deadline_s: float) -> float:
        """The most that a prediction can cost; one that is paid by the second ends at its deadline at the latest."""
        return self.usd if self.per == "image" else self.usd * deadline_s

    def charge(self, ending: Ending, *, pictures: int, worked_s: float | None, began: bool, deadline_s: float) -> float:
        """What a prediction that has ended has cost.

        Aborted ones, and those canceled before they began, are free. A failed one is counted as charged: nobody says
        that it is not. `worked_s` is the prediction's own predict_time.
        """
        if ending == "aborted" or (ending == "canceled" and not began):
            return 0.0
        if self.per == "second":
            return self.usd * (deadline_s if worked_s is None else worked_s)
        return self.usd * (pictures if ending == "succeeded" else 1)

    def is_old(self, today: dt.date) -> bool:
        """Whether somebody should look at the price page again."""
        return (today - self.date).days > OLD_AFTER_DAYS
