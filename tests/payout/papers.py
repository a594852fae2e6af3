"""Statements in tests: an office with a desk, and what a reader of a PDF or a CSV sees."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

import msgspec
from pypdf import PdfReader

from schemas.events import CloseKind, LineReturn, LineStatus, Partner, QuarterClosed, SaleLine
from schemas.topics import PARTNERS
from schemas.values import Quarter
from services.kit.statements import Shelf
from services.payout.statements import stored
from services.payout.statements.desk import Desk
from services.payout.statements.stored import Stored
from tests.payout.office import FINAL, PROGRAMME, QUARTER, Office, line


class Still:
    """A clock that stands."""

    rate = 1.0

    def __init__(self, shown: datetime = FINAL) -> None:
        self.shown = shown

    def now(self) -> datetime:
        return self.shown

    def at(self, real: datetime) -> datetime:
        return real


def registered(
    office: Office, partner_id: str, name: str = "Müller & Söhne GmbH", language: str = "de", country: str = "DE"
) -> None:
    """A partner becomes known."""
    said = Partner(partner_id, name, "office@partner.example", language, country, date(2026, 1, 1))
    office.deliver(PARTNERS, [(partner_id, said)])


def earns(office: Office, partner_id: str, units: int, quarter: str = QUARTER, *, revision: int = 1) -> None:
    """A quarter ends, or is corrected, with so many units; the line of the quarter says the same."""
    office.sells(partner_id, units, quarter)
    office.apply([close(office, partner_id, units, quarter, revision)])


def close(office: Office, partner_id: str, units: int, quarter: str = QUARTER, revision: int = 1) -> QuarterClosed:
    """The close of a quarter with so many units; what came before it is what this office knows."""
    terms = PROGRAMME.terms_for(Quarter.parse(quarter))
    total, before = terms.rebate_minor(units), office.made_payable(partner_id, quarter)
    return QuarterClosed(
        programme_id=PROGRAMME.id,
        partner_id=partner_id,
        quarter=quarter,
        kind=CloseKind.FINAL if revision == 1 else CloseKind.ADJUSTMENT,
        revision=revision,
        units=units,
        tier=terms.tier_for(units).units,
        rate_minor=terms.tier_for(units).rate_minor,
        rebate_minor=total,
        payable_minor=total - before,
        payable_total_minor=total,
        currency="EUR",
        terms_version=terms.version,
        closed_at=FINAL,
    )


def paid(office: Office, *partner_ids: str, units: int = 50) -> None:
    """Partners with bank details earn something and are paid."""
    for partner_id in partner_ids:
        office.details(partner_id)
        earns(office, partner_id, units)
    office.recount()
    office.pay()


def sale(partner_id: str, sale_id: str, quantity: int, sold_on: date = date(2026, 10, 5), **more: object) -> SaleLine:
    """A counted sale with all that may be known of it; ``returned`` units of it came back."""
    returned = int(str(more.pop("returned", 0)))
    back = LineReturn(f"{sale_id}-back", returned, date(2026, 12, 1), FINAL, FINAL, "0")
    return msgspec.structs.replace(
        line(partner_id, quantity, str(Quarter.of(sold_on)), sale_id),
        quantity=quantity,
        units=quantity - returned,
        sold_on=sold_on,
        status=LineStatus.COUNTED if quantity > returned else LineStatus.RETURNED,
        returns=(back,) if returned else (),
        **more,
    )


def desk(office: Office, clock: Still | None = None) -> Desk:
    """The desk as it is after a start of the process."""
    return Desk(office.engine, office.settings, PROGRAMME, clock or Still())


def issued(office: Office, clock: Still | None = None) -> list[Stored]:
    """All statements, after whatever is due was issued."""
    at_work = desk(office, clock)
    for _ in range(3):
        at_work.step()
    with office.engine.connect() as connection:
        found = [stored.find(connection, number) for number in stored.numbers(connection)]
        assert list(stored.faults(connection, shelf(office))) == []
    return [one for one in found if one]


def shelf(office: Office) -> Shelf:
    """Where the portal looks."""
    return Shelf(Path(office.settings.statements))


def read(pdf: bytes) -> str:
    """What stands in a PDF, line by line, with ordinary spaces and hyphens."""
    pages = [page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages]
    return "\n".join(pages).replace("\xa0", " ").replace("\N{MINUS SIGN}", "-")


def rows(content: bytes) -> list[dict[str, str]]:
    """The rows of a CSV as a spreadsheet reads them."""
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def says(text: str, *parts: str) -> Sequence[str]:
    """The parts that are not in the text."""
    flat = " ".join(text.split())
    return [part for part in parts if part not in flat]
