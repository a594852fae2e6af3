"""Reads a status report: pain.002, any version. Pure."""

from __future__ import annotations

from lxml import etree

from services.payout.answers.document import code, each, first, identifier, text
from services.payout.answers.messages import Answer, Batch, Refused, StatusReport, Transaction, Verdict

REJECTED = "RJCT"


def read_report(body: etree._Element) -> Answer:
    """What a ``CstmrPmtStsRpt`` says. Raises Refused if it does not say to which of our messages."""
    original = first(body, "OrgnlGrpInfAndSts")
    if original is None:
        raise Refused("the status report does not say to which message it belongs (OrgnlGrpInfAndSts)")
    message_id = identifier(body, "GrpHdr/MsgId")
    report = StatusReport(
        message_id,
        identifier(original, "OrgnlMsgId"),
        _verdict(original, "GrpSts"),
        [_batch(found) for found in each(body, "OrgnlPmtInfAndSts")],
    )
    return Answer("pain.002", message_id, reports=[report])


def _batch(element: etree._Element) -> Batch:
    return Batch(
        identifier(element, "OrgnlPmtInfId"),
        _verdict(element, "PmtInfSts"),
        [
            Transaction(identifier(found, "OrgnlEndToEndId"), _verdict(found, "TxSts"))
            for found in each(element, "TxInfAndSts")
        ],
    )


def _verdict(element: etree._Element, name: str) -> Verdict:
    status = text(element, name)[:4]
    return Verdict(status, code(element, "StsRsnInf/Rsn/Cd") if status == REJECTED else None)
