"""The limits in force and every version before, as plain documents."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final

from kedge.domain.errors import Conflict
from kedge.risk.limits import Limits
from kedge.risk.limits_document import LimitsDocument
from kedge.risk.limits_fields import FIELDS, Field, Looser, bounds_of, differences, text_of
from kedge.services.limits_store import FOLDER, LimitsStore
from kedge.services.replica_text import time_text

TIGHTENS: Final = {Looser.HIGHER: "down", Looser.LOWER: "up", Looser.FEWER: "more"}
HISTORY_SHOWN: Final = 100


def account_of(state_folder: Path, run_account: str | None) -> str | None:
    """Whose limits are meant: the followed run's account, else the only one that has any here; None where that does not say."""
    if run_account:
        return run_account
    try:
        found = sorted(os.listdir(state_folder / FOLDER))
    except FileNotFoundError:
        return None
    return found[0] if len(found) == 1 else None


def store_of(state_folder: Path, account: str | None) -> LimitsStore:
    """The limits of an account.

    Raises
    ------
    Conflict
        Nobody says whose.
    """
    if account is None:
        raise Conflict("no account has limits here", why="no trader has started with this state folder", fix="kedge up, or kedge trade")
    return LimitsStore(state_folder, account, wall_ns=time.time_ns)


def limits_view(state_folder: Path, account: str | None, running: Limits | None) -> dict[str, Any]:
    """The newest document and all before it; where there is none, what the followed run goes by.

    Raises
    ------
    IntegrityError
        A document is damaged, or one is missing.
    """
    history = [] if account is None else store_of(state_folder, account).history()
    limits = history[0].typed() if history else running
    return {
        "account": account,
        "current": reference(history[0], history[1] if len(history) > 1 else None) if history else None,
        "limits": [] if limits is None else [_row(row, limits) for row in FIELDS],
        "history": [reference(one, before) for one, before in zip(history, [*history[1:], None], strict=False)][:HISTORY_SHOWN],
        "why": _why(history, running),
    }


def reference(document: LimitsDocument, before: LimitsDocument | None) -> dict[str, Any]:
    """One version, with what it changed."""
    return {
        "number": document.number,
        "version": document.version,
        "made_at": time_text(document.made_wall_ns),
        "owner": document.owner,
        "actor": document.actor,
        "approver": document.approver,
        "reason": document.reason,
        "supersedes": document.supersedes,
        "approval_id": document.approval_id or None,
        "changes": {} if before is None else changes_of(before.typed(), document.typed()),
    }


def changes_of(before: Limits, after: Limits) -> dict[str, str]:
    """What differs, by name: `old -> new`."""
    return {one.name: f"{one.before or 'none'} -> {one.after or 'none'}" for one in differences(before, after)}


def _row(row: Field, limits: Limits) -> dict[str, Any]:
    smallest, largest = bounds_of(row)
    return {
        "name": row.name,
        "value": text_of(row, limits),
        "unit": row.unit.value,
        "owner": row.owner,
        "tightens": TIGHTENS[row.looser],
        "minimum": smallest or None,
        "maximum": largest or None,
        "control": row.control,
    }


def _why(history: list[LimitsDocument], running: Limits | None) -> str:
    if running is None:
        return "" if history else "no run is followed and no document is kept: nobody says what holds"
    if not history:
        return "only the configuration holds: no document is kept yet"
    if history[0].version != running.version:
        return f"the trader still goes by {running.version}: it takes number {history[0].number} within seconds while it runs"
    return ""
