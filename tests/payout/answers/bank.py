"""What a bank writes: status reports, statements and notices, in the versions that banks use."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

from sqlalchemy import select

from services.payout import invariants, ledger
from services.payout.answers.apply import Outcome, take
from services.payout.tables import bank_unmatched, obligations, payments, runs
from streams.rules.terms import Terms
from tests.payout.office import FINAL, PROGRAMME, Office, iban_of

TERMS: Terms = PROGRAMME.terms[0]
DAY = date(2027, 2, 1)
WAITED = FINAL + timedelta(days=5)
"""When bank details that were changed on the day of the first run may be paid to."""
BODIES = {
    "camt.053": ("BkToCstmrStmt", "Stmt"),
    "camt.054": ("BkToCstmrDbtCdtNtfctn", "Ntfctn"),
    "camt.052": ("BkToCstmrAcctRpt", "Rpt"),
}


class Movement(NamedTuple):
    """A booked movement of the account."""

    end_to_end_id: str = ""
    amount: str = "750.00"
    debit: bool = True
    returned: str = ""
    reference: str = ""
    day: date = DAY
    currency: str = "EUR"
    msg_id: str = ""
    status: str = "BOOK"


def report(
    msg_id: str,
    group: str = "",
    reason: str = "",
    batch: str = "",
    transactions: Sequence[tuple[str, str, str]] = (),
    version: str = "10",
    message_id: str = "PSR-1",
) -> bytes:
    """A pain.002: a status for the file, for its batch and for single payments (id, status, code)."""
    lines = "".join(
        f"<TxInfAndSts><OrgnlEndToEndId>{id_}</OrgnlEndToEndId>{status('TxSts', state, code)}</TxInfAndSts>"
        for id_, state, code in transactions
    )
    inner = f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>{msg_id}</OrgnlPmtInfId>{status('PmtInfSts', batch)}{lines}"
    inner = f"{inner}</OrgnlPmtInfAndSts>" if batch or lines else ""
    return _document(
        f"pain.002.001.{version}",
        f"<CstmrPmtStsRpt><GrpHdr><MsgId>{message_id}</MsgId><CreDtTm>2027-01-29T13:00:00Z</CreDtTm></GrpHdr>"
        f"<OrgnlGrpInfAndSts><OrgnlMsgId>{msg_id}</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>"
        f"{status('GrpSts', group, reason)}</OrgnlGrpInfAndSts>{inner}</CstmrPmtStsRpt>",
    )


def status(name: str, state: str, reason: str = "") -> str:
    found = f"<{name}>{state}</{name}>" if state else ""
    return found + (f"<StsRsnInf><Rsn><Cd>{reason}</Cd></Rsn></StsRsnInf>" if reason else "")


def statement(
    movements: Sequence[Movement],
    kind: str = "camt.053",
    statement_id: str = "S1",
    version: str = "08",
    opening: int | None = None,
    closing: int | None = None,
    sequence: int | None = None,
    day: date = DAY,
) -> bytes:
    """A statement or notice with an entry for each movement. Balances are cents."""
    body, name = BODIES[kind]
    balances = "".join(
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>{_amount(abs(cents))}"
        f"<CdtDbtInd>{'DBIT' if cents < 0 else 'CRDT'}</CdtDbtInd><Dt><Dt>{day}</Dt></Dt></Bal>"
        for code, cents in (("OPBD", opening), ("CLBD", closing))
        if cents is not None
    )
    number = "" if sequence is None else f"<ElctrncSeqNb>{sequence}</ElctrncSeqNb>"
    entries = "".join(_entry(movement, version) for movement in movements)
    return _document(
        f"{kind}.001.{version}",
        f"<{body}><GrpHdr><MsgId>M-{statement_id}</MsgId><CreDtTm>{day}T20:00:00Z</CreDtTm></GrpHdr>"
        f"<{name}><Id>{statement_id}</Id>{number}<CreDtTm>{day}T20:00:00Z</CreDtTm>"
        f"<Acct><Id><IBAN>{iban_of('debtor')}</IBAN></Id><Ccy>EUR</Ccy></Acct>{balances}{entries}</{name}></{body}>",
    )


def batch_debit(msg_id: str, amount: str, reference: str = "B1", statement_id: str = "S1") -> bytes:
    """A statement with one debit for a whole batch, and nothing of its payments."""
    entry = (
        f"<Ntry>{_amount_text(amount, 'EUR')}<CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>"
        f"<BookgDt><Dt>{DAY}</Dt></BookgDt><ValDt><Dt>{DAY}</Dt></ValDt><AcctSvcrRef>{reference}</AcctSvcrRef>"
        f"<NtryDtls><Btch><PmtInfId>{msg_id}</PmtInfId><NbOfTxs>2</NbOfTxs></Btch></NtryDtls></Ntry>"
    )
    return _with_entries(entry, statement_id)


def batch_with_details(movements: Sequence[Movement], total: str, statement_id: str = "S1") -> bytes:
    """A statement with one debit for a whole batch that lists its payments."""
    details = "".join(_details(movement) for movement in movements)
    entry = (
        f"<Ntry>{_amount_text(total, 'EUR')}<CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>"
        f"<BookgDt><Dt>{DAY}</Dt></BookgDt><ValDt><Dt>{DAY}</Dt></ValDt><AcctSvcrRef>B1</AcctSvcrRef>"
        f"<NtryDtls>{details}</NtryDtls></Ntry>"
    )
    return _with_entries(entry, statement_id)


def _with_entries(entries: str, statement_id: str) -> bytes:
    return statement((), statement_id=statement_id).replace(b"</Stmt>", f"{entries}</Stmt>".encode())


def _entry(movement: Movement, version: str) -> str:
    state = movement.status if version == "02" else f"<Cd>{movement.status}</Cd>"
    reference = f"<AcctSvcrRef>{movement.reference}</AcctSvcrRef>" if movement.reference else ""
    return (
        f"<Ntry>{_amount_text(movement.amount, movement.currency)}<CdtDbtInd>{_side(movement)}</CdtDbtInd>"
        f"<Sts>{state}</Sts><BookgDt><Dt>{movement.day}</Dt></BookgDt><ValDt><Dt>{movement.day}</Dt></ValDt>"
        f"{reference}<NtryDtls>{_details(movement)}</NtryDtls></Ntry>"
    )


def _details(movement: Movement) -> str:
    ids = f"<MsgId>{movement.msg_id}</MsgId>" if movement.msg_id else ""
    ids += f"<EndToEndId>{movement.end_to_end_id or 'NOTPROVIDED'}</EndToEndId>"
    why = f"<RtrInf><Rsn><Cd>{movement.returned}</Cd></Rsn></RtrInf>" if movement.returned else ""
    return (
        f"<TxDtls><Refs>{ids}</Refs>{_amount_text(movement.amount, movement.currency)}"
        f"<CdtDbtInd>{_side(movement)}</CdtDbtInd><RltdPties><Cdtr><Nm>Ottilie Unverwechselbar</Nm></Cdtr></RltdPties>"
        f"{why}</TxDtls>"
    )


def _side(movement: Movement) -> str:
    return "DBIT" if movement.debit else "CRDT"


def _amount(cents: int) -> str:
    return _amount_text(f"{cents // 100}.{cents % 100:02d}", "EUR")


def _amount_text(amount: str, currency: str) -> str:
    return f'<Amt Ccy="{currency}">{amount}</Amt>'


def _document(message: str, inner: str) -> bytes:
    namespace = f"urn:iso:std:iso:20022:tech:xsd:{message}"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="{namespace}">{inner}</Document>'.encode()


def back(end_to_end_id: str, code: str = "AC04", **others: object) -> Movement:
    """A payment that came back."""
    return Movement(end_to_end_id, debit=False, returned=code, **others)  # type: ignore[arg-type]


def ready(office: Office, *partner_ids: str, units: int = 50) -> None:
    """These partners have earned a rebate that can be paid."""
    for partner_id in partner_ids:
        office.details(partner_id)
        office.sells(partner_id, units)
        office.closes(partner_id, TERMS.rebate_minor(units), units=units)
    office.recount()


def paid(office: Office, *partner_ids: str) -> dict[str, str]:
    """Pay them all in one run. Answers the end-to-end id of each."""
    ready(office, *partner_ids)
    made = office.pay()
    assert made is not None
    return ids_of(office)


def ids_of(office: Office) -> dict[str, str]:
    """The end-to-end id of each partner's latest payment."""
    with office.engine.connect() as connection:
        rows = connection.execute(select(payments).order_by(payments.c.msg_id))
        return {row.partner_id: row.end_to_end_id for row in rows}


