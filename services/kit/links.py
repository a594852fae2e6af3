"""Signed personal links. A link opens a view; it expires by real time, whatever clock the programme runs on."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlencode

from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer

from deploy.runtime.settings import Settings, secret


class Invitation(NamedTuple):
    """Whom a link is for. ``audience`` is ``partner`` or ``staff``; staff links carry an empty partner id."""

    audience: str
    partner_id: str
    person: str = ""
    """The id of a contact of the partner; empty for the address of his registration."""


class LinkExpired(ValueError):
    """The link was genuine once."""


class LinkInvalid(ValueError):
    """Not a link of ours."""


def link_for(settings: Settings, invitation: Invitation, quarter: str = "", claim: str = "") -> str:
    """The address to put into a mail. It opens on the quarter, like ``2026Q4``, or without one on the present one;
    or on the claim with this id."""
    token = _signer(settings).dumps(list(invitation if invitation.person else invitation[:2]))
    query = urlencode({name: value for name, value in (("quarter", quarter), ("claim", claim)) if value})
    return f"{settings.public_url.rstrip('/')}/l/{token}" + (f"?{query}" if query else "")


def read_token(settings: Settings, token: str) -> Invitation:
    """Whom a link's token is for. Raises LinkExpired or LinkInvalid."""
    try:
        return Invitation(*map(str, _signer(settings).loads(token, max_age=settings.link_hours * 3600)))
    except SignatureExpired:
        raise LinkExpired("this link has expired") from None
    except (BadSignature, ValueError, TypeError):
        raise LinkInvalid("this is not a link of ours") from None


def unsubscribe_link(settings: Settings, partner_id: str, person: str = "") -> str:
    """The address at which a partner, or a contact of his, turns his own weekly mail off: good for that alone, and for
    a year."""
    token = _signer(settings, _WEEKLY_MAIL).dumps([partner_id, person] if person else partner_id)
    return f"{settings.public_url.rstrip('/')}/unsubscribe/{token}"


def read_unsubscribe_token(settings: Settings, token: str) -> Invitation:
    """Whom such an address was sent to. Raises LinkExpired or LinkInvalid."""
    try:
        said = _signer(settings, _WEEKLY_MAIL).loads(token, max_age=_UNSUBSCRIBE_SECONDS)
        return Invitation("partner", *(map(str, said) if isinstance(said, list) else (str(said),)))
    except SignatureExpired:
        raise LinkExpired("this link has expired") from None
    except (BadSignature, ValueError, TypeError):
        raise LinkInvalid("this is not a link of ours") from None


_PERSONAL, _WEEKLY_MAIL = "staffel.personal-link.v1", "staffel.weekly-mail.v1"
_UNSUBSCRIBE_SECONDS = 366 * 86_400


def _signer(settings: Settings, salt: str = _PERSONAL) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(secret(settings, "link_secret"), salt=salt)
