"""A message as it is first written to its table."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from services.notification import metrics
from services.notification.calls import Call
from services.notification.reach import Verdict
from services.notification.tables import State


def new_row(
    call: Call,
    partner_id: str,
    recorded_at: datetime,
    verdict: Verdict,
    now: datetime,
    *,
    due: datetime | None = None,
    recipient: str | None = None,
    contact_id: str | None = None,
) -> dict[str, Any]:
    """The row of a message that was called for at ``recorded_at``, by the stack's clock, and comes in ``now``.

    ``due``, at once if not said, is in real time as well. ``recipient`` is an address that is not the partner's own,
    ``contact_id`` a contact of his who gets it.
    """
    return {
        "event_id": call.id,
        "partner_id": partner_id,
        "recipient": recipient,
        "contact_id": contact_id,
        "kind": call.kind.value,
        "event": call.event,
        "recorded_at": recorded_at,
        "queued_at": now,
        "next_try_at": due or now,
        "state": verdict.state.value,
        "attempts": 0,
        "last_error": verdict.reason,
        "wave": call.kind.of_the_wave,
        "edition": 0,
    }


def count(kind: str, state: str) -> None:
    """Count a message that is not to be sent for now."""
    result = {State.WAITING: "waiting", State.EXPIRED: "expired", State.SUPERSEDED: "superseded"}.get(State(state))
    if result is not None:
        metrics.count(kind, result)
