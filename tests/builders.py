"""Small makers of instruments, bars, engines and runs, shared by tests. Every default is one a test may override."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kedge.domain.events import BarClosed, Event, OrderAccepted, OrderCanceled, OrderFilled
from kedge.domain.instrument import Instrument, RiskTier
from kedge.domain.orders import FillCause, Liquidity, OrderIntent, OrderKind, Side, TimeInForce
from kedge.domain.outputs import Output
from kedge.domain.record import RunStarted
from kedge.domain.units import E8
from kedge.engine.engine import Engine
from kedge.engine.settings import EngineSettings
from kedge.risk.gate_state import Situation
from kedge.risk.states import RiskState
from kedge.services.backtest import Run, RunJournal, RunSpec, first_record
from kedge.simulation.bar_matcher import BarCosts, BarMatcher
from kedge.simulation.exchange import ExchangeCore, FundingRate, VenueSettings
from kedge.simulation.matching import Matcher
from kedge.strategy.base import NO_TARGETS, Strategy, Target, View

S = 1_000_000_000
MINUTE = 60 * S
HOUR = 3_600 * S
DAY = 24 * HOUR
T0 = 1_699_920_000 * S
"""A UTC midnight (14 November 2023)."""

AAA, BBB, CCC = "test:AAAUSDT", "test:BBBUSDT", "test:CCCUSDT"
WALLET_E8 = 10_000 * E8
TIERS = (
    RiskTier(notional_max_e8=20_000 * E8, maintenance_rate_e8=1_000_000, deduction_e8=0, leverage_max_e2=5_000),
    RiskTier(notional_max_e8=200_000 * E8, maintenance_rate_e8=2_500_000, deduction_e8=300 * E8, leverage_max_e2=2_000),
)


def instrument(instrument_id: str = AAA, **changes: Any) -> Instrument:
    """A perpetual with a tick of 0.1 and a lot of 0.001: one tick on one lot is 0.0001 USDT."""
    tick, lot = changes.pop("tick_e8", 10_000_000), changes.pop("lot_e8", 100_000)
    given: dict[str, Any] = {
        "base": "AAA",
        "quote": "USDT",
        "price_max_ticks": 10_000_000,
        "order_qty_min_lots": 1,
        "order_qty_max_lots": 1_000_000,
        "market_qty_max_lots": 500_000,
        "position_max_lots": 2_000_000,
        "notional_min_e8": 5 * E8,
        "maker_fee_e8": 20_000,
        "taker_fee_e8": 55_000,
        "leverage_max_e2": 5_000,
        "tiers": TIERS,
        "funding_interval_ns": 8 * HOUR,
        "price_collar_bps": 100,
        **changes,
    }
    return Instrument(instrument_id=instrument_id, tick_e8=tick, lot_e8=lot, tick_value_e8=tick * lot // E8, **given)


def bar(n: int, close: int = 1_000, instrument_id: str = AAA, *, span: int = MINUTE, volume: int = 1_000_000, **prices: int) -> BarClosed:
    """Bar number `n` (from 1) after T0; open, high and low default to the close."""
    opened = prices.get("open", close)
    high, low = prices.get("high", max(opened, close)), prices.get("low", min(opened, close))
    return BarClosed(T0 + n * span, instrument_id, T0 + (n - 1) * span, opened, high, low, close, volume)


def flat_bars(count: int, close: int = 1_000, instrument_id: str = AAA, *, start: int = 1) -> list[BarClosed]:
    return [bar(n, close, instrument_id) for n in range(start, start + count)]


def walk(
    seed: int, count: int, ids: Sequence[str] = (AAA,), *, step: int = 25, start: int = 10_000, volume: int = 1_000_000
) -> list[BarClosed]:
    """A seeded random walk of all instruments, ordered by time and id; opens gap a little."""
    rng, price = random.Random(seed), dict.fromkeys(ids, start)
    bars = []
    for n in range(1, count + 1):
        for name in ids:
            opened = max(100, price[name] + rng.randint(-step // 5, step // 5))
            close = max(100, opened + rng.randint(-step, step))
            high, low = max(opened, close) + rng.randint(0, step), max(50, min(opened, close) - rng.randint(0, step))
            price[name] = close
            bars.append(bar(n, close, name, open=opened, high=high, low=low, volume=rng.randint(volume // 2, volume)))
    return bars


def fundings(count: int, ids: Sequence[str] = (AAA,), *, every: int = 10 * MINUTE, rate_e8: int = 10_000) -> list[FundingRate]:
    return [FundingRate(T0 + n * every, name, rate_e8 if n % 3 else -2 * rate_e8) for n in range(1, count + 1) for name in ids]


class Wish:
    """A strategy that says what a test tells it: `say(instrument, exposure)` before the bar that should carry it."""

    name = "wish"
    features = ()

    def __init__(self) -> None:
        self.targets: list[Target] = []
        self.seen: list[str] = []

    def say(self, exposure_frac: float, instrument_id: str = AAA, **more: Any) -> Wish:
        self.targets.append(Target(instrument_id, exposure_frac, **more))
        return self

    def on_event(self, view: View) -> Sequence[Target]:
        self.seen.append(view.instrument)
        said, self.targets = tuple(self.targets), []
        return said or NO_TARGETS


class Scripted:
    """A pure strategy: exposure by bar number, from a table that repeats. The count of bars lives in a feature-free clock."""

    name = "scripted"
    features = ()

    def __init__(self, table: Sequence[float], span: int = MINUTE) -> None:
        self.table, self.span = tuple(table), span

    def on_event(self, view: View) -> Sequence[Target]:
        return (Target(view.instrument, self.table[(view.ts_ns - T0) // self.span % len(self.table)]),)


def settings(**changes: Any) -> EngineSettings:
    given: dict[str, Any] = {
        "run_id": "run",
        "account": "acct",
        "strategy": "trend",
        "params": {},
        "wallet_e8": WALLET_E8,
        "start_ts_ns": T0,
        "interval_ns": MINUTE,
        **changes,
    }
    return EngineSettings(**given)


def engine(strategy: Strategy | None = None, instruments: Sequence[Instrument] | None = None, **changes: Any) -> Engine:
    return Engine(settings(**changes), instruments or [instrument()], strategy if strategy is not None else Wish())


def sent(outputs: Iterable[Output]) -> list[OrderIntent]:
    """The orders among outputs."""
    return [output.approved.order for output in outputs if hasattr(output, "approved")]


def order(
    name: str = "o1", side: Side = Side.BUY, lots: int = 1_000, limit: int = 0, instrument_id: str = AAA, **changes: Any
) -> OrderIntent:
    """A market order, or a limit order when `limit` is given."""
    given: dict[str, Any] = {
        "decision_id": "d1",
        "strategy": "test",
        "kind": OrderKind.LIMIT if limit else OrderKind.MARKET,
        "time_in_force": TimeInForce.GTC if limit else TimeInForce.IOC,
        **changes,
    }
    return OrderIntent(client_order_id=name, instrument=instrument_id, side=side, qty_lots=lots, limit_ticks=limit, **given)


def accepted(intent: OrderIntent, ts_ns: int, venue_order_id: str = "v1") -> OrderAccepted:
    return OrderAccepted(ts_ns, intent.client_order_id, venue_order_id)


def canceled(intent: OrderIntent, ts_ns: int, reason: str = "CANCELED_BY_USER") -> OrderCanceled:
    return OrderCanceled(ts_ns, intent.client_order_id, reason)


def filled(
    intent: OrderIntent, ts_ns: int, ticks: int, *, lots: int = 0, leaves: int = 0, fill_id: str = "f1", fee_e8: int = 0
) -> OrderFilled:
    """A fill of an order; the whole of it by default."""
    qty = lots or intent.qty_lots
    return OrderFilled(ts_ns, fill_id, intent.client_order_id, intent.instrument, intent.side, qty, ticks, fee_e8, Liquidity.TAKER, leaves)


def liquidated(
    ts_ns: int, side: Side, lots: int, ticks: int, *, fill_id: str = "liq1", instrument_id: str = AAA, fee_e8: int = 0
) -> OrderFilled:
    return OrderFilled(ts_ns, fill_id, "", instrument_id, side, lots, ticks, fee_e8, Liquidity.TAKER, 0, FillCause.LIQUIDATION)


def venue(instruments: Sequence[Instrument] | None = None, matcher: Matcher | None = None, **changes: Any) -> ExchangeCore:
    """An exchange core with no spread, no impact, whole volume and no latency, unless said otherwise."""
    given: dict[str, Any] = {"wallet_e8": WALLET_E8, "latency_ns": 0, **changes}
    free = BarMatcher(BarCosts(half_spread_ticks=0, impact_bps=0, participation_e8=E8))
    return ExchangeCore(instruments or [instrument()], VenueSettings(**given), matcher or free, T0)


class ListJournal:
    """A run's journal in a list: the first record, then each event with its outputs, and the snapshots asked for."""

    def __init__(self) -> None:
        self.started: RunStarted | None = None
        self.steps: list[tuple[Event, tuple[Output, ...]]] = []
        self.snapshots: list[tuple[int, bytes]] = []
        self.blobs: dict[str, bytes] = {}

    def start(self, run_started: RunStarted) -> None:
        self.started = run_started

    def keep(self, blobs: Mapping[str, bytes]) -> None:
        self.blobs.update(blobs)

    def commit(self, event: Event, outputs: Sequence[Output]) -> None:
        self.steps.append((event, tuple(outputs)))

    def flush(self) -> None:
        """Nothing is kept back."""

    def save_snapshot(self, seq: int, body: bytes) -> None:
        self.snapshots.append((seq, body))

    @property
    def count(self) -> int:
        return 1 + len(self.steps)


