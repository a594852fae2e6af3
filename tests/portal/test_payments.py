"""Payment runs and held payments in the portal: who may, what follows, what is noted, and payout away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.portal.audit import Wanted, entries
from services.portal.auth import Role
from streams.rules.terms import Programme
from tests.payout.office import iban_of
from tests.portal.beside import Town, send, town

CLERK, HEAD = "A. Clerk", "B. Head"


@pytest.fixture
def paying(tmp_path: Path, programme: Programme) -> Iterator[Town]:
    """A portal beside payout, which owes P1 750 euros."""
    with town(tmp_path, programme, "payout") as made:
        made.earns("P1")
        yield made


def noted(town: Town) -> list[tuple[str, str]]:
    """Who did what, the first one first."""
    with town.site.engine.connect() as connection:
        return [(row.who, row.what) for row in reversed(entries(connection, Wanted()).rows)]


def prepared(town: Town) -> str:
    """The address of a run that a clerk has prepared."""
    answer = send(town.staff(CLERK, Role.OPERATOR), "/payments", "/payments/prepare")
    assert answer.headers["location"] == "/payments?done=runs-prepared"
    page = town.staff(CLERK, Role.OPERATOR).get("/payments").text
    return page.split('<th scope="row"><a href="')[1].split('"')[0]


def test_two_people_bring_a_run_from_its_preparation_to_its_file(paying: Town) -> None:
    run = prepared(paying)
    clerk, head = paying.staff(CLERK, Role.OPERATOR), paying.staff(HEAD, Role.APPROVER)
    shown = clerk.get(run).text
    assert "It still needs the approval of 1 person." in shown
    assert "You have prepared it, so somebody else must approve it." in shown
    assert "Approve</button>" not in shown
    answer = send(head, run, f"{run}/approve")
    assert answer.headers["location"] == f"{run}?done=run-approved"
    shown = head.get(answer.headers["location"]).text
    assert "You have approved this run." in shown
    assert "Release and pay" in shown
    assert send(head, run, f"{run}/release").status_code == 303
    shown = head.get(run).text
    assert "Released" in shown
    assert f"<dd>{HEAD}, " in shown
    (written,) = Path(paying.settings.payments).glob("RB-*.xml")
    file = send(head, run, f"{run}/file")
    assert file.content == written.read_bytes()
    assert iban_of("P1").encode() in file.content
    assert written.name in file.headers["content-disposition"]
    assert noted(paying) == [
        (f"staff {CLERK}", "runs-prepared"),
        (f"staff {HEAD}", "run-approved"),
        (f"staff {HEAD}", "run-released"),
        (f"staff {HEAD}", "run-file-taken"),
    ]


def test_who_prepared_a_run_is_told_that_another_must_approve_it(paying: Town) -> None:
    head = paying.staff(HEAD, Role.APPROVER)
    send(head, "/payments", "/payments/prepare")
    run = head.get("/payments").text.split('<th scope="row"><a href="')[1].split('"')[0]
    assert "Approve</button>" not in head.get(run).text
    answer = send(head, run, f"{run}/approve")
    assert answer.status_code == 409
    assert "Somebody else must approve it." in answer.text
    assert send(head, run, f"{run}/release").status_code == 409
    assert [what for _, what in noted(paying)] == ["runs-prepared"]


def test_a_run_is_given_up_with_a_reason(paying: Town) -> None:
    run, clerk = prepared(paying), paying.staff(CLERK, Role.OPERATOR)
    empty = send(clerk, run, f"{run}/give-up", reason="  ")
    assert empty.status_code == 409
    assert "at most 500 characters" in empty.text
    assert send(clerk, run, f"{run}/give-up", reason="wrong day").status_code == 303
    shown = clerk.get(run).text
    assert "Given up" in shown
    assert "wrong day" in shown
    again = send(clerk, "/payments", f"{run}/give-up", reason="x")
    assert again.status_code == 409
    assert "somebody was quicker" in again.text


def test_nothing_payable_is_said_so(paying: Town) -> None:
    prepared(paying)
    answer = send(paying.staff(CLERK, Role.OPERATOR), "/payments", "/payments/prepare")
    assert answer.status_code == 409
    assert "Nothing is payable" in answer.text


def test_runs_and_payments_are_lists_without_accounts(paying: Town) -> None:
    run, viewer = prepared(paying), paying.staff("V. Looker", Role.VIEWER)
    for path in ("/payments/list", f"{run}/list", "/holds/list"):
        assert viewer.get(f"{path}.xlsx").content[:2] == b"PK"
        assert viewer.get(f"{path}.pdf").status_code == 404
    listed = viewer.get(f"{run}/list.csv").text
    assert "P1;DE…" in listed
    assert "750,00" in listed
    assert iban_of("P1") not in listed + viewer.get(run).text


@pytest.mark.parametrize(
    ("role", "refused"),
    [
        (Role.VIEWER, ["prepare", "approve", "release", "give-up", "file", "lift", "block"]),
        (Role.OPERATOR, ["approve", "release", "file"]),
    ],
)
def test_a_role_does_what_it_may_and_no_page_offers_more(paying: Town, role: Role, refused: list[str]) -> None:
    run = prepared(paying)
    browser = paying.staff("Somebody", role)
    paths = {name: f"{run}/{name}" for name in ("approve", "release", "give-up", "file")}
    paths |= {"prepare": "/payments/prepare", "lift": "/holds/lift", "block": "/holds/block"}
    before = len(noted(paying))
    for name in refused:
        assert send(browser, run, paths[name], reason="x", partner="P1").status_code == 404
        for page in (run, "/payments", "/holds"):
            assert f'action="{paths[name]}"' not in browser.get(page).text
    assert len(noted(paying)) == before


def test_a_partner_sees_nothing_of_it(paying: Town) -> None:
    partner = paying.partner("P1", confirmed=True)
    for path in ("/payments", prepared(paying), "/holds", "/payments/list.csv", "/holds/list.csv"):
        assert partner.get(path).status_code == 404


def test_a_hold_is_looked_at_and_let_go(paying: Town) -> None:
    for quarter in ("2026Q1", "2026Q2", "2026Q3"):
        paying.payout.sells("P2", 10, quarter)
    paying.earns("P2")
    clerk = paying.staff(CLERK, Role.OPERATOR)
    page = clerk.get("/holds").text
    assert "far more than in an average quarter" in page
    hold = page.split('<th scope="row"><a href="')[1].split('"')[0]
    shown = clerk.get(hold).text
    assert "10, 10, 10" in shown
    obligation = hold.removeprefix("/holds/of/")
    assert send(clerk, hold, "/holds/lift", obligation=obligation, note="").status_code == 409
    answer = send(clerk, hold, "/holds/lift", obligation=obligation, note="invoices seen")
    assert answer.headers["location"] == f"{hold}?done=hold-lifted"
    paying.payout.recount()
    shown = clerk.get(answer.headers["location"]).text
    assert "invoices seen" in shown
    assert "It is not held up." in shown
    assert send(clerk, hold, "/holds/lift", obligation=obligation, note="again").status_code == 409
    assert noted(paying) == [(f"staff {CLERK}", "hold-lifted")]
    assert clerk.get("/holds/of/nonsense").status_code == 404


def test_a_partner_is_blocked_and_unblocked(paying: Town) -> None:
    clerk = paying.staff(CLERK, Role.OPERATOR)
    wrong = send(clerk, "/holds", "/holds/block", partner="P/1", reason="x")
    assert wrong.status_code == 409
    assert 'value="P/1"' in wrong.text
    assert send(clerk, "/holds", "/holds/block", partner="P1", reason="court order 17").status_code == 303
    paying.payout.recount()
    page = clerk.get("/holds").text
    assert "Somebody has blocked all payments to this partner." in page
    hold = page.split('<th scope="row"><a href="')[1].split('"')[0]
    assert "court order 17" in clerk.get(hold).text
    fields = {"obligation": hold.removeprefix("/holds/of/"), "partner": "P1", "reason": ""}
    assert send(clerk, hold, "/holds/unblock", **fields).headers["location"] == f"{hold}?done=partner-unblocked"
    paying.payout.recount()
    assert "Nothing is held up." in clerk.get("/holds").text
    assert [what for _, what in noted(paying)] == ["partner-blocked", "partner-unblocked"]


def test_while_payout_is_away_its_pages_say_so_and_the_others_work(paying: Town) -> None:
    run, clerk = prepared(paying), paying.staff(CLERK, Role.OPERATOR)
    send(clerk, "/payments", "/payments/prepare")
    mark = {"reason": "wrong day"}
    sent = clerk.get(run)
    paying.closes("payout")
    for path in ("/payments", run, "/holds", "/holds/of/topseller/P1/2026Q4/1", "/holds/list.csv"):
        answer = clerk.get(path)
        assert answer.status_code == 503
        assert "does not answer. Nothing is lost and nothing was changed." in answer.text
        assert answer.headers["retry-after"] == "10"
    assert clerk.get("/programme").status_code == 200
    before = noted(paying)
    form = {"mark": sent.text.split('name="mark" value="')[1].split('"')[0]} | mark
    assert clerk.post(f"{run}/give-up", data=form).status_code == 503
    assert noted(paying) == before
    paying.opens("payout")
    assert clerk.get(run).status_code == 200
