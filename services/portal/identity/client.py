"""Where a request comes from, past the proxies that stand in front."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from starlette.requests import Request

from deploy.runtime.errors import UsageError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def read_proxies(text: str) -> tuple[Network, ...]:
    """The setting ``proxies``. Raises UsageError."""
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise UsageError(f"proxies can't be read: {error}", "write addresses or networks, like 10.0.0.0/24") from None


def client_address(request: Request, proxies: Iterable[Network]) -> str:
    """The nearest address that is not a proxy of ours. What stands before it in X-Forwarded-For anybody may claim."""
    address = request.client.host if request.client else ""
    forwarded = [part.strip() for part in request.headers.get("x-forwarded-for", "").split(",")]
    proxies = tuple(proxies)
    while _is_in(address, proxies) and forwarded and _parsed(forwarded[-1]):
        address = forwarded.pop()
    return address


def _is_in(address: str, networks: tuple[Network, ...]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in networks)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None
