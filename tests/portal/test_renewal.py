"""A new link for whoever asks by his address: everybody gets the same answer, and nobody too many mails."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from deploy.runtime.settings import Port, load
from services.kit.office.protocol import Arguments, Operation, Role
from services.kit.office.server import Counter, Office
from tests.conftest import free_ports
from tests.portal.conftest import Site, mark_in
from tests.waiting import until


class Address(Arguments):
    address: str


class Post:
    """Notification's office, as far as it sends links; it hears what is asked, after the answer."""

    def __init__(self, site: Site) -> None:
        base = free_ports()
        settings = load(
            {
                "data": site.settings.data,
                "port_base": base,
                "public_url": "http://portal.test",
                "proxies": "10.0.0.0/8",
            },
            {},
        ).settings
        self.asked: list[str] = []
        self.site = Site(settings, site.programme, site.engine)
        operations = [Operation("links.send", Address, self._send, staff=Role.VIEWER)]
        counter = Counter(settings, "notification", None, operations)
        self.office = Office(settings, Port.NOTIFICATION_OFFICE, "notification", counter)

    def _send(self, _means: Any, _actor: Any, said: Address) -> None:
        self.asked.append(said.address)

    def ask(self, address: str, client: str = "192.0.2.1", **headers: str) -> Any:
        browser = TestClient(self.site.app, "http://portal.test", follow_redirects=False, client=(client, 1))
        mark = mark_in(browser.get("/new-link").text)
        return browser.post("/new-link", data={"mark": mark, "address": address}, headers=headers)


@pytest.fixture
def post(site: Site) -> Iterator[Post]:
    post = Post(site)
    yield post
    post.office.close()


def test_the_answer_is_the_same_whoever_asks(post: Post) -> None:
    answers = [post.ask(address) for address in ("einkauf@example.com", "nobody@example.com")]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert "If we know the address" in answers[0].text
    until(lambda: post.asked == ["einkauf@example.com", "nobody@example.com"])


def test_it_is_the_same_if_notification_is_away(post: Post) -> None:
    post.office.close()
    assert "If we know the address" in post.ask("einkauf@example.com").text


@pytest.mark.parametrize("address", ["", "x", "a@b@c", "a b@c", "a\nb@c", "@", f"{'x' * 65}@y", f"x@{'y' * 300}"])
def test_what_is_no_address_is_not_asked_for(post: Post, address: str) -> None:
    assert post.ask(address).status_code == 422
    assert post.asked == []


def test_an_address_gets_five_an_hour_in_whatever_letters(post: Post) -> None:
    written = enumerate(["a@b.example", "A@B.example"] * 3)
    codes = [post.ask(address, f"192.0.2.{n}").status_code for n, address in written]
    assert codes == [200] * 5 + [429]
    post.site.real.pass_by(timedelta(hours=1))
    assert post.ask("a@b.example").status_code == 200


def test_one_place_asks_twenty_times_an_hour_whatever_it_says_of_itself(post: Post) -> None:
    codes = [post.ask(f"a{n}@b.example", **{"x-forwarded-for": f"198.51.100.{n}"}).status_code for n in range(21)]
    assert codes == [200] * 20 + [429]
    through_proxy = post.ask("z@b.example", "10.1.2.3", **{"x-forwarded-for": "203.0.113.9, 192.0.2.77"})
    assert through_proxy.status_code == 200
    assert post.ask("y@b.example", "10.1.2.3", **{"x-forwarded-for": "203.0.113.9, 192.0.2.1"}).status_code == 429


def test_every_dead_end_offers_it(site: Site) -> None:
    assert 'href="/new-link"' in site.browser().get("/").text
    expired = load({"data": site.settings.data, "public_url": site.settings.public_url, "link_hours": -1}, {}).settings
    page = Site(expired, site.programme, site.engine).browser().get(site.link("P1"))
    assert page.status_code == 410
    assert 'href="/new-link"' in page.text
