"""What must not be passed over: silence, gaps between statements, and what fits nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from prometheus_client import REGISTRY

from deploy.runtime.errors import StaffelError
from services.payout.answers import gaps, metrics, unmatched
from services.payout.answers.codes import KNOWN, WRONG_ACCOUNT, label
from services.payout.answers.folder import Folder
from services.payout.answers.overview import silence, standings
from services.payout.answers.rules import Unmatched
from services.payout.bank_days import bank_hours
from services.payout.states import PaymentState
from tests.payout.answers.bank import DAY, Movement, ids_of, paid, report, run_id, says, statement
from tests.payout.answers.bank import unmatched as waiting
from tests.payout.office import FINAL, PROGRAMME, Office

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("since", "now", "hours"),
    [
        ("2027-01-29T12:00", "2027-01-29T18:00", 6),
        ("2027-01-29T12:00", "2027-01-31T23:00", 12),
        ("2027-01-29T12:00", "2027-02-01T12:00", 24),
        ("2027-01-30T12:00", "2027-02-01T01:00", 1),
        ("2026-12-24T23:00", "2026-12-28T02:00", 3),
        ("2027-01-29T12:00", "2027-01-29T11:00", 0),
    ],
)
def test_only_hours_of_bank_days_count(since: str, now: str, hours: float) -> None:
    moments = [datetime.fromisoformat(moment).replace(tzinfo=BERLIN) for moment in (since, now)]
    assert bank_hours(*moments) == hours


def test_a_silent_bank_is_told_of_after_a_bank_day_and_not_over_a_weekend(desk: Office) -> None:
    paid(desk, "P1", "P2")  # released on a Friday at 13:00 in Berlin
    with desk.engine.connect() as connection:
        assert silence(connection, BERLIN, datetime(2027, 2, 1, 11, tzinfo=UTC), 24) == (0, 0)
        assert silence(connection, BERLIN, datetime(2027, 2, 1, 13, tzinfo=UTC), 24) == (2, 0)


def test_what_was_accepted_and_is_not_debited_is_told_of_after_its_day(office: Office) -> None:
    paid(office, "P1")  # to be executed on Monday
    says(office, report(run_id(office), "ACCP"))
    with office.engine.connect() as connection:
        assert silence(connection, BERLIN, datetime(2027, 2, 2, 12, tzinfo=UTC), 24) == (0, 0)
        assert silence(connection, BERLIN, datetime(2027, 2, 3, 1, tzinfo=UTC), 24) == (0, 1)
        (found,) = standings(connection, BERLIN, datetime(2027, 2, 3, 1, tzinfo=UTC))
    assert (found.payments, round(found.silent_hours)) == ({PaymentState.ACCEPTED: 1}, 26)
    says(office, statement([Movement(ids_of(office)["P1"])]))
    with office.engine.connect() as connection:
        assert silence(connection, BERLIN, datetime(2027, 3, 1, tzinfo=UTC), 24) == (0, 0)
        assert standings(connection, BERLIN, datetime(2027, 3, 1, tzinfo=UTC))[0].silent_hours == 0


def found(office: Office) -> list[tuple[str, str, int]]:
    with office.engine.connect() as connection:
        return [(gap.statement_id, gap.what, gap.difference_minor) for gap in gaps.gaps(connection)]


def told(office: Office, number: int, opening: int, closing: int, day: date, movements: int = 0) -> None:
    lines = [Movement("SALARY", "1.00")] * movements
    says(office, statement(lines, "camt.053", f"S{number}", opening=opening, closing=closing, sequence=number, day=day))


def test_a_missing_statement_shows_until_it_is_read(office: Office) -> None:
    told(office, 7, 1_000, 900, DAY, movements=1)
    told(office, 9, 700, 700, DAY + timedelta(days=2))
    assert found(office) == [("S9", "statement-missing", -200)]
    told(office, 8, 900, 700, DAY + timedelta(days=1), movements=2)
    assert found(office) == []


@pytest.mark.parametrize(
    ("second", "what", "difference"),
    [
        ((8, 950, 950), "balance-differs", 50),
        ((7, 900, 900), "number-twice", 0),
        ((8, 900, 850), "movement-missing", -50),
    ],
)
def test_statements_that_do_not_follow_one_another_are_told_of(
    office: Office, second: tuple[int, int, int], what: str, difference: int
) -> None:
    told(office, 7, 1_000, 900, DAY, movements=1)
    number, opening, closing = second
    content = statement(
        (), statement_id="SX", opening=opening, closing=closing, sequence=number, day=DAY + timedelta(1)
    )
    says(office, content)
    assert found(office) == [("SX", what, difference)]
    gaps.clear(office.engine, "SX", "the bank has confirmed it", FINAL)
    assert found(office) == []
    with pytest.raises(StaffelError, match="no statement"):
        gaps.clear(office.engine, "SX", "again", FINAL)


def test_numbers_may_begin_anew_with_the_year_and_statements_may_have_none(desk: Office) -> None:
    told(desk, 250, 100, 100, date(2026, 12, 31))
    told(desk, 1, 100, 100, date(2027, 1, 4))
    says(desk, statement((), statement_id="N", opening=100, closing=100, day=date(2027, 1, 5)))
    says(desk, statement((), statement_id="O", day=date(2027, 1, 6)))
    assert found(desk) == []


def test_what_was_looked_into_is_cleared_once_and_does_not_come_back(desk: Office) -> None:
    id_ = paid(desk, "P1")["P1"]
    says(desk, statement([Movement(id_, "1.00")]))
    with desk.engine.connect() as connection:
        (row,) = unmatched.open_ones(connection)
    unmatched.clear(desk.engine, row.id, "the bank was wrong", FINAL)
    assert waiting(desk) == []
    says(desk, statement([Movement(id_, "1.00")], "camt.054", "N1"))
    assert waiting(desk) == []
    with pytest.raises(StaffelError, match="nothing unmatched"):
        unmatched.clear(desk.engine, row.id, "again", FINAL)


def test_metrics_tell_of_all_of_it_under_known_labels(office: Office) -> None:
    ids = paid(office, "P1", "P2")
    folder = Folder(office.settings.data / "bank")
    (folder.path / "refused").mkdir()
    (folder.path / "refused" / "a.xml").write_bytes(b"x")
    (folder.path / "refused" / "a.xml.txt").write_bytes(b"why")
    before = sample("payout_attempts_total", state="rejected", reason="other") or 0
    metrics.count(says(office, report(run_id(office), transactions=[(ids["P1"], "RJCT", "QQ99")])))
    metrics.count(says(office, statement([Movement("270129-AAAAAAAAA")], opening=0, closing=0)))
    with office.engine.connect() as connection:
        metrics.measure(connection, folder.path, PROGRAMME.zone, FINAL + timedelta(days=9), 24)
    assert sample("payout_attempts_total", state="rejected", reason="other") == before + 1
    assert sample("payout_bank_unmatched", reason="unknown-payment") == 1
    assert sample("payout_bank_silent_payments", waits_for="answer") == 1
    assert sample("payout_bank_refused_files") == 1
    assert sample("payout_statement_gaps") == 1


def sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_only_known_codes_become_labels() -> None:
    assert (label("AC04"), label("QQ99"), label("other"), label(None)) == ("AC04", "other", "other", "")
    assert WRONG_ACCOUNT < KNOWN
    assert all(len(reason) <= 24 for reason in Unmatched)
