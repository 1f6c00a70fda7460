"""The whole gate on an account of so many held positions: an engine to ask, and NumPy for the same risk question.

All rows of the product's defaults are on, with a stop; every instrument has a thousand days of history, a position and two open orders.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from kedge.domain.events import BarClosed, DailyHistory, OrderFilled
from kedge.domain.instrument import Instrument, RiskTier
from kedge.domain.orders import ApprovedOrder, Liquidity, OrderIntent, OrderKind, Side, TimeInForce
from kedge.domain.outputs import OrderSent
from kedge.domain.units import E8, NS_PER_DAY, NS_PER_S
from kedge.engine.engine import Engine
from kedge.engine.settings import EngineSettings
from kedge.ops.settings import Limits as Configured
from kedge.risk.gate import Gate
from kedge.risk.gate_state import Refusal
from kedge.risk.limits import Limits
from kedge.risk.var.filters import ewma_sigma

Float64Array = npt.NDArray[np.float64]
START_NS, MINUTE_NS, QUIET_NS = 20_000 * NS_PER_DAY, 60 * NS_PER_S, 20 * NS_PER_S
MARK, DAYS, TICK_VALUE_E8 = 50_000, 1_000, 10_000
EQUITY_E8 = 1_000_000 * E8
GROSS, ORDER = 0.3, 0.005
"""Notional held in all, and of the order asked about, as fractions of equity."""
FEE_E8 = 55_000
TIERS = (
    RiskTier(notional_max_e8=2_000_000 * E8, maintenance_rate_e8=500_000, deduction_e8=0, leverage_max_e2=10_000),
    RiskTier(notional_max_e8=10_000_000 * E8, maintenance_rate_e8=1_000_000, deduction_e8=10_000 * E8, leverage_max_e2=5_000),
)
CALLS, ROUNDS = 400, 150


class Nobody:
    """A strategy that wants nothing: the benchmark makes the orders."""

    name, features = "nobody", ()

    def on_event(self, view: object) -> tuple[()]:
        return ()


class NumpyGate:
    """The baseline: what the account would be with an order in it, everything anew from arrays; notionals are fractions of equity."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        state = engine.state
        per_lot = MARK * TICK_VALUE_E8 / EQUITY_E8
        self.held = np.array(state.lots, np.float64) * per_lot
        opened = np.array([state.orders.open_lots(slot.instrument) for slot in state.by_index], np.float64) * per_lot
        self.buys, self.sells = opened[:, 0], opened[:, 1]
        returns = np.column_stack([slot.days.returns()[1] for slot in state.by_index])
        sigmas = np.column_stack([ewma_sigma(column) for column in returns.T])
        moves = returns / sigmas[:-1] * sigmas[-1]
        self.falls, self.rises = np.minimum(moves, 0.0), np.maximum(moves, 0.0)
        self.var_at, self.tail_rows = math.ceil(DAYS / 100) - 1, DAYS / 40
        self.rates = np.array([[tier.maintenance_rate_e8 / E8 + 2 * FEE_E8 / E8] for tier in TIERS])
        self.deductions = np.array([[tier.deduction_e8 / EQUITY_E8] for tier in TIERS])
        floor, wide = limits.liquidation_distance_min_e8 / E8, limits.liquidation_sigmas_min_e2 / 100
        self.asked = np.maximum(floor, wide * sigmas[-1])
        self.most = np.array(
            [limits.var99_max_e8, limits.es975_max_e8, limits.gross_leverage_max_e8, limits.net_leverage_max_e8, limits.margin_ratio_max_e8]
        )

    def check(self, index: int, order: float) -> tuple[bool, float, float]:
        """Whether every row of the account holds, VaR and ES."""
        low, high = self.held - self.sells, self.held + self.buys
        (high if order > 0 else low)[index] += order
        worst = np.maximum(np.abs(low), np.abs(high))
        margins = (worst * self.rates - self.deductions).max(axis=0)
        kept = margins.sum()
        liquidated = (1.0 - kept) / worst  # how far each mark may go, its own margin as it is
        pnl = self.falls @ high + self.rises @ low
        whole = math.floor(self.tail_rows)
        tail = np.partition(pnl, (self.var_at, whole))[: whole + 1]
        tail.sort()
        beyond = tail[:whole].sum() + (self.tail_rows - whole) * tail[whole]
        var, es = -float(tail[self.var_at]), -float(beyond) / self.tail_rows
        net = abs((high if order > 0 else low).sum())
        holds = (np.array((var, es, worst.sum(), net, kept)) * E8 <= self.most).all() and (liquidated > self.asked).all()
        return bool(holds), var, es


def us_a_call(work: Callable[[int], object], calls: int, rounds: int) -> float:
    """Microseconds of CPU a call, the best of several rounds."""
    taken = []
    for _ in range(rounds):
        start = time.process_time_ns()
        for n in range(calls):
            work(n)
        taken.append((time.process_time_ns() - start) / calls / 1_000)
    return min(taken)


def order(name: str, instrument: str, side: Side, lots: int, limit: int = 0) -> OrderIntent:
    return OrderIntent(
        client_order_id=name, decision_id="d", strategy="bench", instrument=instrument, side=side, qty_lots=lots, limit_ticks=limit,
        kind=OrderKind.LIMIT if limit else OrderKind.MARKET, time_in_force=TimeInForce.GTC if limit else TimeInForce.IOC,
    )  # fmt: skip


