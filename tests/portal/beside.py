"""A portal beside open offices: payout's with a real ledger, notification's with real mails and webhooks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from deploy.runtime.settings import Settings, load
from services.kit.database import open_engine
from services.kit.office.server import Office as OpenOffice
from services.notification import office as notification
from services.notification.addresses import Addresses
from services.notification.people import People
from services.notification.reach import Reach
from services.notification.renewals import Renewals
from services.notification.tables import MIGRATIONS as NOTIFICATION_TABLES
from services.notification.webhooks.endpoints import sealer_of
from services.notification.webhooks.target import gate_of
from services.payout import files
from services.payout.office.means import Means
from services.payout.office.opening import open_office
from services.portal.auth import PARTNER, Role, Visitor
from services.portal.tables import MIGRATIONS
from streams.rules.terms import Programme
from tests.conftest import free_ports
from tests.databases import sqlite_url
from tests.payout.office import FINAL, PROGRAMME, Office
from tests.portal.conftest import HandClock, Site, mark_in

IBAN = "DE02120300000000202051"


class Town:
    """The portal, and the offices that it asks. Payout's clock stands on a bank day after the grace period."""

    def __init__(self, site: Site, payout: Office) -> None:
        self.site, self.payout = site, payout
        self.settings: Settings = site.settings
        self.open: dict[str, OpenOffice] = {}

    def opens(self, *names: str) -> None:
        """Offices open."""
        if "payout" in names:
            office, settings = self.payout, self.settings
            means = Means(settings, office.engine, office.vault, PROGRAMME, HandClock(FINAL), hurry=self._write)
            self.open["payout"] = open_office(means)
        if "notification" in names:
            self.mail_engine = open_engine(self.settings.notification_db_url, NOTIFICATION_TABLES)
            reach = Reach(HandClock(FINAL), PROGRAMME, Addresses(self.settings))
            desk = notification.Means(
                self.settings,
                self.mail_engine,
                sealer_of(self.settings),
                gate_of(self.settings),
                Renewals(self.mail_engine, HandClock(FINAL), reach),
                People(self.mail_engine, HandClock(FINAL), reach),
            )
            self.open["notification"] = notification.open_office(desk)

    def closes(self, name: str) -> None:
        """An office is away."""
        self.open.pop(name).close()

    def earns(self, partner_id: str, units: int = 50, minor: int = 75_000) -> None:
        """A partner has given an account and is owed the rebate of a quarter."""
        self.payout.details(partner_id)
        self.payout.sells(partner_id, units)
        self.payout.closes(partner_id, minor, units=units)
        self.payout.recount()

    def partner(self, partner_id: str, confirmed: bool = False) -> TestClient:
        """A browser of a partner."""
        return self.site.with_session(Visitor(PARTNER, partner_id, "", confirmed=confirmed))

    def staff(self, person: str, role: Role) -> TestClient:
        """A browser of somebody of the staff."""
        return self.site.staff(role, person)

    def _write(self) -> None:
        files.write_released(self.payout.engine, self.payout.vault, Path(self.settings.payments))


def send(browser: TestClient, page: str, path: str, **fields: str) -> Any:
    """Send one of a page's forms."""
    return browser.post(path, data={"mark": mark_in(browser.get(page).text), **fields})


@contextmanager
def town(folder: Path, programme: Programme, *names: str, **said: Any) -> Iterator[Town]:
    """A portal and the offices of these names."""
    flags = {"data": folder / "data", "port_base": free_ports(), "bank_key": "a key for tests"} | said
    settings = load({"public_url": "http://portal.test"} | flags, {}).settings
    engine = open_engine(sqlite_url(folder), MIGRATIONS)
    payout = Office(folder / "data", settings.payout_db_url)
    made = Town(Site(settings, programme, engine), payout)
    made.opens(*names)
    yield made
    for name in list(made.open):
        made.closes(name)
    payout.engine.dispose()
    engine.dispose()
