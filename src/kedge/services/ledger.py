"""The venue's ledger: what each row is to our books, and what in it does not add up.

Rules: what an execution tells is booked from the execution, once, and its row here is compared with it; every other change of the wallet
is booked from its row as given. Such a change is a flow: it moves equity and neither hides a loss nor makes one. A row of a kind nobody
taught this client is booked only when a person has seen it; until then it halts new risk with its figures.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kedge.domain.events import BooksDiffer, CashMoved
from kedge.domain.venue import LedgerEntry, LedgerKind
from kedge.services.seen import Seen

UNKNOWN_LEDGER: Final = "UNKNOWN_LEDGER"
LEDGER_DIFFERS: Final = "LEDGER_DIFFERS"


def cash_of(entry: LedgerEntry) -> CashMoved | None:
    """A change of the wallet that no execution tells: transfers, conversions, bonus, interest, the insurance fund's cover."""
    if entry.kind in (LedgerKind.TRADE, LedgerKind.FUNDING) or entry.fill_id or not entry.change_e8:
        return None
    return CashMoved(entry.ts_ns, entry.change_e8, entry.word, entry.entry_id)


def cash_missed(ledger: Iterable[LedgerEntry], seen: Seen) -> list[CashMoved]:
    """Changes of known kinds that are not in our books."""
    return [cash for entry in ledger if entry.kind is not LedgerKind.OTHER and (cash := cash_of(entry)) is not None and cash not in seen]


def not_understood(ledger: Iterable[LedgerEntry], seen: Seen) -> list[LedgerEntry]:
    """Rows that changed the wallet, are of no known kind, and are not in our books."""
    return [entry for entry in ledger if entry.kind is LedgerKind.OTHER and (cash := cash_of(entry)) is not None and cash not in seen]


def ledger_differences(ledger: Iterable[LedgerEntry], seen: Seen, ts_ns: int) -> list[BooksDiffer]:
    """Rows nobody understands, rows that do not add up, and trades and settlements that cost another sum than was booked."""
    rows = list(ledger)
    found = [
        BooksDiffer(ts_ns, UNKNOWN_LEDGER, entry.instrument, "", 0, entry.change_e8, f"{entry.word} {entry.entry_id}")
        for entry in not_understood(rows, seen)
    ]
    costs: dict[str, int] = {}
    first: dict[str, LedgerEntry] = {}
    for entry in rows:
        if not entry.fill_id or entry.kind is LedgerKind.OTHER:
            continue
        expected_e8 = entry.cash_flow_e8 + entry.funding_e8 - entry.fee_e8
        if expected_e8 != entry.change_e8:
            found.append(BooksDiffer(ts_ns, LEDGER_DIFFERS, entry.instrument, "", expected_e8, entry.change_e8, f"row {entry.entry_id}"))
        first.setdefault(entry.fill_id, entry)
        costs[entry.fill_id] = costs.get(entry.fill_id, 0) + entry.fee_e8 - entry.funding_e8
    for name, cost_e8 in costs.items():
        booked_e8 = seen.cost_e8(name)
        if booked_e8 is not None and booked_e8 != cost_e8:
            found.append(BooksDiffer(ts_ns, LEDGER_DIFFERS, first[name].instrument, "", booked_e8, cost_e8, f"execution {name}"))
    return found
