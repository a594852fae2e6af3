"""Which ports are free, and who holds one that is not."""

from __future__ import annotations

import errno
import itertools
import socket
from collections.abc import Mapping

from deploy.runtime.errors import NotReady, UsageError
from deploy.runtime.settings import Port, Settings

# These listen to this machine only, whatever ``listen`` says.
_LOCAL = {Port.KAFKA, Port.CONTROLLER, Port.REGISTRY, Port.PAYOUT_OFFICE, Port.NOTIFICATION_OFFICE}

_EPHEMERAL = 32_000  # above, outgoing connections take their ports, also between our check and our start


def answers(port: int) -> bool:
    """Whether somebody listens on this port of this machine."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether we could listen on it. Raises UsageError if the host is no address of this machine."""
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what a just ended stack left is no obstacle
        try:
            attempt.bind((host, port))
        except OSError as error:
            if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                raise UsageError(f"listen can't be {host!r}", "it wants an address of this machine") from None
            return False
    return True


def demand_free(settings: Settings, wanted: Mapping[Port, str]) -> None:
    """Check all ports before anything starts. Raises NotReady naming each taken one, its part, and a free base."""
    taken = [
        f"{settings.port(port)} ({part}{_by_whom(settings.port(port))})"
        for port, part in wanted.items()
        if not is_free(settings.port(port), "127.0.0.1" if port in _LOCAL else settings.listen)
    ]
    if taken:
        ports = f"port {taken[0]} is taken" if len(taken) == 1 else f"{len(taken)} ports are taken: {', '.join(taken)}"
        raise NotReady(ports, f"choose other ports: --port-base {free_base(settings.port_base)}")


def free_base(start: int) -> int:
    """The next base, in steps of a hundred, from which all our ports are free."""
    for base in itertools.chain(range(start + 100, _EPHEMERAL, 100), range(8400, start, 100)):
        if all(is_free(base + port) for port in Port):
            return base
    raise NotReady(f"no {len(Port)} free ports in a row were found on this machine")


def _by_whom(port: int) -> str:
    import psutil

    try:
        listening = {
            c.laddr.port: c.pid for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr
        }
        holder = listening.get(port)
        return f", held by {psutil.Process(holder).name()}, pid {holder}" if holder else ""
    except psutil.Error:
        return ""
