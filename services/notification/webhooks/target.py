"""Where a webhook may go. A partner names the address, so it may be anything: our own network must be out of reach.

An address is read strictly, its name resolved once, every answer checked, and the connection made to an answer that was
checked: what the name says a moment later is never asked.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from threading import Thread
from typing import NamedTuple

from deploy.runtime.errors import UsageError
from deploy.runtime.settings import Settings

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[^/?#:@\[\]]+)(:(?P<port>\d{1,5}))?(?P<path>[/?][\w.~:/?!$&'()*+,;=%-]*)?", re.ASCII
)
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# The last label begins with a letter: what a lenient resolver reads as a number (127.1, 0x7f.1, 2130706433) has none.
_NAME = re.compile(rf"(?=.{{1,253}}$)({_LABEL}\.)+[a-z]([a-z0-9-]{{0,61}}[a-z0-9])?")
_OF_THIS_MACHINE = ("localhost", "127.0.0.1")
_URL_LENGTH_MAX = 1000

# https://www.iana.org/assignments/iana-ipv4-special-registry, and multicast. Written out, since what the standard
# library calls global differs between its versions and lets translated addresses through.
_CLOSED_4 = tuple(
    IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
)
_OPEN_6 = IPv6Network("2000::/3")
"""All that is given out for the internet. Mapped, translated, unique local, link-local and multicast lie outside."""
_CLOSED_6 = tuple(IPv6Network(n) for n in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
_NEAR = (
    tuple(map(IPv4Network, ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))),
    (
        IPv6Network("::1/128"),
        IPv6Network("fc00::/7"),
    ),
)


class Forbidden(ValueError):
    """Not an address that we send to. The text is for the partner."""


class Unresolved(OSError):
    """The name has no address, or nobody said it in time."""


class Target(NamedTuple):
    """An address, taken apart."""

    host: str
    port: int
    path: str
    tls: bool


class Gate(NamedTuple):
    """What is let through. ``insecure``: also http, this machine and private networks, for trying things out."""

    ports: frozenset[int] = frozenset((443, 8443))
    insecure: bool = False

    def parse(self, url: str) -> Target:
        """Read an address. Raises Forbidden."""
        if not url.isascii():
            raise Forbidden("write a name with other letters than a-z in its xn-- form")
        if len(url) > _URL_LENGTH_MAX or not (match := _URL.fullmatch(url)):
            raise Forbidden("write it like https://partner.example/hooks, without user, password or fragment")
        tls, host = match["scheme"] == "https", match["host"].lower()
        if not tls and not self.insecure:
            raise Forbidden("it must begin with https://")
        if not _NAME.fullmatch(host) and not (self.insecure and host in _OF_THIS_MACHINE):
            raise Forbidden("it must name its host in full, like hooks.partner.example, and not by number")
        port = int(match["port"] or (443 if tls else 80))
        if not (0 < port < 65_536 and (port in self.ports or self.insecure)):
            raise Forbidden(f"the port must be {' or '.join(map(str, sorted(self.ports)))}")
        path = match["path"] or "/"
        return Target(host, port, path if path.startswith("/") else f"/{path}", tls)

    def admit(self, addresses: Iterable[str]) -> list[str]:
        """The addresses that a name resolved to, if every one may be connected to. Raises Forbidden."""
        found = list(dict.fromkeys(addresses))
        if not found or not all(self._is_open(address) for address in found):
            raise Forbidden("its name leads to an address that is not on the public internet")
        return found

    def _is_open(self, text: str) -> bool:
        address: IPv4Address | IPv6Address = ip_address(text.split("%")[0])
        if self.insecure and any(address in network for networks in _NEAR for network in networks):
            return True
        if isinstance(address, IPv4Address):
            return not any(address in network for network in _CLOSED_4)
        return address in _OPEN_6 and not any(address in network for network in _CLOSED_6)


def host_of(url: str) -> str:
    """The host that an address names: all of it that may be shown. Empty if the address is none."""
    match = _URL.fullmatch(url)
    return match["host"].lower() if match else ""


def gate_of(settings: Settings) -> Gate:
    """The gate that the settings describe. Raises UsageError."""
    try:
        ports = frozenset(int(port) for port in settings.webhook_ports.split(","))
    except ValueError:
        raise UsageError("webhook_ports is no list of ports", "write it like 443,8443") from None
    return Gate(ports, settings.webhook_allow_insecure)


def look_up(host: str, port: int, seconds: float) -> Sequence[str]:
    """Every address of a name. Raises Unresolved, also when ``seconds`` are over."""
    answers: list[str] = []
    # The resolver knows no deadline of ours; a thread that waits for it on its own can be left behind.
    asking = Thread(target=_resolve, args=(host, port, answers), daemon=True)
    asking.start()
    asking.join(max(0.0, seconds))
    if not answers:
        raise Unresolved("its name can't be resolved")
    return answers


def _resolve(host: str, port: int, answers: list[str]) -> None:
    try:
        answers += [str(row[4][0]) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except OSError:  # no answer says the same
        return
