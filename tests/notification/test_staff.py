"""What needs a person is noted once and told once to each address, many facts in one message."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, select

from deploy.runtime.errors import UsageError
from deploy.runtime.settings import load
from schemas.events import PayoutStatus
from services.kit.consumer import Batch
from services.notification import metrics
from services.notification.staff import FRESH, KEPT, Alert, Watch, raise_alert
from services.notification.tables import State, messages, staff_alerts, staff_tellings
from services.notification.telling import DIGEST, GATHER, Teller, addresses_of
from tests.notification.conftest import Desk
from tests.notification.facts import close, partner, payout, received, week
from tests.notification.mailbox import Mailbox
from tests.notification.webhooks.receiver import Receiver, Reply


class Office:
    """The watch and, for each address, its teller, on the desk's database."""

    def __init__(self, desk: Desk, outgoing: Engine) -> None:
        self.desk, self.engine, self._outgoing = desk, desk.engine, outgoing
        self.watch = Watch(desk.engine, desk.clock)

    def teller(self, *urls: str) -> Teller:
        return Teller(self._outgoing, addresses_of(load({"staff_urls": ",".join(urls)}, {}).settings))

    def told(self, *events: Any, ago: timedelta = timedelta()) -> None:
        at = self.desk.clock.now() - ago
        with self.engine.begin() as connection:
            self.watch.events(Batch(connection, [received(event, at) for event in events]))

    def raised(self, *texts: str) -> None:
        with self.engine.begin() as connection:
            for text in texts:
                raise_alert(connection, self.engine, Alert(f"fact {text}", text), self.desk.clock.now())

    def texts(self) -> list[str]:
        with self.engine.connect() as connection:
            return list(connection.execute(select(staff_alerts.c.text).order_by(staff_alerts.c.number)).scalars())

    def later(self, by: timedelta) -> None:
        """Make all that happened so far so much older."""
        with self.engine.begin() as connection:
            for table, column in ((staff_alerts, "raised_at"), (staff_tellings, "told_at")):
                for row in connection.execute(select(table)).mappings().all():
                    mine = [column_ == row[column_.name] for column_ in table.primary_key]
                    connection.execute(table.update().where(*mine).values({column: row[column] - by}))


@pytest.fixture
def office(desk: Desk, outgoing: Engine) -> Office:
    return Office(desk, outgoing)


@pytest.fixture
def chat() -> Iterator[Receiver]:
    found = Receiver(tls=False)
    yield found
    found.close()


def chat_url(chat: Receiver) -> str:
    return chat.url("/chat").replace("http://", "json://")


def said(chat: Receiver) -> list[dict[str, str]]:
    return [json.loads(taken.body) for taken in chat.taken]


def test_payments_that_are_held_or_came_back_are_noted_once_without_amount_or_account(office: Office) -> None:
    events = [payout(status) for status in (PayoutStatus.HELD, PayoutStatus.RETURNED, PayoutStatus.PAID)]
    for _ in range(2):
        office.told(*events, close(), week())
    assert office.texts() == [
        "Partner P1: the payment for 2026Q4, revision 1, is held.",
        "Partner P1: the payment for 2026Q4, revision 1, came back from the bank (AC04).",
    ]


def test_what_was_long_ago_is_no_news_to_a_service_that_reads_its_topics_anew(office: Office) -> None:
    office.told(payout(PayoutStatus.HELD), ago=FRESH + timedelta(minutes=1))
    assert office.texts() == []


def test_a_reason_is_told_if_it_is_a_code_and_never_if_it_is_a_text(office: Office) -> None:
    held = payout(PayoutStatus.HELD)
    office.told(
        msgspec.structs.replace(held, reason="contradicting-closes"),
        msgspec.structs.replace(held, sequence=9, reason="Jo Doe, DE02120300000000202051"),
    )
    assert office.texts() == [
        "Partner P1: the payment for 2026Q4, revision 1, is held (contradicting-closes).",
        "Partner P1: the payment for 2026Q4, revision 1, is held.",
    ]


def test_mails_that_were_given_up_are_found_in_the_table_and_noted_once(office: Office, mailbox: Mailbox) -> None:
    mailbox.answers["p1@partner.example"] = "550 who?"
    office.desk.told(partner(1), partner(2), week(1), week(2))
    office.desk.send()
    for _ in range(2):
        office.watch.look(None)
    assert office.texts() == ["Partner P1: a mail (weekly) was given up; nobody has told him."]
    with office.engine.connect() as connection:
        failed = connection.execute(select(messages.c.state).where(messages.c.partner_id == "P1")).scalar()
    assert failed == State.FAILED


