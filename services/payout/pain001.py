"""The payment file: pain.001.001.09, SEPA credit transfers in euro. The same input gives the same bytes. Pure.

No BIC is given (IBAN only). Town and country of the payer are, since accounts outside the EEA (CH, GB …) demand them;
those of a payee only for such an account, where they are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple, cast

from lxml import etree

from services.payout.charset import transliterate

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
_NAME_MAX = 70  # the schema allows 140, the SEPA rulebook 70
_REMITTANCE_MAX = 140
_TOWN_MAX = 35
_EEA = frozenset(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK".split()  # noqa: SIM905
)


class Debtor(NamedTuple):
    """Who pays."""

    name: str
    iban: str
    town: str
    country: str


class Transfer(NamedTuple):
    """One payment, in cents, above zero."""

    end_to_end_id: str
    amount_minor: int
    name: str
    iban: str
    remittance: str
    bic: str = ""
    town: str = ""
    country: str = ""


class Order(NamedTuple):
    """What goes into one file."""

    msg_id: str
    created_at: datetime
    execution_date: date
    debtor: Debtor
    transfers: Sequence[Transfer]
    batch_booking: bool = False
    """Whether the bank books one debit for all, instead of one for each payment."""


def render(order: Order) -> bytes:
    """The file's bytes. Raises ValueError for an order that no bank may be given."""
    if not order.transfers:
        raise ValueError("a payment file needs a payment")
    root = etree.Element(_tag("Document"), nsmap=cast(dict[str, str], {None: NAMESPACE}))  # stubs forget the default
    initiation = _add(root, "CstmrCdtTrfInitn")
    header = _add(initiation, "GrpHdr")
    _add(header, "MsgId", order.msg_id)
    _add(header, "CreDtTm", order.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    _sums(header, order.transfers)
    _add(_add(header, "InitgPty"), "Nm", transliterate(order.debtor.name, _NAME_MAX))
    _instruction(initiation, order)
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True, pretty_print=True)


def euros(amount_minor: int) -> str:
    """Cents as a decimal with two places."""
    return f"{amount_minor // 100}.{amount_minor % 100:02d}"


def in_eea(iban: str) -> bool:
    """Whether an account is held in the European Economic Area, where a transfer needs no address."""
    return iban[:2] in _EEA


def _instruction(initiation: etree._Element, order: Order) -> None:
    info = _add(initiation, "PmtInf")
    _add(info, "PmtInfId", order.msg_id)
    _add(info, "PmtMtd", "TRF")
    _add(info, "BtchBookg", "true" if order.batch_booking else "false")
    _sums(info, order.transfers)
    _add(_add(_add(info, "PmtTpInf"), "SvcLvl"), "Cd", "SEPA")
    _add(_add(info, "ReqdExctnDt"), "Dt", order.execution_date.isoformat())
    debtor = _add(info, "Dbtr")
    _add(debtor, "Nm", transliterate(order.debtor.name, _NAME_MAX))
    address = _add(debtor, "PstlAdr")
    _add(address, "TwnNm", transliterate(order.debtor.town, _TOWN_MAX))
    _add(address, "Ctry", order.debtor.country)
    _add(_add(_add(info, "DbtrAcct"), "Id"), "IBAN", order.debtor.iban)
    # The schema wants the payer's bank; this is how SEPA says that the IBAN names it.
    _add(_add(_add(_add(info, "DbtrAgt"), "FinInstnId"), "Othr"), "Id", "NOTPROVIDED")
    _add(info, "ChrgBr", "SLEV")
    for transfer in order.transfers:
        _transfer(info, transfer)


def _transfer(info: etree._Element, transfer: Transfer) -> None:
    if transfer.amount_minor <= 0:
        raise ValueError(f"payment {transfer.end_to_end_id} is not above zero")
    element = _add(info, "CdtTrfTxInf")
    _add(_add(element, "PmtId"), "EndToEndId", transfer.end_to_end_id)
    amount = _add(_add(element, "Amt"), "InstdAmt", euros(transfer.amount_minor))
    amount.set("Ccy", "EUR")
    creditor = _add(element, "Cdtr")
    _add(creditor, "Nm", transliterate(transfer.name, _NAME_MAX))
    if transfer.town and not in_eea(transfer.iban):
        address = _add(creditor, "PstlAdr")
        _add(address, "TwnNm", transliterate(transfer.town, _TOWN_MAX))
        _add(address, "Ctry", transfer.country)
    _add(_add(_add(element, "CdtrAcct"), "Id"), "IBAN", transfer.iban)
    _add(_add(element, "RmtInf"), "Ustrd", transliterate(transfer.remittance, _REMITTANCE_MAX))


def _sums(parent: etree._Element, transfers: Sequence[Transfer]) -> None:
    _add(parent, "NbOfTxs", str(len(transfers)))
    _add(parent, "CtrlSum", euros(sum(transfer.amount_minor for transfer in transfers)))


def _add(parent: etree._Element, name: str, content: str | None = None) -> etree._Element:
    element = etree.SubElement(parent, _tag(name))
    element.text = content
    return element


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"
