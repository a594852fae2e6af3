"""The mail server: where it is, how it is talked to, what its answers mean."""

from __future__ import annotations

import re
import smtplib
import ssl
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from deploy.runtime.errors import UsageError

_TIMEOUT = 10
_LOCAL = ("localhost", "127.0.0.1", "::1")
_ADDRESS = re.compile(r"\S+@\S+")


class MailServer(NamedTuple):
    """A mail server's address, as in ``smtp_url``."""

    host: str
    port: int
    tls: bool
    """TLS from the first byte on (``smtps``). Otherwise STARTTLS is used where the server offers it."""
    user: str
    password: str


class ServerAway(Exception):
    """The server does not take mail at all at present: nothing is known about the message."""


class Refused(Exception):
    """The server does not take this message. ``final``: it never will; ``lost``: the connection broke over it."""

    def __init__(self, answer: str, *, final: bool = False, lost: bool = False) -> None:
        super().__init__(answer)
        self.final = final
        self.lost = lost


def parse_url(url: str) -> MailServer:
    """Read ``smtp://[user:password@]host[:port]`` or ``smtps://…``. Raises UsageError."""
    hint = "write it like smtp://user:password@mail.example:587 or smtps://mail.example"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UsageError("smtp_url can't be read", hint) from None
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise UsageError("smtp_url is no mail server's address", hint)
    tls = parts.scheme == "smtps"
    return MailServer(
        parts.hostname, port or (465 if tls else 25), tls, unquote(parts.username or ""), unquote(parts.password or "")
    )


class Session:
    """One connection to the mail server, for several messages."""

    def __init__(self, server: MailServer) -> None:
        """Connect and log in. Raises ServerAway."""
        self.sent = 0
        """How many messages the server has taken over this connection."""
        try:
            self._smtp = _connect(server)
        except (smtplib.SMTPException, OSError) as error:
            raise ServerAway(_plain(error)) from error

    @property
    def open(self) -> bool:
        """Whether the connection still stands."""
        return self._smtp.sock is not None

    def answers(self) -> bool:
        """Whether there is still somebody at the other end. Worth asking after a rest: servers hang up on the idle."""
        try:
            return self.open and self._smtp.noop()[0] == 250
        except (smtplib.SMTPException, OSError):
            return False

    def send(self, sender: str, recipient: str, message: bytes) -> None:
        """Hand over one message; returning means that the server has it. Raises Refused or ServerAway."""
        try:
            self._smtp.sendmail(sender, [recipient], message)
        except smtplib.SMTPRecipientsRefused as error:
            code, answer = error.recipients[recipient]
            raise Refused(_plain_answer(code, answer), final=code >= 500) from error
        except smtplib.SMTPSenderRefused as error:
            raise ServerAway(_plain(error)) from error  # the sender is the same for all: not this message's fault
        except smtplib.SMTPResponseException as error:
            raise Refused(_plain(error), final=error.smtp_code >= 500) from error
        except (smtplib.SMTPException, OSError) as error:
            self._smtp.close()  # what would come next on it is the answer to something else
            raise Refused(_plain(error), lost=True) from error  # it may be this message that breaks it
        self.sent += 1

    def close(self) -> None:
        """Say goodbye, if anybody still listens."""
        try:
            self._smtp.quit()
        except (smtplib.SMTPException, OSError):
            self._smtp.close()


def _connect(server: MailServer) -> smtplib.SMTP:
    if server.tls:
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(
            server.host, server.port, timeout=_TIMEOUT, context=ssl.create_default_context()
        )
    else:
        smtp = smtplib.SMTP(server.host, server.port, timeout=_TIMEOUT)
    try:
        smtp.ehlo_or_helo_if_needed()
        safe = server.tls or server.host in _LOCAL
        if not safe and smtp.has_extn("starttls"):
            smtp.starttls(context=ssl.create_default_context())
            safe = True
        if server.user:
            if not safe:
                raise smtplib.SMTPException("it offers no TLS, and a password is not sent without")
            smtp.login(server.user, server.password)
    except BaseException:
        smtp.close()
        raise
    return smtp


def _plain(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return _plain_answer(error.smtp_code, error.smtp_error)
    return without_addresses(str(error) or type(error).__name__)


def _plain_answer(code: int, answer: bytes | str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return without_addresses(f"{code} {text}")


def without_addresses(text: str) -> str:
    """What a mail server said, on one line and without the addresses in it."""
    return _ADDRESS.sub("[address]", " ".join(text.replace("\x00", " ").split()))[:300]
