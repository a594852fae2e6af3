"""The whole story once, through nothing but commands, mails, pages and files: a quarter from its first report to the
bank, while each process is killed once."""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path

import pytest

from deploy.demo.check import paid_by_iban
from tests.conftest import free_ports
from tests.story import report
from tests.story.commands import Browser, Staffel
from tests.story.report import BANK_HEADER, IBANS, PARTNERS_HEADER, SALES_HEADER, UNITS, address, write
from tests.waiting import until

PROCESSES = ("worker", "notification", "payout", "portal", "mail", "registry", "kafka")
WAIT: tuple[str, ...] = ("--wait", "180")
LONG = 180
"""Seconds that something may take on a slow machine."""
QUIET = 4
"""Seconds without a mail after which none is expected any more."""


def test_a_quarter_from_the_first_report_to_the_bank(tmp_path: Path) -> None:
    staffel = Staffel(tmp_path / "data", free_ports(), "2026-12-10T09:00:00Z")
    try:
        assert staffel.wait_ready()["event"] == "ready"
        assert staffel.json("status")["ready"]
        _partners_are_registered(staffel, tmp_path)
        _every_process_is_killed_during_the_import(staffel)
        _standings_are_right(staffel)
        _the_same_file_again_changes_nothing(staffel, tmp_path)
        _a_bad_row_is_told_and_stops_nothing(staffel, tmp_path)
        _on_monday_everybody_gets_a_mail_with_a_link(staffel)
        _a_unit_lifts_a_tier_and_takes_it_down_again(staffel)
        _the_quarter_ends(staffel)
        _late_reports_still_count(staffel, tmp_path)
        _the_final_close_is_paid(staffel)
        _bank_details_that_come_late_are_paid_late(staffel, tmp_path)
        _a_late_return_is_a_clawback(staffel)
        _nothing_was_told_twice(staffel)
        _an_auditor_finds_nothing(staffel)
        before = _everything(staffel)
        assert staffel.down() == 0
        staffel = Staffel(tmp_path / "data", staffel.port_base, "2026-12-10T09:00:00Z")
        staffel.wait_ready()
        assert _everything(staffel) == before
        assert staffel.down() == 0
    finally:
        staffel.abandon()


def _partners_are_registered(staffel: Staffel, folder: Path) -> None:
    partners = write(folder / "partners.csv", PARTNERS_HEADER, report.partner_rows())
    assert staffel.json("partners", "import", str(partners))["new"] == len(UNITS)
    assert staffel.json("partners", "import", str(partners))["unchanged"] == len(UNITS)
    bank = write(folder / "bank.csv", BANK_HEADER, report.bank_rows())
    assert staffel.json("bank-details", "import", str(bank))["new"] == len(IBANS)


def _every_process_is_killed_during_the_import(staffel: Staffel) -> None:
    rows = report.sales_rows()
    share = len(rows) // (len(PROCESSES) + 1)
    importing = staffel.importing("sales")
    assert importing.stdin is not None
    importing.stdin.write(SALES_HEADER + "\n")
    for number, name in enumerate(PROCESSES):
        importing.stdin.writelines(f"{row}\n" for row in rows[number * share : (number + 1) * share])
        importing.stdin.flush()
        staffel.kill(name)
    importing.stdin.writelines(f"{row}\n" for row in rows[len(PROCESSES) * share :])
    out, errors = importing.communicate(timeout=LONG)
    assert importing.returncode == 0, f"{out}\n{errors}"
    assert errors.count("Kafka does not answer") <= 1, errors  # said in plain words, and not again and again
    assert "rdkafka" not in errors
    until(staffel.is_ready, LONG, "everything is ready after the kills")


def _standings_are_right(staffel: Staffel) -> None:
    expected = report.recount(report.sales_rows())
    assert {id_: right.units for id_, right in expected.items()} == {id_: n for id_, n in UNITS.items() if n}
    wait = WAIT
    for partner_id, right in expected.items():
        found = staffel.json("standing", partner_id, "--quarter", "2026Q4", *wait)
        assert (found["units"], found["tier"], found["rebate_minor"]) == right, partner_id
        assert found["phase"] == "open"
        wait = ()  # nothing was reported since


