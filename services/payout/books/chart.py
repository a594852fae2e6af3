"""Which of the bookkeeper's accounts is which of ours: a file for the few, a table that grows for the partners."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated

import msgspec
from sqlalchemy import Connection, insert, select

from deploy.runtime.errors import StaffelError, UsageError
from services.payout import chain
from services.payout.books.period import partner_of
from services.payout.chunks import chunks
from services.payout.tables import partner_accounts

SHIPPED = Path(__file__).parent / "accounts.toml"
_FIRST_CREDITOR = 7
"""Creditors' accounts begin with 7, 8 or 9."""


class Chart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The numbers of the vendor's books. ``services/payout/books/accounts.toml`` says what each means."""

    advisor: Annotated[int, msgspec.Meta(ge=1001, le=9_999_999)]
    client: Annotated[int, msgspec.Meta(ge=1, le=99_999)]
    fiscal_year_start: Annotated[str, msgspec.Meta(pattern=r"^(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])$")]
    chart: Annotated[str, msgspec.Meta(pattern=r"^\d\d$")]
    account_length: Annotated[int, msgspec.Meta(ge=4, le=8)]
    accounts: dict[str, Annotated[int, msgspec.Meta(ge=1)]]

    def fiscal_year(self, day: date) -> date:
        """The first day of the fiscal year that a day lies in."""
        month, first = map(int, self.fiscal_year_start.split("-"))
        start = date(day.year, month, first)
        return start if start <= day else start.replace(year=day.year - 1)

    def creditor(self, number: int) -> int:
        """The account of the partner with this number, counted from 0. Raises StaffelError if none is left."""
        found: int = _FIRST_CREDITOR * 10**self.account_length + number
        if len(str(found)) > self.account_length + 1:
            raise StaffelError(
                f"there are more partners than creditors' accounts of {self.account_length + 1} digits",
                "let the bookkeeper's program and account_length have longer accounts",
            )
        return found

    def number_of(self, account: str, partners: Mapping[str, int]) -> int:
        """The bookkeeper's number of an account of ours. Raises UsageError if the file does not tell it."""
        partner_id = partner_of(account)
        if partner_id is not None:
            return self.creditor(partners[partner_id])
        if account not in self.accounts:
            raise UsageError(f"the chart of accounts has no number for {account}", "add it under [accounts]")
        return self.accounts[account]


def read_chart(path: Path) -> Chart:
    """Read the file. Raises UsageError saying what is wrong with it."""
    try:
        chart = msgspec.convert(tomllib.loads(path.read_text("utf-8")), Chart)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"can't read the chart of accounts {path}: {reason}") from None
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise UsageError(f"the chart of accounts {path} is wrong: {error}", f"compare it with {SHIPPED}") from None
    for account, number in chart.accounts.items():
        if number >= 10**chart.account_length:
            raise UsageError(
                f"the chart of accounts {path} is wrong: {number} of {account} has more than "
                f"{chart.account_length} digits"
            )
    return chart


def assign(connection: Connection, accounts: Sequence[str]) -> dict[str, int]:
    """Give each partner among these accounts that has no number the next one; answers all numbers. They stay."""
    chain.locked(connection)  # one at a time
    rows = connection.execute(select(partner_accounts.c.partner_id, partner_accounts.c.number))
    known = {partner_id: int(number) for partner_id, number in rows}
    partner_ids = (partner_of(account) for account in accounts)
    fresh = [partner_id for partner_id in partner_ids if partner_id is not None and partner_id not in known]
    numbered = {partner_id: len(known) + place for place, partner_id in enumerate(fresh)}
    for some in chunks(fresh):
        connection.execute(insert(partner_accounts), [{"partner_id": id_, "number": numbered[id_]} for id_ in some])
    return known | numbered
