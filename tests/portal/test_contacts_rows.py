"""The rows of who may come in: what they decide on at once, and what of them notification has still to hear."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Engine, select

from schemas.events import PreferenceSource
from services.kit.contacts import Standing
from services.portal import contacts
from services.portal.tables import contacts as kept
from tests.portal.conftest import Site
from tests.portal.feeding import NOON, a_line, a_partner, feed, feed_records


def test_nobody_is_shown_the_page_that_was_made_for_somebody_else(site: Site) -> None:
    who = {
        "owner": site.signed_in("P1"),
        "accountant": site.contact("P1", "c-accountantaaa", Standing.ACCOUNTANT, "en"),
        "colleague": site.contact("P1", "c-colleagueaaaa", Standing.OWNER, "it"),
    }
    contacts.choose(site.engine, PreferenceSource.MAIL, "P1", "c-colleagueaaaa", NOON, NOON, weekly_mail=False)
    for _ in range(2):  # the second time from what was kept
        pages = {name: browser.get("/").text for name, browser in who.items()}
        assert 'name="on" value="0"' in pages["owner"]
        assert 'action="/weekly-mail' not in pages["accountant"]
        assert 'href="/details"' not in pages["accountant"]
        assert 'name="on" value="1"' in pages["colleague"]
        assert '<html lang="it"' in pages["colleague"]
    with site.engine.begin() as connection:
        contacts.change(connection, "P1", "c-colleagueaaaa", Standing.OWNER, "fr", NOON)
        contacts.remove(connection, "P1", "c-accountantaaa", NOON)
    assert '<html lang="fr"' in who["colleague"].get("/").text
    assert who["accountant"].get("/").status_code == 404


def test_what_is_told_late_is_not_lost_and_what_changed_meanwhile_is_told_too(engine: Engine) -> None:
    with engine.begin() as connection:
        contacts.add(connection, "P1", "c-aaaaaaaaaaaaa", Standing.OWNER, "en", NOON)
        assert contacts.untold(connection) == []
        later = NOON + timedelta(seconds=1)
        assert contacts.change(connection, "P1", "c-aaaaaaaaaaaaa", Standing.ACCOUNTANT, "en", later)
        (first,) = contacts.untold(connection)
        assert contacts.remove(connection, "P1", "c-aaaaaaaaaaaaa", later + timedelta(seconds=1))
        contacts.was_told(connection, first)
        (second,) = contacts.untold(connection)
        assert second.removed_at is not None
        assert not contacts.change(connection, "P1", "c-aaaaaaaaaaaaa", Standing.OWNER, "en", later)
        contacts.was_told(connection, second)
        assert connection.execute(select(kept)).all() == []


def test_nobody_comes_in_for_a_partner_who_was_erased(engine: Engine) -> None:
    feed(engine, a_partner("P1"), a_partner("P2"), a_line("P1", "S-1", 1))
    with engine.begin() as connection:
        for partner_id, contact_id in (("P1", "c-aaaaaaaaaaaaa"), ("P2", "c-bbbbbbbbbbbbb")):
            contacts.add(connection, partner_id, contact_id, Standing.OWNER, "en", NOON)
    feed_records(engine, [("P1", None)])
    with engine.connect() as connection:
        assert connection.execute(select(kept.c.partner_id)).scalars().all() == ["P2"]
