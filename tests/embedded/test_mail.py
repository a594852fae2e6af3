"""The mail catcher keeps every mail that it acknowledged, and its page can be looked at safely."""

from __future__ import annotations

import json
import smtplib
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import EmailMessage, Message
from email.utils import make_msgid
from typing import Any

import pytest

from deploy.embedded import trouble
from deploy.embedded.stack import environment
from deploy.runtime.settings import Loaded, Port
from tests.waiting import until


class MailCatcher:
    """A catcher as a process of its own."""

    def __init__(self, loaded: Loaded) -> None:
        self.settings = loaded.settings
        self._environment = dict(environment(loaded))
        self.page = f"http://127.0.0.1:{self.settings.port(Port.INBOX)}"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "deploy.embedded.mail"], env=self._environment, stderr=subprocess.DEVNULL
        )
        until(lambda: trouble.inbox(self.settings) is None, 30, "the mail catcher")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)

    def send(self, message: EmailMessage) -> None:
        with smtplib.SMTP("127.0.0.1", self.settings.port(Port.SMTP), timeout=10) as server:
            server.send_message(message)

    def get(self, path: str) -> tuple[int, str, Message]:
        try:
            with urllib.request.urlopen(self.page + path, timeout=10) as answer:
                return answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), error.headers

    def list(self, query: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.get(f"/api/mails{query}")[1])
        return found


@pytest.fixture
def catcher(stack_settings: Loaded) -> Iterator[MailCatcher]:
    started = MailCatcher(stack_settings)
    yield started
    started.stop()


def mail(subject: str = "Your week", to: str = "anna@partner.example", html: str = "<p>49 units</p>") -> EmailMessage:
    """A mail with a text and an HTML part."""
    message = EmailMessage()
    message["From"] = "Partner Programme <partner@staffel.example>"
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = "Mon, 05 Oct 2026 08:00:00 +0200"
    message["Message-ID"] = make_msgid(domain="staffel.example")
    message.set_content("49 units. Your page: http://127.0.0.1:8400/l/abc")
    message.add_alternative(html, subtype="html")
    return message


def test_mails_are_listed_newest_first_with_who_what_when(catcher: MailCatcher) -> None:
    first, second = mail("Tier reached"), mail("Grüße aus Köln", to="bert@partner.example")
    catcher.send(first)
    catcher.send(second)
    found = catcher.list()
    assert [entry["subject"] for entry in found] == ["Grüße aus Köln", "Tier reached"]
    assert found[1]["to"] == "anna@partner.example"
    assert found[1]["message_id"] == first["Message-ID"]
    assert found[1]["date"] == "2026-10-05T08:00:00+02:00"
    assert [entry["subject"] for entry in catcher.list("?to=bert")] == ["Grüße aus Köln"]
    status, page, _ = catcher.get("/")
    assert status == 200
    assert page.index("Grüße aus Köln") < page.index("Tier reached")


def test_acknowledged_mails_survive_a_kill(catcher: MailCatcher) -> None:
    catcher.send(mail())
    catcher.process.kill()
    catcher.process.wait()
    half = catcher.settings.data / "mail" / "half.tmp"
    half.write_text("Subject: half")
    catcher.start()
    assert [entry["subject"] for entry in catcher.list()] == ["Your week"]
    assert not half.exists()


def test_same_mail_twice_is_seen_twice(catcher: MailCatcher) -> None:
    message = mail()
    catcher.send(message)
    catcher.send(message)
    assert len(catcher.list()) == 2


def test_markup_in_subject_and_body_does_nothing_on_our_page(catcher: MailCatcher) -> None:
    catcher.send(mail("<script>alert(1)</script>", html="<html><head></head><script>alert(2)</script></html>"))
    mail_id = catcher.list()[0]["id"]
    for path in ("/", f"/mail/{mail_id}"):
        _, page, headers = catcher.get(path)
        assert "<script>" not in page
        assert "default-src 'none'" in headers["Content-Security-Policy"]
    _, body, headers = catcher.get(f"/mail/{mail_id}/html")
    assert '<head><base target="_blank">' in body
    assert "sandbox allow-popups" in headers["Content-Security-Policy"]
    assert "script-src" not in headers["Content-Security-Policy"]


def test_links_of_the_text_part_can_be_followed_and_the_mail_be_downloaded(catcher: MailCatcher) -> None:
    catcher.send(mail())
    mail_id = catcher.list()[0]["id"]
    assert 'href="http://127.0.0.1:8400/l/abc"' in catcher.get(f"/mail/{mail_id}")[1]
    status, raw, headers = catcher.get(f"/mail/{mail_id}/raw")
    assert status == 200
    assert "Subject: Your week" in raw
    assert headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize("path", ["/mail/none", "/mail/..%2Fclock", "/mail/none/raw", "/nothing"])
def test_what_is_not_there_is_a_plain_404(catcher: MailCatcher, path: str) -> None:
    status, page, _ = catcher.get(path)
    assert status == 404
    assert "There is no such mail" in page


def test_list_goes_on_over_pages(catcher: MailCatcher) -> None:
    folder = catcher.settings.data / "mail"
    for number in range(101):
        (folder / f"{number:020d}-aa.eml").write_bytes(bytes(mail(f"Mail {number}")))
    _, first, _ = catcher.get("/")
    assert "page=2" in first
    assert "Mail 0<" not in first
    assert "Mail 0<" in catcher.get("/?page=2")[1]
    assert catcher.get("/?page=nonsense")[0] == 200
