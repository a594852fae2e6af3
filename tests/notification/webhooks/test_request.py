"""One request, against a real HTTPS server that behaves in every way that servers do."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from threading import Thread

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from services.notification.webhooks.request import Answer, NoAnswer, Poster
from services.notification.webhooks.signing import headers, new_secret
from services.notification.webhooks.target import Forbidden, Gate, Target
from tests.notification.webhooks.receiver import NAME, Receiver, Reply, trusting

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
BODY = b'{"type":"ping"}'
SECONDS = 1.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.close()


def post(url: str, seconds: float = 10, context: ssl.SSLContext | None = None) -> Answer:
    return Poster(Gate(insecure=True), context or trusting(), seconds).post(url, {"X-One": "1"}, BODY, NOW)


def test_the_body_arrives_byte_for_byte_and_the_answer_is_told(receiver: Receiver) -> None:
    assert post(receiver.url("/a?b=c")) == Answer(200, "thanks", timedelta())
    (taken,) = receiver.taken
    assert (taken.path, taken.body, taken.headers["x-one"]) == ("/a?b=c", BODY, "1")
    assert taken.headers["host"] == f"localhost:{receiver.port}"
    assert not {"cookie", "authorization", "proxy-authorization"} & set(taken.headers)


def test_the_connection_goes_to_the_checked_address_and_the_name_stays_for_certificate_and_host(
    receiver: Receiver,
) -> None:
    target = Target(NAME, receiver.port, "/", True)
    poster = Poster(Gate(), trusting())
    answer = poster.post_to(["127.0.0.1"], target, {}, BODY, NOW, time.monotonic() + 10)
    assert answer.status == 200, "a name that resolves nowhere: nobody asked for it again"
    assert receiver.server_names == [NAME]
    assert receiver.taken[0].headers["host"] == f"{NAME}:{receiver.port}"


def test_the_next_address_is_tried_if_one_takes_no_connection(receiver: Receiver) -> None:
    target = Target(NAME, receiver.port, "/", True)
    answer = Poster(Gate(), trusting()).post_to(
        ["127.0.0.2", "127.0.0.1"], target, {}, BODY, NOW, time.monotonic() + 10
    )
    assert answer.status == 200


def test_a_certificate_for_another_name_or_of_an_unknown_authority_is_not_accepted(receiver: Receiver) -> None:
    with pytest.raises(NoAnswer, match="certificate is not valid"):
        post(receiver.url(), context=ssl.create_default_context())
    target = Target("other.partner.example", receiver.port, "/", True)
    with pytest.raises(NoAnswer, match="certificate is not valid"):
        Poster(Gate(), trusting()).post_to(["127.0.0.1"], target, {}, BODY, NOW, time.monotonic() + 10)
    assert receiver.taken == []


def test_the_open_door_of_this_machine_is_closed_to_webhooks(receiver: Receiver) -> None:
    with pytest.raises(Forbidden):
        Poster(Gate(), trusting()).post(receiver.url(), {}, BODY, NOW)
    assert receiver.taken == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver: Receiver, status: int) -> None:
    receiver.reply = Reply(status, "", (("Location", receiver.url("/elsewhere")),))
    assert post(receiver.url()).status == status
    assert [taken.path for taken in receiver.taken] == ["/hooks"]


def test_no_proxy_of_the_environment_is_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    assert post(receiver.url()).status == 200


@pytest.mark.parametrize(
    ("said", "wait"),
    [
        ("120", timedelta(minutes=2)),
        (format_datetime(NOW + timedelta(hours=3), usegmt=True), timedelta(hours=3)),
        (format_datetime(NOW - timedelta(hours=3), usegmt=True), timedelta()),
        ("soon", timedelta()),
        ("-5", timedelta()),
        ("9" * 400, timedelta(seconds=10**6)),
        ("²", timedelta()),
    ],
)
def test_what_a_busy_endpoint_asks_for_is_understood(receiver: Receiver, said: str, wait: timedelta) -> None:
    raw = f"HTTP/1.1 429 Slow down\r\nRetry-After: {said}\r\nContent-Length: 4\r\n\r\nbusy".encode("latin-1")
    receiver.reply = Reply(raw=raw)
    assert post(receiver.url()) == Answer(429, "busy", wait)


def test_what_it_says_is_cut_and_cleaned(receiver: Receiver) -> None:
    receiver.reply = Reply(500, "oh\x1b[31m no\r\n\t\x00 ask jo@partner.example \u202e" + "x" * 5000)
    answer = post(receiver.url())
    assert answer.excerpt.startswith("oh [31m no ask [address] xxx")
    assert len(answer.excerpt) == 200
    assert answer.excerpt.isprintable()


def test_a_huge_answer_is_not_read_to_its_end(receiver: Receiver) -> None:
    with endless(b"HTTP/1.1 200 OK\r\n\r\n", b"y" * 4096) as url:
        assert post(url).excerpt == "y" * 200


def test_headers_without_end_are_not_read_to_their_end() -> None:
    with endless(b"HTTP/1.1 503 Busy\r\n", b"X-Filler: " + b"z" * 4000 + b"\r\n") as url:
        assert post(url) == Answer(503, "", timedelta())


def test_an_answer_that_drips_is_cut_off_in_time() -> None:
    began = time.monotonic()
    with endless(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a", pause=0.05) as url, pytest.raises(NoAnswer, match="within"):
        post(url, SECONDS)
    assert time.monotonic() - began < SECONDS + 5


def test_silence_is_cut_off_in_time(receiver: Receiver) -> None:
    receiver.before = lambda _taken: receiver.gone.wait(20) and None
    began = time.monotonic()
    with pytest.raises(NoAnswer, match="no answer within 1 s"):
        post(receiver.url(), SECONDS)
    assert time.monotonic() - began < SECONDS + 5


def test_a_server_that_never_shakes_hands_is_cut_off_in_time() -> None:
    with endless(b"", b"", tls=True) as url, pytest.raises(NoAnswer):
        post(url, SECONDS)


@pytest.mark.parametrize("raw", [b"", b"SSH-2.0-OpenSSH_9.9\r\n", b"\x00\xff" * 100, b"HTTP/1.1 banana\r\n\r\n"])
def test_what_is_not_http_is_no_answer(receiver: Receiver, raw: bytes) -> None:
    receiver.reply = Reply(raw=raw)
    with pytest.raises(NoAnswer):
        post(receiver.url())


def test_a_broken_chunk_keeps_its_status(receiver: Receiver) -> None:
    receiver.reply = Reply(raw=b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz")
    assert post(receiver.url()).status == 503


def test_a_closed_port_is_said_plainly() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        with pytest.raises(NoAnswer, match="refused"):
            post(f"http://localhost:{probe.getsockname()[1]}/")


def test_the_receiving_sides_library_accepts_the_signature_of_either_secret_and_of_no_other() -> None:
    old, new = new_secret(), new_secret()
    now = int(time.time())
    signed = headers([new, old], "msg_1", now, BODY)
    for secret in (old, new):
        assert Webhook(secret).verify(BODY, signed) == {"type": "ping"}
        assert Webhook(secret).sign("msg_1", datetime.fromtimestamp(now, UTC), BODY.decode()) in signed[
            "webhook-signature"
        ].split(" ")
    for body, changed in (
        (BODY, {"webhook-id": "msg_2"}),
        (BODY + b" ", {}),
        (BODY, {"webhook-timestamp": str(now - 9)}),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(new).verify(body, signed | changed)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, signed)


@contextmanager
def endless(first: bytes, then: bytes, pause: float = 0, *, tls: bool = False) -> Iterator[str]:
    """A server that says something, and then something again and again, as long as anybody listens."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = Receiver(tls=False)

    def serve() -> None:
        try:
            caller, _ = listener.accept()
            with caller:
                if not first:
                    over.gone.wait(20)
                    return
                caller.recv(65_536)
                caller.sendall(first)
                while not over.gone.wait(pause):
                    caller.sendall(then)
        except OSError:  # it has hung up
            return

    thread = Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http{'s' if tls else ''}://localhost:{listener.getsockname()[1]}/"
    finally:
        over.close()
        listener.close()
        thread.join(5)
