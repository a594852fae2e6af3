"""Signed personal links. A link opens a view; it expires by real time, whatever clock the programme runs on."""

from __future__ import annotations

from typing import NamedTuple

from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer

from deploy.runtime.settings import Settings, secret


class Invitation(NamedTuple):
    """Whom a link is for. ``audience`` is ``partner`` or ``staff``; staff links carry an empty partner id."""

    audience: str
    partner_id: str


class LinkExpired(ValueError):
    """The link was genuine once."""


class LinkInvalid(ValueError):
    """Not a link of ours."""


def link_for(settings: Settings, invitation: Invitation, quarter: str = "") -> str:
    """The address to put into a mail. It opens on the quarter, like ``2026Q4``, or without one on the present one."""
    token = _signer(settings).dumps([invitation.audience, invitation.partner_id])
    return f"{settings.public_url.rstrip('/')}/l/{token}" + (f"?quarter={quarter}" if quarter else "")


def read_token(settings: Settings, token: str) -> Invitation:
    """Whom a link's token is for. Raises LinkExpired or LinkInvalid."""
    try:
        audience, partner_id = _signer(settings).loads(token, max_age=settings.link_hours * 3600)
    except SignatureExpired:
        raise LinkExpired("this link has expired") from None
    except (BadSignature, ValueError, TypeError):
        raise LinkInvalid("this is not a link of ours") from None
    return Invitation(str(audience), str(partner_id))


def _signer(settings: Settings) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(secret(settings, "link_secret"), salt="staffel.personal-link.v1")
