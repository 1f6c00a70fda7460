"""The sockets that the server listens on: those of the address it was told, and of `localhost` in both families of addresses.

The rule: people come by the name `localhost`, which browsers try as ::1 and as 127.0.0.1. Whoever else listened on the one that we leave
free would be shown their cookies and passkeys; so both are taken, and a port of which somebody has one is not used.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import Final

from kedge.api.loopback import port_in_use
from kedge.domain.errors import Conflict

BACKLOG: Final = 512
TWINS: Final = {"127.0.0.1": "::1", "::1": "127.0.0.1"}
FREE_PORT_TRIES: Final = 8
_NOT_HERE: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})
"""What a machine says that does not have addresses of this family."""


def listen(host: str, port: int) -> list[socket.socket]:
    """The sockets; the first is the one of `host`. Port 0 takes one that is free for all of them.

    Raises
    ------
    Conflict
        Somebody else listens there, or at the same port of the other address of `localhost`.
    """
    tries = FREE_PORT_TRIES if port == 0 else 1
    while True:
        first = _bind(host, port)
        address, taken, *_ = first.getsockname()
        if (twin := TWINS.get(address)) is None:
            return [first]
        tries -= 1
        try:
            return [first, _bind(twin, taken)]
        except Conflict as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in _NOT_HERE:
                return [first]
            first.close()
            if tries == 0:
                raise


def close(sockets: list[socket.socket]) -> None:
    """Let go of them."""
    with contextlib.ExitStack() as stack:
        for one in sockets:
            stack.callback(one.close)


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, kind, proto)
    except OSError as error:
        raise port_in_use(host, port, error) from error
    try:
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise port_in_use(host, port, error) from error
    return listening
