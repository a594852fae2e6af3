"""Pages that were made before: nobody is shown another's, nor an old one, and they take no more room than they may."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta

import pytest
from sqlalchemy import event

from schemas.events import CloseKind, PayoutStatus, PreferenceSource
from services.kit.contacts import Standing
from services.kit.database import open_engine
from services.portal import tables
from services.portal.auth import PARTNER, STAFF, Role, Visitor
from services.portal.claims.making import make, move
from services.portal.claims.reading import Claimed
from services.portal.claims.tables import OPEN, Status
from services.portal.kept import OFTEN, Kept
from services.portal.preferences import choose
from services.portal.rebuild import put_in_place
from tests.portal.claiming import made
from tests.portal.conftest import Site, mark_in
from tests.portal.feeding import (
    NOON,
    a_close,
    a_line,
    a_partner,
    a_payout,
    a_tally,
    a_tier_change,
    feed,
    feed_records,
)
from tests.portal.test_statements import put

PAGES = ("/", "/?quarter=2026Q4", "/sales", "/sales?q=S-", "/sales?status=rejected", "/quarters", "/why")
COUNTED = {
    "partners",
    "tallies",
    "sale_lines",
    "open_serials",
    "tier_changes",
    "closes",
    "payouts",
    "claims",
    "preferences",
    "contacts",
}
"""Tables whose writers count a change of a partner's pages."""


@contextmanager
def asked_of(site: Site) -> Iterator[set[str]]:
    """The tables that are read meanwhile."""
    read: set[str] = set()

    def note(*args: object) -> None:
        read.update(set(re.findall(r"\w+", str(args[2]))) & set(tables.metadata.tables))

    event.listen(site.engine, "before_cursor_execute", note)
    yield read
    event.remove(site.engine, "before_cursor_execute", note)


def test_a_page_that_is_the_same_still_is_not_made_again(site: Site) -> None:
    who = {"sessions", "page_versions", "contacts"}
    for browser in (site.signed_in("P1"), site.contact("P1", "C-1", Standing.OWNER)):
        for path in (*PAGES, "/sale?id=S-1"):
            with asked_of(site) as first:
                shown = browser.get(path).text
            with asked_of(site) as again:
                assert browser.get(path).text == shown
            assert again == who, path
            assert first > who, path
            assert first - {"sessions", "page_versions"} <= COUNTED, f"{path} shows what no writer counts"


