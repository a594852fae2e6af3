"""Who is asking: sessions, opened by a personal link or by signing in, and the marks that a form must carry.

A link's session is good for looking only, until a second factor is shown; see deploy/decisions/0004-view-sessions.md.
Sessions live by real time, whatever clock the programme runs on.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from sqlalchemy import Connection, Engine, Row, and_, bindparam, case, delete, func, insert, select, update
from starlette.requests import Request
from starlette.responses import Response

from deploy.runtime.clock import Clock
from deploy.runtime.settings import Settings, secret
from services.kit.contacts import Standing
from services.kit.database import reading
from services.kit.links import Invitation
from services.portal.tables import contacts, page_versions, sessions

LIFETIME = timedelta(hours=12)
IDLE = timedelta(minutes=30)
_NOTED_EVERY = timedelta(minutes=1)
"""A use is written down only if the last one noted is older than this."""
CONFIRMED_FOR = timedelta(minutes=15)
"""How long a second factor opens what needs one, counted from when it was shown."""
PARTNER, STAFF = "partner", "staff"
_IS_CONTACT = and_(
    sessions.c.audience == PARTNER,
    contacts.c.contact_id == sessions.c.person,
    contacts.c.partner_id == sessions.c.partner_id,
    contacts.c.removed_at.is_(None),
)
_SHOWN = case((sessions.c.viewing != "", sessions.c.viewing), else_=sessions.c.partner_id)
_FIND = (
    select(
        sessions,
        contacts.c.standing,
        contacts.c.language,
        func.coalesce(page_versions.c.version, 0).label("version"),
        func.coalesce(page_versions.c.chosen, 0).label("chosen"),
    )
    .outerjoin(contacts, _IS_CONTACT)
    .outerjoin(page_versions, page_versions.c.partner_id == _SHOWN)
    .where(sessions.c.id_hash.in_(bindparam("wanted", expanding=True)))
)
"""Asked for each page, so it is one query, made once, for all who ask at the same time."""


class Role(IntEnum):
    """What somebody of the vendor's staff may do; each includes those before it."""

    NONE = 0
    VIEWER = 1
    OPERATOR = 2
    APPROVER = 3


class Visitor(NamedTuple):
    """Somebody signed in."""

    audience: str
    """``partner`` or ``staff``."""
    partner_id: str
    session_id: str
    person: str = ""
    """Who it is among the staff, or the id of a partner's contact; empty for the address of the registration."""
    role: Role = Role.NONE
    confirmed: bool = False
    """Whether a second factor was shown not long ago."""
    viewing: str = ""
    """The partner whose pages a member of staff looks at."""
    accountant: bool = False
    """Whether it is a contact of a partner who reads, and does nothing else."""
    language: str = ""
    """What a contact of a partner is spoken to in; empty: what the partner is."""
    version: tuple[int, ...] = ()
    """Another one as soon as something has changed that the pages of this partner, or of ``viewing``, show. Its first
    number counts what was reported; the others, what must be shown at once."""

    def as_partner(self) -> Visitor:
        """The visitor that pages of ``viewing`` are made for. They show that it is not he himself."""
        return self._replace(audience=PARTNER, partner_id=self.viewing, confirmed=False)


class Found(NamedTuple):
    """A session that lives."""

    visitor: Visitor
    noted: bool
    """Whether it was written down not long ago that it is used."""


