"""Metrics that several services have in common."""

from __future__ import annotations

from prometheus_client import Gauge

OUTBOX_OLDEST = Gauge(
    "outbox_oldest_age_seconds",
    "Age of the oldest row that waits to be sent to the outside (mail, event), in seconds of real time; 0 if none does",
)
