"""Which fills should have happened: from the orders that were sent and the price files alone, by the written rules.

docs/matching.md in Decimal: an order meets the open of the first bar that closes after its arrival, pays half the spread
and an impact in proportion to its share of the volume, and rests if it is a limit that the price does not cover; what
rests fills at its limit when a later price goes through it. Nothing of `kedge` is imported.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any, NamedTuple

from .decimal_ledger import PriceFile, records_of, scaled

FOREVER = 2**63


class Fill(NamedTuple):
    """A trade: when, what, signed quantity and price in the file's own units, and its role."""

    ts_ns: int
    instrument: str
    signed: Decimal
    price: Decimal
    role: str


@dataclass
class Order:
    """An order as it left, and when it was called back."""

    sign: int
    is_market: bool
    limit_ticks: int
    left: int
    reduce_only: bool
    sent_ns: int
    arrival_ns: int
    cancelled_ns: int = FOREVER
    rests: bool = False


@dataclass
class Rules:
    """The costs of the run, and each instrument's step sizes by the time from which they hold."""

    half_spread_ticks: int
    impact: Decimal
    participation: Decimal
    steps: dict[str, list[tuple[int, Decimal, Decimal]]]

    def grid(self, name: str, open_ns: int) -> tuple[Decimal, Decimal]:
        """Tick and lot of a bar that opens at `open_ns`."""
        _, tick, lot = [step for step in self.steps[name] if step[0] <= open_ns][-1]
        return tick, lot

    def changed_between(self, name: str, sent_ns: int, open_ns: int) -> bool:
        return any(sent_ns <= from_ns <= open_ns for from_ns, _, _ in self.steps[name][1:])


def actual_fills(journal: Path) -> list[Fill]:
    """The fills that the journal holds."""
    records = records_of(journal, quiet_bars=False)
    steps = {i["instrument_id"]: (scaled(i["tick_e8"]), scaled(i["lot_e8"])) for i in next(records)["instruments"]}
    fills = []
    for event in (record["event"] for record in records):
        if event["type"] == "instrument_changed":
            new = event["instrument"]
            steps[new["instrument_id"]] = scaled(new["tick_e8"]), scaled(new["lot_e8"])
        elif event["type"] == "fill":
            tick, lot = steps[event["instrument"]]
            signed = event["qty_lots"] * lot * (1 if event["side"] == "buy" else -1)
            fills.append(Fill(event["ts_ns"], event["instrument"], signed, event["price_ticks"] * tick, event["liquidity"]))
    return fills


def expected_fills(journal: Path, prices: Mapping[str, PriceFile]) -> list[Fill]:
    """The fills that the orders of this journal should have had."""
    rules, orders = _read(journal)
    fills = [fill for name, sent in orders.items() for fill in _Market(name, prices[name], rules).play(sent)]
    return sorted(fills, key=lambda fill: (fill.ts_ns, fill.instrument))


def _read(journal: Path) -> tuple[Rules, dict[str, list[Order]]]:
    records = records_of(journal, quiet_bars=False)
    started = next(records)
    costs, latency_ns = started["settings"]["costs"], started["settings"]["venue"]["latency_ns"]
    rules = Rules(
        costs["half_spread_ticks"],
        Decimal(costs["impact_bps"]) / 10_000,
        scaled(costs["participation_e8"]),
        {i["instrument_id"]: [(0, scaled(i["tick_e8"]), scaled(i["lot_e8"]))] for i in started["instruments"]},
    )
    orders: dict[str, list[Order]] = defaultdict(list)
    by_id: dict[str, Order] = {}
    now_ns = 0
    for record in records:
        event = record["event"]
        now_ns = max(now_ns, event["ts_ns"])
        _note(event, rules, by_id)
        for output in record.get("outputs", ()):
            if output["type"] == "send":
                plain = output["approved"]["order"]
                by_id[plain["client_order_id"]] = order = _order(plain, now_ns, latency_ns)
                orders[plain["instrument"]].append(order)
            elif output["type"] == "cancel":
                by_id[output["client_order_id"]].cancelled_ns = now_ns
    return rules, orders