class Sessions:
    """The sessions in the database. Blocks: call it from a thread.

    What changes a session is part of the caller's transaction, in which it also writes down who did what.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    def open(
        self,
        connection: Connection,
        invitation: Invitation,
        person: str = "",
        role: Role = Role.NONE,
        *,
        confirmed: bool = False,
    ) -> str:
        """Begin a session and return its id, which is new and known to nobody else."""
        session_id, now = new_id(), self._clock.now()
        connection.execute(delete(sessions).where(sessions.c.opened_at < now - LIFETIME))
        connection.execute(
            insert(sessions).values(
                id_hash=_hash(session_id),
                audience=invitation.audience,
                partner_id=invitation.partner_id,
                person=person,
                role=role,
                viewing="",
                confirmed_at=now if confirmed else None,
                opened_at=now,
                used_at=now,
            )
        )
        return session_id

    def find_all(self, session_ids: Iterable[str]) -> dict[str, Found]:
        """Whose sessions these are, those that still live."""
        now, by_hash = self._clock.now(), {_hash(session_id): session_id for session_id in session_ids}
        with reading(self._engine).connect() as connection:
            rows = connection.execute(_FIND, {"wanted": list(by_hash)}).all()
        found = ((by_hash[row.id_hash], self._found(row, by_hash[row.id_hash], now)) for row in rows)
        return {session_id: one for session_id, one in found if one is not None}

    def note_use(self, session_id: str) -> None:
        """Keep a session alive."""
        with self._engine.begin() as connection:
            _note(connection, session_id, used_at=self._clock.now())

    def _found(self, row: Row[Any], session_id: str, now: datetime) -> Found | None:
        if now - row.opened_at >= LIFETIME or now - row.used_at >= IDLE:
            return None
        if row.audience == PARTNER and row.person and row.standing is None:  # he was removed
            return None
        accountant = row.standing is not None and row.standing != Standing.OWNER
        confirmed = row.confirmed_at is not None and now - row.confirmed_at < CONFIRMED_FOR
        visitor = Visitor(
            audience=row.audience,
            partner_id=row.partner_id,
            session_id=session_id,
            person=row.person,
            role=Role(row.role),
            confirmed=confirmed and not accountant,
            viewing=row.viewing,
            accountant=accountant,
            language=row.language or "",
            version=(row.version, row.chosen),
        )
        return Found(visitor, noted=now - row.used_at < _NOTED_EVERY)

    def now(self) -> datetime:
        """The real time that sessions and tokens live by."""
        return self._clock.now()

    def confirm(self, connection: Connection, session_id: str) -> str:
        """Note that a second factor was shown. Answers the session's new id; the old one is worth nothing any more."""
        renewed = new_id()
        _note(connection, session_id, confirmed_at=self._clock.now(), id_hash=_hash(renewed))
        return renewed

    def view(self, connection: Connection, session_id: str, partner_id: str) -> None:
        """Let a member of staff look at a partner's pages; an empty id ends it."""
        _note(connection, session_id, viewing=partner_id)

    def end(self, connection: Connection, session_id: str) -> None:
        """End a session. Its id is worth nothing from now on."""
        connection.execute(delete(sessions).where(sessions.c.id_hash == _hash(session_id)))


def end_all(connection: Connection, audience: str, partner_id: str = "", person: str = "") -> int:
    """End every session of a partner, or of somebody among the staff. Answers how many there were."""
    whose = and_(sessions.c.audience == audience, sessions.c.partner_id == partner_id, sessions.c.person == person)
    return connection.execute(delete(sessions).where(whose)).rowcount


def _note(connection: Connection, session_id: str, **facts: Any) -> None:
    connection.execute(update(sessions).where(sessions.c.id_hash == _hash(session_id)).values(**facts))


class Cookies:
    """The two cookies: the session's, and a passing one that ties the sign-in form to the browser it was shown in."""

    def __init__(self, settings: Settings) -> None:
        address = urlsplit(settings.public_url)
        self.secure = address.scheme == "https"
        # Cookies don't know ports: two stacks on one machine would sign each other's visitors out.
        own = "__Host-staffel" if self.secure else f"staffel-{address.port or 80}"
        self.session, self.form = own, f"{own}-form"

    def put(self, response: Response, name: str, value: str, seconds: int) -> None:
        """Set a cookie that no script can read and no other site's form sends along."""
        response.set_cookie(name, value, max_age=seconds, path="/", secure=self.secure, httponly=True, samesite="lax")

    def drop(self, response: Response, name: str) -> None:
        """Have the browser forget a cookie."""
        response.delete_cookie(name, path="/", secure=self.secure, httponly=True, samesite="lax")


class Forms:
    """The marks against forms that another site sends in a visitor's name."""

    def __init__(self, settings: Settings) -> None:
        self._key = secret(settings, "session_secret").encode()
        self._origin = _origin(settings.public_url)

    def mark(self, cookie: str) -> str:
        """What a form must carry when it is sent along with this cookie."""
        return hmac.new(self._key, f"form:{cookie}".encode(), hashlib.sha256).hexdigest()

    def is_ours(self, request: Request, cookie: str, mark: str) -> bool:
        """Whether a form comes from a page that we showed to this browser."""
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return False
        # A page that sends no referrer sends "null" as its origin; then the mark alone decides.
        origin = request.headers.get("origin", "null")
        if origin != "null" and origin not in (self._origin, f"{request.url.scheme}://{request.headers.get('host')}"):
            return False
        return bool(cookie) and hmac.compare_digest(mark.encode(), self.mark(cookie).encode())


def new_id() -> str:
    """256 bits that nobody can guess."""
    return secrets.token_urlsafe(32)


def _hash(session_id: str) -> str:
    return hashlib.sha256(session_id.encode()).hexdigest()


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
