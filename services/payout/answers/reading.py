"""From the bytes of a file to what the bank says in it. Pure."""

from __future__ import annotations

from lxml import etree

from services.payout.answers.camt import BODIES, read_statements
from services.payout.answers.document import open_document
from services.payout.answers.messages import Answer, Refused
from services.payout.answers.pain002 import read_report


def read(content: bytes) -> Answer:
    """What a file of the bank says. Raises Refused if it can't be read or is none of its answers to payments."""
    root = open_document(content)
    bodies = {etree.QName(child).localname: child for child in root if isinstance(child.tag, str)}
    if etree.QName(root).localname == "Document":
        if (body := bodies.get("CstmrPmtStsRpt")) is not None:
            return read_report(body)
        for name in BODIES:
            if (body := bodies.get(name)) is not None:
                return read_statements(body)
    raise Refused("the file is no status report (pain.002), statement (camt.052, camt.053) or notice (camt.054)")
