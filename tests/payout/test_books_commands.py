"""What finance sees: explanations, the audit, exports, the outlook, other terms. On both databases, as typed."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import select, text

from deploy.runtime.errors import Exit
from deploy.runtime.settings import ROOT, Loaded, load
from schemas.events import LineReturn, LineStatus, Partner, SaleLine
from schemas.topics import PARTNERS, SALE_LINES
from schemas.values import Quarter, line_key
from services.payout import ledger
from services.payout.database import snapshot
from services.payout.tables import metadata
from services.payout.what_if import Summary, compare
from streams.rules.lines import judged
from streams.rules.terms import Programme, parse
from tests.cli.calling import Result, call, succeed
from tests.payout import datev as published
from tests.payout.office import FINAL, PROGRAMME, QUARTER, Office, closes, line
from tests.rules.recount import rebate_cents

MIDDLE = "2026-11-15T12:00:00Z"
SHIPPED = (ROOT / "programme.toml").read_text("utf-8")
EXPORT = ("ledger", "export", "--format", "csv")
NEW = (
    SHIPPED.replace('"2026-1"', '"try"')
    .replace("units = 50, rate_minor = 1500", "units = 40, rate_minor = 1200")
    .replace('id = "TS-900"', 'id = "KB-010"')
)


@pytest.fixture
def loaded(office: Office) -> Loaded:
    """The office's settings, as a command gets them; in the middle of the quarter."""
    said = {"data": office.settings.data, "payout_db_url": office.settings.payout_db_url, "bank_key": "a key for tests"}
    return load({**said, "clock": MIDDLE, "clock_rate": 0.000001}, {})


def sale(partner_id: str, sale_id: str, quantity: int, day: date = date(2026, 10, 1), **more: object) -> SaleLine:
    return replace(line(partner_id, quantity, sale_id=sale_id), sold_on=day, **more)


def a_quarter(office: Office) -> None:
    """P1 was paid for 50 units and lost one since; P2 has no bank details; P3 is not registered."""
    register(office, "P1", "P2")
    back = LineReturn("R1", 1, date(2026, 11, 20), FINAL, FINAL, "00")
    rejected = {"status": LineStatus.REJECTED, "units": 0}
    office.apply(
        [
            sale("P1", "S1", 45),
            sale("P1", "S2", 5, date(2026, 11, 9), product_id="TS-900"),
            sale("P1", "S3", 2, date(2026, 12, 1), product_id="KB-010", reason="product-not-in-programme", **rejected),
            sale("P2", "S4", 12),
            sale("P3", "S5", 9, status=LineStatus.PENDING, units=0, reason="partner-not-registered"),
            *closes("P1", 75_000, units=50),
            *closes("P2", 6_000, units=12),
        ]
    )
    office.details("P1")
    office.recount()
    office.pay()
    office.apply([sale("P1", "S2", 5, date(2026, 11, 9), product_id="TS-900", units=4, returns=(back,))])
    office.apply(closes("P1", 75_000, 49_000, units=49)[1:])
    office.recount()


def register(office: Office, *partner_ids: str) -> None:
    office.deliver(
        PARTNERS, [(p, Partner(p, f"Name of {p}", "a@b.example", "de", "DE", date(2026, 1, 1))) for p in partner_ids]
    )


def said(result: Result) -> str:
    assert result.code == Exit.OK, result
    return " ".join(result.out.split())


def test_a_number_is_explained_down_to_the_sale(office: Office, loaded: Loaded) -> None:
    a_quarter(office)
    whole = said(call(loaded, "explain", "P1", QUARTER, "--lines"))
    assert "3 52 reported - 1 2 rejected: product-not-in-programme - (1) 1 came back = 2 49 counted" in whole
    assert "2026-11 TS-900 Monitor 27 1 4 40.00 EUR" in whole
    assert "49 × 10.00 EUR = 490.00 EUR" in whole
    assert "1 more for the tier from 50 units: 15.00 EUR for each of them, 260.00 EUR more in all" in whole
    assert "2 adjustment 2027-01-29 49 (-1) 10.00 EUR 490.00 EUR -260.00 EUR" in whole
    assert "RB-20270129-VZDK 1 2027-02-01 750.00 EUR released" in whole
    assert "S2 2026-11-09 TS-900 5 4 counted; 1 back on 2026-11-20" in whole
    assert "Name of" not in whole
    assert "S1 2026-10-01" not in said(call(loaded, "explain", "P1", QUARTER))


