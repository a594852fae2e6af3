"""A bank for the demo: takes the payment files, says so, debits the account on the day asked for, and tells of it.

It takes every file (pain.002). On the evening of a day on which money moved it writes a statement (camt.053): a debit
for each payment, and a credit for one that comes back because the payee's account is closed. It sees of us what a bank
sees, the files alone, and what it says goes into the folder that the payout service reads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from itertools import count
from pathlib import Path
from typing import NamedTuple, cast

from lxml import etree

from services.kit.files import write
from services.payout.answers.document import day, each, first, identifier, money, open_document, text
from services.payout.bank_days import bank_day_after, is_bank_day, next_bank_day
from services.payout.pain001 import euros

_REPORT = "urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"
_STATEMENT = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"
_EVENING = time(19, tzinfo=UTC)
"""When a day's books are closed and its statement is written."""
_DAYS_TO_RETURN = 3
"""Bank days that the payee's bank takes to send money back."""
_BALANCE_MINOR = 500_000_000
"""What is on the account at first, in cents."""
_ACCOUNT_CLOSED = "AC04"


class Payment(NamedTuple):
    """One payment that the bank is asked for, in cents."""

    end_to_end_id: str
    amount_minor: int
    iban: str


class Order(NamedTuple):
    """A payment file, as the bank reads it."""

    msg_id: str
    iban: str
    """The account to be debited."""
    execution_date: date
    payments: Sequence[Payment]


class Movement(NamedTuple):
    """A payment that leaves the account, or one that is back on it for the reason ``returned``."""

    end_to_end_id: str
    amount_minor: int
    returned: str = ""


class Statement(NamedTuple):
    """A day of the account, numbered without a gap. The balance is what it began with, in cents."""

    sequence: int
    iban: str
    day: date
    opening_minor: int
    movements: Sequence[Movement]

    @property
    def closing_minor(self) -> int:
        """The balance at the day's end."""
        return self.opening_minor + sum(m.amount_minor if m.returned else -m.amount_minor for m in self.movements)


class Bank:
    """Keeps one account, that of the payer. Call ``step`` again and again.

    ``closed`` is the IBAN from which money comes back.
    """

    def __init__(self, orders: Path, answers: Path, closed: str) -> None:
        self._orders, self._answers, self._closed = orders, answers, closed
        self._read: set[Path] = set()
        self._due: defaultdict[date, list[Movement]] = defaultdict(list)
        self._account, self._balance_minor = "", _BALANCE_MINOR
        self._numbers = count(1)

    def step(self, now: datetime) -> None:
        """Take new payment files, and write the statements of the days that are over."""
        for path in sorted({*self._orders.glob("*.xml")} - self._read):
            self._read.add(path)
            self._take(read_order(path.read_bytes()), now)
        for over in sorted(day_ for day_ in self._due if _evening(day_) <= now):
            movements = self._due.pop(over)
            statement = Statement(next(self._numbers), self._account, over, self._balance_minor, movements)
            self._balance_minor = statement.closing_minor
            write(self._answers / f"camt053-{over}.xml", render_statement(statement))

    def _take(self, order: Order, now: datetime) -> None:
        write(self._answers / f"pain002-{order.msg_id}.xml", render_report(order, now))
        self._account = order.iban
        debited = max(order.execution_date, _next_evening(now))
        back = bank_day_after(debited, _DAYS_TO_RETURN)
        for payment in order.payments:
            self._due[debited].append(Movement(payment.end_to_end_id, payment.amount_minor))
            if payment.iban == self._closed:
                returned = Movement(payment.end_to_end_id, payment.amount_minor, _ACCOUNT_CLOSED)
                self._due[back].append(returned)


def read_order(content: bytes) -> Order:
    """What a payment file (pain.001) asks for. Raises ValueError for one that no bank would take."""
    root = open_document(content)
    info = first(root, "CstmrCdtTrfInitn/PmtInf")
    asked = day(info, "ReqdExctnDt")
    if info is None or asked is None:
        raise ValueError("the payment file does not say when to pay")
    payments = [_payment(element) for element in each(info, "CdtTrfTxInf")]
    msg_id = identifier(root, "CstmrCdtTrfInitn/GrpHdr/MsgId")
    return Order(msg_id, text(info, "DbtrAcct/Id/IBAN"), asked, payments)


