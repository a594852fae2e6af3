"""Issues a statement: number, bytes, what they were made of and what they cover, in one transaction or not at all."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Engine, insert, select, update

from services.kit.database import upsert
from services.payout.statements import csvfile, pdf
from services.payout.statements.due import Due
from services.payout.statements.facts import Facts, freeze, sha256
from services.payout.statements.gather import Issuer, gather
from services.payout.tables import statement_items, statement_years, statements


def issue(engine: Engine, around: Issuer, wanted: Due, now: datetime) -> str | None:
    """Issue a statement and answer its number; None if it is not due any more.

    Whoever issues holds the row of the year until the statement is stored: of two processes one waits, and then finds
    nothing due. Raises Incomplete or typst.TypstError, and then no number is used up.
    """
    day = now.astimezone(around.programme.zone).date()
    with engine.begin() as connection:
        number = number_of(day.year, _latest(connection, day.year) + 1)
        facts = gather(connection, around, wanted, number, day)
        if facts is None:
            return None
        _store(connection, facts)
        connection.execute(
            update(statement_years)
            .where(statement_years.c.year == day.year)
            .values(issued=statement_years.c.issued + 1)
        )
    return number


def number_of(year: int, count: int) -> str:
    """How the number of a year's statement is written."""
    return f"BA-{year:04d}-{count:06d}"


def _latest(connection: Connection, year: int) -> int:
    connection.execute(upsert(statement_years, connection.engine).values(year=year, issued=0).on_conflict_do_nothing())
    own = select(statement_years.c.issued).where(statement_years.c.year == year).with_for_update()
    return int(connection.execute(own).scalar_one())


def _store(connection: Connection, facts: Facts) -> None:
    frozen, csv = freeze(facts), csvfile.render(facts)
    content = pdf.render(facts, csv)
    connection.execute(
        insert(statements).values(
            number=facts.number,
            document_id=facts.document_id,
            kind=facts.kind,
            partner_id=facts.partner_id,
            issued_on=facts.issued_on,
            amount_minor=facts.total_minor,
            currency=facts.currency,
            facts=frozen,
            facts_sha256=sha256(frozen),
            pdf=content,
            pdf_sha256=sha256(content),
            csv=csv,
            csv_sha256=sha256(csv),
        )
    )
    connection.execute(
        insert(statement_items),
        [{"number": facts.number, "obligation_id": position.obligation_id} for position in facts.positions],
    )
