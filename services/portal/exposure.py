"""Whether the portal may be seen from where it listens."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from deploy.runtime.errors import UsageError
from deploy.runtime.settings import Settings

SECRETS = ("link_secret", "session_secret", "factor_key", "office_secret")
"""Whoever knows one of them gets in, or reads what he must not."""


def generated(settings: Settings) -> list[str]:
    """Which secrets nobody gave, so that they were made for this machine alone."""
    return [name for name in SECRETS if not getattr(settings, name)]


def is_encrypted(settings: Settings) -> bool:
    """Whether what browsers send reaches us encrypted, as far as the public address says."""
    return urlsplit(settings.public_url).scheme == "https"


def is_local(host: str) -> bool:
    """Whether only this machine reaches this host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_exposure(settings: Settings) -> None:
    """Raises UsageError for a portal set up to be tried out that others could reach."""
    if is_local(settings.listen) or settings.portal_allow_insecure:
        return
    made = generated(settings)
    if not is_encrypted(settings) and made:
        raise UsageError(
            f"the portal would be seen from outside ({settings.listen}) without encryption and with secrets of its own",
            f"give STAFFEL_PUBLIC_URL=https://… and {', '.join(f'STAFFEL_{name.upper()}' for name in made)}, "
            "or say --portal-allow-insecure to try it out",
        )
