"""What the guard needs from outside beside the venue: its latch, its journal, and somebody to call.

Rules: none of them may stop it. A latch that cannot be written leaves the level in memory, a journal that cannot be written stops permits,
and cancelling and closing go on.
"""

from __future__ import annotations

from typing import Protocol

from kedge.domain.brake import Latch
from kedge.services.guard.records import Baseline, GuardRecord


class LatchPort(Protocol):
    """One account's latch."""

    def read(self) -> Latch:
        """What the latch says; HALTED by the trigger `unreadable` where it cannot be relied upon. Never raises."""

    def write(self, latch: Latch) -> None:
        """Put it in place of the one before; durable on return.

        Raises
        ------
        KedgeError
            It could not be written; the old one stands.
        """


class JournalPort(Protocol):
    """The guard's own journal."""

    def append(self, record: GuardRecord) -> None:
        """Write one record; durable on return, but for readings (`Seen`), which may wait for the next.

        Raises
        ------
        KedgeError
            It could not be written.
        """

    def baseline(self) -> Baseline | None:
        """The newest baseline; None where there is none, or where the journal cannot be read. Never raises."""

    def was_used(self, approval_id: str) -> bool:
        """Whether this approval has released the brake before. Raises `KedgeError` where nobody can say."""


class Alarm(Protocol):
    """Calls a person."""

    def page(self, code: str, words: str) -> None:
        """Call; the guard spaces its own repeats. Must not raise and must not block."""
