"""What the service counts."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

NOTIFICATIONS = Counter(
    "notifications_total",
    "Messages by outcome: sent, retried (later), failed (given up), waiting (no address), expired (too late), "
    "superseded (a later mail says it)",
    ["kind", "channel", "result"],
)
MESSAGES = Gauge("notification_messages", "Messages in the table, by state", ["state"])
BAD_ADDRESSES = Gauge("notification_bad_addresses", "Partners whose address takes no mail: what is for them waits")
SERVER = Gauge("notification_mail_server_up", "1 if the mail server took the last connection, else 0")
STAFF_WAITING = Gauge(
    "staff_alerts_waiting", "Alerts that an address in staff_urls has not been told of yet; the most of any address"
)
MAIL = "mail"


def count(kind: str, result: str, number: int = 1) -> None:
    """Count messages of a kind by outcome."""
    NOTIFICATIONS.labels(kind, MAIL, result).inc(number)
