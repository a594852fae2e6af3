"""Reads statements (camt.053), notices (camt.054) and reports of the day (camt.052), any version. Pure.

Only booked movements count; what is pending or for information has not happened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from lxml import etree

from services.payout.answers.document import code, day, each, first, identifier, money, number, text
from services.payout.answers.messages import Answer, Line, Refused, Statement

BODIES: Mapping[str, tuple[str, str]] = {
    "BkToCstmrStmt": ("camt.053", "Stmt"),
    "BkToCstmrDbtCdtNtfctn": ("camt.054", "Ntfctn"),
    "BkToCstmrAcctRpt": ("camt.052", "Rpt"),
}
"""Kind of message and name of a statement in it, by the name of the message's body."""

UNREADABLE = "amount-unreadable"
DETAILS_DIFFER = "details-differ"
_RETURN = "RRTN"
_SUM_MAX = 10**17
_OPENING = ("OPBD", "PRCD")
_CLOSING = ("CLBD",)


def read_statements(body: etree._Element) -> Answer:
    """What the body of a camt message says. Raises Refused if there is no statement in it or one has no id."""
    kind, name = BODIES[etree.QName(body).localname]
    statements = [_statement(kind, found) for found in each(body, name)]
    if not statements:
        raise Refused(f"the {kind} holds no statement")
    return Answer(kind, identifier(body, "GrpHdr/MsgId"), statements=statements)


def _statement(kind: str, element: etree._Element) -> Statement:
    statement_id = identifier(element, "Id")
    if not statement_id:
        raise Refused(f"a statement in the {kind} has no id")
    entries = [found for found in each(element, "Ntry") if _is_booked(found)]
    sums = [(money(first(found, "Amt")), _debit(found)) for found in entries]
    net_minor = sum((-found[0] if debit else found[0]) for found, debit in sums if found)
    if abs(net_minor) > _SUM_MAX:
        raise Refused(f"the movements in a statement of the {kind} sum to more money than there is")
    return Statement(
        kind,
        _account(element),
        statement_id,
        _sequence(element),
        day(element, "FrToDt/ToDtTm") or day(element, "FrToDt/ToDt") or day(element, "CreDtTm"),
        _balance(element, _OPENING),
        _balance(element, _CLOSING),
        net_minor,
        text(element, "Acct/Ccy")[:3],
        [line for number_, found in enumerate(entries, 1) for line in _lines(str(number_), found)],
    )


def _is_booked(entry: etree._Element) -> bool:
    return "BOOK" in (text(entry, "Sts"), text(entry, "Sts/Cd"))  # as text until version 02, as a code since


def _debit(element: etree._Element) -> bool:
    return text(element, "CdtDbtInd") == "DBIT"


def _sequence(element: etree._Element) -> int | None:
    electronic = number(element, "ElctrncSeqNb")
    return electronic if electronic is not None else number(element, "LglSeqNb")


def _account(element: etree._Element) -> str:
    held = text(element, "Acct/Id/IBAN") or text(element, "Acct/Id/Othr/Id")
    return hashlib.sha256(held.replace(" ", "").encode()).hexdigest()[:16]


def _balance(element: etree._Element, wanted: Sequence[str]) -> int | None:
    for name in wanted:
        for balance in each(element, "Bal"):
            found = money(first(balance, "Amt"))
            if text(balance, "Tp/CdOrPrtry/Cd") == name and found:
                return -found[0] if _debit(balance) else found[0]
    return None


def _lines(position: str, entry: etree._Element) -> Iterator[Line]:
    """A line for each payment that the entry names; one for the entry if it names none."""
    details = list(each(entry, "NtryDtls/TxDtls"))
    named = [found for found in details if identifier(found, "Refs/EndToEndId")]
    if not named:
        yield _line(position, entry, details[0] if details else None, _batch_id(entry, details), money(_amount(entry)))
        return
    whole = money(_amount(entry))
    sums = [whole] if len(details) == 1 and _amount(details[0]) is None else [money(_amount(d)) for d in details]
    problem = _problem(
        whole, _debit(entry), [(found, _goes_out(entry, d)) for found, d in zip(sums, details, strict=True)]
    )
    for number_, (detail, found) in enumerate(zip(details, sums, strict=True), 1):
        line = _line(f"{position}.{number_}", entry, detail, "", found)
        yield line._replace(problem=problem) if problem else line


def _problem(
    whole: tuple[int, str] | None, debit: bool, parts: Sequence[tuple[tuple[int, str] | None, bool]]
) -> str | None:
    if whole is None or any(part is None for part, _ in parts):
        return UNREADABLE
    if any(part[1] != whole[1] for part, _ in parts if part):
        return DETAILS_DIFFER
    total = sum(part[0] if out == debit else -part[0] for part, out in parts if part)
    return None if total == whole[0] else DETAILS_DIFFER


def _line(
    position: str,
    entry: etree._Element,
    detail: etree._Element | None,
    batch_id: str,
    amount: tuple[int, str] | None,
) -> Line:
    debit, reversal = _goes_out(entry, detail), text(entry, "RvslInd") == "true"
    reason = first(detail, "RtrInf") if detail is not None else None
    returned = not debit and (reason is not None or reversal or _RETURN in (_family(entry), _family(detail)))
    return Line(
        position,
        identifier(detail, "Refs/EndToEndId"),
        batch_id,
        debit,
        *(amount or (0, "")),
        day(entry, "BookgDt"),
        day(entry, "ValDt"),
        identifier(detail, "Refs/AcctSvcrRef") or identifier(entry, "AcctSvcrRef"),
        returned,
        code(reason, "Rsn/Cd") if returned else None,
        UNREADABLE if amount is None else "reversal" if debit and reversal else None,
    )


def _goes_out(entry: etree._Element, detail: etree._Element | None) -> bool:
    own = text(detail, "CdtDbtInd")
    return own == "DBIT" if own else _debit(entry)


def _family(element: etree._Element | None) -> str:
    return text(element, "BkTxCd/Domn/Fmly/SubFmlyCd")


def _amount(element: etree._Element) -> etree._Element | None:
    for path in ("Amt", "AmtDtls/TxAmt/Amt", "AmtDtls/InstdAmt/Amt"):
        if (found := first(element, path)) is not None:
            return found
    return None


def _batch_id(entry: etree._Element, details: Sequence[etree._Element]) -> str:
    for found in (first(entry, "NtryDtls/Btch"), *(first(detail, "Refs") for detail in details[:1])):
        named = identifier(found, "PmtInfId") or identifier(found, "MsgId")
        if named:
            return named
    return ""
