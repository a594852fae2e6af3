"""What must always be true of the money. Checked every minute and before each run, in production too."""

from __future__ import annotations

from sqlalchemy import Connection, String, cast, except_, func, intersect, literal, select, union_all

from services.payout import ledger
from services.payout.states import BOOKED, OPEN, PaymentState, State
from services.payout.tables import chain_head, journals, obligations, payments, postings, runs, settlements

_ACCOUNT = ledger.payable("")


def violations(connection: Connection) -> list[str]:
    """Every statement that does not hold, as a sentence without a partner's name in it. Empty if all is well."""
    found = [
        f"the ledger's trial balance is {total} {currency} cents, not 0"
        for currency, total in ledger.trial_balance(connection).items()
        if total
    ]
    for statement, query in (
        ("journals whose postings do not sum to zero", _UNBALANCED),
        ("partners for whom owed less paid is not what the ledger holds open", _OPEN_DIFFERS),
        ("payments that are not the sum of what they cover", _PAYMENT_DIFFERS),
        ("runs that are not the sum of their payments", _RUN_DIFFERS),
        ("obligations whose state and settlement contradict each other", _STATE_DIFFERS),
        ("currencies in which the bank's accounts are not what payments took and moved", _BANK_DIFFERS),
        ("chains whose head is not the last journal", _CHAIN_DIFFERS),
    ):
        count = connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
        if count:
            found.append(f"{count} {statement}")
    return found


_UNBALANCED = (
    select(postings.c.journal)
    .group_by(postings.c.journal, postings.c.currency)
    .having(func.sum(postings.c.amount_minor) != 0)
)

_flows = union_all(
    select(obligations.c.partner_id, obligations.c.amount_minor.label("amount")),
    select(payments.c.partner_id, (-payments.c.amount_minor).label("amount")).where(payments.c.state.in_(BOOKED)),
    # The liability's account is credited with what is owed and debited with what is paid.
    select(
        cast(func.substr(postings.c.account, len(_ACCOUNT) + 1), String(64)).label("partner_id"),
        postings.c.amount_minor.label("amount"),
    ).where(postings.c.account.startswith(_ACCOUNT, autoescape=True)),
).subquery()
_OPEN_DIFFERS = select(_flows.c.partner_id).group_by(_flows.c.partner_id).having(func.sum(_flows.c.amount) != 0)

_PAYMENT_DIFFERS = (
    select(payments.c.end_to_end_id)
    .join(settlements, settlements.c.end_to_end_id == payments.c.end_to_end_id)
    .join(obligations, obligations.c.id == settlements.c.obligation_id)
    .group_by(payments.c.end_to_end_id, payments.c.amount_minor)
    .having(func.sum(obligations.c.amount_minor) != payments.c.amount_minor)
)

_RUN_DIFFERS = (
    select(runs.c.msg_id)
    .join(payments, payments.c.msg_id == runs.c.msg_id, isouter=True)
    .group_by(runs.c.msg_id, runs.c.total_minor, runs.c.payments)
    .having(
        (func.coalesce(func.sum(payments.c.amount_minor), 0) != runs.c.total_minor)
        | (func.count(payments.c.end_to_end_id) != runs.c.payments)
    )
)

# As sets: asking for each obligation on its own takes minutes on SQLite.
_settled = (
    select(settlements.c.obligation_id)
    .join(payments, payments.c.end_to_end_id == settlements.c.end_to_end_id)
    .where(settlements.c.active.is_(True), payments.c.state != PaymentState.PREPARED)
)
_STATE_DIFFERS = union_all(
    select(
        except_(
            select(obligations.c.id).where(obligations.c.state.in_((State.IN_PAYMENT, State.PAID))), _settled
        ).subquery()
    ),
    select(intersect(select(obligations.c.id).where(obligations.c.state.in_(OPEN)), _settled).subquery()),
)

_bank = union_all(
    select(postings.c.account, postings.c.currency, postings.c.amount_minor.label("amount")).where(
        postings.c.account.in_((ledger.IN_TRANSIT, ledger.BANK))
    ),
    select(literal(ledger.IN_TRANSIT), payments.c.currency, payments.c.amount_minor).where(
        payments.c.state.in_((PaymentState.RELEASED, PaymentState.ACCEPTED))
    ),
    select(literal(ledger.BANK), payments.c.currency, payments.c.amount_minor).where(
        payments.c.state == PaymentState.SETTLED
    ),
).subquery()
_BANK_DIFFERS = (
    select(_bank.c.currency).group_by(_bank.c.account, _bank.c.currency).having(func.sum(_bank.c.amount) != 0)
)

# Cheap enough for every minute: an edit within the chain is found by services.payout.audit.
_CHAIN_DIFFERS = select(literal(1)).where(
    func.coalesce(select(func.sum(chain_head.c.sequence)).scalar_subquery(), -1)
    != select(func.count()).select_from(journals).scalar_subquery()
)
