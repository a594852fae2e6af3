"""Who is asking, for each request: those who ask at once are looked up together, by one thread that is woken once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from starlette.concurrency import run_in_threadpool

from services.kit.statements import Shelf
from services.portal.auth import Found, Sessions, Visitor


class Visitors:
    """Sessions, with what is on the shelf of whose pages they show. Only ``find`` may be called from a thread."""

    def __init__(self, sessions: Sessions, shelf: Shelf) -> None:
        self._sessions, self._shelf = sessions, shelf
        self._one = asyncio.Lock()
        self._ids: list[str] = []
        self._next: asyncio.Task[dict[str, Found]] | None = None
        """Looks up ``_ids`` as soon as those before them are known."""

    def find(self, session_id: str) -> Visitor | None:
        """Whose session this is, if it still lives. Looks without keeping it alive. Blocks."""
        found = self._look([session_id]).get(session_id)
        return found.visitor if found else None

    async def asking(self, session_id: str) -> Visitor | None:
        """Whose session this is, looked up after this was called, if it still lives. It is kept alive."""
        if not session_id:
            return None
        if self._next is None:
            self._ids = []
            self._next = asyncio.ensure_future(self._look_for_next())
        self._ids.append(session_id)
        found = (await asyncio.shield(self._next)).get(session_id)  # others wait for it, even if this one goes
        if found is None:
            return None
        if not found.noted:  # by himself: it waits for whoever writes just now
            await run_in_threadpool(self._sessions.note_use, session_id)
        return found.visitor

    async def _look_for_next(self) -> dict[str, Found]:
        async with self._one:
            self._next = None  # who asks from now on is looked up after this
            return await run_in_threadpool(self._look, self._ids)

    def _look(self, session_ids: Iterable[str]) -> dict[str, Found]:
        return {id_: self._with_shelf(found) for id_, found in self._sessions.find_all(session_ids).items()}

    def _with_shelf(self, found: Found) -> Found:
        visitor = found.visitor
        shown = visitor.viewing or visitor.partner_id
        if not shown:
            return found
        return found._replace(visitor=visitor._replace(version=(*visitor.version, self._shelf.changed_at(shown))))
