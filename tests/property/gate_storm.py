"""A storm of random orders on random books, and a checker that knows nothing of the gate.

Rules: every order goes the way of an engine's own orders, through its gate, with limits, instruments, histories, positions, fills, cancels
and prices drawn from a seed. The checker keeps books of its own, by plain arithmetic, and looks at them after every acceptance: everything
that is open, acknowledged or not, counted as filled on the side that hurts. What is refused has to name code, value and limit.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from kedge.domain.events import BarClosed, DailyHistory, OrderCanceled, OrderFilled
from kedge.domain.instrument import Instrument, RiskTier
from kedge.domain.orders import ApprovedOrder, Liquidity, OrderIntent, OrderKind, Side, TimeInForce
from kedge.domain.outputs import OrderSent
from kedge.domain.units import E8
from kedge.engine.engine import Engine
from kedge.engine.settings import EngineSettings
from kedge.ops.settings import Limits as Configured
from kedge.risk.gate_state import Refusal
from kedge.risk.limits import Limits
from kedge.risk.var.filters import ewma_sigma

MINUTE_NS: Final = 60 * 10**9
START_NS: Final = 1_699_920_000 * 10**9
PRODUCT: Final = Limits.from_plain(Configured().engine_values())
TAIL_SLACK: Final = 1e-5
"""Scenarios are summed in quanta: far finer than any limit, and not to the last bit."""
T_VAR99, T_ES975, PRIOR = 2.6064635693842795, 2.727802071641669, 0.05


class Nobody:
    """A strategy that wants nothing: the storm makes the orders."""

    name, features = "storm", ()

    def on_event(self, view: Any) -> tuple[()]:
        return ()


@dataclass
class Result:
    """What a storm saw; `breaches` names what got through, `silent` refusals without code, value or limit."""

    tried: int = 0
    accepted: int = 0
    shifted: int = 0
    refusals: dict[str, int] = field(default_factory=dict)
    breaches: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)


class Open(NamedTuple):
    """An order that may still fill, in the checker's books."""

    order: OrderIntent
    left: int


