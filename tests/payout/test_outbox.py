"""Two kinds of event from one outbox, each to its topic, in the order of the rows."""

from __future__ import annotations

from pathlib import Path

from confluent_kafka import Message
from sqlalchemy import select

from deploy.runtime.clock import open_clock
from deploy.runtime.settings import Loaded
from schemas.codec import Codec, ConfluentRegistry, header
from schemas.events import BankDetailsChange, BankDetailsChanged, PayoutStatus, PayoutStatusChanged, id_of
from schemas.topics import BANK_DETAILS, PAYOUTS, Topic
from services.kit.log import records
from services.kit.relay import Relay, oldest_unsent
from services.payout.tables import outbox
from tests.databases import sqlite_url
from tests.payout.office import Office, iban_of


def published(loaded: Loaded, topic: Topic) -> list[Message]:
    return [message for message in records(loaded.settings, topic) if message.value()]


def test_changes_of_bank_details_and_of_payouts_go_out_in_order(loaded: Loaded, tmp_path: Path) -> None:
    codec = Codec(ConfluentRegistry(loaded.settings.registry_url), loaded.settings.topic_prefix)
    office = Office(tmp_path, sqlite_url(tmp_path))
    relay = Relay(
        loaded.settings,
        codec,
        office.engine,
        open_clock(loaded.settings),
        outbox,
        (PAYOUTS, BANK_DETAILS),
        "staffel/payout",
    )
    office.details("P1")
    office.sells("P1", 50)
    office.closes("P1", 75_000)
    office.recount()
    assert relay.step() == 2
    office.details("P1", iban_of("other"))
    office.recount()
    office.refused("P1", 2)
    office.recount()
    assert relay.step() == 4
    assert relay.step() == 0
    told = published(loaded, BANK_DETAILS)
    events = [codec.decode(BANK_DETAILS, message.value() or b"") for message in told]
    assert events == office.told()
    assert [said.change for said in events if isinstance(said, BankDetailsChanged)] == [
        BankDetailsChange.ENTERED,
        BankDetailsChange.CHANGED,
        BankDetailsChange.INVALID,
    ]
    assert [header(message.headers(), "ce_id") for message in told] == [id_of(said) for said in office.told()]
    assert {message.key() for message in told} == {b"P1"}
    assert not any(iban[-4:].encode() in (m.value() or b"") for m in told for iban in (iban_of("P1"), iban_of("other")))
    statuses = [codec.decode(PAYOUTS, message.value() or b"") for message in published(loaded, PAYOUTS)]
    assert [said.status for said in statuses if isinstance(said, PayoutStatusChanged)] == [
        PayoutStatus.PAYABLE,
        PayoutStatus.HELD,
        PayoutStatus.WAITING,
    ]
    with office.engine.connect() as connection:
        assert oldest_unsent(connection, outbox) is None
        assert len(connection.execute(select(outbox.c.id)).all()) == 6
    office.engine.dispose()
