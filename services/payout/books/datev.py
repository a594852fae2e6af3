"""DATEV's format for journals: EXTF 700, data category 21 (Buchungsstapel), format version 13. Pure.

As published at developer.datev.de: cp1252, semicolons, CRLF; a line about the batch, a line of column names, a line for
each booking. A journal of ours becomes lines of one debited and one credited account each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from deploy.runtime.errors import StaffelError
from services.payout.books.chart import Chart
from services.payout.books.period import Entry, Period
from services.payout.ledger import Posting

ROWS_MAX = 99_999
"""How many bookings DATEV takes in one file."""
_CURRENCY = "EUR"
_AMOUNT_MAX_MINOR = 10**12 - 1
_TEXT_MAX = 60

Row = str


def header(chart: Chart, period: Period) -> str:
    """The line about the batch. It says that it was made at the end of the period, whenever it was."""
    label = f"Staffel {period.first:%d.%m.%y}-{period.last:%d.%m.%y}"
    fields = [
        *(_quoted("EXTF"), "700", "21", _quoted("Buchungsstapel"), "13", f"{period.last:%Y%m%d}235959000", ""),
        *(_quoted(""), _quoted(""), _quoted("")),  # origin, exported by, imported by
        *(str(chart.advisor), str(chart.client), f"{chart.fiscal_year(period.last):%Y%m%d}"),
        *(str(chart.account_length), f"{period.first:%Y%m%d}", f"{period.last:%Y%m%d}", _quoted(label)),
        *(_quoted(""), "1", "0", "0"),  # no initials; financial accounting, for every purpose, not locked
        *(_quoted(_CURRENCY), "", _quoted(""), "", "", _quoted(chart.chart), "", "", _quoted(""), _quoted("")),
    ]
    return ";".join(fields)


def columns() -> str:
    """The line of column names."""
    return ";".join(_COLUMNS)


def rows(entries: Iterator[Entry], number_of: Callable[[str], int]) -> Iterator[Row]:
    """A line for each booking."""
    for entry in entries:
        for debit, credit, amount_minor in pairs(entry.postings):
            yield _row(entry, number_of(debit), number_of(credit), amount_minor)


def batches(lines: Iterator[Row]) -> Iterator[list[Row]]:
    """The lines in portions that fit into a file; at least one portion, even if it is empty."""
    batch = list(islice(lines, ROWS_MAX))
    yield batch
    while batch := list(islice(lines, ROWS_MAX)):
        yield batch


def pairs(postings: Sequence[Posting]) -> Iterator[tuple[str, str, int]]:
    """Postings that sum to zero as (debited account, credited account, amount above zero).

    Raises StaffelError for another currency than the one in which the books are kept.
    """
    for posting in postings:
        if posting.currency != _CURRENCY:
            raise StaffelError(f"the period has a booking in {posting.currency}: DATEV's file is for {_CURRENCY}")
    debits = [(p.account, p.amount_minor) for p in postings if p.amount_minor > 0]
    credits = [(p.account, -p.amount_minor) for p in postings if p.amount_minor < 0]
    while debits and credits:
        (debit, owed), (credit, due) = debits.pop(0), credits.pop(0)
        amount = min(owed, due)
        yield debit, credit, amount
        if owed > amount:
            debits.insert(0, (debit, owed - amount))
        if due > amount:
            credits.insert(0, (credit, due - amount))


def _row(entry: Entry, debit: int, credit: int, amount_minor: int) -> Row:
    if amount_minor > _AMOUNT_MAX_MINOR:
        raise StaffelError(f"journal {entry.sequence} is more than a DATEV file can say")
    filled = {
        1: f"{amount_minor // 100},{amount_minor % 100:02d}",
        2: _quoted("S"),  # the first account is debited, the second credited
        3: _quoted(_CURRENCY),
        7: str(debit),
        8: str(credit),
        10: f"{entry.day:%d%m}",
        11: _quoted(f"J{entry.sequence}"),
        14: _quoted(_shortened(entry.key)),
        114: "0",  # not locked: the bookkeeper does that
    }
    return ";".join(filled.get(number, "") for number in range(1, len(_COLUMNS) + 1))


def _shortened(text: str) -> str:
    half = _TEXT_MAX // 2 - 1
    return text if len(text) <= _TEXT_MAX else f"{text[:half]}..{text[-half:]}"


def _quoted(text: str) -> str:
    plain = "".join(character if character.isprintable() else " " for character in text)
    return '"' + plain.replace('"', '""') + '"'


_COLUMNS = (
    *("Umsatz (ohne Soll/Haben-Kz)", "Soll/Haben-Kennzeichen", "WKZ Umsatz", "Kurs", "Basis-Umsatz"),
    *("WKZ Basis-Umsatz", "Konto", "Gegenkonto (ohne BU-Schlüssel)", "BU-Schlüssel", "Belegdatum", "Belegfeld 1"),
    *("Belegfeld 2", "Skonto", "Buchungstext", "Postensperre", "Diverse Adressnummer", "Geschäftspartnerbank"),
    *("Sachverhalt", "Zinssperre", "Beleglink"),
    *(f"Beleginfo - {what} {number}" for number in range(1, 9) for what in ("Art", "Inhalt")),
    *("KOST1 - Kostenstelle", "KOST2 - Kostenstelle", "Kost-Menge", "EU-Land u. UStID (Bestimmung)"),
    *("EU-Steuersatz (Bestimmung)", "Abw. Versteuerungsart", "Sachverhalt L+L", "Funktionsergänzung L+L"),
    *("BU 49 Hauptfunktionstyp", "BU 49 Hauptfunktionsnummer", "BU 49 Funktionsergänzung"),
    *(f"Zusatzinformation{what} {n}" for n in range(1, 21) for what in (" - Art", "- Inhalt")),
    *("Stück", "Gewicht", "Zahlweise", "Forderungsart", "Veranlagungsjahr", "Zugeordnete Fälligkeit", "Skontotyp"),
    *("Auftragsnummer", "Buchungstyp", "USt-Schlüssel (Anzahlungen)", "EU-Land (Anzahlungen)"),
    *("Sachverhalt L+L (Anzahlungen)", "EU-Steuersatz (Anzahlungen)", "Erlöskonto (Anzahlungen)", "Herkunft-Kz"),
    *("Buchungs GUID", "KOST-Datum", "SEPA-Mandatsreferenz", "Skontosperre", "Gesellschaftername"),
    *("Beteiligtennummer", "Identifikationsnummer", "Zeichnernummer", "Postensperre bis"),
    *("Bezeichnung SoBil-Sachverhalt", "Kennzeichen SoBil-Buchung", "Festschreibung", "Leistungsdatum"),
    *("Datum Zuord. Steuerperiode", "Fälligkeit", "Generalumkehr (GU)", "Steuersatz", "Land", "Abrechnungsreferenz"),
    *("BVV-Position", "EU-Land u. UStID (Ursprung)", "EU-Steuersatz (Ursprung)", "Abw. Skontokonto"),
)