class Checker:
    """Books of the checker's own, and every row recomputed from them."""

    def __init__(self, specs: dict[str, Instrument], limits: Limits, wallet: int, closes: dict[str, list[int]], stop_frac_e8: int) -> None:
        self.specs, self.limits, self.wallet, self.stop = specs, limits, wallet, Fraction(stop_frac_e8, E8)
        self.lots = dict.fromkeys(specs, 0)
        self.cost = dict.fromkeys(specs, 0)
        self.mark = dict.fromkeys(specs, 0)
        self.open: dict[str, Open] = {}
        self.returns = {name: np.array(c, float)[1:] / np.array(c, float)[:-1] - 1 for name, c in closes.items() if len(c) > 1}
        self.sigmas = {name: ewma_sigma(r) for name, r in self.returns.items() if len(r) >= 20}

    def fill(self, name: str, ticks: int) -> None:
        """The whole rest of an order trades, without a fee."""
        held = self.open.pop(name)
        order, value = held.order, self.specs[held.order.instrument].tick_value_e8
        self.lots[order.instrument] += held.left if order.side is Side.BUY else -held.left
        self.cost[order.instrument] += (held.left if order.side is Side.BUY else -held.left) * ticks * value

    def equity(self) -> int:
        return self.wallet + sum(
            self.lots[name] * self.mark[name] * spec.tick_value_e8 - self.cost[name] for name, spec in self.specs.items()
        )

    def ends(self, name: str) -> tuple[int, int]:
        """Lowest and highest position that can come of what is open."""
        mine = [one for one in self.open.values() if one.order.instrument == name]
        buys = sum(one.left for one in mine if one.order.side is Side.BUY)
        return self.lots[name] - (sum(one.left for one in mine) - buys), self.lots[name] + buys

    def worst(self, name: str) -> int:
        """Largest notional at the mark."""
        return max(abs(end) for end in self.ends(name)) * self.mark[name] * self.specs[name].tick_value_e8

    def check(self, order: OrderIntent) -> list[str]:
        """What is breached, after this order was accepted and stands among the open ones."""
        equity, spec = self.equity(), self.specs[order.instrument]
        before = self.lots[order.instrument]
        signed = order.qty_lots if order.side is Side.BUY else -order.qty_lots
        others = [one for one in self.open.values() if one.order.instrument == order.instrument and one.order is not order]
        same_side = sum(one.left for one in others if one.order.side is order.side)
        reduces = before * signed < 0 and same_side + order.qty_lots <= abs(before)
        found = self._order(order, spec, equity, others, reduces=reduces)
        if reduces:
            return found
        if equity <= 0:
            return [*found, "risk without equity"]
        return [*found, *self._book(order, equity), *self._margin(equity), *self._tail(equity)]

    def _order(self, order: OrderIntent, spec: Instrument, equity: int, others: list[Open], *, reduces: bool) -> list[str]:
        limits, mark = self.limits, self.mark[order.instrument]
        at = max(order.limit_ticks, mark) if order.side is Side.BUY else mark
        notional = order.qty_lots * at * spec.tick_value_e8
        way_out = order.reduce_only and reduces and order.qty_lots <= spec.order_qty_min_lots
        rows = {
            "order notional": notional * E8 > max(0, equity) * limits.order_notional_frac_max_e8 and not way_out,
            "order quantity": order.kind is OrderKind.LIMIT and not spec.order_qty_min_lots <= order.qty_lots <= spec.order_qty_max_lots,
            "market quantity": order.kind is OrderKind.MARKET and not spec.order_qty_min_lots <= order.qty_lots <= spec.market_qty_max_lots,
            "collar": order.kind is OrderKind.LIMIT and abs(order.limit_ticks - mark) * 10_000 > spec.price_collar_bps * mark,
            "open orders": len(self.open) > limits.open_orders_total_max or len(others) >= limits.open_orders_instrument_max,
            "self trade": any(self._crosses(order, one.order) for one in others),
        }
        return [name for name, is_broken in rows.items() if is_broken]

    def _crosses(self, order: OrderIntent, resting: OrderIntent) -> bool:
        if resting.side is order.side or resting.kind is OrderKind.MARKET:
            return False
        if order.kind is OrderKind.MARKET:
            return True
        return order.limit_ticks >= resting.limit_ticks if order.side is Side.BUY else order.limit_ticks <= resting.limit_ticks

    def _book(self, order: OrderIntent, equity: int) -> list[str]:
        limits, spec = self.limits, self.specs[order.instrument]
        worst = {name: self.worst(name) for name in self.specs}
        ends = {name: self.ends(name) for name in self.specs}
        side = 1 if order.side is Side.BUY else 0
        net = abs(sum(ends[name][side] * self.mark[name] * one.tick_value_e8 for name, one in self.specs.items()))
        mine = worst[order.instrument]
        lost = mine * (self.stop + Fraction(max(0, spec.taker_fee_e8), E8))
        rows = {
            "position quantity": max(abs(end) for end in ends[order.instrument]) > spec.position_max_lots,
            "position notional": mine * E8 > equity * limits.position_notional_frac_max_e8,
            "gross": sum(worst.values()) * E8 > equity * limits.gross_leverage_max_e8,
            "net": net * E8 > equity * limits.net_leverage_max_e8,
            "bracket": mine > spec.tiers[-1].notional_max_e8,
            "loss at the stop": bool(self.stop) and lost > Fraction(limits.trade_risk_frac_max_e8, E8) * equity,
        }
        return [name for name, is_broken in rows.items() if is_broken]

    def maintenance(self, name: str, notional: Fraction) -> Fraction:
        """The largest of the brackets' lines, and closing at twice the taker fee."""
        spec = self.specs[name]
        lines = [notional * Fraction(tier.maintenance_rate_e8, E8) - tier.deduction_e8 for tier in spec.tiers]
        return max(Fraction(0), *lines) + notional * Fraction(2 * max(0, spec.taker_fee_e8), E8)

    def _margin(self, equity: int) -> list[str]:
        """Each mark moved against us by the distance that has to be kept: the account has to stand there."""
        limits, found = self.limits, []
        kept = {name: self.maintenance(name, Fraction(self.worst(name))) for name in self.specs}
        if sum(kept.values()) > Fraction(limits.margin_ratio_max_e8, E8) * equity:
            found.append("margin ratio")
        for name, spec in self.specs.items():
            sigma = float(self.sigmas[name][-1]) if name in self.sigmas else PRIOR
            asked = max(limits.liquidation_distance_min_e8 / E8, limits.liquidation_sigmas_min_e2 / 100 * sigma) - 1e-7
            others = sum(kept.values()) - kept[name]
            for lots in self.ends(name):
                value = abs(lots) * self.mark[name] * spec.tick_value_e8
                there = value * (1 - Fraction(min(1.0, asked)) if lots > 0 else 1 + Fraction(asked))
                if value and equity - abs(there - value) <= others + self.maintenance(name, there):
                    found.append(f"liquidation of {name}")
        return found

    def _tail(self, equity: int) -> list[str]:
        """VaR and ES by floating point, order statistics and all, every open order filled in just those days in which it hurts."""
        known = [name for name in self.specs if len(self.returns.get(name, ())) >= 250]
        var = es = 0.0
        if known:
            days = len(self.returns[known[0]])
            pnl = np.zeros(days)
            for name in known:
                moves = self.returns[name] / self.sigmas[name][:-1] * self.sigmas[name][-1]
                low, high = (end * self.mark[name] * self.specs[name].tick_value_e8 / equity for end in self.ends(name))
                pnl += np.where(moves < 0, high, low) * moves
            tail = np.sort(pnl)
            in_var, in_es = Fraction(days, 100), Fraction(days, 40)
            whole = math.floor(in_es)
            var = -tail[math.ceil(in_var) - 1]
            es = -(tail[:whole].sum() + float(in_es - whole) * tail[whole]) / float(in_es)
        for name in set(self.specs) - set(known):
            sigma = float(self.sigmas[name][-1]) if name in self.sigmas else PRIOR
            var += sigma * T_VAR99 * self.worst(name) / equity
            es += sigma * T_ES975 * self.worst(name) / equity
        rows = {"VaR": (var, self.limits.var99_max_e8), "ES": (es, self.limits.es975_max_e8)}
        return [f"{name} {at:.6f}" for name, (at, limit) in rows.items() if limit and at > limit / E8 * (1 + TAIL_SLACK)]


