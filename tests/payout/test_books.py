"""The ledger in the bookkeeper's programs: the same money, the same bytes each time."""

from __future__ import annotations

import csv
import io
import itertools
import re
import subprocess
import sys
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from deploy.runtime.errors import StaffelError, UsageError
from schemas.values import PARTNER_ID
from services.payout import ledger
from services.payout.books import Format, beancount, datev, table
from services.payout.books.chart import SHIPPED, assign, read_chart
from services.payout.books.export import Exported, export
from services.payout.books.period import Period
from services.payout.ledger import Journal, Posting
from services.payout.tables import journals, partner_accounts, postings
from tests.payout import datev as published
from tests.payout.office import FINAL, PROGRAMME, Office

OCTOBER = Period(date(2026, 10, 1), date(2026, 10, 31))
NOON = datetime(2026, 10, 15, 12, tzinfo=UTC)
CHART = read_chart(SHIPPED)
_numbers = itertools.count(1000)


def book(office: Office, *entries: Journal, at: datetime = NOON) -> None:
    with office.engine.begin() as connection:
        ledger.book(connection, entries, at)


def owed(number: int, partner_id: str, amount: int) -> Journal:
    key = f"obligation:topseller/{partner_id}/2026Q3/{number}"
    return ledger.transfer(key, ledger.EXPENSE, ledger.payable(partner_id), amount, "EUR")


def sent(number: int, partner_id: str, amount: int) -> Journal:
    return ledger.transfer(f"payment:{number}", ledger.payable(partner_id), ledger.IN_TRANSIT, amount, "EUR")


def a_month(office: Office) -> None:
    """Two partners, a clawback, a payment, one that the bank has executed, and something before and after."""
    book(office, owed(1, "P-before", 5_000), at=datetime(2026, 9, 30, 21, 59, tzinfo=UTC))
    book(office, owed(1, "P.2_x-y", 75_000), owed(1, "P1", 49_000), at=datetime(2026, 9, 30, 22, 0, tzinfo=UTC))
    book(office, sent(1, "P.2_x-y", 75_000), sent(2, "P1", 49_000))
    book(office, owed(2, "P1", -26_001))
    settled = ledger.transfer("settled:1", ledger.IN_TRANSIT, "asset:bank", 75_000, "EUR")
    book(office, settled, at=datetime(2026, 10, 31, 22, 59, tzinfo=UTC))
    book(office, owed(1, "P-after", 5_000), at=datetime(2026, 10, 31, 23, 0, tzinfo=UTC))


def exported(office: Office, chosen: Format, folder: Path, period: Period = OCTOBER) -> tuple[bytes, Exported]:
    out = folder / f"out.{chosen}"
    done = export(office.engine, PROGRAMME, chosen, period, out, FINAL, CHART)
    assert [path.name for path in folder.iterdir() if path.suffix == ".part"] == []
    return out.read_bytes(), done


def balances(office: Office, before: datetime) -> dict[str, int]:
    """What the ledger holds, counted here."""
    found: defaultdict[str, int] = defaultdict(int)
    with office.engine.connect() as connection:
        rows = connection.execute(
            select(postings.c.account, postings.c.amount_minor)
            .join(journals, journals.c.key == postings.c.journal)
            .where(journals.c.booked_at < before)
        )
        for account, amount in rows:
            found[account] += amount
    return {account: amount for account, amount in found.items() if amount}


def test_datev_holds_the_period_by_the_published_rules(office: Office, tmp_path: Path) -> None:
    a_month(office)
    content, done = exported(office, Format.DATEV, tmp_path)
    batch = published.read(content)
    assert done.journals == len(batch.rows) == 6
    assert batch.header["created"] == "20261031235959000"
    assert (batch.header["advisor"], batch.header["client"], batch.header["year"]) == ("1001", "1", "20260101")
    assert (batch.header["first"], batch.header["last"], batch.header["currency"]) == ("20261001", "20261031", "EUR")
    # Before the period there was nothing but P-before's 50 EUR.
    assert batch.balances == {
        8769: 75_000 + 49_000 - 26_001,
        70_000: 0,
        70_001: 49_000 - 49_000 + 26_001,
        1360: -75_000 - 49_000 + 75_000,
        1200: -75_000,
    }
    assert batch.rows[0][9] == "0110", "the day in Berlin, where the month had begun"
    assert batch.rows[-1][9] == "3110"
    assert batch.rows[0][13] == '"obligation:topseller/P.2_x-y/2026Q3/1"'


