"""Reads reports that mail could not be delivered (RFC 3464). They come from anybody: nothing in them is believed.

Pure: bytes in, facts out.
"""

from __future__ import annotations

import email
import re
from collections.abc import Iterator
from email.message import Message
from email.policy import compat32
from email.utils import getaddresses
from hashlib import sha256
from typing import NamedTuple

BYTES_MAX = 1_048_576
_PARTS_MAX = 50
_STATUS = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})")
_MESSAGE_ID = re.compile(r"<([^<>@\s]{1,200})@[^<>@\s]{1,255}>")
_RETURNED_TO = ("To", "Delivered-To", "X-Original-To", "Envelope-To")


class NotAReport(ValueError):
    """Not a report of undeliverable mail, or none that can be read. The message says why."""


class Report(NamedTuple):
    """What a report says."""

    report_id: str
    """The same for the same report, however often it is read."""
    status: str
    """Enhanced status code (RFC 3463), like ``5.1.1``."""
    diagnostic: str
    """What the other server said. May hold an address."""
    returned_to: tuple[str, ...]
    """The mailboxes that the report was sent to: one may be the return path of a message."""
    message_ids: tuple[str, ...]
    """The left sides of the Message-IDs in the returned headers."""
    recipients: tuple[str, ...]
    """Whom the mail was for: as written by us, then as last rewritten."""

    @property
    def permanent(self) -> bool:
        """Whether trying again is in vain."""
        return self.status.startswith("5")


def read_report(raw: bytes) -> Report:
    """Read one mail. Raises NotAReport."""
    if len(raw) > BYTES_MAX:
        raise NotAReport(f"larger than {BYTES_MAX // 1024} kB")
    try:
        mail = email.message_from_bytes(raw, policy=compat32)
        parts = list(_parts(mail))
        groups = [group for part in parts for group in _groups(part)]
    except (RecursionError, ValueError, LookupError, AttributeError, TypeError):
        raise NotAReport("no mail that can be read") from None
    told = [group for group in groups if _status(group)]
    if not told:
        raise NotAReport("no report of undeliverable mail")
    worst = max(told, key=_status)
    if not _status(worst).startswith(("4", "5")):
        raise NotAReport("a report of something else than a failure")
    own_id = _text(mail, "Message-ID")
    return Report(
        report_id=sha256(own_id.encode("utf-8", "replace") if own_id else raw).hexdigest(),
        status=_status(worst),
        diagnostic=_text(worst, "Diagnostic-Code").partition(";")[2].strip()[:500],
        returned_to=tuple(
            address
            for _, address in getaddresses([_text(mail, name) for name in _RETURNED_TO if mail.get(name)])
            if address
        ),
        message_ids=tuple(dict.fromkeys(id_ for part in parts for id_ in _returned_ids(part))),
        recipients=tuple(
            dict.fromkeys(
                recipient
                for name in ("Original-Recipient", "Final-Recipient")
                if (recipient := _text(worst, name).rpartition(";")[2].strip())
            )
        ),
    )


def _parts(mail: Message) -> Iterator[Message]:
    """The parts that a report is made of; what is inside a returned mail is not looked at."""
    waiting = [mail]
    for _ in range(_PARTS_MAX):
        if not waiting:
            return
        part = waiting.pop(0)
        yield part
        if part.get_content_maintype() == "multipart" and isinstance(part.get_payload(), list):
            waiting += [inner for inner in part.get_payload() if isinstance(inner, Message)]


def _groups(part: Message) -> list[Message]:
    """The groups of fields in the machine's part of a report: one about the mail, then one a recipient."""
    if part.get_content_type() not in ("message/delivery-status", "message/global-delivery-status"):
        return []
    payload = part.get_payload()
    if isinstance(payload, list):
        return [group for group in payload if isinstance(group, Message)]
    blocks = re.split(r"\n\s*\n", str(payload))
    return [email.message_from_string(block.strip("\r\n") + "\n\n", policy=compat32) for block in blocks]


def _returned_ids(part: Message) -> list[str]:
    kind = part.get_content_type()
    if kind == "message/rfc822":
        inner = part.get_payload()
        returned = inner[0] if isinstance(inner, list) and inner else None
        header = _text(returned, "Message-ID") if isinstance(returned, Message) else ""
    elif kind in ("text/rfc822-headers", "message/global-headers", "message/rfc822-headers"):
        payload = part.get_payload(decode=True)
        text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else str(part.get_payload())
        header = _text(email.message_from_string(text, policy=compat32), "Message-ID")
    else:
        return []
    return _MESSAGE_ID.findall(header)


def _status(group: Message) -> str:
    match = _STATUS.search(_text(group, "Status"))
    if match is None:
        return ""
    if _text(group, "Action").lower() == "delayed":  # some say 5 and mean that they go on trying
        return f"4.{match[2]}.{match[3]}"
    return match[0]


def _text(message: Message, name: str) -> str:
    """A field on one line, whatever is in it."""
    return " ".join(str(message.get(name) or "").replace("\x00", " ").split())
