"""The levels half of the risk study: which runs are played, and what the limits table says of each.

Three things are told. On a path that nothing stops (the limits set wide, the guard away) how often each level would have fired, at the
shipped exposure and at larger ones; which level comes first; and what the engine itself did with the product's limits in force.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from kedge.apps import wiring
from kedge.domain.events import DailyHistory, Event
from kedge.domain.instrument import Instrument
from kedge.domain.orders import OrderKind
from kedge.domain.units import E8, NS_PER_MS
from kedge.ops.config import Config, load_config
from kedge.risk.limits import Limits
from kedge.risk.var.book import VarBook
from kedge.risk.var.choice import chosen_book
from kedge.risk.var.filters import ewma_sigma
from kedge.risk.var.history import DAYS_MAX
from kedge.services.market_data import MarketData
from kedge.strategy.execution import DUST_DIVISOR
from scripts.risk_study_levels import date_of, fired, guard_text, path_of
from scripts.risk_study_page import Acted, Run, acted_table, first_table, levels_table
from scripts.risk_study_runs import PLAYED_FROM_NS, WALLET_E8, Played, play, read_market, record_of
from scripts.risk_study_series import CRYPTO, DAY_MS, HOUR_MS, Closes, days_of, read_closes

FloatArray = npt.NDArray[np.float64]

ACCOUNTS: Final = (("BTC",), ("ETH",), ("BTC", "ETH"))
STRATEGIES: Final = ("trend", "mean_reversion")
SHIPPED_EXPOSURE: Final = "0.1"
EXPOSURES: Final = (SHIPPED_EXPOSURE, "0.25", "0.5")
"""Of equity per instrument; the first is what the strategies ship with."""
HUNDREDFOLD: Final = 10_000_000_000
WIDE: Final = Limits(
    order_notional_frac_soft_e8=E8,
    order_notional_frac_max_e8=E8,
    position_notional_frac_max_e8=E8,
    gross_leverage_max_e8=HUNDREDFOLD,
    net_leverage_max_e8=HUNDREDFOLD,
    daily_loss_soft_e8=E8,
    daily_loss_reduce_e8=E8,
    daily_loss_halt_e8=E8,
    drawdown_soft_e8=E8,
    drawdown_reduce_e8=E8,
    drawdown_halt_e8=E8,
    fat_finger_multiple=100_000,
)
"""Limits that never bind here: what a strategy does when nothing stops it."""


class World:
    """Market data of the study, read once."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.days = {name: days_of(read_closes(data / path, HOUR_MS)) for name, path in CRYPTO.items()}
        self.config: Config = load_config(None, flags={}, environ={}, folder=data)
        self._markets: dict[tuple[str, ...], MarketData] = {}

    def market(self, account: tuple[str, ...]) -> MarketData:
        """Bars and settlements of an account's coins."""
        if account not in self._markets:
            self._markets[account] = read_market(self.data, account)
        return self._markets[account]

    def play(self, account: tuple[str, ...], strategy: str, exposure: str, limits: Limits | None) -> Played:
        """One run, with these limits and no caps on sizes, or with the product's limits and caps.

        The venue's daily closes are told ahead, as a live trader is told them.
        """
        market = self.market(account)
        engine = wiring.engine_settings(
            self.config,
            strategy=strategy,
            params={},
            entry=OrderKind.MARKET,
            interval_ns=market.interval_ns,
            start_ts_ns=PLAYED_FROM_NS,
            wallet_e8=WALLET_E8,
        )
        held = engine.limits if limits is None else limits
        slice_e8 = min(held.order_notional_frac_soft_e8, held.order_notional_frac_max_e8 * DUST_DIVISOR // (DUST_DIVISOR + 1))
        params: dict[str, Any] = {"exposure_frac": exposure}
        costs, venue = wiring.bar_costs(self.config), wiring.venue_settings(self.config, WALLET_E8)
        execution = msgspec.structs.replace(engine.execution, slice_notional_frac_e8=slice_e8)
        sizing = engine.sizing if limits is None else None
        return play(market, strategy, params, held, execution, costs, venue, before=self.told(account), sizing=sizing)

    def told(self, account: tuple[str, ...]) -> list[Event]:
        """The closes of the days before the first bar that is played, as the venue tells them."""
        return [daily_history(record_of(symbol), self.days[symbol]) for symbol in sorted(account)]

    def book_of(self, account: tuple[str, ...], day: int) -> tuple[VarBook, FloatArray]:
        """The book of the guard on a UTC day (since 1970), of closes before it, and the daily sigma of each instrument."""
        columns = [returns_before(self.days[symbol], day) for symbol in sorted(account)]
        history = np.column_stack(columns)
        book, _ = chosen_book([record_of(symbol).instrument_id for symbol in sorted(account)], history)
        return book, np.array([ewma_sigma(column)[-1] for column in columns])


def returns_before(days: Closes, day: int) -> FloatArray:
    """The newest returns of whole days before a day; the study's coins have no hole in the days that are asked for."""
    end = int(np.searchsorted(days.end_ms, day * DAY_MS, side="right"))
    closes = days.close[max(0, end - DAYS_MAX - 1) : end]
    moved: FloatArray = closes[1:] / closes[:-1] - 1.0
    return moved


def daily_history(record: Instrument, days: Closes) -> DailyHistory:
    """The closes of at most DAYS_MAX + 1 days before the first bar that is played."""
    end = int(np.searchsorted(days.end_ms, PLAYED_FROM_NS // NS_PER_MS, side="right"))
    closes = days.close[max(0, end - DAYS_MAX - 1) : end]
    ticks = np.rint(closes * E8 / record.tick_e8).astype(np.int64)
    return DailyHistory(PLAYED_FROM_NS, record.instrument_id, int(days.end_ms[end - 1]) * NS_PER_MS, tuple(ticks.tolist()))


def watched(world: World, account: tuple[str, ...], strategy: str, exposure: str) -> Run:
    """A run that nothing stops, and how often each level fired on its path."""
    played = world.play(account, strategy, exposure, WIDE)
    instruments = [record_of(symbol) for symbol in sorted(account)]
    path = path_of(played.account, instruments, lambda day: world.book_of(account, day))
    return Run("+".join(account), strategy, exposure, fired(path))


def acted(world: World, account: tuple[str, ...], strategy: str, exposure: str) -> Acted:
    """A run in which the product's limits act, as the engine tells it."""
    played = world.play(account, strategy, exposure, None)
    summary, told, path = played.told.summary, played.told, played.account
    changed = np.flatnonzero((path.lots[1:] != path.lots[:-1]).any(axis=1))
    instruments = [record_of(symbol) for symbol in sorted(account)]
    seen = path_of(path, instruments, lambda day: world.book_of(account, day))
    code = f" ({summary['halt_code']})" if summary["halt_code"] else ""
    return Acted(
        account="+".join(account),
        strategy=strategy,
        exposure=exposure,
        orders=int(summary["orders"]),
        refused=dict(told.refused),
        alerts=dict(told.alerts),
        states=dict(told.states),
        ended=f"{summary['risk_state']}{code}",
        last_order=date_of(int(path.end_ns[changed[-1] + 1])) if changed.size else None,
        return_frac=float(path.equity_e8[-1]) / WALLET_E8 - 1.0,
        drawdown_frac=float(path.drawdown_frac.max()),
        guard=guard_text(seen),
    )


def levels_parts(data: Path) -> dict[str, str]:
    """The bodies of the levels tables by the name of their markers."""
    world = World(data)
    runs: dict[str, list[Run]] = {}
    for exposure in EXPOSURES:
        began = time.process_time()
        runs[exposure] = [watched(world, account, strategy, exposure) for strategy in STRATEGIES for account in ACCOUNTS]
        print(f"levels at exposure {exposure}: {time.process_time() - began:.0f} s", file=sys.stderr, flush=True)
    in_force = [acted(world, account, strategy, exposure) for exposure in EXPOSURES[:2] for strategy in STRATEGIES for account in ACCOUNTS]
    by_strategy = _rows(runs)
    return {
        "levels at 0.1": levels_table(runs[EXPOSURES[0]]),
        "levels at 0.5": levels_table(runs[EXPOSURES[2]]),
        "first levels": first_table(by_strategy),
        "limits in force": acted_table(in_force),
    }


def _rows(runs: dict[str, list[Run]]) -> Sequence[Run]:
    """The runs of all exposures, those of one account and strategy together."""
    return [run for together in zip(*runs.values(), strict=True) for run in together]