def test_partners_keep_the_accounts_that_they_got_first(office: Office, tmp_path: Path) -> None:
    a_month(office)
    exported(office, Format.DATEV, tmp_path)
    exported(office, Format.DATEV, tmp_path, Period(date(2026, 1, 1), date(2026, 12, 31)))
    book(office, owed(9, "A0", 500))
    content, _ = exported(office, Format.DATEV, tmp_path, Period(date(2026, 1, 1), date(2026, 12, 31)))
    with office.engine.connect() as connection:
        numbers = {row.partner_id: row.number for row in connection.execute(select(partner_accounts))}
    assert numbers == {"P.2_x-y": 0, "P1": 1, "P-before": 2, "P-after": 3, "A0": 4}
    assert published.read(content).balances[70_004] == -500


def test_a_journal_of_many_postings_becomes_pairs_that_come_to_the_same() -> None:
    postings = [Posting("a", 70, "EUR"), Posting("b", -50, "EUR"), Posting("c", 0, "EUR"), Posting("d", 30, "EUR")]
    assert list(datev.pairs([*postings, Posting("e", -50, "EUR")])) == [("a", "b", 50), ("a", "e", 20), ("d", "e", 30)]


@given(st.lists(st.integers(-(10**9), 10**9), max_size=12))
def test_pairs_lose_no_cent(amounts: list[int]) -> None:
    postings = [Posting(f"a{n}", amount, "EUR") for n, amount in enumerate([*amounts, -sum(amounts)])]
    found: defaultdict[str, int] = defaultdict(int)
    for debit, credit, amount in datev.pairs(postings):
        assert amount > 0
        found[debit] += amount
        found[credit] -= amount
    assert {p.account: p.amount_minor for p in postings if p.amount_minor} == dict(found)


def test_more_bookings_than_a_file_takes_go_into_further_files() -> None:
    sizes = [len(batch) for batch in datev.batches(iter([""] * 200_000))]
    assert sizes == [99_999, 99_999, 2]
    assert [len(batch) for batch in datev.batches(iter([]))] == [0]


def test_an_export_of_nothing_is_a_file_that_says_so(office: Office, tmp_path: Path) -> None:
    assert published.read(exported(office, Format.DATEV, tmp_path)[0]).rows == []
    assert exported(office, Format.BEANCOUNT, tmp_path)[1].journals == 0
    assert exported(office, Format.CSV, tmp_path)[0].count(b"\r\n") == 1


def test_a_period_over_two_fiscal_years_is_refused(office: Office, tmp_path: Path) -> None:
    period = Period(date(2026, 12, 31), date(2027, 1, 1))
    with pytest.raises(UsageError, match="2027-01-01"):
        export(office.engine, PROGRAMME, Format.DATEV, period, tmp_path / "x", FINAL, CHART)
    assert list(tmp_path.glob("x*")) == []


def test_another_currency_and_an_unknown_account_are_told_and_leave_no_file(office: Office, tmp_path: Path) -> None:
    book(office, ledger.transfer("odd", "expense:else", ledger.IN_TRANSIT, 1, "EUR"))
    with pytest.raises(UsageError, match="no number for expense:else"):
        exported(office, Format.DATEV, tmp_path)
    book(
        office,
        ledger.transfer("foreign", ledger.EXPENSE, ledger.IN_TRANSIT, 1, "SEK"),
        at=datetime(2026, 2, 1, tzinfo=UTC),
    )
    with pytest.raises(StaffelError, match="SEK"):
        exported(office, Format.DATEV, tmp_path, Period(date(2026, 2, 1), date(2026, 2, 1)))
    assert list(tmp_path.glob("out*")) == []


def test_partners_beyond_the_range_of_creditors_are_told() -> None:
    assert CHART.creditor(29_999) == 99_999
    with pytest.raises(StaffelError, match="more partners than creditors' accounts of 5 digits"):
        CHART.creditor(30_000)


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("advisor = 1001", "advisor = 1"),
        ("account_length = 4", "account_length = 9"),
        ('fiscal_year_start = "01-01"', 'fiscal_year_start = "02-30"'),
        ('"asset:bank" = 1200', '"asset:bank" = 12000'),
        ("client = 1", "clinet = 1"),
        ("[accounts]", "[accounts"),
    ],
)
def test_a_wrong_chart_of_accounts_is_told(tmp_path: Path, line: str, wrong: str) -> None:
    text = SHIPPED.read_text("utf-8")
    assert line in text
    path = tmp_path / "accounts.toml"
    path.write_text(text.replace(line, wrong), "utf-8")
    with pytest.raises(UsageError, match="is wrong"):
        read_chart(path)
    with pytest.raises(UsageError, match="can't read"):
        read_chart(tmp_path / "none.toml")