def _an_auditor_finds_nothing(staffel: Staffel) -> None:
    found = staffel.json("verify")
    assert (found["differences"], found["moving"], found["forgotten"]) == ([], 0, 0)
    assert found["compared"] >= len(UNITS)


def _the_same_file_again_changes_nothing(staffel: Staffel, folder: Path) -> None:
    mails = _mails_at_rest(staffel)
    sales = write(folder / "sales.csv", SALES_HEADER, report.sales_rows())
    assert staffel.json("sales", "import", str(sales))["refused"] == 0
    for partner_id in ("S-49", "S-BIG"):
        assert staffel.json("standing", partner_id, *WAIT)["units"] == UNITS[partner_id]
    assert _mails_at_rest(staffel) == mails


def _a_bad_row_is_told_and_stops_nothing(staffel: Staffel, folder: Path) -> None:
    good, bad = "sale,B-1,B-1,S-0,ACC-1,1,2026-11-02,", "sale,B-2,B-2,S-0,TS-100,many,2026-11-02,"
    mixed = write(folder / "mixed.csv", SALES_HEADER, [bad, good])
    said = staffel.json("sales", "import", str(mixed), "--rejects", str(folder / "refused.csv"), exits=3)
    assert (said["sent"], said["refused"]) == (1, 1)
    assert "B-2" in (folder / "refused.csv").read_text("utf-8")
    found = staffel.json("standing", "S-0", *WAIT)
    assert (found["units"], found["sales"]["rejected"]) == (0, 1)


def _on_monday_everybody_gets_a_mail_with_a_link(staffel: Staffel) -> None:
    staffel.run("clock", "to", "2026-12-14T07:05:00Z")
    _everybody_is_told(staffel, "so far")
    page = Browser(f"http://127.0.0.1:{staffel.port_base}")
    mail = _with(staffel, address("S-49"), "so far")[0]
    text = staffel.mail_text(mail)
    assert "49" in text
    assert "260" in text  # what one more unit is worth
    link = re.search(r"http://\S+/l/\S+", text)
    assert link, text
    shown = page.enter(link[0])
    assert "49" in shown
    assert "490" in shown
    assert "260" in shown
    assert "S-50" not in shown


def _a_unit_lifts_a_tier_and_takes_it_down_again(staffel: Staffel) -> None:
    sold = staffel.json("sell", "S-49", "TS-300", "--qty", "1", "--on", "2026-12-09", *WAIT)
    assert sold["status"] == "counted"
    assert sold["tally"]["rebate_minor"] == 75_000
    back = staffel.json("take-back", "S-49", sold["sale_id"], *WAIT)
    assert back["tally"]["rebate_minor"] == 49_000


def _the_quarter_ends(staffel: Staffel) -> None:
    staffel.run("clock", "to", "2027-01-01T11:00:00Z")
    _everybody_is_told(staffel, "provisional")
    found = staffel.json("standing", "S-50", "--quarter", "2026Q4", *WAIT)
    assert (found["phase"], found["revision"], found["payable_minor"]) == ("provisional", 0, 0)


def _late_reports_still_count(staffel: Staffel, folder: Path) -> None:
    late = write(folder / "late.csv", SALES_HEADER, ["sale,LATE-1,LATE-1,S-9,TS-900,1,2026-12-29,"])
    staffel.run("sales", "import", str(late))
    found = staffel.json("standing", "S-9", "--quarter", "2026Q4", *WAIT)
    assert (found["units"], found["rebate_minor"]) == (10, 5_000)


def _the_final_close_is_paid(staffel: Staffel) -> None:
    staffel.run("clock", "to", "2027-01-29T00:30:00Z")
    _everybody_is_told(staffel, r", final")
    expected = report.recount([*report.sales_rows(), "sale,L,L,S-9,TS-900,1,2026-12-29,"])
    due = {IBANS[id_]: right.rebate_minor for id_, right in expected.items() if id_ in IBANS}
    _let_days_pass_until_paid(staffel, due, "2027-01-29T09:30:00Z")
    for partner_id in ("S-9", "S-50", "S-NOBANK"):
        found = staffel.json("standing", partner_id, "--quarter", "2026Q4")
        assert (found["phase"], found["payable_minor"]) == ("final", expected[partner_id].rebate_minor), partner_id


