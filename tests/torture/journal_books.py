"""A second fold of a trader's journal: its rows as SQLite and JSON, its money as whole numbers of 1e-8; nothing of `kedge` is imported."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

E8 = 10**8
STRANGE = ("books_differ", "adopted", "cash")
"""Events that nothing in a drill can cause: each one is a finding."""

STOP = "stop"
"""The cause of a fill that a position's stop made."""
OLD_TIME = "10002"
"""The venue's code for a request whose time is not within its window."""


@dataclass
class Grid:
    symbol: str
    tick_e8: int
    lot_e8: int


@dataclass
class Sent:
    """An order that the journal says was to be sent, and what became of it by the journal's own events. A limit of 0 is none.

    One that was sent 0 times is somebody else's.
    """

    qty_lots: int
    limit_ticks: int = 0
    times: int = 1
    reduce_only: bool = False
    filled_lots: int = 0
    ends: list[str] = field(default_factory=list)
    ended_ns: int = 0
    """Venue time at which it was over."""

    @property
    def is_over(self) -> bool:
        return bool(self.ends) or self.filled_lots == self.qty_lots


@dataclass
class JournalSays:
    """The books as the journal's events give them."""

    path: Path
    row: int = -1
    count: int = 0
    ts_ns: int = 0
    wallet_e8: int = 0
    grids: dict[str, Grid] = field(default_factory=dict)
    lots: Counter[str] = field(default_factory=Counter)
    cost_e8: Counter[str] = field(default_factory=Counter)
    fills: list[dict[str, Any]] = field(default_factory=list)
    fundings: list[dict[str, Any]] = field(default_factory=list)
    orders: dict[str, Sent] = field(default_factory=dict)
    stops: dict[str, int] = field(default_factory=dict)
    """Instrument to the trigger of its position's stop, in ticks, as the exchange has shown it last; 0 for none."""
    strange: list[str] = field(default_factory=list)
    cancels: int = 0
    bars: Counter[tuple[str, int]] = field(default_factory=Counter)

    @property
    def sent(self) -> set[str]:
        """Its own orders: it also hears of those that others sent."""
        return {name for name, order in self.orders.items() if order.times}

    def read_on(self) -> None:
        """Take in the rows that were written since."""
        db = sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            rows = db.execute("SELECT seq, body FROM rows WHERE seq > ? ORDER BY seq", (self.row,)).fetchall()
        finally:
            db.close()
        for self.row, body in rows:
            record = json.loads(body)
            if record["type"] == "run_started":
                self._start(record)
            elif record["type"] == "step":
                self.count += 1
                if record["seq"] != self.count:
                    self.strange.append(f"record {record['seq']} stands where {self.count} belongs")
                self._event(record["event"])
                for output in record.get("outputs", ()):
                    self._output(output)

    def _start(self, record: dict[str, Any]) -> None:
        self.wallet_e8 = record["settings"]["engine"]["wallet_e8"]
        for one in record["instruments"]:
            name = one["instrument_id"]
            self.grids[name] = Grid(name.partition(":")[2], one["tick_e8"], one["lot_e8"])

    def _event(self, event: dict[str, Any]) -> None:
        kind, self.ts_ns = event["type"], max(self.ts_ns, event.get("ts_ns", 0))
        if kind == "fill":
            self._fill(event)
        elif kind == "funding":
            self.fundings.append(event)
            self.wallet_e8 -= event["paid_e8"]
        elif kind in ("canceled", "rejected", "absent"):
            order = self._order(event["client_order_id"])
            order.ends.append(kind)
            order.ended_ns = self.ts_ns
            if event.get("code") == OLD_TIME:
                self.strange.append(f"signed with an old time: {event}")
        elif kind == "amended":
            self._amended(event)
        elif kind == "stop_placed":
            self.stops[event["instrument"]] = event["stop_ticks"]
        elif kind == "restated":
            self.wallet_e8 += event["cost_e8"] - self.cost_e8[event["instrument"]]
            self.cost_e8[event["instrument"]] = event["cost_e8"]
        elif kind == "bar":
            self.bars[(event["instrument"], event["ts_ns"])] += 1
        elif kind in STRANGE:
            self.strange.append(f"{kind}: {event}")

    def _order(self, name: str) -> Sent:
        if name not in self.orders:
            self.strange.append(f"an event of order {name!r}, which was never sent")
        return self.orders.setdefault(name, Sent(0, times=0))

    def _amended(self, event: dict[str, Any]) -> None:
        order = self._order(event["client_order_id"])
        order.qty_lots, order.limit_ticks = event["qty_lots"], event["limit_ticks"]

    def _fill(self, fill: dict[str, Any]) -> None:
        """Average cost: what is closed releases its share of the cost, to the nearest unit, ties to even. Stops have no order of ours."""
        self.fills.append(fill)
        if fill["client_order_id"] or fill.get("cause") != STOP:
            self._order(fill["client_order_id"]).filled_lots += fill["qty_lots"]
        name, grid = fill["instrument"], self.grids[fill["instrument"]]
        lot_value_e8 = fill["price_ticks"] * grid.tick_e8 * grid.lot_e8 // E8
        signed = fill["qty_lots"] if fill["side"] == "buy" else -fill["qty_lots"]
        held = self.lots[name]
        closed = min(abs(held), abs(signed)) if held * signed < 0 else 0
        towards = closed if signed > 0 else -closed
        released_e8 = round(Fraction(self.cost_e8[name] * closed, abs(held))) if closed else 0
        self.lots[name] += signed
        self.cost_e8[name] += (signed - towards) * lot_value_e8 - released_e8
        self.wallet_e8 += -towards * lot_value_e8 - released_e8 - fill["fee_e8"]

    def _output(self, output: dict[str, Any]) -> None:
        if output["type"] == "send":
            order = output["approved"]["order"]
            known = self.orders.get(order["client_order_id"])
            if known is None:
                self.orders[order["client_order_id"]] = Sent(
                    order["qty_lots"], order.get("limit_ticks", 0), reduce_only=order.get("reduce_only", False)
                )
            else:
                known.times += 1
        elif output["type"] == "cancel":
            self.cancels += 1
        elif output["type"] == "risk_state":
            self.strange.append(f"trading is {output['state']}: {output['code']} {output['observed']} {output['limit']}")
