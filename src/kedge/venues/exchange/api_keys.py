"""The keys that open accounts, as the server knows them. A secret is never shown in a text, a log or an answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from kedge.domain.errors import Conflict, InvalidInput
from kedge.venues.exchange.routes import Permission

TRADING: Final = frozenset({Permission.ORDER, Permission.POSITION})
"""What a trader needs, and no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One key of one account.

    Attributes
    ----------
    ips : tuple of str
        Addresses it may be used from; empty for any.
    created_ns, expires_ns : int
        Wall time; `expires_ns` 0 for never.
    note : str
        The owner's name for it.
    """

    key: str
    secret: str = field(repr=False)
    account: str
    permissions: frozenset[Permission] = TRADING
    read_only: bool = False
    ips: tuple[str, ...] = ()
    created_ns: int = 0
    expires_ns: int = 0
    note: str = ""
    secret_bytes: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not (self.key and self.secret and self.account):
            raise InvalidInput(
                f"API key {self.key!r} of account {self.account!r}", why="key, secret and account are needed", fix="name all three"
            )
        object.__setattr__(self, "secret_bytes", self.secret.encode())

    def admits_ip(self, ip: str) -> bool:
        """Whether it may be used from this address."""
        return not self.ips or ip in self.ips

    def is_expired(self, wall_ns: int) -> bool:
        return 0 < self.expires_ns <= wall_ns


class ApiKeys:
    """All keys of a server."""

    def __init__(self, keys: Iterable[ApiKey] = ()) -> None:
        self._keys: dict[str, ApiKey] = {}
        for key in keys:
            self.add(key)

    def __iter__(self) -> Iterator[ApiKey]:
        return iter(self._keys.values())

    def add(self, key: ApiKey) -> None:
        """Admit a key.

        Raises
        ------
        Conflict
            One of that name exists.
        """
        if key.key in self._keys:
            raise Conflict(f"API key {key.key!r}", why="it exists already", fix="remove the old one first, or use another name")
        self._keys[key.key] = key

    def remove(self, key: str) -> None:
        """Refuse a key from now on; one that is not there is no error."""
        self._keys.pop(key, None)

    def find(self, key: str) -> ApiKey | None:
        return self._keys.get(key)