def render_report(order: Order, at: datetime) -> bytes:
    """A status report (pain.002) that takes the whole file."""
    root = _document(_REPORT)
    body = _add(root, "CstmrPmtStsRpt")
    header = _add(body, "GrpHdr")
    _add(header, "MsgId", f"SR-{order.msg_id}")
    _add(header, "CreDtTm", _instant(at))
    group = _add(body, "OrgnlGrpInfAndSts")
    _add(group, "OrgnlMsgId", order.msg_id)
    _add(group, "OrgnlMsgNmId", "pain.001.001.09")
    _add(group, "GrpSts", "ACCP")
    return _written(root)


def render_statement(statement: Statement) -> bytes:
    """A statement (camt.053) with an entry for each movement."""
    id_ = f"{statement.day.year}-{statement.sequence:05}"
    closed_at = _instant(_evening(statement.day))
    root = _document(_STATEMENT)
    body = _add(root, "BkToCstmrStmt")
    header = _add(body, "GrpHdr")
    _add(header, "MsgId", f"ST-{id_}")
    _add(header, "CreDtTm", closed_at)
    element = _add(body, "Stmt")
    _add(element, "Id", id_)
    _add(element, "ElctrncSeqNb", str(statement.sequence))
    _add(element, "CreDtTm", closed_at)
    account = _add(element, "Acct")
    _add(account, "Id/IBAN", statement.iban)
    _add(account, "Ccy", "EUR")
    for kind, cents in (("OPBD", statement.opening_minor), ("CLBD", statement.closing_minor)):
        balance = _add(element, "Bal")
        _add(balance, "Tp/CdOrPrtry/Cd", kind)
        _amount(balance, abs(cents), credit=cents >= 0)
        _add(balance, "Dt/Dt", statement.day.isoformat())
    for number, movement in enumerate(statement.movements, 1):
        _entry(element, statement.day, f"{id_}-{number}", movement)
    return _written(root)


def _entry(parent: etree._Element, booked: date, reference: str, movement: Movement) -> None:
    entry = _add(parent, "Ntry")
    back = bool(movement.returned)
    _amount(entry, movement.amount_minor, credit=back)
    _add(entry, "Sts/Cd", "BOOK")
    _add(entry, "BookgDt/Dt", booked.isoformat())
    _add(entry, "ValDt/Dt", booked.isoformat())
    _add(entry, "AcctSvcrRef", reference)
    domain = _add(entry, "BkTxCd/Domn")
    _add(domain, "Cd", "PMNT")
    family = _add(domain, "Fmly")
    _add(family, "Cd", "ICDT")  # a credit transfer of ours, also where it comes back
    _add(family, "SubFmlyCd", "RRTN" if back else "ESCT")
    details = _add(entry, "NtryDtls/TxDtls")
    _add(details, "Refs/EndToEndId", movement.end_to_end_id)
    _amount(details, movement.amount_minor, credit=back)
    if back:
        _add(details, "RtrInf/Rsn/Cd", movement.returned)


def _payment(element: etree._Element) -> Payment:
    amount = money(first(element, "Amt/InstdAmt"))
    if amount is None or amount[1] != "EUR":
        raise ValueError("the payment file holds an amount that is none in euros")
    return Payment(identifier(element, "PmtId/EndToEndId"), amount[0], text(element, "CdtrAcct/Id/IBAN"))


def _amount(parent: etree._Element, cents: int, *, credit: bool) -> None:
    _add(parent, "Amt", euros(cents)).set("Ccy", "EUR")
    _add(parent, "CdtDbtInd", "CRDT" if credit else "DBIT")


def _add(parent: etree._Element, path: str, content: str | None = None) -> etree._Element:
    for name in path.split("/"):
        parent = etree.SubElement(parent, etree.QName(etree.QName(parent).namespace, name))
    parent.text = content
    return parent


def _document(namespace: str) -> etree._Element:
    return etree.Element(etree.QName(namespace, "Document"), nsmap=cast(dict[str, str], {None: namespace}))


def _written(root: etree._Element) -> bytes:
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True, pretty_print=True)


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _evening(of: date) -> datetime:
    return datetime.combine(of, _EVENING)


def _next_evening(now: datetime) -> date:
    """The next bank day whose books are still open."""
    today = now.astimezone(UTC).date()
    return today if is_bank_day(today) and now < _evening(today) else next_bank_day(today)
