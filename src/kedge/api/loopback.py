"""Which hosts, names and origins are this machine itself. Light, because commands that only check an address use it too."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from kedge.domain.errors import Conflict, InvalidInput

PORT_MAX: Final = 65_535
_HOST: Final = re.compile(r"(?:(?P<name>[A-Za-z0-9.-]+)|\[(?P<v6>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{0,5}))?")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's own."""
    try:
        return ipaddress.ip_address("127.0.0.1" if host == "localhost" else host).is_loopback
    except ValueError:
        return False


def is_local_name(host: str) -> bool:
    """Whether a Host header names this machine itself. A web page that has its own name resolved to this machine sends that name.

    Nothing but a name and a port is read: what else an address may hold (a user, a path) is another program's chance to read it otherwise.
    """
    told = _HOST.fullmatch(host)
    return not host or (told is not None and is_loopback((told["name"] or told["v6"]).lower()) and int(told["port"] or 0) <= PORT_MAX)


def is_own_origin(origin: str, host: str) -> bool:
    """Whether an Origin is the very page that this server gave out: same host, same port."""
    return origin in (f"http://{host}", f"https://{host}")


def check_host(host: str) -> str:
    """The host, if this server may listen on it.

    Raises
    ------
    InvalidInput
        It is not a loopback address.
    """
    if not is_loopback(host):
        raise InvalidInput(
            f"--host is {host!r}",
            why="another machine needs TLS and authentication, and there is no TLS here: so this server listens on loopback addresses only",
            fix="--host 127.0.0.1, and a tunnel such as ssh -L to look from elsewhere",
        )
    return host


def port_in_use(host: str, port: int, error: OSError) -> Conflict:
    """The error of a port that cannot be had, saying who may hold it."""
    return Conflict(
        f"port {port} on {host} cannot be had: {error.strerror or error}",
        why="another kedge or another program listens there, or the system reserves it",
        fix=f"find it with `ss -ltnp 'sport = :{port}'`, or choose another with --port, 0 for any free one",
    )
