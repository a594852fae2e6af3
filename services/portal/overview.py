"""What the read model knows about the whole programme in one quarter, for the vendor's team."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, literal_column, or_, select

from schemas.events import LineStatus
from schemas.values import Quarter
from services.portal.claims.known import still_open
from services.portal.tables import closes, open_serials, partners, payouts, sale_lines, tallies, tier_changes

SHOWN_MAX = 10


class Overview:
    """The programme's rows of a quarter, on one connection."""

    def __init__(self, connection: Connection, programme_id: str, quarter: Quarter) -> None:
        self._connection = connection
        self._programme_id = programme_id
        self._quarter = quarter

    def quarters(self) -> list[str]:
        """The quarters in which anybody has a standing, latest first."""
        query = select(tallies.c.quarter).where(tallies.c.programme_id == self._programme_id).distinct()
        return sorted(self._connection.scalars(query), reverse=True)

    def by_tier(self) -> Sequence[Row[Any]]:
        """Registered partners, how many of them sold, units and rebate of each tier; who sold nothing is in tier 0."""
        tier = func.coalesce(tallies.c.tier, 0).label("tier")
        return self._connection.execute(self._registered(tier).group_by(tier).order_by(tier)).all()

    def by_country(self) -> Sequence[Row[Any]]:
        """The same by country, the country with most units first."""
        query = self._registered(partners.c.country).group_by(partners.c.country)
        return self._connection.execute(query.order_by(literal_column("units").desc(), partners.c.country)).all()

    def by_verdict(self) -> Sequence[Row[Any]]:
        """Number of sales by status and reason, the most frequent first."""
        verdict = (sale_lines.c.status, sale_lines.c.reason)
        query = select(*verdict, func.count().label("sales")).where(sale_lines.c.quarter == str(self._quarter))
        return self._connection.execute(query.group_by(*verdict).order_by(literal_column("sales").desc())).all()

    def units_by_product_day_and_tier(self) -> Sequence[Row[Any]]:
        """Counted units of each product on each day, by the tier that the partner has reached. Looks at every sale."""
        standing = and_(
            tallies.c.partner_id == sale_lines.c.partner_id,
            tallies.c.programme_id == self._programme_id,
            tallies.c.quarter == str(self._quarter),
        )
        cell = (sale_lines.c.product_id, sale_lines.c.listed_on, tallies.c.tier)
        query: Select[Any] = (
            select(*cell, func.sum(sale_lines.c.units).label("units"))
            .join_from(sale_lines, tallies, standing)
            .where(sale_lines.c.quarter == str(self._quarter), sale_lines.c.units != 0)
            .group_by(*cell)
        )
        return self._connection.execute(query).all()

    def latest_tier_changes(self) -> Sequence[Row[Any]]:
        """The latest tier changes of the quarter, newest first, with the partner's name where he has one."""
        query = (
            select(tier_changes, partners.c.name, partners.c.country)
            .join_from(tier_changes, partners, tier_changes.c.partner_id == partners.c.partner_id, isouter=True)
            .where(tier_changes.c.programme_id == self._programme_id, tier_changes.c.quarter == str(self._quarter))
            .order_by(tier_changes.c.occurred_at.desc(), tier_changes.c.partner_id)
            .limit(SHOWN_MAX)
        )
        return self._connection.execute(query).all()

    def closes(self) -> Sequence[Row[Any]]:
        """Number of closes and what they made payable, by kind."""
        query = (
            select(closes.c.kind, func.count().label("number"), func.sum(closes.c.payable_minor).label("payable_minor"))
            .where(closes.c.programme_id == self._programme_id, closes.c.quarter == str(self._quarter))
            .group_by(closes.c.kind)
        )
        return self._connection.execute(query).all()

    def payouts(self) -> Sequence[Row[Any]]:
        """Number and amount of the quarter's obligations by what became of them."""
        own = and_(payouts.c.programme_id == self._programme_id, payouts.c.quarter == str(self._quarter))
        key = (payouts.c.partner_id, payouts.c.programme_id, payouts.c.quarter, payouts.c.revision)
        last = select(*key, func.max(payouts.c.sequence).label("sequence")).where(own).group_by(*key).subquery()
        same = and_(*(payouts.c[column.name] == column for column in last.c))
        query = (
            select(
                payouts.c.status, func.count().label("number"), func.sum(payouts.c.amount_minor).label("amount_minor")
            )
            .join_from(payouts, last, same)
            .group_by(payouts.c.status)
            .order_by(payouts.c.status)
        )
        return self._connection.execute(query).all()

    def sale_conflicts(self) -> Sequence[Row[Any]]:
        """Sale ids that two or more partners have open, whatever the quarter: at most one of them can be right."""
        is_open = or_(sale_lines.c.status == LineStatus.COUNTED, sale_lines.c.status == LineStatus.PENDING)
        return self._shared(select(sale_lines.c.sale_id.label("what")), sale_lines, is_open)

    def serial_conflicts(self) -> Sequence[Row[Any]]:
        """Serial numbers that two or more partners have in open sales."""
        return self._shared(select(open_serials.c.serial_number.label("what")), open_serials, still_open())

    def _shared(self, what: Select[Any], table: Any, condition: Any) -> Sequence[Row[Any]]:
        partner = table.c.partner_id
        query = (
            what.add_columns(
                func.min(partner).label("one"),
                func.max(partner).label("other"),
                func.count(partner.distinct()).label("n"),
            )
            .where(condition)
            .group_by(literal_column("what"))
            .having(func.min(partner) != func.max(partner))
            .order_by(literal_column("what"))
            .limit(SHOWN_MAX)
        )
        return self._connection.execute(query).all()

    def _registered(self, group: Any) -> Select[Any]:
        standing = and_(
            tallies.c.partner_id == partners.c.partner_id,
            tallies.c.programme_id == self._programme_id,
            tallies.c.quarter == str(self._quarter),
        )
        taking_part = and_(
            partners.c.registered_on <= self._quarter.last_day,
            or_(partners.c.left_on.is_(None), partners.c.left_on > self._quarter.first_day),
        )
        units = func.coalesce(tallies.c.units, 0)
        return (
            select(
                group,
                func.count().label("partners"),
                func.count(tallies.c.partner_id).filter(units > 0).label("selling"),
                func.coalesce(func.sum(tallies.c.units), 0).label("units"),
                func.coalesce(func.sum(tallies.c.rebate_minor), 0).label("rebate_minor"),
                func.coalesce(func.sum(tallies.c.payable_minor), 0).label("payable_minor"),
            )
            .join_from(partners, tallies, standing, isouter=True)
            .where(or_(taking_part, units > 0))  # who registered later sold all the same, and is owed for it
        )
