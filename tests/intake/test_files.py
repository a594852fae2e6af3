"""CSV files of other people: what is understood, what is refused, and that nothing else ever happens."""

from __future__ import annotations

import contextlib
import csv
import io
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.runtime.errors import UsageError
from schemas.events import SaleReported, SaleReturned
from services.intake.rejects import Rejects
from services.intake.rows import (
    BANK_COLUMNS,
    PARTNER_COLUMNS,
    SALE_COLUMNS,
    BankDetails,
    bank_details,
    partner,
    report_reader,
)
from services.kit.csvfile import Refusal, Refused, Row, Sheet
from tests.intake import files

NOW = datetime(2026, 10, 6, 12, tzinfo=UTC)
read_report = report_reader(NOW, "test")


def sales(path: str) -> list[Row[Any] | Refusal]:
    return files.understood(path, SALE_COLUMNS, read_report)


def refused(tmp_path: Path, row: str) -> Refusal:
    [found] = sales(files.write(tmp_path / "r.csv", files.SALES_HEADER, row))
    assert isinstance(found, Refusal), found
    return found


def test_a_sale_and_a_return_mean_their_events(tmp_path: Path) -> None:
    path = files.write(
        tmp_path / "s.csv",
        files.SALES_HEADER,
        "sale,S-1,S-1,P-1,TS-100,3,2026-10-05,A1|A2",
        "return,R-1,S-1,P-1,TS-100,1,2027-01-04,A2",
    )
    assert [row.value for row in sales(path) if isinstance(row, Row)] == [
        SaleReported("S-1", "P-1", "TS-100", 3, date(2026, 10, 5), NOW, ("A1", "A2"), "test"),
        SaleReturned("R-1", "S-1", "P-1", "TS-100", 1, date(2027, 1, 4), NOW, ("A2",), "test"),
    ]


@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_every_common_dialect_says_the_same(tmp_path: Path, delimiter: str, encoding: str, line_end: str) -> None:
    text = line_end.join([files.PARTNERS_HEADER, "P-1,Müller GmbH,m@m.example,DE,de,2026-01-01", ""])
    path = tmp_path / "p.csv"
    path.write_bytes(text.replace(",", delimiter).encode(encoding))
    [found] = files.understood(str(path), PARTNER_COLUMNS, partner)
    assert isinstance(found, Row)
    assert (found.value.name, found.value.language, found.value.country) == ("Müller GmbH", "de", "DE")


def test_columns_may_come_in_any_order_and_lines_may_be_blank(tmp_path: Path) -> None:
    path = files.write(
        tmp_path / "b.csv", "iban;partner_id;account_holder;;", "", ";;;;", "DE02;P-1;Rechner  &\xa0Sohn;;"
    )
    [found] = files.understood(path, BANK_COLUMNS, bank_details)
    assert isinstance(found, Row)
    assert found.line == 4
    assert found.value == BankDetails("P-1", "Rechner & Sohn", "DE02")


def test_what_a_bank_may_want_besides_the_iban_is_read_if_the_file_has_it(tmp_path: Path) -> None:
    path = files.write(tmp_path / "b.csv", "partner_id,account_holder,iban,country,town", "P-1,Sohn,CH93,CH,Zug")
    [found] = files.understood(path, BANK_COLUMNS, bank_details)
    assert isinstance(found, Row)
    assert found.value == BankDetails("P-1", "Sohn", "CH93", "", "Zug", "CH")


