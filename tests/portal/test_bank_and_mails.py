"""The bank's answers and the partners' mails in the portal, for the vendor's staff."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from services.notification.tables import messages
from services.portal.audit import Wanted, entries
from services.portal.auth import Role
from streams.rules.terms import Programme
from tests.payout.answers.bank import Movement, report, statement
from tests.portal.beside import Town, send, town

CLERK = "A. Clerk"


@pytest.fixture
def beside(tmp_path: Path, programme: Programme) -> Iterator[Town]:
    """A portal beside payout, which has given a run to the bank, and notification."""
    with town(tmp_path, programme, "payout", "notification") as made:
        made.earns("P1")
        yield made


@pytest.fixture
def run(beside: Town) -> str:
    released = beside.payout.pay()
    assert released
    return released.msg_id


def hand_in(beside: Town, browser: TestClient, *files: tuple[str, bytes]) -> Any:
    sent = [("answers", (name, content, "application/xml")) for name, content in files]
    return browser.post("/bank/take", data={"mark": beside.site.mark(browser)}, files=sent)


def noted(beside: Town) -> list[str]:
    with beside.site.engine.connect() as connection:
        return [row.what for row in reversed(entries(connection, Wanted()).rows)]


def test_answers_are_handed_in_and_what_is_strange_is_looked_into(beside: Town, run: str) -> None:
    clerk = beside.staff(CLERK, Role.OPERATOR)
    assert "1 × Sent to the bank" in clerk.get("/bank").text
    stray = statement([Movement("", "1.00", reference="R1", msg_id="RB-20990101-ABCD")])
    files = [("a.xml", report(run, "ACCP")), ("b.xml", b"<!DOCTYPE x>"), ("c.xml", stray)]
    shown = hand_in(beside, clerk, *files)
    assert shown.status_code == 200
    for words in ("1 × Taken by the bank", "can&#39;t be read as an answer", "1 line fits no payment of ours"):
        assert words in shown.text
    assert "It was read before" in hand_in(beside, clerk, files[0]).text
    number = shown.text.split('name="number" value="')[1].split('"')[0]
    assert send(clerk, "/bank", "/bank/clear", number=number, because=" ").status_code == 409
    answer = send(clerk, "/bank", "/bank/clear", number=number, because="of other business")
    assert answer.headers["location"] == "/bank?done=bank-cleared"
    assert "What somebody must look into" not in clerk.get("/bank").text
    assert noted(beside) == ["bank-file-read", "bank-file-read", "bank-file-read", "bank-cleared"]


def test_who_may_not_hands_nothing_in(beside: Town, run: str) -> None:
    viewer, clerk = beside.staff("V. Looker", Role.VIEWER), beside.staff(CLERK, Role.OPERATOR)
    accepted = ("a.xml", report(run, "ACCP"))
    assert hand_in(beside, viewer, accepted).status_code == 404
    assert "Hand in answers" not in viewer.get("/bank").text
    assert clerk.post("/bank/take", data={"mark": "x"}, files=[("answers", accepted)]).status_code == 403
    assert clerk.post("/bank/take", content=b"x", headers={"content-type": "text/xml"}).status_code == 403
    assert "Taken by the bank" not in clerk.get("/bank").text
    assert noted(beside) == []


def test_mails_that_were_given_up_are_seen_and_sent_again(beside: Town) -> None:
    at = datetime(2027, 1, 29, tzinfo=UTC)
    row = {"kind": "final", "event": "{}", "recorded_at": at, "queued_at": at, "next_try_at": at, "attempts": 3}
    with beside.mail_engine.begin() as connection:
        for number, state in enumerate(("failed", "failed", "sent"), 1):
            more = {"event_id": f"e{number}", "partner_id": f"P{number}", "state": state, "recipient": "x@y.example"}
            connection.execute(messages.insert().values(row | more | {"last_error": "550 unknown"}))
    viewer, clerk = beside.staff("V. Looker", Role.VIEWER), beside.staff(CLERK, Role.OPERATOR)
    listed = viewer.get("/mails").text
    assert "550 unknown" in listed
    assert "P3" not in listed
    assert "Send again" not in listed
    assert "P3" in viewer.get("/mails?state=sent").text
    assert all(name in viewer.get("/mails?state=all").text for name in ("P1", "P2", "P3"))
    listed = viewer.get("/mails/list.csv?state=all").text.splitlines()
    assert [line.split(";")[1] for line in listed[1:]] == ["P3", "P2", "P1"]
    assert "P3" not in viewer.get("/mails/list.csv").text, "as the page, those given up"
    assert viewer.get("/mails/list.xlsx").content.startswith(b"PK")
    assert viewer.get("/mails/list.pdf").status_code == 404
    number = clerk.get("/mails").text.split('name="number" value="')[1].split('"')[0]
    assert send(clerk, "/mails", "/mails/resend", number=number).headers["location"] == "/mails?done=mails-resent"
    assert send(clerk, "/mails", "/mails/resend").status_code == 303
    with beside.mail_engine.connect() as connection:
        states = list(connection.scalars(select(messages.c.state).order_by(messages.c.number)))
    assert states == ["pending", "pending", "sent"]
    refused = send(clerk, "/bank", "/mails/resend", number="999")
    assert refused.status_code == 409
    assert "There is nothing that can be sent again." in refused.text
    assert noted(beside) == ["mails-resent", "mails-resent"]
    beside.closes("notification")
    assert clerk.get("/mails").status_code == 503