def _bank_details_that_come_late_are_paid_late(staffel: Staffel, folder: Path) -> None:
    partner_id, iban = report.LATER_IBAN
    assert iban not in paid_by_iban(_payment_files(staffel))
    bank = write(folder / "later.csv", BANK_HEADER, [f"{partner_id},Reseller {partner_id},{iban}"])
    staffel.run("bank-details", "import", str(bank))
    _let_days_pass_until_paid(staffel, {iban: 30_000}, "2027-02-01T09:30:00Z")  # a Monday


def _a_late_return_is_a_clawback(staffel: Staffel) -> None:
    paid = paid_by_iban(_payment_files(staffel))
    sale = next(row.split(",") for row in report.sales_rows() if row.startswith("sale,S-50-1,"))
    back = staffel.json("take-back", "S-50", sale[1], "--qty", "1", *WAIT)
    assert (back["tally"]["units"], back["tally"]["payable_minor"]) == (49, 49_000)
    mail = until(lambda: _with(staffel, address("S-50"), "corrected"), LONG, "the mail on the correction")[0]
    assert "260" in mail["subject"]
    staffel.run("clock", "advance", "4d")
    _mails_at_rest(staffel)
    assert paid_by_iban(_payment_files(staffel)) == paid


def _nothing_was_told_twice(staffel: Staffel) -> None:
    """A mail's id is its event's. A kill between the server's answer and our note of it repeats that one mail."""
    ids = Counter(mail["message_id"] for mail in staffel.mails())
    repeated = sum(number - 1 for number in ids.values())
    assert repeated <= 2, "more than the kills of notification and mail catcher can explain"
    for partner_id in UNITS:
        for subject in ("provisional", r", final"):
            told = {mail["message_id"] for mail in _with(staffel, address(partner_id), subject)}
            assert len(told) == 1, f"{partner_id}: {subject}"


def _let_days_pass_until_paid(staffel: Staffel, due: dict[str, int], first: str) -> None:
    """Payment runs are on bank days at ten; what is not payable by then is in the next one."""
    staffel.run("clock", "to", first)
    for _ in range(6):
        try:
            until(lambda: due.items() <= paid_by_iban(_payment_files(staffel)).items(), 20, "payments")
        except AssertionError:
            staffel.run("clock", "advance", "1d")
        else:
            return
    pytest.fail(f"not paid: {due}; the files pay {paid_by_iban(_payment_files(staffel))}")


def _payment_files(staffel: Staffel) -> list[Path]:
    return sorted((staffel.data / "payments").glob("*.xml"))


def _everybody_is_told(staffel: Staffel, subject: str) -> None:
    wanted = {address(partner_id) for partner_id in UNITS}
    until(
        lambda: {mail["to"] for mail in _with(staffel, "", subject)} >= wanted, LONG, f"a mail on {subject!r} for all"
    )


def _with(staffel: Staffel, to: str, subject: str) -> list[dict[str, str]]:
    return [mail for mail in staffel.mails(to) if re.search(subject, mail["subject"])]


def _mails_at_rest(staffel: Staffel) -> int:
    """How many mails there are once no more come."""
    seen = [(time.monotonic(), len(staffel.mails()))]

    def quiet() -> bool:
        if (number := len(staffel.mails())) != seen[-1][1]:
            seen.append((time.monotonic(), number))
        return time.monotonic() - seen[-1][0] > QUIET

    until(quiet, LONG, "no more mails come")
    return seen[-1][1]


def _everything(staffel: Staffel) -> tuple[object, ...]:
    """What must survive a restart."""
    standings = [staffel.json("standing", id_, "--quarter", "2026Q4", *WAIT) for id_ in ("S-50", "S-BIG")]
    ids = sorted({mail["message_id"] for mail in staffel.mails()})
    return standings, ids, sorted(paid_by_iban(_payment_files(staffel)).items())
