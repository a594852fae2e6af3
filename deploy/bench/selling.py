"""Sales that come in while the portal's pages are looked at, projected as those from the topics are."""

from __future__ import annotations

from datetime import datetime
from itertools import count

from sqlalchemy import Engine, Row, select

from deploy.runtime.clock import RealClock
from schemas.events import LineStatus, SaleLine, Tally
from schemas.topics import SALE_LINES, TALLIES
from schemas.values import Quarter, line_key, tally_key
from services.kit.consumer import Batch, Received
from services.portal.projector import subscriptions
from services.portal.tables import tallies
from streams.rules.terms import Programme

_BEHIND_ALL = 10_000_000
"""An offset behind those of all sales that are there from the beginning."""


class Seller:
    """Sells one unit after the other."""

    def __init__(self, engine: Engine, programme: Programme, quarter: Quarter) -> None:
        self._engine, self._programme, self._quarter = engine, programme, quarter
        self._handle = {subscription.topic: subscription.handle for subscription in subscriptions(lambda _: None)}
        self._offsets = count(_BEHIND_ALL)

    def sell(self, partner_id: str) -> None:
        """One more unit for this partner, committed when this returns. Blocks."""
        now, offset = RealClock().now(), next(self._offsets)
        with self._engine.connect() as connection:
            before = connection.execute(select(tallies).where(tallies.c.partner_id == partner_id)).one()
        line, tally = self._line(partner_id, f"new-{offset}", now), self._tally(before, now)
        records = (
            Received(SALE_LINES, line_key(partner_id, line.sale_id), line, "", now, 0, offset),
            Received(TALLIES, tally_key(tally.programme_id, partner_id, tally.quarter), tally, "", now, 0, offset),
        )
        with self._engine.begin() as connection:
            for record in records:
                self._handle[record.topic](Batch(connection, [record]))

    def _line(self, partner_id: str, sale_id: str, now: datetime) -> SaleLine:
        return SaleLine(
            partner_id=partner_id,
            sale_id=sale_id,
            status=LineStatus.COUNTED,
            reason=None,
            quarter=str(self._quarter),
            product_id="TS-100",
            quantity=1,
            units=1,
            sold_on=self._quarter.first_day,
            serial_numbers=(f"serial-{sale_id}",),
            reported_at=now,
            recorded_at=now,
            content_hash="",
        )

    def _tally(self, before: Row[tuple[object, ...]], now: datetime) -> Tally:
        terms = self._programme.terms_for(self._quarter)
        units = before.units + 1
        tier = terms.tier_for(units)
        return Tally(
            programme_id=before.programme_id,
            partner_id=before.partner_id,
            quarter=before.quarter,
            currency=before.currency,
            terms_version=terms.version,
            units=units,
            tier=tier.units,
            rate_minor=tier.rate_minor,
            rebate_minor=terms.rebate_minor(units),
            counted=before.counted + 1,
            rejected=before.rejected,
            as_of=now,
        )