def _note(event: Mapping[str, Any], rules: Rules, by_id: Mapping[str, Order]) -> None:
    if event["type"] == "instrument_changed":
        new = event["instrument"]
        rules.steps[new["instrument_id"]].append((new["valid_from_ns"], scaled(new["tick_e8"]), scaled(new["lot_e8"])))
    elif event["type"] == "rejected":
        by_id[event["client_order_id"]].left = 0
    assert event.get("cause", "trade") == "trade", "a liquidation is not foreseen here"


def _order(plain: Mapping[str, Any], now_ns: int, latency_ns: int) -> Order:
    return Order(
        1 if plain["side"] == "buy" else -1,
        plain["kind"] == "market",
        plain["limit_ticks"],
        plain["qty_lots"],
        plain["reduce_only"],
        now_ns,
        now_ns + latency_ns,
    )


class _Market:
    """One instrument's bars meeting its orders."""

    def __init__(self, name: str, file: PriceFile, rules: Rules) -> None:
        self.name, self.file, self.rules = name, file, rules
        self.position = 0
        self.fills: list[Fill] = []

    def play(self, sent: list[Order]) -> list[Fill]:
        waiting, at = list(sent), 0
        live: list[Order] = []
        while waiting or live:
            if not live:
                at = max(at, self.file.first_closing_after(waiting[0].arrival_ns))
            if at >= len(self.file):
                break
            close_ns = self.file.opens_ns[at] + self.file.interval_ns
            while waiting and waiting[0].arrival_ns < close_ns:
                live.append(waiting.pop(0))
            live = self._bar(at, live)
            at += 1
        return self.fills

    def _bar(self, at: int, live: list[Order]) -> list[Order]:
        """Everything that one bar does to these orders; returns those that stay."""
        open_ns = self.file.opens_ns[at]
        close_ns = open_ns + self.file.interval_ns
        live = [o for o in live if o.cancelled_ns > open_ns and not self.rules.changed_between(self.name, o.sent_ns, open_ns)]
        self.tick, self.lot = self.rules.grid(self.name, open_ns)
        self.volume = int((self.file.price("volume", at) / self.lot).to_integral_value(ROUND_FLOOR))
        self.room = int((self.volume * self.rules.participation).to_integral_value(ROUND_FLOOR))
        for order in live:
            if not order.rests:
                self._arrive(at, order, max(open_ns, order.arrival_ns))
        for order in live:
            if order.rests and order.left and order.cancelled_ns >= close_ns:
                self._rest(at, order, close_ns)
        return [o for o in live if o.left and o.rests]

    def _arrive(self, at: int, order: Order, ts_ns: int) -> None:
        lots = min(order.left, self.room)
        open_ticks = self._ticks("open", at)
        if lots > 0:
            impact = (open_ticks * self.rules.impact * lots / self.volume).to_integral_value(ROUND_CEILING)
            price = max(1, open_ticks + order.sign * (self.rules.half_spread_ticks + int(impact)))
            if order.is_market or order.sign * price <= order.sign * order.limit_ticks:
                self._trade(order, lots, price, ts_ns, "taker")
        order.rests = not order.is_market
        if order.is_market:
            order.left = 0

    def _rest(self, at: int, order: Order, close_ns: int) -> None:
        through = self._ticks("low", at) < order.limit_ticks if order.sign > 0 else self._ticks("high", at) > order.limit_ticks
        lots = min(order.left, self.room)
        if through and lots > 0:
            self._trade(order, lots, order.limit_ticks, close_ns, "maker")

    def _trade(self, order: Order, lots: int, price_ticks: int, ts_ns: int, role: str) -> None:
        taken = lots
        if order.reduce_only:
            lots = min(lots, max(0, -order.sign * self.position))
        self.room -= taken
        order.left = 0 if lots < taken else order.left - lots
        if lots:
            self.position += order.sign * lots
            self.fills.append(Fill(ts_ns, self.name, order.sign * lots * self.lot, price_ticks * self.tick, role))

    def _ticks(self, column: str, at: int) -> int:
        ticks = self.file.price(column, at) / self.tick
        assert ticks == int(ticks)
        return int(ticks)
