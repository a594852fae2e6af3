"""A process that does nothing but send webhooks, to be killed. Its argument is the database's URL."""

from __future__ import annotations

import sys
from threading import Event

from services.notification.database import open_for_sending
from services.notification.loops import Loop
from services.notification.webhooks.request import Poster
from services.notification.webhooks.sender import Sender
from tests.notification.webhooks.conftest import GATE, SEALER

THREADS = 3

if __name__ == "__main__":
    sender = Sender(open_for_sending(sys.argv[1]), SEALER, Poster(GATE))
    loops = [Loop(f"webhooks {number}", sender.step) for number in range(THREADS)]
    Event().wait()
