"""Against a bank that is not ours: our payment file in, all that it gives back read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mockbank.server import Config, make_server
from sqlalchemy import select

from schemas.events import PayoutStatus
from services.payout.answers.folder import Folder, Found
from services.payout.answers.gaps import gaps
from services.payout.answers.overview import silence
from services.payout.bank_days import next_bank_day
from services.payout.tables import bank_details_invalid
from tests.payout.answers.bank import (
    WAITED,
    balances,
    ids_of,
    obligation_states,
    paid,
    payment_states,
    run_states,
    sound,
    unmatched,
)
from tests.payout.office import FINAL, FRIDAY, PROGRAMME, Office, iban_of

HOUSE = "DE02120300000000202051"  # the payer's account of the settings


class Bank:
    """The bank: a folder for payment files, one for its answers, and a clock that we move."""

    def __init__(self, folder: Path) -> None:
        self.drop, self.pickup = folder / "drop", folder / "pickup"
        for place in (self.drop, self.pickup):
            place.mkdir()
        self.server = make_server(
            Config(
                port=0,
                quiet=True,
                clock="2027-01-29T11:00",
                drop_dir=str(self.drop),
                pickup_dir=str(self.pickup),
                drop_settle_ms=0,
                drop_interval_ms=3_600_000,
            )
        )
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.ask("POST", "/_mock/accounts", {"id": "HOUSE", "iban": HOUSE, "name": "House", "balance": 10_000_000})

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = httpx2.request(method, f"{self.url}{path}", json=body, verify=False)  # plain http: nobody vouches
        assert answer.status_code < 400, answer.text
        return answer.json()

    def behaves(self, behaviour: str, account: str = "HOUSE", **parameters: Any) -> None:
        self.ask("PATCH", f"/_mock/accounts/{account}", {"behaviour": behaviour, "parameters": parameters})

    def holds(self, partner_id: str, behaviour: str) -> None:
        """It keeps this partner's account, and that account has a flaw."""
        body = {"id": partner_id, "iban": iban_of(partner_id), "name": partner_id, "behaviour": behaviour}
        self.ask("POST", "/_mock/accounts", body)

    def takes(self, office: Office) -> None:
        """Our payment files are put into its folder, as often as this is called."""
        for path in office.folder.glob("*.xml"):
            (self.drop / path.name).write_bytes(path.read_bytes())
        self.ask("POST", "/_mock/drop/scan")

    def days_pass(self, days: int) -> None:
        self.ask("POST", f"/_mock/advance?days={days}")

    def answers(self, office: Office) -> list[Found]:
        """All that it has said since the last time is read, by way of the folder."""
        self.ask("GET", "/_mock/mailbox?leave")
        folder = Folder(self.pickup, rest_seconds=0)
        return list(folder.look(office.engine, office.vault, FINAL, 0))


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    opened = Bank(tmp_path)
    yield opened
    opened.server.shutdown()
    opened.server.server_close()


def refused(found: list[Found]) -> list[str]:
    return [one.name for one in found if one.outcome is None]


def test_a_good_run_is_accepted_and_then_paid(desk: Office, bank: Bank) -> None:
    paid(desk, "P1", "P2")
    bank.takes(desk)
    assert refused(bank.answers(desk)) == []
    assert payment_states(desk) == {"P1": ("accepted", None), "P2": ("accepted", None)}
    assert run_states(desk) == ["accepted"]
    bank.days_pass(5)
    found = bank.answers(desk)
    assert refused(found) == []
    assert {one.outcome.kind for one in found if one.outcome} == {"camt.053", "camt.054"}
    assert payment_states(desk) == {"P1": ("settled", None), "P2": ("settled", None)}
    assert balances(desk) == {"asset:bank": -150_000, "expense:rebate": 150_000}
    assert desk.statuses("P1")[-1] == (PayoutStatus.PAID, None)
    assert unmatched(desk) == []
    assert sound(desk) == []
    with desk.engine.connect() as connection:
        assert gaps(connection) == []


@pytest.mark.parametrize(("behaviour", "code"), [("closed-account", "AC04"), ("bad-bank-id", "RC01")])
def test_an_account_that_cannot_be_paid_is_refused_and_the_others_are_paid(
    desk: Office, bank: Bank, behaviour: str, code: str
) -> None:
    bank.holds("P1", behaviour)
    paid(desk, "P1", "P2")
    bank.takes(desk)
    bank.days_pass(5)
    assert refused(bank.answers(desk)) == []
    assert payment_states(desk) == {"P1": ("rejected", code), "P2": ("settled", None)}
    assert run_states(desk) == ["partly"]
    assert desk.statuses("P1")[-1] == (PayoutStatus.RETURNED, code)
    assert balances(desk) == {"asset:bank": -75_000, "expense:rebate": 150_000, "liability:payable:P1": -75_000}
    with desk.engine.connect() as connection:
        assert [row.partner_id for row in connection.execute(select(bank_details_invalid))] == ["P1"]
    assert sound(desk) == []