def test_a_fiscal_year_may_begin_on_any_day(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text(SHIPPED.read_text("utf-8").replace('"01-01"', '"04-01"'), "utf-8")
    chart = read_chart(path)
    assert chart.fiscal_year(date(2027, 3, 31)) == date(2026, 4, 1)
    assert chart.fiscal_year(date(2027, 4, 1)) == date(2027, 4, 1)


def test_what_is_booked_into_a_period_after_its_export_is_told_until_it_is_exported_again(
    office: Office, tmp_path: Path
) -> None:
    a_month(office)
    november = Period(date(2026, 11, 1), date(2026, 11, 30))
    assert exported(office, Format.CSV, tmp_path)[1].late == []
    book(office, owed(7, "P1", 100), owed(8, "P1", 100), at=NOON)
    assert exported(office, Format.DATEV, tmp_path, november)[1].late == [], "that program has never had October"
    assert exported(office, Format.CSV, tmp_path, november)[1].late == [(OCTOBER, 2)]
    assert exported(office, Format.CSV, tmp_path)[1].late == []


@pytest.mark.parametrize("chosen", Format)
def test_the_same_period_gives_the_same_bytes(office: Office, tmp_path: Path, chosen: Format) -> None:
    a_month(office)
    first, done = exported(office, chosen, tmp_path)
    book(office, owed(3, "P1", 100), at=NOON + timedelta(days=90))
    second, again = exported(office, chosen, tmp_path)
    assert first == second
    assert done.files == again.files


def test_beancount_itself_checks_the_file_and_both_balances(office: Office, tmp_path: Path) -> None:
    a_month(office)
    content, _ = exported(office, Format.BEANCOUNT, tmp_path)
    bean_check(tmp_path / "out.beancount")
    text = content.decode()
    closing = dict(re.findall(r"^2026-11-01 balance (\S+)  (-?\d+\.\d\d) EUR$", text, re.M))
    ours = balances(office, datetime(2026, 10, 31, 23, tzinfo=UTC))
    assert {name: amount for name, amount in closing.items() if amount != "0.00"} == {
        beancount.account_name(account): f"{amount / 100:.2f}" for account, amount in ours.items()
    }
    assert 'ledger: "liability:payable:P.2_x-y"' in text
    assert text.count("Opening balances") == 1


def test_beancount_notices_an_edited_file(office: Office, tmp_path: Path) -> None:
    a_month(office)
    content, _ = exported(office, Format.BEANCOUNT, tmp_path)
    edited = tmp_path / "edited.beancount"
    edited.write_bytes(content.replace(b"-490.00 EUR", b"-490.01 EUR"))
    with pytest.raises(AssertionError):
        bean_check(edited)


def bean_check(path: Path) -> None:
    command = Path(sys.executable).with_name("bean-check")
    done = subprocess.run([command, "--no-cache", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_other_accounts_get_a_name_by_their_kind_and_one_of_no_kind_is_told() -> None:
    assert beancount.account_name("asset:clawback:x_y") == "Assets:Clawback:X-y"
    with pytest.raises(StaffelError, match="no kind of account for stuff:x"):
        beancount.account_name("stuff:x")


@given(st.from_regex(PARTNER_ID, fullmatch=True))
def test_a_partners_account_in_beancount_is_valid_and_leads_back_to_him(partner_id: str) -> None:
    name = beancount.account_name(ledger.payable(partner_id))
    assert re.fullmatch(r"Liabilities:Payable:[A-Z0-9][A-Za-z0-9-]*", name)
    assert beancount.partner_in(name) == partner_id


def test_the_table_has_a_line_for_each_posting_and_balances(office: Office, tmp_path: Path) -> None:
    a_month(office)
    content, done = exported(office, Format.CSV, tmp_path)
    assert content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig")), delimiter=";"))
    assert tuple(rows[0]) == tuple(table.COLUMNS)
    assert len(rows) == 2 * done.journals
    debit, credit = (sum(int(row[side].replace(",", "") or 0) for row in rows) for side in ("debit", "credit"))
    assert debit == credit == 75_000 + 49_000 + 75_000 + 49_000 + 26_001 + 75_000
    assert [row["journal"] for row in rows[::2]] == ["2", "3", "4", "5", "6", "7"]
    assert rows[0]["date"] == "2026-10-01"
    assert rows[1]["partner"] == "P.2_x-y"


amounts = st.lists(st.tuples(st.sampled_from(["P1", "P.2", "p_3"]), st.integers(-(10**6), 10**6)), max_size=12)


@given(amounts)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_was_booked_datev_and_ledger_come_to_the_same(
    office: Office, tmp_path: Path, some: list[tuple[str, int]]
) -> None:
    book(office, *(owed(next(_numbers), partner_id, amount) for partner_id, amount in some if amount))
    batch = published.read(exported(office, Format.DATEV, tmp_path)[0])
    with office.engine.begin() as connection:
        ours, numbers = ledger.balances(connection), assign(connection, [])
    expected = {CHART.number_of(account, numbers): amount for (account, _), amount in ours.items()}
    assert batch.balances == expected