def test_machines_are_told_the_same(office: Office, loaded: Loaded) -> None:
    a_quarter(office)
    found = succeed(loaded, "explain", "P1", QUARTER)
    assert (found["reported"], found["counted"]) == ({"sales": 3, "units": 52}, {"sales": 2, "units": 49})
    assert (found["rebate_minor"], found["payable_minor"], found["unsettled_minor"]) == (49_000, 49_000, 0)
    assert [o["state"] for o in found["obligations"]] == ["in_payment", "payable"]
    assert [o["present_lines_are_its_inputs"] for o in found["obligations"]] == [False, True]
    assert [p["end_to_end_id"] for p in found["payments"]] == [office.published()[-2].end_to_end_id]
    assert "lines" not in found
    lines = succeed(loaded, "explain", "P1", QUARTER, "--lines")["lines"]
    assert sum(one["units"] for one in lines) == 49


def test_lines_that_changed_since_the_amount_was_frozen_are_told(office: Office, loaded: Loaded) -> None:
    a_quarter(office)
    office.apply([sale("P1", "S1", 44), sale("P1", "S9", 1)])
    assert "the present lines are not those that the latest amount was counted from" in said(
        call(loaded, "explain", "P1", QUARTER)
    )
    office.apply([sale("P1", "S9", 2)])
    assert "the present lines come to 260.00 EUR more than that" in said(call(loaded, "explain", "P1", QUARTER))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("explain", "P9", QUARTER), Exit.FAILED),
        (("explain", "P1", "2026-Q4"), Exit.USAGE),
        (("accrual", "--quarter", "2027Q1"), Exit.USAGE),
        (("accrual", "--quarter", "2025Q1"), Exit.FAILED),
        (("simulate", "--programme", "README.md", "--quarter", QUARTER), Exit.USAGE),
        (("simulate", "--programme", "programme.toml", "--quarter", "2025Q1"), Exit.FAILED),
        (("simulate", "--programme", "programme.toml", "--quarter", "soon"), Exit.USAGE),
        (("ledger", "verify", "--noted", "7"), Exit.USAGE),
        (("ledger", "export", "--format", "csv", "--from", "1.10.", "--to", "2026-10-31", "--out", "x"), Exit.USAGE),
        (
            ("ledger", "export", "--format", "csv", "--from", "2026-10-31", "--to", "2026-10-01", "--out", "x"),
            Exit.USAGE,
        ),
        (
            ("ledger", "export", "--format", "csv", "--from", "2026-10-01", "--to", "2026-10-31", "--out", "/no/x"),
            Exit.USAGE,
        ),
    ],
)
def test_what_can_not_be_is_said_plainly(
    office: Office, loaded: Loaded, arguments: tuple[str, ...], code: Exit
) -> None:
    result = call(loaded, *arguments)
    assert result.code == code, result
    assert result.err.startswith("error: ")
    assert "sorry" not in result.err


def test_without_a_database_nothing_is_made(tmp_path: Path) -> None:
    loaded = load({"data": tmp_path / "none"}, {})
    for arguments in (("ledger", "verify"), ("explain", "P1", QUARTER), ("accrual", "--quarter", "2026Q3")):
        assert call(loaded, *arguments).code == Exit.NOT_READY
    assert not (tmp_path / "none").exists()


def test_the_audit_ends_with_its_own_code_when_something_differs(office: Office, loaded: Loaded) -> None:
    a_quarter(office)
    assert "ok 4 journals, trial balance 0.00 EUR" in said(call(loaded, "ledger", "verify"))
    noted = call(loaded, "ledger", "head").out.strip()
    assert noted == f"4:{succeed(loaded, 'ledger', 'head')['chain']}"
    assert call(loaded, "ledger", "verify", "--noted", noted).code == Exit.OK
    with office.engine.begin() as connection:
        connection.execute(text("UPDATE chain_head SET sequence = 3"))
    result = call(loaded, "ledger", "verify", "--json")
    assert result.code == Exit.DIFFERS
    assert result.object["differences"] == ["the ledger ends at journal 4, and its head says that it ends at 3"]
    assert "differs" in call(loaded, "ledger", "verify").out