@pytest.mark.parametrize(
    ("row", "code", "hint"),
    [
        (files.sale(1, quantity="-2"), "bad-quantity", "event return"),
        (files.sale(1, quantity=0), "bad-quantity", ""),
        (files.sale(1, quantity="1.0"), "bad-quantity", "12"),
        (files.sale(1, quantity="9" * 120), "bad-quantity", ""),
        (files.sale(1, quantity=1_000_001), "bad-quantity", ""),
        (files.sale(1, quantity="²"), "bad-quantity", ""),
        (files.sale(1, sold_on="31.12.2026"), "bad-date", "2026-12-31"),
        (files.sale(1, sold_on="31.13.2026"), "bad-date", "2026-10-31"),
        (files.sale(1, sold_on="2026-02-30"), "bad-date", ""),
        (files.sale(1, sold_on="20261005"), "bad-date", ""),
        (files.sale(1, sold_on="9999-12-31"), "bad-date", ""),
        (files.sale(1, partner="P/1"), "bad-partner-id", "letters"),
        (files.sale(1, product_id=""), "missing", ""),
        (files.sale(1, product_id="TS\x07"), "unprintable", ""),
        (files.sale(1, product_id="T" * 129), "too-long", ""),
        (files.sale(1, serial_numbers="A|B"), "too-many-serials", ""),
        (files.sale(1, quantity=3, serial_numbers="A|A"), "repeated-serial", ""),
        (files.sale(1, serial_numbers="5E+12"), "mangled-number", "text"),
        ("sale,4.90017E+12,4.90017E+12,P-1,TS-100,1,2026-10-05,", "mangled-number", "text"),
        ("sale,S-1,S-2,P-1,TS-100,1,2026-10-05,", "id-differs", "return"),
        ("gift,S-1,S-1,P-1,TS-100,1,2026-10-05,", "bad-event", ""),
        ('sale,"S-1,S-1,P-1,TS-100,1,2026-10-05,', "quotes", "line"),
        (files.sale(1) + ",x", "too-many-cells", "quotes"),
        (files.sale(1, serial_numbers="1" * 100_000), "line-too-long", ""),
        ("sale,S-1", "missing", ""),
    ],
)
def test_a_bad_row_is_refused_with_its_reason(tmp_path: Path, row: str, code: str, hint: str) -> None:
    found = refused(tmp_path, row)
    assert (found.line, found.code) == (2, code)
    assert hint in found.hint
    assert found.message


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("P-1,N,not-an-address,de,DE,2026-01-01", "bad-email"),
        ("P-1,N,a@b.example>\tBcc: c@d.example,de,DE,2026-01-01", "unprintable"),
        ("P-1,N,a@b.example, c@d.example,de,DE,2026-01-01", "too-many-cells"),
        ("P-1,N,a@b.example,deu,DE,2026-01-01", "bad-language"),
        ("P-1,N,a@b.example,en,UK,2026-01-01", "bad-country"),
        ("P-1,,a@b.example,en,GB,2026-01-01", "missing"),
    ],
)
def test_a_bad_partner_is_refused_without_repeating_his_address(tmp_path: Path, row: str, code: str) -> None:
    [found] = files.understood(files.write(tmp_path / "p.csv", files.PARTNERS_HEADER, row), PARTNER_COLUMNS, partner)
    assert isinstance(found, Refusal)
    assert "b.example" not in found.message + found.hint
    assert found.code == code


def test_a_bad_row_does_not_stop_the_others(tmp_path: Path) -> None:
    path = files.write(
        tmp_path / "s.csv",
        files.SALES_HEADER,
        files.sale(1),
        'sale,"',
        "x" * 250_000,
        files.sale(2, quantity=0),
        files.sale(3),
    )
    found = sales(path)
    assert [row.line for row in found if isinstance(row, Row)] == [2, 6]
    assert [row.line for row in found if isinstance(row, Refusal)] == [3, 4, 5]


def test_a_row_that_is_not_utf8_is_refused_and_its_bytes_are_kept(tmp_path: Path) -> None:
    path = files.write(
        tmp_path / "p.csv",
        files.PARTNERS_HEADER,
        files.partner("P-1", "Müller"),
        files.partner("P-2"),
        encoding="latin-1",
    )
    sheet = Sheet(path, PARTNER_COLUMNS)
    first, second = sheet.rows(partner)
    assert isinstance(first, Refusal)
    assert first.code == "not-utf8"
    assert isinstance(second, Row)
    with Rejects(tmp_path / "rejects.csv", path, sheet) as rejects:
        rejects.write(first)
    assert "Müller".encode("latin-1") in (tmp_path / "rejects.csv").read_bytes()


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("partner_id,name,mail,language,country,registered_on", "did you mean email"),
        ("partner_id,name,language,country,registered_on", "missing column email"),
        ("partner_id,name,email,email,language,country,registered_on", "twice"),
        ("P-1,N,a@b.example,de,DE,2026-01-01", "no header"),
        ("", "no header"),
        ('"', "no header"),
    ],
)
def test_a_wrong_header_is_a_usage_error_naming_the_columns(tmp_path: Path, header: str, told: str) -> None:
    with pytest.raises(UsageError) as error:
        Sheet(files.write(tmp_path / "p.csv", header), PARTNER_COLUMNS)
    assert told in error.value.message
    assert files.PARTNERS_HEADER in error.value.hint


