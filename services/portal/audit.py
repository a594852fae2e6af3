"""Who did what: one row for each action of the vendor's staff, and for each thing that concerns a partner's access.

Call ``note`` in the transaction of the action itself, so that neither stands without the other. Rows hold ids and
figures, nothing personal beyond the names that staff signs in under: no address, no account, no code, no token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, func, insert, select

from deploy.runtime.clock import RealClock
from services.portal.auth import STAFF, Visitor
from services.portal.tables import audit

PAGE_SIZE = 50
SYSTEM = "system"
"""Who it is when nobody is: a page that was asked for by somebody unknown."""
_CLOCK = RealClock()
_WHAT_LENGTH_MAX = 40


def note(connection: Connection, who: str, what: str, about: str = "", **details: str | int | bool | None) -> None:
    """Write down that somebody did something, by real time.

    ``who`` is best made by ``actor``; ``what`` is a short code like ``run-approved``; ``about`` is the id of a
    partner, a run or whatever it was done to; ``details`` are what else a later reader needs.
    """
    if not what or len(what) > _WHAT_LENGTH_MAX:
        raise ValueError(f"{what!r} is no code for what was done")
    plain = {name: _plain(value) if isinstance(value, str) else value for name, value in details.items()}
    row = {"at": _CLOCK.now(), "who": _plain(who), "what": what, "about": _plain(about), "details": plain}
    connection.execute(insert(audit), row)


def actor(visitor: Visitor) -> str:
    """How a visitor is called in the record: ``staff NAME``, ``partner ID``, or of a contact ``partner ID CONTACT``. A
    link of the vendor has no name."""
    if visitor.audience == STAFF or visitor.viewing:
        return f"staff {visitor.person}" if visitor.person else "staff"
    return of_partner(visitor.partner_id, visitor.person)


def of_partner(partner_id: str, contact_id: str = "") -> str:
    """How a partner is called, or one of his contacts."""
    return f"partner {partner_id} {contact_id}".rstrip()


class Wanted(NamedTuple):
    """Which entries to list: parts of who and about, a whole ``what``; empty is all."""

    who: str = ""
    what: str = ""
    about: str = ""
    page: int = 1
    """The first page is 1; beyond the last one counts as the last."""


class Entries(NamedTuple):
    """Some of the entries, the latest first."""

    rows: Sequence[Row[Any]]
    total: int
    page: int
    pages: int


def entries(connection: Connection, wanted: Wanted) -> Entries:
    """One page of them."""
    conditions = _conditions(wanted)
    total = connection.execute(select(func.count()).select_from(audit).where(*conditions)).scalar_one()
    pages = max(1, -(-total // PAGE_SIZE))
    page = min(max(1, wanted.page), pages)
    query = select(audit).where(*conditions).order_by(audit.c.id.desc())
    rows = connection.execute(query.limit(PAGE_SIZE).offset((page - 1) * PAGE_SIZE)).all()
    return Entries(rows, total, page, pages)


def all_entries(connection: Connection, wanted: Wanted) -> Iterator[Row[Any]]:
    """All of them, the first one first."""
    query = select(audit).where(*_conditions(wanted)).order_by(audit.c.id)
    return iter(connection.execute(query.execution_options(yield_per=1000)))


def kinds(connection: Connection) -> list[str]:
    """Everything that was ever done, by its code."""
    return list(connection.scalars(select(audit.c.what).distinct().order_by(audit.c.what)))


def told(details: Mapping[str, Any]) -> str:
    """The details of an entry on one line."""
    return ", ".join(f"{name.replace('_', ' ')}: {_said(value)}" for name, value in sorted(details.items()))


def _said(value: Any) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else "" if value is None else str(value)


def _conditions(wanted: Wanted) -> list[Any]:
    found: list[Any] = []
    if wanted.who:
        found.append(audit.c.who.icontains(wanted.who, autoescape=True))
    if wanted.what:
        found.append(audit.c.what == wanted.what)
    if wanted.about:
        found.append(audit.c.about.icontains(wanted.about, autoescape=True))
    return found


def _plain(text: str) -> str:
    """Text as one line, as it also stands in exports; PostgreSQL keeps no NUL."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
