"""Refused acts are acts too, and bounded in number: the first of a source is written, those after it are counted and told by one act.

Rules: what one source can add to the journal is two acts in 15 minutes for each action and reason of refusal; beyond a thousand sources
at a time all others count as one.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from kedge.domain.canonical import digest
from kedge.domain.people import Act
from kedge.journal import act_bytes, decode_act
from kedge.storage.people_rows import RefusedActs
from kedge.storage.people_tx import Tx

WINDOW_NS: Final = 15 * 60 * 10**9
SOURCES_MAX: Final = 1_000
OTHERS: Final = "others"
"""The source that stands for all beyond the thousandth."""


def note_refused(tx: Tx, act: Act, *, source: str) -> bool:
    """Write a refused act, or count it where one of the same source, action and code was written in the last 15 minutes.

    Parameters
    ----------
    source : str
        Who is bounded: an address, a person's id.

    Returns
    -------
    bool
        Whether it was written.
    """
    key = _key(act, source)
    row = tx.get(RefusedActs, key)
    if row is None and tx.count(RefusedActs) >= SOURCES_MAX:
        key = _key(act, OTHERS)
        row = tx.get(RefusedActs, key)
    if row is not None and act.wall_ns < row.until_wall_ns <= act.wall_ns + WINDOW_NS:  # beyond that the clock was set back
        tx.put(replace(row, count=row.count + 1))
        return False
    if row is not None:
        _tell(tx, row)
    tx.act(act)
    summary = act_bytes(replace(act, act_id="", subject="", ref="", reason="", correlation_id="", details={})).decode()
    tx.put(RefusedActs(source_key=key, count=0, until_wall_ns=act.wall_ns + WINDOW_NS, summary=summary))
    return True


def tell_refusals(tx: Tx, now_wall_ns: int) -> None:
    """Write what was counted and is 15 minutes old: one act for each source, action and code."""
    for row in tx.find(RefusedActs):
        if not now_wall_ns < row.until_wall_ns <= now_wall_ns + WINDOW_NS:
            _tell(tx, row)
            tx.delete(RefusedActs, row.source_key)


def _tell(tx: Tx, row: RefusedActs) -> None:
    act = decode_act(row.summary.encode())
    if row.count and act is not None:
        details = {"repeated": str(row.count), "since_wall_ns": str(act.wall_ns)}
        tx.act(
            replace(
                act, act_id=f"act-{digest(f'{row.source_key} {act.wall_ns}'.encode())[:32]}", wall_ns=row.until_wall_ns, details=details
            )
        )


def _key(act: Act, source: str) -> str:
    return f"{act.action} {act.code} {source}"
