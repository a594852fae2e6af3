"""A partner is spoken to in the language that he chooses: on the pages, in mails, and in his statements."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from schemas.events import PreferencesChanged, PreferenceSource
from services.kit.contacts import Standing
from services.kit.speech import LANGUAGES, languages
from services.notification.voice import TEXTS as MAILS
from services.payout.statements.words import TEXTS as STATEMENTS
from services.portal import contacts
from services.portal.preferences import Choice, choose, chosen
from services.portal.tables import outbox
from services.portal.voice import TEXTS as PAGES
from services.portal.voice import own_name
from streams.rules.terms import Programme
from tests.portal.beside import Town, send, town
from tests.portal.conftest import Site
from tests.portal.feeding import NOON, a_partner, feed


@pytest.fixture
def beside(tmp_path: Path, programme: Programme) -> Iterator[Town]:
    """A portal that knows P1, who is registered as a German speaker, and P2."""
    with town(tmp_path, programme) as made:
        feed(made.site.engine, a_partner("P1", language="de"), a_partner("P2", language="en"))
        yield made


def choice(engine: Engine, partner_id: str = "P1") -> Choice:
    with engine.connect() as connection:
        return chosen(connection, partner_id)


def told(site: Site) -> list[str]:
    with site.engine.connect() as connection:
        return list(connection.execute(select(outbox.c.event).order_by(outbox.c.id)).scalars())


def test_every_part_speaks_all_of_the_languages() -> None:
    for folder in (PAGES, MAILS, STATEMENTS):
        assert languages(folder) == set(LANGUAGES)
    assert [own_name(language) for language in ("de", "fr", "nl")] == ["Deutsch", "Français", "Nederlands"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_pages_speak_what_was_chosen_until_it_is_the_registrations_again(beside: Town, language: str) -> None:
    partner = beside.partner("P1")
    assert '<html lang="de"' in partner.get("/").text
    answer = send(partner, "/details", "/details/language", language=language)
    assert answer.headers["location"] == "/details?done=language-chosen"
    page = partner.get("/details?done=language-chosen").text
    assert f'<html lang="{language}"' in page
    assert f'<option value="{language}" lang="{language}" selected>' in page
    assert f'<html lang="{language}"' in partner.get("/sales").text
    assert '<html lang="en"' in beside.partner("P2").get("/").text
    beside.site.clock.pass_by(timedelta(seconds=1))
    assert send(partner, "/details", "/details/language", language="").status_code == 303
    assert '<html lang="de"' in partner.get("/").text
    assert len(told(beside.site)) == 2


def test_one_choice_leaves_the_other_as_it_is(beside: Town) -> None:
    engine = beside.site.engine
    choose(engine, "P1", PreferenceSource.MAIL, NOON, weekly_mail=False)
    assert choose(engine, "P1", PreferenceSource.PORTAL, NOON + timedelta(seconds=1), language="fr")
    assert not choose(engine, "P1", PreferenceSource.PORTAL, NOON + timedelta(seconds=2), language="fr")
    assert choice(engine) == Choice(weekly_mail=False, language="fr")
    assert '"weekly_mail":false' in told(beside.site)[-1].replace(" ", "")
    choose(engine, "P1", PreferenceSource.PORTAL, NOON + timedelta(seconds=3), weekly_mail=True)
    assert choice(engine) == Choice(weekly_mail=True, language="fr")


@pytest.mark.parametrize("language", ["xx", "DE", "de ", "<b>"])
def test_what_nobody_offered_is_refused(beside: Town, language: str) -> None:
    assert send(beside.partner("P1"), "/details", "/details/language", language=language).status_code == 403
    assert told(beside.site) == []


def test_a_colleague_chooses_for_himself_alone(beside: Town) -> None:
    site = beside.site
    colleague = site.contact("P1", "c-colleagueaaaa", Standing.OWNER, "en")
    assert send(colleague, "/details", "/details/language", language="it").status_code == 303
    assert '<html lang="it"' in colleague.get("/").text
    assert '<html lang="de"' in beside.partner("P1").get("/").text
    assert send(colleague, "/details", "/details/language", language="").status_code == 403
    with site.engine.connect() as connection:
        (row,) = contacts.untold(connection)
    assert row.language == "it", "notification has still to hear of it"
    assert told(site) == []


def test_an_accountant_chooses_for_himself_on_the_page_that_he_has(beside: Town) -> None:
    site = beside.site
    accountant = site.contact("P1", "c-accountantaaa", Standing.ACCOUNTANT, "en")
    assert 'action="/details/language"' not in beside.partner("P1").get("/").text, "the partner has a page for it"
    answer = send(accountant, "/", "/details/language", language="nl")
    assert answer.headers["location"] == "/#language"
    page = accountant.get("/").text
    assert '<html lang="nl"' in page
    assert '<option value="nl" lang="nl" selected>' in page
    assert '<html lang="de"' in beside.partner("P1").get("/").text
    assert send(accountant, "/", "/details/language", language="").status_code == 403
    with site.engine.begin() as connection:
        (row,) = contacts.untold(connection)
        contacts.was_told(connection, row)
    send(accountant, "/", "/details/language", language="nl")
    with site.engine.connect() as connection:
        assert contacts.untold(connection) == [], "he is spoken to in it already"


def test_what_the_topic_says_is_known_again_and_an_earlier_version_said_nothing(engine: Engine) -> None:
    feed(engine, PreferencesChanged("P1", True, PreferenceSource.PORTAL, NOON, "pt"))
    assert choice(engine) == Choice(language="pt")
    feed(engine, PreferencesChanged("P1", True, PreferenceSource.PORTAL, NOON + timedelta(seconds=1)))
    assert choice(engine) == Choice()
    feed(engine, PreferencesChanged("P1", True, PreferenceSource.PORTAL, NOON + timedelta(seconds=2), "tlh"))
    assert choice(engine) == Choice(), "what a later version may offer is no language of ours"