def run_spec(instruments: Sequence[Instrument] | None = None, **changes: Any) -> RunSpec:
    given: dict[str, Any] = {
        "engine": settings(run_id=""),
        "venue": VenueSettings(wallet_e8=WALLET_E8),
        "costs": BarCosts(),
        "matcher": "bar",
        "data": (),
        "assumptions": {},
        "source": "synthetic",
        "speed": "max",
        "seed": 7,
        "engine_version": "0",
        "code_sha256": "c0de",
        **changes,
    }
    return RunSpec(instruments=tuple(instruments or [instrument()]), **given)


def a_run(
    market: Iterable[Event],
    journal: RunJournal,
    rates: Sequence[FundingRate] = (),
    strategy: Strategy | None = None,
    instruments: Sequence[Instrument] | None = None,
    **changes: Any,
) -> Run:
    """A run at the simulated venue, not yet driven."""
    return Run(first_record(run_spec(instruments, **changes), "bt"), market, rates, journal, strategy)


def situation(**changes: Any) -> Situation:
    """What the gate sees of a calm, flat account: equity 10,000 at a mark of 1,000 ticks (100.0)."""
    given: dict[str, Any] = {
        "ts_ns": T0,
        "state": RiskState.RUNNING,
        "halt_code": "",
        "instrument": instrument(),
        "mark_ticks": 1_000,
        "mark_age_ns": 0,
        "interval_ns": MINUTE,
        "volume_avg_lots": 1_000_000,
        "equity_e8": WALLET_E8,
        "position_lots": 0,
        "open_buy_lots": 0,
        "open_sell_lots": 0,
        "gross_other_e8": 0,
        "net_other_e8": 0,
        "open_orders_instrument": 0,
        "open_orders_total": 0,
        "best_own_bid_ticks": 0,
        "best_own_ask_ticks": 0,
        "bid_ticks": 0,
        "ask_ticks": 0,
        "quote_age_ns": 0,
        "quote_age_max_ns": 5 * S,
        **changes,
    }
    return Situation(**given)
