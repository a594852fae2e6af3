"""Issued statements as they are stored: looked up, handed out and proved to be whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select

from services.kit.statements import Card, Form, Shelf
from services.payout.statements.facts import Facts, sha256, thaw
from services.payout.statements.issue import number_of
from services.payout.tables import statement_years, statements

_LISTED = (
    *(statements.c.number, statements.c.kind, statements.c.partner_id, statements.c.issued_on),
    *(statements.c.amount_minor, statements.c.currency, statements.c.document_id),
)


class Stored(NamedTuple):
    """A statement with its bytes."""

    facts: Facts
    pdf: bytes
    csv: bytes
    pdf_sha256: str
    csv_sha256: str

    @property
    def card(self) -> Card:
        """What the portal is told of it."""
        facts = self.facts
        return Card(
            number=facts.number,
            partner_id=facts.partner_id,
            issued_on=facts.issued_on,
            quarters=tuple(part.quarter for part in facts.quarters),
            amount_minor=facts.total_minor,
            currency=facts.currency,
            pdf_sha256=self.pdf_sha256,
            csv_sha256=self.csv_sha256,
        )

    def content(self, form: Form) -> bytes:
        """The bytes of one form."""
        return self.pdf if form is Form.PDF else self.csv


def listed(connection: Connection, partner_id: str | None = None) -> list[Row[Any]]:
    """All statements without their bytes, of one partner or of all, in the order of their numbers."""
    chosen = select(*_LISTED).order_by(statements.c.number)
    if partner_id is not None:
        chosen = chosen.where(statements.c.partner_id == partner_id)
    return list(connection.execute(chosen))


def numbers(connection: Connection) -> list[str]:
    """The numbers of all statements."""
    return list(connection.scalars(select(statements.c.number).order_by(statements.c.number)))


def find(connection: Connection, number: str) -> Stored | None:
    """A statement, if there is one of this number."""
    row = connection.execute(select(statements).where(statements.c.number == number)).one_or_none()
    return Stored(thaw(row.facts), row.pdf, row.csv, row.pdf_sha256, row.csv_sha256) if row else None


def faults(connection: Connection, shelf: Shelf) -> Iterator[str]:
    """Whatever is wrong with the statements: numbers missing, bytes changed, files not as issued. Without names."""
    known = numbers(connection)
    expected = [
        number_of(year, count)
        for year, issued in connection.execute(select(statement_years.c.year, statement_years.c.issued))
        for count in range(1, issued + 1)
    ]
    for number in sorted(set(expected) ^ set(known)):
        yield f"{number} is " + ("missing: it was allotted" if number in set(expected) else "there and never allotted")
    for row in connection.execute(select(statements).order_by(statements.c.number).execution_options(yield_per=100)):
        for name in ("facts", "pdf", "csv"):
            if sha256(getattr(row, name)) != getattr(row, f"{name}_sha256"):
                yield f"{row.number}: the stored {name} is not what was issued"
        for form in Form:
            if shelf.read(row.partner_id, row.number, form) != getattr(row, form):
                yield f"{row.number}: the {form} in the folder is missing or not what was issued"
    for number in sorted(shelf.numbers() - set(known)):
        yield f"{number} lies in the folder and is not in the database"
