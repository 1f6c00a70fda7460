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


class Counter(Protocol):
    """A figure that only grows; `labels` are the values of the label names it was made with, in their order."""

    def add(self, amount: float, *labels: str) -> None: ...


class Gauge(Protocol):
    """A figure that goes up and down."""

    def set(self, value: float, *labels: str) -> None: ...


class Histogram(Protocol):
    """A distribution, counted in buckets."""

    def observe(self, value: float, *labels: str) -> None: ...


class Metrics(Protocol):
    """Where figures for monitoring go: each is made once by name, with what it means and the names of its labels.

    Names follow the field's rules: a unit or `_total` at the end, seconds and ratios as units. They are measurements and never decide.
    """

    def counter(self, name: str, what: str, labels: Sequence[str]) -> Counter: ...

    def gauge(self, name: str, what: str, labels: Sequence[str]) -> Gauge: ...

    def histogram(self, name: str, what: str, buckets: Sequence[float], labels: Sequence[str]) -> Histogram: ...
