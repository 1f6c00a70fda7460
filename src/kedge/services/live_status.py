"""A live trader's state as plain data, for status files, health checks and people."""

from __future__ import annotations

from typing import Any

from kedge.domain.units import NS_PER_DAY
from kedge.engine.lifecycle import Status
from kedge.engine.state import EngineState
from kedge.engine.summary import frac_text
from kedge.kernel.account import DAY, DAY_START, DRAWDOWN_MAX_E8, EQUITY, PEAK, loss_frac_e8
from kedge.services.live import LiveTrader
from kedge.services.live_stop import risk_on
from kedge.services.permits import may_add_risk, permit_age_ns
from kedge.strategy.model import MODEL


def status(trader: LiveTrader) -> dict[str, Any]:
    """What the trader is and does. Before the engine exists only `condition` and what the plan says; unknown is None."""
    plan = trader.plan
    age_ns = permit_age_ns(trader.permits, trader.permits.clock_ns())
    told: dict[str, Any] = {
        "condition": trader.condition,
        "ready": trader.is_ready,
        "rung": plan.rung,
        "account": plan.account,
        "strategy": plan.strategy,
        "model": str(plan.params.get(MODEL, "")) if plan.strategy == MODEL else "",
        "model_version": str(plan.params.get("version", "")) if plan.strategy == MODEL else "",
        "source": plan.source,
        "instruments": list(plan.instruments),
        "interval_ns": plan.interval_ns,
        "guard": trader.permits.guard,
        "permit_age_s": None if age_ns is None else age_ns / 1e9,
        "may_add_risk": may_add_risk(trader.permits, trader.permits.clock_ns()),
        "lock_step": trader.lockstep is not None,
    }
    return told | _running(trader) if hasattr(trader, "core") else told


def _running(trader: LiveTrader) -> dict[str, Any]:
    core, last = trader.core, trader.books.last
    bar = trader.bars.last
    orders = [order for slot in core.state.by_index for order in core.state.orders.of(slot.instrument).values()]
    return {
        **core.engine.summary(),
        **losses(core.state, core.now_ns()),
        "predictions": core.state.predictions,
        "run_id": trader.started.run_id if trader.started is not None else None,
        "venue_ts_ns": core.clock.now_ns(),
        "silent_s": core.clock.silent_s,
        "action_needed": [*(f"{one.what}; {one.fix}" for one in trader.news.needed.values()), *trader.instruments.action_needed],
        "instruments_age_s": trader.instruments.age_s,
        "instruments_problem": trader.instruments.problem,
        "streams": {str(stream): up for stream, up in trader.news.streams.items()},
        "last_bar_ts_ns": None if bar is None else bar.ts_ns,
        "bars_open": trader.bars.gate.is_open,
        "stops_missing_s": trader.stops.missing,
        "bars_waiting": trader.bars.gate.waiting,
        "reconciled_ts_ns": None if last is None else last.ts_ns,
        "reconciliations": trader.books.count,
        "books_agree": None if last is None else last.agreed,
        "book_differences": [] if last is None else [f"{one.code} {one.instrument} {one.ours} {one.theirs}" for one in last.reports],
        "unknown_orders": sum(order.status is Status.UNKNOWN for order in orders),
        "under_way": len(trader.desk.under_way),
        "orders_sent": trader.desk.sent,
        "journal_count": trader.journal.count,
        "risk_on": risk_on(trader).is_on,
    }


def losses(state: EngineState, now_ns: int) -> dict[str, str | None]:
    """What equity has lost by now, as fractions in text: `drawdown_now` and the worst `drawdown` from the peak, and the UTC day's loss.

    The engine judges losses when a mark comes; what was booked since then, such as what the guard closed while no bar passes, counts here
    at once. None is unknown: a position is held that never had a mark, or the day that `now_ns` lies in has had none.
    """
    account = state.account_view
    if any(slot.position_lots and not state.marks[slot.index] for slot in state.by_index):
        return {"drawdown": None, "drawdown_now": None, "daily_loss": None}
    now_e8 = int(loss_frac_e8(account[PEAK], account[EQUITY]))
    is_today = account[DAY] == now_ns // NS_PER_DAY
    return {
        "drawdown": frac_text(max(now_e8, account[DRAWDOWN_MAX_E8])),
        "drawdown_now": frac_text(now_e8),
        "daily_loss": frac_text(int(loss_frac_e8(account[DAY_START], account[EQUITY]))) if is_today else None,
    }
