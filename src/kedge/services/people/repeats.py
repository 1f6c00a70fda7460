"""One effect for requests that are one: the first makes it, the others are given its answer, also after a crash and at the same time.

Rules: effect and answer are one transaction; requests of one key wait for each other or are refused, and never run beside each other;
what failed leaves nothing behind but the act that says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from kedge.domain.errors import Conflict, InvalidInput, KedgeError
from kedge.storage.people_rows import IdempotencyRow
from kedge.storage.people_store import PeopleStore, Tx

KEPT_NS: Final = 24 * 3600 * 10**9
CREATED: Final = 201


class KeyReused(InvalidInput):
    """The key belongs to another request. Reaction: choose a new one."""

    code = "KEY_REUSED"


class StillRunning(Conflict):
    """The same request is under way. Reaction: wait, then repeat it."""

    code = "STILL_RUNNING"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One request, as far as it decides whether another one is the same."""

    actor_id: str
    key: str
    route: str
    fingerprint: str
    keeps_answer: bool = True


@dataclass(frozen=True, slots=True)
class Made:
    """What an effect made: the document and how it is answered."""

    document: Any = field(repr=False)
    status: int = CREATED
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer; `replayed` where it was made before, `has_answer` unless it was a secret that nobody kept."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)
    replayed: bool = False
    has_answer: bool = True


class Repeats:
    """The keys of one store.

    Parameters
    ----------
    flush : callable
        Appends the acts that are due, after the transaction.
    """

    def __init__(self, store: PeopleStore, *, flush: Callable[[], None], wall_ns: Callable[[], int]) -> None:
        self._store, self._flush, self._wall_ns = store, flush, wall_ns
        self._lock = threading.Lock()
        self._running: set[tuple[str, str]] = set()

    def once(self, wanted: Wanted, effect: Callable[[], Made]) -> Kept:
        """The answer of the effect, made now or kept from before.

        Raises
        ------
        KeyReused
            The key belongs to a request of another body or route.
        StillRunning
            The same request is under way.
        """
        with self._alone(wanted):
            failed: KedgeError | None = None
            with self._store.writing() as tx:
                kept = self._find(tx, wanted)
                if kept is None:
                    try:
                        made = effect()
                    except KedgeError as error:  # its act of a refusal stays, so the transaction ends well
                        failed = error
                    else:
                        kept = self._keep(tx, wanted, made)
            self._flush()
        if failed is not None:
            raise failed
        assert kept is not None
        return kept

    @contextmanager
    def _alone(self, wanted: Wanted) -> Iterator[None]:
        name = (wanted.actor_id, wanted.key)
        with self._lock:
            if name in self._running:
                raise StillRunning(
                    "the same request is still being carried out", why="its Idempotency-Key is in use", fix="repeat it later"
                )
            self._running.add(name)
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(name)

    def _find(self, tx: Tx, wanted: Wanted) -> Kept | None:
        tx.delete_until(IdempotencyRow, "expires_wall_ns", self._wall_ns())
        row = tx.get(IdempotencyRow, (wanted.actor_id, wanted.key))
        if row is None:
            return None
        if (row.route, row.fingerprint) != (wanted.route, wanted.fingerprint):
            raise KeyReused(
                "the Idempotency-Key was used for another request",
                why=f"it belongs to {row.route}, with another body or address",
                fix="choose a new key for each intent, and keep it over its repeats",
            )
        return Kept(row.status, dict(row.headers), row.body.encode("utf-8"), replayed=True, has_answer=bool(row.body))

    def _keep(self, tx: Tx, wanted: Wanted, made: Made) -> Kept:
        body = msgspec.json.encode(made.document)
        row = IdempotencyRow(
            key=wanted.key,
            actor_id=wanted.actor_id,
            route=wanted.route,
            fingerprint=wanted.fingerprint,
            state="done",
            expires_wall_ns=self._wall_ns() + KEPT_NS,
            status=made.status,
            headers=made.headers,
            body=body.decode("utf-8") if wanted.keeps_answer else "",
        )
        tx.add(row)
        return Kept(made.status, made.headers, body)
