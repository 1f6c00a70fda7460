"""Slowing down guesses without helping anybody to lock somebody out.

Rules: an attempt is counted before it is looked at, so that a hundred at once are one and ninety-nine refusals. Delays double from 1 s to
15 min per (name, network); a network as a whole is slowed later. A browser that once signed in has a count of its own, so that guesses
from elsewhere never delay it. Passkeys are not counted at all: there is nothing to guess.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

from kedge.domain.errors import TooMany
from kedge.services.people.shared import NS, Shared
from kedge.storage.people_rows import Failure
from kedge.storage.people_store import Tx

DELAY_FIRST_S: Final = 1
DELAY_MAX_S: Final = 900
PAIR_FREE: Final = 0
NETWORK_FREE: Final = 20
"""Failures of one network, of whatever names, before all its strangers wait: people mistype, and many share one."""
FORGET_S: Final = 24 * 3600
"""So long after the last delay a count begins anew."""
IPV6_PREFIX: Final = 64
"""One household's share of addresses: each of them alone would be a fresh guesser."""


T = TypeVar("T")


class Bucket(NamedTuple):
    """What is counted together; after `free` failures each one doubles the wait. `is_shared`: a success does not clear it."""

    key: str
    free: int
    is_shared: bool = False


class Throttle:
    """Counts failed proofs of identity."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def of_name(self, name: str, client_address: str, device: str = "") -> tuple[Bucket, ...]:
        """What a sign-in with a name counts against: the known device's own bucket where there is one (`device` is its nonce)."""
        if device:
            return (Bucket(f"device:{device}", PAIR_FREE),)
        network = network_of(client_address)
        return Bucket(f"pair:{self.name_told(name)}:{network}", PAIR_FREE), Bucket(f"network:{network}", NETWORK_FREE, is_shared=True)

    def name_told(self, name: str) -> str:
        """A name as it is counted: one that was mistyped may be a password, so it is not kept."""
        return self._shared.sealer.mac(f"name|{name.strip().casefold()}")[:32]

    def counted(self, buckets: Sequence[Bucket], look: Callable[[], T]) -> T:
        """Count an attempt as failed until it is forgiven, and look at it. One that nobody could look at is no failure.

        Raises
        ------
        TooMany
            One of the buckets waits, or too many look at once: else a crowd of guesses would slow down who is right.
        """
        before = self.charge(buckets)
        try:
            return look()
        except TooMany:
            self._take_back(before)
            raise

    def charge(self, buckets: Sequence[Bucket]) -> list[Failure]:
        """Count an attempt as failed until it is forgiven; gives what was counted before.

        Raises
        ------
        TooMany
            One of the buckets waits. Then nothing is counted: trying early costs nothing and gains nothing.
        """
        now = self._shared.wall_ns()
        with self._shared.store.writing() as tx:
            rows = [self._row(tx, bucket, now) for bucket in buckets]
            until = min(max(row.until_wall_ns for row in rows), now + DELAY_MAX_S * NS)  # the clock may have been set back
            if until > now:
                raise TooMany(
                    "too many failed attempts",
                    retry_after_s=-((now - until) // NS),
                    why="each failure doubles the wait, so that guessing is slow",
                )
            for bucket, row in zip(buckets, rows, strict=True):
                count = row.count + 1
                tx.put(Failure(bucket=bucket.key, count=count, until_wall_ns=now + _delay_s(count - bucket.free) * NS))
            return rows

    def forgive(self, tx: Tx, buckets: Sequence[Bucket]) -> None:
        """The attempt was right: clear what is its own, and take it off what it shares with others."""
        for bucket in buckets:
            row = tx.get(Failure, bucket.key)
            if row is None or not bucket.is_shared or row.count <= 1:
                tx.delete(Failure, bucket.key)
            else:
                tx.put(Failure(bucket=bucket.key, count=row.count - 1, until_wall_ns=self._shared.wall_ns()))

    def _take_back(self, before: Sequence[Failure]) -> None:
        with self._shared.store.writing() as tx:
            for row in before:
                now_counted = tx.get(Failure, row.bucket)
                if now_counted is None or now_counted.count <= 1:
                    tx.delete(Failure, row.bucket)
                elif now_counted.count == row.count + 1:
                    tx.put(row)
                else:  # others were counted meanwhile: their wait stays
                    tx.put(Failure(bucket=row.bucket, count=now_counted.count - 1, until_wall_ns=now_counted.until_wall_ns))

    def _row(self, tx: Tx, bucket: Bucket, now: int) -> Failure:
        row = tx.get(Failure, bucket.key)
        if row is None or now - row.until_wall_ns > FORGET_S * NS:
            return Failure(bucket=bucket.key, count=0, until_wall_ns=0)
        return row


def network_of(address: str) -> str:
    """The address, or for IPv6 the network that one household has."""
    try:
        told = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(told, ipaddress.IPv4Address):
        return str(told)
    if told.ipv4_mapped:
        return str(told.ipv4_mapped)
    return str(ipaddress.ip_network((told, IPV6_PREFIX), strict=False))


def _delay_s(counted: int) -> int:
    return 0 if counted < 1 else min(DELAY_MAX_S, DELAY_FIRST_S << min(counted - 1, 20))
