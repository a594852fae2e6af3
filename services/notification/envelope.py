"""A message becomes a mail: headers and parts, as bytes that every mail server takes."""

from __future__ import annotations

import re
from binascii import b2a_qp
from datetime import datetime
from email.header import Header
from email.headerregistry import Address
from email.utils import format_datetime, formataddr, parseaddr

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
        if not mail_from.isprintable():
            raise ValueError("more than a line")
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


class Envelope:
    """Puts messages into mails of one sender.

    Written line by line: the standard library's mail objects parse again what they are given, which took longer than
    writing and sending the mail together.
    """

    def __init__(self, sender: Address) -> None:
        self._domain = sender.domain
        self._from = formataddr((sender.display_name, sender.addr_spec))

    def seal(self, message: Message, *, message_id: str, recipient: str, at: datetime, unsubscribe: str = "") -> bytes:
        """The mail as it goes over the wire. Its id is the caller's: a repeated mail is recognisably the same.

        ``recipient`` must be ``mailable``. The partner's name stands in the body alone, where it is nothing but a name.
        ``unsubscribe`` is an address that turns such mails off when it is posted to (RFC 8058).
        """
        lines = [
            _header("From", self._from),
            _header("To", recipient),
            _header("Reply-To", self._from),
            _header("Subject", Header(message.subject, "utf-8", header_name="Subject").encode(linesep="")),
            _header("Date", format_datetime(at)),
            _header("Message-ID", f"<{message_id}@{self._domain}>"),
            _header("Auto-Submitted", "auto-generated"),
            *_one_click(unsubscribe),
            _header("Content-Language", message.language),
            _header("MIME-Version", "1.0"),
            _header("Content-Type", f'multipart/alternative; boundary="{message_id}"'),
            "",
            *_part(message_id, "plain", message.text),
            *_part(message_id, "html", message.html),
            f"--{message_id}--",
            "",
        ]
        return "\r\n".join(lines).encode("ascii")


def _one_click(address: str) -> list[str]:
    if not address:
        return []
    return [
        _header("List-Unsubscribe", f"<{address}>"),
        _header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
    ]


def _header(name: str, value: str) -> str:
    if not value.isascii() or not value.isprintable():
        raise ValueError(f"{name} is no header line")  # what is in it would begin a header of its own
    return f"{name}: {value}"


def _part(boundary: str, subtype: str, text: str) -> list[str]:
    return [
        f"--{boundary}",
        f'Content-Type: text/{subtype}; charset="utf-8"',
        "Content-Transfer-Encoding: quoted-printable",
        "",
        b2a_qp(text.replace("\n", "\r\n").encode()).decode("ascii"),
    ]
