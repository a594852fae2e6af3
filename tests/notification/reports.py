"""Reports of undeliverable mail, as other servers write them."""

from __future__ import annotations

from email.message import EmailMessage


def report(
    *,
    status: str = "5.1.1",
    action: str = "failed",
    to: str = "partner@staffel.example",
    about: str = "",
    recipient: str = "p1@partner.example",
    own_id: str = "<report-1@mx.partner.example>",
    headers_only: bool = True,
) -> bytes:
    """A report on a mail with the Message-ID ``about`` (none: nothing is returned with it)."""
    parts = [
        "Content-Type: text/plain; charset=us-ascii\r\n\r\nThis is the mail system. I am sorry.\r\n",
        "Content-Type: message/delivery-status\r\n\r\n"
        "Reporting-MTA: dns; mx.partner.example\r\n\r\n"
        f"Original-Recipient: rfc822;{recipient}\r\nFinal-Recipient: rfc822; {recipient}\r\n"
        f"Action: {action}\r\nStatus: {status}\r\n"
        f"Diagnostic-Code: smtp; 550 {status} <{recipient}>: no such user\r\n",
    ]
    if about:
        returned = f"From: partner@staffel.example\r\nTo: {recipient}\r\nSubject: x\r\nMessage-ID: {about}\r\n"
        kind = "text/rfc822-headers" if headers_only else "message/rfc822"
        parts.append(f"Content-Type: {kind}\r\n\r\n{returned}" + ("" if headers_only else "\r\nbody\r\n"))
    head = (
        f"From: MAILER-DAEMON@mx.partner.example\r\nTo: {to}\r\nSubject: Undelivered\r\nMessage-ID: {own_id}\r\n"
        "MIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b-1"\r\n\r\n'
    )
    return (head + "".join(f"--b-1\r\n{part}\r\n" for part in parts) + "--b-1--\r\n").encode()


def out_of_office() -> bytes:
    """An answer that nobody typed, and no report."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "p1@partner.example", "partner@staffel.example", "Out of office"
    mail["Auto-Submitted"] = "auto-replied"
    mail.set_content("I am back on Monday.")
    return mail.as_bytes()
