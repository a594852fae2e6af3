"""Looks whether a part can really be used: each function answers what keeps it from that, or None."""

from __future__ import annotations

import http.client
import json
import smtplib
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from deploy.embedded import ports
from deploy.runtime.settings import Port, Settings


def kafka(settings: Settings) -> str | None:
    """Asks the broker for its metadata."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    port = settings.port(Port.KAFKA)
    if settings.kafka == f"127.0.0.1:{port}" and not ports.answers(port):
        return "does not answer (Connection refused)"  # the client would back off and be late to see it come up
    quick = {"bootstrap.servers": settings.kafka, "reconnect.backoff.max.ms": 200, "log_level": 0}
    try:
        brokers = AdminClient(quick).list_topics(timeout=3).brokers
    except KafkaException as error:
        return f"does not answer ({error.args[0].str()})"
    return None if brokers else "knows no broker yet"


def registry(settings: Settings) -> str | None:
    """Asks the schema registry for its subjects."""
    return page(f"{settings.registry_url.rstrip('/')}/subjects")


def mail(settings: Settings) -> str | None:
    """Greets the mail server."""
    url = urlsplit(settings.smtp_url)
    kind = smtplib.SMTP_SSL if url.scheme == "smtps" else smtplib.SMTP
    try:
        with kind(url.hostname or "", url.port or 25, timeout=3) as server:
            code, answer = server.noop()
    except (OSError, smtplib.SMTPException) as error:
        return f"does not greet ({_reason(error)})"
    return None if code == 250 else f"answers {code} {answer.decode(errors='replace')}"


def inbox(settings: Settings) -> str | None:
    """Greets the mail catcher, and asks for its page."""
    return mail(settings) or page(f"http://127.0.0.1:{settings.port(Port.INBOX)}/healthz")


def page(url: str, timeout: float = 3) -> str | None:
    """Whether a GET of this address is answered with 200; a health page says itself what is wrong."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:  # noqa: S310  # an address from the settings
            return None if answer.status == 200 else f"answers {answer.status}"
    except urllib.error.HTTPError as error:
        return _unwell(error.read(10_000)) or f"answers {error.code}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"does not answer ({_reason(error)})"


def _unwell(body: bytes) -> str:
    try:
        checks = json.loads(body)["checks"]
        return "; ".join(f"{name}: {found}" for name, found in checks.items() if found)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def _reason(error: Exception) -> str:
    cause = getattr(error, "reason", error)
    return getattr(cause, "strerror", None) or str(cause)