def test_the_ledger_is_exported_as_typed(office: Office, loaded: Loaded, tmp_path: Path) -> None:
    a_quarter(office)
    out = tmp_path / "EXTF_january.csv"
    assert "not over" in call(loaded, *EXPORT, "--from", "2026-11-01", "--to", "2026-11-15", "--out", str(out)).err
    with office.engine.begin() as connection:
        ledger.book(
            connection,
            [ledger.transfer("late", ledger.EXPENSE, ledger.IN_TRANSIT, 1, "EUR")],
            datetime(2026, 11, 2, tzinfo=UTC),
        )
    result = call(loaded, *EXPORT, "--from", "2026-10-01", "--to", "2026-10-31", "--out", str(out))
    assert "2026-11-01 to 2026-11-15 was exported before and has 1 journal(s) more since" in result.err
    period = ("--from", "2027-01-01", "--to", "2027-01-31", "--out", str(out))
    found = succeed(loaded, "ledger", "export", "--format", "datev", *period)
    assert found["journals"] == 4
    assert published.read(out.read_bytes()).balances == {8769: 55_000, 70_000: 26_000, 70_001: -6_000, 1360: -75_000}
    assert found["late"] == []
    assert "4 journals from 2027-01-01" in said(call(loaded, "ledger", "export", "--format", "beancount", *period))


def test_the_accrual_shows_where_a_quarter_is_going(office: Office, loaded: Loaded, tmp_path: Path) -> None:
    register(office, "P1")
    office.apply([sale("P1", f"S{n}", 1, date(2026, 10, 1 + n)) for n in range(23)])
    office.apply([sale("P2", "T", 2, date(2026, 11, 1))])
    path = tmp_path / "accrual.csv"
    found = succeed(loaded, "accrual", "--csv", str(path))
    assert (found["quarter"], found["days_elapsed"], found["days"]) == (QUARTER, 46, 92)
    first, second = found["partners"]
    assert (first["units"], first["expected_units"], first["expected_minor"]) == (23, 46, 46_000)
    assert first["low_units"] < 46 < first["high_units"]
    assert (first["rebate_minor"], first["accrued_minor"]) == (11_500, 23_000)
    assert (second["expected_units"], second["expected_minor"]) == (4, 0)
    assert found["sum"] == {name: first[name] + second[name] for name in found["sum"]}
    rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig")), delimiter=";"))
    assert [(row["partner"], row["expected_rebate"]) for row in rows] == [("P1", "460,00"), ("P2", "0,00")]
    whole = said(call(loaded, "accrual"))
    assert "2026Q4 on 2026-11-15, day 46 of 92" in whole
    assert "all 2 25 115.00 50" in whole


def test_the_accrual_knows_what_is_closed_and_paid(office: Office, loaded: Loaded) -> None:
    a_quarter(office)
    partners = {one["partner_id"]: one for one in succeed(loaded, "accrual")["partners"]}
    assert (partners["P1"]["closed_minor"], partners["P1"]["paid_minor"]) == (49_000, 75_000)
    assert (partners["P2"]["closed_minor"], partners["P2"]["paid_minor"]) == (6_000, 0)


def test_many_partners_are_told_in_short(office: Office, loaded: Loaded) -> None:
    office.apply([sale(f"P{n}", "S", n) for n in range(10, 35)])
    whole = said(call(loaded, "accrual"))
    assert "P34" in whole
    assert "P10" not in whole
    assert "and 5 more all 25" in whole


def test_other_terms_are_tried_on_the_real_sales(office: Office, loaded: Loaded, tmp_path: Path) -> None:
    a_quarter(office)
    new, path = tmp_path / "new.toml", tmp_path / "partners.csv"
    new.write_text(NEW, "utf-8")
    found = succeed(loaded, "simulate", "--programme", str(new), "--quarter", QUARTER, "--csv", str(path))
    # P1: 45 units of TS-100 stay, 4 of TS-900 go, 2 of KB-010 come: 47 at 12 EUR instead of 49 at 10.
    assert (found["partners"], found["real_minor"], found["other_minor"]) == (3, 55_000, 62_400)
    assert found["better"] == {"partners": 1, "difference_minor": 7_400}
    assert found["worse"] == {"partners": 0, "difference_minor": 0}
    assert [(tier["tier"], tier["partners"]) for tier in found["other_tiers"]] == [(0, 1), (10, 1), (25, 0), (40, 1)]
    rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig")), delimiter=";"))
    assert [(row["partner"], row["difference"]) for row in rows] == [("P1", "74,00"), ("P2", "0,00"), ("P3", "0,00")]
    whole = said(call(loaded, "simulate", "--programme", str(new), "--quarter", QUARTER))
    assert "difference +74.00, +13.5 %" in whole
    assert "more for 1 of them: +74.00 (P1 +74.00)" in whole


