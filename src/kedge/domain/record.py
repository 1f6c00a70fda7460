"""The records of a journal: how a run starts, and each step of it.

A journal is one `RunStarted` followed by `Step`s; signed heads are the journal's own and stand between them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from kedge.domain.events import Event
from kedge.domain.instrument import Instrument, InstrumentId, NonNegativeInt
from kedge.domain.outputs import Output

JOURNAL_FORMAT = "kedge/journal/v1"


class DataSource(msgspec.Struct, frozen=True, kw_only=True):
    """Where prices came from: a content hash, what it spans, and a label a person recognises (never a path)."""

    label: str
    sha256: str
    rows: NonNegativeInt
    first_ts_ns: int
    last_ts_ns: int
    instrument: InstrumentId = ""


class RunStarted(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="run_started"):
    """Everything needed to run again: what code, which settings, which instruments, which data, which seed.

    `source` is 'live', 'replay' or 'synthetic'; `speed` is 'max' or a factor of wall time as text.
    `settings` is the engine's configuration as canonical plain data; `code_sha256` covers the sources of the pure rooms.
    """

    run_id: str
    account: str
    source: str
    speed: str
    engine_version: str
    code_sha256: str
    settings_sha256: str
    settings: dict[str, Any]
    instruments: tuple[Instrument, ...]
    data: tuple[DataSource, ...]
    assumptions: dict[str, str]
    seed: int
    started_ts_ns: int
    format: str = JOURNAL_FORMAT


class Step(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag_field="type", tag="step", omit_defaults=True):
    """One event and what the engine wanted after it. `recorded_ts_ns` is left out where venue time is the only clock."""

    seq: NonNegativeInt
    source: str
    event: Event
    outputs: tuple[Output, ...] = ()
    recorded_ts_ns: int | None = None


Record = RunStarted | Step
