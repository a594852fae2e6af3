"""Reading what a bank writes, and refusing what nobody should."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from deploy.runtime.settings import ROOT
from services.payout.answers.document import SIZE_MAX, money
from services.payout.answers.messages import Refused
from services.payout.answers.reading import read
from tests.payout.answers.bank import Movement, back, batch_debit, report, statement

ID = "270129-ABCDEFGHI"
HEAD = '<?xml version="1.0"?>'
REAL = statement([Movement(ID), back(ID)])


@pytest.mark.parametrize("version", ["03", "10", "12", "14"])
def test_a_report_reads_alike_in_each_version(version: str) -> None:
    answer = read(report("RB-20270129-ABCD", "PART", transactions=[(ID, "RJCT", "AC04")], version=version))
    (found,) = answer.reports
    assert (found.original_id, found.verdict.status) == ("RB-20270129-ABCD", "PART")
    ((id_, verdict),) = found.batches[0].transactions
    assert (id_, verdict) == (ID, ("RJCT", "AC04"))


@pytest.mark.parametrize("kind", ["camt.052", "camt.053", "camt.054"])
@pytest.mark.parametrize("version", ["02", "08", "13"])
def test_a_statement_reads_alike_in_each_version(kind: str, version: str) -> None:
    content = statement(
        [Movement(ID, "1234.5", reference="R1"), back(ID, "MD07")],
        kind,
        version=version,
        opening=-5,
        closing=10,
        sequence=7,
    )
    (found,) = read(content).statements
    assert (found.kind, found.statement_id, found.sequence) == (kind, "S1", 7)
    assert (found.opening_minor, found.closing_minor, found.net_minor) == (-5, 10, -123_450 + 75_000)
    assert [(line.debit, line.amount_minor, line.returned, line.reason) for line in found.lines] == [
        (True, 123_450, False, None),
        (False, 75_000, True, "MD07"),
    ]
    assert found.lines[0].reference == "R1"
    assert found.lines[0].valued_on == date(2027, 2, 1)


def test_amounts_are_found_where_older_versions_have_them() -> None:
    content = REAL.replace(
        b'</Refs><Amt Ccy="EUR">750.00</Amt>',
        b'</Refs><AmtDtls><TxAmt><Amt Ccy="EUR">750.00</Amt></TxAmt></AmtDtls>',
    )
    assert [line.amount_minor for line in read(content).statements[0].lines] == [75_000, 75_000]
    bare = REAL.replace(b'</Refs><Amt Ccy="EUR">750.00</Amt>', b"</Refs>")
    assert [line.amount_minor for line in read(bare).statements[0].lines] == [75_000, 75_000]


def test_unknown_elements_and_no_namespace_at_all_change_nothing() -> None:
    strange = REAL.replace(b"<Ntry>", b"<Ntry><New><Ntry/><Amt>1</Amt></New>").replace(b"<Stmt>", b"<Stmt><!-- x -->")
    assert read(strange).statements[0].lines == read(REAL).statements[0].lines
    plain = REAL.replace(b' xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"', b"")
    assert read(plain) == read(REAL)
    prefixed = etree.tostring(etree.fromstring(REAL)).replace(b"xmlns=", b"xmlns:n=").replace(b"<", b"<n:")
    assert read(prefixed.replace(b"<n:/", b"</n:")) == read(REAL)


def test_a_reason_that_is_no_code_is_not_repeated() -> None:
    content = statement([back(ID, "Herr Muster, bitte melden")])
    assert read(content).statements[0].lines[0].reason == "other"
    assert read(report("RB-20270129-ABCD", "RJCT")).reports[0].verdict.reason == "other"


def test_a_batch_without_details_is_one_line_with_its_name() -> None:
    ((line,),) = [found.lines for found in read(batch_debit("RB-20270129-ABCD", "1500.00")).statements]
    assert (line.end_to_end_id, line.batch_id, line.amount_minor) == ("", "RB-20270129-ABCD", 150_000)


@pytest.mark.parametrize(
    ("text", "currency", "expected"),
    [
        ("750", "EUR", 75_000),
        ("750.5", "EUR", 75_050),
        ("0.01", "EUR", 1),
        ("750.50000", "EUR", 75_050),
        ("750.", "EUR", 75_000),
        ("1000", "JPY", 1_000),
        ("1.234", "KWD", 1_234),
        ("0.001", "EUR", None),
        ("1,00", "EUR", None),
        ("1e3", "EUR", None),
        ("NaN", "EUR", None),
        ("-1", "EUR", None),
        ("", "EUR", None),
        ("٧٥٠", "EUR", None),
        ("9" * 400, "EUR", None),
        ("1", "eur", None),
        ("1", "", None),
    ],
)
def test_amounts_are_exact_or_unreadable(text: str, currency: str, expected: int | None) -> None:
    element = etree.Element("Amt", Ccy=currency)
    element.text = text
    found = money(element)
    assert found == (None if expected is None else (expected, currency))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1", "windows-1252"])
def test_banks_write_in_several_encodings(encoding: str) -> None:
    declared = encoding.replace("-sig", "").upper()
    text = REAL.decode().replace('encoding="UTF-8"', f'encoding="{declared}"').replace("Ottilie", "Özlem")
    assert read(text.encode(encoding)).statements[0].lines == read(REAL).statements[0].lines


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        b"\x1f\x8b\x08",
        b"{}",
        b"id;amount\n1;2\n",
        REAL[:-20],
        REAL[: len(REAL) // 2],
        REAL.replace(b"Ottilie", b"\xd6zlem"),
        REAL.replace(b"UTF-8", b"UTF-7"),
        REAL.replace(b"UTF-8", b"IBM037"),
        REAL.replace(b"UTF-8", b"no-such"),
        f"{HEAD}<Document><FIToFICstmrCdtTrf/></Document>".encode(),
        f"{HEAD}<Document/>".encode(),
        f"{HEAD}<html><body/></html>".encode(),
        f"{HEAD}<Document><CstmrPmtStsRpt><GrpHdr/></CstmrPmtStsRpt></Document>".encode(),
        f"{HEAD}<Document><BkToCstmrStmt><GrpHdr/></BkToCstmrStmt></Document>".encode(),
        f"{HEAD}<Document><BkToCstmrStmt><Stmt/></BkToCstmrStmt></Document>".encode(),
        REAL.replace(b'<Ntry><Amt Ccy="EUR">750.00', b'<Ntry><Amt Ccy="EUR">9999999999999.99' * 1).replace(
            b"</Stmt>", (b'<Ntry><Amt Ccy="EUR">9999999999999</Amt><Sts>BOOK</Sts></Ntry>' * 150) + b"</Stmt>"
        ),
    ],
)
def test_what_is_no_answer_is_refused_in_a_sentence_that_repeats_nothing_of_it(content: bytes) -> None:
    with pytest.raises(Refused) as refused:
        read(content)
    assert 20 < len(str(refused.value)) < 120
    assert "zlem" not in str(refused.value)
    assert ID not in str(refused.value)


def laughs() -> bytes:
    entities = "".join(f'<!ENTITY l{n} "{"".join(f"&l{n - 1};" for _ in range(10))}">' for n in range(1, 10))
    return f'{HEAD}<!DOCTYPE d [<!ENTITY l0 "ha">{entities}]><Document>&l9;</Document>'.encode()


def attributes(form: str, number: int) -> bytes:
    found = " ".join(form.replace("{n}", str(n)) for n in range(number))
    return f"{HEAD}<Document {found}/>".encode()


def hostile(name: str, secret: Path) -> bytes:
    """Files that would cost a careless reader its memory, its time or its secrets."""
    match name:
        case "billion laughs":
            return laughs()
        case "billion laughs in UTF-16":
            return laughs().decode().encode("utf-16")
        case "an entity of a file":
            declared = f'<!DOCTYPE d [<!ENTITY x SYSTEM "file://{secret}">]>'
            return REAL.replace(b"<Document", f"{declared}<Document".encode()).replace(b"Ottilie", b"&x;")
        case "a document type elsewhere":
            return REAL.replace(b"<Document", b'<!DOCTYPE d SYSTEM "http://127.0.0.1:9/x.dtd"><Document')
        case "100 MB":
            return REAL.replace(b"Ottilie", b"O" * 100_000_000)
        case "one long text":
            return REAL.replace(b"Ottilie", b"O" * (SIZE_MAX - 10_000))
        case "deep nesting":
            return f"{HEAD}<Document>{'<a>' * 1_000}{'</a>' * 1_000}</Document>".encode()
        case "very deep nesting":
            return f"{HEAD}<Document>{'<a>' * 1_000_000}".encode()
        case "two million elements":
            return f"{HEAD}<Document>{'<a/>' * 2_000_000}</Document>".encode()
        case "four million elements":
            return f"{HEAD}<Document>{'<a/>' * 4_000_000}</Document>".encode()
        case "a million attributes":
            return attributes('a{n}=""', 1_000_000)
        case "three million attributes":
            return attributes('a{n}=""', 3_000_000)[:SIZE_MAX]
        case "many namespaces":
            return attributes('xmlns:a{n}="u{n}"', 200_000)
    raise AssertionError(name)


@pytest.mark.parametrize(
    "name",
    [
        "billion laughs",
        "billion laughs in UTF-16",
        "an entity of a file",
        "a document type elsewhere",
        "100 MB",
        "one long text",
        "deep nesting",
        "very deep nesting",
        "two million elements",
        "four million elements",
        "a million attributes",
        "three million attributes",
        "many namespaces",
    ],
)
def test_hostile_files_are_refused_within_bounds(name: str, tmp_path: Path) -> None:
    secret, path = tmp_path / "secret", tmp_path / "hostile.xml"
    secret.write_text("open sesame", "utf-8")
    path.write_bytes(hostile(name, secret))
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from services.payout.answers.reading import read\n"
        "from services.payout.answers.messages import Refused\n"
        "content = Path(sys.argv[1]).read_bytes()\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (20, 20))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read(content)\n"
        "except Refused as refused: print(refused)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    said, kilobytes = done.stdout.splitlines()
    assert "sesame" not in said
    assert int(kilobytes) < 400_000, said


pieces = st.lists(
    st.tuples(st.integers(0, len(REAL) - 1), st.binary(max_size=8), st.integers(0, 30)), min_size=1, max_size=4
)


@given(pieces)
@settings(max_examples=300, deadline=None)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(changes: list[tuple[int, bytes, int]]) -> None:
    content = REAL
    for place, new, gone in changes:
        content = content[:place] + new + content[place + gone :]
    try:
        answer = read(content)
    except Refused:
        return
    assert answer.statements
