"""A message becomes a mail: headers and parts, as bytes that every mail server takes."""

from __future__ import annotations

import re
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from deploy.runtime.errors import UsageError
from services.notification.messages import Message

_ADDRESS = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*@([\w-]+\.)*[\w-]+", re.ASCII)
_ADDRESS_LENGTH_MAX = 254


class Unmailable(ValueError):
    """Not an address that a mail can be sent to."""


def parse_sender(mail_from: str) -> Address:
    """Read the setting ``mail_from``. Raises UsageError."""
    name, address = parseaddr(mail_from)
    try:
        return Address(display_name=name, addr_spec=mailable(address))
    except (Unmailable, ValueError):
        raise UsageError(
            "mail_from is no sender", "write it like 'Partner Programme <partner@vendor.example>'"
        ) from None


def mailable(address: str) -> str:
    """The address in the form that goes over the wire. Raises Unmailable."""
    local, at, domain = address.strip().rpartition("@")
    try:
        wire = f"{local}{at}{domain.encode('idna').decode('ascii')}"
    except UnicodeError:
        raise Unmailable("not a mail address") from None
    if len(wire) > _ADDRESS_LENGTH_MAX or not _ADDRESS.fullmatch(wire):
        raise Unmailable("not a mail address")
    return wire


def build(message: Message, *, event_id: str, sender: Address, recipient: str, at: datetime) -> EmailMessage:
    """The mail, addressed. Its id follows from the event's: a repeated mail is recognisably the same.

    ``recipient`` must be ``mailable``. The partner's name stands in the body alone, where it can be nothing but a name.
    """
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = Address(addr_spec=recipient)
    mail["Reply-To"] = sender
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = f"<{event_id}@{sender.domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["Content-Language"] = message.language
    mail.set_content(message.text, cte="quoted-printable")
    mail.add_alternative(message.html, subtype="html", cte="quoted-printable")
    return mail
