"""What the store of people sheds as time passes: sessions, challenges, links, codes and stored answers that are over."""

from __future__ import annotations

from typing import Final

from kedge.services.people.refusals import tell_refusals
from kedge.storage.people_rows import Challenge, Device, Failure, IdempotencyRow, Link, Session, StoredRow
from kedge.storage.people_store import PeopleStore

SWEEP_EVERY_S: Final = 60.0
FAILURES_KEPT_NS: Final = 24 * 3600 * 10**9
"""So long after its last wait a bucket of failures is remembered."""
_EXPIRING: Final[tuple[type[StoredRow], ...]] = (Session, Challenge, Link, Device, IdempotencyRow)


def sweep(store: PeopleStore, now_wall_ns: int) -> int:
    """Remove what is over, and write the acts that tell of counted refusals; how many rows went. Flush the acts after it."""
    with store.writing() as tx:
        gone = sum(tx.delete_until(kind, "expires_wall_ns", now_wall_ns) for kind in _EXPIRING)
        gone += tx.delete_until(Failure, "until_wall_ns", now_wall_ns - FAILURES_KEPT_NS)
        tell_refusals(tx, now_wall_ns)
    return gone
