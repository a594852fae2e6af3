"""The letter about an endpoint that was disabled: the partner mends his system, staff enables it."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from schemas.events import event_id
from services.notification.letter import Fact, Letter
from services.notification.voice import Voice
from services.notification.webhooks.schedule import GONE, KEPT
from streams.rules.terms import Programme


class EndpointDisabled(msgspec.Struct, frozen=True):
    """What the letter is written from. It comes from no topic: nobody but this service knows of it."""

    partner_id: str
    endpoint_id: str
    host: str
    """Of the address no more than that: a path or a query may hold a secret."""
    status: int | None
    """What it answered last; None: no answer came about."""
    failing_since: datetime | None
    """Since when it has taken nothing; None where its one answer was reason enough."""
    occurred_at: datetime
    """In real time, as ``failing_since``: the partner compares them with his own log."""


def id_of_outage(endpoint_id: str, disabled_at: datetime) -> str:
    """The id of the message: an endpoint that is disabled again is told again."""
    return event_id("webhook-disabled", endpoint_id, disabled_at.astimezone(UTC).isoformat())


def disabled(event: EndpointDisabled, voice: Voice, programme: Programme) -> Letter:
    """Nothing is sent to his system any more, and what he can do about it."""
    title = voice.say("Your system gets no notifications from us any more")
    return Letter(
        subject=title,
        title=title,
        paragraphs=(
            *_what_happened(event, voice),
            voice.say(
                "Nothing is lost: what is due to your system waits for up to {span} and is delivered once we send to "
                "it again. Your page and our mails go on as before.",
                span=voice.count("{number} day", "{number} days", KEPT.days),
            ),
            voice.say(
                "If you wanted this, you need not do anything. If not, please have it mended, then answer this mail or "
                "tell your contact with us: we then send to it again."
            )
            if event.status == GONE
            else voice.say(
                "Please have it mended, then answer this mail or tell your contact with us: we then send to it again."
            ),
        ),
        facts=(Fact(voice.say("Reference for your answer"), event.endpoint_id),),
        button=voice.say("Open your page"),
    )


def _what_happened(event: EndpointDisabled, voice: Voice) -> tuple[str, ...]:
    if event.failing_since is None:
        return (
            voice.say(
                "Your system at {host} told us that it is gone (status {status}). So we have stopped sending to it.",
                host=event.host,
                status=event.status,
            ),
        )
    return (
        voice.say(
            "Your system at {host} has taken none of our notifications since {date}. So we have stopped sending to it.",
            host=event.host,
            date=voice.date(event.failing_since.astimezone(voice.zone).date()),
        ),
        voice.say(
            "At the last attempt there was no valid answer: it could not be reached, its certificate was not accepted, "
            "or it took too long."
        )
        if event.status is None
        else voice.say("At the last attempt it answered with status {status}.", status=event.status),
    )