CHANGES: dict[str, Callable[[Site], object]] = {
    "a sale": lambda site: feed(site.engine, a_line("P1", "S-4", 1)),
    "a sale that changed": lambda site: feed(site.engine, a_line("P1", "S-1", 40, conflicts=("00",))),
    "the standing": lambda site: feed(site.engine, a_tally(site.programme, "P1", 50, counted=3, rejected=1)),
    "his name": lambda site: feed(site.engine, a_partner("P1", name="Another Systemhaus GmbH")),
    "his language": lambda site: feed(site.engine, a_partner("P1", language="de")),
    "he left": lambda site: feed_records(site.engine, [("P1", None)]),
    "a tier change": lambda site: feed(site.engine, a_tier_change(site.programme, "P1", 1, 0, 48)),
    "a close": lambda site: feed(site.engine, a_close(site.programme, "P1", CloseKind.FINAL, 1, 48, 48000, 48000)),
    "a payment": lambda site: feed(site.engine, a_payout("P1", 1, 1, PayoutStatus.WAITING, 48000)),
    "no weekly mail": lambda site: choose(site.engine, "P1", PreferenceSource.PORTAL, NOON, weekly_mail=False),
    "a language of his choice": lambda site: choose(site.engine, "P1", PreferenceSource.PORTAL, NOON, language="de"),
    "a question about a claim": lambda site: ask(site, "P1"),
    "a statement": lambda site: put(site, "P1"),
    "a read model made anew": lambda site: make_anew(site),
    "a minute": lambda site: site.clock.pass_by(timedelta(minutes=1)),
    "a day": lambda site: site.clock.pass_by(timedelta(days=1)),
}
SHOWN_ON = {
    "a tier change": "/sale?id=S-1",
    "a close": "/quarters",
    "a payment": "/quarters",
    "a statement": "/quarters",
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_has_changed_is_on_the_next_page(site: Site, what: str) -> None:
    path = SHOWN_ON.get(what, "/")
    if what == "a tier change":  # it belongs to the sale that was received at that very moment
        feed(site.engine, a_line("P1", "S-1", 40, recorded_at=NOON - timedelta(hours=1)))
    feed(site.engine, a_tally(site.programme, "P1", 48, "2026Q3", counted=2))
    browser, other = site.signed_in("P1"), site.signed_in("P2")
    before, of_other = browser.get(path).text, other.get("/").text
    CHANGES[what](site)
    after = browser.get(path).text
    assert after != before
    assert after == afresh(site, path, mark_in(after)), "as it is made without one from before"
    if what not in ("a read model made anew", "a minute", "a day"):
        with asked_of(site) as read:
            assert other.get("/").text == of_other
        assert "sale_lines" not in read, "another's pages are not made again"


def afresh(site: Site, path: str, mark: str) -> str:
    """The page of P1 as another portal makes it, with this mark in its forms."""
    again = Site(site.settings, site.programme, site.engine)
    again.clock.shown = site.clock.shown
    page = again.signed_in("P1").get(path).text
    return page.replace(mark_in(page), mark)


def ask(site: Site, partner_id: str) -> None:
    make(site.engine, partner_id, [Claimed("INV-77", "TS-200", 2, date(2026, 11, 10), ("MP7",), "")], [], NOON)
    (one,) = made(site.engine)
    with site.engine.begin() as connection:
        assert move(connection, one, OPEN, Status.ASKED, NOON)


def make_anew(site: Site) -> None:
    """A read model in which P1 has sold less, put in the place of the one in use."""
    anew = open_engine("sqlite://", tables.MIGRATIONS)
    feed(anew, a_partner("P1"), a_line("P1", "S-1", 3), a_tally(site.programme, "P1", 3, counted=1))
    put_in_place(anew, site.engine)
    anew.dispose()


def test_everybody_is_shown_his_own(site: Site) -> None:
    visitors = {
        "P1": Visitor(PARTNER, "P1", ""),
        "P2": Visitor(PARTNER, "P2", ""),
        "P1, confirmed": Visitor(PARTNER, "P1", "", confirmed=True),
        "P1, by anna": Visitor(STAFF, "", "", "anna", Role.VIEWER, viewing="P1"),
        "P2, by anna": Visitor(STAFF, "", "", "anna", Role.VIEWER, viewing="P2"),
        "P2, by otto": Visitor(STAFF, "", "", "otto", Role.APPROVER, viewing="P2"),
    }
    browsers = {name: site.with_session(visitor) for name, visitor in visitors.items()}
    browsers["P1, an owner"] = site.contact("P1", "C-1", Standing.OWNER)
    browsers["P1, an accountant"] = site.contact("P1", "C-2", Standing.ACCOUNTANT, "de")
    for path in PAGES:
        for _ in range(2):
            for name, browser in browsers.items():
                page = browser.get(path).text
                sales = set(re.findall(r"\bS-\d\b", page))
                assert sales <= ({"S-9"} if "P2" in name else {"S-1", "S-2", "S-3"}), (path, name)
                assert sales or path in ("/quarters", "/why", "/sales?status=rejected"), (path, name)
                assert ("as he sees them" in page) == ("by" in name), (path, name)
                assert ('lang="de"' in page) == ("accountant" in name), (path, name)
                assert ("/weekly-mail" in page) == (path[:2] in ("/", "/?") and "accountant" not in name), (path, name)
                assert set(re.findall(r'name="mark" value="([^"]*)"', page)) == {site.mark(browser)}, (path, name)


def test_what_somebody_chose_for_himself_is_shown_to_him_alone(site: Site) -> None:
    partner, contact = site.signed_in("P1"), site.contact("P1", "C-1", Standing.OWNER)
    for browser in (partner, contact):
        assert "Turn it off" in browser.get("/").text
    contact.post("/weekly-mail", data={"mark": site.mark(contact), "on": "0"})
    assert "Turn it on" in contact.get("/").text
    assert "Turn it off" in partner.get("/").text


def test_a_browser_is_spoken_to_in_its_own_language_where_nobody_knows_the_partner(site: Site) -> None:
    feed(site.engine, a_line("P3", "S-1", 1, status="pending", reason="partner-not-registered", units=0))
    browser = site.signed_in("P3")
    for _ in range(2):
        assert 'lang="de"' in browser.get("/", headers={"Accept-Language": "de"}).text
        assert 'lang="fr"' in browser.get("/", headers={"Accept-Language": "fr"}).text


def test_who_may_not_see_it_any_more_is_shown_nothing(site: Site) -> None:
    browser = site.signed_in("P1")
    assert browser.get("/").status_code == 200
    site.real.pass_by(timedelta(hours=13))
    assert browser.get("/").status_code == 404


def test_no_page_is_kept_by_a_browser(site: Site) -> None:
    assert site.signed_in("P1").get("/").headers["cache-control"] == "no-store"


def run(scenario: object) -> None:
    asyncio.run(asyncio.wait_for(scenario, 20))  # type: ignore[arg-type]


class Maker:
    """Makes a page of what stands in it, and counts."""

    def __init__(self, page: bytes = b"page") -> None:
        self.page, self.times = page, 0

    def __call__(self) -> bytes:
        self.times += 1
        return self.page


def test_of_many_who_ask_at_once_one_has_it_made_and_nobody_waits_for_who_has_gone() -> None:
    async def scenario() -> None:
        kept, maker = Kept(1000, len), Maker()
        asking = [asyncio.ensure_future(kept.get("a", 1, maker)) for _ in range(20)]
        await asyncio.sleep(0)
        asking.pop(0).cancel()
        assert set(await asyncio.gather(*asking)) == {b"page"}
        assert maker.times == 1

    run(scenario())


def test_another_state_is_another_page_in_the_place_of_the_one_before() -> None:
    async def scenario() -> None:
        kept = Kept(1000, len)
        assert await kept.get("a", 1, Maker(b"old")) == b"old"
        assert await kept.get("a", 2, Maker(b"newer")) == b"newer"
        assert kept.used == len(b"newer")

    run(scenario())


def test_what_can_not_be_made_is_told_to_all_and_not_kept() -> None:
    async def scenario() -> None:
        kept: Kept[bytes] = Kept(1000, len)

        def fail() -> bytes:
            raise LookupError

        found = await asyncio.gather(*(kept.get("a", 1, fail) for _ in range(3)), return_exceptions=True)
        assert [type(one) for one in found] == [LookupError] * 3
        assert await kept.get("a", 1, Maker()) == b"page"

    run(scenario())


def test_the_least_lately_used_make_room() -> None:
    async def scenario() -> None:
        kept, first, second = Kept(10, len), Maker(b"1111"), Maker(b"2222")
        await kept.get("first", 1, first)
        await kept.get("second", 1, second)
        await kept.get("first", 1, first)
        await kept.get("third", 1, Maker(b"3333"))
        assert kept.used == 8
        await kept.get("first", 1, first)
        await kept.get("second", 1, second)
        assert (first.times, second.times) == (1, 2)
        await kept.get("too large", 1, Maker(b"x" * 11))
        assert kept.used <= 10

    run(scenario())


class Watch:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def asked_a_lot(kept: Kept[bytes], watch: Watch) -> None:
    for _ in range(OFTEN):
        assert await kept.get("a", 1, Maker(b"old")) == b"old"
        watch.now += 0.1


def test_nobody_waits_for_what_is_asked_for_a_lot_and_it_is_behind_for_a_short_while_only() -> None:
    async def scenario() -> None:
        watch, new, newest = Watch(), Maker(b"new"), Maker(b"newest")
        kept = Kept(1000, len, 0.5, watch)
        await asked_a_lot(kept, watch)
        assert [await kept.get("a", 2, new) for _ in range(3)] == [b"old"] * 3
        assert await kept.get("a", 3, newest) == b"old"
        while not new.times or await kept.get("a", 2, new) == b"old":
            await asyncio.sleep(0)
        assert await kept.get("a", 2, new) == b"new"
        assert (new.times, newest.times) == (1, 0), "one is made at a time"
        watch.now += 0.4
        assert await kept.get("a", 3, newest) == b"new"
        watch.now += 0.1
        assert await kept.get("a", 3, newest) == b"newest", "it was right too long ago"
        assert newest.times == 1

    run(scenario())


def test_what_is_asked_for_now_and_then_is_never_behind() -> None:
    async def scenario() -> None:
        watch = Watch()
        kept = Kept(1000, len, 0.5, watch)
        await asked_a_lot(kept, watch)
        watch.now += 0.5
        assert await kept.get("a", 1, Maker(b"old")) == b"old"
        assert await kept.get("a", 2, Maker(b"new")) == b"new"

    run(scenario())


def test_what_somebody_chose_is_on_the_next_page_however_much_it_is_asked_for(site: Site) -> None:
    reader, owner = site.signed_in("P1"), site.signed_in("P1")
    for _ in range(2 * OFTEN):
        assert "Turn it off" in reader.get("/").text
    owner.post("/weekly-mail", data={"mark": site.mark(owner), "on": "0"})
    assert "Turn it on" in reader.get("/").text
