"""Figures of a followed run as plain documents: books, day's result, positions, risk, funnel, what the run is. All text, all exact."""

from __future__ import annotations

from typing import Any, Final

from kedge.domain.record import RunStarted
from kedge.domain.units import E8
from kedge.engine.settings import EngineSettings
from kedge.engine.state import EngineState, Slot
from kedge.engine.summary import MONEY_CELLS
from kedge.kernel.account import DAY_LOSS_E8, DRAWDOWN_E8, DRAWDOWN_MAX_E8, EQUITY, FEES, FLOWS, FUNDING, GROSS, REALISED, UNREALISED
from kedge.kernel.positions import unrealised_e8
from kedge.services.replica import Replica
from kedge.services.replica_text import e8_text, ratio_text, share_text, span_s, time_text

_BOOKS: Final = {**MONEY_CELLS, "drawdown_now": DRAWDOWN_E8, "drawdown_worst": DRAWDOWN_MAX_E8, "daily_loss": DAY_LOSS_E8}


def books(state: EngineState) -> dict[str, Any]:
    """The account at the last marks."""
    account = state.account_view
    return {
        "quote": state.by_index[0].spec.quote,
        **{name: e8_text(account[cell]) for name, cell in _BOOKS.items()},
        "leverage": share_text(account[GROSS], account[EQUITY]),
    }


def day_result(replica: Replica) -> dict[str, Any]:
    """Profit and loss since the UTC day began: total = price - funding - fees."""
    account, day = replica.state.account_view, replica.known.day
    price = account[REALISED] + account[UNREALISED] - day.price_e8
    funding, fees = account[FUNDING] - day.funding_e8, account[FEES] - day.fees_e8
    total = price - funding - fees
    return {
        "since": time_text(day.since_ns),
        "start_equity": e8_text(day.equity_e8),
        "total": e8_text(total),
        "total_frac": share_text(total, day.equity_e8),
        "price": e8_text(price),
        "funding_paid": e8_text(funding),
        "fees": e8_text(fees),
        "flows": e8_text(account[FLOWS] - day.flows_e8),
    }


def positions(replica: Replica) -> list[dict[str, Any]]:
    """Open positions, by instrument."""
    return [_position(replica, slot) for slot in replica.state.by_index if slot.position_lots]


def _position(replica: Replica, slot: Slot) -> dict[str, Any]:
    state, grid, lots = replica.state, replica.views.grid(slot.instrument), slot.position_lots
    cost_e8, mark = int(state.costs[slot.index]), int(state.marks[slot.index])
    profit_e8 = int(unrealised_e8(lots, cost_e8, mark, slot.spec.tick_value_e8)) if mark else 0
    notional_e8 = slot.spec.notional_e8(mark, lots) if mark else cost_e8
    return {
        "instrument": slot.instrument,
        "side": "long" if lots > 0 else "short",
        "qty": grid.qty(lots),
        "entry": grid.average(cost_e8, lots),
        "mark": grid.price(mark) if mark else None,
        "mark_at": time_text(slot.mark_ts_ns) if mark else None,
        "notional": e8_text(notional_e8),
        "unrealised": e8_text(profit_e8),
        "unrealised_frac": share_text(profit_e8, abs(cost_e8)),
        "equity_share": share_text(notional_e8, state.account_view[EQUITY]),
        **_stop(replica, slot, mark),
    }


def _stop(replica: Replica, slot: Slot, mark_ticks: int) -> dict[str, Any]:
    """The stop of a position: what is wanted, what the venue has shown, and how far it is from the mark."""
    grid, wanted, placed = replica.views.grid(slot.instrument), slot.stop_wanted_ticks, slot.stop_placed_ticks
    ticks = placed or wanted
    return {
        "stop_wanted": grid.price(wanted) if wanted else None,
        "stop_placed": grid.price(placed) if placed else None,
        "stop_state": stop_state(slot),
        "stop_distance": ratio_text(abs(mark_ticks - ticks), mark_ticks) if ticks and mark_ticks else None,
    }


def stop_state(slot: Slot) -> str:
    """Where a position's stop stands, in a word: see `Position` of the API."""
    if slot.stop_failed:
        return "unconfirmed"
    if not slot.stop_wanted_ticks:
        return "off"
    if slot.stop_placed_ticks == slot.stop_wanted_ticks:
        return "placed"
    return "moving" if slot.stop_placed_ticks else "missing"


