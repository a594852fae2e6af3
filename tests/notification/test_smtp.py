"""Where mail goes to, and what is said to the server."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.runtime.errors import UsageError
from services.notification.envelope import Envelope, parse_sender
from services.notification.messages import Message
from services.notification.smtp import MailServer, ServerAway, Session, parse_url
from tests.notification.facts import NOON
from tests.notification.mailbox import Mailbox

# Also this machine, but not one of the names by which the service knows that: it takes it for a stranger.
STRANGER = "127.0.0.2"
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example", MailServer("mail.example", 25, False, "", "")),
        ("smtp://mail.example:587", MailServer("mail.example", 587, False, "", "")),
        ("smtps://mail.example/", MailServer("mail.example", 465, True, "", "")),
        ("smtp://me%40x.example:p%3A%2Fw@mail.example", MailServer("mail.example", 25, False, "me@x.example", "p:/w")),
        ("smtp://[::1]:2525", MailServer("::1", 2525, False, "", "")),
    ],
)
def test_address_of_the_server_is_read(url: str, server: MailServer) -> None:
    assert parse_url(url) == server


@pytest.mark.parametrize("url", ["", "mail.example", "http://mail.example", "smtp://", "smtp://x:port", "smtp://x/box"])
def test_what_is_no_servers_address_is_refused_with_the_way_out_and_without_the_password(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_url(url)
    assert "smtp://user:password@" in refused.value.hint


def test_password_is_not_repeated_in_the_complaint() -> None:
    with pytest.raises(UsageError) as refused:
        parse_url("smtp://me:hunter2@mail.example:notaport")
    assert "hunter2" not in f"{refused.value.message} {refused.value.hint}"


@pytest.mark.parametrize("sender", ["", "nobody", "A <a@b.example>\r\nBcc: c@d.example", "A <a b@c.example>"])
def test_what_is_no_sender_is_refused(sender: str) -> None:
    with pytest.raises(UsageError):
        parse_sender(sender)


def test_sender_with_an_umlaut_arrives_as_it_is() -> None:
    with _running(Mailbox()) as mailbox:
        _deliver(mailbox.url, '"Müller, Partnerprogramm" <mail@müller.example>')
        (delivery,) = mailbox.taken
    assert delivery.sender == "mail@xn--mller-kva.example"
    (address,) = delivery.mail["From"].addresses
    assert (address.display_name, address.domain) == ("Müller, Partnerprogramm", "xn--mller-kva.example")


def test_dots_and_long_lines_arrive_as_they_are() -> None:
    text = ".\n..\nFrom here = 3\n" + "ä€😀 " * 400 + "\n"
    with _running(Mailbox()) as mailbox:
        _deliver(mailbox.url, text=text)
        (delivery,) = mailbox.taken
    assert delivery.part("plain").splitlines() == text.splitlines()
    assert max(map(len, delivery.raw.splitlines())) <= 78


def test_login_is_given_on_this_machine() -> None:
    with _running(Mailbox(login=("me", "secret"))) as mailbox:
        _deliver(mailbox.url)
        assert len(mailbox.taken) == 1
        with pytest.raises(ServerAway, match="535"):
            _deliver(mailbox.url.replace("secret", "wrong"))


def test_password_is_not_sent_to_a_stranger_without_tls() -> None:
    with _running(Mailbox(login=("me", "secret"), host=STRANGER)) as mailbox:
        with pytest.raises(ServerAway, match="no TLS"):
            _deliver(mailbox.url)
        assert mailbox.logins == []


def test_tls_is_used_where_it_is_offered(trusted: ssl.SSLContext) -> None:
    with _running(Mailbox(login=("me", "secret"), host=STRANGER, starttls=trusted)) as mailbox:
        _deliver(mailbox.url)
        assert len(mailbox.taken) == 1


def test_smtps_speaks_tls_from_the_first_byte(trusted: ssl.SSLContext) -> None:
    with _running(Mailbox(host=STRANGER, tls=trusted)) as mailbox:
        _deliver(mailbox.url)
        assert len(mailbox.taken) == 1


def test_server_that_cannot_prove_who_it_is_gets_no_mail(
    trusted: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with _running(Mailbox(host=STRANGER, starttls=trusted)) as mailbox:
        with pytest.raises(ServerAway, match="certificate"):
            _deliver(mailbox.url)
        assert mailbox.taken == []


class _running:  # noqa: N801
    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    def __enter__(self) -> Mailbox:
        return self._mailbox

    def __exit__(self, *_: object) -> None:
        self._mailbox.close()


def _deliver(url: str, mail_from: str = "Programme <mail@vendor.example>", text: str = "text") -> None:
    sender = parse_sender(mail_from)
    mail = Envelope(sender).seal(
        Message("subject", text, "<p>text</p>", "en"), message_id="e-1", recipient="p@partner.example", at=NOON
    )
    session = Session(parse_url(url))
    try:
        session.send(sender.addr_spec, "p@partner.example", mail)
    finally:
        session.close()


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's certificate for ``STRANGER`` that this process trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example")])
    now = datetime.fromtimestamp(NOON.timestamp(), UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=3650))
        .not_valid_after(now + timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(STRANGER))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
