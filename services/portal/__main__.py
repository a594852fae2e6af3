"""``python -m services.portal``: the pages, and the reading that feeds them."""

from __future__ import annotations

from deploy.runtime.programme import read_programme
from deploy.runtime.settings import Port
from services.kit.listening import listening
from services.kit.process import Process, run
from services.portal.badges import Badges
from services.portal.exposure import check_exposure
from services.portal.feed import Feed
from services.portal.live import Changes
from services.portal.offices import open_offices
from services.portal.queries import open_database
from services.portal.server import Server
from services.portal.settling import Settler
from services.portal.web import create_web
from streams.rules.terms import parse


def main(process: Process) -> None:
    """Serve until told to stop, or until the reading fails."""
    programme = read_programme(process.settings, parse)
    settings = process.settings
    check_exposure(settings)
    socket = listening(settings.listen, settings.port(Port.PORTAL), "the pages")
    engine = open_database(process.settings)
    changes = Changes()
    feed = Feed(process.settings, process.clock, process.codec, engine, changes)
    process.probes.check("feed", feed.health)
    offices = open_offices(settings)
    badges = Badges(engine, offices.payout)
    server = Server(create_web(settings, programme, engine, process.clock, changes, badges=badges), changes)
    thread = feed.start(on_failure=server.stop)
    settler = Settler(engine, offices.notification)
    badges.start()
    try:
        server.serve_on(socket, process.stopping)
    finally:
        feed.stop()
        settler.stop()
        badges.stop()
        thread.join()
        engine.dispose()
    if feed.failure is not None:
        raise feed.failure


if __name__ == "__main__":
    run("portal", Port.PORTAL_METRICS, main)
