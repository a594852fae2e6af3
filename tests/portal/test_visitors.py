"""Who asks at once is looked up together, and each is told what was true after he asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from services.kit.statements import Shelf
from services.portal.auth import PARTNER, Found, Sessions, Visitor
from services.portal.visitors import Visitors

GONE = "gone"


class HeldUp(Sessions):
    """Sessions that are looked up when they may be: everybody's but those that have ended."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.ended = {GONE}
        self.used: list[str] = []
        self.may = threading.Event()
        self.fails = False

    def find_all(self, session_ids: Iterable[str]) -> dict[str, Found]:
        self.asked.append(wanted := list(session_ids))
        found = {
            one: Found(Visitor(PARTNER, f"P-{one}", one), one != "late") for one in wanted if one not in self.ended
        }
        assert self.may.wait(20)
        if self.fails:
            raise LookupError
        return found

    def note_use(self, session_id: str) -> None:
        self.used.append(session_id)


@pytest.fixture
def sessions() -> HeldUp:
    return HeldUp()


@pytest.fixture
def visitors(sessions: HeldUp, tmp_path: Path) -> Visitors:
    return Visitors(sessions, Shelf(tmp_path))


async def ask(visitors: Visitors, *session_ids: str) -> list[asyncio.Task[Visitor | None]]:
    asking = [asyncio.ensure_future(visitors.asking(one)) for one in session_ids]
    await asyncio.sleep(0)
    return asking


def test_each_is_told_who_he_is_and_many_are_looked_up_together(sessions: HeldUp, visitors: Visitors) -> None:
    async def scenario() -> None:
        first = await ask(visitors, "a")
        while not sessions.asked:
            await asyncio.sleep(0)
        rest = await ask(visitors, "b", GONE, "c", "", "late", "left")
        rest.pop().cancel()
        sessions.may.set()
        found = await asyncio.gather(*first, *rest)
        told = [one and one.partner_id for one in found]
        assert told == ["P-a", "P-b", None, "P-c", None, "P-late"]
        assert sessions.asked == [["a"], ["b", GONE, "c", "late", "left"]]
        assert sessions.used == ["late"], "only whose use was not noted for a while"

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_who_asks_after_a_session_has_ended_is_told_so(sessions: HeldUp, visitors: Visitors) -> None:
    async def scenario() -> None:
        before = await ask(visitors, "a")
        while not sessions.asked:
            await asyncio.sleep(0)
        sessions.ended.add("a")
        after = await ask(visitors, "a")
        sessions.may.set()
        told = await asyncio.gather(*before, *after)
        assert [one is not None for one in told] == [True, False]

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_when_nobody_can_be_looked_up_all_are_told_and_the_next_one_is_looked_up(
    sessions: HeldUp, visitors: Visitors
) -> None:
    async def scenario() -> None:
        sessions.fails = True
        sessions.may.set()
        found = await asyncio.gather(*await ask(visitors, "a", "b"), return_exceptions=True)
        assert [type(one) for one in found] == [LookupError] * 2
        sessions.fails = False
        assert await visitors.asking("a") == Visitor(PARTNER, "P-a", "a", version=(0,))

    asyncio.run(asyncio.wait_for(scenario(), 20))