def test_a_simulation_writes_nothing(office: Office, loaded: Loaded, tmp_path: Path) -> None:
    a_quarter(office)

    def everything() -> list[object]:
        with office.engine.connect() as connection:
            return [connection.execute(select(table)).all() for table in metadata.sorted_tables]

    before = everything()
    new = tmp_path / "new.toml"
    new.write_text(NEW, "utf-8")
    assert call(loaded, "simulate", "--programme", str(new), "--quarter", QUARTER).code == Exit.OK
    assert call(loaded, "explain", "P1", QUARTER).code == Exit.OK
    assert call(loaded, "accrual").code == Exit.OK
    assert everything() == before


def test_terms_that_are_not_in_force_in_the_quarter_are_told(office: Office, loaded: Loaded, tmp_path: Path) -> None:
    a_quarter(office)
    new = tmp_path / "new.toml"
    later = NEW.replace("valid_from = 2026-01-01\ncurrency", "valid_from = 2027-01-01\ncurrency")
    for content in (SHIPPED, later):
        new.write_text(content, "utf-8")
        result = call(loaded, "simulate", "--programme", str(new), "--quarter", QUARTER)
        assert "has no terms of its own for 2026Q4: to try some, give them a valid_from of 2026-10-01" in result.err
    new.write_text(NEW, "utf-8")
    assert call(loaded, "simulate", "--programme", str(new), "--quarter", QUARTER).err == ""


def test_another_currency_can_not_be_compared(office: Office, loaded: Loaded, tmp_path: Path) -> None:
    a_quarter(office)
    new = tmp_path / "new.toml"
    new.write_text(SHIPPED.replace('"EUR"', '"SEK"'), "utf-8")
    result = call(loaded, "simulate", "--programme", str(new), "--quarter", QUARTER)
    assert (result.code, "pays in SEK, the programme in EUR" in result.err) == (Exit.USAGE, True)


def test_whom_the_registry_has_forgotten_is_simulated_as_what_he_was(office: Office) -> None:
    a_quarter(office)
    office.deliver(PARTNERS, [("P1", None)])
    summary = simulated(office, PROGRAMME)
    assert (summary.real_minor, summary.other_minor) == (55_000, 55_000)


def test_who_registered_when_nothing_could_change_any_more_is_simulated_as_not_registered(office: Office) -> None:
    a_quarter(office)
    register(office, "P3")
    summary = simulated(office, PROGRAMME)
    assert (summary.real_minor, summary.other_minor) == (55_000, 55_000)
    assert {tier.units for tier in summary.other.values()} == {tier.units for tier in summary.real.values()}


quantities = st.lists(
    st.tuples(st.sampled_from(["P1", "P2", "P3"]), st.sampled_from(["TS-100", "TS-900", "XX"]), st.integers(0, 30)),
    min_size=1,
    max_size=12,
)


@given(quantities)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_present_terms_cost_what_they_cost(office: Office, sold: list[tuple[str, str, int]]) -> None:
    with office.engine.begin() as connection:
        connection.execute(text("DELETE FROM lines"))
    register(office, "P1", "P2")
    partners = {p: Partner(p, "", "", "", "DE", date(2026, 1, 1)) for p in ("P1", "P2")}
    counted: dict[str, int] = {}
    lines = []
    for number, (partner_id, product_id, quantity) in enumerate(sold):
        raw = sale(partner_id, f"S{number}", quantity, product_id=product_id)
        one = judged(raw, partners.get(partner_id), PROGRAMME)
        counted[partner_id] = counted.get(partner_id, 0) + one.units
        lines.append((line_key(partner_id, one.sale_id), one))
    office.deliver(SALE_LINES, lines)
    summary = simulated(office, PROGRAMME)
    assert summary.real_minor == summary.other_minor == sum(map(rebate_cents, counted.values()))
    assert (summary.better, summary.worse, summary.partners) == (0, 0, len(counted))
    tried = simulated(office, parse(NEW))
    assert tried.other_minor - tried.real_minor == tried.better_minor + tried.worse_minor


def simulated(office: Office, other: Programme) -> Summary:
    quarter = Quarter.parse(QUARTER)
    summary = Summary(PROGRAMME.terms_for(quarter), other.terms_for(quarter))
    with snapshot(office.engine) as connection:
        assert list(summary.watch(compare(connection, PROGRAMME, other, quarter)))
    return summary
