"""What a guard's journal tells of a drill: the breaches, the slices, the calls, and the times that it measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from kedge.domain.brake import BrakeLevel
from kedge.domain.errors import KedgeError
from kedge.domain.units import NS_PER_MS
from kedge.ops.latch_file import guard_folder
from kedge.services.drills.report import Times
from kedge.storage.guard_journal import GUARD_JOURNAL, PAGE_MAX, StoredRecord, read_page

PAGES_KEPT: Final = 8


def records_of(state_folder: Path, tell: Callable[[str], None]) -> list[StoredRecord]:
    """All records, oldest first; what cannot be read is told and left out."""
    path = guard_folder(state_folder) / GUARD_JOURNAL
    found: list[StoredRecord] = []
    before: int | None = None
    try:
        while True:
            page = read_page(path, PAGE_MAX, before)
            found += page.records
            before = page.before_seq
            if before is None:
                break
    except KedgeError as error:
        tell(f"the guard's journal cannot be read: {error.what}: {error.why}")
    return found[::-1]


def contents(records: Sequence[StoredRecord], kind: str) -> list[dict[str, Any]]:
    """The fields of all records of a kind, oldest first."""
    return [one.content for one in records if one.kind == kind]


def flatten_wall_ns(records: Sequence[StoredRecord]) -> int | None:
    """When the breach was recorded that called for a flattening, where it was not the first; None where it was, or none did."""
    breaches = contents(records, "breached")
    call = next((one for one in breaches if one["level"] == BrakeLevel.FLATTENING), None)
    return None if call is None or call is breaches[0] else int(call["wall_ns"])


def tells_of_flat(records: Sequence[StoredRecord]) -> bool:
    """Whether the end of a flattening is among them: the call that follows the record of FLAT."""
    return any(one["code"] == "FLAT" for one in contents(records, "paged"))


def pages_of(records: Sequence[StoredRecord]) -> tuple[str, ...]:
    """The calls, in words."""
    return tuple(f"{one['code']}: {one['words']}" for one in contents(records, "paged"))


def times_of(measured: Mapping[str, Any] | None) -> Times:
    """What the guard measured, from its record of FLAT or from its status; all unknown without either."""
    if measured is None:
        return Times()
    return Times(
        latched_ms=_ms(measured["latched_ns"]),
        blocked_ms=_ms(measured["permits_stopped_ns"]),
        cancels_ms=_ms(measured["cancels_ns"]),
        orders_zero_ms=_ms(measured["orders_zero_ns"]),
        positions_zero_ms=_ms(measured["positions_zero_ns"]),
        flat_ms=_ms(measured["flat_ns"]),
    )


def _ms(span_ns: int | None) -> int | None:
    return None if span_ns is None else -(-span_ns // NS_PER_MS)
