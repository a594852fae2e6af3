"""A real SMTP server in this process, which takes mail, or answers whatever a test wants to hear."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, NamedTuple

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword


class Delivery(NamedTuple):
    """A mail as it came over the wire."""

    sender: str
    recipients: list[str]
    raw: bytes

    @property
    def mail(self) -> EmailMessage:
        parsed = message_from_bytes(self.raw, policy=default)
        assert isinstance(parsed, EmailMessage)
        return parsed

    def part(self, subtype: str) -> str:
        """The text or html part, decoded."""
        found = self.mail.get_body((subtype,))
        assert found is not None
        return str(found.get_content())


class Mailbox:
    """``answers`` maps a recipient to the reply he gets instead of 250; ``hangs_up_on`` to a lost connection.

    ``before`` maps a moment (``rcpt``, ``data``) and a recipient to what is done before the server answers. At ``data``
    it has the mail already.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        login: tuple[str, str] | None = None,
        host: str = "127.0.0.1",
        starttls: ssl.SSLContext | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.taken: list[Delivery] = []
        self.answers: dict[str, str] = {}
        self.hangs_up_on: set[str] = set()
        self.before: dict[tuple[str, str], Callable[[], object]] = {}
        self.connections = 0
        self.logins: list[str] = []
        self._login = login
        self._closed = False
        self._scheme = "smtps" if tls else "smtp"
        self._host = host
        self._controller = Controller(
            self,
            hostname=host,
            port=port or _free_port(),
            ssl_context=tls,
            tls_context=starttls,
            auth_required=login is not None,
            auth_require_tls=False,
            authenticator=self._authenticate,
        )
        self._controller.start()

    @property
    def url(self) -> str:
        user = "{}:{}@".format(*self._login) if self._login else ""
        return f"{self._scheme}://{user}{self._host}:{self.port}"

    @property
    def port(self) -> int:
        return int(self._controller.port)

    def to(self, address: str) -> list[Delivery]:
        """What came for one recipient."""
        return [delivery for delivery in self.taken if delivery.recipients == [address]]

    def close(self) -> None:
        """Stop taking mail."""
        if not self._closed:
            self._controller.stop()
        self._closed = True

    async def handle_EHLO(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        await self._pause("rcpt", address)
        if address in self.hangs_up_on:
            server.transport.abort()
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.taken.append(Delivery(envelope.mail_from, list(envelope.rcpt_tos), envelope.original_content))
        for address in envelope.rcpt_tos:
            await self._pause("data", address)
        return "250 taken"

    async def _pause(self, moment: str, address: str) -> None:
        action = self.before.pop((moment, address), None)
        if action is not None:
            await asyncio.to_thread(action)

    def _authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        given = (data.login.decode(), data.password.decode())
        self.logins.append(mechanism)
        return AuthResult(success=given == self._login, handled=False)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
