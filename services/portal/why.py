"""Why a partner's number is what it is: the page that takes it apart, from his sales to each close."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from schemas.values import Quarter
from services.portal.queries import PartnerRows
from services.portal.views import choose_quarter
from streams.rules.explain import Close, Explanation, explain
from streams.rules.terms import Programme


@dataclass(frozen=True, slots=True)
class WhyPage:
    """All that the page shows."""

    programme: Programme
    partner: Row[Any] | None
    quarter: Quarter
    quarters: Sequence[Quarter]
    explanation: Explanation

    def product_name(self, product_id: str) -> str:
        product = self.programme.product(product_id)
        return product.name if product else product_id


def why_page(rows: PartnerRows, programme: Programme, wanted: Quarter | None, now: datetime) -> WhyPage:
    """Take a partner's quarter apart. Raises NotHere for a quarter that he has nothing in."""
    quarter, quarters = choose_quarter(rows, programme, wanted, now)
    closes = [
        Close(row.revision, row.units, row.rebate_minor, row.payable_minor, row.closed_at)
        for row in rows.closes(quarter)
    ]
    explanation = explain(rows.lines(quarter), programme.terms_for(quarter), closes)
    return WhyPage(programme, rows.partner(), quarter, quarters, explanation)