def risk(replica: Replica) -> dict[str, Any]:
    """Whether trading is allowed, why not, and the limits on the account."""
    state, change, limits = replica.state, replica.views.risk, replica.settings.limits
    account = state.account_view
    gross = account[GROSS] * E8 // account[EQUITY] if account[EQUITY] > 0 else None
    return {
        "state": str(state.risk_state),
        "halt_code": state.halt_code or None,
        "observed": None if change is None else change.observed or None,
        "limit": None if change is None else change.limit or None,
        "changed_at": None if change is None else time_text(change.ts_ns),
        "limits": [
            _gauge(
                "drawdown", "below the highest equity", account[DRAWDOWN_E8],
                limits.drawdown_soft_e8, limits.drawdown_reduce_e8, limits.drawdown_halt_e8,
            ),
            _gauge(
                "daily_loss", "below the day's start", account[DAY_LOSS_E8],
                limits.daily_loss_soft_e8, limits.daily_loss_reduce_e8, limits.daily_loss_halt_e8,
            ),
            _gauge("gross_leverage", "gross notional / equity", gross, None, None, limits.gross_leverage_max_e8),
        ],
    }  # fmt: skip


def _gauge(name: str, words: str, value: int | None, soft: int | None, reduce: int | None, hard: int) -> dict[str, Any]:
    return {
        "name": name,
        "words": words,
        "value": None if value is None else e8_text(value),
        "soft": None if soft is None else e8_text(soft),
        "reduce": None if reduce is None else e8_text(reduce),
        "hard": e8_text(hard),
        "used": None if value is None else ratio_text(value, hard),
    }


def funnel(state: EngineState) -> dict[str, Any]:
    """Counts from bars to fills."""
    counts = state.funnel
    return {
        "bars": counts.bars,
        "gaps": counts.gaps,
        "predictions": state.predictions,
        "decisions": counts.decisions,
        "sized": counts.sized,
        "vetoed": dict(sorted(counts.vetoed.items())),
        "sent": counts.sent,
        "refused": dict(sorted(counts.refused.items())),
        "filled": counts.filled,
        "round_trips": state.round_trips,
    }


def run_info(started: RunStarted, *, sealed: bool, current: bool) -> dict[str, Any]:
    """What a run is, from its first record."""
    settings = EngineSettings.from_plain(started.settings["engine"])
    return {
        "run_id": started.run_id,
        "rung": rung_of(started.run_id),
        "source": started.source,
        "speed": started.speed,
        "account": started.account,
        "strategy": settings.strategy,
        "params": {name: str(value) for name, value in settings.params.items()},
        "instruments": [spec.instrument_id for spec in started.instruments],
        "interval_s": span_s(settings.interval_ns),
        "started_at": time_text(started.started_ts_ns),
        "seed": started.seed,
        "engine_version": started.engine_version,
        "code_sha256": started.code_sha256,
        "settings_sha256": started.settings_sha256,
        "sealed": sealed,
        "current": current,
    }


def rung_of(run_id: str) -> str:
    """What kind of run it is, from its id: `demo`, `bt`, `paper`..."""
    return run_id.partition("-")[0]


def badge(started: RunStarted) -> dict[str, Any]:
    """What kind of money this is, in one word and in some."""
    rung, source = rung_of(started.run_id), started.source
    market = {"synthetic": "synthetic market", "replay": "replay of recorded prices", "live": "live prices"}.get(source, source)
    if rung in ("live", "testnet"):
        label, money = rung.upper(), "real money" if rung == "live" else "testnet money"
    elif rung == "demo":
        label, money = "DEMO", "simulated money"
    elif rung == "bt":
        label, money = "BACKTEST", "simulated money"
    else:
        label, money = {"synthetic": "SYNTHETIC", "replay": "REPLAY"}.get(source, "PAPER"), "paper money"
    speed = f", {started.speed} x wall time" if started.speed not in ("1", "max") else ""
    return {"label": label, "words": f"{money}, {market}{speed}", "rung": rung, "source": source, "speed": started.speed}


def instruments(replica: Replica, closes: dict[str, tuple[str, int]]) -> list[dict[str, Any]]:
    """The run's instruments as they are now; `closes` holds the last close and its time where there is one."""
    rows = []
    for slot in replica.state.by_index:
        spec, grid, close = slot.spec, replica.views.grid(slot.instrument), closes.get(slot.instrument)
        rows.append(
            {
                "instrument": slot.instrument,
                "symbol": spec.venue_symbol,
                "base": spec.base,
                "quote": spec.quote,
                "tick": f"{spec.tick_size:f}",
                "lot": f"{spec.lot_size:f}",
                "price_places": grid.price_places,
                "qty_places": grid.qty_places,
                "taker_fee": e8_text(spec.taker_fee_e8),
                "maker_fee": e8_text(spec.maker_fee_e8),
                "last": None if close is None else close[0],
                "last_at": None if close is None else time_text(close[1]),
            }
        )
    return rows
