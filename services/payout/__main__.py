"""The payout process: ``python -m services.payout``."""

from __future__ import annotations

from sqlalchemy.exc import OperationalError

from deploy.runtime.errors import NotReady
from deploy.runtime.programme import read_programme
from deploy.runtime.settings import Port
from schemas.codec import RegistryAway
from schemas.topics import BANK_DETAILS, PARTNERS, PAYOUTS, PREFERENCES, QUARTER_CLOSES, SALE_LINES, SETTLED_LINES
from services.kit.process import Process, run
from services.payout.database import open_database
from services.payout.office.means import Means
from services.payout.office.opening import open_office
from services.payout.service import Payout
from services.payout.vault import open_vault
from streams.rules.terms import parse


def body(process: Process) -> None:
    """Open everything, then turn the loop until the process is stopped."""
    programme = read_programme(process.settings, parse)
    opened: list[Payout] = []
    process.probes.check("opened", lambda: None if opened else "still opens its database and topics")
    try:
        _resolve(process)
        engine = open_database(process.settings)
        payout = Payout(process, engine, programme)
        opened.append(payout)
        settings, vault = process.settings, open_vault(process.settings)
        office = open_office(Means(settings, engine, vault, programme, process.clock, payout.doubt, payout.hurry))
        process.probes.check("office", office.problem)
        try:
            while not process.stopping():
                payout.step()
        finally:
            office.close()
            payout.close()
    except RegistryAway as error:
        raise NotReady(str(error), "is the registry running? see ./staffel status") from None
    except OperationalError as error:
        raise NotReady(f"the payout database does not answer: {error.orig}") from None


def _resolve(process: Process) -> None:
    try:
        process.codec.resolve([PARTNERS, PREFERENCES, SALE_LINES, SETTLED_LINES, QUARTER_CLOSES, PAYOUTS, BANK_DETAILS])
    except LookupError:
        raise NotReady("the registry does not know our schemas", "create them: ./staffel topics create") from None


if __name__ == "__main__":
    run("payout", Port.PAYOUT, body)
