"""The notification process: ``python -m services.notification``."""

from __future__ import annotations

from sqlalchemy.exc import OperationalError

from deploy.runtime.errors import NotReady
from deploy.runtime.programme import read_programme
from deploy.runtime.settings import Port
from schemas.codec import RegistryAway
from services.kit.database import open_engine
from services.kit.process import Process, run
from services.notification.addresses import Addresses
from services.notification.office import Means, open_office
from services.notification.people import People
from services.notification.reach import Reach
from services.notification.renewals import Renewals
from services.notification.service import TOPICS, Notification
from services.notification.tables import MIGRATIONS
from services.notification.webhooks.endpoints import sealer_of
from services.notification.webhooks.target import gate_of
from streams.rules.terms import parse


def body(process: Process) -> None:
    """Open everything, then turn the loop until the process is stopped."""
    programme = read_programme(process.settings, parse)
    try:
        _resolve(process)
        engine = open_engine(process.settings.notification_db_url, MIGRATIONS)
        settings = process.settings
        notification = Notification(process, engine, programme)
        reach = Reach(process.clock, programme, Addresses(settings))
        renewals, people = Renewals(engine, process.clock, reach), People(engine, process.clock, reach)
        office = open_office(Means(settings, engine, sealer_of(settings), gate_of(settings), renewals, people))
        process.probes.check("office", office.problem)
        try:
            while not process.stopping():
                notification.step()
        finally:
            office.close()
            notification.close()
    except RegistryAway as error:
        raise NotReady(str(error), "is the registry running? see ./staffel status") from None
    except OperationalError as error:
        raise NotReady(f"the notification database does not answer: {error.orig}") from None


def _resolve(process: Process) -> None:
    try:
        process.codec.resolve(TOPICS)
    except LookupError:
        raise NotReady("the registry does not know our schemas", "create them: ./staffel topics create") from None


if __name__ == "__main__":
    run("notification", Port.NOTIFICATION, body)
