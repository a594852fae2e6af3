"""What is counted about webhooks."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from services.notification.webhooks.schedule import Outcome

ATTEMPTS = Counter(
    "webhook_attempts_total",
    "Requests to partners' endpoints by outcome: delivered, retried (later), failed (given up), gone (410); "
    "unsigned: not made, since the endpoint's secret can't be decrypted",
    ["result"],
)
DELIVERIES = Gauge("webhook_deliveries", "Webhook deliveries in the table, by state", ["state"])
ENDPOINTS = Gauge("webhook_endpoints", "Partners' webhook endpoints, by state", ["state"])
DISABLED = Counter("webhook_endpoints_disabled_total", "Endpoints that were disabled: nothing came through, or 410")
OVERDUE = Gauge(
    "webhook_overdue_seconds",
    "How long an enabled endpoint has had something due to it and was free, and was not served",
)

UNSIGNED = "unsigned"

for _result in (*Outcome, UNSIGNED):  # there from the start, so that an alert sees the first one
    ATTEMPTS.labels(_result)