class Storm:
    """One epoch: an engine, its limits and markets from a seed, and the checker beside it."""

    def __init__(self, seed: int, result: Result) -> None:
        self.rng, self.result = random.Random(seed), result
        rng, self.ts_ns, self.made = self.rng, START_NS, 0
        count = rng.choice((1, 2, 2, 3, 4))
        self.specs = {f"storm:S{n}": _instrument(f"storm:S{n}", rng) for n in range(count)}
        self.limits, stop = _limits(rng), rng.choice((0, 5_000_000, 10_000_000))
        wallet = rng.randint(1_000, 200_000) * E8
        settings = EngineSettings(
            run_id="storm", account="storm", strategy="storm", params={}, wallet_e8=wallet, start_ts_ns=START_NS, interval_ns=MINUTE_NS,
            limits=self.limits, stop_distance_frac_e8=stop,
        )  # fmt: skip
        self.engine = Engine(settings, list(self.specs.values()), Nobody())
        self.worker = self.engine._decide.__self__.worker  # type: ignore[attr-defined]
        closes = self._history()
        self.checker = Checker(self.specs, self.limits, wallet, closes, stop)
        for name, past in closes.items():
            if past:
                self.engine.step(DailyHistory(START_NS, name, START_NS, tuple(past)))
        self.price = {name: past[-1] if past else rng.randint(500, 50_000) for name, past in closes.items()}
        self.likes = {name: rng.choice((Side.BUY, Side.SELL)) for name in self.specs}
        self._bars()

    def run(self, orders: int) -> None:
        """Try so many orders."""
        for _ in range(orders):
            self.ts_ns += self.rng.randint(1, 8) * 10**9
            if self.rng.random() < 0.3:
                self._bars()
            if self.rng.random() < 0.6:
                self._end_one()
            self._try(self._order())
            if self.engine.state.risk_state.value != "running":
                return

    def _history(self) -> dict[str, list[int]]:
        """Some markets have a year or two, all of the same days, some a month, some nothing."""
        rng = np.random.default_rng(self.rng.randint(0, 2**32))
        days = self.rng.choice((260, 400))
        common, found = rng.normal(0, 0.02, days), {}
        for name in self.specs:
            own = rng.standard_t(5, days) * self.rng.uniform(0.005, 0.03)
            closes = [int(c) for c in 20_000 * np.cumprod(1 + np.clip(common + own, -0.4, 0.4)) + 500]
            found[name] = closes[-self.rng.choice((days, days, days, 30, 0)) or days + 1 :]
        return found

    def _bars(self) -> None:
        self.ts_ns = (self.ts_ns // MINUTE_NS + 1) * MINUTE_NS
        for name in self.specs:
            ticks = self.price[name] = max(100, int(self.price[name] * (1 + self.rng.gauss(0, 0.002))))
            self.engine.step(BarClosed(self.ts_ns, name, self.ts_ns - MINUTE_NS, ticks, ticks, ticks, ticks, 10**9))
            self.checker.mark[name] = ticks

    def _end_one(self) -> None:
        """An open order fills at the mark, or is cancelled."""
        if not self.checker.open:
            return
        name = self.rng.choice(list(self.checker.open))
        held = self.checker.open[name]
        if self.rng.random() < 0.75:
            ticks = self.checker.mark[held.order.instrument]
            self.engine.step(
                OrderFilled(self.ts_ns, f"f{name}", name, held.order.instrument, held.order.side, held.left, ticks, 0, Liquidity.TAKER, 0)
            )
            self.checker.fill(name, ticks)
        else:
            self.engine.step(OrderCanceled(self.ts_ns, name, "storm"))
            del self.checker.open[name]

    def _order(self) -> OrderIntent:
        rng = self.rng
        name = rng.choice(list(self.specs))
        spec, mark = self.specs[name], self.checker.mark[name]
        equity = max(E8, self.checker.equity())
        lots = int(equity * 10 ** rng.uniform(-3.0, 0.3)) // (mark * spec.tick_value_e8)
        side, limit = self.likes[name] if rng.random() < 0.8 else rng.choice((Side.BUY, Side.SELL)), 0
        if rng.random() < 0.5:
            limit = max(1, int(mark * (1 + rng.gauss(0, 0.006))))
        if rng.random() < 0.25 and self.checker.lots[name]:
            held = self.checker.lots[name]
            side, lots = (Side.SELL if held > 0 else Side.BUY), int(abs(held) * rng.uniform(0.1, 1.2))
        self.made += 1
        return OrderIntent(
            client_order_id=f"o{self.made}", decision_id=f"d{self.made}", strategy="storm", instrument=name, side=side,
            kind=OrderKind.LIMIT if limit else OrderKind.MARKET, time_in_force=TimeInForce.GTC if limit else TimeInForce.IOC,
            qty_lots=max(1, lots), limit_ticks=limit, reduce_only=rng.random() < 0.1,
        )  # fmt: skip

    def _try(self, order: OrderIntent) -> None:
        result = self.result
        result.tried += 1
        answer = self._answer(order)
        if isinstance(answer, Refusal):
            result.refusals[answer.code] = result.refusals.get(answer.code, 0) + 1
            if answer.code in ("", "GATE_FAILED") or not answer.observed or not answer.limit:
                result.silent.append(f"{answer} for {order}")
            return
        self._try_shifted(order)
        result.accepted += 1
        self.engine._fold.absorb(OrderSent(approved=answer))
        self.checker.open[order.client_order_id] = Open(order, order.qty_lots)
        for breach in self.checker.check(order):
            result.breaches.append(f"{breach}: {order}")

    def _try_shifted(self, order: OrderIntent) -> None:
        """An order that passes, with its decimal point moved or its price and quantity swapped, has to be refused where it would matter."""
        spec, mark = self.specs[order.instrument], self.checker.mark[order.instrument]
        share = order.qty_lots * mark * spec.tick_value_e8 / max(1, self.checker.equity())
        wrong = [msgspec.structs.replace(order, qty_lots=order.qty_lots * factor) for factor in (10, 100) if share * factor > 1.01]
        if order.limit_ticks and abs(order.qty_lots - mark) * 100 > 5 * mark:
            wrong.append(msgspec.structs.replace(order, qty_lots=order.limit_ticks, limit_ticks=order.qty_lots))
        for one in wrong:
            self.result.shifted += 1
            answer = self._answer(one)
            if isinstance(answer, ApprovedOrder):
                self.result.breaches.append(f"shifted: {one}")
            elif not (answer.code and answer.observed and answer.limit):
                self.result.silent.append(f"{answer} for {one}")

    def _answer(self, order: OrderIntent) -> ApprovedOrder | Refusal:
        state = self.engine.state
        state.ts_ns = max(state.ts_ns, self.ts_ns)
        slot = state.slots[order.instrument]
        situation = self.worker._situation(slot, int(state.marks[slot.index]), order.side)
        answer: ApprovedOrder | Refusal = self.worker.gate.check(order, situation, state.gate)
        return answer


def storm(orders: int, seed: int, *, epoch: int = 400) -> Result:
    """So many orders in epochs of their own, every draw from the seed."""
    result, begun = Result(), 0
    while result.tried < orders:
        Storm(seed * 1_000_003 + begun, result).run(min(epoch, orders - result.tried))
        begun += 1
    return result


def _instrument(name: str, rng: random.Random) -> Instrument:
    tick_e8, lot_e8 = rng.choice((1_000_000, 10_000_000)), rng.choice((100_000, 1_000_000))
    rate = rng.choice((500_000, 1_000_000, 2_000_000))
    first = rng.choice((20_000, 200_000))
    tiers = (
        RiskTier(notional_max_e8=first * E8, maintenance_rate_e8=rate, deduction_e8=0, leverage_max_e2=5_000),
        RiskTier(
            notional_max_e8=first * 20 * E8, maintenance_rate_e8=2 * rate, deduction_e8=first * E8 * rate // E8, leverage_max_e2=2_000
        ),
    )
    return Instrument(
        instrument_id=name, base=name[-2:], quote="USDT", tick_e8=tick_e8, lot_e8=lot_e8, tick_value_e8=tick_e8 * lot_e8 // E8,
        price_max_ticks=1_000_000, order_qty_min_lots=1, order_qty_max_lots=rng.choice((100_000, 3_000_000)),
        market_qty_max_lots=rng.choice((50_000, 3_000_000)), position_max_lots=rng.choice((200_000, 5_000_000)),
        notional_min_e8=5 * E8, maker_fee_e8=0, taker_fee_e8=rng.choice((0, 55_000)), leverage_max_e2=5_000, tiers=tiers,
        funding_interval_ns=8 * 3600 * 10**9, price_collar_bps=rng.choice((100, 300)),
    )  # fmt: skip


def _limits(rng: random.Random) -> Limits:
    """The product's limits, with rows moved so that each of them binds somewhere; neither losses nor messages end the storm."""
    wide = rng.random() < 0.5
    changed: dict[str, int] = {
        "daily_loss_soft_e8": E8, "daily_loss_reduce_e8": E8, "daily_loss_halt_e8": E8, "drawdown_soft_e8": E8, "drawdown_reduce_e8": E8,
        "drawdown_halt_e8": E8, "messages_per_fill_max": 100_000, "decisions_max": 0, "fill_deviation_bps_max": 0,
        "fat_finger_volume_frac_e8": E8, "order_notional_frac_max_e8": rng.choice((15_000_000, 60_000_000)),
        "position_notional_frac_max_e8": rng.choice((60_000_000, E8)), "gross_leverage_max_e8": rng.choice((120_000_000, 600_000_000)),
        "var99_max_e8": 0 if wide else rng.choice((3_500_000, 10_000_000)),
        "es975_max_e8": 0 if wide else rng.choice((4_000_000, 12_000_000)),
        "margin_ratio_max_e8": rng.choice((1_000_000, 30_000_000)), "liquidation_distance_min_e8": rng.choice((20_000_000, 60_000_000)),
        "liquidation_distance_soft_e8": 90_000_000, "liquidation_sigmas_soft_e2": 3_000,
        "liquidation_sigmas_min_e2": rng.choice((500, 2_500)), "trade_risk_frac_max_e8": rng.choice((2_000_000, 9_000_000)),
        "open_orders_instrument_max": rng.choice((3, 20)),
    }  # fmt: skip
    if wide:
        changed |= {"var99_soft_e8": 0, "es975_soft_e8": 0}
    changed["net_leverage_max_e8"] = rng.choice((100_000_000, changed["gross_leverage_max_e8"]))
    changed["margin_ratio_soft_e8"] = 500_000
    soft = {"position_notional_frac_soft_e8": 20_000_000, "order_notional_frac_soft_e8": 10_000_000, "gross_leverage_soft_e8": 110_000_000}
    return msgspec.structs.replace(PRODUCT, **changed, **soft)
