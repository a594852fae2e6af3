"""The file of a run to accounts that SEPA does not reach: a list for the bank's own form of foreign payments. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import date

from services.kit.spreadsheet import plain
from services.payout.pain001 import Transfer, euros

HEADER = (
    *("end_to_end_id", "execution_date", "amount", "currency"),
    *("account_holder", "account", "bic", "town", "country", "remittance"),
)


def render(execution_date: date, transfers: Sequence[Transfer]) -> bytes:
    """The list as CSV, UTF-8. The same input gives the same bytes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(HEADER)
    for transfer in transfers:
        writer.writerow(
            [
                transfer.end_to_end_id,
                execution_date.isoformat(),
                euros(transfer.amount_minor),
                "EUR",
                plain(transfer.name),
                transfer.iban,
                transfer.bic,
                plain(transfer.town),
                transfer.country,
                plain(transfer.remittance),
            ]
        )
    return text.getvalue().encode()
