"""The ports: what the pure rooms and services need from outside, as small Protocols."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from kedge.domain.events import Event
from kedge.domain.outputs import Output
from kedge.domain.record import Record


class Clock(Protocol):
    """A source of time. Only adapters and compositions hold one; the engine never does."""

    def now_ns(self) -> int: ...


class Gateway(Protocol):
    """Carries outputs to a venue. Accepts `OrderSent` only, never a bare intent."""

    def send(self, outputs: Sequence[Output]) -> None: ...


class Journal(Protocol):
    """One writer's append-only record of a run."""

    def commit(self, event: Event, outputs: Sequence[Output]) -> None:
        """Record one step. Durable on return, or durable with its group where the journal groups."""

    def keep(self, blobs: Mapping[str, bytes]) -> None:
        """Hold content-addressed bytes (by SHA-256, hex) that the next commit's outputs name; durable together with that step."""

    def flush(self) -> None:
        """Make everything committed so far durable."""


class JournalReader(Protocol):
    """Reads a journal's records in order."""

    def records(self, *, start_seq: int = 0) -> Iterator[Record]: ...
