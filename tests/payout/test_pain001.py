"""The payment file: valid against ISO's schema, the same bytes each time, sums that another reader finds too."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from sepaxml import SepaTransfer

from services.payout.charset import transliterate
from services.payout.pain001 import NAMESPACE, Debtor, Order, Transfer, euros, render
from services.payout.runs import end_to_end_id
from tests.payout.office import FINAL, FRIDAY, iban_of

DEBTOR = Debtor("Müller & Söhne Hardware GmbH", iban_of("debtor"), "Köln", "DE")
# Whatever can stand in a database as a name.
names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=140)
transfers = st.lists(
    st.tuples(st.integers(1, 10**9), names, st.integers(0, 10**6), names), min_size=1, max_size=20
).map(
    lambda rows: [
        Transfer(end_to_end_id("topseller", str(n), FRIDAY), amount, name, iban_of(str(account)), remittance)
        for n, (amount, name, account, remittance) in enumerate(rows)
    ]
)


@cache
def schema() -> etree.XMLSchema:
    """ISO's schema, as a wheel that only tests need brings it along."""
    return etree.XMLSchema(etree.parse(str(files("sepaxml") / "schemas" / "pain.001.001.09.xsd")))


def order(some: list[Transfer]) -> Order:
    return Order("RB-20270129-ABCD", FINAL, date(2027, 2, 1), DEBTOR, some)


def texts(document: bytes, name: str) -> list[str]:
    return [element.text or "" for element in etree.fromstring(document).iter(f"{{{NAMESPACE}}}{name}")]


@given(transfers)
@settings(max_examples=200, deadline=None)
def test_every_file_is_valid_and_its_sums_are_right(some: list[Transfer]) -> None:
    document = render(order(some))
    schema().assertValid(etree.fromstring(document))
    total = sum(Decimal(amount) for amount in texts(document, "InstdAmt"))
    assert [Decimal(sum_) for sum_ in texts(document, "CtrlSum")] == [total, total]
    assert texts(document, "NbOfTxs") == [str(len(some))] * 2
    assert total * 100 == sum(transfer.amount_minor for transfer in some)


def test_another_writer_comes_to_the_same_payments_and_sums() -> None:
    some = [
        Transfer(
            end_to_end_id("topseller", str(n), FRIDAY), 1 + n * 98_765, f"Händler {n}", iban_of(str(n)), "Topseller"
        )
        for n in range(50)
    ]
    config = {"name": "Oracle", "IBAN": DEBTOR.iban, "batch": True, "currency": "EUR"}
    oracle = SepaTransfer(config, schema="pain.001.001.09", clean=True)
    for transfer in some:
        oracle.add_payment(
            {
                "name": transliterate(transfer.name, 70),
                "IBAN": transfer.iban,
                "amount": transfer.amount_minor,
                "execution_date": date(2027, 2, 1),
                "description": "Topseller",
                "endtoend_id": transfer.end_to_end_id,
            }
        )
    theirs, ours = oracle.export(validate=True), render(order(some))
    for name in ("CtrlSum", "NbOfTxs", "InstdAmt", "EndToEndId"):
        assert sorted(texts(theirs, name)) == sorted(texts(ours, name)), name


@given(names)
@settings(max_examples=300, deadline=None)
def test_converted_text_holds_only_what_every_bank_takes(text: str) -> None:
    converted = transliterate(text, 70)
    assert 1 <= len(converted) <= 70
    assert set(converted) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-?:().,'+ ")
    assert "//" not in converted
    assert not converted.startswith("/")
    assert not converted.endswith("/")
    assert transliterate(converted, 70) == converted


@pytest.mark.parametrize(
    ("text", "converted"),
    [
        ("Müller & Söhne Straße", "Muller + Sohne Strase"),
        ("Łódź Ærø Œuvre", "Lodz AEro OEuvre"),
        ("Ελλάς Ψ", "Ellas PS"),
        ("Щастие", "SHTastie"),
        ("a//b/", "a/b"),
        ("日本", ".."),
        ("//", "."),
        ("Å\u0301 \u00a0 x\t\n", "A x"),
    ],
)
def test_what_is_not_basic_latin_is_converted_as_the_epc_recommends(text: str, converted: str) -> None:
    assert transliterate(text, 70) == converted


def test_the_same_order_gives_the_same_bytes() -> None:
    some = [Transfer("270129-ABCDEFGHI", 75_000, "Ä", iban_of("P1"), "Topseller 2026Q4")]
    assert render(order(some)) == render(order(list(some)))


def test_a_file_says_how_and_when_to_pay() -> None:
    document = render(order([Transfer("270129-ABCDEFGHI", 75_005, "Ä", iban_of("P1"), "Topseller 2026Q4")]))
    expected = {
        "MsgId": "RB-20270129-ABCD",
        "CreDtTm": "2027-01-29T12:00:00Z",
        "PmtMtd": "TRF",
        "BtchBookg": "false",
        "Cd": "SEPA",
        "Dt": "2027-02-01",
        "ChrgBr": "SLEV",
        "InstdAmt": "750.05",
        "EndToEndId": "270129-ABCDEFGHI",
        "TwnNm": "Koln",
    }
    assert {name: texts(document, name) for name in expected} == {name: [text] for name, text in expected.items()}
    assert texts(document, "BICFI") == []


@pytest.mark.parametrize("amount", [0, -1])
def test_nothing_and_less_are_not_paid(amount: int) -> None:
    with pytest.raises(ValueError, match="above zero"):
        render(order([Transfer("x", amount, "A", iban_of("P1"), "r")]))


def test_a_file_without_a_payment_is_not_made() -> None:
    with pytest.raises(ValueError, match="needs a payment"):
        render(order([]))


def test_cents_are_written_with_two_places() -> None:
    assert [euros(cents) for cents in (1, 100, 26_000, 123_456)] == ["0.01", "1.00", "260.00", "1234.56"]
