"""Short ways to say facts in tests of the rules."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from schemas.events import Event, Partner, SaleReported, SaleReturned
from streams.rules.fold import Draft
from streams.rules.state import State
from streams.rules.terms import Programme, parse

ROOT = Path(__file__).resolve().parents[2]
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
"""A moment within 2026Q4."""


def programme() -> Programme:
    """The programme that ships."""
    return parse((ROOT / "programme.toml").read_text("utf-8"))


def a_sale(
    sale_id: str = "S1",
    *,
    partner: str = "P1",
    units: int = 1,
    on: date = date(2026, 11, 2),
    minute: int = 0,
    **more: object,
) -> SaleReported:
    """A sale of a Topseller product."""
    facts = {"product_id": "TS-100", "serial_numbers": ()} | more
    reported_at = NOON + timedelta(minutes=minute)
    return SaleReported(
        sale_id=sale_id, partner_id=partner, quantity=units, sold_on=on, reported_at=reported_at, **facts
    )  # type: ignore[arg-type]


def a_return(
    sale_id: str = "S1",
    *,
    partner: str = "P1",
    units: int = 1,
    on: date = date(2026, 11, 3),
    return_id: str = "R1",
    minute: int = 0,
) -> SaleReturned:
    """Units of a sale came back."""
    return SaleReturned(
        return_id=return_id,
        sale_id=sale_id,
        partner_id=partner,
        product_id="TS-100",
        quantity=units,
        returned_on=on,
        reported_at=NOON + timedelta(minutes=minute),
    )


def a_partner(
    partner_id: str = "P1", *, country: str = "DE", since: date = date(2026, 1, 1), left_on: date | None = None
) -> Partner:
    """A registered partner."""
    return Partner(partner_id, "Beispiel GmbH", "a@b.example", "de", country, since, left_on)


class Bench:
    """A partition without Kafka: drafts are absorbed as if their transaction had been committed."""

    def __init__(self, at: datetime = NOON) -> None:
        self.state = State()
        self.at = at
        self.programme = programme()
        self.told: list[Event] = []
        self.offset = 0

    def draft(self) -> Draft:
        return Draft(self.state, self.programme, self.at)

    def keep(self, draft: Draft) -> None:
        draft.settle(self.at)
        self.state.absorb(draft)
        self.told += draft.events

    def feed(self, *events: SaleReported | SaleReturned | Partner, recorded_at: datetime = NOON) -> Bench:
        """One batch."""
        draft = self.draft()
        for event in events:
            if isinstance(event, Partner):
                draft.partner(event.partner_id, event, recorded_at)
            else:
                draft.sale(event, recorded_at, self.offset)
                self.offset += 1
        self.keep(draft)
        return self
