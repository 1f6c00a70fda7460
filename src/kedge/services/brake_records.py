"""The guard's records and the drills as plain documents, each record in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from kedge.domain.errors import KedgeError
from kedge.domain.units import E8, NS_PER_S
from kedge.domain.venue import CancelKind
from kedge.journal import decode_row
from kedge.journal.watch import WatchStarted
from kedge.ops.latch_file import guard_folder
from kedge.ops.trader_status import read_trader_status
from kedge.services.drills.clerk import standing
from kedge.services.drills.records import read_records
from kedge.services.drills.report import DrillReport
from kedge.services.replica_text import e8_text, time_text
from kedge.storage.guard_journal import GUARD_JOURNAL, StoredRecord, read_page
from kedge.storage.journal_reader import SqliteJournalReader

SHOWN: Final = frozenset(
    {
        "guard_started", "guard_stopped", "breached", "latched", "permits_stopped", "permits_granted", "cancels_sent", "slice_sent",
        "slice_answered", "waiting", "paged", "flat", "disturbed", "dead_man", "released", "release_refused", "latch_trouble", "flowed",
        "records_lost",
    }
)  # fmt: skip
"""Kinds of records that tell an act; thinned readings are left to `kedge audit`."""
DRILLS_SHOWN: Final = 100
PAPER: Final = "paper"


def history_view(state_folder: Path, limit: int, before: int | None = None) -> tuple[list[dict[str, Any]], int | None, str]:
    """Acts from the guard's journal, newest first; the number that the next page begins below; why there are none.

    Raises
    ------
    KedgeError
        The journal is damaged or cannot be read.
    """
    path = guard_folder(state_folder) / GUARD_JOURNAL
    if not path.is_file():
        return [], None, "no guard has kept a journal here"
    page = read_page(path, limit, before, kinds=SHOWN)
    return [_event(one) for one in page.records], page.before_seq, ""


def _event(one: StoredRecord) -> dict[str, Any]:
    content = one.content
    fields = {name: _plain(value) for name, value in content.items() if value not in (None, "", ()) and name not in ("wall_ns", "type")}
    level = content.get("level")
    return {
        "seq": one.seq,
        "at": time_text(int(content.get("wall_ns") or one.recorded_wall_ns)),
        "kind": one.kind,
        "level": level if one.kind == "latched" else None,
        "words": words_of(one.kind, content),
        "fields": fields,
    }


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def words_of(kind: str, content: dict[str, Any]) -> str:
    """One record of the guard in a sentence."""
    say = _SENTENCES.get(kind)
    if say is None:
        return ", ".join(f"{name.replace('_', ' ')} {_plain(value)}" for name, value in content.items() if name not in ("wall_ns", "type"))
    return say({name: "" if value is None else value for name, value in content.items()})


def _seconds(nanoseconds: object) -> str:
    return f"{nanoseconds / NS_PER_S:.2f} s" if isinstance(nanoseconds, int) else "not known"


def _measured(c: dict[str, Any]) -> str:
    return f"observed {c['observed']}, limit {c['limit']}" if c.get("observed") else ""


def _joined(*parts: object) -> str:
    return ", ".join(str(part) for part in parts if part)


_CANCELLED: Final[dict[str, str]] = {
    CancelKind.RESTING: "all resting orders",
    CancelKind.CONDITIONAL: "all orders that wait for a trigger",
    CancelKind.EVERY: "all orders of every kind",
}
_SENTENCES: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "guard_started": lambda c: f"the guard began its watch at level {c.get('level')}",
    "guard_stopped": lambda c: f"the guard ended its watch: {c.get('reason')}",
    "breached": lambda c: _joined(f"{c.get('trigger')} reached {c.get('level')}", c.get("instrument"), _measured(c)),
    "latched": lambda c: _joined(
        f"{c.get('level')} by {c.get('trigger') if c.get('trigger') not in ('', 'manual') else c.get('actor_id')}",
        _measured(c),
        c.get("reason"),
        "" if c.get("is_durable", True) else "NOT ON THE DISK",
    ),
    "permits_stopped": lambda c: f"no new risk is permitted: {c.get('why')}",
    "permits_granted": lambda c: "new risk is permitted",
    "cancels_sent": lambda c: f"cancel {_CANCELLED.get(c.get('kind', ''), 'order ' + str(c.get('kind')))}: {c.get('answer')}",
    "slice_sent": lambda c: (
        f"slice {c.get('attempt')} of {c.get('instrument')}: {c.get('side')} {c.get('qty_lots')} lots at {c.get('limit_ticks')}"
    ),
    "slice_answered": lambda c: _joined(f"slice of {c.get('instrument')}: {c.get('state')}, {c.get('cum_lots')} lots", c.get("words")),
    "waiting": lambda c: f"{c.get('instrument')} waits: {c.get('why')}",
    "paged": lambda c: f"somebody was called, {c.get('code')}: {c.get('words')}",
    "flat": lambda c: f"flat, {_seconds(c.get('flat_ns'))} after the breach, in {c.get('slices')} slices",
    "disturbed": lambda c: f"somebody trades past the brake: {c.get('words')}",
    "dead_man": lambda c: f"the trader was silent for {_seconds(c.get('silent_ns'))}: {c.get('orders')} orders cancelled",
    "released": lambda c: _joined(
        f"released from {c.get('from_level')} by {_plain(c.get('actors', ()))}", "SOLO" if c.get("solo") else "", c.get("reason")
    ),
    "release_refused": lambda c: f"a release was refused: {c.get('why')}",
    "latch_trouble": lambda c: f"the latch's file: {c.get('what')}",
    "flowed": lambda c: f"{c.get('word')}: {e8_text(int(c.get('change_e8') or 0))} came or went, losses count as before",
    "records_lost": lambda c: f"{c.get('count')} records were lost: {c.get('why')}",
}


# drills -------------------------------------------------------------------------------------------------------


def rung_of(state_folder: Path) -> str:
    """Where the account of a state folder trades; paper where no trader has run."""
    try:
        return str(read_trader_status(state_folder, datetime.now(UTC)).get("rung") or PAPER)
    except KedgeError:
        return PAPER


def drills_view(state_folder: Path, now_wall_ns: int) -> dict[str, Any]:
    """Drills, newest first, and whether one is due where the account trades: on paper, where no trader has run."""
    records = read_records(state_folder, most=DRILLS_SHOWN)
    stand = standing(state_folder, rung_of(state_folder), guarded_since(state_folder), now_wall_ns)
    return {
        "items": [drill_row(one) for one in records.reports],
        "due_at": None if stand is None else time_text(stand.next_wall_ns),
        "missed": stand is not None and stand.is_missed,
        "why": "; ".join([*([] if stand is None else [stand.words]), *records.problems]),
    }


def last_drill(state_folder: Path) -> dict[str, Any] | None:
    """The newest drill; None where there is none that can be read."""
    found = read_records(state_folder, most=1).reports
    return drill_row(found[0]) if found else None


def drill_row(one: DrillReport) -> dict[str, Any]:
    """A drill in one row; the independent reader's figure stands where it has one."""
    loss = one.loss_at_flat_e8
    equity = one.equity_breach_e8
    return {
        "drill_id": one.drill_id,
        "at": time_text(one.started_wall_ns),
        "scenario": one.scenario,
        "trigger": one.trigger or None,
        "outcome": one.outcome + (f", fault: {one.fault}" if one.fault else ""),
        "ok": one.is_passed,
        "block_s": _span_s(one.seen.blocked_ms, one.guard.blocked_ms),
        "cancels_s": _span_s(one.guard.cancels_ms, one.seen.cancels_ms),
        "flat_s": _span_s(one.guard.flat_ms, one.seen.flat_ms),
        "loss_frac": None if loss is None or not equity or equity < 0 else e8_text(loss * E8 // equity),
        "notes": "; ".join(one.findings),
    }


def _span_s(*candidates_ms: int | None) -> float | None:
    return next((ms / 1000 for ms in candidates_ms if ms is not None), None)


def guarded_since(state_folder: Path) -> int | None:
    """Wall time at which the guard's journal began; None where there is none that can be read."""
    path = guard_folder(state_folder) / GUARD_JOURNAL
    if not path.is_file():
        return None
    try:
        with SqliteJournalReader(path) as reader:
            first = next((decode_row(row, body) for row, _, body in reader.raw_rows(stop=1)), None)
    except (KedgeError, OSError):
        return None
    return first.started_wall_ns if isinstance(first, WatchStarted) else None
