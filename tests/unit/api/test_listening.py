"""The server takes its port on both addresses that browsers try for localhost, or does not take it."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from kedge.api import listening
from kedge.domain.errors import Conflict


@pytest.fixture
def stranger() -> Iterator[int]:
    """A port whose other address somebody else has."""
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as other:
        other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        other.bind(("::1", 0))
        other.listen()
        yield other.getsockname()[1]


def names(host: str, port: int = 0) -> list[tuple[str, int]]:
    sockets = listening.listen(host, port)
    try:
        return [one.getsockname()[:2] for one in sockets]
    finally:
        listening.close(sockets)
        assert all(one.fileno() == -1 for one in sockets)


@pytest.mark.parametrize(("host", "first"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1")])
def test_both_addresses_of_localhost_are_taken_at_one_port(host: str, first: str) -> None:
    (one, port), (other, same) = names(host)
    assert (one, {one, other}) == (first, {"127.0.0.1", "::1"})
    assert port == same > 0


def test_another_loopback_address_is_listened_on_alone() -> None:
    assert [address for address, _ in names("127.0.0.2")] == ["127.0.0.2"]


def test_a_port_of_which_somebody_has_the_other_address_is_refused(stranger: int) -> None:
    with pytest.raises(Conflict, match=f"port {stranger} on ::1 cannot be had"):
        listening.listen("127.0.0.1", stranger)
    with socket.create_server(("127.0.0.1", stranger)):
        pass  # what was taken on the way is let go


def test_a_free_port_is_looked_for_until_both_addresses_have_it(stranger: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = listening._bind, []

    def bind(host: str, port: int) -> socket.socket:
        asked.append(host)
        return real(host, stranger if len(asked) == 1 else port)

    monkeypatch.setattr(listening, "_bind", bind)
    assert names("127.0.0.1")[0][1] != stranger
    assert asked == ["127.0.0.1", "::1"] * 2


def test_a_machine_without_the_other_family_listens_on_the_one_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    class Machine(socket.socket):
        def bind(self, address: Any) -> None:
            if self.family == socket.AF_INET6:
                raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
            super().bind(address)

    monkeypatch.setattr(socket, "socket", Machine)
    assert [address for address, _ in names("127.0.0.1")] == ["127.0.0.1"]
    with pytest.raises(Conflict):
        listening.listen("::1", 0)


def test_an_address_that_cannot_be_told_is_a_conflict_that_says_so() -> None:
    with pytest.raises(Conflict, match="no-such-host.invalid"):
        listening.listen("no-such-host.invalid", 0)
