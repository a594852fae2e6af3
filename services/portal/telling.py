"""Tells everybody what was chosen and decided in the portal: rows of its outbox, sent in their order."""

from __future__ import annotations

from sqlalchemy import Engine

from deploy.runtime.clock import Clock
from deploy.runtime.settings import Settings
from schemas.codec import Codec
from schemas.topics import CLAIMS, PREFERENCES, SALES
from services.kit.relay import Relay
from services.portal.tables import outbox


def relay(settings: Settings, codec: Codec, engine: Engine, clock: Clock) -> Relay:
    """Sends the rows."""
    return Relay(settings, codec, engine, clock, outbox, (PREFERENCES, SALES, CLAIMS), "staffel/portal")
