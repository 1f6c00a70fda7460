"""A second set of books for a finished run: plain Decimal and Fraction over the journal's own text and the price files.

Rules: nothing of `kedge` is imported, so that an error there cannot hide here. The journal is read as SQLite and JSON,
prices and funding with polars; every money figure is a Decimal in the quote currency. Average cost is a Fraction, fees and
funding are worked out again from rate and notional, drawdown from the closes of the files.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, getcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl

getcontext().prec = 60
UNIT = Decimal("0.00000001")
MS = 1_000_000


def records_of(journal: Path, *, quiet_bars: bool = True) -> Iterator[dict[str, Any]]:
    """The first record and the steps, as plain JSON; `quiet_bars=False` leaves out bars after which nothing was wanted."""
    db = sqlite3.connect(f"{journal.resolve().as_uri()}?mode=ro", uri=True)
    try:
        for (body,) in db.execute("SELECT body FROM rows ORDER BY seq"):
            if not quiet_bars and b'"type":"bar"' in body and b'"outputs"' not in body:
                continue
            record = json.loads(body)
            if record["type"] in ("run_started", "step"):
                yield record
    finally:
        db.close()


def exact(value: float) -> Decimal:
    """The decimal that a file's float stands for."""
    return Decimal(repr(value))


def scaled(value_e8: int) -> Decimal:
    return Decimal(value_e8).scaleb(-8)


def ceiling(value: Decimal) -> Decimal:
    return value.quantize(UNIT, ROUND_CEILING)


class PriceFile:
    """Bars of one instrument, straight from its Parquet file."""

    def __init__(self, path: Path) -> None:
        table = pl.read_parquet(path).sort("ts")
        self.opens_ns = [ts * MS for ts in table["ts"].to_list()]
        self.interval_ns = min(later - earlier for earlier, later in zip(self.opens_ns, self.opens_ns[1:], strict=False))
        self.columns = {name: table[name].to_list() for name in ("open", "high", "low", "close", "volume")}

    def __len__(self) -> int:
        return len(self.opens_ns)

    def price(self, name: str, at: int) -> Decimal:
        return exact(self.columns[name][at])

    def bar_opening(self, open_ns: int) -> int:
        at = bisect_left(self.opens_ns, open_ns)
        assert self.opens_ns[at] == open_ns
        return at

    def first_closing_after(self, ts_ns: int) -> int:
        """Number of the first bar whose close lies after `ts_ns`; `len` when there is none."""
        return bisect_left(self.opens_ns, ts_ns - self.interval_ns + 1)

    def close_at(self, ts_ns: int) -> Decimal:
        """Close of the bar that holds or ends at `ts_ns`, else of the last one before."""
        at = self.first_closing_after(ts_ns - 1)
        inside = at < len(self) and self.opens_ns[at] < ts_ns
        return self.price("close", at if inside else at - 1)

    @property
    def span_ns(self) -> tuple[int, int]:
        return self.opens_ns[0], self.opens_ns[-1] + self.interval_ns


@dataclass
class Grid:
    """The step sizes and fees that are in force."""

    tick: Decimal
    lot: Decimal
    maker: Decimal
    taker: Decimal

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Grid:
        return cls(scaled(record["tick_e8"]), scaled(record["lot_e8"]), scaled(record["maker_fee_e8"]), scaled(record["taker_fee_e8"]))


@dataclass
class Holding:
    """One instrument's position: signed quantity, and what it cost."""

    qty: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    history: list[tuple[int, Decimal]] = field(default_factory=list)
    round_trips: int = 0

    def trade(self, ts_ns: int, signed: Decimal, price: Decimal) -> Decimal:
        """Average-cost bookkeeping by splitting the trade into a closing and an opening part; returns what was realised."""
        closing = (
            -max(-abs(self.qty), min(abs(self.qty), -signed * _sign(self.qty))) * _sign(self.qty) if self.qty * signed < 0 else Decimal(0)
        )
        realised = Decimal(0)
        if closing:
            share = Fraction(-closing) / Fraction(self.qty)
            released = _half_even(Fraction(self.cost) * share)
            realised = -closing * price - released
            self.cost -= released
            self.round_trips += int(self.qty + closing == 0)
        self.qty += signed
        self.cost += (signed - closing) * price
        self.history.append((ts_ns, self.qty))
        return realised

    def before(self, ts_ns: int) -> Decimal:
        """Quantity held by trades earlier than `ts_ns`: a settlement comes first at its instant."""
        at = bisect_left(self.history, ts_ns, key=lambda entry: entry[0])
        return self.history[at - 1][1] if at else Decimal(0)


def _sign(value: Decimal) -> int:
    return (value > 0) - (value < 0)


def _half_even(value: Fraction) -> Decimal:
    """A fraction in whole 1e-8, nearest, ties to even: Python's own rounding of fractions."""
    return scaled(round(value * 10**8))


