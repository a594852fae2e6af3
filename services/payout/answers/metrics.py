"""What is told of the bank's answers."""

from __future__ import annotations

from collections import Counter as Count
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from prometheus_client import Counter, Gauge
from sqlalchemy import Connection

from services.payout import metrics
from services.payout.answers import folder
from services.payout.answers.apply import Outcome
from services.payout.answers.codes import label
from services.payout.answers.gaps import gaps
from services.payout.answers.overview import silence
from services.payout.answers.unmatched import open_ones

FILES = Counter("payout_bank_files_total", "Files of the bank by kind and what became of them", ["kind", "result"])
REFUSED = Gauge("payout_bank_refused_files", "Files that could not be read and lie in the folder for refused ones")
UNMATCHED = Gauge(
    "payout_bank_unmatched", "What the bank said and fits nothing, by reason, until it is cleared", ["reason"]
)
SILENT = Gauge(
    "payout_bank_silent_payments", "Payments that have waited too long, by what for: answer or debit", ["waits_for"]
)
GAPS = Gauge("payout_statement_gaps", "Statements that don't continue the one before, or miss a movement")


def count(outcome: Outcome) -> None:
    """Count a file and what became of the payments in it."""
    FILES.labels(outcome.kind, "repeated" if outcome.repeated else "taken").inc()
    for (state, reason), number in outcome.payments.items():
        metrics.ATTEMPTS.labels(state, label(reason)).inc(number)


def measure(connection: Connection, place: Path, zone: ZoneInfo, now: datetime, silence_hours: int) -> None:
    """Set the gauges."""
    REFUSED.set(folder.refused(place))
    UNMATCHED.clear()
    for reason, number in Count(row.reason for row in open_ones(connection)).items():
        UNMATCHED.labels(reason).set(number)
    found = silence(connection, zone, now, silence_hours)
    SILENT.labels("answer").set(found.answer)
    SILENT.labels("debit").set(found.debit)
    GAPS.set(len(gaps(connection)))
