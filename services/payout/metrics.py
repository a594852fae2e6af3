"""What the payout service tells of itself. No partner and no account is ever a label."""

from __future__ import annotations

from prometheus_client import Counter, Gauge
from sqlalchemy import Connection, func, select

from services.kit.metrics import OUTBOX_OLDEST
from services.kit.relay import oldest_unsent
from services.payout import ledger, recount
from services.payout.states import RunState, State
from services.payout.tables import obligations, outbox, runs

RUNS = Counter("payout_runs_total", "Payment runs released")
RUN_AMOUNT = Gauge("payout_run_amount_euros", "Sum of the latest payment run")
ATTEMPTS = Counter("payout_attempts_total", "Payments by what became of them", ["state", "reason"])
WAITING_OLDEST = Gauge("payout_run_waiting_oldest_age_seconds", "How long the oldest unreleased run has been waiting")
OBLIGATIONS = Gauge("payout_obligations", "Obligations by state and, where held, reason", ["state", "reason"])
TRIAL_BALANCE = Gauge("ledger_trial_balance_euros", "Sum of all postings; must be 0")
HELD_OLDEST = Gauge("payout_held_oldest_age_seconds", "How long the longest held obligation is held", ["reason"])
VIOLATIONS = Gauge("payout_invariant_violations", "Statements about the money that do not hold; must be 0")
STATEMENTS = Counter("payout_statements_total", "Statements issued", ["kind"])
STATEMENTS_WAITING = Gauge(
    "payout_statements_waiting", "Statements that are due and not issued, or issued and not in their folder"
)
DIFFERENCE = Gauge("recon_difference_units", "Units by which recounts differ from the closes they hold up; must be 0")


def measure(connection: Connection, now: float, rate: float) -> None:
    """Set the gauges. ``now`` is the clock's time in seconds, ``rate`` how fast it runs."""
    TRIAL_BALANCE.set(sum(abs(total) for total in ledger.trial_balance(connection).values()) / 100)
    DIFFERENCE.set(recount.units_in_doubt(connection))
    since = oldest_unsent(connection, outbox)
    OUTBOX_OLDEST.set(max(0.0, now - since.timestamp()) / rate if since else 0)
    waiting = select(func.min(runs.c.created_at)).where(runs.c.state.in_([RunState.DRAFT, RunState.APPROVED]))
    prepared = connection.execute(waiting).scalar()
    WAITING_OLDEST.set(max(0.0, now - prepared.timestamp()) if prepared else 0)
    HELD_OLDEST.clear()
    held = select(obligations.c.reason, func.min(obligations.c.since)).where(obligations.c.state == State.HELD)
    for reason, began in connection.execute(held.group_by(obligations.c.reason)):
        HELD_OLDEST.labels(reason).set(max(0.0, now - began.timestamp()))
    OBLIGATIONS.clear()
    counted = connection.execute(
        select(obligations.c.state, obligations.c.reason, func.count()).group_by(
            obligations.c.state, obligations.c.reason
        )
    )
    for state, reason, number in counted:
        OBLIGATIONS.labels(state, reason or "").set(number)
