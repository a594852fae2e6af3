"""``python -m tests.portal.screenshots --out DIR``: each page as a picture, from made-up partners, to be looked at.

Wide and narrow, light and dark. The pictures in the documents are made by the same means.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from playwright.sync_api import Page, sync_playwright

from deploy.runtime.settings import ROOT, Port, load
from schemas.events import CloseKind, Event, LineStatus, PayoutStatus, Phase, SaleLine
from services.kit.database import open_engine
from services.kit.listening import listening
from services.kit.statements import Card, Shelf
from services.portal.server import Server
from services.portal.tables import MIGRATIONS
from streams.rules.terms import Programme, parse
from tests.conftest import free_ports
from tests.databases import sqlite_url
from tests.portal.conftest import Site
from tests.portal.feeding import (
    NOON,
    a_close,
    a_line,
    a_partner,
    a_payout,
    a_return,
    a_tally,
    a_tier_change,
    feed,
)

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SIZES = {"wide": 1200, "narrow": 320}
OWN = "P-1001"
PARTNER_PAGES = {
    "standing": "/",
    "standing-last-quarter": "/?quarter=2026Q3",
    "sales": "/sales",
    "sales-none": "/sales?q=nowhere",
    "sale": "/sale?id=AR-26-0150",
    "quarters": "/quarters",
    "why": "/why",
}
STAFF_PAGES = {
    "programme": "/programme",
    "partners": "/partners",
    "partners-near": "/partners?near=1",
    "partner-of-staff": f"/partners/{OWN}",
}
NAMES = (
    "Ostwind",
    "Hafenstadt",
    "Alpenblick",
    "Rheintal",
    "Weitblick",
    "Kornfeld",
    "Seeufer",
    "Bergwerk",
    "Marktplatz",
)
KINDS = ("Systemhaus GmbH", "IT-Service KG", "Datentechnik GmbH", "Netzwerke AG", "Computer e.K.")
COUNTRIES = ("DE", "DE", "DE", "AT", "CH", "FR", "NL")
STATEMENT = Card(
    number="BA-2026-000031",
    partner_id=OWN,
    issued_on=date(2026, 11, 20),
    quarters=("2026Q3",),
    amount_minor=31_000,
    currency="EUR",
    pdf_sha256="",
    csv_sha256="",
)


def take(out: Path, programme: Programme) -> list[Path]:
    """Take all pictures; answers where they are."""
    out.mkdir(parents=True, exist_ok=True)
    pictures = []
    path = shutil.which("chromium")
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), programme) as site, sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=path, args=ARGUMENTS)
        for size, width in SIZES.items():
            for scheme in ("light", "dark"):
                looks: dict[str, Any] = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
                for who, pages in ((OWN, PARTNER_PAGES), ("", STAFF_PAGES)):
                    page = browser.new_context(locale="en-GB", device_scale_factor=1, **looks).new_page()
                    enter(page, site, who)
                    for name, address in pages.items():
                        page.goto(site.settings.public_url + address)
                        page.evaluate("document.querySelector('[data-region=clock]').hidden = true")
                        pictures.append(out / f"{name}-{size}-{scheme}.png")
                        page.screenshot(path=pictures[-1], full_page=True)
        browser.close()
    return pictures


def enter(page: Page, site: Site, partner_id: str) -> None:
    """Come in through the link of a mail."""
    page.goto(site.settings.public_url + site.link(partner_id))
    page.get_by_role("button", name="Open my page").click()
    page.wait_for_selector("[data-live]")


@contextmanager
def serving(folder: Path, programme: Programme) -> Iterator[Site]:
    """A portal with made-up partners behind a real server."""
    settings = load({"data": folder / "data", "port_base": free_ports()}, {}).settings
    engine = open_engine(sqlite_url(folder), MIGRATIONS)
    site = Site(settings, programme, engine)
    feed(engine, *own_events(programme), *other_events(programme))
    Shelf(Path(settings.statements)).put(STATEMENT, b"", b"")
    server = Server(site.app, site.changes)
    thread = threading.Thread(
        target=server.serve_on,
        args=(listening(settings.listen, settings.port(Port.PORTAL), "the pages"), lambda: False),
    )
    thread.start()
    try:
        yield site
    finally:
        server.stop()
        thread.join()
        engine.dispose()


def own_events(programme: Programme) -> Iterator[Event]:
    """The partner whose pages are shown: two units short of the highest tier, with a return and some verdicts."""
    yield a_partner(OWN, name="Nordlicht Systemhaus GmbH", language="en", country="DE")
    lines = list(sales_of(OWN, 22, 44, random.Random(4), "AR-26-01"))
    back = replace(a_return(1, date(2026, 11, 18)), recorded_at=at(date(2026, 11, 19)))
    lines[8] = replace(lines[8], quantity=3, units=2, returns=(back,))
    serials = tuple(f"MP440{n}" for n in range(4))
    shown = a_line(OWN, "AR-26-0150", 4, sold_on=date(2026, 11, 12), serial_numbers=serials)
    lines.append(replace(shown, reported_at=at(date(2026, 11, 12)), recorded_at=at(date(2026, 11, 13))))
    units = sum(line.units for line in lines)
    wrong = a_line(OWN, "AR-26-0131", 2, sold_on=date(2026, 11, 20), product_id="KB-010", units=0)
    yield replace(wrong, status=LineStatus.REJECTED, reason="product-not-in-programme")
    alone = a_line(OWN, "AR-26-0133", 0, sold_on=None, units=0, returns=(a_return(1, date(2026, 11, 21)),))
    yield replace(alone, status=LineStatus.PENDING, reason="return-before-sale")
    yield from lines
    yield a_tally(programme, OWN, units, counted=len(lines), rejected=1)
    yield replace(a_tier_change(programme, OWN, 1, 22, 26), occurred_at=at(date(2026, 11, 13)))
    yield from sales_of(OWN, 20, 31, random.Random(5), "AR-26-00", date(2026, 7, 6))
    yield a_tally(programme, OWN, 31, "2026Q3", phase=Phase.FINAL, revision=1, payable_minor=31_000, counted=20)
    yield a_close(programme, OWN, CloseKind.PROVISIONAL, 0, 30, 0, 0)
    yield a_close(programme, OWN, CloseKind.FINAL, 1, 31, 31_000, 31_000)
    yield a_payout(OWN, 1, 1, PayoutStatus.IN_PAYMENT, 31_000)
    yield a_payout(OWN, 1, 2, PayoutStatus.RETURNED, 31_000, "AC04")
    yield a_payout(OWN, 1, 3, PayoutStatus.WAITING, 31_000, "bank-details-invalid")


def other_events(programme: Programme) -> Iterator[Event]:
    """Sixty others."""
    chance = random.Random(11)
    for number in range(60):
        partner_id = f"P-{1002 + number}"
        name = f"{NAMES[number % len(NAMES)]} {KINDS[number % len(KINDS)]}"
        yield a_partner(partner_id, name=name, country=chance.choice(COUNTRIES))
        units = chance.choice((0, 4, 8, 9, 14, 19, 22, 24, 30, 41, 48, 55, 72))
        lines = list(sales_of(partner_id, -(-units // 3), units, chance, f"R{number}-"))
        yield from lines
        yield a_tally(programme, partner_id, units, counted=len(lines))
        if units > 9:
            change = a_tier_change(programme, partner_id, 1, 9 if units < 25 else 24, units)
            yield replace(change, occurred_at=NOON - timedelta(hours=7 * number))


def sales_of(
    partner_id: str, sales: int, units: int, chance: random.Random, prefix: str, since: date = date(2026, 10, 1)
) -> Iterator[SaleLine]:
    """So many counted sales with so many units together."""
    if not sales:
        return
    shares = [units // sales + (number < units % sales) for number in range(sales)]
    days = sorted(since + timedelta(days=chance.randrange(50)) for _ in shares)
    for number, (share, day) in enumerate(zip(shares, days, strict=True)):
        yield a_line(
            partner_id,
            f"{prefix}{number:02}",
            share,
            status=LineStatus.COUNTED,
            sold_on=day,
            product_id=chance.choice(("TS-100", "TS-200", "TS-300")),
            serial_numbers=tuple(f"MP{chance.randrange(10**6):06}" for _ in range(share)),
            reported_at=at(day + timedelta(days=1)),
            recorded_at=at(day + timedelta(days=2)),
        )


def at(day: date) -> datetime:
    """A moment of that day."""
    return datetime.combine(day, time(9, 30), NOON.tzinfo)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    programme = parse((ROOT / "programme.toml").read_text("utf-8"))
    for picture in take(parser.parse_args().out, programme):
        print(picture)


if __name__ == "__main__":
    main()