@dataclass
class Ledger:
    """What the second set of books says."""

    start: Decimal
    realised: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    funding: Decimal = Decimal(0)
    flows: Decimal = Decimal(0)
    cash: Decimal = Decimal(0)
    peak: Decimal = Decimal(0)
    drawdown: Decimal = Decimal(0)
    holdings: dict[str, Holding] = field(default_factory=dict)
    marks: dict[str, Decimal] = field(default_factory=dict)
    settled: list[tuple[int, str, Decimal]] = field(default_factory=list)
    wrong_fees: list[str] = field(default_factory=list)

    @property
    def wallet(self) -> Decimal:
        return self.start + self.realised - self.fees - self.funding + self.flows

    @property
    def unrealised(self) -> Decimal:
        return sum((h.qty * self.marks[name] - h.cost for name, h in self.holdings.items() if h.qty), Decimal(0))

    @property
    def equity_from_cash(self) -> Decimal:
        """Without any notion of cost or profit: every payment ever made, and what the positions are worth now."""
        worth = sum((h.qty * self.marks[name] for name, h in self.holdings.items() if h.qty), Decimal(0))
        return self.start + self.cash - self.fees - self.funding + self.flows + worth

    @property
    def round_trips(self) -> int:
        return sum(h.round_trips for h in self.holdings.values())

    def mark(self, name: str, price: Decimal) -> None:
        """A new price: the peak rises, the drawdown is measured."""
        self.marks[name] = price
        equity = self.wallet + self.unrealised
        self.peak = max(self.peak, equity)
        self.drawdown = max(self.drawdown, ceiling((self.peak - equity) / self.peak))


def keep_books(journal: Path, prices: Mapping[str, PriceFile]) -> Ledger:
    """Go through a journal's fills, settlements and flows; everything else comes from the price files (by instrument id)."""
    records = records_of(journal)
    started = next(records)
    grids = {i["instrument_id"]: Grid.of(i) for i in started["instruments"]}
    start = scaled(started["settings"]["venue"]["wallet_e8"])
    books = Ledger(start=start, peak=start, holdings={name: Holding() for name in grids})
    for record in records:
        event = record["event"]
        _KINDS.get(event["type"], _nothing)(books, event, grids, prices)
    return books


def _nothing(*_: object) -> None:
    """Orders, answers and timers move no money."""


def _bar(books: Ledger, event: Mapping[str, Any], grids: dict[str, Grid], prices: Mapping[str, PriceFile]) -> None:
    file = prices[event["instrument"]]
    close = file.price("close", file.bar_opening(event["open_ts_ns"]))
    assert event["close_ticks"] * grids[event["instrument"]].tick == close
    books.mark(event["instrument"], close)


def _fill(books: Ledger, event: Mapping[str, Any], grids: dict[str, Grid], _: object) -> None:
    grid, holding = grids[event["instrument"]], books.holdings[event["instrument"]]
    price, qty = event["price_ticks"] * grid.tick, event["qty_lots"] * grid.lot
    signed = qty if event["side"] == "buy" else -qty
    fee = ceiling(price * qty * (grid.maker if event["liquidity"] == "maker" else grid.taker))
    if fee != scaled(event["fee_e8"]):
        books.wrong_fees.append(event["fill_id"])
    books.realised += holding.trade(event["ts_ns"], signed, price)
    books.cash -= signed * price
    books.fees += fee


def _funding(books: Ledger, event: Mapping[str, Any], *_: object) -> None:
    books.funding += scaled(event["paid_e8"])
    books.settled.append((event["ts_ns"], event["instrument"], scaled(event["paid_e8"])))


def _cash(books: Ledger, event: Mapping[str, Any], *_: object) -> None:
    books.flows += scaled(event["amount_e8"])
    books.peak += scaled(event["amount_e8"])


def _changed(books: Ledger, event: Mapping[str, Any], grids: dict[str, Grid], _: object) -> None:
    name = event["instrument"]["instrument_id"]
    grids[name] = Grid.of(event["instrument"])
    if name in books.marks:
        tick = grids[name].tick
        books.mark(name, (books.marks[name] / tick).quantize(Decimal(1), ROUND_HALF_UP) * tick)


_KINDS = {"bar": _bar, "fill": _fill, "funding": _funding, "cash": _cash, "instrument_changed": _changed}


def funding_due(books: Ledger, prices: Mapping[str, PriceFile], settlements: Mapping[str, Path]) -> list[tuple[int, str, Decimal]]:
    """What should have been paid: every rate of the funding files, on the quantity held then, at the bar's close, rounded up."""
    due = []
    first_ns, last_ns = min(p.span_ns[0] for p in prices.values()), max(p.span_ns[1] for p in prices.values())
    for name, path in settlements.items():
        held, file = books.holdings[name], prices[name]
        for ts_ms, rate in pl.read_parquet(path).select("ts", "rate").iter_rows():
            qty = held.before(ts_ms * MS) if first_ns < ts_ms * MS <= last_ns else Decimal(0)
            if qty:
                value = qty * file.close_at(ts_ms * MS)
                due.append((ts_ms * MS, name, ceiling(value * exact(rate).quantize(UNIT, ROUND_HALF_EVEN))))
    return sorted(due)


def total(settled: Sequence[tuple[int, str, Decimal]]) -> Decimal:
    return sum((paid for _, _, paid in settled), Decimal(0))