@pytest.mark.parametrize("content", [b"PK\x03\x04...", "partner_id".encode("utf-16"), None])
def test_a_file_of_another_kind_is_a_usage_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "p.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError):
        Sheet(str(path), PARTNER_COLUMNS)


def test_a_dash_means_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"{files.SALES_HEADER}\n{files.sale(1)}\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(text.encode()))))
    assert len(sales("-")) == 1


@given(st.binary(max_size=300), st.sampled_from([",", ";"]))
def test_any_bytes_are_rows_or_refusals(tmp_path_factory: pytest.TempPathFactory, body: bytes, delimiter: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(files.SALES_HEADER.replace(",", delimiter).encode() + b"\n" + body)
    for found in sales(str(path)):
        assert found.line >= 2
        assert len(found.cells) == len(SALE_COLUMNS.required)


_cells = st.one_of(st.text(max_size=12), st.sampled_from(["sale", "S-1", "P-1", "1", "2026-10-05", '"', "1e999", "²"]))


@given(st.fixed_dictionaries(dict.fromkeys(SALE_COLUMNS.required, _cells)))
def test_any_cells_are_an_event_or_a_refusal(cells: dict[str, str]) -> None:
    with contextlib.suppress(Refused):
        assert read_report(cells).quantity >= 1


@given(st.lists(st.lists(_cells, max_size=10), max_size=6), st.sampled_from([",", ";"]))
def test_refused_rows_come_back_unchanged_from_the_rejects_file(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], delimiter: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows([SALE_COLUMNS.required, *rows])
    (folder / "in.csv").write_bytes(text.getvalue().encode("utf-8", "surrogatepass"))
    sheet = Sheet(str(folder / "in.csv"), SALE_COLUMNS)
    first = [found for found in sheet.rows(read_report) if isinstance(found, Refusal)]
    with Rejects(folder / "out.csv", "-", sheet) as rejects:
        for refusal in first:
            rejects.write(refusal)
    again = sales(str(folder / "out.csv"))
    assert [found.cells for found in again] == [found.cells for found in first]
    assert all(isinstance(found, Refusal) for found in again), "what was refused is refused until it is mended"


def test_a_mended_rejects_file_is_understood(tmp_path: Path) -> None:
    path = files.write(tmp_path / "s.csv", files.SALES_HEADER, files.sale(1, sold_on="05.10.2026"))
    sheet = Sheet(path, SALE_COLUMNS)
    [found] = sheet.rows(read_report)
    assert isinstance(found, Refusal)
    with Rejects(tmp_path / "rejects.csv", path, sheet) as rejects:
        rejects.write(found)
    assert (tmp_path / "rejects.csv").stat().st_mode & 0o077 == 0
    text = (tmp_path / "rejects.csv").read_text("utf-8")
    (tmp_path / "rejects.csv").write_text(
        text.replace("05.10.2026", found.hint.removeprefix("write it like ")), "utf-8"
    )
    [mended] = sales(str(tmp_path / "rejects.csv"))
    assert isinstance(mended, Row)
    assert mended.value.sold_on == date(2026, 10, 5)


def test_the_rejects_file_is_never_the_file_itself(tmp_path: Path) -> None:
    path = files.write(tmp_path / "s.csv", files.SALES_HEADER)
    with pytest.raises(UsageError):
        Rejects(tmp_path / "s.csv", path, Sheet(path, SALE_COLUMNS))
