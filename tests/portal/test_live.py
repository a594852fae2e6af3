"""Live streams: woken by a change of their partner, bounded, ended with the session and with the process."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from services.kit.listening import listening
from services.portal.auth import Cookies, Role, Sessions
from services.portal.live import EVERYBODY, Changes, Fragments, stream
from tests.conftest import free_ports
from tests.portal.conftest import Site

LONG = 3600.0


class Shown:
    """A page that a test changes."""

    def __init__(self) -> None:
        self.text: str | None = "one"
        self.passing = "12:00"
        self.day: str | None = "Monday"
        self.rendered = 0

    async def render(self, _: object) -> Fragments | None:
        self.rendered += 1
        if self.text is None:
            return None
        return Fragments({"a": self.text, "b": "same"}, f"now {self.text}", {"clock": self.passing})

    def still(self) -> str | None:
        return self.day


def said(message: str) -> dict[str, object]:
    data = next(line for line in message.splitlines() if line.startswith("data: "))
    found: dict[str, object] = json.loads(data.removeprefix("data: "))
    return found


async def follow(
    changes: Changes, shown: Shown, seen: str = "", key: str = "P1", every: float = LONG
) -> AsyncIterator[str]:
    changes.open()
    async for message in stream(changes, key, shown.render, shown.still, seen, every, rest=0.0):
        yield message


def run(scenario: object) -> None:
    asyncio.run(asyncio.wait_for(scenario, 20))  # type: ignore[arg-type]


def test_a_change_is_sent_to_its_partner_and_only_what_differs() -> None:
    async def scenario() -> None:
        changes, shown = Changes(), Shown()
        stream_ = follow(changes, shown)
        assert said(await anext(stream_)) == {
            "regions": {"clock": "12:00", "a": "one", "b": "same"},
            "say": "now one",
        }
        shown.text = "two"
        waiting = asyncio.ensure_future(anext(stream_))
        await asyncio.sleep(0)
        changes.publish(["P2"])
        changes.publish(["P1"])
        assert said(await waiting) == {"regions": {"a": "two"}, "say": "now two"}

    run(scenario())


def test_the_programme_page_is_woken_by_any_partner() -> None:
    async def scenario() -> None:
        changes, shown = Changes(), Shown()
        stream_ = follow(changes, shown, key=EVERYBODY)
        await anext(stream_)
        shown.text = "two"
        waiting = asyncio.ensure_future(anext(stream_))
        await asyncio.sleep(0)
        changes.publish(["P2"])
        assert said(await waiting)["regions"] == {"a": "two"}

    run(scenario())


def test_who_has_seen_the_page_is_sent_nothing_but_the_time() -> None:
    async def scenario() -> None:
        shown = Shown()
        found = await shown.render("")
        assert found is not None
        stream_ = follow(Changes(), shown, seen=found.version)
        assert said(await anext(stream_)) == {"regions": {"clock": "12:00"}, "say": ""}

    run(scenario())


def test_a_stream_ends_with_its_session() -> None:
    async def scenario() -> None:
        shown = Shown()
        shown.text = None
        assert [message async for message in follow(Changes(), shown)] == ["event: ended\ndata:\n\n"]

    run(scenario())


def test_a_page_that_nothing_has_changed_is_not_made_again_until_time_changes_it() -> None:
    async def scenario() -> None:
        shown = Shown()
        stream_ = follow(Changes(), shown, every=0.001)
        await anext(stream_)
        assert [await anext(stream_) for _ in range(5)] == [": still here\n\n"] * 5
        assert shown.rendered == 1
        shown.text, shown.day = "two", "Tuesday"
        assert said(await anext(stream_))["regions"] == {"a": "two"}
        shown.day = None
        assert await anext(stream_) == "event: ended\ndata:\n\n"
        assert shown.rendered == 2

    run(scenario())


def test_closing_ends_every_stream_and_none_is_left_behind() -> None:
    async def scenario() -> None:
        changes, shown = Changes(), Shown()
        streams = [follow(changes, shown) for _ in range(3)]
        for stream_ in streams:
            await anext(stream_)
        waiting = [asyncio.ensure_future(anext(stream_, None)) for stream_ in streams]
        await asyncio.sleep(0)
        changes.close()
        assert await asyncio.gather(*waiting) == [None, None, None]
        assert changes._watching == {}

    run(scenario())


def test_a_change_after_the_end_is_no_error() -> None:
    async def scenario(changes: Changes) -> None:
        changes.open()

    changes = Changes()
    changes.publish(["P1"])
    run(scenario(changes))
    changes.publish(["P1"])


def test_the_number_of_streams_is_bounded(site: Site) -> None:
    settings = replace(site.settings, live_streams=0)
    answer = Site(settings, site.programme, site.engine).signed_in("P1").get("/events")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")


def test_who_looks_at_another_partner_by_now_is_sent_no_more_of_the_one_before(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    async def caught(*arguments: Any) -> AsyncIterator[str]:
        asked.append(arguments)
        yield ": still here\n\n"

    monkeypatch.setattr("services.portal.routes.live.stream", caught)
    browser = site.staff(Role.VIEWER, viewing="P1")
    browser.get("/events")
    still = asked[0][3]
    assert still() is not None
    with site.engine.begin() as connection:
        session_id = browser.cookies.get(Cookies(site.settings).session, "")
        Sessions(site.engine, site.real).view(connection, session_id, "P2")
    assert still() is None


def test_a_page_does_not_wait_for_the_kernel_to_collect_more_of_it() -> None:
    with listening("127.0.0.1", free_ports(), "a test") as listener:
        assert listener.proto == socket.IPPROTO_TCP, "asyncio sets TCP_NODELAY on no other"
