"""One POST to a checked address: no redirect, no proxy, no cookie, ten seconds in all, 64 KB of answer at most."""

from __future__ import annotations

import http.client
import io
import re
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from services.notification.webhooks.target import Gate, Target, Unresolved, look_up

SECONDS = 10.0
"""For everything: resolving the name, connecting, TLS, sending, and reading the answer."""
ANSWER_BYTES_MAX = 65_536
EXCERPT_LENGTH = 200
_ADDRESS = re.compile(r"\S+@\S+")


class NoAnswer(OSError):
    """Nothing that could be called an answer. The text is for the partner and the log."""


class Answer(NamedTuple):
    """What the endpoint said."""

    status: int
    excerpt: str
    """The beginning of its text, on one line, without control characters and mail addresses."""
    retry_after: timedelta


class Poster:
    """Sends requests. Another ``context`` and less ``seconds`` are for tests, with an authority of their own."""

    def __init__(self, gate: Gate, context: ssl.SSLContext | None = None, seconds: float = SECONDS) -> None:
        self._gate, self._seconds = gate, seconds
        self._context = context or ssl.create_default_context()

    def post(self, url: str, headers: Mapping[str, str], body: bytes, now: datetime) -> Answer:
        """Resolve, check, send. Raises NoAnswer, and Forbidden for an address that we do not send to."""
        until = time.monotonic() + self._seconds
        target = self._gate.parse(url)
        try:
            addresses = self._gate.admit(look_up(target.host, target.port, self._seconds))
        except Unresolved as error:
            raise NoAnswer(str(error)) from None
        return self.post_to(addresses, target, headers, body, now, until)

    def post_to(
        self,
        addresses: Sequence[str],
        target: Target,
        headers: Mapping[str, str],
        body: bytes,
        now: datetime,
        until: float,
    ) -> Answer:
        """Send to the first of these addresses that takes a connection. ``until`` counts as ``time.monotonic`` does."""
        try:
            wire = _connect(addresses, target, self._context, until)
            # With its socket given, http.client connects to nothing by itself; the name is for the Host header alone.
            kind = http.client.HTTPSConnection if target.tls else http.client.HTTPConnection
            connection: Any = kind(target.host, target.port)
            connection.sock = wire
            try:
                connection.request("POST", target.path, body, dict(headers))
                return _read(connection.getresponse(), now)
            finally:
                wire.hang_up()
        except TimeoutError:
            raise NoAnswer(f"no answer within {self._seconds:g} s") from None
        except ssl.SSLCertVerificationError as error:
            raise NoAnswer(f"its certificate is not valid: {one_line(error.verify_message)}") from None
        except ssl.SSLError as error:
            raise NoAnswer(f"TLS failed: {one_line(error.reason or 'no reason given')}") from None
        except http.client.HTTPException as error:
            raise NoAnswer(f"what it says is not HTTP: {type(error).__name__}") from None
        except OSError as error:
            raise NoAnswer(one_line(error.strerror or "the connection broke")) from None


class _Wire:
    """A socket that gives up at one moment, however its other side spreads what it says."""

    def __init__(self, sock: socket.socket, until: float) -> None:
        self._sock, self._until = sock, until
        self._left = ANSWER_BYTES_MAX

    def sendall(self, content: bytes) -> None:
        """Send all of it, or raise TimeoutError."""
        self._sock.settimeout(_left(self._until))
        self._sock.sendall(content)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """The answer, as http.client reads it."""
        return io.BufferedReader(_Reading(self))

    def receive_into(self, buffer: Any) -> int:
        """Read some; 0 at the end, or once it is enough."""
        self._sock.settimeout(_left(self._until))
        size = self._sock.recv_into(buffer, min(len(buffer), self._left)) if self._left else 0
        self._left -= size
        return size

    def close(self) -> None:
        """What http.client does with a socket before it has read the answer's text: nothing, here."""

    def hang_up(self) -> None:
        """Close the socket."""
        self._sock.close()


class _Reading(io.RawIOBase):
    def __init__(self, wire: _Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._wire.receive_into(buffer)


def one_line(text: str) -> str:
    """The beginning of what somebody else wrote, fit for a log, a table and a terminal."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return _ADDRESS.sub("[address]", " ".join(printable.split()))[:EXCERPT_LENGTH]


def _connect(addresses: Sequence[str], target: Target, context: ssl.SSLContext, until: float) -> _Wire:
    trouble: OSError = OSError("no address")
    for address in addresses:
        try:
            sock = socket.create_connection((address, target.port), _left(until))
        except OSError as error:
            trouble = error
            continue
        try:
            sock.settimeout(_left(until))
            return _Wire(context.wrap_socket(sock, server_hostname=target.host) if target.tls else sock, until)
        except BaseException:
            sock.close()
            raise
    raise trouble


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _read(response: http.client.HTTPResponse, now: datetime) -> Answer:
    try:
        content = response.read(4 * EXCERPT_LENGTH)
    except http.client.IncompleteRead as error:
        content = error.partial
    excerpt = one_line(content[: 4 * EXCERPT_LENGTH].decode("utf-8", "replace"))
    return Answer(response.status, excerpt, _retry_after(response.headers.get("retry-after", ""), now))


def _retry_after(said: str, now: datetime) -> timedelta:
    if said.isascii() and said.isdigit():
        return timedelta(seconds=min(int(said[:9]), 10**6))
    try:
        return max(parsedate_to_datetime(said) - now, timedelta())
    except (TypeError, ValueError):  # no date, or one without a zone
        return timedelta()
