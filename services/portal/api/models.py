"""What the JSON interface answers. Money is in minor units of its currency, as everywhere in the contract."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import BaseModel, Field


class NextTier(BaseModel):
    """The tier above, and what reaching it is worth."""

    threshold: int
    units_missing: int
    gain_minor: int


class Standing(BaseModel):
    """A partner's standing in a quarter."""

    quarter: str = Field(examples=["2026Q4"])
    units: int
    tier: int = Field(description="Threshold of the tier that is reached, in units")
    rate_minor: int = Field(description="Rebate for each unit")
    rebate_minor: int = Field(description="Rebate on all units")
    currency: str
    next_tier: NextTier | None
    phase: str = Field(description="open, provisional or final")
    revision: int = Field(description="Latest close: -1 none yet, 0 provisional, 1 final, above: adjustments")
    payable_minor: int = Field(description="What the closes have made payable in all")
    sales: dict[str, int] = Field(description="Number of sales by verdict")


class Return(BaseModel):
    """Units of a sale that came back."""

    return_id: str
    quantity: int
    returned_on: date
    reason: str | None = Field(description="Why it takes nothing away, or not all that it says")


class Sale(BaseModel):
    """A sale with the verdict on it."""

    sale_id: str
    product_id: str
    quantity: int
    units: int = Field(description="Units that count now")
    sold_on: date | None = Field(description="None for a return whose sale nobody has reported yet")
    serial_numbers: list[str]
    quarter: str
    status: str = Field(description="counted, pending, rejected or returned")
    reason: str | None = Field(description="Why it does not count, as a code")
    returns: list[Return]
    conflicting_reports: int
    reported_by: str = Field(description="Who made the report that stands; empty if that is not known")
    reported_at: datetime
    recorded_at: datetime


class Sales(BaseModel):
    """Some sales in the order in which they changed last."""

    sales: list[Sale]
    cursor: str = Field(description="Say it as `after` to go on behind these, now or tomorrow")
    more: bool = Field(description="Whether there are more already")


class Payout(BaseModel):
    """Where the money of a close is."""

    quarter: str
    revision: int
    status: str
    reason: str | None
    amount_minor: int = Field(description="Below zero: set off against the next payment")
    currency: str
    execution_date: date | None
    occurred_at: datetime


class Payouts(BaseModel):
    """All closes of a partner's quarters that made something payable."""

    payouts: list[Payout]


class Quarters(BaseModel):
    """The quarters in which a partner has something, the latest first."""

    quarters: list[str]


class Problem(BaseModel):
    """Why there is no answer."""

    error: str = Field(description="A code that stays the same")
    message: str = Field(description="For a person to read; may change")
