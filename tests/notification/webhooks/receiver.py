"""A partner's server: real HTTPS under an authority of the tests, which takes webhooks or answers what a test wants."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from tempfile import mkdtemp
from threading import Event, Lock, Thread
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from standardwebhooks.webhooks import Webhook

NAME = "hooks.partner.example"
"""Resolves nowhere; the server's certificate is for it and for localhost."""


class Taken(NamedTuple):
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verify(self, secret: str) -> dict[str, Any]:
        """What it says, if the receiving side's own library finds it signed with this secret. Raises otherwise."""
        return dict(Webhook(secret).verify(self.body, self.headers))


class Reply(NamedTuple):
    """What is answered: a status and text, or bytes of any kind."""

    status: int = 200
    text: str = "thanks"
    headers: tuple[tuple[str, str], ...] = ()
    raw: bytes | None = None


class Receiver:
    """``replies`` are used up one by one, then ``reply`` is given. ``before`` runs before each answer."""

    def __init__(self, *, tls: bool = True) -> None:
        self.taken: list[Taken] = []
        self.server_names: list[str | None] = []
        self.replies: list[Reply] = []
        self.reply = Reply()
        self.before: Callable[[Taken], None] = lambda _taken: None
        self.most_at_once = self._at_once = 0
        self.gone = Event()
        self._lock = Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._serve(self)

            def do_GET(self) -> None:
                receiver._serve(self)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(authority() / "server.pem")
            context.sni_callback = lambda _sock, name, _context: self.server_names.append(name)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._scheme = "https" if tls else "http"
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def url(self, path: str = "/hooks") -> str:
        return f"{self._scheme}://localhost:{self.port}{path}"

    def close(self) -> None:
        self.gone.set()
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, handler: Any) -> None:
        size = int(handler.headers.get("content-length", 0))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        taken = Taken(handler.path, headers, handler.rfile.read(size))
        with self._lock:
            self.taken.append(taken)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            reply = self.replies.pop(0) if self.replies else self.reply
        try:
            self.before(taken)
        finally:
            with self._lock:
                self._at_once -= 1
        if reply.raw is not None:
            handler.wfile.write(reply.raw)
            return
        content = reply.text.encode()
        handler.send_response(reply.status)
        for name, value in (("Content-Length", str(len(content))), *reply.headers):
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hung up has his reasons."""


@cache
def authority() -> Path:
    """A folder with an authority's certificate (``ca.pem``) and a server's, with its key (``server.pem``)."""
    folder = Path(mkdtemp(prefix="staffel-ca-"))
    ca_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("Test authority", ca_key.public_key(), "Test authority", ca_key, authority=True)
    server = _certificate(NAME, server_key.public_key(), "Test authority", ca_key, authority=False)
    private = server_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    (folder / "server.pem").write_bytes(private + server.public_bytes(serialization.Encoding.PEM))
    return folder


def trusting() -> ssl.SSLContext:
    """Checks certificates as we do, and knows the tests' authority."""
    return ssl.create_default_context(cafile=str(authority() / "ca.pem"))


def _certificate(name: str, public: Any, issuer: str, key: Any, *, authority: bool) -> x509.Certificate:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    names = [x509.DNSName(NAME), x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=36_500))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