def test_a_mail_server_that_stays_away_is_noted_once_each_time(office: Office) -> None:
    Watch(office.engine, office.desk.clock).look("refused")
    assert office.texts() == [], "not for long"
    watch = Watch(office.engine, office.desk.clock, away=timedelta())
    for _ in range(2):
        watch.look("refused")
    (text,) = office.texts()
    assert text.startswith("The mail server has taken no mail since 20")
    watch.look(None)
    watch.look("refused")
    assert len(office.texts()) == 2


def test_what_comes_together_is_told_together_and_what_follows_waits(office: Office, chat: Receiver) -> None:
    teller = office.teller(chat_url(chat))
    office.raised("one", "two")
    assert not teller.step(), "others may come with it"
    office.later(GATHER)
    assert teller.step()
    office.raised("three")
    office.later(GATHER)
    assert not teller.step(), "the last message is not five minutes old"
    office.raised("four")
    office.later(DIGEST)
    assert teller.step()
    assert not teller.step()
    first, second = said(chat)
    assert first["title"] == "Staffel: 2 things need a person"
    assert first["message"].startswith("- one\n- two\n\nWhat to do")
    assert "- three\n- four\n" in second["message"]


def test_a_flood_is_one_message_with_its_beginning(office: Office, chat: Receiver) -> None:
    office.raised(*(f"number {n}" for n in range(200)))
    office.later(GATHER)
    teller = office.teller(chat_url(chat))
    assert teller.step()
    assert not teller.step()
    (message,) = said(chat)
    assert message["title"] == "Staffel: 200 things need a person"
    assert "- number 14\n- and 185 more" in message["message"]
    assert len(message["message"]) < 2000


def test_mail_and_chat_are_told_each_on_its_own_and_a_failing_one_repeats_nothing(
    office: Office, chat: Receiver, mailbox: Mailbox
) -> None:
    chat.reply = Reply(500, "")
    mail = f"mailto://127.0.0.1:{mailbox.port}/?from=staffel@vendor.example&to=team@vendor.example&mode=insecure"
    teller = office.teller(chat_url(chat), mail)
    office.raised("one")
    office.later(GATHER)
    assert teller.step()
    assert not teller.step()
    teller.measure()
    assert metrics.STAFF_WAITING._value.get() == 1
    assert (len(chat.taken), len(mailbox.taken)) == (1, 1)
    assert mailbox.taken[0].mail["Subject"] == "Staffel: something needs a person"
    assert "- one" in mailbox.taken[0].part("plain")
    chat.reply = Reply()
    again = office.teller(chat_url(chat), mail)
    assert again.step()
    assert not again.step()
    again.measure()
    assert metrics.STAFF_WAITING._value.get() == 0
    assert (len(chat.taken), len(mailbox.taken)) == (2, 1)


def test_a_chat_that_fails_is_left_alone_for_a_while(office: Office, chat: Receiver) -> None:
    chat.reply = Reply(500, "")
    teller = office.teller(chat_url(chat))
    office.raised("one")
    office.later(GATHER)
    for _ in range(5):
        assert not teller.step()
    assert len(chat.taken) == 1


def test_nobody_is_told_what_is_long_past_and_in_the_end_it_is_forgotten(office: Office, chat: Receiver) -> None:
    office.raised("one")
    office.later(FRESH)
    assert not office.teller(chat_url(chat)).step()
    office.watch.sweep()
    assert office.texts() == ["one"]
    office.later(KEPT - FRESH)
    office.watch.sweep()
    assert office.texts() == []


def test_an_erased_partner_is_in_no_alert(office: Office, chat: Receiver) -> None:
    office.told(payout(PayoutStatus.HELD), payout(PayoutStatus.HELD, number=2))
    office.later(GATHER)
    office.teller(chat_url(chat)).step()
    with office.engine.begin() as connection:
        office.watch.partners(Batch(connection, [received(None, office.desk.clock.now(), "P1")]))
    assert office.texts() == ["Partner P2: the payment for 2026Q4, revision 1, is held."]


def test_addresses_are_checked_at_the_start_and_never_repeated(chat: Receiver) -> None:
    assert addresses_of(load({}, {}).settings) == ()
    two = addresses_of(load({"staff_urls": "json://a.example/x?to=a,b , mailto://u:p@mail.example"}, {}).settings)
    assert [address.url for address in two] == ["json://a.example/x?to=a,b", "mailto://u:p@mail.example"]
    assert "p@mail" not in two[1].name
    with pytest.raises(UsageError, match="address 2") as error:
        addresses_of(load({"staff_urls": "json://a.example,nonsense://secret-token"}, {}).settings)
    assert "secret" not in error.value.message + error.value.hint
