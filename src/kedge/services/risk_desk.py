"""Risk of the followed run for people: what is quick is worked out at once, what is slow beside the run, on a copy of its books.

Rules: a slow answer is worked out by one thread at a time and shared by everybody who asks meanwhile; it is kept for as long as the books
are the same, and shown with its time where they are not. GARCH fits are kept for as long as the daily closes are the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from kedge.domain.errors import KedgeError
from kedge.engine.book_after import BookOfEngine
from kedge.risk.gate_state import Tail
from kedge.risk.var.record import Standing
from kedge.services.guard_seen import ABSENT, FRESH, LATE, STALE, GuardSeen, guard_seen
from kedge.services.replica import Replica
from kedge.services.replica_text import e8_text, time_text
from kedge.services.risk_inputs import Inputs, inputs_of
from kedge.services.risk_methods import Fits, fits_of, var_view
from kedge.services.risk_stress import stress_view
from kedge.services.risk_values import held_positions
from kedge.services.risk_views import BUDGET_S, Sight, concentration, measures

KEEP_S: Final = 5.0
"""A slow answer this young is given again although the books have moved."""
LATE_S: Final = 60.0
WORDS: Final = {"ended": "the run has ended", "unknown": "no bar has come yet"}


class RiskDesk:
    """Answers about one state folder.

    Parameters
    ----------
    state_folder : Path
    standings : callable
        What the daily backtests say of each method now.
    monotonic_s : callable
    """

    def __init__(self, state_folder: Path, standings: Callable[[], Mapping[str, Standing]], monotonic_s: Callable[[], float]) -> None:
        self._state_folder, self._standings, self._monotonic_s = state_folder, standings, monotonic_s
        self._book: tuple[Replica, BookOfEngine] | None = None
        self._fits: tuple[object, Fits] | None = None
        self._kept: dict[str, tuple[tuple[object, ...], float, dict[str, Any]]] = {}
        self._locks = {"var": asyncio.Lock(), "stress": asyncio.Lock()}
        self._thread = ThreadPoolExecutor(1, "risk")

    def close(self) -> None:
        """Let go of the thread; what it works on is finished and thrown away."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    # quick --------------------------------------------------------------------------------------------------

    def status(self, replica: Replica | None, freshness: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """Every measure now. On the loop's own thread, since it reads the run's books as they are."""
        seen = guard_seen(self._state_folder, now)
        tail, sigmas = (None, {}) if replica is None else self._tail(replica)
        rows = measures(replica, tail, sigmas, sight_of(freshness), seen)
        held = [] if replica is None else held_positions(replica.state, sigmas)
        return {
            "run_id": None if replica is None else replica.started.run_id,
            "as_of": None if replica is None else time_text(replica.state.ts_ns),
            "quote": None if replica is None else replica.state.by_index[0].spec.quote,
            "equity": _equity(replica, seen),
            "measures": rows,
            "concentration": [] if replica is None else concentration(replica.state, held),
            "limits_number": None if replica is None else replica.state.limits_number or None,
            "limits_version": None if replica is None else replica.state.limits.version,
            "guard": {
                "state": seen.state,
                "age_s": seen.age_s,
                "at": None if seen.status is None else time_text(seen.status.wall_ns),
                "why": seen.why,
            },
            "budget_s": BUDGET_S,
        }

    def _tail(self, replica: Replica) -> tuple[Tail | None, dict[str, int]]:
        """VaR and ES as the gate sees them, and each instrument's daily volatility in 1e-8."""
        if self._book is None or self._book[0] is not replica:
            self._book = (replica, BookOfEngine(replica.state))
        book = self._book[1]
        tail = book.held()
        sigmas = book.histories.sigmas_e8
        return tail, {slot.instrument: sigmas[slot.index] for slot in replica.state.by_index}

    # slow ---------------------------------------------------------------------------------------------------

    async def var(self, replica: Replica) -> dict[str, Any]:
        """VaR and ES by method."""
        return await self._slow("var", inputs_of(replica), self._var)

    async def stress(self, replica: Replica) -> dict[str, Any]:
        """Every scenario."""
        return await self._slow("stress", inputs_of(replica), stress_view)

    def _var(self, inputs: Inputs) -> dict[str, Any]:
        closes = (inputs.run_id, tuple((one.spec.instrument_id, one.closes[-1:], len(one.closes)) for one in inputs.held))
        if self._fits is None or self._fits[0] != closes:
            self._fits = (closes, fits_of(inputs))
        try:
            standings = self._standings()
        except KedgeError:
            standings = {}
        return var_view(inputs, self._fits[1], standings)

    async def _slow(self, what: str, inputs: Inputs, work: Callable[[Inputs], dict[str, Any]]) -> dict[str, Any]:
        same = (inputs.run_id, inputs.equity_e8, tuple((one.lots, one.mark_ticks, len(one.closes)) for one in inputs.holdings))
        async with self._locks[what]:
            kept = self._kept.get(what)
            if kept is not None and kept[0][0] == same[0] and (kept[0] == same or self._monotonic_s() - kept[1] < KEEP_S):
                return kept[2]
            found = await asyncio.get_running_loop().run_in_executor(self._thread, work, inputs)
            told = {
                "run_id": inputs.run_id,
                "as_of": time_text(inputs.ts_ns),
                "equity": e8_text(inputs.equity_e8),
                "quote": inputs.quote,
                **found,
            }
            self._kept[what] = (same, self._monotonic_s(), told)
            return told


def sight_of(freshness: Mapping[str, Any]) -> Sight:
    """How old the run's books are, by the age of its newest bar."""
    age, state = freshness["age_s"], freshness["state"]
    judged = STALE if state in ("stale", "ended", "unknown") or age is None else LATE if state == "late" or age > LATE_S else FRESH
    return Sight(freshness["as_of"], age, judged, WORDS.get(state, "" if judged == FRESH else freshness["why"]))


def _equity(replica: Replica | None, seen: GuardSeen) -> str | None:
    from kedge.kernel.account import EQUITY

    if replica is not None:
        return e8_text(int(replica.state.account_view[EQUITY]))
    status = None if seen.state == ABSENT else seen.status
    return None if status is None or status.equity_e8 is None else e8_text(status.equity_e8)