def run_id(office: Office) -> str:
    with office.engine.connect() as connection:
        return str(connection.execute(select(runs.c.msg_id).order_by(runs.c.day)).scalars().first())


def says(office: Office, content: bytes) -> Outcome:
    """The bank says something."""
    return take(office.engine, office.vault, content, "answer.xml", FINAL)


def payment_states(office: Office) -> dict[str, tuple[str, str | None]]:
    """State and reason of each partner's latest payment."""
    with office.engine.connect() as connection:
        rows = connection.execute(select(payments).order_by(payments.c.msg_id))
        return {row.partner_id: (row.state, row.reason) for row in rows}


def obligation_states(office: Office, partner_id: str) -> list[tuple[int, str]]:
    """Amount and state of a partner's obligations in the order of revisions."""
    with office.engine.connect() as connection:
        rows = connection.execute(
            select(obligations)
            .where(obligations.c.partner_id == partner_id)
            .order_by(obligations.c.quarter, obligations.c.revision)
        )
        return [(row.amount_minor, row.state) for row in rows]


def run_states(office: Office) -> list[str]:
    with office.engine.connect() as connection:
        return list(connection.execute(select(runs.c.state).order_by(runs.c.day)).scalars())


def unmatched(office: Office) -> list[tuple[str, str]]:
    """Reason and end-to-end id (or run) of what waits to be looked at."""
    with office.engine.connect() as connection:
        rows = connection.execute(
            select(bank_unmatched).where(bank_unmatched.c.cleared_at.is_(None)).order_by(bank_unmatched.c.id)
        )
        return [(row.reason, row.end_to_end_id or row.msg_id) for row in rows]


def balances(office: Office) -> dict[str, int]:
    """What is on each account, where it is not nothing."""
    with office.engine.connect() as connection:
        found = ledger.balances(connection)
    return {account: total for (account, _), total in found.items() if total}


def sound(office: Office) -> list[str]:
    """The invariants that do not hold."""
    with office.engine.connect() as connection:
        return invariants.violations(connection)
