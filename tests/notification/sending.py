"""A process that sends and does nothing else, to be killed. It finds its settings in the environment."""

from __future__ import annotations

import signal

from deploy.runtime.clock import RealClock
from deploy.runtime.settings import load
from services.notification.crew import Crew
from services.notification.database import open_for_sending
from tests.notification.facts import programme

if __name__ == "__main__":
    settings = load().settings
    Crew(open_for_sending(settings.notification_db_url), settings, RealClock(), programme()).start()
    signal.pause()
