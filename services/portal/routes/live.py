"""Live pages: what changes on a page is sent to who looks at it."""

from __future__ import annotations

from collections.abc import Hashable

from starlette.responses import Response, StreamingResponse

from deploy.runtime.clock import RealClock
from services.portal.access import Asked
from services.portal.live import Render, stream
from services.portal.views import read_quarter


def follow(asked: Asked, partner_id: str, render: Render, rest: float) -> Response:
    """A stream of what looks different now, woken by changes of this partner; ``rest`` seconds between two looks."""
    portal, request = asked.portal, asked.request
    if portal.changes.streams >= portal.settings.live_streams:
        return Response("too many pages are open\n", 503, {"Retry-After": "30"}, "text/plain")
    read_quarter(request.query_params)  # an address that is none is refused before the stream begins
    seen = request.headers.get("last-event-id") or request.query_params.get("seen", "")

    def still() -> Hashable | None:
        visitor, shown = portal.visitors.find(asked.visitor.session_id), asked.visitor.partner_id
        if visitor is None or (shown and shown not in (visitor.viewing, visitor.partner_id)):
            return None  # it has ended, or staff looks at another partner's pages by now
        now = portal.clock.now().astimezone(portal.programme.zone)
        return visitor.version, now.date() if isinstance(portal.clock, RealClock) else now

    events = stream(portal.changes, partner_id, render, still, seen, portal.pages.look_every, rest)
    return StreamingResponse(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