def account_of(count: int, limits: Limits) -> Engine:
    """An engine that holds so many positions, each with two orders that rest."""
    rng, ts_ns = np.random.default_rng(1), START_NS + MINUTE_NS
    specs = [
        Instrument(
            instrument_id=f"bench:S{n:03}", base=f"S{n:03}", quote="USDT", tick_e8=10_000_000, lot_e8=100_000, tick_value_e8=TICK_VALUE_E8,
            price_max_ticks=10_000_000, order_qty_min_lots=1, order_qty_max_lots=1_000_000, market_qty_max_lots=1_000_000,
            position_max_lots=2_000_000, notional_min_e8=5 * E8, maker_fee_e8=20_000, taker_fee_e8=FEE_E8, leverage_max_e2=10_000,
            tiers=TIERS, funding_interval_ns=8 * 3_600 * NS_PER_S, price_collar_bps=100,
        )
        for n in range(count)
    ]  # fmt: skip
    settings = EngineSettings(
        run_id="bench", account="bench", strategy="bench", params={}, wallet_e8=EQUITY_E8, start_ts_ns=START_NS, interval_ns=MINUTE_NS,
        limits=limits, stop_distance_frac_e8=5_000_000,
    )  # fmt: skip
    engine = Engine(settings, specs, Nobody())
    for spec in specs:
        path = np.cumprod(1 + np.clip(rng.standard_t(5, DAYS + 1) * 0.01, -0.2, 0.2))
        closes = tuple(int(close) for close in path / path[-1] * MARK)
        engine.step(DailyHistory(START_NS, spec.instrument_id, START_NS, closes))
    lots = int(GROSS / count * EQUITY_E8) // (MARK * TICK_VALUE_E8)
    for n, spec in enumerate(specs):
        name = spec.instrument_id
        news = BarClosed(ts_ns, name, START_NS, MARK, MARK, MARK, MARK, 10**9)
        engine.step(news)
        first = order(f"h{n}", name, Side.BUY if n % 2 else Side.SELL, lots)
        resting = [
            order(f"b{n}", name, Side.BUY, max(1, lots // 10), MARK - 200),
            order(f"s{n}", name, Side.SELL, max(1, lots // 10), MARK + 200),
        ]
        approved = (OrderSent(approved=ApprovedOrder(order=one, limits_version=limits.version)) for one in (first, *resting))
        engine.apply(news, tuple(approved))
        engine.step(OrderFilled(ts_ns, f"f{n}", first.client_order_id, name, first.side, lots, MARK, 0, Liquidity.TAKER, 0))
    engine.state.ts_ns = engine.state.books_ts_ns = ts_ns + QUIET_NS
    return engine


def gate_rows(count: int, *, quick: bool) -> list[str]:
    """Rows of the table: the gate per order on the book as it stands, on one whose mark has moved, and how far NumPy's answer is away."""
    limits = Limits.from_plain(Configured().engine_values())
    engine, gate = account_of(count, limits), Gate(limits)
    state, plain = engine.state, NumpyGate(engine, limits)
    lots = int(ORDER * EQUITY_E8) // (MARK * TICK_VALUE_E8)
    asked = [
        (slot.index, order(f"n{slot.index}", slot.instrument, side, lots, MARK))
        for slot in state.by_index
        for side in (Side.BUY, Side.SELL)
    ]
    apart, size = 0.0, len(asked)
    for index, one in asked:
        at = engine.situation(one)
        answer, found = gate.check(one, at, state.gate), at.book.tail(at, one.signed_lots, MARK) if at.book is not None else None
        holds, var, es = plain.check(index, one.signed_lots * MARK * TICK_VALUE_E8 / EQUITY_E8)
        if isinstance(answer, Refusal) or found is None or not holds:
            raise SystemExit(f"the gate says {answer}, NumPy {holds}: the order was to pass")
        apart = max(apart, abs(found.var99_e8 / E8 - var), abs(found.es975_e8 / E8 - es))

    def ask(n: int) -> object:
        one = asked[n % size][1]
        return gate.check(one, engine.situation(one), state.gate)

    def ask_plain(n: int) -> object:
        index, one = asked[n % size]
        return plain.check(index, one.signed_lots * MARK * TICK_VALUE_E8 / EQUITY_E8)

    def moved(n: int) -> object:
        state.marks[n * 7 % count] = MARK + n % 13
        return ask(n)

    calls, rounds = (CALLS // 4, 2) if quick else (CALLS, ROUNDS)
    taken = [tuple(us_a_call(work, calls, 1) for work in (ask, ask_plain, moved)) for _ in range(rounds)]
    ours, numpys, after = map(min, zip(*taken, strict=True))  # by turns: whatever else the machine does meets all three
    return [
        f"| {count} held, {DAYS:,} | the gate per order (aim 20), all rows | {ours:.1f} | {numpys:.1f} | {numpys / ours:.1f} |",
        f"| {count} held, {DAYS:,} | the same, once a mark has moved | {after:.1f} | - | - |",
        f"| {count} held, {DAYS:,} | largest difference of VaR and ES | {apart:.0e} | | |",
    ]
