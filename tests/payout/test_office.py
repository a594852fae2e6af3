"""Payout's office: what the portal has done there is what the command line does, for those who may."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from deploy.runtime.settings import Port
from services.kit.office.client import Client, Refused
from services.kit.office.protocol import Actor, Role
from services.payout.office import opening
from services.payout.office.means import Means
from services.payout.office.opening import open_office
from services.payout.states import RunState
from tests.conftest import free_ports
from tests.payout.answers.bank import Movement, report, statement
from tests.payout.office import FINAL, PROGRAMME, Office, iban_of

CANARY = "DE02120300000000202051"
VIEWER, CLERK = Actor(Role.VIEWER, "V. Looker"), Actor(Role.OPERATOR, "A. Clerk")
HEAD, CHIEF = Actor(Role.APPROVER, "B. Head"), Actor(Role.APPROVER, "C. Chief")
P1 = Actor(Role.CONFIRMED, "p1@partner.example", "P1")


class Still:
    """A clock that stands."""

    rate = 1.0

    def now(self) -> datetime:
        return FINAL

    def at(self, real: datetime) -> datetime:
        return real


class Desk:
    """The office, open, and a portal that asks it."""

    def __init__(self, office: Office) -> None:
        self.office, self.doubt, self.hurried = office, "", 0
        office.set(port_base=free_ports())
        settings = office.settings
        self._client = Client(settings, "payout", f"http://127.0.0.1:{settings.port(Port.PAYOUT_OFFICE)}")
        means = Means(
            settings, office.engine, office.vault, PROGRAMME, Still(), lambda: self.doubt or None, self._hurry
        )
        self.open = open_office(means)

    def ask(self, actor: Actor, operation: str, **said: Any) -> Any:
        return self._client.ask(actor, operation, Any, **said)

    def refused(self, actor: Actor, operation: str, **said: Any) -> str:
        """The code with which it refuses."""
        with pytest.raises(Refused) as refused:
            self.ask(actor, operation, **said)
        return refused.value.code

    def _hurry(self) -> None:
        self.hurried += 1


@pytest.fixture
def desk(office: Office) -> Iterator[Desk]:
    found = Desk(office)
    yield found
    found.open.close()


@pytest.fixture
def payable(desk: Desk) -> Desk:
    """One partner is owed 750 euros and can be paid."""
    desk.office.details("P1")
    desk.office.sells("P1", 50)
    desk.office.closes("P1", 75_000, units=50)
    desk.office.recount()
    return desk


def test_every_operation_says_who_may() -> None:
    assert len({operation.name for operation in opening.OPERATIONS}) == len(opening.OPERATIONS)
    for operation in opening.OPERATIONS:
        assert operation.staff or operation.partner, operation.name
    money_moves = {"runs.approve", "runs.release", "runs.file"}
    assert {row.name for row in opening.OPERATIONS if row.staff is Role.APPROVER} == money_moves
    changes = {"bank_details.enter", "bank_details.rehearse"}
    assert {row.name for row in opening.OPERATIONS if row.partner is Role.CONFIRMED} == changes


def test_a_partner_enters_his_details_and_sees_them_masked(desk: Desk) -> None:
    assert desk.ask(P1, "bank_details.history") == []
    form = {"account_holder": "Kontor Nord", "iban": "de02 1203 0000 0000 2020 51"}
    looked = desk.ask(P1, "bank_details.rehearse", **form)
    assert (looked["result"], looked["masked"], looked["bank"]) == ("new", "DE…2051", "Deutsche Kreditbank Berlin")
    assert desk.ask(P1, "bank_details.history") == []
    entered = desk.ask(P1, "bank_details.enter", **form)
    assert entered["usable_on"] == looked["usable_on"] == "2027-01-29"
    (version,) = desk.ask(P1, "bank_details.history")
    assert (version["masked"], version["source"], version["entered_by"]) == ("DE…2051", "portal", "p1@partner.example")
    assert CANARY not in json.dumps(version)
    assert [said.partner_id for said in desk.office.told()] == ["P1"]


def test_changed_details_wait_as_ever_and_the_same_ones_change_nothing(desk: Desk) -> None:
    desk.office.details("P1", iban_of("P1"), "Kontor Nord")
    form = {"account_holder": "Kontor Nord", "iban": CANARY}
    assert desk.ask(P1, "bank_details.rehearse", **form)["usable_on"] == "2027-02-03"
    assert desk.ask(P1, "bank_details.enter", **form)["result"] == "changed"
    assert desk.ask(P1, "bank_details.enter", **form)["result"] == "unchanged"
    assert [version["usable_on"] for version in desk.ask(P1, "bank_details.history")] == ["2027-01-29", "2027-02-03"]


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"account_holder": "K", "iban": "DE02120300000000202052"}, "bad-iban"),
        ({"account_holder": " ", "iban": CANARY}, "bad-holder"),
        ({"account_holder": "K", "iban": CANARY, "bic": "COBADEFF"}, "bad-bic"),
        ({"account_holder": "K", "iban": CANARY, "town": "Zug"}, "bad-address"),
    ],
)
def test_what_cannot_be_right_is_refused_with_a_code(desk: Desk, form: dict[str, str], code: str) -> None:
    assert desk.refused(P1, "bank_details.rehearse", **form) == code
    assert desk.refused(P1, "bank_details.enter", **form) == code
    assert desk.ask(P1, "bank_details.history") == []


def test_a_partner_asks_for_himself_whatever_he_says(desk: Desk) -> None:
    desk.office.details("P2")
    assert desk.ask(P1, "bank_details.history", partner_id="P2") == []
    assert len(desk.ask(VIEWER, "bank_details.history", partner_id="P2")) == 1
    assert desk.refused(Actor(Role.PARTNER, "P1", "P1"), "bank_details.enter", account_holder="K", iban=CANARY) == (
        "not-allowed"
    )
    assert desk.refused(CLERK, "bank_details.enter", account_holder="K", iban=CANARY) == "not-allowed"
    assert desk.refused(P1, "holds.list") == desk.refused(P1, "runs.list") == "not-allowed"


def test_what_is_owed_to_a_partner_is_told(payable: Desk) -> None:
    assert payable.ask(P1, "money.of_partner") == [{"currency": "EUR", "amount_minor": 75_000}]
    assert payable.ask(VIEWER, "money.of_partner", partner_id="P9") == []


def test_holds_are_seen_lifted_and_partners_blocked(desk: Desk) -> None:
    desk.office.details("P1")
    for quarter in ("2026Q1", "2026Q2", "2026Q3"):
        desk.office.sells("P1", 10, quarter)
    desk.office.sells("P1", 50)
    desk.office.closes("P1", 75_000, units=50)
    desk.office.recount()
    (hold,) = desk.ask(VIEWER, "holds.list")
    assert (hold["code"], hold["ends"]) == ("unusual-units", "holds lift")
    which = {"obligation": hold["obligation"]}
    assert desk.ask(VIEWER, "holds.describe", **which)["units"] == 50
    assert desk.refused(VIEWER, "holds.lift", **which, note="seen") == "not-allowed"
    assert desk.refused(CLERK, "holds.lift", **which, note=" ") == "bad-text"
    assert desk.refused(Actor(Role.OPERATOR, ""), "holds.lift", **which, note="seen") == "no-name"
    assert desk.ask(CLERK, "holds.lift", **which, note="invoices seen") == "unusual-units"
    desk.office.recount()
    assert desk.ask(VIEWER, "holds.list") == []
    assert desk.ask(CLERK, "holds.block", partner_id="P1", reason="court order 17") is True
    assert desk.ask(CLERK, "holds.block", partner_id="P1", reason="again") is False
    desk.office.recount()
    shown = desk.ask(VIEWER, "holds.describe", **which)
    assert (shown["code"], shown["blocks"][0]["decided_by"]) == ("partner-blocked", "A. Clerk")
    assert [lift["lifted_by"] for lift in shown["lifts"]] == ["A. Clerk"]
    assert desk.refused(CLERK, "holds.lift", **which, note="no") == "not-liftable"
    assert desk.ask(CLERK, "holds.unblock", partner_id="P1") is True
    assert desk.refused(CLERK, "holds.block", partner_id="P/1", reason="x") == "bad-partner-id"
    assert desk.refused(CLERK, "holds.describe", obligation="nonsense") == "unknown-obligation"


def test_two_people_bring_a_run_to_its_file(payable: Desk) -> None:
    desk = payable
    assert desk.refused(VIEWER, "runs.prepare") == "not-allowed"
    (made,) = desk.ask(CLERK, "runs.prepare")
    run = {"run": made["msg_id"]}
    assert desk.ask(CLERK, "runs.prepare") == []
    assert desk.refused(CLERK, "runs.approve", **run) == "not-allowed"
    assert desk.refused(HEAD, "runs.release", **run) == "not-approved"
    assert desk.ask(HEAD, "runs.approve", **run) == 0
    assert desk.refused(HEAD, "runs.approve", **run) == "approved-before"
    shown = desk.ask(VIEWER, "runs.show", **run)
    assert (shown["state"], shown["approvals"][0]["by"]) == ("approved", "B. Head")
    assert iban_of("P1") not in json.dumps(shown)
    assert desk.ask(HEAD, "runs.release", **run) == {"msg_id": run["run"], "payments": 1, "total_minor": 75_000}
    assert desk.hurried == 1
    assert desk.ask(VIEWER, "runs.list")["runs"][0]["state"] == "released"
    assert desk.refused(CLERK, "runs.file", **run) == "not-allowed"
    file = desk.ask(HEAD, "runs.file", **run)
    assert file["name"] == f"{run['run']}.xml"
    assert iban_of("P1").encode() in b64decode(file["content"])


def test_nobody_approves_what_he_prepared_nor_goes_by_payouts_own_name(payable: Desk) -> None:
    desk = payable
    for name in ("system", "Automatic", " "):
        assert desk.refused(Actor(Role.APPROVER, name), "runs.prepare") == "no-name"
    (made,) = desk.ask(HEAD, "runs.prepare")
    assert desk.refused(HEAD, "runs.approve", run=made["msg_id"]) == "own-run"
    assert desk.ask(CHIEF, "runs.approve", run=made["msg_id"]) == 0


def test_a_large_run_needs_two_who_did_not_prepare_it(payable: Desk) -> None:
    desk = payable
    desk.open.close()
    desk.office.set(payout_second_approval_euros=100)
    large = Desk(desk.office)
    (made,) = large.ask(CLERK, "runs.prepare")
    run = {"run": made["msg_id"]}
    assert large.ask(HEAD, "runs.approve", **run) == 1
    assert large.refused(HEAD, "runs.release", **run) == "not-approved"
    assert large.ask(CHIEF, "runs.approve", **run) == 0
    assert large.ask(HEAD, "runs.release", **run)["payments"] == 1
    large.open.close()


def test_a_run_is_given_up_with_a_reason(payable: Desk) -> None:
    desk = payable
    (made,) = desk.ask(CLERK, "runs.prepare")
    run = {"run": made["msg_id"]}
    assert desk.refused(CLERK, "runs.void", **run, reason="") == "bad-text"
    desk.ask(CLERK, "runs.void", **run, reason="wrong day")
    shown = desk.ask(VIEWER, "runs.show", **run)
    assert (shown["state"], shown["reason"], shown["closed_by"]) == (RunState.VOID, "wrong day", "A. Clerk")
    assert desk.refused(CLERK, "runs.void", **run, reason="again") == "not-waiting"
    assert desk.refused(HEAD, "runs.approve", **run) == "not-waiting"
    for operation in ("runs.show", "runs.file", "runs.approve", "runs.release"):
        assert desk.refused(HEAD, operation, run="RB-1") == "unknown-run"


def test_a_database_in_doubt_pays_nothing_and_reads_no_answer(payable: Desk) -> None:
    desk = payable
    (made,) = desk.ask(CLERK, "runs.prepare")
    desk.ask(HEAD, "runs.approve", run=made["msg_id"])
    desk.doubt = "it was restored from an old backup"
    assert desk.refused(HEAD, "runs.release", run=made["msg_id"]) == "in-doubt"
    assert desk.refused(CLERK, "runs.prepare") == "in-doubt"
    assert desk.refused(CLERK, "bank.take", name="x.xml", content="") == "in-doubt"
    assert [said.status for said in desk.office.published()] == ["payable"]


def test_the_banks_answers_are_read_and_its_silence_shown(payable: Desk) -> None:
    desk = payable
    (made,) = desk.ask(CLERK, "runs.prepare")
    desk.ask(HEAD, "runs.approve", run=made["msg_id"])
    desk.ask(HEAD, "runs.release", run=made["msg_id"])
    (run,) = desk.ask(VIEWER, "bank.standing")["runs"]
    assert (run["msg_id"], run["payments"]) == (made["msg_id"], {"released": 1})
    accepted = report(made["msg_id"], "ACCP")
    assert desk.refused(VIEWER, "bank.take", name="a.xml", content=accepted) == "not-allowed"
    assert desk.ask(CLERK, "bank.take", name="a.xml", content=accepted)["payments"] == {"accepted": 1}
    assert desk.ask(CLERK, "bank.take", name="a.xml", content=accepted)["repeated"] is True
    assert desk.refused(CLERK, "bank.take", name="b.xml", content=b"<!DOCTYPE x>") == "unreadable"
    stray = statement([Movement("", "1.00", reference="R1", msg_id="RB-20990101-ABCD")])
    assert desk.ask(CLERK, "bank.take", name="c.xml", content=stray)["unmatched"] == 1
    standing = desk.ask(VIEWER, "bank.standing")
    assert standing["runs"][0]["payments"] == {"accepted": 1}
    (strange,) = standing["unmatched"]
    assert iban_of("debtor") not in json.dumps(standing)
    assert desk.refused(CLERK, "bank.clear", number=strange["id"], because=" ") == "bad-text"
    desk.ask(CLERK, "bank.clear", number=strange["id"], because="of other business")
    assert desk.ask(VIEWER, "bank.standing")["unmatched"] == []