def test_without_cover_nothing_is_paid_until_there_is(desk: Office, bank: Bank) -> None:
    bank.ask("PATCH", "/_mock/accounts/HOUSE", {"behaviour": "insufficient-funds", "balance": 100})
    paid(desk, "P1", "P2")
    bank.takes(desk)
    assert refused(bank.answers(desk)) == []
    assert set(payment_states(desk).values()) == {("rejected", "AM04")}
    assert run_states(desk) == ["rejected"]
    bank.ask("PATCH", "/_mock/accounts/HOUSE", {"behaviour": "accept", "balance": 10_000_000})
    desk.recount()
    assert desk.pay(next_bank_day(FRIDAY)) is not None
    (desk.folder / f"{first_run(desk)}.xml").unlink()
    bank.takes(desk)
    bank.days_pass(7)
    assert refused(bank.answers(desk)) == []
    assert set(payment_states(desk).values()) == {("settled", None)}
    assert balances(desk) == {"asset:bank": -150_000, "expense:rebate": 150_000}
    assert unmatched(desk) == []
    assert sound(desk) == []


def test_a_payment_that_comes_back_later_is_made_again_to_another_account(desk: Office, bank: Bank) -> None:
    bank.behaves("return-later", days=2, reason="AC04")
    ids = paid(desk, "P1")
    bank.takes(desk)
    bank.days_pass(3)
    bank.answers(desk)
    assert payment_states(desk) == {"P1": ("settled", None)}
    assert obligation_states(desk, "P1") == [(75_000, "paid")]
    bank.days_pass(5)
    found = bank.answers(desk)
    assert [name.split("-")[0] for name in refused(found)] == ["pacs.004.001.09"]  # between banks, and no answer to us
    assert payment_states(desk) == {"P1": ("returned", "AC04")}
    assert desk.statuses("P1")[-2:] == [(PayoutStatus.PAID, None), (PayoutStatus.RETURNED, "AC04")]
    assert balances(desk) == {"expense:rebate": 75_000, "liability:payable:P1": -75_000}

    bank.behaves("accept")
    desk.details("P1", iban_of("P1 elsewhere"))
    desk.passes(WAITED)
    assert desk.pay(WAITED.date(), WAITED) is not None
    assert ids_of(desk)["P1"] != ids["P1"]
    (desk.folder / f"{first_run(desk)}.xml").unlink()
    bank.takes(desk)
    bank.days_pass(5)
    bank.answers(desk)
    assert payment_states(desk) == {"P1": ("settled", None)}
    assert obligation_states(desk, "P1") == [(75_000, "paid")]
    assert balances(desk) == {"asset:bank": -75_000, "expense:rebate": 75_000}
    assert unmatched(desk) == []
    assert sound(desk) == []


def test_a_file_refused_as_a_whole_pays_nobody(desk: Office, bank: Bank) -> None:
    bank.behaves("reject-file")
    paid(desk, "P1", "P2")
    bank.takes(desk)
    bank.days_pass(5)
    assert refused(bank.answers(desk)) == []
    assert set(payment_states(desk).values()) == {("rejected", "FF01")}
    assert run_states(desk) == ["rejected"]
    assert balances(desk) == {
        "expense:rebate": 150_000,
        "liability:payable:P1": -75_000,
        "liability:payable:P2": -75_000,
    }
    assert sound(desk) == []


def test_a_bank_that_says_nothing_has_refused_nothing_and_may_pay(desk: Office, bank: Bank) -> None:
    bank.behaves("silent")
    paid(desk, "P1")
    bank.takes(desk)
    assert bank.answers(desk) == []
    assert payment_states(desk) == {"P1": ("released", None)}
    desk.recount()
    assert desk.pay(next_bank_day(FRIDAY)) is None
    with desk.engine.connect() as connection:
        assert silence(connection, PROGRAMME.zone, FINAL + timedelta(days=5), 24) == (1, 0)
    bank.days_pass(5)
    bank.answers(desk)
    assert payment_states(desk) == {"P1": ("settled", None)}
    with desk.engine.connect() as connection:
        assert silence(connection, PROGRAMME.zone, FINAL + timedelta(days=5), 24) == (0, 0)
    assert sound(desk) == []


def test_a_statement_with_a_hole_is_told_of_and_the_notice_settles(desk: Office, bank: Bank) -> None:
    bank.behaves("statement-gap")
    paid(desk, "P1", "P2")
    bank.takes(desk)
    bank.days_pass(5)
    assert refused(bank.answers(desk)) == []
    assert set(payment_states(desk).values()) == {("settled", None)}
    with desk.engine.connect() as connection:
        (gap,) = gaps(connection)
    assert (gap.what, gap.difference_minor) == ("movement-missing", -75_000)
    assert sound(desk) == []


def test_the_same_file_sent_twice_pays_once_and_the_second_refusal_rejects_nothing(desk: Office, bank: Bank) -> None:
    paid(desk, "P1", "P2")
    bank.takes(desk)
    bank.takes(desk)
    bank.days_pass(5)
    assert refused(bank.answers(desk)) == []
    bank.takes(desk)
    bank.answers(desk)
    assert set(payment_states(desk).values()) == {("settled", None)}
    assert unmatched(desk) == [("duplicate", first_run(desk))]
    assert balances(desk) == {"asset:bank": -150_000, "expense:rebate": 150_000}
    assert sound(desk) == []


def test_intraday_reports_say_no_more_than_the_statement_will(desk: Office, bank: Bank) -> None:
    paid(desk, "P1")
    bank.takes(desk)
    bank.days_pass(3)
    bank.ask("POST", "/_mock/accounts/HOUSE/report")
    found = bank.answers(desk)
    assert "camt.052" in {one.outcome.kind for one in found if one.outcome}
    assert unmatched(desk) == []
    assert payment_states(desk) == {"P1": ("settled", None)}


def first_run(office: Office) -> str:
    return min(path.stem for path in office.folder.glob("*.xml"))
