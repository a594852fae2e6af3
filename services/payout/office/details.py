"""Bank details, for the partner whose they are: what is known, what an entry would do, and the entry."""

from __future__ import annotations

from typing import Any

from deploy.runtime.errors import StaffelError
from services.kit.office.protocol import Actor, Arguments, Operation, Role
from services.payout import bank_details, ledger
from services.payout.bank_checks import BadDetails, Row, check
from services.payout.bank_details import Account, Outcome, Source
from services.payout.database import snapshot
from services.payout.office.means import Means
from services.payout.pain001 import in_eea


class Whose(Arguments):
    """Staff says which partner; a partner asks for himself, whatever is said here."""

    partner_id: str = ""


class Details(Arguments):
    """A form as the partner filled it in."""

    account_holder: str
    iban: str
    bic: str = ""
    town: str = ""
    country: str = ""


def history(means: Means, actor: Actor, said: Whose) -> list[dict[str, Any]]:
    """Every version, the first one first; accounts masked."""
    with snapshot(means.engine) as connection:
        return [version._asdict() for version in bank_details.history(connection, _whose(actor, said))]


def rehearse(means: Means, actor: Actor, said: Details) -> dict[str, Any]:
    """What an entry would do. Changes nothing. What can't be right is refused with a code."""
    row = _row(actor, said)
    outcome, account = bank_details.rehearse(means.engine, means.settings, row, means.now(), by=_name(actor))
    found = _said(outcome, account)
    iban = check(row).iban
    return found | {"bank": iban.bank_name or "", "bic": str(iban.bic or ""), "needs_address": not in_eea(str(iban))}


def enter(means: Means, actor: Actor, said: Details) -> dict[str, Any]:
    """Enter details. The partner is told by mail; changed ones can be paid to only some bank days later."""
    row = _row(actor, said)
    (outcome,) = bank_details.import_rows(
        means.engine, means.settings, [row], means.now(), by=_name(actor), source=Source.PORTAL
    )
    with snapshot(means.engine) as connection:
        account = bank_details.accounts(connection, [row.partner_id]).get(row.partner_id)
    return _said(outcome, account)


def money(means: Means, actor: Actor, said: Whose) -> list[dict[str, Any]]:
    """What the books owe a partner, by currency; below zero: what is set off against his next payment."""
    with snapshot(means.engine) as connection:
        owed = ledger.owed(connection, _whose(actor, said))
    return [{"currency": currency, "amount_minor": amount} for currency, amount in owed.items()]


OPERATIONS = (
    Operation("bank_details.history", Whose, history, staff=Role.VIEWER, partner=Role.PARTNER),
    Operation("bank_details.rehearse", Details, rehearse, partner=Role.CONFIRMED),
    Operation("bank_details.enter", Details, enter, partner=Role.CONFIRMED),
    Operation("money.of_partner", Whose, money, staff=Role.VIEWER, partner=Role.PARTNER),
)


def _whose(actor: Actor, said: Whose) -> str:
    return actor.partner_id or said.partner_id


def _row(actor: Actor, said: Details) -> Row:
    row = Row(actor.partner_id, said.account_holder, said.iban, said.bic, said.town, said.country)
    try:
        check(row)
    except BadDetails as bad:
        raise StaffelError(str(bad), code=bad.code) from None
    return row


def _name(actor: Actor) -> str:
    return actor.by or actor.partner_id


def _said(outcome: Outcome, account: Account | None) -> dict[str, Any]:
    if outcome.result == "refused" or account is None:
        raise StaffelError(outcome.message, code=outcome.code or "refused")
    return {"result": outcome.result, "masked": account.masked, "sepa": account.sepa, "usable_on": account.usable_on}
