"""A process that does nothing but send webhooks, to be killed. Its settings are in the environment."""

from __future__ import annotations

from threading import Event

from deploy.runtime.settings import load
from services.notification.database import open_for_sending
from services.notification.loops import Loop
from services.notification.webhooks.request import Poster
from services.notification.webhooks.sender import Sender
from tests.notification.webhooks.conftest import GATE, SEALER, notices

THREADS = 3

if __name__ == "__main__":
    settings = load().settings
    engine = open_for_sending(settings.notification_db_url)
    sender = Sender(engine, SEALER, Poster(GATE), notices(engine, settings))
    loops = [Loop(f"webhooks {number}", sender.step) for number in range(THREADS)]
    Event().wait()
