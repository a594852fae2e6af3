"""Gathers what a statement says, from the payout database and the programme alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select

from deploy.runtime.settings import Settings
from schemas.events import LineStatus, SaleLine
from schemas.values import PARTNER_ID, Quarter
from services.payout import lines, partners
from services.payout.statements import vat
from services.payout.statements.due import Due, carried_on, covered
from services.payout.statements.facts import (
    Facts,
    Kind,
    Line,
    Party,
    Position,
    QuarterPart,
    Replaced,
    Return,
    Transfer,
    VatPart,
)
from services.payout.states import PaymentState
from services.payout.tables import bank_details, payments, runs, statement_items, statements
from streams.rules.lines import Reason
from streams.rules.terms import Programme

_UNKNOWN_LANGUAGE = "en"


class Incomplete(Exception):
    """What a statement would say does not add up. It must not be issued."""


class Issuer(NamedTuple):
    """On whose behalf statements are issued, and by which terms."""

    programme: Programme
    vendor: Party


def issuer(settings: Settings, programme: Programme) -> Issuer:
    """The issuer that the settings name."""
    address = tuple(part.strip() for part in settings.vendor_address.split(";") if part.strip())
    return Issuer(programme, Party(settings.vendor_name, address, vat_id=settings.vendor_vat_id))


def gather(connection: Connection, around: Issuer, wanted: Due, number: str, on: date) -> Facts | None:
    """The facts of a statement that is to have this number; None if it is not due, or not any more.

    Raises Incomplete if what it would say does not add up.
    """
    rows = covered(connection, wanted)
    if not rows:
        return None
    partner_id = rows[0].partner_id
    if PARTNER_ID.fullmatch(partner_id) is None:
        raise Incomplete("it is about a partner whose id can't be one")  # it becomes the name of a folder
    transfer, paid_minor = _transfer(connection, wanted)
    if paid_minor is not None and paid_minor != sum(row.amount_minor for row in rows):
        raise Incomplete("a payment is not the sum of what it covers")
    partner = partners.known(connection, [partner_id]).get(partner_id)
    carried = carried_on(connection, [row.id for row in rows])
    quarters = tuple(_quarters(connection, around.programme, rows))
    sold = sorted({line.product_id for part in quarters for line in part.lines})
    country = partner.country if partner else ""
    return Facts(
        kind=wanted.kind,
        number=number,
        document_id=_document_id(wanted, rows, carried),
        issued_on=on,
        language=_language(partner) if partner else _UNKNOWN_LANGUAGE,
        currency=rows[0].currency,
        programme_id=around.programme.id,
        programme=around.programme.name,
        programme_hash=around.programme.hash,
        vendor=around.vendor,
        partner_id=partner_id,
        # Address and VAT id are not known to the programme; a statement has its places for them.
        partner=Party(partner.name if partner else partner_id, country=country),
        transfer=transfer,
        positions=tuple(_position(row, carried.get(row.id, "")) for row in rows),
        quarters=quarters,
        products={id_: product.name for id_ in sold if (product := around.programme.product(id_))},
        vat=_vat(around.programme, wanted, country, rows),
        replaces=_replaced(connection, wanted, [row.id for row in rows]),
    )


def _language(partner: Row[Any]) -> str:
    """The one that the partner chose; else that of his registration."""
    return str(partner.chosen_language or partner.language)


def _document_id(wanted: Due, rows: Sequence[Row[Any]], carried: dict[str, str]) -> str:
    if wanted.kind is Kind.PAYMENT:
        return wanted.subject
    # An obligation is set off once, and new on one statement that carries it forward.
    first = next((row for row in rows if row.id not in carried), rows[0])
    return f"{wanted.kind}:{first.id}"


def _transfer(connection: Connection, wanted: Due) -> tuple[Transfer | None, int | None]:
    if wanted.kind is not Kind.PAYMENT:
        return None, None
    row = connection.execute(
        select(payments.c.end_to_end_id, payments.c.amount_minor, runs.c.execution_date, bank_details.c.masked)
        .join(runs, runs.c.msg_id == payments.c.msg_id)
        .join(
            bank_details,
            (bank_details.c.partner_id == payments.c.partner_id) & (bank_details.c.version == payments.c.bank_version),
        )
        .where(payments.c.end_to_end_id == wanted.subject)
    ).one()
    return Transfer(row.end_to_end_id, row.masked, row.execution_date), row.amount_minor


def _position(row: Row[Any], carried: str) -> Position:
    return Position(
        obligation_id=row.id,
        quarter=row.quarter,
        revision=row.revision,
        units=row.units,
        rebate_minor=row.total_minor,
        settled_minor=row.total_minor - row.amount_minor,
        amount_minor=row.amount_minor,
        carried_on=carried,
    )


def _quarters(connection: Connection, programme: Programme, rows: Sequence[Row[Any]]) -> Iterable[QuarterPart]:
    for name, revisions in groupby(rows, key=lambda row: row.quarter):
        latest = list(revisions)[-1]
        terms = programme.terms_for(Quarter.parse(name))
        tier = terms.tier_for(latest.units)
        counted = [
            _line(line)
            for line in lines.of_quarter(connection, name, latest.partner_id)
            if line.status in (LineStatus.COUNTED, LineStatus.RETURNED)
        ]
        yield QuarterPart(
            quarter=name,
            terms_version=terms.version,
            units=latest.units,
            tier=tier.units,
            rate_minor=tier.rate_minor,
            lines=tuple(sorted(counted, key=lambda line: (line.sold_on, line.sale_id))),
        )


def _line(line: SaleLine) -> Line:
    if line.sold_on is None:
        raise Incomplete("a sale that counts has no date")
    left, returns = line.quantity - line.units, []
    for back in line.returns:
        took = 0 if back.reason not in (None, Reason.RETURN_EXCEEDS_SALE) else min(left, back.quantity)
        if took > 0:
            returns.append(Return(back.return_id, back.returned_on, took))
            left -= took
    if left:
        raise Incomplete("the returns of a sale are not what its units lack")
    return Line(
        line.sale_id, line.sold_on, line.product_id, line.quantity, line.units, line.serial_numbers, tuple(returns)
    )


def _vat(programme: Programme, wanted: Due, country: str, rows: Sequence[Row[Any]]) -> tuple[VatPart, ...]:
    if wanted.kind is Kind.CARRIED:
        return ()  # a change counts when it is granted: once it is paid or set off
    return vat.parts(
        (programme.terms_for(Quarter.parse(row.quarter)).vat_for(country), row.amount_minor) for row in rows
    )


def _replaced(connection: Connection, wanted: Due, obligation_ids: Sequence[str]) -> tuple[Replaced, ...]:
    if wanted.kind is not Kind.PAYMENT:
        return ()
    rows = connection.execute(
        select(statements.c.number, payments.c.end_to_end_id, payments.c.returned_on)
        .distinct()
        .join(statement_items, statement_items.c.number == statements.c.number)
        .join(payments, payments.c.end_to_end_id == statements.c.document_id)
        .where(
            statement_items.c.obligation_id.in_(obligation_ids),
            payments.c.state.in_((PaymentState.REJECTED, PaymentState.RETURNED)),
        )
        .order_by(statements.c.number)
    )
    return tuple(Replaced(row.number, row.end_to_end_id, row.returned_on) for row in rows)
