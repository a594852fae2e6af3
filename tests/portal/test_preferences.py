"""The weekly mail is turned off by one click from the mail itself, and on and off on the partner's own page."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from sqlalchemy import Engine, select

from deploy.runtime.clock import RealClock
from deploy.runtime.settings import Settings
from schemas.codec import Codec, ConfluentRegistry
from schemas.events import PreferencesChanged, PreferenceSource
from schemas.topics import PREFERENCES
from services.kit.consumer import Reader
from services.kit.links import unsubscribe_link
from services.kit.relay import Relay
from services.portal import telling
from services.portal.preferences import choose, chosen
from services.portal.projector import subscriptions
from services.portal.tables import audit, metadata, outbox
from tests.portal.conftest import Site, mark_in
from tests.portal.feeding import NOON, feed
from tests.waiting import until

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


def wants(engine: Engine, partner_id: str = "P1") -> bool:
    with engine.connect() as connection:
        return chosen(connection, partner_id).weekly_mail


def told(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(select(outbox.c.event).order_by(outbox.c.id)).scalars())


def off_path(site: Site, partner_id: str = "P1") -> str:
    return unsubscribe_link(site.settings, partner_id).removeprefix(site.settings.public_url)


def test_a_mail_program_turns_it_off_without_session_cookie_or_page(site: Site) -> None:
    answer = site.browser().post(off_path(site), data=ONE_CLICK, headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 200
    assert not answer.cookies
    assert not wants(site.engine)
    assert wants(site.engine, "P2")


def test_looking_changes_nothing_and_shows_a_button(site: Site) -> None:
    browser = site.browser()
    for answer in (browser.get(off_path(site)), browser.head(off_path(site))):
        assert answer.status_code == 200
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
    assert "Turn the weekly mail off?" in browser.get(off_path(site)).text
    assert wants(site.engine)
    assert told(site.engine) == []


def test_saying_it_twice_is_told_once(site: Site) -> None:
    for _ in range(2):
        assert site.browser().post(off_path(site), data=ONE_CLICK).status_code == 200
    assert len(told(site.engine)) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_token_that_is_none_of_ours_or_is_meant_for_something_else_opens_nothing(site: Site, method: str) -> None:
    personal = site.link("P1").split("/l/")[1].split("?")[0]
    for token in ("x", off_path(site).rsplit("/", 1)[1][:-2] + "xx", personal):
        assert site.browser().request(method, f"/unsubscribe/{token}").status_code == 404
    door = off_path(site).replace("/unsubscribe/", "/l/")
    assert site.browser().get(door).status_code == 404, "nor does this token open the page"
    assert wants(site.engine)


@pytest.mark.parametrize(("days", "status"), [(365, 200), (367, 404)])
def test_the_token_is_good_for_a_year(site: Site, days: int, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = time.time()
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: begun - days * 86_400)
    path = off_path(site)
    monkeypatch.undo()
    assert site.browser().post(path, data=ONE_CLICK).status_code == status


def test_the_partner_turns_it_off_and_on_again_on_his_page(site: Site) -> None:
    browser = site.signed_in("P1")
    for on, said in (("0", "It is turned off."), ("1", "Every Monday you get a mail")):
        page = browser.get("/").text
        answer = browser.post("/weekly-mail?quarter=2026Q4", data={"mark": mark_in(page), "on": on})
        assert (answer.status_code, answer.headers["location"]) == (303, "/?quarter=2026Q4#mails")
        assert said in browser.get("/").text
        assert wants(site.engine) == (on == "1")
        site.clock.pass_by(timedelta(minutes=1))
    assert len(told(site.engine)) == 2


@pytest.mark.parametrize("form", [{"on": "0"}, {"on": "0", "mark": "forged"}, {"on": "7"}, {}])
def test_a_form_that_the_page_did_not_show_changes_nothing(site: Site, form: dict[str, str]) -> None:
    assert site.signed_in("P1").post("/weekly-mail", data=form).status_code == 403
    assert wants(site.engine)


def test_nobody_chooses_without_a_session_of_his_own(site: Site) -> None:
    staff = site.signed_in()
    mark = mark_in(staff.get("/programme").text)
    assert staff.post("/weekly-mail", data={"mark": mark, "on": "0"}).status_code == 404
    assert site.browser().post("/weekly-mail", data={"mark": mark, "on": "0"}).status_code == 404


def test_the_later_choice_stands_whatever_comes_back_from_the_topic(engine: Engine) -> None:
    choose(engine, "P1", PreferenceSource.PORTAL, NOON, weekly_mail=False)
    choose(engine, "P1", PreferenceSource.PORTAL, NOON + timedelta(seconds=5), weekly_mail=True)
    feed(engine, PreferencesChanged("P1", False, PreferenceSource.PORTAL, NOON))
    assert wants(engine)
    feed(engine, PreferencesChanged("P1", False, PreferenceSource.MAIL, NOON + timedelta(seconds=9)))
    assert not wants(engine)


@pytest.fixture
def relay(engine: Engine, settings: Settings) -> Relay:
    return telling.relay(
        settings, Codec(ConfluentRegistry(settings.registry_url), settings.topic_prefix), engine, RealClock()
    )


def test_a_choice_is_told_once_and_known_again_to_a_read_model_made_anew(
    engine: Engine, settings: Settings, relay: Relay
) -> None:
    choose(engine, "P1", PreferenceSource.MAIL, NOON, weekly_mail=False)
    choose(engine, "P2", PreferenceSource.MAIL, NOON, weekly_mail=False)
    choose(engine, "P2", PreferenceSource.PORTAL, NOON + timedelta(seconds=1), weekly_mail=True)
    assert relay.step() == 3
    assert relay.step() == 0
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            if table is not audit:  # which can't be emptied
                connection.execute(table.delete())
    codec = Codec(ConfluentRegistry(settings.registry_url), settings.topic_prefix)
    wanted = [s for s in subscriptions(lambda _: None) if s.topic is PREFERENCES]
    reader = Reader(settings, RealClock(), codec, engine, metadata, wanted)
    until(lambda: reader.step() >= 0 and reader.caught_up, 20, "the topic read to its end")
    reader.close()
    assert (wants(engine, "P1"), wants(engine, "P2")) == (False, True)


def test_while_kafka_is_away_a_choice_waits_and_is_told_later(
    engine: Engine, settings: Settings, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(engine, "P1", PreferenceSource.MAIL, NOON, weekly_mail=False)
    with monkeypatch.context() as away:
        away.setattr("services.kit.relay._FLUSH_SECONDS", 0.0)
        assert relay.step() == 0
    assert len(told(engine)) == 1
    assert until(relay.step, 20, "the choice told") == 1
